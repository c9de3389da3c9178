// The tools of the drawing view, each of which draws one kind of shape; `moving` has the one that
// moves them.
import { corrected, rounded } from "./drawing.js";
import { Move } from "./moving.js";
import { line } from "./paint.js";
import { areaOf, meet, minus, ofStroke, toRuns, union } from "./raster.js";
import { place, Tool } from "./tool.js";

const NEAR = 10; // css pixels: so near to its first corner a click closes a polygon
const APART = 5; // css pixels between corners of an outline that is drawn by dragging
const STILL = 4; // css pixels that a click may move
const FINE = 1; // css pixels between places of a stroke

class Click extends Tool {
  hint = "Click on something of the class";
  at = null;

  down(at) {
    this.at = at;
  }

  abort() {
    this.at = null;
  }

  up() {
    const at = this.at;
    this.at = null;
    if (!at || !this.pad.inside(at)) return;
    const geometry = place(at),
      pixel = geometry.map(Math.floor).join();
    // One pixel has one class: the later click holds.
    const others = this.pad.shapes.filter(
      (one) => one.kind !== "click" || one.geometry.map(Math.floor).join() !== pixel,
    );
    this.pad.change([...others, this.pad.shape("click", geometry)]);
  }
}

class Stroke extends Tool {
  hint = "Draw a line inside of it";
  path = null;

  get open() {
    return this.path !== null;
  }

  down(at) {
    this.path = [place(this.pad.clamped(at))];
    this.last = at;
  }

  move(at) {
    if (!this.path || this.far(at, this.last) < FINE) return;
    this.path.push(place(this.pad.clamped(at)));
    this.last = at;
  }

  up(at) {
    if (!this.path) return;
    const end = place(this.pad.clamped(at)),
      last = this.path.at(-1);
    if (end[0] !== last[0] || end[1] !== last[1]) this.path.push(end);
    const path = this.path;
    this.path = null;
    this.give(path);
  }

  give(path) {
    const width = Math.min(rounded(this.pad.brush), this.pad.size.width, this.pad.size.height);
    this.pad.add(this.pad.shape("stroke", { width, path }));
  }

  cancel() {
    this.path = null;
  }

  paint(pen, colour) {
    if (!this.path) return;
    line(pen, this.path);
    pen.lineWidth = this.pad.brush;
    pen.strokeStyle = colour;
    pen.globalAlpha = 0.6;
    pen.stroke();
    pen.globalAlpha = 1;
  }
}

class Brush extends Stroke {
  hint = "Paint over the object; the next stroke that touches it adds to it";

  give(path) {
    const stroke = ofStroke(path, this.pad.brush / 2, this.pad.size);
    const areas = this.pad.shapes
      .filter((one) => one.class === this.pad.label)
      .map((shape) => [shape, areaOf(shape, this.pad.size)])
      .filter(([, area]) => area);
    const touched = areas.filter(([, area]) => meet(area, stroke));
    const runs = toRuns(touched.reduce((sum, [, area]) => union(sum, area), stroke));
    if (!runs) return;
    const gone = touched.map(([shape]) => shape);
    const others = this.pad.shapes.filter((one) => !gone.includes(one));
    this.pad.change([
      ...others.flatMap((one) => this.without(one, stroke)),
      this.pad.shape("mask", corrected(runs, gone)),
    ]);
  }

  /** Return what is left of a shape under a stroke of another class, [] of nothing: a model's
   * masks give each pixel one class, which the stroke corrects. */
  without(shape, stroke) {
    if (!shape.geometry.model || shape.class === this.pad.label) return [shape];
    const area = areaOf(shape, this.pad.size);
    if (!meet(area, stroke)) return [shape];
    const runs = toRuns(minus(area, stroke));
    return runs ? [this.pad.shape("mask", corrected(runs, [shape], 0), shape.class)] : [];
  }
}

class Eraser extends Stroke {
  hint = "Rub out masks, and clicks and strokes that begin under the eraser";

  give(path) {
    const rubbed = ofStroke(path, this.pad.brush / 2, this.pad.size);
    let acts = 1; // one, of however many masks it takes a part
    const rest = this.pad.shapes.flatMap((shape) => {
      const area = areaOf(shape, this.pad.size);
      if (!area) return under(shape, rubbed) ? [] : [shape];
      if (!meet(area, rubbed)) return [shape];
      const runs = toRuns(minus(area, rubbed));
      if (!runs) return [];
      const own = corrected(runs, [shape], acts);
      acts = own === runs ? acts : 0;
      return [this.pad.shape("mask", own, shape.class)];
    });
    if (rest.length !== this.pad.shapes.length || rest.some((one, i) => one !== this.pad.shapes[i]))
      this.pad.change(rest);
  }
}

/** Return whether a click, or where a stroke begins, lies in an area. */
function under({ kind, geometry }, area) {
  const at = kind === "click" ? geometry : kind === "stroke" ? geometry.path[0] : null;
  if (!at) return false;
  const column = Math.floor(at[0]) - area.left,
    row = Math.floor(at[1]) - area.top;
  const inside = column >= 0 && row >= 0 && column < area.width && row < area.height;
  return inside && Boolean(area.pixels[row * area.width + column]);
}

class Box extends Tool {
  hint = "Drag from corner to corner, or click its four outermost points";
  start = null;
  extremes = [];

  get open() {
    return this.start !== null || this.extremes.length > 0;
  }

  down(at) {
    this.start = this.corner = this.pad.clamped(at);
  }

  move(at) {
    if (this.start) this.corner = this.pad.clamped(at);
  }

  up(at) {
    if (!this.start) return;
    const start = this.start,
      end = this.pad.clamped(at);
    this.start = null;
    if (this.far(start, end) > STILL && !this.extremes.length)
      return this.give([start, end], "drag");
    this.extremes.push(end);
    if (this.extremes.length === 4) this.give(this.extremes.splice(0), "extreme");
  }

  give(places, how) {
    const x = places.map((one) => one.x),
      y = places.map((one) => one.y);
    const box = [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)].map(rounded);
    if (box[2] - box[0] < 1 || box[3] - box[1] < 1)
      return this.pad.say("That box is too small to be one.");
    this.pad.add({ ...this.pad.shape("box", box), how });
  }

  cancel() {
    this.start = null;
    this.extremes = [];
  }

  abort() {
    this.start = null;
  }

  back() {
    return this.extremes.pop() !== undefined;
  }

  paint(pen, colour) {
    pen.strokeStyle = colour;
    pen.fillStyle = colour;
    pen.lineWidth = 2 / this.pad.scale;
    for (const { x, y } of this.extremes) {
      const arm = 7 / this.pad.scale;
      pen.beginPath();
      pen.arc(x, y, arm / 2, 0, 7);
      pen.fill();
    }
    if (this.start && !this.extremes.length)
      pen.strokeRect(
        this.start.x,
        this.start.y,
        this.corner.x - this.start.x,
        this.corner.y - this.start.y,
      );
  }
}

/** A polygon by its corners; dragging draws along the edge. */
class Polygon extends Tool {
  corners = [];

  constructor(pad, kind, hint) {
    super(pad);
    Object.assign(this, { kind, hint });
  }

  get open() {
    return this.corners.length > 0;
  }

  down(at) {
    const first = this.corners[0];
    if (this.corners.length > 2 && this.far(at, first) <= NEAR) return this.end();
    this.drawing = true;
    this.corners.push(this.pad.clamped(at));
    this.dragged = this.corners.length;
  }

  move(at) {
    this.cursor = at;
    if (!this.drawing || this.far(at, this.corners.at(-1)) < APART) return;
    this.corners.push(this.pad.clamped(at));
  }

  up(at) {
    if (!this.drawing) return;
    this.drawing = false;
    const is_drawn = this.corners.length > this.dragged + 4;
    if (is_drawn && this.far(at, this.corners[0]) <= 3 * NEAR) this.end();
  }

  cancel() {
    this.corners = [];
    this.drawing = false;
  }

  abort() {
    if (this.drawing) this.corners.length = this.dragged - 1;
    this.drawing = false;
  }

  back() {
    return this.corners.pop() !== undefined;
  }

  end() {
    const ring = this.corners
      .map(place)
      .filter(([x, y], i, all) => !i || x !== all[i - 1][0] || y !== all[i - 1][1]);
    if (ring.length < 3) return this.open;
    this.cancel();
    this.pad.add(this.pad.shape(this.kind, this.kind === "polygon" ? [[ring]] : ring));
    return true;
  }

  paint(pen, colour) {
    if (!this.corners.length) return;
    const places = this.corners.map((one) => [one.x, one.y]);
    line(pen, this.cursor && !this.drawing ? [...places, [this.cursor.x, this.cursor.y]] : places);
    pen.strokeStyle = colour;
    pen.lineWidth = 2 / this.pad.scale;
    pen.stroke();
    pen.fillStyle = colour;
    places.forEach(([x, y], i) => {
      pen.beginPath();
      pen.arc(x, y, (i ? 3 : 6) / this.pad.scale, 0, 7);
      pen.fill();
    });
  }
}

/** The tools in their order: a letter, a name, whether the brush's size counts, and whether they
 * are for objects alone */
export const TOOLS = {
  click: { letter: "C", title: "Click", make: (pad) => new Click(pad) },
  stroke: { letter: "S", title: "Stroke", brush: true, make: (pad) => new Stroke(pad) },
  box: { letter: "B", title: "Box", objects: true, make: (pad) => new Box(pad) },
  outline: {
    letter: "O",
    title: "Outline",
    objects: true,
    make: (pad) =>
      new Polygon(
        pad,
        "outline",
        "Click a few corners around it, or drag along its edge; Enter closes",
      ),
  },
  polygon: {
    letter: "P",
    title: "Polygon",
    make: (pad) =>
      new Polygon(
        pad,
        "polygon",
        "Click its corners exactly, or drag along its edge; Enter closes",
      ),
  },
  brush: { letter: "M", title: "Brush", brush: true, make: (pad) => new Brush(pad) },
  eraser: { letter: "E", title: "Eraser", brush: true, make: (pad) => new Eraser(pad) },
  move: { letter: "D", title: "Drag", make: (pad) => new Move(pad) },
};
