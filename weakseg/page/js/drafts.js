// Drawings that are not stored yet wait in the browser's storage: a page that is loaded anew, or
// a server that was killed, loses none.
import { post } from "./api.js";
import { sayFault } from "./elements.js";

const AGAIN = 1500; // ms until what could not be stored is sent again

/** The drafts of one session, by the name of their picture. */
export class Drafts {
  /** session: its mark; stored: called with the server's reply; refused: with the
   * name of a picture and a line, where the server takes a drawing never as it is */
  constructor(session, stored, refused) {
    Object.assign(this, { stored, refused, busy: false });
    this.prefix = `weakseg-drawing ${session} `;
    this.flush();
  }

  read(name) {
    try {
      return JSON.parse(localStorage.getItem(this.prefix + name));
    } catch {
      return null;
    }
  }

  /** Keep a draft {shapes, complete, visit, ...}; null forgets it. */
  keep(name, draft) {
    if (draft === null) return localStorage.removeItem(this.prefix + name);
    try {
      localStorage.setItem(this.prefix + name, JSON.stringify({ ...draft, at: Date.now() }));
    } catch {
      sayFault(
        "The browser's storage is full: save this picture soon, its drawing is kept nowhere else.",
      );
    }
  }

  get names() {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(this.prefix));
    return keys.map((key) => key.slice(this.prefix.length));
  }

  /** Number of drafts that are on their way to the server. */
  get length() {
    return this.names.filter((name) => this.read(name)?.post).length;
  }

  /** Send a draft, after those before. post: {path, body}, to which its shapes are added */
  send(name, draft, post) {
    this.keep(name, { ...draft, post });
    this.flush();
  }

  async flush() {
    if (this.busy) return;
    this.busy = true;
    for (;;) {
      const waiting = this.names
        .map((name) => [name, this.read(name)])
        .filter(([, draft]) => draft?.post);
      if (!waiting.length) break;
      const [name, draft] = waiting.sort(([, one], [, other]) => one.at - other.at)[0];
      try {
        const { shapes, complete, visit } = draft;
        const reply = await post(draft.post.path, { ...draft.post.body, shapes, complete, visit });
        if (this.read(name)?.visit === draft.visit) this.keep(name, null);
        sayFault("");
        this.stored(reply, name);
      } catch (failure) {
        if (failure.status === 0 || failure.status === 403 || failure.status >= 500) {
          sayFault(`Not stored yet, and kept here: ${failure.message}`);
          await new Promise((done) => setTimeout(done, AGAIN));
          continue;
        }
        this.keep(name, { ...draft, post: undefined, after: undefined });
        this.refused(name, failure.message ?? String(failure));
      }
    }
    this.busy = false;
  }

  /** Give a class another name in all drafts. */
  rename(old, name) {
    for (const picture of this.names) {
      const draft = this.read(picture);
      if (!draft) continue;
      const named = (shape) => (shape.class === old ? { ...shape, class: name } : shape);
      this.keep(picture, { ...draft, shapes: draft.shapes.map(named) });
    }
  }
}

/** Return a name that no other visit has; `randomUUID` is there on this machine alone. */
export function newName() {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}
