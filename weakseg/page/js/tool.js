// The pointer's way to draw: a tool takes places in original pixels by `down`, `move` and `up`, and
// gives shapes to the pad. `paint` draws what is not a shape yet.
import { rounded } from "./drawing.js";

/** Return a place as the store has it. */
export const place = ({ x, y }) => [rounded(x), rounded(y)];

export class Tool {
  /** pad: gives `scale`, `size`, `brush`, `label`, and takes shapes by `add` and `change` */
  constructor(pad) {
    this.pad = pad;
  }

  /** Whether something is begun that is no shape yet. */
  get open() {
    return false;
  }

  down() {}
  move() {}
  up() {}
  /** Forget all that is begun. */
  cancel() {}
  /** Forget what the pointer did since it went down: it was no drawing. */
  abort() {
    this.cancel();
  }

  paint() {}

  /** Return the shapes as they are seen meanwhile. */
  seen(shapes) {
    return shapes;
  }

  /** Take back the last step of what is begun -> whether there was one. */
  back() {
    return false;
  }

  /** End what is begun -> whether there was something. */
  end() {
    return false;
  }

  far(one, other) {
    return Math.hypot(one.x - other.x, one.y - other.y) * this.pad.scale;
  }
}
