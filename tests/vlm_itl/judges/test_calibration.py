"""Calibrators keep order and recover known laws; thresholds keep their promise in simulation, naive
ones do not.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vlm_itl.judges.calibration import (
    CALIBRATORS,
    beginnings,
    choose_threshold,
    fit_calibrator,
    simulate_risk,
)

METHODS = sorted(CALIBRATORS)
TO_THE_BASE_RATE = ["platt", "isotonic"]
RISK, DELTA = 0.1, 0.1


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
    """The map found by scikit-learn is that of a general minimiser of Platt's loss with smoothed
    targets.
    """
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
        lambda: choose_threshold([0.1], [True], 0.1, 0.1, "best"),
        lambda: choose_threshold([0.1], [True], 0, 0.1),
        lambda: choose_threshold([0.1], [True], 0.1, 1),
    ):
        with pytest.raises(ValueError):
            call()


def test_learn_then_test_by_hand():
    """With risk and delta of 0.1, 22 masks without a bad one pass (0.9 ** 22 < 0.1), 21 don't."""
    assert beginnings(21, RISK, DELTA) == [] and beginnings(22, RISK, DELTA) == [22]
    scores = np.linspace(0.5, 1, 22)
    assert choose_threshold(scores[1:], np.ones(21, bool), RISK, DELTA) is None
    assert choose_threshold(scores, np.ones(22, bool), RISK, DELTA) == 0
    # Two bad ones below 22 good ones, nothing between 0.3 and 0.5: down to the first bad one it
    # passes, not further.
    scores, good = np.append(scores, [0.3, 0.2]), np.arange(24) < 22
    assert choose_threshold(scores, good, RISK, DELTA) == pytest.approx(0.3, abs=0.001)
    assert choose_threshold(scores, good, RISK, DELTA) > 0.3


def test_conformal_risk_control_by_hand():
    """Of 19 masks one is bad: (1 + 1) / 20 = 0.1 holds down to the second bad one."""
    scores = np.linspace(0.05, 0.95, 19)
    good = ~np.isin(np.arange(19), [4, 12])
    assert choose_threshold(scores, good, RISK, DELTA, "crc") == pytest.approx(scores[4], abs=0.001)
    assert choose_threshold(scores, good, RISK, DELTA, "crc") > scores[4]
    assert choose_threshold(scores[:8], good[:8], RISK, DELTA, "crc") is None


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32), count=st.integers(1, 120), method=st.sampled_from(["ltt", "crc"])
)
def test_thresholds_ignore_order_and_fall_as_the_stated_risk_grows(seed, count, method):
    generator = np.random.default_rng(seed)
    scores = np.round(generator.random(count), 1)
    good = generator.random(count) < scores
    order = generator.permutation(count)
    found = choose_threshold(scores, good, 0.3, 0.2, method)
    assert found == choose_threshold(scores[order], good[order], 0.3, 0.2, method)
    if method == "crc" and found is not None:
        assert choose_threshold(scores, good, 0.4, 0.2, method) <= found


def logistic(scores):
    return 1 / (1 + np.exp(-12 * (scores - 0.45)))


GRID = (np.arange(400) + 0.5) / 400
EVEN = np.full(400, 1 / 400)
# (scores, their probabilities, probability of a good mask)
LAWS = {
    "calibrated": (GRID, EVEN, GRID),
    "a good judge": (GRID, EVEN, logistic(GRID)),
    "overconfident": (GRID, EVEN, GRID**3),
    "underconfident": (GRID, EVEN, np.sqrt(GRID)),
    "scores say nothing, all just too bad": (GRID, EVEN, np.full(400, 0.899)),
    "seven values": (
        [0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 1],
        [0.1, 0.1, 0.1, 0.1, 0.2, 0.25, 0.15],
        [0.1, 0.4, 0.6, 0.75, 0.88, 0.92, 0.93],
    ),
    "the surest are bad": (GRID, EVEN, np.where(GRID > 0.93, 0.5, 0.95)),
    "crowded near 1": (1 - 1e-4 * GRID, EVEN, 1 - GRID / 2),
}
DRAWS = 500


def learn_then_test(scores, good, pool):
    return choose_threshold(scores, good, RISK, DELTA)


def with_pool(scores, good, pool):
    return choose_threshold(scores, good, RISK, DELTA, pool=pool)


def naive(scores, good, pool):
    """The smallest threshold whose share of bad ones on the calibration set is at most the risk."""
    order = np.argsort(-scores, kind="stable")
    shares = np.cumsum(~good[order]) / np.arange(1, len(scores) + 1)
    ends = np.append(np.diff(scores[order]) != 0, True)
    holds = np.flatnonzero(ends & (shares <= RISK))
    return scores[order][holds[-1]] if len(holds) else None


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("count", [60, 300])
def test_learn_then_test_keeps_its_promise(law, count):
    slack = 3 * math.sqrt(DELTA * (1 - DELTA) / DRAWS)
    for choose in (learn_then_test, with_pool):
        assert simulate_risk(LAWS[law], choose, count, RISK, DRAWS)["violation"] <= DELTA + slack


@pytest.mark.parametrize(
    "law", ["calibrated", "a good judge", "overconfident", "scores say nothing, all just too bad"]
)
def test_a_naive_threshold_breaks_the_promise_in_the_same_simulation(law):
    assert simulate_risk(LAWS[law], naive, 300, RISK, DRAWS)["violation"] > 0.4


def test_learn_then_test_accepts_what_can_be_accepted():
    """Of a good judge's masks 54 % could be accepted at this risk; 300 labels find most of them,
    nearly always.
    """
    for choose in (learn_then_test, with_pool):
        found = simulate_risk(LAWS["a good judge"], choose, 300, RISK, DRAWS)
        assert found["certified"] > 0.95 and found["coverage"] > 0.42


def test_a_pool_finds_thresholds_between_the_points_of_the_grid():
    crowded = LAWS["crowded near 1"]
    assert simulate_risk(crowded, learn_then_test, 300, RISK, 100)["coverage"] == 0
    assert simulate_risk(crowded, with_pool, 300, RISK, 100)["certified"] > 0.2


@pytest.mark.parametrize("law", LAWS)
def test_conformal_risk_control_keeps_its_promise_on_average(law):
    """Accepted and bad, of all masks; the selective risk is another matter, and often above the
    same number.
    """
    found = simulate_risk(
        LAWS[law], lambda s, g, pool: choose_threshold(s, g, RISK, DELTA, "crc"), 60, RISK, DRAWS
    )
    assert found["loss"] <= RISK + 3 * 0.05 / math.sqrt(DRAWS)
    if law == "calibrated":
        assert found["violation"] > 0.9 and found["loss"] > 0.08
