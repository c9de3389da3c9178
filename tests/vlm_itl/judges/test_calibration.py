"""Calibrators keep the order of scores and recover known laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vlm_itl.judges.calibration import CALIBRATORS, fit_calibrator

METHODS = sorted(CALIBRATORS)
TO_THE_BASE_RATE = ["platt", "isotonic"]


def samples(count=4000, seed=0, power=3):
    """Overconfident scores: the mask is good with probability score ** power."""
    generator = np.random.default_rng(seed)
    scores = generator.random(count)
    return scores, generator.random(count) < scores**power


@pytest.mark.parametrize("method", METHODS)
def test_a_calibrator_recovers_the_law_of_overconfident_scores(method):
    from vlm_itl.judges.metrics import judge_metrics

    calibrate = fit_calibrator(*samples(), method=method)
    scores, good = samples(seed=1)
    before, after = (
        judge_metrics(p, None, good, good.astype(float), 0.5)["ece"]
        for p in (scores, calibrate(scores))
    )
    assert before > 0.2 and after < 0.04
    assert np.abs(calibrate(np.array([0.3, 0.6, 0.9])) - np.array([0.3, 0.6, 0.9]) ** 3).max() < 0.1


def test_platt_is_the_minimum_of_its_loss():
    """The map is that of a general minimiser of Platt's loss with smoothed targets."""
    from scipy.optimize import minimize
    from scipy.special import expit, logit

    scores, good = samples(200)
    positives = good.sum()
    targets = np.where(good, (positives + 1) / (positives + 2), 1 / (len(good) - positives + 2))
    inputs = logit(np.clip(scores, 1e-3, 1 - 1e-3))

    def loss(weights):
        p = expit(weights[0] * inputs + weights[1])
        return -np.mean(targets * np.log(p) + (1 - targets) * np.log1p(-p))

    slope, intercept = minimize(loss, [1.0, 0.0]).x
    assert np.allclose(
        fit_calibrator(scores, good)(scores), expit(slope * inputs + intercept), atol=1e-3
    )


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=30)
@given(data=st.data(), count=st.integers(0, 12))
def test_any_sample_gives_a_non_decreasing_map_into_0_to_1(method, data, count):
    scores = data.draw(arrays(float, count, elements=st.floats(0, 1)))
    good = data.draw(arrays(bool, count))
    values = fit_calibrator(scores, good, method)(np.linspace(0, 1, 21).reshape(3, 7))
    assert values.shape == (3, 7) and (np.diff(values.ravel()) >= -1e-12).all()
    assert (values >= 0).all() and (values <= 1).all()


@pytest.mark.parametrize("method", TO_THE_BASE_RATE)
@pytest.mark.parametrize("scores", [np.full(30, 0.7), np.linspace(1, 0, 30), np.array([])])
def test_scores_without_information_get_the_base_rate(method, scores):
    good = np.arange(len(scores)) >= 10
    low, high = fit_calibrator(scores, good, method)(np.array([0.0, 1.0]))
    assert low == pytest.approx(high) and low == pytest.approx(
        20 / 30 if len(scores) else 0.5, abs=0.03
    )


@pytest.mark.parametrize("method", TO_THE_BASE_RATE)
def test_one_class_is_not_certainty(method):
    few, many = (
        fit_calibrator(np.linspace(0, 1, n), np.ones(n, bool), method)(0.5) for n in (3, 300)
    )
    assert 0.7 < few < 0.9 and 0.99 < many < 1


def test_shrunken_goes_from_the_score_itself_to_platt_as_samples_grow():
    grid = np.linspace(0.02, 0.98, 25)
    assert fit_calibrator([], [], "shrunken")(grid) == pytest.approx(grid)
    far = []
    for count in (5, 50, 5000):
        found, other = (
            fit_calibrator(*samples(count), method)(grid) for method in ("shrunken", "platt")
        )
        far.append(np.abs(found - other).max())
    assert far[2] < 0.01 < far[0]


def test_shrunken_keeps_a_calibrated_score_better_than_platt_on_small_audits():
    """Where the score already is the probability, tens of samples should not spoil it."""
    grid, worse = np.linspace(0.02, 0.98, 25), {}
    for method in ("shrunken", "platt"):
        maps = [fit_calibrator(*samples(15, seed, power=1), method)(grid) for seed in range(40)]
        worse[method] = np.mean([np.abs(found - grid).mean() for found in maps])
    assert worse["shrunken"] < 0.75 * worse["platt"]


def test_wrong_input_is_refused():
    for call in (
        lambda: fit_calibrator([0.1], [True], "beta"),
        lambda: fit_calibrator([0.1, 0.2], [True]),
        lambda: fit_calibrator([1.1], [True]),
        lambda: fit_calibrator([math.nan], [True]),
    ):
        with pytest.raises(ValueError):
            call()
