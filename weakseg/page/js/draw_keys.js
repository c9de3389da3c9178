// Which key does what in the drawing view.
import { meaning } from "./keys.js";
import { TOOLS } from "./tools.js";

const once = (go) => ({ go });
const again = (go) => ({ go, repeats: true }); // as long as the key is held down

/** Return what a key does, {go, repeats}, or null. */
export function actionOf(event, draw) {
  const { code } = event,
    command = event.ctrlKey || event.metaKey;
  if (event.altKey) return null;
  if (command) {
    if (code === "KeyY" || (code === "KeyZ" && event.shiftKey)) return again(() => draw.redo());
    return code === "KeyZ" ? again(() => draw.undo()) : null;
  }
  const fixed = {
    Enter: once(() => draw.save()),
    NumpadEnter: once(() => draw.save()),
    Backspace: again(() => draw.undo()),
    Escape: once(() => (draw.pad.tool.cancel(), draw.pad.draw())),
    ArrowLeft: once(() => draw.leaf(-1)),
    ArrowRight: once(() => draw.leaf(1)),
    Home: once(() => draw.pad.fit()),
    Space: once(() => (draw.pad.held = true)),
    BracketLeft: again(() => draw.panel.sizeBrush(draw.pad.brush / 1.25)),
    BracketRight: again(() => draw.panel.sizeBrush(draw.pad.brush * 1.25)),
    Equal: again(() => draw.pad.zoom(1.25)),
    NumpadAdd: again(() => draw.pad.zoom(1.25)),
    Minus: again(() => draw.pad.zoom(0.8)),
    NumpadSubtract: again(() => draw.pad.zoom(0.8)),
  }[code];
  if (fixed) return fixed;
  const letter = event.key.length === 1 ? event.key.toUpperCase() : "";
  if (draw.plain || event.shiftKey) {
    const tool = Object.keys(TOOLS).find((name) => TOOLS[name].letter === letter);
    if (tool) return once(() => draw.choose(tool));
    const further = {
      V: () => draw.togglePrediction(),
      A: () => draw.accept(),
      H: () => draw.hide(!draw.hidden),
      T: () => draw.pad.turn(),
      X: () => draw.panel.askToSkip(),
    };
    if (further[letter]) return once(further[letter]);
  }
  const named = meaning(event, draw.classes)?.class;
  return named === undefined ? null : once(() => draw.pick(named));
}
