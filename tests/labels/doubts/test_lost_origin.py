"""Shapes that all begin in the upper left corner are told, unless they may well be there."""

import numpy as np
import pytest

from weakseg.labels.doubts.lost_origin import FEWEST, MOST_OF, LostOrigin
from weakseg.labels.formats.geometry import corners
from weakseg.labels.formats.records import Shape
from weakseg.labels.formats.runs import mask_geometry

SIZE = (80, 60)


def shape_of(kind, left, top, width, height):
    """Return a shape that fills a box."""
    if kind == "mask":
        return Shape(kind, "cat", mask_geometry(np.ones((height, width), bool), left, top))
    box = [left, top, left + width, top + height]
    ring = [[float(x), float(y)] for x, y in corners(box)]
    return Shape(kind, "cat", {"box": box, "outline": ring, "polygon": [[ring]]}[kind])


def told(shapes):
    """Return the lines on shapes of as many pictures."""
    tally = LostOrigin()
    for number, shape in enumerate(shapes):
        tally.add(shape, f"{number}", SIZE)
    return [*tally.lines()]


@pytest.mark.parametrize("kind", ["box", "outline", "polygon", "mask"])
def test_shapes_in_the_upper_left_corner_are_told_where_nearly_all_are(kind):
    lost = [shape_of(kind, 0, 0, 20 + k, 30) for k in range(3 * FEWEST)]
    others = [shape_of(kind, 9, k % 2, 20, 30) for k in range(1 + int(len(lost) / MOST_OF))]
    few = len(lost) * (1 / MOST_OF - 1)
    assert not told(lost[: FEWEST - 1])
    wide = [shape_of(kind, 0, 0, 80, 30), shape_of(kind, 50, 20, 30, 40)]  # tell nothing
    (line,) = told(lost + others[: int(few)] + wide)
    assert line.startswith(f"{len(lost)} of {len(lost) + int(few) + 2} shapes begin")
    assert not told(lost + others[: int(few) + 1])


@pytest.mark.parametrize("kind", ["polygon", "mask"])
@pytest.mark.parametrize("short", [0, 1])  # whether the last pixel's number is the edge
def test_skies_and_backgrounds_are_no_fault(kind, short):
    skies = [shape_of(kind, 0, 0, 80 - short, 20 + k) for k in range(30)]
    walls = [shape_of(kind, 0, 0, 20 + k, 60 - short) for k in range(30)]
    corner = [shape_of(kind, 0, 0, 20 + k, 30) for k in range(20)]
    assert not told(skies + walls + corner)
