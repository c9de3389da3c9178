"""Areas and budgets against hand-worked values; paired tests keep their level in simulation."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_compare_runs import write_run

from vlm_itl.results import budget_curves, comparison
from vlm_itl.results.finished_runs import FinishedRun, load_runs
from weakseg.common import UserError


def curve(percents, mious, arm="a", seed=0, full=None, seconds_each=10):
    points = [
        {"percent": p, "seconds": p * seconds_each, "test_miou": m}
        for p, m in zip(percents, mious, strict=True)
    ]
    return FinishedRun(
        Path(f"{arm}_{seed}"), {"arm": arm, "seed": seed, "full_miou": full, "curve": points}
    )


budget_lists = (
    st.lists(st.integers(0, 50), min_size=2, max_size=8).map(sorted).filter(lambda b: b[0] < b[-1])
)


@settings(max_examples=80)
@given(budgets=budget_lists, data=st.data())
def test_weights_are_those_of_interpolation_and_trapezoids(budgets, data):
    """Of equal budgets the last round counts, so numpy gets the curve without the others."""
    mious = np.array([data.draw(st.floats(0, 1)) for _ in budgets])
    last = [
        index
        for index, b in enumerate(budgets)
        if index + 1 == len(budgets) or budgets[index + 1] > b
    ]
    x, y = np.array(budgets, float)[last], mious[last]
    at = data.draw(st.floats(budgets[0], budgets[-1]))
    assert budget_curves.weights_at(np.array(budgets, float), at) @ mious == pytest.approx(
        np.interp(at, x, y)
    )
    low, high = sorted((at, data.draw(st.floats(budgets[0], budgets[-1]))))
    if high - low > 0.01:
        fine = np.unique(np.concatenate([np.linspace(low, high, 50), x[(x > low) & (x < high)]]))
        area = np.trapezoid(np.interp(fine, x, y), fine) / (high - low)
        assert budget_curves.area_weights(
            np.array(budgets, float), low, high
        ) @ mious == pytest.approx(area)


def test_nothing_is_extrapolated():
    budgets = np.array([10.0, 20.0])
    assert (
        budget_curves.weights_at(budgets, 9.9) is None
        and budget_curves.weights_at(budgets, 20.1) is None
    )
    with pytest.raises(ValueError, match="no area"):
        budget_curves.area_weights(budgets, 5, 15)
    with pytest.raises(UserError, match="outside"):
        budget_curves.summarise([curve([10, 20], [0.1, 0.2])], "percent", [25])


def test_the_range_is_the_one_that_all_runs_share():
    runs = [curve([5, 10, 20], [0, 0, 0], "a"), curve([10, 20, 40], [0, 0, 0], "b")]
    assert budget_curves.common_range(runs, "percent") == (10, 20)
    assert budget_curves.common_range(runs, "seconds") == (100, 200)
    assert budget_curves.common_budgets(runs, "percent") == [20]
    uneven = [runs[0], curve([5, 12, 20], [0, 0, 0], "b")]
    assert budget_curves.common_budgets(uneven, "percent") == [8, 11, 14, 17, 20]
    with pytest.raises(UserError, match="share no range"):
        budget_curves.common_range([*runs, curve([100], [0.9], "baseline")], "percent")


def test_a_summary_worked_out_by_hand():
    runs = [
        curve([10, 20, 40], [0.4, 0.6, 0.8], seed=0, full=0.8),
        curve([10, 20, 40], [0.4, 0.7, 0.8], seed=1, full=0.8),
    ]
    (row,) = budget_curves.summarise(runs, "percent", [30])
    areas = (0.5 * 10 + 0.7 * 20) / 30, (0.55 * 10 + 0.75 * 20) / 30
    assert row["area"] == {
        "mean": pytest.approx(np.mean(areas)),
        "std": pytest.approx(np.std(areas, ddof=1)),
        "seeds": 2,
    }
    assert row["at"][0]["mean"] == pytest.approx((0.7 + 0.75) / 2)
    # 95 % of full is 0.76: 20 + 20 * 0.16 / 0.2 and 20 + 20 * 0.06 / 0.1.
    assert row["reach"]["mean"] == pytest.approx((36 + 32) / 2) and row["reach"]["seeds"] == 2


def test_labels_to_reach_need_every_seed():
    assert budget_curves.budget_to_reach(curve([10, 20], [0.5, 0.6]), 0.4, "percent") == 10
    assert budget_curves.budget_to_reach(curve([10, 20], [0.5, 0.6]), 0.7, "percent") is None
    assert (
        budget_curves.budget_to_reach(curve([10, 20, 30], [0.5, 0.6, 0.5]), 0.6, "seconds") == 200
    )
    runs = [
        curve([10, 20], [0.5, 0.8], seed=0, full=0.8),
        curve([10, 20], [0.5, 0.6], seed=1, full=0.8),
    ]
    (row,) = budget_curves.summarise(runs, "percent", [])
    assert row["reach"] == {"mean": None, "std": None, "seeds": 1}
    (row,) = budget_curves.summarise([curve([10, 20], [0.5, 0.8])], "percent", [])
    assert row["reach"]["mean"] is None and row["area"]["std"] is None


def test_holm_by_hand():
    assert comparison.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert comparison.holm([0.5, 0.9, 0.02]) == pytest.approx([1.0, 1.0, 0.06])
    assert comparison.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_raw_values_and_bonferroni_and_keeps_their_order(values):
    raw, adjusted = np.array(values), np.array(comparison.holm(values))
    assert (adjusted >= raw).all() and (adjusted <= np.minimum(raw * len(raw), 1) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()


def test_wins_by_hand():
    runs = [
        curve([10, 20, 30], [0.1, 0.5, 0.6], "a", 0),
        curve([10, 20, 30], [0.1, 0.5, 0.6], "a", 1),
        curve([10, 20, 30], [0.1, 0.4, 0.6], "b", 0),
        curve([10, 20, 30], [0.1, 0.6, 0.5], "b", 1),
        curve([10, 20, 30], [0.9, 0.9, 0.9], "c", 2),
    ]
    arms, shares = comparison.win_matrix(runs, "percent", [20, 30])
    assert arms == ["a", "b", "c"]
    # a against b: a win and a tie on seed 0, a loss and a win on seed 1; c has no seed in common
    # with them.
    assert shares == [[None, 2.5 / 4, None], [1.5 / 4, None, None], [None, None, None]]


def test_comparisons_pair_common_seeds_and_change_sign_with_the_names(tmp_path):
    folders = [
        write_run(tmp_path / f"{arm}_{seed}", arm, seed, gain)
        for arm, gain, seeds in (("a", 0.0, (0, 1, 2)), ("b", 0.04, (1, 2, 3)))
        for seed in seeds
    ]
    runs = load_runs(folders)
    (pair,) = comparison.compare(runs, "percent", resamples=100)
    assert pair["seeds"] == 2
    paired = [run for run in runs if run.seed in (1, 2)]
    areas = {
        row["arm"]: row["area"]["mean"] for row in budget_curves.summarise(paired, "percent", [])
    }
    assert pair["difference"] == pytest.approx(areas["a"] - areas["b"])
    for run in runs:
        run.results["arm"] = {"a": "z", "b": "b"}[run.arm]
    (other,) = comparison.compare(sorted(runs, key=lambda run: run.arm), "percent", resamples=100)
    assert (other["low"], other["high"]) == pytest.approx((-pair["high"], -pair["low"]))
    (final,) = comparison.compare(runs, "percent", budget=40, resamples=100)
    gaps = [run.miou[-1] for run in runs if run.arm == "z" and run.seed in (1, 2)]
    assert abs(final["difference"]) == pytest.approx(
        abs(
            np.mean(gaps)
            - np.mean([run.miou[-1] for run in runs if run.arm == "b" and run.seed in (1, 2)])
        )
    )


def test_images_are_resampled_alike_in_all_runs_whatever_their_order_in_the_file(tmp_path):
    first = write_run(tmp_path / "a_0", "a", 0)
    second = write_run(tmp_path / "b_0", "a", 0, percents=(5, 10, 20, 40))
    for path in second.glob("*/test.npz"):
        with np.load(path) as file:
            order = np.random.default_rng(0).permutation(len(file["ids"]))
            arrays = {key: file[key][order] for key in ("ids", "confusions")}
        np.savez(path, **arrays)
    one, two = comparison.resampled_mious([load_runs([path])[0] for path in (first, second)], 50)
    assert np.allclose(one, two) and one.shape == (50, 4) and one.std(0).min() > 0
