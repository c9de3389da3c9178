// Talks with the server. What a person gave waits in the browser's own storage until it is stored.
import { sayFault } from "./elements.js";

/** An error of the server: its status, and a line for people. */
export class Failure extends Error {
  constructor(status, line) {
    super(line);
    this.status = status;
  }
}

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Failure(0, "The server does not answer. Start the same command again; nothing is lost.");
  }
  const content = await response.json().catch(() => ({}));
  if (!response.ok) throw new Failure(response.status, content.error || `error ${response.status}`);
  return content;
}

/** Return what the server says at a path. */
export const get = (path) => call(path);

/** Send a table, and return what the server says. */
export const post = (path, body) =>
  call(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    keepalive: JSON.stringify(body).length < 60000,
  });

export const later = (ms) => new Promise((done) => setTimeout(done, ms));

/** Return what the server says, however long it is away or its disk is full. */
export async function patient(ask) {
  for (;;) {
    try {
      return await ask();
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      sayFault(failure.message);
      await later(AGAIN);
    }
  }
}

const KEPT = "weakseg-unsent"; // of each session its own: others may have had this address
const AGAIN = 1500; // ms until what could not be stored is sent again

/** Sends posts one after another, and again until they are stored. */
export class Outbox {
  constructor(session) {
    this.key = `${KEPT} ${session}`;
    this.waiting = JSON.parse(localStorage.getItem(this.key) || "[]");
    this.busy = false;
    this.refused = () => {}; // called with what can never be stored, and the reason
    this.flush();
  }

  /** Send a table to a path, after all that was given before. */
  push(path, body) {
    this.waiting.push({ path, body });
    this.keep();
    this.flush();
  }

  get length() {
    return this.waiting.length;
  }

  keep() {
    try {
      if (this.key) localStorage.setItem(this.key, JSON.stringify(this.waiting));
    } catch {
      sayFault("The browser's storage is full: leave this page open until all is stored.");
    }
  }

  /** Keep nothing more in the browser: another tab does so, and has what waits. */
  leave() {
    this.key = null;
  }

  async flush() {
    if (this.busy) return;
    this.busy = true;
    while (this.waiting.length) {
      const { path, body } = this.waiting[0];
      let refusal = "";
      try {
        await post(path, body);
        sayFault("");
      } catch (failure) {
        const is_event = path === "/events"; // of which a fault of the server may take some
        const may_help = failure.status >= 500 && !(is_event && failure.status === 500);
        if (failure.status === 0 || failure.status === 403 || may_help) {
          sayFault(`Not stored yet, and kept here: ${failure.message}`);
          await later(AGAIN);
          continue;
        }
        sayFault(failure.message); // it can never be stored as it is
        refusal = failure.message;
      }
      this.waiting.shift();
      this.keep();
      if (refusal) this.refused(path, body, refusal);
    }
    this.busy = false;
  }
}
