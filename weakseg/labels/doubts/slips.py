"""What of an import looks like a slip of whoever made the file: it is taken over, and told."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from weakseg.data.class_list import BEHIND, is_background, is_blank, is_void
from weakseg.labels.doubts.area_specks import AreaSpecks
from weakseg.labels.doubts.closed_strokes import ClosedStrokes
from weakseg.labels.doubts.extreme_points import ExtremePoints
from weakseg.labels.doubts.from_corner import FromCorner
from weakseg.labels.doubts.half_boxes import HalfBoxes
from weakseg.labels.doubts.letterbox import Letterbox
from weakseg.labels.doubts.lost_origin import LostOrigin
from weakseg.labels.doubts.one_side import OneSide
from weakseg.labels.doubts.one_size import OneSize
from weakseg.labels.doubts.percents import Percents
from weakseg.labels.doubts.rectangles import Rectangles
from weakseg.labels.doubts.tangled import Tangled, rings_of
from weakseg.labels.doubts.thousandths import Thousandths
from weakseg.labels.doubts.upper_left import UpperLeft
from weakseg.labels.fitting import ends_of
from weakseg.labels.formats.records import Shape
from weakseg.labels.naming import BACKGROUND, UNTOLD
from weakseg.labels.signals import SIGNALS
from weakseg.validation import shorten

HOLES = ("hole", "holes")  # names of what is missing in objects
NUMBERED = re.compile(r"(.*[^\W\d_])([-_ #]+)\d+|(.*[^\W\d_]{3})\d+")  # cat-1, cat1


@dataclass
class Slips:
    """What the shapes of an import have of it.

    rectangles  how many polygons and masks that become exact masks are rectangles
    scored, first  number of shapes that have a model's score, and the name of the first's picture
    corner, padding, thousandths, percents  whether all shapes lie in the upper left of their
        pictures, beside the bands of a padding, or as those in such parts of the sides
    strokes  how many end where they began
    outlines  how many cross themselves all over, or go around twice
    extreme  how many outlines are extreme points of objects
    leaping  how many strokes and outlines go to the upper left corner
    half  whether boxes lie half a box off
    one_side  whether places were divided by one side of their pictures
    one_size, lost  whether shapes have all one size, or lost where they belong
    specks  how many areas are specks
    placed, tagged  classes of shapes that have a place, and of tags
    """

    rectangles: Rectangles = field(default_factory=Rectangles)
    scored: int = 0
    first: str = ""
    corner: UpperLeft = field(default_factory=UpperLeft)
    padding: Letterbox = field(default_factory=Letterbox)
    thousandths: Thousandths = field(default_factory=Thousandths)
    percents: Percents = field(default_factory=Percents)
    specks: AreaSpecks = field(default_factory=AreaSpecks)
    strokes: ClosedStrokes = field(default_factory=ClosedStrokes)
    outlines: Tangled = field(default_factory=Tangled)
    extreme: ExtremePoints = field(default_factory=ExtremePoints)
    leaping: FromCorner = field(default_factory=FromCorner)
    half: HalfBoxes = field(default_factory=HalfBoxes)
    one_side: OneSide = field(default_factory=OneSide)
    one_size: OneSize = field(default_factory=OneSize)
    lost: LostOrigin = field(default_factory=LostOrigin)
    placed: set[str] = field(default_factory=set)
    tagged: dict[str, None] = field(default_factory=dict)

    def add(self, shape: Shape, picture: str, is_exact: bool, size: Sequence[float]) -> None:
        """Take in a shape, in pixels of its picture of (width, height).

        is_exact: whether areas become masks
        """
        if is_exact:
            self.rectangles.add(shape, size)
        if shape.score is not None:
            self.scored, self.first = self.scored + 1, self.first or picture

    def place(self, shape: Shape, picture: str, size: Sequence[float]) -> None:
        """Take in where a shape lies in a picture of (width, height), and what class it shows."""
        if shape.kind == "tag":
            self.tagged |= {shape.label or "": None}
            return
        for one in (self.corner, self.padding, self.thousandths, self.percents):
            one.add(picture, iter(ends_of(shape)), size)
        self.lost.add(shape, picture, size)
        self.leaping.add(shape, picture)
        self.strokes.add(shape, picture)
        self.outlines.add(rings_of(shape), picture)
        self.specks.add(shape, picture)
        self.placed.add(shape.label or "")

    def take(self, shapes: Iterable[Shape], picture: str, size: Sequence[float]) -> None:
        """Take in what a shape of a picture of (width, height) became, as the flags say."""
        for shape in shapes:
            self.extreme.add(shape, picture)
            self.one_size.add(shape, picture, size)

    def lines(self, classes: Sequence[str], known: Sequence[str]) -> Iterator[str]:
        """Yield a line for each kind of slip, with the way out.

        classes: of the shapes; known: those that somebody listed, and so means
        """
        yield from self.rectangles.lines()
        if self.scored:
            yield (
                f"{self.scored} shapes have a model's score, the first of {self.first}, and are "
                "taken as if a person had drawn them; where nobody checked them, leave them out"
            )
        named = [name for name in classes if name not in known]
        notes = [name for name in self.tagged if name in named and name not in self.placed]
        if notes and self.placed:
            yield (
                f"only tags show {shorten(', '.join(notes), 60)}, which a model learns as classes "
                "of pixels; where they say something else of a picture, "
                f"--map '{notes[0]}=-' leaves one out"
            )
        placed = self.corner, self.padding, self.thousandths, self.percents
        drawn = self.strokes, self.outlines, self.leaping, self.extreme, self.one_size
        for one in (*placed, self.lost, self.half, self.one_side, *drawn, self.specks):
            yield from one.lines()
        for pattern, stem, names in numbered(named):
            yield (
                f"the classes {shorten(', '.join(names), 60)} differ by a number; where it counts "
                f"objects, --map '{pattern}={stem}' makes them one"
            )
        for name in named:
            if name.casefold() in HOLES:
                yield (
                    f"{name} is an object like any other; where it is a hole in others, "
                    f"--map '{name}=background'"
                )
            if is_called_background(name):
                yield (
                    f"{name} is an object like any other, beside the background; where it is what "
                    f"no object covers, --map '{name}=background'"
                )
            if is_void(name) or name.startswith("#") or is_blank(name):
                yield (
                    f"{name} is a class like any other; where it means that nobody knows, or is to "
                    f"label there, --map '{name}={UNTOLD}' leaves it unlabelled"
                )


def is_called_background(name: str) -> bool:
    """Return whether a class has a name that the background often has, other than its own."""
    is_unclear = is_blank(name) or is_void(name)
    is_one = is_background(name) or (name.casefold() in BEHIND and not is_unclear)
    return is_one and name not in ("background", BACKGROUND)


def numbered(names: Sequence[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (pattern for --map, stem, names) of names that differ by a number at their end."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in names:
        match = NUMBERED.fullmatch(name)
        if match:
            found[match[1] or match[3], match[2] or ""].append(name)
    for (stem, sign), alike in islice(found.items(), 3):
        if len(alike) > 1 or stem in names:
            yield f"{stem}{sign}*", stem, alike


def withdrawn_lines(
    withdrawn: Mapping[str, Collection[str]], accounted: Collection[str], others: Collection[str]
) -> Iterator[str]:
    """Yield a line on lists that an earlier import called complete, and this one does not, if any.

    withdrawn: {kind of label: pictures}; accounted: pictures of which something else tells why
    others: kinds whose lists this import calls complete
    """
    told = {kind: {*names} - {*accounted} for kind, names in withdrawn.items()}
    told = {kind: told[kind] for kind in SIGNALS if told.get(kind)}
    if told:
        parts = (f"{kind} in {len(names)} pictures" for kind, names in told.items())
        kinds = " ".join(kind for kind in SIGNALS if kind in told or kind in others)
        yield (
            f"lists that were complete before and are not any more: {', '.join(parts)}, the first "
            f"is {min(min(names) for names in told.values())}; where they still hold all objects, "
            f"add --complete {kinds}"
        )
