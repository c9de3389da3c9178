// The numbers beside the questions, the curve so far, and masks of some pictures.
import { byId, drawn, make } from "./elements.js";
import { load } from "./stage.js";

const percent = (value) => `${value.toFixed(value < 99.5 ? 0 : 1)}`;

export class Panel {
  constructor() {
    this.visible = true;
    this.latest = [[], new Set()]; // what `masks` shows
    this.places = this.answers = 0;
    byId("toggle-masks").onclick = () => {
      this.visible = !this.visible;
      byId("toggle-masks").textContent = this.visible ? "hide" : "show";
      byId("masks").hidden = !this.visible;
      this.masks(...this.latest);
    };
  }

  /** Whether a prediction can be seen. */
  get seen() {
    return this.visible && byId("masks").querySelector(".tile:not(.asked) .mask") !== null;
  }

  /** Show what the server says. extra: answers that are on their way */
  update(state, extra) {
    const { panel } = state;
    this.answers = panel.answers + extra;
    this.numbers(panel, extra);
    byId("quality").replaceChildren(...this.quality(panel, state.classes.length));
  }

  numbers(panel, extra) {
    const minutes = panel.seconds / 60;
    const rows = [
      [panel.answers + extra, "answers"],
      [minutes < 10 ? minutes.toFixed(1) : Math.round(minutes), "minutes"],
      [panel.typical === null ? "–" : `${panel.typical.toFixed(1)} s`, "an answer"],
    ];
    byId("numbers").replaceChildren(
      ...rows.map(([value, words]) =>
        make("div", {}, make("b", { textContent: value }), make("small", { textContent: words })),
      ),
    );
  }

  quality(panel, classes) {
    const lines = [];
    const { estimate, agreement, consistency } = panel;
    if (estimate?.miou) {
      const [point, low, high] = estimate.miou;
      const width = classes === 2 ? " It narrows: about 14 points either way after 50 of these, 7 after 250, 4 after 800." : "";
      lines.push(
        make(
          "p",
          { class: "large", textContent: `${percent(point)} % ` },
          make("small", { textContent: `mIoU, ${percent(low)} to ${percent(high)}` }),
        ),
        make("p", {
          textContent:
            `Agreement of masks with your own answers: the mIoU on pictures they were not learned from, and ` +
            `the interval that holds it 19 times of 20, by ${estimate.random} answers about random pixels.${width}`,
        }),
      );
      if (estimate.unscored.length) {
        lines.push(make("p", { textContent: `Left out of it, as too few answers show them: ${estimate.unscored.join(", ")}.` }));
      }
    } else if (agreement?.answers) {
      lines.push(
        make("p", { class: "large", textContent: `${agreement.same} of ${agreement.answers}` }),
        make("p", {
          textContent:
            `agreement with your answers about random pixels. ` +
            (agreement.unscored.length ? `For an estimate too few show ${agreement.unscored.join(", ")}.` : `From ${panel.enough} of them on there is an estimate.`),
        }),
      );
    } else {
      lines.push(make("p", { textContent: "How good the masks are is told once there are enough answers." }));
    }
    if (panel.curve.length > 1) lines.push(curve(panel.curve));
    if (panel.sentence) lines.push(make("p", { textContent: panel.sentence }));
    if (consistency) {
      const { same, pairs } = consistency;
      lines.push(make("p", { textContent: `Your own consistency: ${same} of ${pairs} pixels that came twice got the same answer.` }));
    }
    return lines;
  }

  /** Show masks of pictures, each in its place, but of those with an open question. */
  async masks(list, closed) {
    const latest = (this.latest = [list, closed]);
    if (!this.visible) return; // what is fetched counts as seen
    const tiles = [];
    await Promise.all(
      list.map(async ({ picture, fit, version, slot }) => {
        // The version begins anew with the server, the fit's number goes on.
        const sources = [`/picture/${picture}?side=320`, `/mask/${picture}?version=${fit}.${version}`];
        const images = await Promise.all(closed.has(picture) ? [] : sources.map(load)).catch(() => []);
        const names = ["", "mask"];
        tiles[slot] = make(
          "div",
          { class: "tile", "data-picture": picture },
          ...images.map((_, place) => make("img", { src: sources[place], alt: names[place], class: names[place], draggable: false })),
        );
      }),
    );
    if (latest !== this.latest) return; // else a picture that is asked about by now would show
    this.places = list.length ? Math.max(this.places, tiles.length) : 0;
    const there = Array.from({ length: this.places }, (_, slot) => tiles[slot] ?? make("div", { class: "tile asked" }));
    const when = this.answers ? "with the next answers" : "after the first answers";
    byId("masks").replaceChildren(...there);
    if (!there.length) byId("masks").append(make("p", { textContent: `Masks come ${when}.` }));
  }

  /** Hide at once the masks of pictures that a question is about. */
  close(closed) {
    for (const tile of byId("masks").querySelectorAll(".tile[data-picture]")) {
      tile.classList.toggle("asked", closed.has(Number(tile.dataset.picture)));
    }
  }
}

/** Return a picture of the estimates [seconds, point, low, high] so far. */
function curve(rows) {
  const wide = 260, tall = 110, left = 26, bottom = 16;
  const last = Math.max(...rows.map(([seconds]) => seconds), 60);
  const least = Math.min(...rows.map(([, , low]) => low)), floor = Math.max(0, Math.floor(least / 10) * 10);
  const x = (seconds) => left + ((wide - left - 4) * seconds) / last;
  const y = (value) => 6 + ((tall - bottom - 6) * (100 - value)) / (100 - floor);
  const path = (points) => points.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join(" ");
  const upper = rows.map(([seconds, , , high]) => [x(seconds), y(high)]);
  const lower = rows.map(([seconds, , low]) => [x(seconds), y(low)]).reverse();
  const line = rows.map(([seconds, point]) => [x(seconds), y(point)]);
  const label = (words, at) => {
    const text = drawn("text", at);
    text.textContent = words;
    return text;
  };
  return drawn(
    "svg",
    { id: "curve", viewBox: `0 0 ${wide} ${tall}`, role: "img", "aria-label": "estimate by minutes" },
    drawn("line", { class: "axis", x1: left, x2: wide, y1: y(floor), y2: y(floor) }),
    drawn("polygon", { class: "band", points: path([...upper, ...lower]) }),
    drawn("polyline", { class: "line", points: path(line) }),
    label("100", { x: 0, y: 12 }),
    label(String(floor), { x: 0, y: y(floor) }),
    label(`${(last / 60).toFixed(0)} min`, { x: wide - 4, y: tall - 3, "text-anchor": "end" }),
  );
}
