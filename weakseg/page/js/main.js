// The page: its views, what the server says of the session, and the keys.
import { Failure, get, Outbox } from "./api.js";
import { Clock } from "./clock.js";
import { ClassesDialog, FinishDialog } from "./dialogs.js";
import { Draw } from "./draw.js";
import { byId, make, sayFault } from "./elements.js";
import { Panel } from "./panel.js";
import { Pilot } from "./pilot.js";
import { Examples, Questions } from "./questions.js";
import { takeOver } from "./tabs.js";

const EVERY = 1000; // ms between two looks at the server's state

let state = await get("/state");
const outbox = new Outbox(state.session);
const clock = new Clock(outbox, (is_covered) => (byId("veil").hidden = !is_covered));
const panel = new Panel();
const questions = new Questions(outbox, clock, () => panel.seen);
const examples = new Examples(clock, questions.stage);
const classes = new ClassesDialog(show);
const finish = new FinishDialog(poll);

// A view has an id (of its element), a title, `key(event)` -> whether it meant something, and may
// have `update(state)`, `enter()` and `leave()`.
outbox.refused = (path, body, line) => path === "/answer" && questions.refused(body.id, line);
const draw = new Draw(clock);
const views = [questions, draw];
let view = questions;

/** Show one of the views. */
function choose(next) {
  examples.rest();
  view.leave?.();
  view = next;
  for (const one of views) byId(one.id).hidden = one !== view;
  [...byId("views").children].forEach((tab, place) => tab.setAttribute("aria-selected", views[place] === view));
  document.activeElement.blur(); // keys are the view's, not the tab's
  if (view === questions && examples.key) examples.show();
  view.enter?.();
}

/** Show what the server says. */
function show(next) {
  state = next;
  document.title = byId("name").textContent = state.annotator ? `${state.name} · ${state.annotator}` : state.name;
  byId("reading").hidden = state.ready >= state.pictures;
  byId("reading").firstElementChild.style.width = `${(100 * state.ready) / state.pictures}%`;
  byId("reading").title = `${state.ready} of ${state.pictures} photographs read`;
  if (state.fault && !outbox.length) sayFault(state.fault);
  for (const one of views) one.update?.(state);
  classes.update(state);
  finish.update(state);
  panel.update(state, outbox.waiting.filter((one) => one.path === "/answer" && !one.body.change).length);
  const closed = questions.open, drawn = JSON.stringify([state.masks, [...closed]]);
  panel.close(closed);
  if (drawn !== show.drawn) panel.masks(state.masks, closed);
  show.drawn = drawn;
}

async function poll() {
  try {
    show(await get("/state"));
    if (!state.fault && !outbox.length) sayFault("");
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    sayFault(failure.message);
  }
}

// A button that Tab has led to is pressed as any; after a click, keys mean what the view says.
let tabbed = false;
addEventListener("pointerdown", () => (tabbed = false), true);

addEventListener("keydown", (event) => {
  tabbed ||= event.code === "Tab";
  if (clock.covered && !byId("elsewhere-dialog").open) {
    clock.back();
    event.preventDefault();
    return;
  }
  const typed = event.target.closest?.("input, select, textarea, dialog");
  if (typed || document.querySelector("dialog[open]")) return;
  const presses = ["Enter", "NumpadEnter", "Space"].includes(event.code);
  if (tabbed && presses && event.target.closest?.("button")) return;
  const means = view === questions && examples.key ? examples.key(event) : view.key(event);
  if (means) event.preventDefault();
});
byId("go-on").onclick = () => clock.back();
// Keys mean classes again, not the button that had opened a dialog.
for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("close", () => document.activeElement.blur());

byId("views").replaceChildren(
  ...views.map((one) =>
    make("button", { type: "button", role: "tab", textContent: one.title, onclick: () => choose(one) }),
  ),
);

byId("views").firstElementChild.setAttribute("aria-selected", "true");

// What tests read.
globalThis.page = { questions, draw, panel, clock, outbox, examples, get state() { return state; } };

show(state);
takeOver(state.session, () => {
  draw.keep();
  outbox.leave();
  clock.cover();
});
setInterval(() => document.hidden || poll(), EVERY);
if (state.pilot) new Pilot(choose, questions, draw, clock).run();
else {
  if (!state.begun) await examples.run(state);
  questions.start();
}
