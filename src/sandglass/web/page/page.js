// The page: a photograph or a webcam comes in, is asked about, and is shown with what was found.
import { Boxes } from "./boxes.js";
import { Camera, hasCamera } from "./camera.js";
import { area, paintHeat, paintPoses, paintRing, unpack } from "./paint.js";
import { Panel } from "./panel.js";
import { get, post } from "./server.js";

const $ = (id) => document.getElementById(id);
const NEAR = 18; // CSS pixels between the pointer and a joint
const narrow = window.matchMedia("(max-width: 60rem)"); // the photograph stays in sight while the page scrolls
const SETTLE = 250; // milliseconds after the last change of a box
const state = { photo: null, boxes: [], answer: null, person: 0, heat: null, hot: false, point: null, live: false };
let model, panel, boxes, camera, asked, timer;

const round = (box) => box.map((v) => Math.round(10 * v) / 10);
const poses = () => state.answer?.poses ?? [];
const size = () => (state.live ? [state.answer?.width ?? 16, state.answer?.height ?? 9] : [state.photo.width, state.photo.height]);

function complain(error) {
  if (error?.name === "AbortError") return;
  $("error").textContent = error ? error.message : "";
  $("error").hidden = !error;
}

// --- what comes in

async function open(blob, name, people = []) {
  stopCamera();
  complain(null);
  try {
    if (blob.size > model.upload_bytes) throw new Error(`${name} has more than ${model.upload_bytes >> 20} MiB; choose a smaller photo`);
    const url = URL.createObjectURL(blob);
    const picture = $("photo");
    const before = picture.src;
    picture.src = url;
    await picture.decode().catch(() => {
      picture.src = before;
      throw new Error(`${name} is no picture that this browser can show; choose a JPEG, PNG or WebP`);
    });
    if (before) URL.revokeObjectURL(before);
    picture.alt = name;
    const [width, height] = [picture.naturalWidth, picture.naturalHeight];
    Object.assign(state, { photo: { blob, name, width, height }, boxes: people, answer: null, person: 0, heat: null });
    showStage();
    layOut();
    render();
    await look();
  } catch (error) {
    complain(error);
  }
}

function openFirst(files) {
  const file = [...(files ?? [])].find((one) => one.type.startsWith("image/") || !one.type);
  if (file) open(file, file.name || "pasted picture");
  else if (files?.length) complain(new Error(`${files[0].name} is no picture; choose a JPEG, PNG or WebP`));
}

function showStage() {
  $("stage").classList.remove("empty");
  $("invitation").hidden = true;
  $("frame").hidden = false;
  $("frame").classList.toggle("live", state.live);
  $("photo").hidden = state.live;
  $("video").hidden = !state.live;
  boxes.active = !state.live;
}

// --- questions

async function look() {
  asked?.abort();
  const mine = (asked = new AbortController());
  $("stage").classList.add("busy");
  $("status").textContent = "looking …";
  try {
    const fields = state.boxes.length ? { boxes: JSON.stringify(state.boxes.map(round)) } : {};
    const answer = await post("predict", state.photo.blob, fields, mine.signal);
    Object.assign(state, { answer, heat: null, person: Math.min(state.person, answer.poses.length - 1) });
    complain(null);
    if (state.hot) await lookInside(mine.signal);
  } catch (error) {
    if (error.name !== "AbortError") $("status").textContent = "";
    complain(error);
  } finally {
    if (asked === mine) $("stage").classList.remove("busy");
    render();
  }
}

async function lookInside(signal) {
  const pose = poses()[state.person];
  if (!pose) return;
  state.heat = unpack(await post("heatmaps", state.photo.blob, { box: JSON.stringify(pose.box) }, signal));
}

async function showHeat(on) {
  state.hot = panel.heat = on;
  render();
  if (!on || state.heat || !state.photo) return;
  try {
    await lookInside(asked?.signal);
  } catch (error) {
    state.hot = panel.heat = false;
    complain(error);
  }
  render();
}

function choosePerson(i) {
  if (i === state.person) return;
  Object.assign(state, { person: i, heat: null, point: null });
  render();
  if (state.hot) showHeat(true);
}

function changeBoxes(list, current) {
  Object.assign(state, { boxes: list, person: Math.max(0, current) });
  boxes.show(list, size(), state.person);
  clearTimeout(timer);
  timer = setTimeout(look, SETTLE);
}

// --- webcam

async function startCamera() {
  complain(null);
  asked?.abort();
  try {
    await camera.start();
  } catch (error) {
    return complain(error);
  }
  Object.assign(state, { live: true, boxes: [], answer: null, person: 0, heat: null, hot: false });
  panel.heat = false;
  showStage();
  const [width, height] = [$("video").videoWidth, $("video").videoHeight];
  state.answer = { width, height, poses: [] };
  layOut();
  render();
  while (state.live) {
    const began = performance.now();
    const frame = await camera.frame();
    try {
      const answer = await post("predict", frame, { flip: "false" });
      if (!state.live) break;
      Object.assign(state, { answer, last: frame });
      complain(null);
    } catch (error) {
      complain(error);
      stopCamera();
      break;
    }
    render(1000 / (performance.now() - began));
  }
}

function stopCamera() {
  if (!state.live) return;
  state.live = false;
  camera.stop();
  $("webcam").textContent = "Webcam";
  if (state.photo) showStage(), layOut(), look();
  else {
    state.answer = null;
    $("frame").hidden = true;
    $("invitation").hidden = false;
    $("stage").classList.add("empty");
    render();
  }
}

// --- what is shown

// The frame is as large as the stage is wide and the window leaves room for.
function layOut() {
  if ($("frame").hidden) return;
  const [w, h] = size();
  const room = [$("stage").clientWidth, Math.max(240, (narrow.matches ? 0.5 : 0.74) * window.innerHeight)];
  const factor = Math.min(room[0] / w, room[1] / h);
  $("frame").style.width = `${w * factor}px`;
  $("frame").style.height = `${h * factor}px`;
}

function render(rate) {
  const { answer, heat, hot, live } = state;
  const ready = Boolean(answer?.poses.length);
  panel.show({ poses: poses(), person: state.person, heat, hot, live });
  $("mark").disabled = live || !state.photo || state.boxes.length >= model.boxes;
  $("whole").disabled = live || !state.boxes.length;
  $("json").disabled = $("png").disabled = !ready || live;
  $("keep").hidden = !live;
  if (live) $("webcam").textContent = "Stop";
  $("legend").hidden = !ready;
  $("alone").hidden = !ready || live || state.boxes.length > 0;
  if (ready) $("status").textContent = describe(rate);
  boxes.show(live ? [] : state.boxes, state.photo || live ? size() : [1, 1], state.person);
  paint();
}

function describe(rate) {
  const list = poses(), all = list.length * model.skeleton.joints.length;
  const seen = list.flatMap((pose) => pose.scores).filter((score) => score >= panel.threshold).length;
  const people = list.length === 1 ? "1 person" : `${list.length} people`;
  const speed = typeof rate === "number" ? `${rate.toFixed(0)} frames/s` : `${state.answer.milliseconds.toFixed(0)} ms`;
  return `${people} · ${seen} of ${all} joints · ${speed}`;
}

function paint() {
  const { answer, heat, hot } = state;
  const canvas = $("poses"), density = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * density);
  canvas.height = Math.round(canvas.clientHeight * density);
  const context = canvas.getContext("2d");
  const shown = hot && heat && answer;
  $("heat").hidden = !shown;
  $("frame").classList.toggle("hot", Boolean(shown));
  $("tip").hidden = true;
  if (!answer) return;
  const scale = canvas.width / answer.width;
  context.globalAlpha = shown ? 0.35 : 1;
  paintPoses(context, answer.poses, panel.threshold, model, scale, density);
  context.globalAlpha = 1;
  if (shown) {
    paintHeat($("heat"), heat, panel.stack, panel.joint);
    placeHeat();
    if (panel.joint >= 0) paintRing(context, heat.keypoints[panel.stack][panel.joint], scale, density);
  }
  const pose = answer.poses[state.point?.person];
  if (pose) {
    paintRing(context, pose.keypoints[state.point.joint], scale, density);
    tell(pose, state.point.joint);
  }
}

function placeHeat() {
  const [[a, , x], [, d, y]] = state.heat.image_from_map, [h, w] = state.heat.shape;
  const style = $("heat").style;
  style.left = `${(100 * x) / state.answer.width}%`;
  style.top = `${(100 * y) / state.answer.height}%`;
  style.width = `${(100 * a * w) / state.answer.width}%`;
  style.height = `${(100 * d * h) / state.answer.height}%`;
}

function tell(pose, k) {
  const tip = $("tip"), [x, y] = pose.keypoints[k];
  const name = document.createElement("b"), rest = document.createElement("span");
  name.textContent = model.skeleton.joints[k].replaceAll("_", " ");
  rest.textContent = ` (${x.toFixed(1)}, ${y.toFixed(1)})`;
  tip.replaceChildren(name, ` ${pose.scores[k].toFixed(2)}`, rest);
  tip.hidden = false;
  const [w, h] = [$("frame").clientWidth, $("frame").clientHeight];
  const left = (x / state.answer.width) * w, top = (y / state.answer.height) * h, half = tip.offsetWidth / 2;
  tip.style.left = `${Math.min(Math.max(left, half), Math.max(w - half, half))}px`;
  tip.style.top = `${top}px`;
  tip.classList.toggle("under", top < 48);
}

// The joint under the pointer: of all people, the nearest one that is present.
function under(event) {
  const edge = $("frame").getBoundingClientRect(), [w] = size();
  const scale = edge.width / w;
  let best = null, least = NEAR;
  poses().forEach((pose, person) => pose.keypoints.forEach(([x, y], joint) => {
    const far = Math.hypot(x * scale - (event.clientX - edge.left), y * scale - (event.clientY - edge.top));
    if (pose.scores[joint] >= panel.threshold && far < least) [best, least] = [{ person, joint }, far];
  }));
  return best;
}

function pointAt(point) {
  if (JSON.stringify(point) === JSON.stringify(state.point)) return;
  state.point = point;
  paint();
}

// --- what goes out

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const stem = () => state.photo.name.replace(/\.[^.]*$/, "");

function saveJson() {
  const threshold = panel.threshold;
  const list = poses().map((pose) => ({ ...pose, present: pose.scores.map((score) => score >= threshold) }));
  const data = { photo: state.photo.name, model: model.name, skeleton: model.skeleton, ...state.answer, threshold, poses: list };
  save(new Blob([JSON.stringify(data, null, 1)], { type: "application/json" }), `${stem()}-poses.json`);
}

function savePng() {
  const [w, h] = size(), longer = Math.max(w, h);
  const scale = Math.max(1, Math.min(640 / longer, 8)) * Math.min(1, 4096 / longer);
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(w * scale);
  canvas.height = Math.round(h * scale);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage($("photo"), 0, 0, canvas.width, canvas.height);
  const thin = canvas.width / Math.max(1, $("frame").clientWidth);
  paintPoses(context, poses(), panel.threshold, model, scale, Math.max(1, thin));
  canvas.toBlob((blob) => save(blob, `${stem()}-poses.png`), "image/png");
}

// --- wiring

function wire() {
  $("choose").onclick = () => $("file").click();
  $("take").onclick = () => $("shot").click();
  $("take").hidden = !window.matchMedia("(pointer: coarse)").matches;
  $("webcam").hidden = !hasCamera();
  $("webcam").onclick = () => (state.live ? stopCamera() : startCamera());
  $("keep").onclick = () => state.last && open(state.last, "webcam.jpg");
  $("mark").onclick = () => boxes.add();
  $("whole").onclick = () => changeBoxes([], 0);
  $("json").onclick = saveJson;
  $("png").onclick = savePng;
  $("invitation").onclick = () => $("file").click();
  for (const id of ["file", "shot"]) $(id).onchange = () => { openFirst($(id).files); $(id).value = ""; };

  const frame = $("frame");
  frame.addEventListener("pointermove", (event) => pointAt(under(event)));
  frame.addEventListener("pointerleave", () => pointAt(null));
  frame.addEventListener("click", (event) => {
    const point = under(event);
    pointAt(point);
    if (point) choosePerson(point.person);
  });
  document.addEventListener("paste", (event) => openFirst(event.clipboardData?.files));
  const drag = (event) => { event.preventDefault(); $("stage").classList.toggle("dropping", event.type === "dragover"); };
  document.addEventListener("dragover", drag);
  document.addEventListener("dragleave", drag);
  document.addEventListener("drop", (event) => { drag(event); openFirst(event.dataTransfer?.files); });
  new ResizeObserver(() => { layOut(); paint(); }).observe($("stage"));
}

async function showExamples() {
  for (const { url, title, boxes: people } of await get("examples")) {
    const button = document.createElement("button"), picture = document.createElement("img");
    Object.assign(button, { type: "button", title });
    Object.assign(picture, { src: url, alt: title });
    button.append(picture);
    button.onclick = async () => {
      try {
        const answer = await fetch(url);
        await open(await answer.blob(), url.split("/").pop(), people.length > 1 ? people : []);
      } catch (error) {
        complain(error);
      }
    };
    $("examples").append(button);
  }
}

async function start() {
  try {
    model = await get("model");
  } catch (error) {
    return complain(error);
  }
  const { name, stacks, size: crop, runtime } = model;
  $("model").textContent = `${name} · ${stacks} ${stacks > 1 ? "stacks" : "stack"} · ${crop[0]} × ${crop[1]} · ${runtime}`;
  $("model").title = Object.entries(model.facts).map(([key, value]) => `${key} ${value}`).join(", ");
  camera = new Camera($("video"));
  panel = new Panel(model, {
    person: choosePerson,
    point: (joint) => pointAt(joint === null ? null : { person: state.person, joint }),
    joint: (k) => { const again = state.hot && panel.joint === k; panel.joint = k; showHeat(!again); },
    redraw: () => render(),
    heat: showHeat,
  });
  boxes = new Boxes($("frame"), $("boxes"), changeBoxes, choosePerson);
  wire();
  render();
  document.body.dataset.ready = "yes";
  await showExamples().catch(complain);
}

start();
