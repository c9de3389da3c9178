// Why a photograph is left out.
import { byId, make } from "./elements.js";

const REASONS = [
  "too dark or blurred",
  "can't tell what it shows",
  "shows nothing of this kind",
  "a copy of another one",
];

/** Return the dialog; skip: called with the reason that the person gives. */
export function skipDialog(skip) {
  const own = make("input", {
    id: "skip-reason",
    maxLength: 100,
    placeholder: "another reason",
    ariaLabel: "another reason",
  });
  const give = (reason) => {
    if (!reason) return;
    byId("skip-dialog").close();
    own.value = "";
    skip(reason);
  };
  const form = make(
    "form",
    { method: "dialog", class: "buttons" },
    own,
    make("button", { type: "submit", textContent: "Skip" }),
  );
  form.onsubmit = (event) => (event.preventDefault(), give(own.value.trim()));
  return make(
    "dialog",
    { id: "skip-dialog", ariaLabel: "why is it skipped?" },
    make("h2", { textContent: "Why is it skipped?" }),
    make(
      "div",
      { class: "draw-reasons" },
      ...REASONS.map((reason) =>
        make("button", { type: "button", textContent: reason, onclick: () => give(reason) }),
      ),
    ),
    form,
    make("button", {
      type: "button",
      textContent: "Back to the picture",
      onclick: () => byId("skip-dialog").close(),
    }),
  );
}
