"""Rings are filled row by row exactly as scikit-image fills them pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon

from weakseg.labels.formats import filling
from weakseg.labels.formats.filling import ring_pixels, rows_filled

GRIDS = {"whole": 1, "half": 2, "third": 3, "hundredth": 100, "any": None}


def pixel_by_pixel(x, y, shape):
    """Return the pixels as the library has them."""
    pixels = np.zeros(shape, bool)
    pixels[polygon(y, x, shape)] = True
    return pixels


def corners_of(random, number, grid):
    """Return (x, y) of corners, some twice, some rings there and back, some nearly on the grid."""
    places = random.uniform(-6, 30, (2, number))
    if GRIDS[grid]:
        places = np.round(places * GRIDS[grid]) / GRIDS[grid]
        places += random.choice([0, 0, 1e-13, -3e-15, 1e-11, 1e-9], (2, number))
    if random.random() < 0.3:
        places = np.repeat(places, 2, 1)
    if random.random() < 0.3:
        places = np.hstack([places, places[:, ::-1]])
    return places


@pytest.mark.parametrize("grid", GRIDS)
@given(st.integers(1, 60), st.integers(1, 24), st.integers(1, 24), st.integers(0, 9999))
@settings(max_examples=60)
def test_rows_are_filled_as_the_library_fills_pixels(grid, number, height, width, seed):
    x, y = corners_of(np.random.default_rng(seed), number, grid)
    expected = pixel_by_pixel(x, y, (height, width))
    assert (rows_filled(x, y, (height, width)) == expected).all()


def test_a_ring_of_many_corners_is_the_same_in_parts(monkeypatch):
    angle = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    radius = 60 + np.random.default_rng(0).normal(0, 3, 4000)
    x, y = (70 + radius * turn(angle) for turn in (np.cos, np.sin))
    expected = pixel_by_pixel(x, y, (140, 150))
    for at_once in (filling.AT_ONCE, 500):
        monkeypatch.setattr(filling, "AT_ONCE", at_once)
        assert (ring_pixels(x, y, (140, 150)) == expected).all()
