// Boxes that a person draws around people: by dragging on the photograph, or with the arrow keys.
const SMALLEST = 8; // CSS pixels: a shorter drag is a click

export class Boxes {
  // `frame` lies over the photograph, `layer` in it holds the boxes; `changed(boxes)` hears every change.
  constructor(frame, layer, changed, chosen) {
    Object.assign(this, { frame, layer, changed, chosen, list: [], size: [1, 1], current: 0, active: false });
    frame.addEventListener("pointerdown", (event) => this.#draw(event));
  }

  // Show these boxes (xyxy, image pixels) over a photograph of `size` (w, h).
  show(list, size, current) {
    Object.assign(this, { list, size, current });
    while (this.layer.children.length > list.length) this.layer.lastChild.remove();
    while (this.layer.children.length < list.length) this.layer.append(this.#element());
    list.forEach((box, i) => this.#place(this.layer.children[i], box, i));
  }

  // One more box, in the middle, with the keyboard in it.
  add() {
    const [w, h] = this.size;
    const shift = 0.04 * this.list.length;
    this.list.push([0.3 + shift, 0.15 + shift, 0.7 + shift, 0.85 + shift].map((v, i) => Math.min(v, 1) * (i % 2 ? h : w)));
    this.changed(this.list, this.list.length - 1);
    this.layer.lastChild.focus();
  }

  #element() {
    const element = document.createElement("div");
    element.className = "box";
    element.tabIndex = 0;
    element.setAttribute("role", "group");
    const make = (name, text, label) => {
      const button = document.createElement("button");
      Object.assign(button, { className: name, textContent: text, type: "button", tabIndex: -1 });
      button.setAttribute("aria-label", label);
      element.append(button);
      return button;
    };
    const index = () => [...this.layer.children].indexOf(element);
    this.#drag(make("move", "", "move"), index, (box, dx, dy) => [box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy]);
    make("drop", "×", "remove").addEventListener("click", () => this.#remove(index()));
    this.#drag(make("size", "⤡", "resize"), index, (box, dx, dy) => [box[0], box[1], box[2] + dx, box[3] + dy]);
    element.addEventListener("focus", () => this.chosen(index()));
    element.addEventListener("keydown", (event) => this.#key(event, index()));
    return element;
  }

  #place(element, box, i) {
    const [w, h] = this.size;
    element.style.left = `${(100 * box[0]) / w}%`;
    element.style.top = `${(100 * box[1]) / h}%`;
    element.style.width = `${(100 * (box[2] - box[0])) / w}%`;
    element.style.height = `${(100 * (box[3] - box[1])) / h}%`;
    element.classList.toggle("chosen", i === this.current);
    element.classList.toggle("small", (box[2] - box[0]) / w * this.frame.clientWidth < 64);
    element.firstChild.textContent = i + 1;
    element.setAttribute("aria-label", `box of person ${i + 1}: arrows move it, with shift they resize it, delete removes it`);
  }

  #point(event) {
    const edge = this.frame.getBoundingClientRect();
    const clamp = (v) => Math.min(1, Math.max(0, v));
    return [clamp((event.clientX - edge.left) / edge.width) * this.size[0], clamp((event.clientY - edge.top) / edge.height) * this.size[1]];
  }

  #follow(target, event, move, end) {
    target.setPointerCapture(event.pointerId);
    const finish = (last) => {
      target.removeEventListener("pointermove", move);
      target.removeEventListener("pointerup", finish);
      target.removeEventListener("pointercancel", finish);
      end(last);
    };
    target.addEventListener("pointermove", move);
    target.addEventListener("pointerup", finish);
    target.addEventListener("pointercancel", finish);
  }

  #drag(handle, index, moved) {
    handle.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.stopPropagation();
      const i = index(), before = this.list[i], [x, y] = this.#point(event);
      this.chosen(i);
      this.#follow(handle, event, (now) => {
        const [u, v] = this.#point(now);
        this.list[i] = this.#inside(moved(before, u - x, v - y), before);
        this.show(this.list, this.size, i);
      }, () => this.changed(this.list, i));
    });
  }

  #draw(event) {
    if (!this.active || event.button || event.pointerType !== "mouse" || event.target.closest(".box")) return;
    const [x, y] = this.#point(event), before = [...this.list], i = before.length;
    const edge = this.frame.getBoundingClientRect();
    const perPixel = this.size[0] / edge.width;
    let box = null;
    this.#follow(this.frame, event, (now) => {
      const [u, v] = this.#point(now);
      box = [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];
      if (Math.min(box[2] - box[0], box[3] - box[1]) < SMALLEST * perPixel) box = null;
      this.show(box ? [...before, box] : before, this.size, i);
    }, (last) => {
      const keep = box && last.type === "pointerup";
      this.show(before, this.size, this.current);
      if (keep) this.changed([...before, box], i);
    });
  }

  // A box that stays in the photograph and keeps an extent; one that is moved keeps its size.
  #inside(box, before) {
    const [w, h] = this.size;
    const limit = [w, h, w, h];
    const least = [0, 0, box[0] + 0.02 * w, box[1] + 0.02 * h];
    const clipped = box.map((v, i) => Math.min(limit[i], Math.max(least[i], v)));
    const moved = [0, 1].every((i) => Math.abs(box[i + 2] - box[i] - (before[i + 2] - before[i])) < 1e-6);
    if (!moved) return clipped;
    return [0, 1, 2, 3].map((i) => {
      const low = -Math.min(0, box[i % 2]), high = Math.max(0, box[(i % 2) + 2] - limit[i]);
      return box[i] + low - high;
    });
  }

  #key(event, i) {
    const step = 0.01 * Math.max(...this.size);
    const way = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      this.#remove(i);
    } else if (way && event.target.classList.contains("box")) {
      event.preventDefault();
      const [x0, y0, x1, y1] = this.list[i], [dx, dy] = way;
      const box = event.shiftKey ? [x0, y0, x1 + dx, y1 + dy] : [x0 + dx, y0 + dy, x1 + dx, y1 + dy];
      this.list[i] = this.#inside(box, this.list[i]);
      this.changed(this.list, i);
    }
  }

  #remove(i) {
    this.list.splice(i, 1);
    this.changed(this.list, Math.max(0, i - 1));
    this.layer.children[Math.max(0, i - 1)]?.focus();
  }
}
