"""Shapes of one size, as a tool stamps them around clicks, are told, and no other ones."""

import numpy as np
import pytest

from weakseg.labels.doubts.one_size import FEWEST, OneSize
from weakseg.labels.formats.geometry import ellipse
from weakseg.labels.formats.records import Shape


def shape_of(kind, middle, radii):
    """Return a box, or an ellipse of the other kinds."""
    if kind == "box":
        return Shape(kind, "cat", [*np.subtract(middle, radii), *np.add(middle, radii)])
    ring = ellipse(middle, radii)
    return Shape(kind, "cat", ring if kind == "outline" else [[ring]])


def told(shapes, size):
    """[(shape, picture)] -> the lines."""
    tally = OneSize()
    for shape, scale in shapes:
        tally.add(shape, "a", [side * scale for side in size])
    return [*tally.lines()]


@pytest.mark.parametrize("kind", ["box", "outline", "polygon"])
@pytest.mark.parametrize("is_share", [False, True])
def test_shapes_of_one_size_are_told_in_pixels_or_shares(kind, is_share):
    draw = np.random.default_rng(0)
    scales = [1 + is_share * k % 3 for k in range(40)]
    places = [draw.uniform(60, 240, 2) * scale for scale in scales]

    def stamped(number, noise=0 if is_share else 0.4):
        radii = [[25 * s, 20 * s] + noise * draw.uniform(0, 1, 2) for s in scales]
        shapes = map(shape_of, [kind] * number, places, radii)
        return [*zip(shapes, scales, strict=False)]

    edge = [(shape_of(kind, (10 + k, 100), (10 + k, 50)), 1) for k in range(20)]  # cut there
    assert not told(stamped(FEWEST - 1) + edge, (300, 300))
    (line,) = told(stamped(FEWEST) + edge, (300, 300))
    assert f"{FEWEST} of {FEWEST}" in line
    assert ("--as points" in line) == (kind == "polygon")
    assert ("thousandths" in line) == is_share
    assert not told(stamped(40, noise=8), (300, 300))
    assert not told(stamped(FEWEST)[:1] * 40, (300, 300))  # of a camera that stands still


def test_sizes_of_few_pixels_are_alike_where_they_are_equal():
    draw = np.random.default_rng(0)
    places, sides = draw.integers(50, 400, (2, 60, 2)), draw.integers(2, 5, (60, 2))
    for radii, is_told in ((sides / 2, False), (np.full((60, 2), 1.5), True)):
        boxes = map(shape_of, ["box"] * 60, places[0], radii)
        assert bool(told([(box, 1) for box in boxes], (500, 500))) == is_told
