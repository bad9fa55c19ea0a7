// The panel beside the photograph: people, joints with their scores, and what to show of the heatmaps.
const $ = (id) => document.getElementById(id);
const spaced = (name) => name.replaceAll("_", " ");

export class Panel {
  // `act` has the functions person(i), point(joint or null), joint(k), redraw(), heat(on).
  constructor(model, act) {
    this.model = model;
    const { joints, sides } = model.skeleton;
    this.rows = joints.map((name, k) => {
      const row = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.innerHTML = '<i class="dot"></i><span class="name"></span><span class="bar"><i></i></span><span class="number"></span>';
      button.querySelector(".dot").classList.add(sides[k]);
      button.querySelector(".name").textContent = spaced(name);
      for (const kind of ["pointerenter", "focus"]) button.addEventListener(kind, () => act.point(k));
      for (const kind of ["pointerleave", "blur"]) button.addEventListener(kind, () => act.point(null));
      button.addEventListener("click", () => act.joint(k));
      row.append(button);
      $("joints").append(row);
      return button;
    });
    $("joint").append(new Option("all joints", -1), ...joints.map((name, k) => new Option(spaced(name), k)));
    $("stack").max = model.stacks; // before the value, which it bounds
    $("stack").value = model.stacks;
    $("threshold").value = model.threshold;
    $("threshold").addEventListener("input", act.redraw);
    $("stack").addEventListener("input", act.redraw);
    $("joint").addEventListener("change", () => act.heat(true));
    $("show").addEventListener("change", () => act.heat($("show").checked));
    this.act = act;
  }

  get threshold() { return Number($("threshold").value); }
  get stack() { return Number($("stack").value) - 1; }
  get joint() { return Number($("joint").value); }
  set joint(k) { $("joint").value = k; }
  set heat(on) { $("show").checked = on; }

  // Everything anew: `pose` is the chosen person, `heat` the unpacked heatmaps or null.
  show({ poses, person, heat, hot, live }) {
    const pose = poses[person];
    this.#people(poses, person);
    this.rows.forEach((button, k) => this.#row(button, pose, k, hot));
    $("joints-hint").hidden = Boolean(pose);
    $("threshold-value").textContent = this.threshold.toFixed(2);
    $("threshold").disabled = !pose;
    $("show").disabled = $("joint").disabled = !pose || live;
    $("stack").disabled = !pose || live || this.model.stacks < 2;
    $("stack-value").textContent = `${this.stack + 1} of ${this.model.stacks}`;
    $("reading").textContent = this.#reading(heat, hot);
  }

  #people(poses, person) {
    const group = $("people");
    group.hidden = poses.length < 2;
    while (group.children.length > poses.length) group.lastChild.remove();
    while (group.children.length < poses.length) {
      const button = document.createElement("button");
      const i = group.children.length;
      Object.assign(button, { type: "button", textContent: i + 1, onclick: () => this.act.person(i) });
      button.setAttribute("aria-label", `person ${i + 1}`);
      group.append(button);
    }
    [...group.children].forEach((button, i) => button.setAttribute("aria-pressed", i === person));
  }

  #row(button, pose, k, hot) {
    const score = pose?.scores[k];
    const absent = !(score >= this.threshold);
    button.disabled = !pose;
    button.classList.toggle("absent", absent);
    button.setAttribute("aria-pressed", hot && this.joint === k);
    button.querySelector(".bar > i").style.width = `${100 * (score ?? 0)}%`;
    button.querySelector(".number").textContent = score?.toFixed(2) ?? "";
    button.title = pose ? `${spaced(this.model.skeleton.joints[k])}: ${score.toFixed(2)}${absent ? ", absent" : ""}; show its heatmap` : "";
  }

  #reading(heat, hot) {
    if (!hot) return "What the network sees of one joint, after each of its stacks.";
    if (!heat) return "looking …";
    const after = this.model.stacks > 1 ? `after stack ${this.stack + 1} of ${this.model.stacks}` : "after this model's one stack";
    if (this.joint < 0) return `All joints ${after}, each by its own peak.`;
    const [x, y] = heat.keypoints[this.stack][this.joint];
    const name = spaced(this.model.skeleton.joints[this.joint]);
    return `${name} ${after}: score ${heat.scores[this.stack][this.joint].toFixed(2)} at (${x.toFixed(1)}, ${y.toFixed(1)}).`;
  }
}
