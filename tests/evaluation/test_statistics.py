"""Differences of groups of seeds: signs, zeros, the analysis of variance they stand on, and their
coverage.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.evaluation.statistics import (
    common_variance,
    image_weights,
    independent_difference,
    paired_difference,
    signed_rank,
)

seeds_of = st.integers(1, 4)


def scores(generator, seeds, images=60, seed=0.5, image=5.0, noise=5.0):
    """Draw scores [S, N] of the runs of one group; the caller adds what all groups share."""
    return (
        generator.normal(0, seed, (seeds, 1))
        + generator.normal(0, image, images)
        + generator.normal(0, noise, (seeds, images))
    )


def compared(one, two, paired, resamples=300):
    """Compare groups of scores [S, N] and [T, N]."""
    images = one.shape[1]
    weights = image_weights(images, resamples, 0) / images
    first, second = weights @ one.T, weights @ two.T
    if paired:
        return paired_difference((two - one).mean(1), second - first, images)
    return independent_difference(one.mean(1), two.mean(1), first, second, images)


@settings(max_examples=60)
@given(one=seeds_of, two=seeds_of, number=st.integers(0, 2**31), gain=st.floats(-5, 5))
def test_swapping_the_groups_turns_the_sign_of_everything(one, two, number, gain):
    generator = np.random.default_rng(number)
    a, b = scores(generator, one), scores(generator, two) + gain
    for paired in {False, one == two}:
        there, back = compared(a, b, paired), compared(b, a, paired)
        assert there["difference"] == pytest.approx(-back["difference"])
        assert (there["low"], there["high"]) == pytest.approx((-back["high"], -back["low"]))
        assert there["p"] == (None if min(one, two) == 1 else pytest.approx(back["p"]))
        assert there["low"] <= there["difference"] <= there["high"]


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_group_against_itself_is_zero_without_doubt(seeds):
    values = scores(np.random.default_rng(0), seeds)
    found = compared(values, values, paired=True)
    assert (found["difference"], found["low"], found["high"]) == (0, 0, 0)
    assert found["p"] == (1 if seeds > 1 else None)
    assert signed_rank(np.zeros(9)) == 1


@settings(max_examples=40)
@given(number=st.integers(0, 2**31), scale=st.floats(0.01, 100), shift=st.floats(-10, 10))
def test_units_and_a_shift_of_both_groups_don_t_matter(number, scale, shift):
    generator = np.random.default_rng(number)
    a, b = scores(generator, 3), scores(generator, 3)
    plain, other = compared(a, b, True), compared(scale * a + shift, scale * b + shift, True)
    assert other["low"] == pytest.approx(scale * plain["low"], rel=1e-6, abs=1e-9 * scale)
    assert other["p"] == pytest.approx(plain["p"], abs=1e-6)


def test_the_variance_is_that_of_the_two_way_analysis_of_variance():
    """(MS seeds + MS images - MS rest) / (S N), with the covariances that a bootstrap has without
    its own noise.
    """
    seeds, images = 4, 50
    values = scores(np.random.default_rng(1), seeds, images)
    row, column = values.mean(1, keepdims=True), values.mean(0, keepdims=True)
    rest = ((values - row - column + values.mean()) ** 2).sum() / ((seeds - 1) * (images - 1))
    mean_squares = images * row.var(ddof=1) + seeds * column.var(ddof=1) - rest
    shared = np.cov(values)[~np.eye(seeds, dtype=bool)].mean() / images
    assert row.var(ddof=1) / seeds + shared == pytest.approx(mean_squares / (seeds * images))
    weights = image_weights(images, 20000, 0) / images
    assert common_variance(weights @ values.T) == pytest.approx(
        shared * (images - 1) / images, rel=0.05
    )


def test_two_groups_of_one_mode_are_found_different_as_often_as_stated():
    """A quick look at what benchmarks/intervals.py measures: 5 % of A/A comparisons, here 400."""
    generator, runs, wrong = np.random.default_rng(0), 400, 0
    for _ in range(runs):
        shared = generator.normal(0, 10, 60)
        found = compared(scores(generator, 3) + shared, scores(generator, 3) + shared, paired=False)
        wrong += not found["low"] <= 0 <= found["high"]
    assert wrong / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_a_difference_larger_than_its_noise_is_found():
    generator = np.random.default_rng(0)
    found = compared(scores(generator, 3), scores(generator, 3) + 8, paired=True)
    assert found["low"] > 0 and found["p"] < 0.05
