// Measures what an answer takes. Raw events go to the server as they are; sums are made of them.

const CAPS = [20, 60, 100]; // seconds: of a longer gap so much counts as active
const PAUSE = 60; // seconds without a sign of a person, after which the picture is covered
const EVERY = 2000; // ms between two parcels of events

/** The clock of the page: begins when a picture is shown, stands still while nobody looks. */
export class Clock {
  /** outbox: takes events; veil: called with true when a pause begins, false when it ends */
  constructor(outbox, veil) {
    this.outbox = outbox;
    this.veil = veil;
    this.events = [];
    this.facts = {};
    this.covered = false;
    this.begin();
    for (const name of ["pointermove", "wheel"]) addEventListener(name, () => this.sign(), { passive: true });
    addEventListener("pointerdown", (event) => this.input("press", { x: event.clientX, y: event.clientY }));
    addEventListener("pointerup", (event) => this.input("release", { x: event.clientX, y: event.clientY }));
    document.addEventListener("visibilitychange", () => {
      this.note(document.hidden ? "hidden" : "visible");
      if (document.hidden) this.send();
      else this.last = performance.now(); // nobody looked meanwhile
    });
    setInterval(() => this.send(), EVERY);
    setInterval(() => this.look(), 1000);
    addEventListener("pagehide", () => this.send());
  }

  /** Begin anew: something is shown. facts: what events of it say, such as its question */
  begin(facts = {}) {
    this.facts = facts;
    this.start = this.last = performance.now();
    this.gaps = [];
  }

  /** Note that something was shown, and begin. */
  shown(facts) {
    this.begin(facts);
    this.note("shown");
  }

  /** A sign that the person is there. */
  sign() {
    const now = performance.now();
    if (!document.hidden && !this.covered) this.gaps.push((now - this.last) / 1000);
    this.last = now;
  }

  /** A sign that is stored. */
  input(kind, more = {}) {
    this.sign();
    this.note(kind, more);
  }

  note(kind, more = {}) {
    this.events.push({ kind, at: Date.now(), clock: Math.round(performance.now()), ...this.facts, ...more });
  }

  send() {
    if (!this.events.length) return;
    this.outbox.push("/events", { events: this.events.splice(0) });
  }

  /** Return {wall, active: {cap: seconds}} since the beginning. */
  times() {
    this.sign();
    const wall = (performance.now() - this.start) / 1000;
    const active = {};
    for (const cap of CAPS) active[cap] = round(this.gaps.reduce((sum, gap) => sum + Math.min(gap, cap), 0));
    return { wall: round(wall), active };
  }

  look() {
    if (this.covered || document.hidden || (performance.now() - this.last) / 1000 < PAUSE) return;
    this.covered = true;
    this.note("pause");
    this.veil(true);
  }

  /** End a pause. */
  back() {
    if (!this.covered) return;
    this.covered = false;
    this.begin(this.facts);
    this.note("back");
    this.veil(false);
  }
}

const round = (seconds) => Math.round(seconds * 1000) / 1000;
