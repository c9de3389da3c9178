"""Shapes that lie in several pictures at the very same place: a tool may have pasted them.

labelImg puts the boxes of the last picture into the next one, and scripts save one mask twice.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from weakseg.data.twins import equal_files
from weakseg.labels.doubts.rectangles import LEAST, is_rectangle
from weakseg.labels.fitting import ends_of
from weakseg.labels.formats.geometry import box_of
from weakseg.labels.formats.records import AREAS, Shape

Drawn = Mapping[str, tuple[Sequence[Shape], Sequence[float]]]

# How much it says that a shape is the same in two pictures, and from where on it is no chance.
CLICK, FRAME, FORM, ENOUGH = 1, 2, 3, 3
MANY = 3  # pictures from which on it is no chance that all have one box


def weight(shape: Shape, size: Sequence[float]) -> int:
    """Return how much it says that another picture has the same shape; size: (width, height).

    That one has the same box, or straight stroke, says less than that it has the same form; that
    both have a box from edge to edge says nothing. What is tiny says no more than a click.
    """
    if shape.kind in ("tag", "answer"):
        return 0
    left, top, right, bottom = sides = box_of(ends_of(shape))
    if max(right - left, bottom - top) < LEAST:
        return CLICK
    is_straight = shape.kind == "stroke" and len(shape.geometry["path"]) < 3
    is_rectangular = shape.kind in AREAS and is_rectangle(shape)
    if shape.kind != "box" and not is_straight and not is_rectangular:
        return FORM
    edges = (0, 0, *size)
    free = sum(abs(side - edge) >= 1 for side, edge in zip(sides, edges, strict=True))
    return FRAME if free >= 3 else 0


def copied(drawn: Drawn) -> Iterator[tuple[str, str]]:
    """Yield (picture, an earlier one that has the same shapes at the same places).

    drawn: {id: its shapes, (width, height)}
    """
    holders: dict[int, dict[str, Shape]] = defaultdict(dict)
    for picture, (shapes, _) in drawn.items():
        for shape in shapes:
            holders[hash((shape.kind, shape.label, repr(shape.geometry)))][picture] = shape
    shared: dict[str, Counter[str]] = defaultdict(Counter)
    for same in holders.values():
        first, *others = same
        if others:
            said = weight(same[first], drawn[first][1])
            said = ENOUGH if said == FRAME and len(same) >= MANY else said
            for picture in others:
                shared[picture][first] += said
    for picture in filter(shared.__contains__, drawn):
        ((first, said),) = shared[picture].most_common(1)
        if said >= ENOUGH:
            yield picture, first


def copied_lines(drawn: Drawn, files: Mapping[str, Path]) -> Iterator[str]:
    """Yield a line where pictures have shapes of another one, if any.

    drawn: {id: its shapes, (width, height)}; files: {id: photograph}, of which equal ones may well
    have the same
    """
    pairs = [
        (one, first)
        for one, first in copied(drawn)
        if not equal_files(*([files[key]] if key in files else [] for key in (one, first)))
    ]
    if pairs:
        one, first = pairs[0]
        yield (
            f"{len(pairs)} pictures have shapes exactly where another one has them, the first "
            f"{one} as {first}; unless the camera stood still, they were pasted: draw them anew"
        )
