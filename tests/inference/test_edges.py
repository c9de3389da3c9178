"""follow_edges is the guided filter: local linear regression on grey values, averaged."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.inference.edges import SMOOTHNESS, follow_edges

SHAPES = st.tuples(st.integers(3, 14), st.integers(3, 14))
SEEDS = st.integers(0, 2**32 - 1)
RADIUS = st.floats(0, 0.35)


def photograph(shape, seed):
    """Return random colours [H, W, 3] uint8 of two halves, one dark and one bright."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 120, (*shape, 3))
    image[:, rng.integers(0, shape[1]) :] += 120
    return image.astype(np.uint8)


def chances(shape, seed, classes=3):
    """Return random probabilities [C, H, W] float32 that sum to 1."""
    values = np.random.default_rng(seed).dirichlet(np.ones(classes), shape)
    return np.moveaxis(values, 2, 0).astype(np.float32)


def windows(values, pixels):
    """Return [H, W, (2 * pixels + 1)^2] float64: the window around each pixel of values [H, W].

    Outside of the picture it is mirrored about the middle of its first and last pixels.
    """
    padded = np.pad(values.astype(float), pixels, mode="reflect")
    side = 2 * pixels + 1
    views = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    return views.reshape(*values.shape, -1)


def by_regression(one, grey, pixels):
    """Return a map [H, W] filtered by one ridge regression of each window on its grey values.

    The slope costs SMOOTHNESS a pixel. Each pixel takes the mean of the lines of all windows that
    it is in.
    """
    slopes, offsets = np.empty(one.shape), np.empty(one.shape)
    for place, (guide, values) in enumerate(
        zip(
            windows(grey, pixels).reshape(one.size, -1),
            windows(one, pixels).reshape(one.size, -1),
            strict=True,
        )
    ):
        design = np.stack([guide, np.ones_like(guide)], axis=1)
        ridge = np.diag([SMOOTHNESS * len(guide), 0.0])
        line = np.linalg.solve(design.T @ design + ridge, design.T @ values)
        slopes.flat[place], offsets.flat[place] = line
    return windows(slopes, pixels).mean(2) * grey + windows(offsets, pixels).mean(2)


@settings(max_examples=30)
@given(shape=SHAPES, seed=SEEDS, pixels=st.integers(1, 2))
def test_each_window_is_a_linear_regression_on_grey_values(shape, seed, pixels):
    image, before = photograph(shape, seed), chances(shape, seed, 2)
    after = follow_edges(before, image, pixels / max(shape))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) / 255
    expected = [by_regression(one, grey, pixels) for one in before]
    assert after.dtype == np.float32 and after.shape == before.shape
    np.testing.assert_allclose(after, expected, atol=1e-3)


@given(shape=SHAPES, seed=SEEDS, radius=RADIUS, classes=st.integers(1, 4))
def test_maps_that_sum_to_1_still_do(shape, seed, radius, classes):
    before = chances(shape, seed, classes)
    kept = before.copy()
    after = follow_edges(before, photograph(shape, seed), radius)
    np.testing.assert_allclose(after.sum(0), 1, atol=1e-4)
    assert np.array_equal(before, kept)  # what is given stays as it is


@given(shape=SHAPES, seed=SEEDS, radius=RADIUS, value=st.floats(0, 1, width=32))
def test_constant_maps_stay(shape, seed, radius, value):
    before = np.full((1, *shape), value, np.float32)
    after = follow_edges(before, photograph(shape, seed), radius)
    np.testing.assert_allclose(after, before, atol=1e-4)


@given(shape=SHAPES, seed=SEEDS, share=st.floats(0, 0.49))
def test_below_a_pixel_nothing_changes(shape, seed, share):
    before = chances(shape, seed)
    after = follow_edges(before, photograph(shape, seed), share / max(shape))
    assert np.array_equal(after, before)


@given(shape=SHAPES, seed=SEEDS, radius=RADIUS, side=st.sampled_from([(1,), (2,), (1, 2)]))
def test_a_mirrored_photograph_has_mirrored_maps(shape, seed, radius, side):
    image, before = photograph(shape, seed), chances(shape, seed)
    after = follow_edges(before, image, radius)
    mirrored_image = np.ascontiguousarray(np.flip(image, [axis - 1 for axis in side]))
    mirrored = follow_edges(np.ascontiguousarray(np.flip(before, side)), mirrored_image, radius)
    np.testing.assert_allclose(mirrored, np.flip(after, side), atol=2e-4)


@given(shape=SHAPES, seed=SEEDS, pixels=st.integers(1, 2), grey=st.integers(0, 255))
def test_a_photograph_without_edges_blurs_twice(shape, seed, pixels, grey):
    before = chances(shape, seed, 2)
    after = follow_edges(before, np.full((*shape, 3), grey, np.uint8), pixels / max(shape))
    for one, result in zip(before, after, strict=True):
        once = windows(one, pixels).mean(2)
        np.testing.assert_allclose(result, windows(once, pixels).mean(2), atol=1e-3)


@pytest.mark.parametrize("turned", [False, True])
def test_a_blurred_border_moves_to_the_edge_of_the_photograph(turned):
    """Chances change along an edge of grey values, and far less where nothing is to be seen."""
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = 255
    slope = np.clip((np.arange(40) - 8) / 24, 0, 1).astype(np.float32)
    before = np.stack([np.tile(1 - slope, (40, 1)), np.tile(slope, (40, 1))])
    if turned:
        image, before = image.transpose(1, 0, 2).copy(), before.transpose(0, 2, 1).copy()
    after = follow_edges(before, image, 8 / 40)
    profile = after[1, :, 5] if turned else after[1, 5]
    steps = np.diff(profile)
    assert steps.argmax() == 19 and steps[19] > 5 * np.delete(steps, 19).max()


@given(seed=SEEDS, width=st.integers(8, 20), height=st.integers(8, 20))
def test_windows_are_as_wide_as_the_longer_side_says(seed, width, height):
    """One pixel changes the maps up to two radii around it, and nothing beyond."""
    image = np.full((height, width, 3), 90, np.uint8)
    before = np.zeros((1, height, width), np.float32)
    row, column = np.random.default_rng(seed).integers(0, (height, width))
    before[0, row, column] = 1
    pixels = round(0.1 * max(width, height))
    after = follow_edges(before, image, 0.1)
    rows, columns = np.nonzero(np.abs(after[0]) > 1e-5)
    reach = max(np.abs(rows - row).max(), np.abs(columns - column).max())
    assert reach <= 2 * pixels
