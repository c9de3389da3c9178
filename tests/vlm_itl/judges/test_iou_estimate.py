"""The blend is a ridge regression around the mean; held-out estimates have not seen their fold."""

import numpy as np
import pytest

from vlm_itl.judges.iou_estimate import (
    USUAL_SPREAD,
    Blend,
    fit_regression,
    held_out_estimates,
    relative_spread,
)


def estimates(count=500, seed=0):
    return np.random.default_rng(seed).uniform(0.2, 0.9, (count, 2))


def test_blend_starts_at_the_mean_and_follows_the_evidence():
    values = estimates()
    assert Blend(values[:0], values[:0, 0])(values) == pytest.approx(values.mean(1))
    assert Blend(values, values[:, 0])(values) == pytest.approx(values[:, 0], abs=0.02)


@pytest.mark.parametrize("count", [1, 2, 12])
def test_blend_solves_the_normal_equations_of_ridge_regression(count):
    values, ious = estimates(count), np.random.default_rng(1).random(count)
    inputs = np.column_stack([values - Blend.CENTRE, np.ones(count)])
    plain = np.array([0.5, 0.5, Blend.CENTRE])
    penalty = np.diag([1.0, 1.0, Blend.OFFSET_PENALTY])
    solution = plain + np.linalg.solve(
        inputs.T @ inputs + penalty, inputs.T @ (ious - inputs @ plain)
    )
    assert Blend(values, ious)(values) == pytest.approx(np.clip(inputs @ solution, 0, 1))


def test_an_estimate_has_not_learned_from_its_fold():
    rng = np.random.default_rng(0)
    features, ious, weights = rng.normal(size=(60, 4)), rng.random(60), np.ones(60)
    folds = np.arange(60) % 3
    found = held_out_estimates(features, ious, weights, folds)
    rest = folds != 1
    alone = fit_regression(features[rest], ious[rest], weights[rest])
    assert np.array_equal(found[~rest], alone.predict(features[~rest]))


def test_the_spread_goes_from_the_usual_one_to_what_is_seen():
    assert relative_spread(np.empty(0), np.empty(0)) == pytest.approx(USUAL_SPREAD)
    rng = np.random.default_rng(0)
    guesses = rng.uniform(0.3, 0.8, 5000)
    ious = guesses + 0.1 * (1 - guesses) * rng.normal(size=5000)
    assert relative_spread(guesses, ious) == pytest.approx(0.1, rel=0.05)
