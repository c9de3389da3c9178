"""Learning curves on simulated power laws: found again, and as sure as they should be."""

import numpy as np
import pytest
from planning.simulated import BUDGETS, power, simulate
from scipy import stats

from weakseg.planning import learning_curves
from weakseg.planning.learning_curves import (
    Curve,
    choose_mode,
    fit,
    fit_all,
    forecasts,
    hold_out,
    next_run,
)


def test_plenty_of_runs_give_the_law_back():
    rows = simulate({"points": (78, 12, 0.6)}, seeds=12, noise=0.3, budgets=(0.25, 0.5, 1, 2, 4, 8))
    curve = fit([row["hours"] for row in rows], [row["miou"] for row in rows])
    b = curve.gain * curve.middle**curve.rate
    for draws, truth, near in (
        (curve.level + curve.gain, 78, 1),
        (b, 12, 1),
        (curve.rate, 0.6, 0.1),
    ):
        low, high = learning_curves.middle95(draws)
        assert low <= truth <= high and np.median(draws) == pytest.approx(truth, abs=near)
    assert np.median(curve.noise) == pytest.approx(0.3, rel=0.25)


def test_intervals_cover_at_their_nominal_rate():
    """Curves drawn from the prior, 12 runs each, the mean and a single run forecast at twice the
    largest budget.
    """
    rng, n = np.random.default_rng(5), 120
    ranks = {"mean": [], "run": []}
    while len(ranks["run"]) < n:
        level, gain = rng.normal(*learning_curves.LEVEL), abs(rng.normal(0, learning_curves.GAIN))
        rate, noise = (
            middle * np.exp(spread * rng.standard_normal())
            for middle, spread in (learning_curves.RATE, learning_curves.NOISE)
        )
        if level + gain > 100:
            continue
        hours = np.repeat(BUDGETS, 3)
        truth = Curve(
            float(np.exp(np.log(hours).mean())), *map(np.atleast_1d, (level, gain, rate, noise))
        )
        curve = fit(hours, [truth.runs_at(h, rng)[0] for h in hours], seed=len(ranks["run"]))
        ranks["mean"].append((curve.at(8) < truth.at(8)).mean())
        ranks["run"].append((curve.runs_at(8, rng) < truth.runs_at(8, rng)).mean())
    for found in ranks.values():
        for level in (0.5, 0.8, 0.95):
            inside = np.sum(np.abs(np.array(found) - 0.5) < level / 2)
            assert stats.binomtest(int(inside), n, level).pvalue > 0.005, (level, inside / n)


def test_a_law_inside_the_prior_is_covered_too():
    laws = {"a": (80, 15, 0.5), "b": (70, 8, 0.3), "c": (85, 30, 0.8)}
    inside = [
        low <= power(*law)(8) <= high
        for seed in range(15)
        for (mode, law), curve in zip(
            laws.items(), fit_all(simulate(laws, seed=seed)).values(), strict=True
        )
        for low, high in [learning_curves.middle95(curve.at(8))]
    ]
    assert np.mean(inside) > 0.9


def test_few_runs_leave_much_open():
    one = fit([1.0], [60.0])
    several = fit(np.repeat(BUDGETS, 3), power(75, 15, 0.5)(np.repeat(BUDGETS, 3)))
    widths = [np.ptp(learning_curves.middle95(curve.at(8))) for curve in (one, several)]
    assert widths[0] > 3 * widths[1] > 0
    falling = fit([0.5, 1, 2, 4], [70, 65, 60, 55])  # no power law with a gain does that
    assert np.isfinite(falling.at(8)).all() and (falling.gain >= 0).all()
    assert (several.level + several.gain <= 100).all()


def test_a_mode_gains_nothing_beyond_its_last_image():
    curves = fit_all(simulate({"points": (75, 10, 0.5)}))
    draws = forecasts(curves, 50, {"points": 3})
    assert (draws["points"] == curves["points"].at(3)).all()


def test_a_run_that_stands_for_two_budgets_counts_once():
    rows = simulate({"points": (75, 10, 0.5)})
    again = [row | {"budget": 8.0} for row in rows if row["budget"] == 4]
    once, twice = (fit_all(found)["points"] for found in (rows, rows + again))
    assert (once.at(4) == twice.at(4)).all()
    assert hold_out(rows + again) is None  # the largest budget bought nothing new


def test_the_next_run_is_one_that_could_change_the_choice():
    rows = simulate(
        {"points": (75, 10, 0.5), "boxes": (75.5, 10, 0.5), "tags": (40, 10, 0.5)}, seeds=1
    )
    curves = fit_all(rows)
    candidates = [(mode, hours) for mode in curves for hours in BUDGETS]
    best = next_run(curves, 4, {}, candidates)
    assert best.mode in ("points", "boxes") and best.worth > 0
    hopeless = next_run(curves, 4, {}, [c for c in candidates if c[0] == "tags"])
    assert 0 <= hopeless.worth < best.worth
    assert next_run(curves, 4, {}, []) is None


def test_the_forecast_is_checked_on_runs_that_it_has_not_seen():
    laws = {"points": (75, 10, 0.5), "boxes": (82, 14, 0.5)}
    checks = [hold_out(simulate(laws, seed=seed)) for seed in range(12)]
    assert all(check.runs == 6 for check in checks)
    assert np.mean([check.covered for check in checks]) > 0.85
    assert np.mean([check.error for check in checks]) < 3
    assert sum(check.best == check.forecast_best for check in checks) >= 10
    assert hold_out(simulate(laws, budgets=(1, 2))) is None
    shifted = [row | {"miou": row["miou"] - 30 * (row["budget"] == 4)} for row in simulate(laws)]
    assert hold_out(shifted).error > 20 and hold_out(shifted).covered < 0.5


def test_one_mode_alone_has_no_rival():
    choice = choose_mode({"points": np.array([60.0, 61, 62])})
    assert choice.lead is None and choice.probability == 1 and choice.mode == "points"
