"""What a label file says of one picture, whatever the tool that wrote it: shapes, and their time.

Coordinates are (x, y) in pixels of the upright picture, x to the right and y down; pixel i covers
[i, i + 1). What a shape's geometry is depends on its kind:

    click    [x, y]
    stroke   {"width": pixels, "path": [[x, y], ...]}
    box      [left, top, right, bottom]; as it is read, any two opposite corners
    polygon  [[outline, hole, ...], ...]: the parts of one object; a ring is [[x, y], ...]
    outline  [[x, y], ...]: a coarse polygon, whose edge is not the object's
    mask     {"left", "top", "width", "height", "counts"}: runs row by row within its box, the first
             of what is not covered; and "model", "corrections" where it began as an accepted one:
             the number of strokes that corrected it
    brush    as a mask: what a person painted over, which need not fill the object
    accepted as a mask, and "model": a mask of a model, by its mark, that a person found right
    tag      true where the class is there, false where it is not
    answer   {"x", "y", "drawn", "fit"}: a pixel that was asked, see labels/answers.py
"""

import contextlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from weakseg.common import printable
from weakseg.data.ids import is_shown

AREAS = ("polygon", "mask", "brush", "accepted")
COVERING = ("box", "outline", *AREAS)  # kinds of shapes that cover objects
KINDS = ("click", "stroke", *COVERING, "tag", "answer")
SIGNAL = {  # kind of shape -> kind of label
    "click": "points",
    "stroke": "scribbles",
    "box": "boxes",
    "outline": "outlines",
    "tag": "tags",
    "answer": "pixels",
} | dict.fromkeys(AREAS, "full")
OF_MODEL = ("model", "corrections")  # what a mask's geometry says of the model that it came from
MOST = 1e9  # pixels, or seconds, that make sense
SHARES = (1.0, 1.0)  # size of a picture whose coordinates are shares of its sides
TURNED_BOX = "turned boxes, taken as the box around them"  # why a box is not as it was
UNCHANGED = "a model's shapes that nobody changed, taken as if a person had drawn them"
IGNORED = "marked 'ignore', and taken as others are"
# How Python reports a value that is not what a format's documentation says.
MALFORMED = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)


class Unreadable(ValueError):
    """A shape that can't be taken over; the message is the reason, in words."""


class Nothing(Unreadable):
    """What covers nothing of the picture, a slip of the mouse or a note: it hides no object."""


@dataclass(frozen=True)
class Origin:
    """How a shape came into the store that it is from.

    number  of its event: what a model had learned from came before
    helped  whether a prediction was in view
    """

    annotator: str = ""
    number: int = 0
    helped: bool = False


@dataclass(frozen=True)
class Shape:
    """One thing that a person drew, or said, about a picture.

    label  the name of its class; None where nobody can tell, as in a crowd
    score  how sure a model is of it, 0 to 1; None of what people drew
    origin  of a shape of a store
    """

    kind: str
    label: str | None
    geometry: Any
    score: float | None = None
    origin: Origin | None = field(default=None, compare=False)

    @property
    def key(self) -> str:
        """A text that two shapes share when they say the same, to a hundredth of a pixel."""
        return json.dumps([self.kind, self.label, rounded(self.geometry)])

    @property
    def is_of_model(self) -> bool:
        """Whether it is a model's mask that a person accepted, perhaps with corrections."""
        return self.kind in AREAS and "model" in self.geometry


HIDDEN = "a keypoint that something hides"


@dataclass(frozen=True)
class PictureRecord:
    """What one file says of one picture.

    name       of the picture, as the file has it: a path, a URL, a name
    size       (width, height) that the coordinates belong to; None: those of the upright picture
    complete   kinds of label whose list holds all objects; None: the file doesn't say
    noted      the same, as an export of a store notes it for whoever has nothing to say of it
    seconds    that a person needed, where the tool measured it
    project    what the tool calls the whole that the picture is part of, in later exports too
    file       that says nothing of other pictures, without its suffix; "" where it may
    look       of the picture that the file holds itself, see data/looks.py; None without one
    held       what the photograph held when it was labelled, by a hash; "": the file doesn't say
    """

    name: str
    size: tuple[float, float] | None
    shapes: tuple[Shape, ...]
    complete: tuple[str, ...] | None = None
    seconds: float | None = None
    annotator: str = ""
    project: str = ""
    file: str = ""
    look: np.ndarray | None = field(default=None, compare=False)
    held: str = ""
    noted: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Classes:
    """The names of the classes, the background first where there is one."""

    names: Sequence[str] = ()
    has_background: bool = True

    @property
    def objects(self) -> list[str]:
        """All but the background."""
        return list(self.names[int(self.has_background) :])

    def to_write(self, records: Iterable[PictureRecord]) -> list[str]:
        """Return the objects, and behind them what else the shapes of records are of."""
        shown = [shape.label for record in records for shape in record.shapes if shape.label]
        return list(dict.fromkeys([*self.objects, *shown]))


class Dropped:
    """What could not be taken over, and what had to be changed: counted by reason, the first named.

    counts   {(whether it is lost, reason): number}
    first    {the same: where}
    hidden   names of pictures that lost what may have been an object
    told     further lines for people, of what is taken over and may be wrong
    of_masks the same of masks, where they are taken as exact ones
    """

    def __init__(self) -> None:
        self.counts: Counter[tuple[bool, str]] = Counter()
        self.first: dict[tuple[bool, str], str] = {}
        self.hidden: set[str] = set()
        self.told: list[str] = []
        self.of_masks: list[str] = []

    def add(self, reason: str, picture: str, place: str = "", *, hides: bool = True) -> None:
        """Count something that is lost.

        picture: its name; place: of the thing in it, in words; hides: whether it may be an object
        that no other shape shows
        """
        self._count((True, reason), f"{picture}, {place}" if place else picture)
        if hides:
            self.hidden.add(picture)

    def change(self, reason: str, picture: str) -> None:
        """Count something that is kept, but not as it was."""
        self._count((False, reason), picture)

    def _count(self, key: tuple[bool, str], where: str) -> None:
        self.counts[key] += 1
        self.first.setdefault(key, where)

    @contextlib.contextmanager
    def unless_read(self, picture: str, place: str = "") -> Iterator[None]:
        """Count what is wrong with a shape, and go on after the body of the `with`."""
        try:
            yield
        except Nothing as error:
            self.add(str(error), picture, place, hides=False)
        except Unreadable as error:
            self.add(str(error), picture, place)
        except MALFORMED:
            self.add("not of the documented form", picture, place)

    @property
    def lost(self) -> int:
        """The number of things that are lost."""
        return sum(number for (is_lost, _), number in self.counts.items() if is_lost)

    def lines(self) -> list[str]:
        """Return a line for each reason, and what else is told."""
        lines = []
        for (is_lost, why), number in self.counts.items():
            where = self.first[is_lost, why]
            fate = "dropped" if is_lost else "changed"
            lines.append(printable(f"{number} {fate}, {why}; the first: {where}"))
        return [*lines, *self.told]


def least_seen(marks: Iterable[Any]) -> int:
    """Return from which mark on a file's keypoints can be seen: 2 where any has it, or else 1.

    What hides a keypoint is what its pixel shows. Many tools mark all that they placed by 1.
    """
    return 2 if 2 in marks else 1


def number(value: object) -> float:
    """Return a number up to `MOST`, which may be written as a text; others are a `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is no number")
    try:
        result = float(value)
    except OverflowError as error:
        raise ValueError("a whole number is too large") from error
    if not abs(result) <= MOST:
        raise ValueError(f"{value!r} is not finite, or too large")
    return result


def turn_of(value: object) -> float:
    """Return the degrees by which CVAT's attribute `rotation` says that a box is turned.

    They are 0 where it is not there, or an attribute of a person's own, in words.
    """
    try:
        return number(value) % 360
    except ValueError:
        return 0.0


def whole(value: object) -> int:
    """Return a whole number; others are a `ValueError`."""
    result = number(value)
    if result != int(result):
        raise ValueError(f"{value!r} is not whole")
    return int(result)


def places(values: Any) -> list[list[float]]:
    """Return [[x, y], ...] of a list of pairs."""
    return [[number(x), number(y)] for x, y in values]


def pairs(values: Any) -> list[list[float]]:
    """Return [[x, y], ...] of a flat list x, y, x, y, ..."""
    numbers = [number(value) for value in values]
    if len(numbers) % 2:
        raise Unreadable("an odd number of coordinates")
    return [list(pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]


def text(value: object) -> str:
    """Return the name of a class, without spaces around it, its accents as lists have them (NFC).

    What is no text is a `ValueError`.
    """
    if not isinstance(value, str) or not value.strip():
        raise Unreadable("without the name of a class")
    if not is_shown(value.strip()):
        raise Unreadable("of a class whose name has a control character")
    return unicodedata.normalize("NFC", value.strip())


def size_of(width: object, height: object) -> tuple[float, float] | None:
    """Return a picture's size as a file states it; None where it states none, or nonsense."""
    try:
        size = number(width), number(height)
    except ValueError:
        return None
    return size if min(size) >= 1 else None


def rounded(value: Any) -> Any:
    """Return a geometry in hundredths of a pixel, whole numbers without a point."""
    if isinstance(value, float):
        near = round(value, 2)
        return int(near) if near.is_integer() else near
    if isinstance(value, dict):
        return {key: rounded(value[key]) for key in sorted(value)}
    return [rounded(one) for one in value] if isinstance(value, list | tuple) else value
