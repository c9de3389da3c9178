"""Strokes and outlines that zeros fill up, or begin, are told; what the corner shows is not."""

import numpy as np
import pytest

from weakseg.labels.doubts.from_corner import FEWEST, MOST_OF, FromCorner
from weakseg.labels.formats.geometry import ellipse
from weakseg.labels.formats.records import Shape

RING = ellipse([60, 40], [20, 9])


def shape_of(kind, places):
    """Return a stroke, an outline or a polygon through places."""
    if kind == "stroke":
        return Shape(kind, "cat", {"width": 1, "path": places})
    return Shape(kind, "cat", places if kind == "outline" else [[places]])


def told(kind, filled, number, others=RING):
    """Return the lines on a number of shapes, and on such that should pass."""
    tally = FromCorner()
    for places in [others] * (int(number / MOST_OF) - number) + [filled] * number:
        tally.add(shape_of(kind, places), "a")
    return [*tally.lines()]


@pytest.mark.parametrize("kind", ["stroke", "outline", "polygon"])
@pytest.mark.parametrize("zeros", [[[0.0, 0.0]], [[0.0, 0.0]] * 9, [[0.5, 0.5]]])
def test_what_zeros_fill_up_is_told(kind, zeros):
    for filled in (RING + zeros, zeros + RING):
        assert not told(kind, filled, FEWEST - 1)
        (line,) = told(kind, filled, FEWEST)
        assert "upper left corner (0, 0), the first in a;" in line
    if kind != "stroke":
        assert told(kind, RING[:9] + zeros + RING[9:], FEWEST)


@pytest.mark.parametrize("kind", ["outline", "polygon"])
def test_a_sky_in_the_corner_is_no_fault(kind):
    sky = [[0.0, 0.0], [300.0, 0.0], [300.0, 60.0], [120.0, 90.0], [0.0, 80.0]]
    for ring in (sky, sky[1:] + sky[:1], sky[::-1], [[0.0, 0.0], *sky]):
        assert not told(kind, ring, 20)
    assert not told("stroke", [*np.add(sky, 2).tolist(), [0.0, 90.0]], 20)
