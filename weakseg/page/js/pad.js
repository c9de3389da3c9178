// The canvas of the drawing view: the photograph, a prediction under the labels, the labels, and
// the pointer: mouse, pen and touch. Two fingers, the wheel, the middle button and Space move it.
import { load } from "./stage.js";
import { paintShape, under } from "./paint.js";
import { TOOLS } from "./tools.js";
import { View } from "./view.js";

const SIDE = 1600; // pixels of the photograph that is shown first
const CRISP = 4; // css pixels of an original one from which on pixels are squares
const BRUSHES = [1, 400]; // original pixels
const KEPT = "weakseg-brush";
const MARGIN = 40; // css pixels around the photograph in which a shape may begin

/** Return the address of a photograph at screen size. */
export const addressOf = (index) => `/picture/${index}?side=${SIDE}`;

export class Pad {
  /** taken: called with a list of shapes; told: with a line for the person; look: gives {colours,
   * label, opacity, hidden, reveal} */
  constructor(canvas, taken, told, look) {
    Object.assign(this, { canvas, taken, say: told, look, shapes: [], others: [], picture: null });
    this.pen = canvas.getContext("2d");
    this.pointers = new Map();
    this.acting = null; // the pointer that draws
    this.cursor = null;
    this.tool = TOOLS.click.make(this);
    this.brush = Math.min(
      BRUSHES[1],
      Math.max(BRUSHES[0], Number(localStorage.getItem(KEPT)) || 12),
    );
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    for (const name of ["down", "move", "up", "cancel", "leave"])
      canvas.addEventListener(`pointer${name}`, (event) => this[name](event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => this.tool.end());
  }

  // ---- what is shown

  /** Show a photograph -> a promise that it is painted. */
  async show(picture) {
    const image = await load(addressOf(picture.index));
    this.cancel();
    this.tool.cancel();
    Object.assign(this, { picture, image, mask: null, detail: null, marked: null });
    this.view = new View(picture.width, picture.height);
    this.resize();
    this.view.fit(this.wide, this.tall);
    this.paint();
  }

  /** Show a predicted mask, an image; null shows none. */
  predict(mask) {
    this.mask = mask;
    this.draw();
  }

  get scale() {
    return this.view.scale;
  }

  get size() {
    return this.picture;
  }

  get wide() {
    return this.canvas.clientWidth;
  }

  get tall() {
    return this.canvas.clientHeight;
  }

  get label() {
    return this.look().label;
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    const wide = Math.round(this.wide * ratio),
      tall = Math.round(this.tall * ratio);
    if (!wide || !tall) return;
    if (this.canvas.width !== wide || this.canvas.height !== tall)
      Object.assign(this.canvas, { width: wide, height: tall });
    if (this.view?.fitted) this.view.fit(this.wide, this.tall);
    if (this.view) this.paint();
  }

  fit() {
    this.view?.fit(this.wide, this.tall);
    this.draw();
  }

  turn() {
    this.view?.rotate(this.wide, this.tall);
    this.draw();
  }

  zoom(factor, left = this.wide / 2, top = this.tall / 2) {
    this.view?.zoom(left, top, factor);
    this.draw();
  }

  sizeBrush(pixels) {
    this.brush = Math.min(BRUSHES[1], Math.max(BRUSHES[0], pixels));
    localStorage.setItem(KEPT, String(this.brush));
    this.draw();
  }

  /** Paint before the next frame. */
  draw() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.paint();
    });
  }

  paint() {
    const { pen, view, picture } = this,
      ratio = devicePixelRatio || 1;
    if (!view) return;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    view.apply(pen, ratio);
    pen.imageSmoothingEnabled = view.scale < CRISP;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(this.sharpest(ratio), 0, 0, picture.width, picture.height);
    const { colours, label, opacity, hidden } = this.look();
    if (this.mask && !hidden) {
      pen.globalAlpha = opacity;
      pen.imageSmoothingEnabled = false;
      pen.drawImage(this.mask, 0, 0, picture.width, picture.height);
      pen.globalAlpha = 1;
    }
    const at = { pen, scale: view.scale, opacity };
    if (!hidden) {
      for (const shape of this.others)
        paintShape(shape, { ...at, colour: colours.get(shape.class), faint: true });
      const marked = this.marked ?? this.tool.moved ?? this.tool.over;
      for (const shape of this.tool.seen(this.shapes))
        paintShape(shape, { ...at, colour: colours.get(shape.class), marked: shape === marked });
    }
    this.tool.paint(pen, colours.get(label) ?? "#ffffff");
    this.paintCursor(colours.get(label) ?? "#ffffff");
  }

  /** Show the brush's size where the pointer is. */
  paintCursor(colour) {
    if (!this.cursor || !TOOLS[this.name ?? "click"].brush) return;
    const { pen, scale } = this;
    for (const [width, stroke] of [
      [4, under(colour)],
      [2, colour],
    ]) {
      pen.beginPath();
      pen.arc(this.cursor.x, this.cursor.y, this.brush / 2, 0, 7);
      pen.lineWidth = width / scale;
      pen.strokeStyle = stroke;
      pen.stroke();
    }
  }

  /** Return the photograph that suits the zoom; one in more detail is fetched once. */
  sharpest(ratio) {
    const { picture, view } = this;
    const shown = Math.max(this.image.naturalWidth, this.image.naturalHeight);
    const wanted = Math.max(picture.width, picture.height) * Math.min(1, view.scale * ratio);
    if (wanted > 1.3 * shown && this.detail === null) {
      this.detail = this.image;
      load(`/draw/photo/${picture.index}`).then(
        (image) => {
          if (this.picture === picture) this.detail = image;
          this.draw();
        },
        () => {},
      );
    }
    return this.detail ?? this.image;
  }

  // ---- what tools need

  take(name) {
    this.tool.cancel();
    this.name = name;
    this.tool = TOOLS[name].make(this);
    this.canvas.dataset.tool = name;
    this.draw();
  }

  shape(kind, geometry, label = this.label) {
    return { kind, class: label, geometry };
  }

  add(shape) {
    this.taken([...this.shapes, shape]);
  }

  change(shapes) {
    this.taken(shapes);
  }

  inside({ x, y }) {
    return x >= 0 && y >= 0 && x < this.picture.width && y < this.picture.height;
  }

  clamped({ x, y }) {
    return {
      x: Math.min(this.picture.width, Math.max(0, x)),
      y: Math.min(this.picture.height, Math.max(0, y)),
    };
  }

  // ---- the pointer

  where(event) {
    const box = this.canvas.getBoundingClientRect();
    const left = event.clientX - box.left,
      top = event.clientY - box.top;
    const [x, y] = this.view.toPicture(left, top);
    return { left, top, x, y, finger: event.pointerType === "touch" };
  }

  near({ x, y }) {
    const margin = MARGIN / this.scale;
    return (
      x > -margin &&
      y > -margin &&
      x < this.picture.width + margin &&
      y < this.picture.height + margin
    );
  }

  down(event) {
    if (!this.view) return;
    const at = this.where(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, at);
    if (event.pointerType === "pen") this.penSeen = true;
    // With a pen, fingers move the picture.
    const palm = event.pointerType === "touch" && this.penSeen;
    if (this.pointers.size > 1) {
      if (this.acting !== null) this.tool.abort(); // a second finger: it was no drawing
      this.acting = null;
    } else if (event.button === 1 || event.button === 2 || this.held || palm) this.acting = null;
    else if (this.near(at)) {
      if (this.look().hidden) this.look().reveal();
      this.acting = event.pointerId;
      this.tool.down(at);
    }
    this.draw();
  }

  move(event) {
    if (!this.view) return;
    const at = this.where(event),
      before = this.pointers.get(event.pointerId);
    if (event.pointerType !== "touch") this.cursor = at;
    if (before && this.acting !== event.pointerId) this.drag(event.pointerId, before, at);
    else if (!before || this.acting === event.pointerId) {
      const several = event.getCoalescedEvents?.() ?? [];
      for (const one of before && several.length ? several : [event])
        this.tool.move(this.where(one));
      if (event.pointerType === "touch") this.cursor = at;
    }
    if (before) this.pointers.set(event.pointerId, at);
    this.draw();
  }

  /** Move the photograph with one pointer; with two, zoom too. */
  drag(id, before, at) {
    const other = [...this.pointers].find(([key]) => key !== id)?.[1];
    if (!other) return this.view.move(at.left - before.left, at.top - before.top);
    const apart = (one) => Math.hypot(one.left - other.left, one.top - other.top) || 1;
    this.view.move((at.left - before.left) / 2, (at.top - before.top) / 2);
    this.view.zoom((at.left + other.left) / 2, (at.top + other.top) / 2, apart(at) / apart(before));
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.acting === event.pointerId) {
      this.acting = null;
      this.tool.up(this.where(event));
    }
    if (event.pointerType === "touch") this.cursor = null;
    this.draw();
  }

  cancel(event) {
    if (event) this.pointers.delete(event.pointerId);
    else this.pointers.clear();
    if (this.acting !== null) this.tool.abort();
    this.acting = null;
    this.draw();
  }

  leave() {
    if (!this.pointers.size) this.cursor = null;
    this.draw();
  }

  wheel(event) {
    if (!this.view) return;
    event.preventDefault();
    const { left, top } = this.where(event);
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.zoom(Math.exp((-event.deltaY * lines) / (event.ctrlKey ? 120 : 400)), left, top);
  }
}

/** Load an image of a data address, decoded. */
export async function decoded(source) {
  const image = Object.assign(new Image(), { src: source });
  await image.decode();
  return image;
}
