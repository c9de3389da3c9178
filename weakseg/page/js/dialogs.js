// Classes that change while one labels, and the end of a session.
import { post } from "./api.js";
import { byId, make } from "./elements.js";

/** The dialog of the classes. changed: called with the server's new state */
export class ClassesDialog {
  constructor(changed) {
    this.dialog = byId("classes-dialog");
    this.changed = changed;
    byId("open-classes").onclick = () => this.open();
    byId("add-class").onsubmit = (event) => {
      event.preventDefault();
      const name = byId("new-class").value.trim();
      if (name) this.send({ add: name }).then((ok) => ok && (byId("new-class").value = ""));
    };
    this.dialog.querySelector(".close").onclick = () => this.dialog.close();
  }

  open() {
    this.dialog.querySelector(".wrong").textContent = "";
    this.draw();
    this.dialog.showModal();
  }

  update(state) {
    this.state = state;
  }

  async send(body) {
    const wrong = this.dialog.querySelector(".wrong");
    const place = this.state.classes.findIndex((one) => one.name === body.rename);
    try {
      this.state = await post("/classes", body);
      wrong.textContent = "";
      // Drawings follow, by the name that the server makes of it.
      const to = place < 0 ? body.to : this.state.classes[place].name;
      dispatchEvent(new CustomEvent("classes", { detail: { ...body, to } }));
      this.changed(this.state);
      return true;
    } catch (failure) {
      wrong.textContent = failure.message;
      return false;
    } finally {
      this.draw(body.rename);
    }
  }

  /** A class goes into another once that is confirmed: arrow keys alone choose one of a list. */
  askToMerge(one, other) {
    byId("merge").hidden = !other;
    if (!other) return;
    byId("merge-line").textContent = `All labels of ${one.shown} become ${other.shown}, for good.`;
    byId("merge-now").onclick = () => 
      this.send({ merge: one.name, to: other.name }).then(() => this.dialog.querySelector(".close").focus());
  }

  /** Give a class the name that was typed. */
  rename(old, typed) {
    if (typed.trim()) return this.send({ rename: old, to: typed });
    this.dialog.querySelector(".wrong").textContent = "A class has a name; to be rid of it, let it go into another one.";
    this.draw(old);
  }

  /** Show the classes; the keyboard stays where it is. done: the class whose typed name is not kept */
  draw(done) {
    const { classes, may_rename } = this.state;
    const at = document.activeElement.closest("#class-rows li > *");
    const row = at && [...byId("class-rows").children].indexOf(at.parentElement);
    const column = at && [...at.parentElement.children].indexOf(at);
    const typed = at?.matches("input:not([type=color])") && at.dataset.name !== done ? at.value : null;
    byId("classes-note").textContent = may_rename
      ? "A new name, or another class that one goes into, holds for all labels so far."
      : "The photographs come with a list of classes; only colours can be changed here.";
    byId("add-class").hidden = !may_rename;
    byId("merge").hidden = true;
    byId("class-rows").replaceChildren(...classes.map((one) => this.row(one, classes, may_rename)));
    const next = at && byId("class-rows").children[Math.min(row, classes.length - 1)].children[column];
    next?.focus();
    if (typed !== null && next?.dataset.name === at?.dataset.name) next.value = typed;
  }

  row(one, classes, may_rename) {
    const fixed = !may_rename || one.is_background;
    const others = classes.filter((other) => other.name !== one.name);
    return make(
      "li",
      {},
      make("kbd", { textContent: one.key || "·" }),
      make("input", {
        type: "color",
        value: one.colour,
        ariaLabel: `colour of ${one.shown}`,
        onchange: (event) => this.send({ colour: one.name, to: event.target.value }),
      }),
      make("input", {
        value: one.shown,
        maxLength: 60,
        disabled: fixed,
        ariaLabel: `name of ${one.shown}`,
        "data-name": one.name,
        onchange: (event) => this.rename(one.name, event.target.value),
      }),
      fixed
        ? make("span")
        : make(
            "select",
            {
              ariaLabel: `class that ${one.shown} goes into`,
              onchange: (event) => this.askToMerge(one, classes.find((other) => other.name === event.target.value)),
            },
            make("option", { value: "", textContent: "goes into …" }),
            ...others.map((other) => make("option", { value: other.name, textContent: other.shown })),
          ),
    );
  }
}

/** The dialog of the end. */
export class FinishDialog {
  constructor(poll) {
    this.dialog = byId("finish-dialog");
    byId("open-finish").onclick = () => this.dialog.showModal();
    byId("start-finish").onclick = () =>
      post("/finish", {}).then(
        (state) => (this.update(state), poll()),
        (failure) => (byId("finish-line").textContent = failure.message),
      );
    this.dialog.querySelector(".close").onclick = () => this.dialog.close();
  }

  update(state) {
    const { state: stage, line, commands } = state.finish;
    const words = {
      no: "Fits a model to all your answers and writes masks of all photographs. All answers are stored already: you may as well close this page, and come back with the same command.",
      running: `${line} … You may go on labelling meanwhile.`,
      done: `Done: ${line}. Go on with one of these commands; or answer more, and finish again.`,
      failed: `It did not work: ${line}`,
    };
    const marks = { no: "", running: " …", done: " ✓", failed: " !" };
    byId("open-finish").textContent = `Finish${marks[stage]}`;
    byId("finish-line").textContent = words[stage];
    byId("start-finish").disabled = stage === "running";
    byId("finish-commands").hidden = stage !== "done";
    byId("finish-commands").textContent = commands.join("\n");
  }
}
