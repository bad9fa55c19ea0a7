// Skeletons and heatmaps on canvases. Points are image pixels; `scale` is canvas pixels an image pixel.
const INFERNO = ["#000004", "#1f0c48", "#550f6d", "#88226a", "#ba3655", "#e35933", "#f98c0a", "#f9c932", "#fcffa4"].map(rgb);
const FAINTEST = 0.1; // below this share of the strongest stack and joint a map stays dim

function rgb(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

export const area = (box) => Math.max(0, box[2] - box[0]) * Math.max(0, box[3] - box[1]);

// All people, the large ones first; `thin` is canvas pixels a CSS pixel.
export function paintPoses(context, poses, threshold, model, scale, thin = 1) {
  const order = poses.map((_, i) => i).sort((a, b) => area(poses[b].box) - area(poses[a].box));
  for (const i of order) paintPose(context, poses[i], threshold, model, scale, thin, model.people[i % model.people.length]);
}

function paintPose(context, pose, threshold, model, scale, thin, tint) {
  const { joints, sides, edges, edge_sides } = model.skeleton;
  const colours = { ...model.colours, middle: tint };
  const size = (Math.sqrt(area(pose.box)) * scale) / thin;
  const width = Math.min(7, Math.max(1.4, size / 48)) * thin;
  const rim = Math.max(0.9 * thin, 0.28 * width);
  const at = (k) => pose.keypoints[k].map((v) => v * scale);
  const present = joints.map((_, k) => pose.scores[k] >= threshold);
  const lines = edges.map((edge, i) => [...edge, edge_sides[i]]).filter(([a, b]) => present[a] && present[b]);
  context.lineCap = "round";
  for (const casing of [true, false])
    for (const [a, b, side] of lines) {
      context.beginPath();
      context.moveTo(...at(a));
      context.lineTo(...at(b));
      context.lineWidth = casing ? width + 2 * rim : width;
      context.strokeStyle = casing ? "#101215" : colours[side];
      context.stroke();
    }
  joints.forEach((_, k) => {
    if (!present[k]) return;
    const radius = width * (0.55 + 0.45 * pose.scores[k]);
    for (const [r, colour] of [[radius + rim, "#101215"], [radius, colours[sides[k]]]]) {
      context.beginPath();
      context.arc(...at(k), r, 0, 2 * Math.PI);
      context.fillStyle = colour;
      context.fill();
    }
  });
}

// A ring around one point: the joint under the pointer, or the one whose heatmap is shown.
export function paintRing(context, point, scale, thin = 1) {
  for (const [width, colour] of [[5, "#101215"], [2.5, "#ffffff"]]) {
    context.beginPath();
    context.arc(point[0] * scale, point[1] * scale, 10 * thin, 0, 2 * Math.PI);
    context.lineWidth = width * thin;
    context.strokeStyle = colour;
    context.stroke();
  }
}

// The answer of /heatmaps with its maps as bytes.
export function unpack(answer) {
  return { ...answer, bytes: Uint8Array.from(atob(answer.maps), (c) => c.charCodeAt(0)) };
}

// One joint's map after a stack (all joints together for joint -1), one canvas pixel a cell.
export function paintHeat(canvas, heat, stack, joint) {
  const [h, w] = heat.shape;
  canvas.width = w;
  canvas.height = h;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(w, h);
  const levels = joint < 0 ? together(heat, stack) : alone(heat, stack, joint);
  levels.forEach((level, i) => {
    const place = Math.min(1, Math.max(0, level)) * (INFERNO.length - 1);
    const low = Math.min(Math.floor(place), INFERNO.length - 2);
    for (let c = 0; c < 3; c++) {
      picture.data[4 * i + c] = INFERNO[low][c] + (place - low) * (INFERNO[low + 1][c] - INFERNO[low][c]);
    }
    picture.data[4 * i + 3] = 255 * Math.min(1, 2.2 * level); // the dark end lets the photograph through
  });
  context.putImageData(picture, 0, 0);
}

function map(heat, stack, joint) {
  const cells = heat.shape[0] * heat.shape[1];
  const start = (stack * heat.peaks[0].length + joint) * cells;
  return heat.bytes.subarray(start, start + cells);
}

function alone(heat, stack, joint) {
  const peak = heat.peaks[stack][joint];
  const others = Math.max(...heat.peaks.map((row) => row[joint]), ...heat.peaks[stack]);
  const factor = peak / Math.max(peak, FAINTEST * others, 1e-12) / 255;
  return Float32Array.from(map(heat, stack, joint), (value) => value * factor);
}

function together(heat, stack) {
  const peaks = heat.peaks[stack];
  const floor = Math.max(2 * FAINTEST * Math.max(...peaks), 1e-12); // many weak maps together would be a fog
  const levels = new Float32Array(heat.shape[0] * heat.shape[1]);
  peaks.forEach((peak, k) => {
    const factor = peak / Math.max(peak, floor) / 255;
    map(heat, stack, k).forEach((value, i) => { levels[i] = Math.max(levels[i], value * factor); });
  });
  return levels;
}
