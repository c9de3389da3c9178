// What stands beside the photograph in the drawing view: tools, classes, what is drawn, how far.
import { COMPLETE } from "./drawing.js";
import { byId, make } from "./elements.js";
import { skipDialog } from "./skip_dialog.js";
import { TOOLS } from "./tools.js";

const KINDS = {
  click: "click",
  stroke: "stroke",
  box: "box",
  outline: "outline",
  polygon: "polygon",
  mask: "mask",
  accepted: "accepted mask",
  tag: "tag",
};
const WHOLE = Object.keys(COMPLETE);

const button = (properties, ...children) =>
  make("button", { type: "button", ...properties }, ...children);
const key = (words) => make("kbd", { textContent: words });
const text = (words) => make("span", { textContent: words });

export class DrawPanel {
  /** draw: the view */
  constructor(draw) {
    this.draw = draw;
    this.line = "";
    byId("draw").replaceChildren(
      this.stage(),
      this.side(),
      skipDialog((reason) => draw.skip(reason)),
    );
    byId("draw-brush").oninput = (event) => this.sizeBrush(Number(event.target.value));
    byId("draw-opacity").oninput = (event) => draw.fade(Number(event.target.value) / 100);
    byId("draw-opacity").value = String(100 * draw.opacity);
    for (const id of ["draw-brush", "draw-opacity"])
      byId(id).onpointerup = (event) => event.target.blur(); // keys mean tools
  }

  // ---- what there is

  stage() {
    const { draw } = this;
    const small = (words, title, go, more = {}) =>
      button({ title, ariaLabel: title, onclick: go, textContent: words, ...more });
    return make(
      "section",
      { class: "draw-stage", ariaLabel: "photograph" },
      make(
        "div",
        { id: "pad-frame" },
        make("canvas", { id: "pad", tabIndex: -1 }),
        make("p", { id: "draw-line", role: "status" }),
      ),
      make(
        "div",
        { class: "draw-bar" },
        small("←", "photograph before", () => draw.leaf(-1)),
        small("→", "next photograph, without saving", () => draw.leaf(1)),
        make("p", { id: "draw-where" }),
        make("span", { class: "space" }),
        small("↶", "undo (Backspace)", () => draw.undo(), { id: "draw-undo" }),
        small("↷", "redo (Ctrl+Y)", () => draw.redo(), { id: "draw-redo" }),
        small("−", "zoom out", () => draw.pad.zoom(0.8), { class: "zooms" }),
        small("+", "zoom in", () => draw.pad.zoom(1.25), { class: "zooms" }),
        small("fit", "show all of it (Home)", () => draw.pad.fit()),
        small("⟳", "turn by a quarter (T)", () => draw.pad.turn()),
        small("hide", "hide all labels (H)", () => draw.hide(!draw.hidden), { id: "draw-hide" }),
      ),
      make(
        "div",
        { class: "draw-go" },
        button({ id: "draw-skip", onclick: () => this.askToSkip() }, text("Skip …")),
        button(
          { id: "draw-save", class: "main", onclick: () => draw.save() },
          text("Save, next"),
          key("Enter"),
        ),
      ),
    );
  }

  side() {
    const { draw } = this;
    const heading = (words) => make("h2", { textContent: words });
    const slider = (id, words, low, high) =>
      make(
        "label",
        { class: "slider", id: `${id}-part` },
        text(words),
        make("input", { id, type: "range", min: low, max: high }),
        make("output", { id: `${id}-value` }),
      );
    return make(
      "aside",
      { class: "draw-side" },
      make("div", { id: "draw-tools", role: "toolbar", ariaLabel: "tools" }),
      make("p", { id: "draw-hint" }),
      slider("draw-brush", "brush", 1, 400),
      make("div", { id: "draw-classes" }),
      make(
        "section",
        {},
        heading("What the model thinks"),
        make(
          "div",
          { class: "draw-model" },
          button({ id: "draw-predict", onclick: () => draw.togglePrediction() }),
          button({ id: "draw-accept", onclick: () => draw.accept() }),
        ),
        make("p", { id: "draw-model-line" }),
        slider("draw-opacity", "opacity", 5, 100),
      ),
      make(
        "section",
        { id: "draw-tags-part" },
        heading("In this picture"),
        make("div", { id: "draw-tags" }),
      ),
      make("section", {}, heading("Is that all?"), make("div", { id: "draw-complete" })),
      make("section", {}, heading("Drawn"), make("ul", { id: "draw-list" })),
    );
  }

  askToSkip() {
    byId("skip-dialog").showModal();
  }

  say(line) {
    byId("draw-line").textContent = line;
  }

  // ---- what changes

  show() {
    this.showTools();
    this.showClasses();
    this.showTags();
    this.showDrawing();
    this.showPrediction();
    this.showProgress();
  }

  shortcut(letter) {
    return this.draw.plain ? letter : `⇧${letter}`;
  }

  showTools() {
    const { draw } = this;
    const row = ([name, { letter, title }]) =>
      button(
        {
          "data-tool": name,
          ariaPressed: String(name === draw.tool),
          onclick: () => draw.choose(name),
        },
        text(title),
        key(this.shortcut(letter)),
      );
    byId("draw-tools").replaceChildren(...Object.entries(TOOLS).map(row));
    byId("draw-hint").textContent = `${draw.pad?.tool.hint ?? ""}.`;
    byId("draw-brush-part").hidden = !TOOLS[draw.tool].brush;
    byId("draw-hide").setAttribute("aria-pressed", String(draw.hidden));
    byId("draw-hide").textContent = draw.hidden ? "show" : "hide";
    if (draw.pad) this.showBrush();
    if (draw.label !== null) this.showClasses();
  }

  sizeBrush(pixels) {
    this.draw.pad.sizeBrush(pixels);
    this.showBrush();
  }

  showBrush() {
    const { brush } = this.draw.pad;
    byId("draw-brush").value = String(brush);
    byId("draw-brush-value").textContent = `${Math.round(brush)} px`;
  }

  showClasses() {
    const { draw } = this,
      objects = TOOLS[draw.tool].objects ?? false;
    const ordered = [
      ...draw.classes.filter((one) => !one.is_background),
      ...draw.classes.filter((one) => one.is_background),
    ];
    const row = (one) =>
      button(
        {
          "--class": one.colour,
          ariaPressed: String(one.name === draw.label),
          disabled: objects && one.is_background,
          title: one.shown,
          onclick: () => draw.pick(one.name),
        },
        key(one.key || "·"),
        make("i"),
        text(one.shown),
      );
    byId("draw-classes").classList.toggle("many", ordered.length > 8);
    byId("draw-classes").replaceChildren(...ordered.map(row));
    if (objects && ordered.find((one) => one.name === draw.label)?.is_background)
      draw.pick(ordered[0].name);
  }

  showTags() {
    const { draw } = this;
    if (!draw.drawing) return;
    const said = new Map(
      draw.drawing.shapes
        .filter((one) => one.kind === "tag")
        .map((one) => [one.class, one.geometry]),
    );
    const words = { true: "✓", false: "✗", undefined: "·" },
      next = new Map([
        [undefined, true],
        [true, false],
        [false, null],
      ]);
    const spoken = { true: "is there", false: "is not there", undefined: "not said" };
    const row = (name) => {
      const value = said.get(name);
      return button(
        {
          "data-said": String(value),
          title: `${name}: ${spoken[value]}`,
          ariaLabel: `${name}: ${spoken[value]}`,
          onclick: () => draw.tag(name, next.get(value)),
        },
        text(words[value]),
        text(name),
      );
    };
    byId("draw-tags").replaceChildren(...draw.progress.tags.map(row));
  }

  showDrawing() {
    const { draw } = this,
      { drawing } = draw;
    this.showTags();
    const shown = (name) =>
      draw.classes.find((one) => one.name === name)?.shown ?? name ?? "of no class";
    const colour = (name) => draw.classes.find((one) => one.name === name)?.colour ?? "transparent";
    const mark = (shape) => () => {
      draw.pad.marked = shape;
      draw.pad.draw();
    };
    const row = (shape) =>
      make(
        "li",
        { onpointerenter: mark(shape), onpointerleave: mark(null) },
        make("i", { "--class": colour(shape.class) }),
        text(
          [KINDS[shape.kind], shape.geometry === false ? "not" : "", shown(shape.class)].join(" "),
        ),
        button({
          textContent: "×",
          title: "remove",
          ariaLabel: `remove this ${KINDS[shape.kind]}`,
          onclick: () => draw.remove(shape),
        }),
      );
    byId("draw-list").replaceChildren(...drawing.shapes.map(row).reverse());
    if (!drawing.shapes.length)
      byId("draw-list").append(make("li", { textContent: "nothing yet" }));
    const check = (words, kinds) =>
      make(
        "label",
        {},
        make("input", {
          type: "checkbox",
          checked: kinds.every((kind) => drawing.complete.includes(kind)),
          onchange: (event) => draw.say(kinds, event.target.checked),
        }),
        text(words),
      );
    const empty = draw.state.has_background ? [check("None of these classes is here", WHOLE)] : [];
    byId("draw-complete").replaceChildren(
      ...(drawing.shapes.length
        ? drawing.kinds.map((kind) => check(`Yes: ${COMPLETE[kind]}`, [kind]))
        : empty),
    );
    byId("draw-undo").disabled = !drawing.past.length;
    byId("draw-redo").disabled = !drawing.future.length;
  }

  showPrediction() {
    const { draw } = this,
      { prediction } = draw;
    byId("draw-predict").replaceChildren(
      text(draw.asked ? "Hide its mask" : "Show its mask"),
      key(this.shortcut("V")),
    );
    byId("draw-accept").replaceChildren(text("All of it is right"), key(this.shortcut("A")));
    byId("draw-accept").hidden = !(draw.asked && prediction?.mark);
    byId("draw-model-line").textContent = draw.asked ? (prediction?.line ?? "") : "";
  }

  showProgress() {
    const { draw } = this,
      { progress, found } = draw;
    if (!progress || !found || !draw.clock) return;
    const minutes = (progress.seconds + draw.clock.times().active["60"]) / 60;
    const skipped = progress.skipped ? `, ${progress.skipped} skipped` : "";
    const spent = minutes < 10 ? minutes.toFixed(1) : Math.round(minutes);
    const saved = `${progress.saved} of ${progress.pictures} saved`;
    byId("draw-where").textContent = `${saved}${skipped} · ${spent} min`;
    const said = { drawn: "saved before", skipped: `skipped: ${found.reason}`, "": "" }[found.done];
    byId("draw-where").title =
      `${found.name} (${found.width}×${found.height})${said ? `, ${said}` : ""}`;
  }
}
