"""A sample of labelled pixels: all of them up to its size, then as many, whatever their order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.training.pixel_sample import LabelledPixels, PixelSample, merged

COUNTS = st.lists(st.integers(0, 12), min_size=1, max_size=20)
MOST = st.integers(1, 40)
NOTHING = np.empty((0, 2), np.float16)


def images_of(counts):
    """Return the pixels of images, the features of each pixel being its image and its number."""
    return [
        LabelledPixels(
            np.stack([np.full(count, image), np.arange(count)], axis=1).astype(np.float16),
            np.arange(count) % 3,
            np.random.default_rng([image, 1]).uniform(0.1, 2, count),
            np.full(count, image),
        )
        for image, count in enumerate(counts)
    ]


def sample_of(images, most, seed=0):
    """Return the sample of images, each with random numbers that do not depend on the others."""
    sample = PixelSample(most)
    for pixels in images:
        image = pixels.images[0] if len(pixels) else 0
        sample.add(pixels, np.random.default_rng([seed, image]))
        held = sum(map(len, sample.parts))
        assert held == sample.held <= 2 * most
    return sample.drawn(NOTHING)


def same(one, other):
    return all(np.array_equal(vars(one)[name], vars(other)[name]) for name in vars(one))


@given(counts=COUNTS, more=st.integers(0, 9))
def test_up_to_the_most_all_pixels_are_kept_as_they_are(counts, more):
    images = images_of(counts)
    kept = sample_of(images, max(1, sum(counts)) + more)
    assert same(kept, merged(images, NOTHING))


@given(counts=COUNTS, most=MOST, seed=st.integers(0, 99))
def test_beyond_it_as_many_are_kept_without_repetition_and_weigh_as_much(counts, most, seed):
    images = images_of(counts)
    every, kept = merged(images, NOTHING), sample_of(images, most, seed)
    assert len(kept) == min(most, len(every))
    assert kept.weights.sum() == pytest.approx(every.weights.sum())
    # The pixels are whole, in their order, and keep the proportions of their weights.
    rows = [*map(tuple, every.features)]
    numbers = [rows.index(tuple(row)) for row in kept.features]
    assert numbers == sorted({*numbers})
    chosen = every.part(np.array(numbers, int))
    assert np.array_equal(kept.classes, chosen.classes)
    assert np.array_equal(kept.images, chosen.images)
    if len(kept):
        assert np.ptp(kept.weights / chosen.weights) < 1e-9


@given(counts=COUNTS, most=MOST, seed=st.integers(0, 99))
def test_the_order_of_images_does_not_matter(counts, most, seed):
    images = [pixels for pixels in images_of(counts) if len(pixels)]
    order = np.random.default_rng(seed).permutation(len(images))
    one, other = (sample_of(given, most) for given in (images, [images[i] for i in order]))
    assert {*map(tuple, one.features)} == {*map(tuple, other.features)}


def test_every_pixel_is_as_likely_to_be_kept():
    """Over many seeds: of early and late images, and of those with many pixels and few."""
    counts, most, seeds = [1, 12, 3, 0, 12, 2, 10], 10, 3000
    images, kept = images_of(counts), np.zeros((len(counts), max(counts)))
    for seed in range(seeds):
        places = sample_of(images, most, seed).features.astype(int)
        kept[places[:, 0], places[:, 1]] += 1
    there = np.arange(max(counts)) < np.array(counts)[:, None]
    share = most / sum(counts)
    error = (share * (1 - share) / seeds) ** 0.5
    assert np.abs(kept[there] / seeds - share).max() < 5 * error
    assert not kept[~there].any()


def test_without_pixels_there_are_none():
    assert len(PixelSample(3).drawn(NOTHING)) == 0
    assert PixelSample(3).drawn(np.zeros((5, 9))).features.shape == (0, 9)
