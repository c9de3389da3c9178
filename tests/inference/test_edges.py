"""follow_edges is the guided filter: local linear regression on colours, averaged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.inference import edges
from weakseg.inference.edges import (
    LONGEST,
    SMOOTHNESS,
    follow_edges,
    mask_along_edges,
    resized,
    working_size,
)

SHAPES = st.tuples(st.integers(1, 14), st.integers(1, 14))
SEEDS = st.integers(0, 2**32 - 1)
RADIUS = st.floats(0, 0.35)
SHRUNK = st.tuples(st.floats(0.2, 1), st.floats(0.2, 1))  # shares of the photograph's sides


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


def smaller(shape, shares):
    """Return a shape of shares of the sides of another, at least a pixel."""
    return tuple(max(1, round(side * share)) for side, share in zip(shape, shares, strict=True))


def windows(values, pixels):
    """Return [H, W, (2 * pixels + 1)^2] float64: the window around each pixel of values [H, W].

    Outside of the picture it is mirrored about the middle of its first and last pixels.
    """
    padded = np.pad(values.astype(float), pixels, mode="reflect")
    side = 2 * pixels + 1
    views = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    return views.reshape(*values.shape, -1)


def by_regression(one, colours, pixels):
    """Return a map [H, W] filtered by one ridge regression of each window on its three colours.

    The squared slope costs SMOOTHNESS a pixel. Each pixel takes the mean of the linear functions of
    all windows that it is in, at its own colours [H, W, 3].
    """
    guides = np.stack([windows(colour, pixels) for colour in np.moveaxis(colours, 2, 0)], -1)
    lines = np.empty((4, *one.shape))
    for row, column in np.ndindex(one.shape):
        guide = guides[row, column]
        design = np.column_stack([guide, np.ones(len(guide))])
        ridge = np.diag([SMOOTHNESS * len(guide)] * 3 + [0.0])
        values = windows(one, pixels)[row, column]
        lines[:, row, column] = np.linalg.solve(design.T @ design + ridge, design.T @ values)
    red, green, blue, offset = (windows(line, pixels).mean(2) for line in lines)
    return (np.stack([red, green, blue], -1) * colours).sum(2) + offset


@settings(max_examples=30)
@given(shape=SHAPES, seed=SEEDS, pixels=st.integers(1, 2))
def test_each_window_is_a_linear_regression_on_colours(shape, seed, pixels):
    image, before = photograph(shape, seed), chances(shape, seed, 2)
    after = follow_edges(before, image, pixels / max(shape))
    expected = [by_regression(one, image / 255, pixels) for one in before]
    assert after.dtype == np.float32 and after.shape == before.shape
    np.testing.assert_allclose(after, expected, atol=1e-3)


def test_a_border_that_only_colours_show_is_followed():
    """Both sides are equally bright."""
    image = np.zeros((30, 40, 3), np.uint8)
    image[:, :20], image[:, 20:] = (200, 60, 10), (20, 151, 10)
    slope = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (30, 1))
    steps = np.diff(follow_edges(slope[None], image, 8 / 40)[0, 5])
    assert steps.argmax() == 19 and steps[19] > 5 * np.delete(steps, 19).max()


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


# ---- probabilities that are smaller than the photograph


@given(shape=SHAPES, shares=SHRUNK, seed=SEEDS, radius=RADIUS, classes=st.integers(1, 4))
def test_smaller_maps_get_the_photograph_s_size_and_still_sum_to_1(
    shape, shares, seed, radius, classes
):
    before = chances(smaller(shape, shares), seed, classes)
    after = follow_edges(before, photograph(shape, seed), radius)
    assert after.shape == (classes, *shape) and after.dtype == np.float32
    np.testing.assert_allclose(after.sum(0), 1, atol=1e-3)


@given(shape=SHAPES, shares=SHRUNK, seed=SEEDS, radius=RADIUS, value=st.floats(0, 1, width=32))
def test_smaller_constant_maps_stay(shape, shares, seed, radius, value):
    before = np.full((1, *smaller(shape, shares)), value, np.float32)
    after = follow_edges(before, photograph(shape, seed), radius)
    np.testing.assert_allclose(after, value, atol=1e-3)


@given(shape=SHAPES, shares=SHRUNK, seed=SEEDS, share=st.floats(0, 0.49))
def test_below_a_pixel_smaller_maps_are_enlarged_and_no_more(shape, shares, seed, share):
    before = chances(smaller(shape, shares), seed)
    after = follow_edges(before, photograph(shape, seed), share / max(before.shape[1:]))
    assert np.array_equal(after, [resized(one, shape[::-1]) for one in before])
    assert after.min() >= 0 and after.max() <= 1


@given(shape=SHAPES, shares=SHRUNK, seed=SEEDS, radius=RADIUS, classes=st.integers(1, 6))
def test_a_mask_is_the_first_of_the_likeliest_classes(shape, shares, seed, radius, classes):
    before = chances(smaller(shape, shares), seed, classes).round(1)  # some are equally likely
    image = photograph(shape, seed)
    mask = mask_along_edges(before, image, radius)
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, follow_edges(before, image, radius).argmax(0))


@given(shape=SHAPES, seed=SEEDS, pixels=st.integers(1, 3), band=st.integers(1, 200))
def test_bands_of_rows_change_nothing(shape, seed, pixels, band):
    before, image = chances(shape, seed), photograph(shape, seed)
    expected = follow_edges(before, image, pixels / max(shape))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edges, "BAND", band)
        found = follow_edges(before, image, pixels / max(shape))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def waves(shape, seed, channels):
    """Return smooth values [*shape, channels] float32 in [0, 1]: a wave over the whole picture."""
    rng = np.random.default_rng(seed)
    y, x = (np.arange(side) / max(shape) for side in shape)
    across, down, phase = rng.uniform(-4, 4, (3, channels))
    values = np.sin(x[None, :, None] * across + y[:, None, None] * down + phase)
    return (0.5 + 0.5 * values).astype(np.float32)


@settings(max_examples=20)
@given(seed=SEEDS, factor=st.sampled_from([2, 4]), pixels=st.integers(1, 4))
def test_of_a_smooth_photograph_a_small_copy_is_enough(seed, factor, pixels):
    size = (24 * factor, 32 * factor)
    image = (255 * waves(size, seed, 3)).astype(np.uint8)
    before = waves(size, seed + 1, 2)
    before = np.moveaxis(before / before.sum(2, keepdims=True).clip(0.1), 2, 0).copy()
    small = np.stack([resized(one, (32, 24)) for one in before])
    after, full = (follow_edges(one, image, pixels / 32) for one in (small, before))
    assert np.abs(after - full).mean() < 0.01


@given(width=st.integers(1, 5000), height=st.integers(1, 5000), frame=st.integers(0, 5000))
def test_the_working_size_is_the_photograph_s_or_one_of_its_shape_that_is_not_too_long(
    width, height, frame
):
    small = working_size(width, height, frame)
    assert all(isinstance(side, int) and side >= 1 for side in small)
    assert working_size(height, width, frame) == small[::-1]
    longest = min(max(LONGEST, round(frame / edges.FRAME_PIXELS)), edges.MOST)
    assert max(small) == min(longest, max(width, height))
    factor = max(small) / max(width, height)
    for side, before in zip(small, (width, height), strict=True):
        assert side == 1 or abs(side - factor * before) <= 0.5
