// Draws shapes: each line in the colour of its class on a dark or light one, seen on anything.
import { ofRuns } from "./raster.js";

const LARGEST = 2048; // pixels of a mask's picture, at most
const pictures = new WeakMap(); // runs of a mask, wherever it lies -> {colour: canvas}

/** Draw a shape in original pixels. scale: css pixels of one; faint: not one's own; marked: it is
 * pointed at */
export function paintShape(shape, { pen, scale, colour = "#ffffff", opacity, faint, marked }) {
  const { kind, geometry } = shape;
  pen.globalAlpha = faint ? 0.5 : 1;
  if (kind === "click") click(pen, geometry, scale, colour, marked);
  else if (kind === "stroke") stroke(pen, geometry, scale, colour, opacity, marked);
  else if (kind === "box") {
    const [left, top, right, bottom] = geometry;
    const corners = [
      [left, top],
      [right, top],
      [right, bottom],
      [left, bottom],
    ];
    ring(pen, [corners], scale, colour, marked, []);
  } else if (kind === "outline") ring(pen, [geometry], scale, colour, marked, [7, 5]);
  else if (kind === "polygon") {
    for (const part of geometry) {
      ring(pen, part, scale, colour, marked, []);
      pen.globalAlpha = opacity * (faint ? 0.3 : 0.6);
      pen.fillStyle = colour;
      pen.fill("evenodd");
      pen.globalAlpha = faint ? 0.5 : 1;
    }
  } else if (kind === "mask" || kind === "brush" || kind === "accepted") {
    pen.globalAlpha = marked ? 1 : Math.min(1, 1.3 * opacity);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(
      picture(geometry, colour),
      geometry.left,
      geometry.top,
      geometry.width,
      geometry.height,
    );
  }
  pen.globalAlpha = 1;
}

/** Let a pen follow a path of places. */
export function line(pen, path) {
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...path[0]);
  if (path.length === 1) pen.lineTo(...path[0]);
  for (const at of path.slice(1)) pen.lineTo(...at);
}

/** Return what lies under a line of a colour so that it is seen on anything: black, or white. */
export function under(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return 0.3 * red + 0.6 * green + 0.1 * blue < 90 ? "#fff" : "#000";
}

function click(pen, [x, y], scale, colour, marked) {
  const radius = (marked ? 9 : 6) / scale;
  for (const [grown, fill] of [
    [2.5, "#000"],
    [1.2, "#fff"],
    [0, colour],
  ]) {
    pen.beginPath();
    pen.arc(x, y, radius + grown / scale, 0, 7);
    pen.fillStyle = fill;
    pen.fill();
  }
}

function stroke(pen, { width, path }, scale, colour, opacity, marked) {
  line(pen, path);
  pen.strokeStyle = colour;
  pen.lineWidth = Math.max(width, 2 / scale);
  pen.globalAlpha *= Math.min(1, opacity + (marked ? 0.4 : 0.1));
  pen.stroke();
  pen.globalAlpha = 1;
  for (const [wide, ink] of [
    [3.5, under(colour)],
    [1.7, colour],
  ]) {
    pen.lineWidth = wide / scale;
    pen.strokeStyle = ink;
    pen.stroke();
  }
}

function ring(pen, rings, scale, colour, marked, dash) {
  pen.lineJoin = "round";
  pen.beginPath();
  for (const one of rings) {
    one.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
  }
  for (const [wide, ink] of [
    [marked ? 7 : 4.5, under(colour)],
    [marked ? 4.5 : 2.5, colour],
  ]) {
    pen.setLineDash(ink !== colour ? [] : dash.map((length) => length / scale));
    pen.lineWidth = wide / scale;
    pen.strokeStyle = ink;
    pen.stroke();
  }
  pen.setLineDash([]);
}

/** Return a canvas of a mask: its edge full, its inside half. */
function picture(geometry, colour) {
  if (!pictures.has(geometry.counts)) pictures.set(geometry.counts, {});
  const known = pictures.get(geometry.counts);
  if (known[colour]) return known[colour];
  const { width, height, pixels } = ofRuns(geometry),
    step = Math.ceil(Math.max(width, height) / LARGEST);
  const wide = Math.ceil(width / step),
    tall = Math.ceil(height / step);
  const canvas = Object.assign(document.createElement("canvas"), { width: wide, height: tall });
  const pen = canvas.getContext("2d"),
    image = pen.createImageData(wide, tall);
  const rgb = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) || 0);
  const at = (row, column) =>
    row >= 0 && column >= 0 && row < height && column < width && pixels[row * width + column];
  for (let row = 0; row < tall; row += 1) {
    for (let column = 0; column < wide; column += 1) {
      const y = row * step,
        x = column * step;
      if (!at(y, x)) continue;
      const edge = !at(y - step, x) || !at(y + step, x) || !at(y, x - step) || !at(y, x + step);
      image.data.set([...rgb, edge ? 255 : 130], 4 * (row * wide + column));
    }
  }
  pen.putImageData(image, 0, 0);
  return (known[colour] = canvas);
}
