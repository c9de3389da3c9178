// The photograph at screen size with a ring on it, and the cut-out beside it.
import { byId, drawn, make } from "./elements.js";

const SIDES = [800, 1600]; // what the server sends
const HOLE = 13; // css pixels: the least radius of a ring
const CUTOUT = [49, 255]; // original pixels that a cut-out shows, at least and at most
const OF_PICTURE = 1 / 7; // and, between them, so much of the longer side
const KEPT = 40; // pictures that stay loaded

const loaded = new Map();

/** Return the address of a photograph at the size of this screen. */
function address(picture) {
  const wanted = Math.max(innerWidth, innerHeight) * Math.min(devicePixelRatio || 1, 2) * 0.7;
  const side = wanted > SIDES[0] ? SIDES[1] : SIDES[0];
  return `/picture/${picture}?side=${side}`;
}

/** Return an odd number of original pixels that the cut-out of a question shows. */
export function sideOf({ width, height }) {
  const wanted = Math.round(Math.max(width, height) * OF_PICTURE);
  return Math.min(CUTOUT[1], Math.max(CUTOUT[0], wanted)) | 1;
}

/** Return the address of the cut-out of a question. */
export const cutoutAddress = (question, side = sideOf(question)) =>
  `/cutout/${question.picture}?x=${Math.floor(question.x)}&y=${Math.floor(question.y)}&side=${side}`;

/** Load an image, decoded, once it is there -> a promise of the element. */
export function load(source) {
  if (!loaded.has(source)) {
    const image = make("img", { src: source, alt: "", draggable: false });
    const there = image.decode().then(() => image);
    loaded.set(source, there);
    there.catch(() => loaded.get(source) === there && loaded.delete(source)); // it may come later
    if (loaded.size > KEPT) loaded.delete(loaded.keys().next().value);
  }
  return loaded.get(source);
}

/** Load what a question will show. */
export const prepare = (question) => Promise.all([load(address(question.picture)), load(cutoutAddress(question))]);

/** Return a ring whose centre is open: a dark line with a light one on it. radius: css pixels */
export function ring(radius) {
  const circle = (name) => drawn("circle", { class: name, r: radius });
  return make("span", { class: "ring" }, drawn("svg", { width: 1, height: 1 }, circle("dark"), circle("light")));
}

/** What stands on the stage. */
export class Stage {
  constructor() {
    this.frame = byId("frame");
    this.shown = null;
    new ResizeObserver(() => this.fit()).observe(this.frame);
  }

  /** Show a line instead of a photograph. */
  wait(line) {
    this.shown = null;
    this.frame.replaceChildren(make("p", { class: "wait", textContent: line }));
    byId("cutout").replaceChildren();
  }

  /** Show a photograph -> a promise that it is there. picture: index, width, height */
  async photograph(picture) {
    const image = await load(address(picture.picture));
    if (this.shown?.picture === picture.picture) return;
    this.holder = make("div", { class: "picture" }, image);
    this.mark = null;
    this.shown = picture;
    this.frame.replaceChildren(this.holder);
    this.fit();
  }

  /** Show a question: its photograph, the ring, and the cut-out -> a promise that it is there. */
  async question(question) {
    const [, cut] = await prepare(question);
    const stays = this.shown?.picture === question.picture && this.mark;
    await this.photograph(question);
    this.shown = question;
    this.point(stays);
    this.cut(question, cut);
  }

  /** Put the ring where the question is; moves: it is seen to move there. */
  point(moves) {
    const { x, y, width, height } = this.shown;
    const pixel = this.holder.clientWidth / width; // css pixels of an original one
    const next = ring(Math.max(HOLE, 2 * pixel));
    if (moves) {
      this.mark.classList.add("moves");
      this.mark.replaceChildren(...next.children);
    } else {
      this.mark?.remove();
      this.mark = next;
      this.holder.append(next);
    }
    this.mark.style.left = `${(100 * x) / width}%`;
    this.mark.style.top = `${(100 * y) / height}%`;
  }

  /** Draw the cut-out, pixels as pixels. */
  cut(question, image) {
    const side = sideOf(question), box = byId("cutout");
    const size = Math.round((box.clientWidth || 280) * (devicePixelRatio || 1));
    const canvas = make("canvas", { width: size, height: size });
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = size / side < 4;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(image, 0, 0, size, size);
    const pixel = (box.clientWidth || 280) / side;
    box.replaceChildren(canvas, ring(Math.max(HOLE, 2 * pixel)));
  }

  /** Fit the photograph into the frame. */
  fit() {
    if (!this.shown || !this.holder) return;
    const { width, height } = this.shown;
    const factor = Math.min(this.frame.clientWidth / width, this.frame.clientHeight / height);
    this.holder.style.width = `${Math.floor(width * factor)}px`;
    this.holder.style.height = `${Math.floor(height * factor)}px`;
    if (this.mark) this.point(false);
  }

  /** Return the place (x, y) in original pixels of a click, null outside of the photograph. */
  placeOf(event) {
    if (!this.holder || !this.shown) return null;
    const box = this.holder.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.shown.width;
    const y = ((event.clientY - box.top) / box.height) * this.shown.height;
    return x >= 0 && y >= 0 && x < this.shown.width && y < this.shown.height ? { x, y } : null;
  }
}
