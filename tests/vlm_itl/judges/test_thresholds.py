"""Thresholds keep their promise in simulation, naive ones do not."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_itl.judges.thresholds import beginnings, choose_threshold

RISK, DELTA = 0.1, 0.1


def test_wrong_input_is_refused():
    for call in (
        lambda: choose_threshold([0.1], [True], 0.1, 0.1, "best"),
        lambda: choose_threshold([0.1], [True], 0, 0.1),
        lambda: choose_threshold([0.1], [True], 0.1, 1),
        lambda: choose_threshold([0.1, 0.2], [True], 0.1),
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


def simulate_risk(law, choose, count, risk, draws=1000, seed=0):
    """Choose a threshold on calibration sets from a known law; compare its risk with the promise.

    law: (scores [K], probability of each [K], probability that a mask with that score is good [K])
    choose: called with (scores [count], good [count], pool [count]); returns a threshold or None
    Returns a dict of `violation` (share of the draws whose threshold has a true selective risk
    above `risk`), `certified` (share with a threshold), `coverage` (mean share of masks accepted)
    and `loss` (mean share of masks accepted and bad).
    """
    scores, mass, quality = (np.asarray(part, float) for part in law)
    generator = np.random.default_rng(seed)
    results = []
    for _ in range(draws):
        index, unlabelled = generator.choice(len(scores), size=(2, count), p=mass)
        threshold = choose(
            scores[index], generator.random(count) < quality[index], scores[unlabelled]
        )
        taken = mass * (scores >= (np.inf if threshold is None else threshold))
        coverage, loss = taken.sum(), (taken * (1 - quality)).sum()
        results.append((loss > risk * coverage + 1e-12, threshold is not None, coverage, loss))
    return dict(
        zip(
            ("violation", "certified", "coverage", "loss"),
            np.mean(results, 0).tolist(),
            strict=True,
        )
    )


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
    """Of a good judge's masks 54 % could be accepted at this risk; 300 labels find most."""
    for choose in (learn_then_test, with_pool):
        found = simulate_risk(LAWS["a good judge"], choose, 300, RISK, DRAWS)
        assert found["certified"] > 0.95 and found["coverage"] > 0.42


def test_a_pool_finds_thresholds_between_the_points_of_the_grid():
    crowded = LAWS["crowded near 1"]
    assert simulate_risk(crowded, learn_then_test, 300, RISK, 100)["coverage"] == 0
    assert simulate_risk(crowded, with_pool, 300, RISK, 100)["certified"] > 0.2


@pytest.mark.parametrize("law", LAWS)
def test_conformal_risk_control_keeps_its_promise_on_average(law):
    """The promise is about all masks; the share of bad ones among the accepted is often larger."""
    found = simulate_risk(
        LAWS[law], lambda s, g, pool: choose_threshold(s, g, RISK, DELTA, "crc"), 60, RISK, DRAWS
    )
    assert found["loss"] <= RISK + 3 * 0.05 / math.sqrt(DRAWS)
    if law == "calibrated":
        assert found["violation"] > 0.9 and found["loss"] > 0.08
