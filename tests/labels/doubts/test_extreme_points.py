"""Polygons through the four extreme points of objects are told, and no other quadrilaterals."""

import numpy as np
import pytest

from weakseg.labels.doubts.extreme_points import FEWEST, MOST_OF, ExtremePoints
from weakseg.labels.formats.geometry import corners, ellipse, turned
from weakseg.labels.formats.records import Shape

DRAW = np.random.default_rng(0)


def told(rings, kind="polygon"):
    """Return the lines on outlines."""
    tally = ExtremePoints()
    for number, ring in enumerate(rings):
        geometry = [[float(x), float(y)] for x, y in ring]
        tally.add(Shape(kind, "cat", geometry if kind == "outline" else [[geometry]]), f"{number}")
    return [*tally.lines()]


def extreme(number):
    """Return rings through the extreme points of turned ellipses."""
    rings = []
    for _ in range(number):
        ring = np.array(ellipse([60, 60], DRAW.uniform(25, 50, 2), DRAW.uniform(0, 180)))
        ring += DRAW.uniform(0, 1, ring.shape)
        ends = ring[:, 0].argmin(), ring[:, 1].argmin(), ring[:, 0].argmax(), ring[:, 1].argmax()
        rings.append([ring[k] for k in ends])
    return rings


def quadrilaterals(number, slip):
    """Return turned boxes whose corners are set by hand, to shares of the shorter side."""
    rings = []
    for _ in range(number):
        right, bottom = DRAW.uniform(20, 60, 2)
        ring = turned(corners([0, 0, right, bottom]), [0, 0], DRAW.uniform(0, 360))
        rings.append(np.add(ring, slip * min(right, bottom) * DRAW.normal(size=(4, 2))))
    return rings


@pytest.mark.parametrize("kind", ["polygon", "outline"])
def test_extreme_points_are_told_where_nearly_all_outlines_are_some(kind):
    assert not told(extreme(FEWEST - 1), kind)
    number = 3 * FEWEST
    others = int(number / MOST_OF - number)
    fine = [ellipse([50, 50], [20, 9])] * (others + 1)
    (line,) = told(extreme(number) + fine[:-1], kind)
    assert line.startswith(f"{number} of {number + others} outlines")
    assert not told(extreme(number) + fine, kind)
    triangles = [ring[:3] for ring in extreme(number)]
    assert told(extreme(number) + triangles[:FEWEST], kind)  # two of the points are one
    assert not told(extreme(number)[:FEWEST] + triangles, kind)


@pytest.mark.parametrize("slip", [0, 0.02, 0.05])
def test_turned_boxes_and_upright_ones_are_none(slip):
    assert not told(quadrilaterals(60, slip))
    assert not told([corners([0, 0, 20 + k, 30]) for k in range(60)])
    assert not told([[[0, 5], [40 + k, 0], [40 + k, 30], [0, 25]] for k in range(60)])  # a door
