// How a photograph lies on the screen: original pixels to css pixels of the canvas, and back.

const LEAST = 0.02,
  MOST = 64; // css pixels of an original one
const TURNS = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
]; // cosine and sine of quarter turns

/** A photograph that is zoomed, moved, and turned by quarters. */
export class View {
  /** width, height: of the upright photograph, original pixels */
  constructor(width, height) {
    Object.assign(this, { width, height, scale: 1, turn: 0, x: 0, y: 0, fitted: true });
  }

  /** Return where a place (x, y) of the photograph is on the canvas. */
  toScreen(x, y) {
    const [cos, sin] = TURNS[this.turn];
    return [this.x + this.scale * (cos * x - sin * y), this.y + this.scale * (sin * x + cos * y)];
  }

  /** Return which place of the photograph lies at a place of the canvas. */
  toPicture(left, top) {
    const [cos, sin] = TURNS[this.turn];
    const a = (left - this.x) / this.scale,
      b = (top - this.y) / this.scale;
    return [cos * a + sin * b, -sin * a + cos * b];
  }

  /** Show all of the photograph in a canvas of so many css pixels. */
  fit(wide, tall) {
    const turned = this.turn % 2 === 1;
    const width = turned ? this.height : this.width,
      height = turned ? this.width : this.height;
    this.scale = Math.min(wide / width, tall / height);
    this.centre(wide, tall, this.width / 2, this.height / 2);
    this.fitted = true;
  }

  /** Put a place of the photograph into the middle of the canvas. */
  centre(wide, tall, x, y) {
    const [left, top] = this.toScreen(x, y);
    this.x += wide / 2 - left;
    this.y += tall / 2 - top;
  }

  /** Zoom by a factor; what lies at a place of the canvas stays there. */
  zoom(left, top, factor) {
    const scale = Math.min(MOST, Math.max(LEAST, this.scale * factor)),
      grown = scale / this.scale;
    this.x = left + grown * (this.x - left);
    this.y = top + grown * (this.y - top);
    this.scale = scale;
    this.fitted = false;
  }

  move(right, down) {
    this.x += right;
    this.y += down;
    this.fitted = false;
  }

  /** Turn by a quarter, clockwise, around the middle of the canvas. */
  rotate(wide, tall) {
    const [x, y] = this.toPicture(wide / 2, tall / 2);
    this.turn = (this.turn + 1) % 4;
    if (this.fitted) this.fit(wide, tall);
    else this.centre(wide, tall, x, y);
  }

  /** Let a canvas draw in original pixels. ratio: device pixels of a css pixel */
  apply(pen, ratio) {
    const [cos, sin] = TURNS[this.turn],
      scale = ratio * this.scale;
    pen.setTransform(
      scale * cos,
      scale * sin,
      -scale * sin,
      scale * cos,
      ratio * this.x,
      ratio * this.y,
    );
  }
}
