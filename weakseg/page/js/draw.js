// The second view: labels that people draw. A picture at a time; Enter saves it and shows the next.
import { Failure, get, post } from "./api.js";
import { Drafts, newName } from "./drafts.js";
import { DrawPanel } from "./draw_panel.js";
import { Drawing, mended, SIGNAL } from "./drawing.js";
import { byId, sayFault } from "./elements.js";
import { actionOf } from "./draw_keys.js";
import { addressOf, decoded, Pad } from "./pad.js";
import { load } from "./stage.js";
import { minus, plus } from "./times.js";
import { TOOLS } from "./tools.js";

const AREAS = ["mask", "polygon", "accepted"];
const WHERE = "weakseg-drawing-at"; // the picture that was on show last

export class Draw {
  /** clock: of the page */
  constructor(clock) {
    Object.assign(this, {
      clock,
      id: "draw",
      title: "Draw",
      classes: [],
      drawing: null,
      hidden: false,
    });
    this.only = null; // the block of a pilot, which shows one thing at a time
    this.tool = "click";
    this.label = null;
    this.opacity = Number(localStorage.getItem("weakseg-opacity") ?? 0.55);
    this.waits = []; // ms from a change to the new mask, which tests read
    this.panel = new DrawPanel(this);
    this.pad = new Pad(
      byId("pad"),
      (shapes) => this.take(shapes),
      (line) => this.panel.say(line),
      () => this.look(),
    );
    this.choose("click");
    addEventListener("classes", ({ detail }) => this.renamed(detail));
    addEventListener("keyup", (event) => event.code === "Space" && (this.pad.held = false));
    addEventListener("blur", () => (this.pad.held = false));
  }

  look() {
    const colours = new Map(this.classes.map((one) => [one.name, one.colour]));
    return {
      colours,
      label: this.label,
      opacity: this.opacity,
      hidden: this.hidden,
      reveal: () => this.hide(false),
    };
  }

  // ---- the view

  async enter() {
    this.active = true;
    if (!this.state || this.entering) return; // the first state enters again
    this.entering = true;
    try {
      if (!this.drafts) await this.begin();
      if (this.only) await this.measure();
      else if (this.drawing) this.shown();
      else await this.first();
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      sayFault(failure.message);
    } finally {
      this.entering = false;
    }
  }

  leave() {
    this.active = false;
    this.keep();
  }

  async begin() {
    this.progress = await get("/draw/state");
    this.drafts = new Drafts(
      this.state.session,
      (reply) => this.stored(reply),
      (picture, line) => this.refused(picture, line),
    );
  }

  /** Show the picture that was on show last, or the first that nobody has drawn on. */
  first() {
    const last = Number(localStorage.getItem(`${WHERE} ${this.state.session}`) ?? -1);
    const there = last >= 0 && last < this.progress.pictures;
    return this.open(there ? last : this.progress.first);
  }

  /** Show the first picture of a pilot's block. */
  async measure() {
    const { tool, left } = this.only;
    if (tool in TOOLS) this.choose(tool);
    await this.open(left[0]);
  }

  /** Take what the server says of classes. */
  update(state) {
    this.state = state;
    const drawn = JSON.stringify(state.classes);
    if (drawn !== this.drawn) {
      this.drawn = drawn;
      this.classes = state.classes;
      const objects = this.classes.filter((one) => !one.is_background);
      if (!this.classes.some((one) => one.name === this.label))
        this.label = (objects[0] ?? this.classes[0]).name;
      this.panel.showClasses();
      this.pad.draw();
      if (this.drafts)
        get("/draw/state").then(
          (reply) => this.stored(reply),
          () => {},
        );
    }
    const fit = JSON.stringify([state.drawing_fit, state.classes]);
    const is_new = this.fit && fit !== this.fit; // a full fit came to its end
    if (is_new && this.asked && !this.settled) this.predict();
    this.fit = fit;
    if (this.active && !this.drawing) this.enter();
    if (this.active) this.panel.showProgress();
  }

  /** Classes were renamed or merged on the page: drawings follow. */
  renamed({ rename, merge, to }) {
    const old = rename ?? merge;
    if (old === undefined || !this.drafts) return;
    this.drafts.rename(old, to);
    this.drawing?.rename(old, to);
    if (this.label === old) this.label = to;
  }

  // ---- pictures

  /** Show a picture, with what was drawn on it. on: whether those that are done are passed over */
  async open(index, on = false) {
    this.keep();
    const opening = (this.opening = Symbol("opening"));
    const found = await this.find(index, on);
    if (!found || opening !== this.opening) return;
    const draft = this.drafts.read(found.name);
    const { shapes, complete } = draft ?? found;
    this.panel.say(draft && !draft.post ? "Here is what was not saved yet." : "");
    this.drawing = new Drawing(found, shapes, complete, (before) => this.changed(before));
    Object.assign(this, {
      found,
      visit: newName(),
      after: draft?.after ?? found.last,
      earlier: draft?.times ?? null,
      dirty: Boolean(draft),
    });
    Object.assign(this, {
      asked: found.done === "drawn" && this.wants,
      prediction: null,
      seen: found.seen,
    });
    localStorage.setItem(`${WHERE} ${this.state.session}`, String(found.index));
    this.pad.shapes = this.drawing.shapes;
    this.pad.others = found.others;
    this.panel.show();
    try {
      await this.pad.show(found);
    } catch {
      return this.panel.say("This photograph could not be loaded.");
    }
    if (opening !== this.opening) return;
    this.shown();
    if (found.next !== null) load(addressOf(found.next)).catch(() => {});
    if (this.asked) this.predict();
  }

  async find(index, on) {
    try {
      let found = await get(`/draw/picture/${index}`);
      for (
        let hops = 0;
        on && found.done && found.next !== null && hops < this.progress.pictures;
        hops += 1
      )
        found = await get(`/draw/picture/${found.next}`);
      return found;
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      sayFault(failure.message);
      return null;
    }
  }

  /** The photograph is on show: the clock starts. */
  shown() {
    requestAnimationFrame(() => {
      if (!this.active) return;
      this.clock.shown({ view: "draw", picture: this.found.index, prediction: this.seen });
      this.mark = null;
      this.ready = this.found.index;
    });
  }

  leaf(by) {
    if (!this.drawing || this.only) return;
    const count = this.progress.pictures;
    this.open((this.found.index + by + count) % count);
  }

  // ---- what is drawn

  /** Take a list of shapes from a tool; new ones get their times. */
  take(shapes) {
    this.panel.say("");
    for (const one of this.drawing.shapes.filter((shape) => !shapes.includes(shape)))
      this.takeBack(one);
    const now = this.clock.times(),
      times = minus(now, this.mark);
    this.mark = now;
    const known = new Set(this.drawing.shapes);
    const fresh = shapes.filter((one) => !known.has(one));
    // A correction says that an accepted mask is not right as it is: what mends it makes it a mask
    // of the person's own, anything else takes it back.
    const mends = !fresh.length || fresh.some((one) => AREAS.includes(one.kind));
    const kept = (one) =>
      one.kind !== "accepted" ||
      !known.has(one) ||
      mends ||
      fresh.every(({ kind }) => kind === "tag");
    const own = (one) => (one.kind === "accepted" && known.has(one) && mends ? mended(one) : one);
    // No second counts twice.
    const spent = (one) => (one === fresh[0] ? times : minus(times, times));
    const timed = (one) =>
      known.has(one) ? one : { ...one, times: spent(one), prediction: this.seen };
    this.drawing.change(shapes.filter(kept).map(own).map(timed));
    for (const one of fresh) this.clock.drew(SIGNAL[one.kind], one.class);
  }

  changed(before) {
    const { shapes } = this.drawing;
    this.dirty = true;
    this.pad.shapes = shapes;
    this.pad.marked = null;
    this.pad.draw();
    this.keep();
    this.panel.showDrawing();
    if (before !== shapes && this.asked && !this.settled) this.predict();
  }

  /** Whether the mask of this picture was accepted. */
  get settled() {
    return this.drawing.shapes.some((one) => one.kind === "accepted");
  }

  undo() {
    if (this.pad.tool.back()) return this.pad.draw();
    const before = this.drawing?.shapes;
    if (this.drawing?.undo()) this.goBack(before);
  }

  redo() {
    const before = this.drawing?.shapes;
    if (this.drawing?.redo()) this.goBack(before);
  }

  /** The list of shapes is another one, as it was once: seconds go and come with shapes. */
  goBack(before) {
    const { shapes } = this.drawing;
    for (const one of before.filter((shape) => !shapes.includes(shape))) this.takeBack(one);
    for (const one of shapes.filter((shape) => !before.includes(shape))) {
      this.clock.drew(SIGNAL[one.kind], one.class);
      if (this.mark && one.times) this.mark = plus(this.mark, one.times);
    }
  }

  remove(shape) {
    this.takeBack(shape);
    this.drawing.remove(shape);
  }

  /** A shape is gone: its seconds belong to what comes next. */
  takeBack(shape) {
    this.clock.undone(SIGNAL[shape.kind], shape.class);
    if (this.mark && shape.times) this.mark = minus(this.mark, shape.times);
  }

  /** Say that a class is in the picture, that it is not, or (null) nothing. */
  tag(name, is_there) {
    const others = this.drawing.shapes.filter((one) => one.kind !== "tag" || one.class !== name);
    this.take(
      is_there === null ? others : [...others, { kind: "tag", class: name, geometry: is_there }],
    );
  }

  say(kinds, is_so) {
    this.drawing.say(kinds, is_so);
  }

  /** Keep what is not saved in the browser. */
  keep() {
    if (!this.drawing || !this.dirty) return;
    const { shapes, complete } = this.drawing;
    const { visit, after } = this;
    this.drafts.keep(this.found.name, { shapes, complete, visit, after, times: this.times() });
  }

  /** Return {wall, active} of this picture so far, that of a restored drawing included. */
  times() {
    return plus(this.clock.times(), this.earlier);
  }

  // ---- saving

  save() {
    if (!this.drawing || this.pad.tool.end()) return;
    // The pilot asks for all objects.
    if (this.only && this.only.tool in TOOLS) this.say([this.only.signal], true);
    this.clock.save({ complete: this.drawing.complete });
    this.send("/draw/save", {});
  }

  skip(reason) {
    this.send("/draw/skip", { reason });
  }

  send(path, more) {
    const { index, name, next } = this.found,
      { shapes, complete } = this.drawing;
    const timed = shapes.map((one) => ({
      ...one,
      times: one.times ?? { wall: 0, active: {} },
      prediction: one.prediction ?? false,
    }));
    const { after } = this;
    const body = { picture: index, prediction: this.seen, times: this.times(), after, ...more };
    this.drafts.send(name, { shapes: timed, complete, visit: this.visit }, { path, body });
    this.dirty = false;
    this.found.done = path === "/draw/save" ? "drawn" : "skipped";
    if (next === null) {
      this.after = this.visit;
      this.visit = newName();
      this.panel.say("Saved. Every picture is drawn on or skipped.");
      this.panel.show();
    } else this.open(next, true);
  }

  stored(reply) {
    this.progress = reply;
    this.panel.showProgress();
    this.panel.showTags();
  }

  /** The server never takes a drawing as it is: back to it, with the reason. */
  async refused(name, line) {
    const draft = this.drafts.read(name);
    if (draft) this.dirty = this.found.name === name;
    this.stored(await get("/draw/state")); // another browser may have saved some
    const { pictures } = await get(`/list?first=0&count=${this.progress.pictures}`);
    const index = pictures.find((one) => one.name === name)?.index;
    if (index !== undefined) await this.open(index);
    this.panel.say(`Not saved: ${line}`);
  }

  // ---- predictions

  /** Show or hide what the model thinks of this picture. */
  togglePrediction() {
    if (this.only) return;
    this.asked = this.wants = !this.asked;
    if (this.asked) this.predict();
    else this.pad.predict(null);
    this.panel.showPrediction();
  }

  /** Ask for a mask of what is drawn by now; one request at a time. */
  async predict() {
    if (this.predicting) return (this.again = true);
    this.predicting = true;
    do {
      this.again = false;
      const { found } = this,
        began = performance.now();
      try {
        const shapes = this.drawing.shapes.map(({ kind, class: label, geometry }) => ({
          kind,
          class: label,
          geometry,
        }));
        const reply = await post("/draw/predict", {
          picture: found.index,
          shapes,
          complete: this.drawing.complete,
        });
        const image = reply.mask && (await decoded(reply.mask));
        if (found === this.found && this.asked) {
          this.prediction = reply;
          this.pad.predict(image);
          if (image && !this.seen) {
            this.seen = true;
            this.clock.predicted();
          }
          if (image) this.waits.push(performance.now() - began);
        }
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
        this.prediction = { line: failure.message };
      }
      this.panel.showPrediction();
    } while (this.again && this.asked);
    this.predicting = false;
  }

  /** Take the mask on show as the label of the whole picture. */
  async accept() {
    if (!this.prediction?.mark) return;
    const { found } = this;
    try {
      const { shapes } = await post("/draw/accept", {
        picture: found.index,
        mark: this.prediction.mark,
      });
      if (found !== this.found) return;
      const others = this.drawing.shapes.filter((one) => !AREAS.includes(one.kind));
      const complete = this.state.has_background
        ? [...new Set([...this.drawing.complete, "full"])]
        : this.drawing.complete;
      const now = this.clock.times(),
        times = minus(now, this.mark);
      this.mark = now;
      const accepted = shapes.map((one, row) => ({
        ...one,
        times: row ? minus(times, times) : times,
        prediction: true,
      }));
      this.drawing.change([...others, ...accepted], complete);
      for (const one of accepted) this.clock.drew("full", one.class);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      this.panel.say(failure.message);
    }
  }

  // ---- keys

  choose(name) {
    this.tool = name;
    this.pad.take(name);
    this.panel.showTools();
  }

  pick(label) {
    const is_background = this.classes.find((one) => one.name === label)?.is_background;
    if (is_background && TOOLS[this.tool].objects)
      return this.panel.say("This tool draws around an object; click or stroke what is none.");
    this.label = label;
    this.panel.showClasses();
    this.pad.draw();
  }

  fade(opacity) {
    this.opacity = Math.min(1, Math.max(0, opacity));
    localStorage.setItem("weakseg-opacity", String(this.opacity));
    this.pad.draw();
  }

  hide(hidden) {
    this.hidden = hidden;
    this.pad.draw();
    this.panel.showTools();
  }

  /** Whether letters mean tools: where they mean classes, tools take Shift. */
  get plain() {
    return !this.classes.some((one) => /[a-z]/.test(one.key));
  }

  /** A key was pressed -> whether it meant something. */
  key(event) {
    if (!this.drawing) return false;
    const act = actionOf(event, this);
    if (!act) return false;
    this.clock.input("key", { code: event.code, repeat: event.repeat });
    if (!event.repeat || act.repeats) act.go();
    return true;
  }
}
