// Measures what an answer or a drawing takes. Raw events go to the server as they are; sums of them
// follow the same rule here and in weakseg/labels/clock.py.

const CAPS = [20, 60, 100]; // seconds: of a longer gap so much counts as active
const PAUSE = 60; // seconds without a sign of a person, after which the picture is covered
const EVERY = 2000; // ms between two parcels of events
const MOVES = 1000; // ms: moves of the pointer are noted so often at most

/** The clock of the page: begins when a picture is shown, stands still while nobody looks. */
export class Clock {
  /** outbox: takes events; veil: called with true when a pause begins, false when it ends */
  constructor(outbox, veil) {
    this.outbox = outbox;
    this.veil = veil;
    this.events = [];
    this.covered = false;
    this.resting = false; // nothing is asked of the person: no pause is one
    this.begin();
    for (const name of ["pointermove", "wheel"]) addEventListener(name, () => this.move(), { passive: true });
    addEventListener("pointerdown", (event) => this.input("press", { x: event.clientX, y: event.clientY }));
    addEventListener("pointerup", (event) => this.input("release", { x: event.clientX, y: event.clientY }));
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) {
        this.sign();
        this.hidden = true;
        this.note("hidden");
        this.send();
      } else {
        this.hidden = false;
        this.last = performance.now(); // nobody looked meanwhile
        this.note("visible");
      }
    });
    setInterval(() => this.send(), EVERY);
    setInterval(() => this.look(), 1000);
    addEventListener("pagehide", () => this.send());
  }

  /** Begin anew: something is shown. facts: what events of it say, such as its picture */
  begin(facts = {}) {
    this.facts = facts;
    this.hidden = document.hidden;
    this.resting = false;
    this.start = this.last = performance.now();
    this.noted = -Infinity;
    this.gaps = [];
  }

  /** Note that something was shown, and begin. */
  shown(facts) {
    this.begin(facts);
    this.note("shown");
  }

  /** Note that a prediction of this picture was shown: its seconds are kept apart. */
  predicted() {
    this.facts = { ...this.facts, prediction: true };
  }

  /** Note a shape that is drawn to its end. signal: "points", "boxes", ...; label: its class */
  drew(signal, label) {
    this.input("drew", { signal, class: label });
  }

  /** Note a shape that is taken back. */
  undone(signal, label) {
    this.input("undone", { signal, class: label });
  }

  /** Note that what is on show is given. facts: such as the lists that are complete */
  save(facts = {}) {
    this.input("save", facts);
  }

  /** A sign that the person is there. */
  sign() {
    const now = performance.now();
    if (!this.hidden && !this.covered) this.gaps.push((now - this.last) / 1000);
    this.last = now;
  }

  /** A sign that is stored. */
  input(kind, more = {}) {
    this.sign();
    this.note(kind, more);
  }

  /** The pointer moves, which is stored now and then. */
  move() {
    this.sign();
    if (performance.now() - this.noted >= MOVES) this.note("look");
  }

  note(kind, more = {}) {
    const load = Math.round(performance.timeOrigin), clock = Math.round(performance.now());
    this.noted = performance.now();
    this.events.push({ kind, at: Date.now(), load, clock, ...this.facts, ...more });
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

  /** Cover the picture when nobody has moved for long. */
  look() {
    if (this.covered || this.hidden || this.resting || (performance.now() - this.last) / 1000 < PAUSE) return;
    this.cover();
    this.veil(true);
  }

  /** Stand still until `back`. */
  cover() {
    this.sign();
    this.covered = true;
    this.note("pause");
  }

  /** End a pause, which counts as nothing. */
  back() {
    if (!this.covered) return;
    this.covered = false;
    this.last = performance.now();
    this.note("back");
    this.veil(false);
  }
}

const round = (seconds) => Math.round(seconds * 1000) / 1000;
