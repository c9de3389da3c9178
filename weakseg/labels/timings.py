"""What people did on the page, and the seconds that it took them: what prices are made of.

Every second of a visit belongs to one *stretch*. A stretch says which acts it holds, by the names
that price schedules have: the first one on a picture holds the look at it as well. What comes after
the last shape is the search for classes that are not there, where the person called a list
complete; otherwise it belongs to the look. What gave no label belongs to the next one that did: the
seconds of a picture that was skipped, of examples that nobody clicked; behind the last label they
belong to that one, and without any label to the looks at the pictures skipped. An example that
somebody searched for is an answer, as costs count it. So the seconds of all stretches are those of
all visits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from weakseg.common import UserError
from weakseg.data.class_list import is_background
from weakseg.labels.answers import MANY_CLASSES
from weakseg.labels.clock import CLOCKS, WALL, Seconds
from weakseg.labels.costs import LOOK
from weakseg.labels.formats.records import MALFORMED, SIGNAL, number
from weakseg.labels.store import Event, Store

Act = tuple[str, str]  # (signal, action), as schedules name them
LOOKS: Act = (LOOK, "image")
ABSENT: Act = ("", "absent")  # a class that was looked for and not there, whatever was drawn
ACCEPTED: Act = ("", "accepted")
CORRECTION: Act = ("full", "correction")
DRAWN_AS = {"scribbles": "stroke", "boxes": "box", "outlines": "outline", "full": "object"}


@dataclass(frozen=True)
class Stretch:
    """Some seconds of a person, and what they did in them.

    acts     {act: how often}
    visit    of what: two stretches of one visit are not independent
    is_seen  whether a prediction was visible
    """

    acts: Mapping[Act, int]
    seconds: Seconds
    visit: str
    is_seen: bool
    annotator: str = ""


@dataclass
class Reader:
    """Reads the acts of a store in their order.

    looked     (annotator, picture) of all that were looked at
    clicked    {(annotator, picture): classes that were clicked}
    searched   (annotator, picture) of those that were searched for all classes
    shapes     {(source, picture): shapes since the last save}
    accepted   (annotator, picture, mark of a model) of the masks that somebody accepted
    corrected  {(annotator, picture, mark of a model, class): strokes that corrected its mask}
    questions  {(source, number of the question): the stretch of its answer}
    drawings   {(source, a number): a stretch of it}
    skipped    {source: acts by which pictures were left out}
    spare      {source: seconds without a label, and whether a prediction was visible in them}
    """

    classes: Sequence[str] = ()
    looked: set[tuple[str, str]] = field(default_factory=set)
    clicked: dict[tuple[str, str], set[str | None]] = field(default_factory=dict)
    searched: set[tuple[str, str]] = field(default_factory=set)
    shapes: dict[tuple[str, str], list[Event]] = field(default_factory=dict)
    accepted: set[tuple[str, str, str]] = field(default_factory=set)
    corrected: dict[tuple[str, str, str, str | None], int] = field(default_factory=dict)
    questions: dict[tuple[str, int], Stretch] = field(default_factory=dict)
    drawings: dict[tuple[str, int], Stretch] = field(default_factory=dict)
    skipped: dict[str, list[Event]] = field(default_factory=dict)
    spare: dict[str, tuple[Seconds, bool]] = field(default_factory=dict)

    def read(self, event: Event) -> None:
        """Take in one event."""
        if event.act == "classes":
            self.classes = [str(name) for name in event.geometry["names"]]
        elif event.act == "shape":
            self.shapes.setdefault((event.source, event.picture), []).append(event)
        elif event.act == "answered":
            self.answered(event)
        elif event.act == "drawn":
            self.drawn(event)
        elif event.geometry:  # without a label: `skipped`, or `begun`
            took, is_seen = taken(event.geometry)
            if event.act == "skipped":
                self.skipped.setdefault(event.source, []).append(event)
            self.spare[event.source] = self.with_spare(event.source, took, is_seen)

    def with_spare(self, source: str, took: Seconds, is_seen: bool) -> tuple[Seconds, bool]:
        """Return seconds, and those before them that gave no label; these are taken."""
        spare, saw = self.spare.pop(source, (dict.fromkeys(CLOCKS, 0.0), False))
        return {clock: took[clock] + spare[clock] for clock in CLOCKS}, is_seen or saw

    def stretches(self) -> list[Stretch]:
        """Return all stretches, with what came behind the last label of its source."""
        found = self.questions | self.drawings
        for source, (took, saw) in self.spare.items():
            own = [key for key, one in found.items() if key[0] == source and one.acts]
            skipped = self.skipped.get(source, [])
            if own:
                last = found[own[-1]]
                seconds = {clock: last.seconds[clock] + took[clock] for clock in CLOCKS}
                found[own[-1]] = replace(last, seconds=seconds, is_seen=last.is_seen or saw)
            elif skipped:
                who, looks = skipped[-1].annotator, len({event.picture for event in skipped})
                visit = f"{who}: {skipped[-1].picture}"
                found[source, -1] = Stretch({LOOKS: looks}, took, visit, saw, who)
        return [*found.values()]

    def look(self, event: Event) -> dict[Act, int]:
        """Return the look at a picture, if nobody of that name has paid it yet."""
        key = event.annotator, event.picture
        is_first = key not in self.looked
        self.looked.add(key)
        return {LOOKS: 1} if is_first else {}

    def answered(self, event: Event) -> None:
        """Take in an answer; the seconds of a change belong to the answer that it mends."""
        facts, key = event.geometry, (event.source, int(event.geometry["id"]))
        if facts["way"] == "repeat":
            return
        look = self.look(event)
        took, is_seen = self.with_spare(event.source, *taken(facts))
        before = self.questions.get(key)
        if before:
            more = {clock: before.seconds[clock] + took[clock] for clock in CLOCKS}
            is_seen = before.is_seen or is_seen
            self.questions[key] = replace(before, seconds=more, is_seen=is_seen)
            return
        answer = "answer_of_many" if len(self.classes) > MANY_CLASSES else "answer"
        acts = {("pixels", answer): 1, **look}
        visit = f"{event.annotator}: {event.picture}"
        self.questions[key] = Stretch(acts, took, visit, is_seen, event.annotator)

    def drawn(self, event: Event) -> None:
        """Take in a visit of the drawing view."""
        facts, place = event.geometry, (event.annotator, event.picture)
        # Before the new shapes may stand those of a class that was renamed.
        shapes = self.shapes.pop((event.source, event.picture), [])
        shapes = shapes[len(shapes) - len(facts["shapes"]) :]
        rest: Seconds
        (rest, is_seen), look = taken(facts), self.look(event)
        parts: list[tuple[dict[Act, int], Seconds]] = []
        for shape, one in zip(shapes, facts["shapes"], strict=True):
            seconds, seen = taken(one)
            is_seen = is_seen or seen
            rest = {clock: max(0.0, rest[clock] - seconds[clock]) for clock in CLOCKS}
            parts.append((self.acts(shape, place, seconds), seconds))
        last = self.search(shapes, place) if facts["complete"] else {}
        if last or not parts:
            parts.append((last, rest))
        else:  # the look takes it, or else the last shape
            at = 0 if look else -1
            acts, own = parts[at]
            parts[at] = acts, {clock: own[clock] + rest[clock] for clock in CLOCKS}
        own, is_seen = self.with_spare(event.source, parts[0][1], is_seen)
        parts[0] = {**parts[0][0], **look}, own
        visit = f"{event.annotator}: {event.picture}"
        for acts, own in parts:
            one = Stretch(acts, own, visit, is_seen, event.annotator)
            self.drawings[event.source, len(self.drawings)] = one

    def acts(self, shape: Event, place: tuple[str, str], seconds: Seconds) -> dict[Act, int]:
        """Return what it was to draw a shape; place: (annotator, picture)

        A model's mask nobody drew: somebody accepted it, if no stretch before holds that, and
        corrected it by so many strokes.
        """
        facts = shape.geometry
        if not (isinstance(facts, dict) and "model" in facts):
            return {self.act(shape, place): 1}
        key = (*place, str(facts["model"]), shape.label)
        strokes = int(number(facts.get("corrections", 0)))
        fresh, self.corrected[key] = strokes - self.corrected.get(key, 0), strokes
        is_known = (*place, key[2]) in self.accepted
        if seconds[WALL] > 0:
            self.accepted.add((*place, key[2]))
        corrections = {CORRECTION: fresh} if fresh > 0 else {}
        return corrections if corrections and is_known else {ACCEPTED: 1, **corrections}

    def act(self, shape: Event, place: tuple[str, str]) -> Act:
        """Return what it was to draw a shape that began empty; place: (annotator, picture)"""
        signal = SIGNAL[str(shape.kind)]
        if signal == "points":
            classes = self.clicked.setdefault(place, set())
            is_first = shape.label not in classes
            classes.add(shape.label)
            return signal, "first_point" if is_first else "further_point"
        if signal == "tags":
            return signal, "present" if shape.geometry else "absent"
        return signal, DRAWN_AS.get(signal, str(shape.kind))

    def search(self, shapes: Sequence[Event], place: tuple[str, str]) -> dict[Act, int]:
        """Return the classes that were looked for and not found, once for each picture."""
        if place in self.searched:
            return {}
        self.searched.add(place)
        objects = {name for name in self.classes if not is_background(name)}
        missing = len(objects - {shape.label for shape in shapes})
        return {ABSENT: missing} if missing else {}


def taken(facts: Mapping[str, Any]) -> tuple[dict[str, float], bool]:
    """Return {clock: seconds} of an act, and whether a prediction was visible."""
    active = facts.get("active", {})
    seconds = {clock: number(active.get(clock, 0)) for clock in CLOCKS if clock != WALL}
    return {WALL: number(facts.get("wall", 0)), **seconds}, facts.get("prediction") is True


def stretches(store: Store, annotator: str | None = None) -> list[Stretch]:
    """Return what people did on the page, and their seconds, those of none left out.

    annotator: whose; None: of all. What is not of the documented form is a `UserError`.
    """
    reader = Reader()
    acts = "classes", "shape", "answered", "drawn", "skipped", "begun"
    for event_number, _, event in store.events(*acts):
        try:
            reader.read(event)
        except MALFORMED as error:
            raise UserError(
                f"{store.path}: event {event_number} is not of the documented form ({error!r})"
            ) from error
    return [
        one
        for one in reader.stretches()
        if one.acts and one.seconds[WALL] > 0 and annotator in (None, one.annotator)
    ]
