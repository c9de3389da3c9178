"""What was asked and answered on the page, as the store holds it: a session is rebuilt from this.

Each line of a store's acts (docs/labels.md has their JSON) is appended and never rewritten. Reading
them in order gives the session back; what is added while the page runs goes to the store first,
then to memory.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from weakseg.common import UserError
from weakseg.data.contents import ABSENT
from weakseg.labels.answers import RANDOM
from weakseg.labels.formats.records import Classes
from weakseg.labels.seen_photographs import ACT as PHOTOGRAPH
from weakseg.labels.store import Event, Store, opened_store
from weakseg.planning.questions import EXAMPLE

SOURCE = "questions"
ACTS = (
    *("asked", "answered", "joined", "renamed", "coloured", "estimate", "begun", "classes"),
    *("seen", "keyed"),
)
# Kinds of raw events; others are refused.
INPUTS = (
    *("shown", "press", "release", "key", "look", "drew", "undone", "save"),
    *("visible", "hidden", "pause", "back"),
)
PILOT = "pilot"  # how the pixels of a pilot are drawn: at random, but not in the usual sequence
FIRST, AGAIN, REPEAT, CHANGED, MENDED = "first", "again", "repeat", "changed", "mended"
CAP = "60"  # seconds: of a longer gap so much is active; what `seconds` of an answer is
LONGEST = 2000  # characters of a raw event

Place = tuple[float, float]
Pixel = tuple[str, float, float]  # id of the picture, x, y


@dataclass(frozen=True)
class Asked:
    """A question: a pixel of a picture, how it was drawn, and the number of the fit that chose it.

    way: `FIRST`, or `AGAIN` for a second asking; known: answers that the fit had learned from
    """

    number: int
    picture: str
    place: Place
    drawn: str
    fit: int
    way: str = FIRST
    known: int = 0

    @property
    def pixel(self) -> Pixel:
        """What tells its pixel from all others."""
        return self.picture, *self.place


@dataclass(frozen=True)
class Told:
    """An answer: a class, None where the person can't tell, and how it came.

    other    the person sees something that is none of the classes
    way      `FIRST`; `AGAIN` of a second asking; `REPEAT`: drawn at random once more, and taken
             from the answer that was there; `CHANGED` by the person later; `MENDED` before they had
             seen the next question, so that it stands for the first one
    seconds  of activity
    visit    the name that its page gave it; "" without one
    """

    asked: Asked
    label: str | None
    other: bool
    way: str
    seconds: float = 0.0
    visit: str = ""


@dataclass
class AnswerLog:
    """The acts of one annotator on the page, in a store's folder.

    asked, told   all questions, by number, and all answers, in order
    open          numbers of the questions that wait for an answer
    joined        (ids of pictures that joined, random questions drawn before)
    shapes        {pixel: number of the event that holds its answer}
    renewed       pixels that were called another object before a class was added
    keys          {class: (letter, digit)}, which stay while other classes come and go
    searched      seconds of the search for examples that nobody clicked
    seen          pictures of which the person saw what a model thinks
    """

    folder: Path
    annotator: str = ""
    asked: dict[int, Asked] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    open: list[int] = field(default_factory=list)
    joined: list[tuple[list[str], int]] = field(default_factory=list)
    shapes: dict[Pixel, int] = field(default_factory=dict)
    looked: set[str] = field(default_factory=set)
    colours: dict[str, str] = field(default_factory=dict)
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    estimates: list[dict[str, Any]] = field(default_factory=list)
    renewed: list[Pixel] = field(default_factory=list)
    classes: Classes = field(default_factory=Classes)
    begun: bool = False
    searched: float = 0.0
    seen: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def source(self) -> str:
        """The source of its events: several people's stay apart in one store."""
        return f"{SOURCE} {self.annotator}".strip()

    @classmethod
    def read(cls, folder: Path, annotator: str = "") -> "AnswerLog":
        """Return what a store holds; one that isn't there is made."""
        log = cls(folder, annotator)
        with opened_store(folder, create=True) as store:
            for number, _, event in store.events(*ACTS):
                try:
                    log.fold(event)
                except (KeyError, TypeError, ValueError, IndexError) as error:
                    raise UserError(
                        f"{store.path}: event {number} is not of the documented form ({error!r})"
                    ) from error
            log.find_shapes(store)
        return log

    def find_shapes(self, store: Store) -> None:
        """Find the events that hold the answers, and the pictures that were looked at."""
        for picture, sources in store.given([self.source]).items():
            own = sources[self.source]
            for number, shape in own.shapes.items():
                if shape.kind == "answer":
                    pixel = picture, float(shape.geometry["x"]), float(shape.geometry["y"])
                    self.shapes[pixel] = number
            if own.size:
                self.looked.add(picture)

    def fold(self, event: Event) -> None:
        """Take in one event."""
        given = event.geometry
        if event.act == "renamed":
            self.take_name(str(event.label), str(given["to"]))
        elif event.act == "coloured":
            self.colours[str(event.label)] = str(given["to"])
        elif event.act == "keyed":
            self.keys[str(event.label)] = str(given["letter"]), str(given["digit"])
        elif event.act == "classes":
            names = tuple(str(name) for name in given["names"])
            self.take_classes(Classes(names, bool(given["has_background"])))
        if event.source != self.source:
            return
        if event.act == "asked":
            place = float(given["x"]), float(given["y"])
            words = str(given["drawn"]), int(given["fit"]), str(given["way"])
            number, known = int(given["id"]), int(given["known"])
            self.take_question(Asked(number, event.picture, place, *words, known))
        elif event.act == "answered":
            asked, seconds = self.asked[int(given["id"])], event.seconds or 0.0
            other, way = bool(given["other"]), str(given["way"])
            visit = str(given.get("visit", ""))
            self.take_answer(Told(asked, event.label, other, way, seconds, visit))
        elif event.act == "joined":
            self.joined.append(([str(name) for name in given["pictures"]], int(given["drawn"])))
        elif event.act == "estimate":
            self.estimates.append(given)
        elif event.act == "begun":
            self.begun, self.searched = True, event.seconds or 0.0
        elif event.act == "seen":
            self.seen.add(event.picture)

    # ---- what memory takes in

    def take_question(self, asked: Asked) -> None:
        """Take in a question, which is open from here on."""
        self.asked[asked.number] = asked
        self.open.append(asked.number)

    def take_answer(self, told: Told) -> None:
        """Take in an answer."""
        self.told.append(told)
        if told.asked.number in self.open:
            self.open.remove(told.asked.number)

    def take_classes(self, classes: Classes) -> None:
        """Take in the classes; where there are more, what was called another object may be one."""
        if len(classes.names) > len(self.classes.names):
            self.renewed = [one.asked.pixel for one in self.told if one.other]
        self.classes = classes

    def take_name(self, old: str, new: str) -> None:
        """Give the answers of a class another name."""
        self.told = [replace(t, label=new) if t.label == old else t for t in self.told]
        if old in self.colours and new not in self.colours:
            self.colours[new] = self.colours[old]
        if old in self.keys and new not in self.keys:
            self.keys[new] = self.keys[old]

    # ---- what is added

    def append(self, events: Sequence[Event]) -> list[int]:
        """Append events to the store, and return their numbers."""
        with opened_store(self.folder) as store:
            return store.append(events)

    def event(self, act: str, picture: str = "", **more: Any) -> Event:
        """Return an event of this person."""
        return Event(self.source, picture, act, self.annotator, **more)

    def ask(self, questions: Iterable[Asked]) -> None:
        """Store questions that are asked from here on."""
        questions = list(questions)
        with self.lock:
            self.append(
                [self.event("asked", q.picture, geometry=question_of(q)) for q in questions]
            )
            for one in questions:
                self.take_question(one)

    def tell(
        self,
        told: Told,
        size: tuple[int, int],
        more: Mapping[str, Any] | None = None,
        held: str = ABSENT,
    ) -> None:
        """Store an answer, and the label that it is.

        size: of its picture; more: what else is known of it, such as its times; held: what the
        photograph holds
        """
        asked, way = told.asked, told.way
        x, y = asked.place
        facts = {"id": asked.number, "other": told.other, "way": way, "x": x, "y": y}
        facts |= {"drawn": asked.drawn, "fit": asked.fit, **(more or {})}
        facts |= {"visit": told.visit} if told.visit else {}
        about = {"label": told.label, "geometry": facts, "seconds": told.seconds}
        with self.lock:
            events = [self.event("answered", asked.picture, **about)]
            if asked.picture not in self.looked:
                state = {"size": list(size), "complete": []}
                events.append(self.event("looked", asked.picture, geometry=state))
                if held != ABSENT:
                    events.append(self.event(PHOTOGRAPH, asked.picture, geometry=held))
            label = self.label_event(told)
            events += [label] if label else []
            numbers = self.append(events)
            self.looked.add(asked.picture)
            if label and label.act == "shape":
                self.shapes[asked.pixel] = numbers[-1]
            elif label:
                del self.shapes[asked.pixel]
            self.take_answer(told)

    def label_event(self, told: Told) -> Event | None:
        """Return the event of the label that an answer is; None where nothing changes.

        *Another object* where there is no background is no label: the pixel is of no class.
        """
        asked, before = told.asked, self.shapes.get(told.asked.pixel)
        if told.way == REPEAT:
            return None
        if told.other and not self.classes.has_background:
            return self.event("removed", asked.picture, replaced=before) if before else None
        if told.way == AGAIN and self.last_label(asked.pixel) == (told.label, told.other):
            return None
        (x, y), first = asked.place, self.first_asked(asked)
        shape = {"x": x, "y": y, "drawn": first.drawn, "fit": first.fit}
        more = {"kind": "answer", "label": told.label, "geometry": shape, "replaced": before}
        return self.event("shape", asked.picture, seconds=told.seconds, **more)

    def last_label(self, pixel: Pixel) -> tuple[str | None, bool] | None:
        """Return (class, whether it is another object) that a pixel was given last."""
        for told in reversed(self.told):
            if told.asked.pixel == pixel:
                return told.label, told.other
        return None

    def first_asked(self, asked: Asked) -> Asked:
        """Return the question that a pixel was asked about for the first time."""
        if asked.way == FIRST:
            return asked
        return next((t.asked for t in self.told if t.asked.pixel == asked.pixel), asked)

    def join(self, names: Sequence[str]) -> None:
        """Store that pictures joined the session."""
        drawn = self.drawn
        with self.lock:
            self.append([self.event("joined", geometry={"pictures": [*names], "drawn": drawn})])
            self.joined.append(([*names], drawn))

    def estimate(self, found: dict[str, Any]) -> None:
        """Store what the random answers say of the model."""
        with self.lock:
            self.append([self.event("estimate", geometry=found)])
            self.estimates.append(found)

    def begin(self, times: Mapping[str, Any]) -> None:
        """Store that no example is asked for any more.

        times: what the search for examples took that nobody clicked
        """
        with self.lock:
            if not self.begun:
                seconds = float(times["active"][CAP])
                self.append([self.event("begun", geometry=dict(times), seconds=seconds)])
                self.begun, self.searched = True, seconds

    def see(self, picture: str) -> None:
        """Store that the person sees what a model thinks of a picture, if it is the first time."""
        with self.lock:
            if picture not in self.seen:
                self.append([self.event("seen", picture)])
                self.seen.add(picture)

    def inputs(self, given: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> None:
        """Store raw events of the page; those of no known kind, or too long, are left out.

        names: ids of the pictures, by the index that events know them by
        """
        events = []
        for one in given:
            if one.get("kind") in INPUTS and len(repr(one)) <= LONGEST:
                at = one.get("picture")
                picture = names[at] if isinstance(at, int) and 0 <= at < len(names) else ""
                kind = str(one["kind"])
                events.append(self.event("input", picture, kind=kind, geometry=dict(one)))
        if events:
            self.append(events)

    # ---- what is counted

    @property
    def drawn(self) -> int:
        """Random questions that were drawn so far, answered or open."""
        return sum(q.drawn == RANDOM and q.way == FIRST for q in self.asked.values())

    @property
    def placed(self) -> int:
        """Questions so far, of any kind but examples, a pilot's and second askings."""
        other = (EXAMPLE, PILOT)
        return sum(q.drawn not in other and q.way == FIRST for q in self.asked.values())

    @property
    def answers(self) -> int:
        """Answers that the person gave, second ones included, changes not."""
        return sum(one.way in (FIRST, AGAIN) for one in self.told)

    @property
    def seconds(self) -> float:
        """Seconds of activity of all answers, and of the search for examples."""
        return self.searched + sum(one.seconds for one in self.told)

    @property
    def fits(self) -> int:
        """The largest number of a fit."""
        return max((one.fit for one in self.asked.values()), default=0)


def question_of(asked: Asked) -> dict[str, Any]:
    """Return what the store holds of a question."""
    x, y = asked.place
    facts = {"id": asked.number, "x": x, "y": y}
    return facts | {"drawn": asked.drawn, "fit": asked.fit, "way": asked.way, "known": asked.known}
