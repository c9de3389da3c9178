// Which key means what. Digits are told by their place on the keyboard (`event.code`), so that a
// French number row works without Shift; letters by what is printed on them.
import { byId, make } from "./elements.js";

export const CANNOT_TELL = "cannot tell", OTHER = "other", UNDO = "undo", FORWARD = "forward";

const ACTIONS = {
  Space: CANNOT_TELL,
  NumpadDecimal: CANNOT_TELL,
  Enter: OTHER,
  NumpadEnter: OTHER,
  Backspace: UNDO,
  ArrowLeft: UNDO,
  NumpadSubtract: UNDO,
  ArrowRight: FORWARD,
  Escape: FORWARD,
};
const DIGIT = /^(?:Digit|Numpad)([0-9])$/;

/** Return what a key means: {class: name}, {action}, or null. */
export function meaning(event, classes) {
  if (event.ctrlKey || event.metaKey || event.altKey) {
    return event.code === "KeyZ" && !event.altKey ? { action: UNDO } : null;
  }
  if (event.code in ACTIONS) return { action: ACTIONS[event.code] };
  const digit = DIGIT.exec(event.code);
  const typed = event.key.length === 1 ? event.key.toLowerCase() : "";
  const placed = /^Key([A-Z])$/.exec(event.code)?.[1].toLowerCase();
  const letter = /[a-z]/.test(typed) ? typed : placed;
  const wanted = digit ? digit[1] : letter;
  const found = wanted && classes.find((one) => one.key === wanted || one.digit === wanted);
  return found ? { class: found.name } : null;
}

/** Show the keys as buttons, in an order that stays. give: takes what `meaning` returns */
export function showKeys(classes, give) {
  const button = (key, properties, ...children) =>
    make("button", { type: "button", ...properties }, make("kbd", { textContent: key }), ...children);
  const tap = (event, given) => {
    event.currentTarget.blur(); // or Space and Enter would press it again
    give(given);
  };
  const ordered = [...classes.filter((one) => !one.is_background), ...classes.filter((one) => one.is_background)];
  const rows = ordered.map((one) =>
    button(
      one.key || "·",
      { "--class": one.colour, title: one.shown, onclick: (event) => tap(event, { class: one.name }) },
      make("i"),
      make("span", { textContent: one.shown }),
    ),
  );
  rows.forEach((row, place) => {
    row.dataset.name = ordered[place].name;
    row.classList.toggle("wide", ordered[place].is_background);
  });
  byId("keys").classList.toggle("many", classes.length > 8);
  byId("keys").replaceChildren(...rows);
  const more = [
    ["Space", CANNOT_TELL, "can't tell", "the class can't be seen here"],
    ["Enter", OTHER, "another object", "something that is none of the classes; add its class and it is asked again"],
    ["←", UNDO, "change", "back to the answer before"],
  ];
  byId("more").replaceChildren(
    ...more.map(([key, action, words, title]) =>
      button(key, { title, onclick: (event) => tap(event, { action }) }, make("span", { textContent: words })),
    ),
  );
}
