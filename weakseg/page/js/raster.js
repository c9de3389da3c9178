// Areas of whole pixels: {left, top, width, height, pixels}. A pixel belongs to an area when its
// centre does. As the store has them: {left, top, width, height, counts}, runs row by row.

/** Return an area without a pixel, in a window. */
function empty(left, top, right, bottom) {
  const width = Math.max(0, right - left),
    height = Math.max(0, bottom - top);
  return { left, top, width, height, pixels: new Uint8Array(width * height) };
}

/** Set the pixels of a row whose centres lie between two places. */
function fill(area, row, from, to) {
  const first = Math.max(0, Math.ceil(from - 0.5) - area.left);
  const last = Math.min(area.width - 1, Math.floor(to - 0.5) - area.left);
  if (last >= first) area.pixels.fill(1, row * area.width + first, row * area.width + last + 1);
}

/** Return the window [left, top, right, bottom] of whole pixels around places, within a size. */
function around(places, margin, { width, height }) {
  const x = places.map((place) => place[0]),
    y = places.map((place) => place[1]);
  const low = (values) => Math.max(0, Math.floor(values.reduce((a, b) => Math.min(a, b)) - margin));
  const high = (values, most) =>
    Math.min(most, Math.ceil(values.reduce((a, b) => Math.max(a, b)) + margin));
  return [low(x), low(y), high(x, width), high(y, height)];
}

/** Return what a round brush of a radius covers along a path, in a picture of a size. */
export function ofStroke(path, radius, size) {
  const area = empty(...around(path, radius, size));
  const ends =
    path.length > 1 ? path.slice(1).map((end, i) => [path[i], end]) : [[path[0], path[0]]];
  for (const [[ax, ay], [bx, by]] of ends) {
    const length = Math.hypot(bx - ax, by - ay) || 1;
    const nx = (-(by - ay) / length) * radius,
      ny = ((bx - ax) / length) * radius;
    const corners = [
      [ax + nx, ay + ny],
      [bx + nx, by + ny],
      [bx - nx, by - ny],
      [ax - nx, ay - ny],
    ];
    const top = Math.max(0, Math.floor(Math.min(ay, by) - radius) - area.top);
    const bottom = Math.min(area.height, Math.ceil(Math.max(ay, by) + radius) - area.top);
    for (let row = top; row < bottom; row += 1) {
      const y = area.top + row + 0.5;
      let from = Infinity,
        to = -Infinity; // a brush's way is convex: one run a row
      for (const [x, cy] of [
        [ax, ay],
        [bx, by],
      ]) {
        const half = Math.sqrt(radius * radius - (y - cy) * (y - cy));
        if (half >= 0) [from, to] = [Math.min(from, x - half), Math.max(to, x + half)];
      }
      for (const x of crossings([corners], y)) [from, to] = [Math.min(from, x), Math.max(to, x)];
      if (to >= from) fill(area, row, from, to);
    }
  }
  return area;
}

/** Return where rings cross a line of constant y, from left to right. */
function crossings(rings, y) {
  const found = [];
  for (const ring of rings) {
    ring.forEach(([ax, ay], i) => {
      const [bx, by] = ring[(i + 1) % ring.length];
      if (ay <= y !== by <= y) found.push(ax + ((y - ay) / (by - ay)) * (bx - ax));
    });
  }
  return found.sort((a, b) => a - b);
}

/** Return what a polygon [[outline, hole, ...], ...] covers. */
export function ofPolygon(parts, size) {
  let area = null;
  for (const rings of parts) {
    const one = empty(...around(rings[0], 0, size));
    for (let row = 0; row < one.height; row += 1) {
      const found = crossings(rings, one.top + row + 0.5);
      for (let i = 0; i + 1 < found.length; i += 2) fill(one, row, found[i], found[i + 1]);
    }
    area = area ? union(area, one) : one;
  }
  return area;
}

/** Return the area of runs. */
export function ofRuns({ left, top, width, height, counts }) {
  const area = empty(left, top, left + width, top + height);
  let at = 0;
  counts.forEach((count, i) => {
    if (i % 2) area.pixels.fill(1, at, at + count);
    at += count;
  });
  return area;
}

/** Return the runs of an area, trimmed; null where it has no pixel. */
export function toRuns(area) {
  let left = area.width,
    right = -1,
    top = -1,
    bottom = -1;
  for (let row = 0; row < area.height; row += 1) {
    const line = area.pixels.subarray(row * area.width, (row + 1) * area.width);
    const first = line.indexOf(1);
    if (first < 0) continue;
    if (top < 0) top = row;
    bottom = row;
    left = Math.min(left, first);
    right = Math.max(right, line.lastIndexOf(1));
  }
  if (bottom < 0) return null;
  const counts = [];
  let value = 0,
    length = 0;
  for (let row = top; row <= bottom; row += 1) {
    for (let column = left; column <= right; column += 1) {
      const pixel = area.pixels[row * area.width + column];
      if (pixel === value) length += 1;
      else {
        counts.push(length);
        value = pixel;
        length = 1;
      }
    }
  }
  counts.push(length);
  return {
    left: area.left + left,
    top: area.top + top,
    width: right - left + 1,
    height: bottom - top + 1,
    counts,
  };
}

/** Call with (place in one, place in other) of each pixel that both windows have. */
function together(one, other, visit) {
  const left = Math.max(one.left, other.left),
    top = Math.max(one.top, other.top);
  const right = Math.min(one.left + one.width, other.left + other.width);
  const bottom = Math.min(one.top + one.height, other.top + other.height);
  for (let y = top; y < bottom; y += 1) {
    const mine = (y - one.top) * one.width - one.left,
      theirs = (y - other.top) * other.width - other.left;
    for (let x = left; x < right; x += 1) visit(mine + x, theirs + x);
  }
}

/** Return what is in either area. */
export function union(one, other) {
  const right = Math.max(one.left + one.width, other.left + other.width);
  const bottom = Math.max(one.top + one.height, other.top + other.height);
  const both = empty(Math.min(one.left, other.left), Math.min(one.top, other.top), right, bottom);
  for (const part of [one, other])
    together(both, part, (at, from) => (both.pixels[at] |= part.pixels[from]));
  return both;
}

/** Return what is in one area and not in another. */
export function minus(one, other) {
  const left = { ...one, pixels: one.pixels.slice() };
  together(left, other, (at, from) => {
    if (other.pixels[from]) left.pixels[at] = 0;
  });
  return left;
}

/** Return whether two areas share a pixel. */
export function meet(one, other) {
  let found = false;
  together(
    one,
    other,
    (at, from) => (found = found || Boolean(one.pixels[at] && other.pixels[from])),
  );
  return found;
}

/** Return the area of a shape that has one, in a picture of a size; null of others. */
export function areaOf(shape, size) {
  if (shape.kind === "polygon") return ofPolygon(shape.geometry, size);
  return shape.kind === "mask" || shape.kind === "brush" || shape.kind === "accepted"
    ? ofRuns(shape.geometry)
    : null;
}
