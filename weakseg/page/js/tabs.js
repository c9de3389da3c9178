// One tab at a time: what another one gives is not known here. The newest tab takes over.
import { byId } from "./elements.js";

/** Take over from other tabs of a session. left: called once another tab takes over from this one */
export function takeOver(session, left) {
  const channel = new BroadcastChannel(`weakseg ${session}`);
  channel.onmessage = () => {
    channel.close();
    left();
    byId("elsewhere-dialog").addEventListener("cancel", (event) => event.preventDefault());
    byId("come-back").onclick = () => location.reload();
    byId("elsewhere-dialog").showModal();
  };
  channel.postMessage("here");
}
