"""The planner on simulated power laws: it finds them, says how sure it is, and is as sure as it
should be.
"""

import json

import numpy as np
import pytest
from conftest import run
from scipy import stats

import study
from weakseg.common import UserError
from weakseg.planning import learning_curves
from weakseg.planning.learning_curves import (
    Curve,
    decide,
    fit,
    fit_all,
    forecasts,
    hold_out,
    next_run,
    plan,
    sentences,
)

BUDGETS = (0.5, 1, 2, 4)


def power(a, b, c):
    return lambda hours: a - b * np.asarray(hours, float) ** -c


def simulate(laws, seeds=3, noise=1.5, budgets=BUDGETS, seed=0):
    """Return the rows of a study whose modes follow `laws` {mode: (a, b, c)}."""
    rng = np.random.default_rng(seed)
    return [
        {
            "mode": mode,
            "run": f"{mode} {hours} {n}",
            "budget": hours,
            "hours": hours,
            "miou": float(power(*law)(hours) + noise * rng.standard_normal()),
        }
        for mode, law in laws.items()
        for hours in budgets
        for n in range(seeds)
    ]


def study_of(rows, **more):
    modes = {row["mode"] for row in rows}
    return {
        "rows": rows,
        "budgets": list(BUDGETS),
        "all_hours": dict.fromkeys(modes, 100.0),
        "image_hours": dict.fromkeys(modes, 0.01),
    } | more


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


def test_the_better_mode_is_found_where_the_runs_say_so():
    laws = {"points": (70, 10, 0.5), "boxes": (80, 10, 0.5), "full": (74, 16, 0.5)}
    for advice in plan(study_of(simulate(laws, seed=1)), BUDGETS):
        assert advice["best"] == "boxes" and advice["sure"] > learning_curves.SURE
        at = {mode: float(power(*law)(advice["hours"])) for mode, law in laws.items()}
        low, high = advice["gain_interval"]
        assert low < at["boxes"] - at[advice["second"]] < high
        assert "no evidence" not in sentences(advice)


def test_equal_modes_are_no_evidence_at_the_nominal_rate():
    alarms = 0
    for seed in range(40):
        rows = simulate({"points": (75, 10, 0.5), "boxes": (75, 10, 0.5)}, seed=100 + seed)
        advice = plan(study_of(rows), [2])[0]
        alarms += advice["sure"] >= learning_curves.SURE
        assert ("no evidence" in sentences(advice)) == (advice["sure"] < learning_curves.SURE)
    assert alarms <= 6  # 5 % of 40 are 2; more than 6 has a chance of 0.3 %


def test_curves_that_cross_change_the_advice_with_the_hours():
    rows = simulate({"points": (66, 4, 0.8), "full": (84, 26, 0.7)}, noise=0.8)
    early, late = plan(study_of(rows), [0.5, 4])
    assert (early["best"], late["best"]) == ("points", "full")


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


def test_a_mode_that_the_hours_can_not_pay_is_no_advice():
    rows = simulate({"points": (60, 10, 0.5), "full": (90, 10, 0.5)})
    study = study_of(rows, image_hours={"points": 0.01, "full": 1.0})
    assert [advice["best"] for advice in plan(study, [0.5, 1])] == ["points", "full"]
    assert plan(study, [0.001]) == []


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
    found = next_run(curves, 4, {}, candidates)
    assert found["mode"] in ("points", "boxes") and found["worth"] > 0
    hopeless = next_run(curves, 4, {}, [c for c in candidates if c[0] == "tags"])
    assert 0 <= hopeless["worth"] < found["worth"]
    assert next_run(curves, 4, {}, []) is None
    decided = plan(
        study_of(simulate({"points": (90, 5, 0.5), "tags": (40, 10, 0.5)}, noise=0.3)), [4]
    )[0]
    assert "no single further run" in sentences(decided)


def test_the_forecast_is_checked_on_runs_that_it_has_not_seen():
    laws = {"points": (75, 10, 0.5), "boxes": (82, 14, 0.5)}
    found = [hold_out(simulate(laws, seed=seed)) for seed in range(12)]
    assert all(f["runs"] == 6 for f in found)
    assert (
        np.mean([f["covered"] for f in found]) > 0.85 and np.mean([f["error"] for f in found]) < 3
    )
    assert sum(f["best"] == f["forecast_best"] for f in found) >= 10
    assert hold_out(simulate(laws, budgets=(1, 2))) is None
    shifted = [row | {"miou": row["miou"] - 30 * (row["budget"] == 4)} for row in simulate(laws)]
    assert hold_out(shifted)["error"] > 20 and hold_out(shifted)["covered"] < 0.5


def test_one_mode_alone_has_no_rival():
    found = decide({"points": np.array([60.0, 61, 62])})
    assert found["second"] is None and found["sure"] == 1 and found["best"] == "points"
    assert "no other mode" in sentences({"hours": 1, "next": None, **found})


def test_the_script_answers_and_refuses(tmp_path, capsys):
    path = tmp_path / "study.json"
    path.write_text(
        json.dumps(study_of(simulate({"points": (75, 10, 0.5), "boxes": (60, 10, 0.5)})))
    )
    run(study, "--plan", path, "--hours", 0.75, 3)
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].startswith("45 min: points")
        and lines[1].startswith("3 h: points")
        and "forecast" in lines[2]
    )
    for hours in ("-1", "nan", "0.001"):
        with pytest.raises(UserError, match="--hours"):
            run(study, "--plan", path, "--hours", hours)
    path.write_text("{}")
    with pytest.raises(UserError, match=r"study\.json.*study\.py"):
        run(study, "--plan", path)
