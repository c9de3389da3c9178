"""The store of what people give: events that are appended, with their time, and never rewritten.

`labels/NAME/store.sqlite` has one table, which docs/labels.md describes; importers and pages write
it. What a picture carries is a view of it: the shapes that no later event replaced.

    act       kind and class          geometry (JSON)                     replaced: the event
    shape     of a shape              its geometry, see formats/records   that it corrects, or -
    removed   -                       -                                   that no longer holds
    looked    -                       {"size": [w, h], "complete": [...]} -
    classes   -                       {"names", "has_background"}         -

Further acts, such as a page's raw strokes of the mouse, are kept and not read here.
"""

import contextlib
import json
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from weakseg.common import UserError, reason
from weakseg.data.ids import fault_of_id
from weakseg.labels.fitting import ends_of
from weakseg.labels.formats.geometry import box_of, overlap
from weakseg.labels.formats.plain import checked
from weakseg.labels.formats.records import (
    COVERING,
    KINDS,
    MALFORMED,
    SIGNAL,
    Classes,
    Origin,
    Shape,
    number,
    rounded,
    text,
)
from weakseg.labels.store_file import connected, fault_of

COLUMNS = "time, annotator, source, picture, act, kind, class, geometry, seconds, replaced"
# The text of the views: a stranger's file may define its own.
SHAPES = """SELECT number, source, annotator, picture, kind, class, geometry FROM events
  WHERE act = 'shape' AND number NOT IN (SELECT replaced FROM events WHERE replaced IS NOT NULL)"""
SAME = 0.8  # IoU of what is around them, from which on two shapes are one that was drawn anew
SAME_CLASS = 0.3  # by which one of the same class is likelier to be it
HELPED = "helped"  # an act: numbers of imported shapes that were drawn with a prediction in view
LOOKS = """SELECT number, source, annotator, picture, geometry, seconds FROM events
  WHERE act = 'looked'"""


@dataclass(frozen=True)
class Event:
    """One event; see the table above for what stands in it."""

    source: str
    picture: str
    act: str
    annotator: str = ""
    kind: str | None = None
    label: str | None = None
    geometry: Any = None
    seconds: float | None = None
    replaced: int | None = None


@dataclass
class Given:
    """What one source says of one picture.

    shapes    {number of the event: shape}, in the order in which they came
    size      (width, height) of the upright picture
    complete  kinds of label whose list holds all objects
    seconds   that all looks took together; None where nobody measured them
    is_sized  whether the source states the size that its places belong to; else that is taken to be
        the one of the photograph that is there
    """

    shapes: dict[int, Shape] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    complete: tuple[str, ...] = ()
    seconds: float | None = None
    annotator: str = ""
    is_sized: bool = True

    @property
    def placed(self) -> list[Shape]:
        """The shapes that lie somewhere in the picture: all but tags."""
        return [one for one in self.shapes.values() if one.kind != "tag"]


@dataclass(frozen=True)
class Change:
    """What an update of a source did: numbers of shapes and of pictures.

    renamed  {(class before, class now): number of shapes that changed hardly more}, which are among
        those removed and those added
    withdrawn  {kind of label: pictures that have some, and whose list was complete and is not now}
    """

    added: int
    removed: int
    kept: int
    pictures: int
    renamed: Mapping[tuple[str, str], int]
    withdrawn: Mapping[str, Sequence[str]]


class Store:
    """A store that is open; `with` closes it."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection, self.path = connection, path

    def append(self, events: Iterable[Event], at: float | None = None) -> list[int]:
        """Append events, all of them or none, and return their numbers.

        at: seconds since 1970 (UTC); None: the clock's
        """
        moment, rows = time.time() if at is None else at, list(events)
        with self._writing():
            self._insert(rows, moment)
            last = self._last()
        return [*range(last - len(rows) + 1, last + 1)]

    def events(self, *acts: str) -> Iterator[tuple[int, float, Event]]:
        """Yield (number, time, event) of some acts, in the order in which they came."""
        marks = ", ".join("?" * len(acts))
        query = f"SELECT number, {COLUMNS} FROM events WHERE act IN ({marks}) ORDER BY number"
        for number_, moment, annotator, source, picture, act, *rest in self._rows(query, acts):
            kind, label, geometry, seconds, replaced = rest
            with self._checked(number_):
                content = None if geometry is None else json.loads(geometry)
                one = Event(
                    source, picture, act, annotator, kind, label, content, seconds, replaced
                )
            yield number_, moment, one

    def moments(self, *acts: str) -> Iterator[tuple[int, float, str, str, str | None]]:
        """Yield (number, time, source, picture, class) of some acts, in the order they came in."""
        marks = ", ".join("?" * len(acts))
        query = f"SELECT number, time, source, picture, class FROM events WHERE act IN ({marks})"
        for event, moment, *words in self._rows(f"{query} ORDER BY number", acts):
            with self._checked(event):
                source, picture, label = words
                row = event, float(moment), source, picture, label
            yield row

    def _insert(self, events: Iterable[Event], moment: float) -> None:
        rows = (
            (
                moment,
                one.annotator,
                one.source,
                one.picture,
                one.act,
                one.kind,
                one.label,
                None if one.geometry is None else json.dumps(one.geometry, allow_nan=False),
                one.seconds,
                one.replaced,
            )
            for one in events
        )
        marks = ", ".join("?" * len(COLUMNS.split(",")))
        self.connection.executemany(f"INSERT INTO events ({COLUMNS}) VALUES ({marks})", rows)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the store for writing; what fails leaves it as it was."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:  # on a full disk SQLite went back by itself
                    self.connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise fault_of(self.path, error, f"can't be written ({reason(error)})") from error

    def update(self, source: str, pictures: Mapping[str, Given]) -> Change:
        """Bring the store to what a source says of some pictures at present, see `update_all`."""
        return self.update_all({source: pictures})

    def update_all(self, told: Mapping[str, Mapping[str, Given]]) -> Change:
        """Bring the store to what sources say of some pictures at present, {source: {picture: it}}.

        A shape that is there already, to a hundredth of a pixel, stays; one that its source no
        longer has is removed; so a source that is read twice is read once. Pictures that a source
        doesn't name stay as they are. Shapes of another store keep their order, whoever drew them,
        and that a model helped. Places of a photograph that has another size since are a
        `UserError`.
        """
        with self._writing():
            rows: list[tuple[Event, Origin]] = []
            helped, changes = set[int](), [(0, 0, 0)]
            renamed = Counter[tuple[str, str]]()
            withdrawn = defaultdict[str, list[str]](list)
            for source, pictures in told.items():
                own, counts = self._changes(source, pictures, helped, renamed, withdrawn)
                rows += own
                changes.append(counts)
            rows.sort(key=lambda row: row[1].number)
            moment = time.time()
            self._insert((event for event, _ in rows), moment)
            first = self._last() - len(rows) + 1
            helped |= {first + place for place, (_, origin) in enumerate(rows) if origin.helped}
            if helped:
                self._insert([Event("", "", HELPED, geometry=sorted(helped))], moment)
        added, removed, kept = (sum(counts) for counts in zip(*changes, strict=True))
        named = len({event.picture for event, _ in rows})
        return Change(added, removed, kept, named, renamed, withdrawn)

    def _changes(
        self,
        source: str,
        pictures: Mapping[str, Given],
        helped: set[int],
        renamed: Counter[tuple[str, str]],
        withdrawn: Mapping[str, list[str]],
    ) -> tuple[list[tuple[Event, Origin]], tuple[int, int, int]]:
        """Return the events that bring the store to what a source says, and (added, removed, kept).

        helped: takes the numbers of shapes that stay, of which only now is known that a model did
        renamed: counts those that changed hardly more than their class
        withdrawn: takes the pictures of each kind, see `Change`
        """
        rows: list[tuple[Event, Origin]] = []
        added = removed = kept = 0
        before, nothing = self.given([source]), Origin()
        told = [event.geometry for _, _, event in self.events(HELPED)]
        known = {n for one in told if isinstance(one, list) for n in one if isinstance(n, int)}
        for picture, now in pictures.items():
            old = before.get(picture, {}).get(source)
            if old:
                self._refuse_stale(f"{picture}: {source}", old, now)
            there: dict[str, list[int]] = {}
            new: list[Shape] = []
            for number_, shape in old.shapes.items() if old else ():
                there.setdefault(shape.key, []).append(number_)
            for shape in now.shapes.values():
                origin = shape.origin or nothing
                if there.get(shape.key):
                    number_ = there[shape.key].pop(0)
                    helped |= {number_} - known if origin.helped else set()
                    kept += 1
                    continue
                who, geometry = origin.annotator or now.annotator, rounded(shape.geometry)
                event = Event(source, picture, "shape", who, shape.kind, shape.label, geometry)
                rows.append((event, origin))
                new.append(shape)
            added += len(new)
            gone = sorted(number_ for numbers in there.values() for number_ in numbers)
            rows += [(Event(source, picture, "removed", replaced=one), nothing) for one in gone]
            removed += len(gone)
            renamed.update(renamed_shapes([old.shapes[one] for one in gone] if old else [], new))
            for kind in {*(old.complete if old else ())} - {*now.complete}:
                if any(SIGNAL[shape.kind] == kind for shape in now.shapes.values()):
                    withdrawn[kind].append(picture)
            look = self._look(source, picture, old, now)
            rows += [(look, nothing)] if look else []
        return rows, (added, removed, kept)

    def _last(self) -> int:
        """Return the number of the last event, 0 of none."""
        return int(self._rows("SELECT max(number) FROM events", ())[0][0] or 0)

    def _refuse_stale(self, whose: str, old: Given, now: Given) -> None:
        """Refuse what repeats most of its places on a photograph of another size, stating none.

        whose: picture and source, for the message
        """
        if now.is_sized or not old.size or not now.size or old.size == now.size:
            return
        before, after = (Counter(one.key for one in given.placed) for given in (old, now))
        if 2 * sum((before & after).values()) > len(old.placed):
            was, has = (f"{width}x{height}" for width, height in (old.size, now.size))
            raise UserError(
                f"{self.path}: {whose} repeats the places of the photograph at {was}, which has "
                f"{has}; scale them in the file, or state {was} in it where its format can; where "
                "they fit as they are, import to another --output"
            )

    @staticmethod
    def _look(source: str, picture: str, old: Given | None, now: Given) -> Event | None:
        """Return the event of what a source says of a picture as a whole; None where it is known.

        Its seconds are those that came on top of the ones that are known.
        """
        before = old or Given()
        spent = (now.seconds or 0.0) - (before.seconds or 0.0)
        same = old and (old.size, set(old.complete)) == (now.size, set(now.complete))
        if same and now.seconds == before.seconds:
            return None
        state = {"size": now.size and list(now.size), "complete": list(now.complete)}
        seconds = None if now.seconds is None else spent
        return Event(source, picture, "looked", now.annotator, geometry=state, seconds=seconds)

    def given(
        self, sources: Sequence[str] = (), picture: str | None = None
    ) -> dict[str, dict[str, Given]]:
        """Return {picture: {source: what it says}}, sources in the order of their first event.

        sources: the only ones to be read; none: all. picture: the only one; None: all
        """
        where, words = "", tuple(sources)
        if sources:
            where = f" AND source IN ({', '.join('?' * len(words))})"
        if picture is not None:
            where, words = f"{where} AND picture = ?", (*words, picture)
        found: dict[str, dict[str, Given]] = {}
        for row in self._rows(f"{LOOKS}{where} ORDER BY number", words):
            event, source, annotator, name, state, seconds = row
            with self._checked(event):
                one = found.setdefault(check(name), {}).setdefault(source, Given())
                read = json.loads(state)
                one.size = (int(read["size"][0]), int(read["size"][1])) if read["size"] else None
                one.complete, one.annotator = tuple(map(str, read["complete"])), annotator
                if seconds is not None:
                    one.seconds = (one.seconds or 0.0) + number(seconds)
        for row in self._rows(f"{SHAPES}{where} ORDER BY number", words):
            event, source, annotator, name, kind, label, geometry = row
            with self._checked(event):
                if kind in KINDS:
                    one = found.setdefault(check(name), {}).setdefault(source, Given())
                    shape = checked(kind, label, json.loads(geometry))
                    one.shapes[event] = replace(shape, origin=Origin(annotator, event))
        return found

    def classes(self) -> Classes:
        """Return the classes; none where nothing says them."""
        rows = self._rows(
            "SELECT number, geometry FROM events WHERE act = 'classes' ORDER BY number", ()
        )
        classes = Classes()
        for event, content in rows:
            with self._checked(event):
                read = json.loads(content)
                names = tuple(map(text, read["names"]))
                classes = Classes(names, bool(read["has_background"]))
        return classes

    def say_classes(self, classes: Classes) -> None:
        """Append the names of the classes, where they are others than before."""
        if classes != self.classes():
            said = {"names": list(classes.names), "has_background": classes.has_background}
            self.append([Event("", "", "classes", geometry=said)])

    def _rows(self, query: str, words: tuple[str, ...]) -> list[Any]:
        try:
            return self.connection.execute(query, words).fetchall()
        except sqlite3.Error as error:
            line = f"is damaged ({reason(error)}); import anew"
            raise fault_of(self.path, error, line) from error
        except UnicodeError as error:
            raise UserError(f"{self.path}: is damaged ({reason(error)}); import anew") from error

    @contextlib.contextmanager
    def _checked(self, event: int) -> Iterator[None]:
        try:
            yield
        except (*MALFORMED, RecursionError) as error:
            raise UserError(
                f"{self.path}: event {event} is not of the documented form ({reason(error)})"
            ) from error


def renamed_shapes(gone: Iterable[Shape], new: Iterable[Shape]) -> Iterator[tuple[str, str]]:
    """Yield (class before, class now) of the shapes that changed hardly more than their class."""
    before: dict[str, list[Shape]] = {}
    for shape in gone:
        before.setdefault(replace(shape, label=None).key, []).append(shape)
    moved = []
    for shape in new:
        same = before.get(replace(shape, label=None).key)
        if same:
            yield same.pop(0).label or "", shape.label or ""
        elif shape.kind in COVERING:
            moved.append(shape)
    left = [one for own in before.values() for one in own if one.kind in COVERING]
    for shape in moved:
        fits = [likeness(shape, one) for one in left]
        best = max(range(len(left)), key=fits.__getitem__, default=0)
        if left and fits[best] >= SAME:
            was = left.pop(best)
            if was.label != shape.label:
                yield was.label or "", shape.label or ""


def likeness(shape: Shape, before: Shape) -> float:
    """Return how well a shape may be one before, drawn anew: the IoU of their extents, or more."""
    if shape.kind != before.kind:
        return 0.0
    extents = (box_of(ends_of(one)) for one in (shape, before))
    return overlap(*extents) + SAME_CLASS * (shape.label == before.label)


def check(picture: object) -> str:
    """Return the id of a picture; what can't be one is a `ValueError`."""
    fault = fault_of_id(picture)
    if fault or not isinstance(picture, str):
        raise ValueError(f"the name of its picture {fault}")
    return picture


@contextlib.contextmanager
def opened_store(folder: str | Path, create: bool = False) -> Iterator[Store]:
    """Open the store in a folder; one that isn't there is made, or else a `UserError`."""
    with connected(folder, create) as (connection, path):
        yield Store(connection, path)
