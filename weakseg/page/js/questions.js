// The first view: a ring on a photograph, and one key for the class that is in it.
import { Failure, get, later, patient, post } from "./api.js";
import { newName } from "./drafts.js";
import { byId, make, sayFault } from "./elements.js";
import { CANNOT_TELL, FORWARD, OTHER, UNDO, meaning, showKeys } from "./keys.js";
import { cutoutAddress, prepare, Stage } from "./stage.js";
import { plus } from "./times.js";

const GUARD = 200; // ms after a new question in which no key counts
const STRIP = 10;
const PROMPT = "What is in the middle of the ring?";
const ELSEWHERE = "That was answered in another browser.";

export class Questions {
  /** outbox, clock: of the page; seen: returns whether a prediction is visible */
  constructor(outbox, clock, seen) {
    this.outbox = outbox;
    this.clock = clock;
    // A mask of the same picture that was on show before may be remembered.
    this.seen = (question) => question.seen || seen();
    this.id = "questions";
    this.title = "Questions";
    this.stage = new Stage();
    this.classes = [];
    this.waiting = []; // questions that are there and not on show
    this.current = null;
    this.told = []; // the last answers, the latest last
    this.changing = null; // an answer that is being changed
    this.shownAt = Infinity; // when what is on show was painted
    this.newest = 0; // number of the last question that came
    this.answered = 0;
    this.note = ""; // what is said beside the next question
    this.waits = []; // ms from a key to the next question, which tests read
    byId("strip").addEventListener("click", (event) => this.pick(event));
    addEventListener("classes", ({ detail }) => this.renamed(detail));
  }

  /** Begin: take the last answers, then questions, for ever. */
  async start() {
    byId(this.id).classList.remove("starts");
    await this.recall();
    this.stage.wait("The first question is being chosen …");
    for (;;) {
      try {
        const { questions } = await get(`/questions?after=${this.newest}`);
        for (const one of questions) this.take(one);
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
        sayFault(failure.message);
        await later(1500);
      }
    }
  }

  take(question) {
    if (question.id <= this.newest) return;
    this.newest = question.id;
    const sent = this.outbox.waiting.some((one) => one.path === "/answer" && one.body.id === question.id);
    if (sent) return; // answered before the page was loaded anew
    this.waiting.push(question);
    prepare(question).catch(() => {});
    if (!this.current) this.next();
  }

  /** Leave out what another browser answered, and say so. */
  skipAnswered({ open, asked }) {
    const is_open = (one) => one.id > asked || open.includes(one.id);
    this.waiting = this.waiting.filter(is_open);
    if (!this.current || is_open(this.current)) return;
    this.note = ELSEWHERE;
    if (this.changing) this.current = this.waiting.shift() ?? null;
    else this.next();
    this.recall();
  }

  /** The server never takes an answer: say why; if its question is open still, it comes again. */
  async refused(id, line) {
    const question = this.told.find((one) => one.id === id);
    this.told = this.told.filter((one) => one.id !== id);
    await this.recall();
    if (question && !this.told.some((one) => one.id === id)) this.waiting.unshift(question);
    this.note = line;
    if (!this.current) this.next();
    else if (!this.changing) this.say(`${line} ${PROMPT}`);
  }

  /** Say what to do, in a colour of its own where it begins with what happened. */
  say(prompt) {
    byId("prompt").textContent = prompt.trim();
    byId("prompt").classList.toggle("told", Boolean(this.note) && prompt.startsWith(this.note));
  }

  /** Take the last answers from the server; what is on its way there stays. */
  async recall() {
    const { told } = await patient(() => get(`/told?count=${STRIP}`));
    const known = new Set(told.map((one) => one.id));
    const sent = new Set(this.outbox.waiting.map(({ body }) => body.id));
    const mine = this.told.filter((one) => sent.has(one.id) && !known.has(one.id));
    const changing = this.changing && told.find((one) => one.id === this.changing.id);
    this.told = [...told, ...mine].slice(-STRIP);
    if (changing) this.changing = changing;
    this.drawStrip();
  }

  /** Take what the server says of classes, and of questions. */
  update(state) {
    this.skipAnswered(state);
    const drawn = JSON.stringify(state.classes);
    if (drawn === this.drawnKeys) return;
    this.drawnKeys = drawn;
    this.classes = state.classes;
    showKeys(this.classes, (given) => this.give(given));
    this.drawStrip();
  }

  /** A class was renamed or merged on the page: the strip follows. */
  renamed({ rename, merge, to }) {
    for (const told of this.told) if (told.class === (rename ?? merge)) told.class = to;
    this.drawStrip();
  }

  /** Pictures of which no prediction may be shown. */
  get open() {
    const all = [this.current, this.changing, ...this.waiting];
    return new Set(all.filter(Boolean).map((one) => one.picture));
  }

  next() {
    this.current = this.waiting.shift() ?? null;
    this.show(this.current);
  }

  async show(question, prompt = `${this.note} ${PROMPT}`) {
    this.shownAt = Infinity;
    this.say(prompt);
    if (!question) {
      this.stage.wait("The next question is being chosen …");
      return;
    }
    try {
      await this.stage.question(question);
    } catch {
      this.stage.wait("This photograph could not be loaded; trying again …");
      await later(1000);
      if (question === (this.changing ?? this.current)) this.show(question, prompt);
      return;
    }
    requestAnimationFrame(() => {
      if (question !== (this.changing ?? this.current) || byId(this.id).hidden) return;
      this.shownAt = performance.now();
      if (this.keyAt) this.waits.push(this.shownAt - this.keyAt);
      this.keyAt = 0;
      const { id, picture, x, y } = question;
      this.clock.shown({ question: id, picture, x, y, prediction: this.seen(question) });
    });
  }

  /** The view is on show again: so is what was asked, and the clock starts. */
  enter() {
    if (this.current ?? this.changing) this.show(this.changing ?? this.current);
  }

  /** A key was pressed -> whether it meant something. */
  key(event) {
    const given = meaning(event, this.classes);
    if (!given) return false;
    this.clock.input("key", { code: event.code, repeat: event.repeat });
    if (!event.repeat) this.give(given, event.timeStamp);
    return true;
  }

  /** Take an answer or an action; too soon after a new question it means nothing. */
  give(given, at = performance.now()) {
    if (this.clock.covered || performance.now() - this.shownAt < GUARD) return;
    if (given.action === UNDO) return this.back();
    if (given.action === FORWARD) return this.forward();
    if (this.shownAt === Infinity) return;
    const label = given.action ? null : given.class;
    this.answer({ class: label, other: given.action === OTHER }, at);
    this.flash(given);
  }

  answer(said, at) {
    const times = this.clock.times();
    this.clock.save();
    const question = this.changing ?? this.current;
    const body = { id: question.id, ...said, prediction: this.seen(question), times };
    body.visit = newName();
    this.note = "";
    this.keyAt = at;
    if (this.changing) {
      const next_shown = this.current !== null;
      this.outbox.push("/answer", { ...body, change: true, next_shown });
      Object.assign(this.changing, said);
      this.changing = null;
      this.show(this.current);
    } else {
      this.outbox.push("/answer", body);
      this.answered += 1;
      this.told = [...this.told, { ...question, ...said }].slice(-STRIP);
      this.next();
    }
    this.drawStrip();
  }

  /** Go back to the answer before, to change it. */
  back() {
    const place = this.changing ? this.told.indexOf(this.changing) : this.told.length;
    if (place > 0) this.change(this.told[place - 1]);
  }

  /** Leave an answer as it is. */
  forward() {
    if (!this.changing) return;
    const next = this.told[this.told.indexOf(this.changing) + 1];
    if (next) this.change(next);
    else {
      this.changing = null;
      this.show(this.current);
      this.drawStrip();
    }
  }

  change(told) {
    this.changing = told;
    this.show(told, `You said: ${this.words(told)}. Another key changes it, → leaves it.`);
    this.drawStrip();
  }

  pick(event) {
    const button = event.target.closest("button");
    if (button) this.change(this.told[Number(button.dataset.place)]);
  }

  words(told) {
    if (told.other) return "another object";
    if (told.class === null) return "can't tell";
    return this.classes.find((one) => one.name === told.class)?.shown ?? told.class;
  }

  drawStrip() {
    const rows = this.told.map((told, place) => {
      const colour = this.classes.find((one) => one.name === told.class)?.colour ?? "transparent";
      const button = make(
        "button",
        { type: "button", title: "change this answer", "--class": colour },
        make("img", { src: cutoutAddress(told), alt: "", draggable: false }),
        make("em", { textContent: this.words(told) }),
      );
      button.dataset.place = place;
      button.setAttribute("aria-current", told === this.changing);
      return make("li", {}, button);
    });
    byId("strip").replaceChildren(...rows);
    byId("strip").scrollLeft = 1e6;
  }

  flash(given) {
    const button = [...byId("keys").children].find((one) => one.dataset.name === given.class);
    button?.classList.add("pressed");
    setTimeout(() => button?.classList.remove("pressed"), 150);
  }
}

/** The start: one example click of each class, if the person likes. */
export class Examples {
  constructor(clock, stage) {
    this.clock = clock;
    this.stage = stage;
    this.picture = 0;
    this.place = 0;
    this.pictures = [];
    this.spent = null; // times of the search so far, which the clock no longer has
    this.timed = false; // whether the clock measures it
  }

  /** Ask until all classes have an example, or the person skips -> a promise of that. */
  async run(state) {
    const wanted = [...state.classes.filter((one) => !one.is_background), ...state.classes.filter((one) => one.is_background)];
    this.joined = () => state.joined;
    byId("leaf").hidden = false;
    byId("frame").classList.add("clicks");
    while (!state.joined) {
      this.stage.wait(`Looking at the first photographs … ${state.ready} of ${state.pictures}`);
      await later(300);
      Object.assign(state, await patient(() => get("/state")));
    }
    const count = Math.min(200, state.joined);
    this.pictures = (await patient(() => get(`/list?count=${count}`))).pictures;
    for (const one of wanted) {
      if (!(await this.example(one))) break;
    }
    const times = this.taken() ?? {};
    await patient(() => post("/begin", { times }));
    byId("leaf").hidden = true;
    byId("frame").classList.remove("clicks");
    byId("task").replaceChildren();
  }

  show() {
    const { index, width, height } = this.pictures[this.picture];
    this.rest();
    this.stage.photograph({ picture: index, width, height });
    if (byId("questions").hidden) return;
    this.clock.shown({ picture: index, prediction: false });
    this.timed = true;
  }

  /** Something else comes on show: keep the times of the search. */
  rest() {
    if (this.timed) this.spent = plus(this.clock.times(), this.spent);
    this.timed = false;
  }

  /** Return the times of the search since the last example. */
  taken() {
    this.rest();
    const { spent } = this;
    this.spent = null;
    return spent;
  }

  leaf(step) {
    this.picture = (this.picture + step + this.pictures.length) % this.pictures.length;
    this.show();
  }

  /** Ask for an example of a class -> a promise: whether to go on with the next class. */
  example(one) {
    byId("task").replaceChildren(
      "Click on ",
      make("b", { "--class": one.colour, textContent: one.is_background ? "something that is none of these" : one.shown }),
      " in any photograph; ← and → leaf through them.",
    );
    byId("skip-class").textContent = `Skip ${one.shown}`;
    this.show();
    return new Promise((done) => {
      const listeners = new AbortController(), options = { signal: listeners.signal };
      const end = (goes) => {
        listeners.abort();
        this.key = null;
        done(goes);
      };
      byId("frame").addEventListener("click", async (event) => {
        const place = this.stage.placeOf(event);
        if (!place) return;
        const { index } = this.pictures[this.picture], times = this.taken();
        try {
          await post("/example", { picture: index, ...place, class: one.name, times });
          end(true);
        } catch (failure) {
          sayFault(failure.message);
          this.spent = times;
          this.show();
        }
      }, options);
      byId("skip").addEventListener("click", () => end(false), options);
      byId("skip-class").addEventListener("click", () => end(true), options);
      byId("before").addEventListener("click", () => this.leaf(-1), options);
      byId("after").addEventListener("click", () => this.leaf(1), options);
      this.key = (event) => {
        if (event.code === "ArrowLeft") this.leaf(-1);
        else if (event.code === "ArrowRight") this.leaf(1);
        else if (event.code === "Enter" || event.code === "NumpadEnter") end(false);
        else return false;
        return true;
      };
    });
  }
}
