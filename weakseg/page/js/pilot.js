// The pilot: blocks of pictures, one kind of label after another, with a card before each; at the
// end the person's own prices. The cards cost nothing: the clock runs while a picture is on show.
import { get, later, patient, post } from "./api.js";
import { byId, make } from "./elements.js";

const AGAIN = 400; // ms between two looks at how far a block is

export class Pilot {
  /** choose: shows a view; questions, draw: the views; clock: of the page */
  constructor(choose, questions, draw, clock) {
    Object.assign(this, { choose, questions, draw, clock });
    document.body.classList.add("pilot");
    byId("pilot-dialog").addEventListener("cancel", (event) => event.preventDefault());
  }

  /** Go through all blocks, then show the prices. */
  async run() {
    this.questions.start();
    for (;;) {
      const state = await patient(() => get("/pilot"));
      if (state.current === null) return this.end(state.table);
      await this.card(state);
      const { blocks, current } = await patient(() => post("/pilot", {}));
      this.begin(blocks[current]);
      await this.over(current);
    }
  }

  begin(block) {
    document.body.dataset.pilot = block.kind;
    this.draw.only = block.tool ? block : null;
    this.choose(block.tool ? this.draw : this.questions);
  }

  /** Wait until a block is done. */
  async over(number) {
    let state;
    do {
      await later(AGAIN);
      state = await patient(() => get("/pilot"));
    } while (state.current === number);
  }

  /** Show what comes -> a promise that the person begins. */
  card({ blocks, current, minutes }) {
    const { kind, task, left } = blocks[current];
    byId("pilot-where").textContent = `Block ${current + 1} of ${blocks.length}; all of them take about ${Math.round(minutes)} minutes.`;
    byId("pilot-title").textContent = kind;
    byId("pilot-task").textContent = `${task} ${left.length === 1 ? "One picture" : `${left.length} pictures`}. Work as you would for hours; rest now, before you begin.`;
    return this.begins();
  }

  end([head, ...rows]) {
    const row = (tag, cells) => make("tr", {}, ...cells.map((cell) => make(tag, { textContent: cell })));
    byId("pilot-where").textContent = "Done. All of it is stored, and the labels are labels as any others.";
    byId("pilot-title").textContent = "What labels take you";
    byId("pilot-task").textContent = "Seconds. The terminal has the same table, and the command that writes it as a price schedule.";
    byId("pilot-table").replaceChildren(make("table", {}, row("th", head), ...rows.map((cells) => row("td", cells))));
    byId("pilot-begin").hidden = true;
    this.clock.resting = true;
    byId("pilot-dialog").showModal();
  }

  /** Wait for the person, who may rest -> a promise that they begin. */
  begins() {
    const dialog = byId("pilot-dialog"), button = byId("pilot-begin");
    this.clock.resting = true;
    dialog.showModal();
    button.focus();
    return new Promise((done) => {
      button.onclick = () => {
        dialog.close();
        button.blur();
        done();
      };
    });
  }
}
