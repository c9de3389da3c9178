// The tool that moves what is drawn: a corner by itself, or a shape as a whole.
import { corrected, rounded } from "./drawing.js";
import { place, Tool } from "./tool.js";

const NEAR = 10, // css pixels around a corner or a line that still mean it, of a mouse or a pen
  NEAR_FINGER = 22;
const STILL = 2; // css pixels that a hand may shake
const EDGE = 0.01; // original pixels that a click stays away from the photograph's end

/** The corners of each kind of shape that has any, [[x, y], ...]. */
const CORNERS = {
  click: (at) => [at],
  box: ([left, top, right, bottom]) => [
    [left, top],
    [right, top],
    [right, bottom],
    [left, bottom],
  ],
  outline: (ring) => ring,
  polygon: (parts) => parts.flat(2),
};
const AREAS = ["mask", "accepted"];

const cornersOf = ({ kind, geometry }) => CORNERS[kind]?.(geometry) ?? [];

/** Return the lines of a shape, each a list of places. */
function linesOf({ kind, geometry }) {
  if (kind === "stroke") return [geometry.path];
  const rings = kind === "polygon" ? geometry.flat(1) : [CORNERS[kind]?.(geometry) ?? []];
  return rings.filter((ring) => ring.length > 1).map((ring) => [...ring, ring[0]]);
}

/** Return the box [left, top, right, bottom] around a shape. */
function reach({ kind, geometry }) {
  if (AREAS.includes(kind)) {
    const { left, top, width, height } = geometry;
    return [left, top, left + width, top + height];
  }
  const places = kind === "stroke" ? geometry.path : CORNERS[kind](geometry);
  const x = places.map((one) => one[0]),
    y = places.map((one) => one[1]);
  return [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
}

/** Return how far a place is from a line between two others. */
function distance({ x, y }, [ax, ay], [bx, by]) {
  const length = (bx - ax) ** 2 + (by - ay) ** 2;
  const share = length ? ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length : 0;
  const along = Math.min(1, Math.max(0, share));
  return Math.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay));
}

/** Return whether a place lies in rings, by the parity of what it crosses. */
function inside({ x, y }, rings) {
  let odd = false;
  for (const ring of rings)
    ring.forEach(([ax, ay], i) => {
      const [bx, by] = ring[(i + 1) % ring.length];
      if (ay <= y !== by <= y && x < ax + ((y - ay) / (by - ay)) * (bx - ax)) odd = !odd;
    });
  return odd;
}

/** Return whether a mask has the pixel of a place. */
function holds({ left, top, width, height, counts }, { x, y }) {
  const column = Math.floor(x) - left,
    row = Math.floor(y) - top;
  if (column < 0 || row < 0 || column >= width || row >= height) return false;
  let end = 0;
  const run = counts.findIndex((count) => (end += count) > row * width + column);
  return run % 2 === 1;
}

/** Return whether a place lies on a shape: within a distance of its lines, or in it. */
function covers(shape, at, near) {
  if (AREAS.includes(shape.kind)) return holds(shape.geometry, at);
  const lines = linesOf(shape);
  const width = shape.kind === "stroke" ? Math.max(near, shape.geometry.width / 2) : near;
  const is_near = lines.some((line) =>
    line.some((end, i) => distance(at, line[Math.max(0, i - 1)], end) <= width),
  );
  return is_near || (shape.kind !== "stroke" && inside(at, lines));
}

/** Return a geometry with each place changed: by (place, number of the corner) -> place. */
function each({ kind, geometry }, change) {
  let number = 0;
  const next = (at) => change(at, number++).map(rounded);
  if (kind === "click") return next(geometry);
  if (kind === "stroke") return { ...geometry, path: geometry.path.map(next) };
  if (kind === "outline") return geometry.map(next);
  return geometry.map((part) => part.map((ring) => ring.map(next)));
}

/** Return a shape one of whose corners is elsewhere; the same shape where that makes none. */
function withCorner(shape, corner, [x, y]) {
  if (shape.kind !== "box")
    return { ...shape, geometry: each(shape, (at, i) => (i === corner ? [x, y] : at)) };
  const [ax, ay] = cornersOf(shape)[(corner + 2) % 4]; // the one across stays
  const box = [Math.min(ax, x), Math.min(ay, y), Math.max(ax, x), Math.max(ay, y)].map(rounded);
  return box[2] - box[0] < 1 || box[3] - box[1] < 1 ? shape : { ...shape, geometry: box };
}

/** Return a shape that is moved as a whole, as far as the photograph reaches. */
function shifted(shape, right, down, { width, height }) {
  const [x0, y0, x1, y1] = reach(shape),
    end = shape.kind === "click" ? EDGE : 0;
  const x = Math.max(-x0, Math.min(right, width - end - x1)),
    y = Math.max(-y0, Math.min(down, height - end - y1));
  const { geometry } = shape;
  if (AREAS.includes(shape.kind)) {
    const at = { left: geometry.left + Math.round(x), top: geometry.top + Math.round(y) };
    if (at.left === geometry.left && at.top === geometry.top) return shape;
    return { ...shape, kind: "mask", geometry: corrected({ ...geometry, ...at }, [shape]) };
  }
  if (shape.kind === "box")
    return { ...shape, geometry: [x0 + x, y0 + y, x1 + x, y1 + y].map(rounded) };
  return { ...shape, geometry: each(shape, ([a, b]) => [a + x, b + y]) };
}

export class Move extends Tool {
  hint = "Drag a corner, or a shape as a whole";
  held = null; // {shape, corner: its number or -1, start}
  moved = null; // the shape as it is meanwhile
  over = null; // the shape under the pointer, whose corners are seen

  get open() {
    return this.held !== null;
  }

  /** Return what lies at a place, {shape, corner}: a corner first, the smallest shape else. */
  find(at) {
    const near = (at.finger ? NEAR_FINGER : NEAR) / this.pad.scale;
    let best = null,
      least = near;
    for (const shape of [...this.pad.shapes].reverse())
      cornersOf(shape).forEach(([x, y], corner) => {
        const away = Math.hypot(x - at.x, y - at.y);
        if (away < least) [best, least] = [{ shape, corner }, away];
      });
    if (best) return best;
    const size = (shape) => {
      const [left, top, right, bottom] = reach(shape);
      return (right - left) * (bottom - top);
    };
    const there = this.pad.shapes
      .filter((shape) => shape.kind !== "tag" && covers(shape, at, near))
      .reverse();
    const smallest = there.sort((one, other) => size(one) - size(other))[0];
    return smallest ? { shape: smallest, corner: -1 } : null;
  }

  down(at) {
    const found = this.find(at);
    this.held = found && { ...found, start: at };
    this.over = found?.shape ?? null;
  }

  move(at) {
    if (!this.held) return (this.over = this.find(at)?.shape ?? null);
    const { shape, corner, start } = this.held;
    const right = at.x - start.x,
      down = at.y - start.y;
    if (corner < 0 || shape.kind === "click")
      return (this.moved = shifted(shape, right, down, this.pad.size));
    const [x, y] = cornersOf(shape)[corner];
    const next = this.pad.clamped({ x: x + right, y: y + down });
    this.moved = withCorner(shape, corner, place(next));
  }

  up(at) {
    if (!this.held) return;
    this.move(at);
    const { held, moved } = this;
    this.cancel();
    const is_same = JSON.stringify(moved.geometry) === JSON.stringify(held.shape.geometry);
    if (is_same || this.far(held.start, at) < STILL) return;
    const pixel = (one) => one.kind === "click" && one.geometry.map(Math.floor).join();
    // One pixel has one class: the click that was moved there holds.
    const shapes = this.pad.shapes.filter(
      (one) => one === held.shape || !pixel(moved) || pixel(one) !== pixel(moved),
    );
    this.pad.change(shapes.map((one) => (one === held.shape ? moved : one)));
  }

  cancel() {
    this.held = this.moved = this.over = null;
  }

  back() {
    const is_open = this.open;
    this.cancel();
    return is_open;
  }

  seen(shapes) {
    return this.moved ? shapes.map((one) => (one === this.held.shape ? this.moved : one)) : shapes;
  }

  paint(pen) {
    const shape = this.moved ?? this.over;
    if (!shape) return;
    for (const [radius, ink] of [
      [5.5, "#000"],
      [4, "#fff"],
    ])
      for (const [x, y] of shape.kind === "click" ? [] : cornersOf(shape)) {
        pen.beginPath();
        pen.arc(x, y, radius / this.pad.scale, 0, 7);
        pen.fillStyle = ink;
        pen.fill();
      }
  }
}
