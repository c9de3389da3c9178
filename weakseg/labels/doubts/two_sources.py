"""What two sources draw otherwise on the same pictures, and what the complete lists of one lack."""

import shlex
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from weakseg.data.class_list import is_background
from weakseg.labels.fitting import ends_of
from weakseg.labels.formats.geometry import box_of
from weakseg.labels.formats.records import SIGNAL, Shape
from weakseg.labels.store import Given

FEWEST, SHARE = 3, 0.05  # cases from which on they are no slip, and their share of shapes
ALIKE, TOUCHING = 0.3, 0.1  # IoU from which on boxes are of one thing; and below which of none
SAME = 0.8  # from which on they are the same
NEAR, PIXELS = 0.01, 3  # share of a longer side, and pixels, within which clicks mean one thing
MARKED, MARKS = ("click", "stroke"), 2  # and how many of a picture show what it shows
MOST = 0.5  # share of pictures from which on two classes are no chance
LISTS = ("boxes", "outlines", "full")  # which show each object once
CALLED = {"full": "polygons and masks"}

Case = tuple[str, str]  # picture, what it is there


class Pair:
    """What two sources say of the pictures that both label.

    boxes, clicks  number of those of the later one that mean what one of the earlier means
    drawn, named  cases of these: boxes that differ, clicks of another class
    shown, denied  numbers of pictures in which marks of each mean one class, and cases of two
    objects  {(source, kind of label): number of objects that its complete lists are to have}
    lacking  {(source, kind of label): those that they lack}
    """

    def __init__(self) -> None:
        self.boxes, self.clicks = 0, 0
        self.drawn: list[Case] = []
        self.named: list[Case] = []
        self.shown = 0
        self.denied: list[Case] = []
        self.objects: dict[tuple[str, str], int] = defaultdict(int)
        self.lacking: dict[tuple[str, str], list[Case]] = defaultdict(list)

    def add_boxes(self, key: str, earlier: Sequence[Shape], later: Sequence[Shape]) -> None:
        """Compare the boxes of a picture."""
        for shape, best in zip(later, best_overlaps(later, earlier), strict=True):
            self.boxes += best >= ALIKE
            if ALIKE <= best < SAME:
                self.drawn.append((key, shape.label or ""))

    def add_clicks(
        self, key: str, earlier: Sequence[Shape], later: Sequence[Shape], side: float
    ) -> None:
        """Compare the clicks on objects of a picture; side: the longer of its sides."""
        if not (earlier and later):
            return
        places = [np.array([shape.geometry for shape in one], float) for one in (later, earlier)]
        apart = np.hypot(*np.moveaxis(places[0][:, None] - places[1][None], -1, 0))
        for shape, row in zip(later, apart <= max(PIXELS, NEAR * side), strict=True):
            others = {earlier[k].label for k in np.flatnonzero(row).tolist()}
            self.clicks += bool(others)
            if others and shape.label not in others:
                self.named.append((key, f"{shape.label} and {min(map(str, others))}"))

    def add_classes(
        self, key: str, marks: Sequence[Sequence[Shape]], known: Collection[str | None]
    ) -> None:
        """Compare the classes of each one's marks on objects in a picture; known: to both.

        Two or more of one class, and none of another, show that the picture has one kind of object.
        """
        classes = [{shape.label for shape in one} for one in marks]
        is_one = all(len(one) >= MARKS for one in marks) and all(len(one) == 1 for one in classes)
        if is_one and set().union(*classes) <= {*known}:
            self.shown += 1
            earlier, later = (one[0].label for one in marks)
            if earlier != later:
                self.denied.append((key, f"{later} and {earlier}"))

    def add_list(
        self, which: tuple[str, str], key: str, listed: Sequence[Shape], others: Sequence[Shape]
    ) -> None:
        """Compare a complete list of a source with what the other one shows; which: see above."""
        self.objects[which] += len(others)
        for shape, best in zip(others, best_overlaps(others, listed), strict=True):
            if best < TOUCHING:
                self.lacking[which].append((key, shape.label or ""))


def two_sources_lines(given: Mapping[str, Mapping[str, Given]]) -> Iterator[str]:
    """Yield a line for each way in which two sources differ, with the first picture.

    given: of `Store.given`
    """
    knows: dict[str, set[str | None]] = defaultdict(set)
    for sources in given.values():
        for source, one in sources.items():
            knows[source] |= {shape.label for shape in one.placed}
    pairs: dict[tuple[str, str], Pair] = defaultdict(Pair)
    for key, sources in given.items():
        for earlier, later in combinations(sources, 2):
            compare(pairs[earlier, later], key, earlier, later, sources, knows)
    for (earlier, later), pair in pairs.items():
        yield from lines_of(pair, earlier, later)


def compare(
    pair: Pair,
    key: str,
    earlier: str,
    later: str,
    sources: Mapping[str, Given],
    knows: Mapping[str, set[str | None]],
) -> None:
    """Compare what two sources say of a picture; knows: {source: classes that it shows somewhere}.

    A list without shapes, which says that nothing is there, is told elsewhere.
    """
    told = {name: objects_of(sources[name]) for name in (earlier, later)}
    boxes, clicks = (
        [of_signal(told[name], signal) for name in (earlier, later)]
        for signal in ("boxes", "points")
    )
    pair.add_boxes(key, boxes[0], boxes[1])
    pair.add_clicks(key, clicks[0], clicks[1], max(sources[later].size or (0, 0)))
    marks = [[one for one in told[n] if one.kind in MARKED] for n in (earlier, later)]
    pair.add_classes(key, marks, knows[earlier] & knows[later])
    for name, other in ((earlier, later), (later, earlier)):
        for signal in LISTS:
            listed = of_signal(told[name], signal)
            if listed and signal in sources[name].complete:
                shown = of_signal(told[other], signal)
                known = [shape for shape in shown if shape.label in knows[name]]
                pair.add_list((name, signal), key, listed, known)


def lines_of(pair: Pair, earlier: str, later: str) -> Iterator[str]:
    """Yield a line for each way in which two sources differ too often for a slip."""
    if is_often(pair.drawn, pair.boxes):
        key, label = pair.drawn[0]
        yield (
            f"{len(pair.drawn)} boxes of {later} are around what others of {earlier} are around, "
            f"and differ, the first of {label} in {key}; both hold: where one is a later version, "
            f"import it with --source {shlex.quote(earlier)}"
        )
    if is_often(pair.named, pair.clicks):
        key, labels = pair.named[0]
        yield (
            f"{len(pair.named)} clicks of {later} lie beside others of {earlier} of another class, "
            f"the first in {key} ({labels}); mend one of the two"
        )
    elif len(pair.denied) >= max(FEWEST, MOST * pair.shown):
        key, labels = pair.denied[0]
        yield (
            f"in {len(pair.denied)} of {pair.shown} pictures clicks and strokes of {later} are all "
            f"of one class and those of {earlier} of another, the first in {key} ({labels}); where "
            "both mean the same thing, mend one of the two"
        )
    for (source, signal), cases in pair.lacking.items():
        if is_often(cases, pair.objects[source, signal]):
            (key, label), other = cases[0], earlier if source == later else later
            yield (
                f"complete lists of {CALLED.get(signal, signal)} of {source} lack {len(cases)} "
                f"objects that {other} shows, the first a {label} in {key}; the objects hold: "
                f"remove them where {source} is right, or import it with --complete none"
            )


def is_often(cases: Sequence[Case], number: int) -> bool:
    """Return whether cases are too many of a number of shapes to be slips."""
    return len(cases) >= max(FEWEST, SHARE * number)


def objects_of(one: Given) -> list[Shape]:
    """Return the shapes on objects that a source has of a picture."""
    return [shape for shape in one.placed if shape.label and not is_background(shape.label)]


def of_signal(shapes: Sequence[Shape], signal: str) -> list[Shape]:
    """Return the shapes of a kind of label."""
    return [shape for shape in shapes if SIGNAL[shape.kind] == signal]


def best_overlaps(shapes: Sequence[Shape], others: Sequence[Shape]) -> np.ndarray:
    """Return the largest IoU [N] of the box of each shape with those of others of its class."""
    best = np.zeros(len(shapes))
    for label in {shape.label for shape in shapes} & {shape.label for shape in others}:
        mine = np.array([shape.label == label for shape in shapes])
        boxes = [
            np.array([box_of(ends_of(shape)) for shape in one if shape.label == label], float)
            for one in (shapes, others)
        ]
        (low, high), (other_low, other_high) = (np.split(one, 2, 1) for one in boxes)
        sides = np.minimum(high[:, None], other_high) - np.maximum(low[:, None], other_low)
        both = np.clip(sides, 0, None).prod(-1)
        areas = (high - low).prod(1)[:, None] + (other_high - other_low).prod(1) - both
        best[mine] = (both / np.maximum(areas, 1e-9)).max(1)
    return best
