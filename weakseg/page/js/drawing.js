// What is drawn on one picture. Lists of shapes are never changed, only replaced, so that undo goes
// back to the list before.

/** What the store calls the label that a kind of shape is. */
export const SIGNAL = {
  click: "points",
  stroke: "scribbles",
  box: "boxes",
  outline: "outlines",
  polygon: "full",
  mask: "full",
  accepted: "full",
  tag: "tags",
};

/** What completeness means of each kind of label, in words. */
export const COMPLETE = {
  points: "every object has a click",
  scribbles: "every object has a stroke",
  boxes: "every object has a box",
  outlines: "every object has an outline",
  full: "every object has a mask",
};

/** Return coordinates as the store has them: hundredths of a pixel. */
export const rounded = (value) => Math.round(value * 100) / 100;

/** The shapes {kind, class, geometry, times, prediction, how} of a picture, and what is complete */
export class Drawing {
  /** picture: {index, name, width, height}; changed: called after each change */
  constructor(picture, shapes, complete, changed) {
    Object.assign(this, { picture, shapes, complete, changed });
    this.past = [];
    this.future = [];
  }

  get state() {
    return { shapes: this.shapes, complete: this.complete };
  }

  /** Take over a list of shapes, which undo takes back. */
  change(shapes, complete = this.complete) {
    const kinds = new Set(shapes.map((shape) => SIGNAL[shape.kind]));
    const said = complete.filter((kind) => kinds.has(kind) || !shapes.length);
    this.past.push(this.state);
    this.future = [];
    // What was said of an empty picture holds no longer when there is something in it.
    this.take({ shapes, complete: !this.shapes.length && shapes.length ? [] : said });
  }

  take({ shapes, complete }) {
    const before = this.shapes;
    Object.assign(this, { shapes, complete });
    this.changed(before);
  }

  add(...shapes) {
    this.change([...this.shapes, ...shapes]);
  }

  remove(shape) {
    this.change(this.shapes.filter((one) => one !== shape));
  }

  undo() {
    if (!this.past.length) return false;
    this.future.push(this.state);
    this.take(this.past.pop());
    return true;
  }

  redo() {
    if (!this.future.length) return false;
    this.past.push(this.state);
    this.take(this.future.pop());
    return true;
  }

  /** Give a class another name, in all that undo knows too. */
  rename(old, name) {
    const named = (shape) => (shape.class === old ? { ...shape, class: name } : shape);
    for (const state of [this, ...this.past, ...this.future])
      state.shapes = state.shapes.map(named);
    this.changed(this.shapes);
  }

  /** Kinds of label that may be said to be complete. */
  get kinds() {
    const drawn = new Set(this.shapes.map((shape) => SIGNAL[shape.kind]));
    return Object.keys(COMPLETE).filter((kind) => drawn.has(kind));
  }

  /** Say whether the list of a kind is complete; of an empty picture, whether nothing is there. */
  say(kinds, is_so) {
    const others = this.complete.filter((kind) => !kinds.includes(kind));
    this.change(this.shapes, is_so ? [...others, ...kinds] : others);
  }
}

/** Return an accepted mask as one of the person's own, which says still whose mask it was. */
export const mended = ({ geometry, ...rest }) => ({
  ...rest,
  kind: "mask",
  geometry: { ...geometry, corrections: 0 },
});

/** Return the runs that shapes became by an act: where one of them was a model's mask, with its
 * mark and the number of acts that corrected it. */
export function corrected(runs, shapes, acts = 1) {
  const model = shapes.find(({ geometry }) => geometry.model)?.geometry.model;
  if (!model) return runs;
  const before = ({ geometry }) => geometry.corrections ?? (geometry.model ? 0 : 1);
  const corrections = shapes.reduce((sum, one) => sum + before(one), acts);
  return { ...runs, model, corrections };
}
