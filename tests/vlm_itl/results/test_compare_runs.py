"""The comparison's command on written runs: a better arm is found, an equal one is not."""

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_tidy, picture, run

from scripts import compare_runs
from vlm_itl.judges.metrics import judge_metrics
from vlm_itl.results.finished_runs import AXES, load_runs
from vlm_itl.results.tables import judges_table
from weakseg.common import UserError, read_json, write_json

IMAGES, CLASSES = 40, 3


def confusions(accuracy, hardness):
    """Return confusions [N, C, C] of 300 pixels a class, of which about `accuracy` are right."""
    right = np.rint(300 * np.clip(accuracy + hardness, 0, 1)).astype(np.int64)
    wrong = 300 - right
    result = np.zeros((len(hardness), CLASSES, CLASSES), np.int64)
    for index in range(CLASSES):
        result[:, index, index] = right
        result[:, index, (index + 1) % CLASSES] = wrong
    return result


def write_run(folder, arm, seed, gain=0.0, percents=(5, 10, 20, 40), **changes):
    """Write a run whose accuracy rises with the budget, `gain` more from the second round on."""
    from weakseg.metrics import scores

    images = np.random.default_rng(7).normal(0, 0.05, IMAGES)  # the same for all runs
    noise = np.random.default_rng([seed, *map(ord, arm)])
    curve = []
    for number, percent in enumerate(percents):
        accuracy = 0.6 + 0.08 * number + (gain + noise.normal(0, 0.003)) * (number > 0)
        found = confusions(accuracy, images + noise.normal(0, 0.01, IMAGES))
        name = f"round_{number:02}/test.npz"
        (folder / name).parent.mkdir(parents=True)
        np.savez(
            folder / name, ids=np.array([f"image_{i}" for i in range(IMAGES)]), confusions=found
        )
        miou = float(scores(found.sum(0))["miou"])
        curve.append(
            {
                "round": number,
                "images": 10 * percent,
                "percent": percent,
                "seconds": 800.0 * percent,
                "pseudo_labels": 0,
                "val_miou": miou,
                "test_miou": miou,
                "test_file": name,
            }
        )
    results = {
        "arm": arm,
        "seed": seed,
        "commit": "abc",
        "test_fingerprint": "f",
        "config": {},
        "curve": curve,
    }
    write_json(folder / "results.json", results | changes)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two equal arms and a better one, over five seeds. Don't write here."""
    folder = tmp_path_factory.mktemp("runs")
    gains = {"random": 0.0, "entropy": 0.0, "vlm_itl": 0.05}
    return [
        write_run(folder / f"{arm}_{seed}", arm, seed, gain)
        for arm, gain in gains.items()
        for seed in range(5)
    ]


def test_a_better_arm_is_found_and_an_equal_one_is_not(runs, tmp_path, capsys):
    output = tmp_path / "comparison"
    run(
        compare_runs,
        "--runs",
        *runs,
        "--output_dir",
        output,
        "--resamples",
        200,
        "--baseline",
        "random",
    )
    found = read_json(output / "comparison.json")
    pairs = {(p["first"], p["second"]): p for p in found["pairs"]}
    equal, better = pairs["entropy", "random"], pairs["random", "vlm_itl"]
    assert equal["low"] < 0 < equal["high"] and equal["p_holm"] > 0.05
    assert better["high"] < 0 and better["p_holm"] < 0.001 and better["seeds"] == 5
    wins = found["wins"]
    row = wins["arms"].index("vlm_itl")
    assert all(share == 1 for share in wins["shares"][row] if share is not None)
    assert found["range"] == [5, 40] and found["budgets"] == [10, 20, 40]

    table = (output / "table.md").read_text()
    assert table in capsys.readouterr().out
    assert (
        "| vlm_itl - random " in table
        and "| entropy - random " in table
        and "vlm_itl - entropy" not in table
    )
    for name in ("curves_percent.png", "curves_seconds.png", "win_matrix.png"):
        assert picture(output / name).std() > 5


def test_the_answer_does_not_depend_on_the_order_of_runs_and_skips_the_output_folder(
    runs, tmp_path
):
    answers = []
    for given in (runs, [*runs[::-1], tmp_path / "comparison"]):
        run(
            compare_runs,
            "--runs",
            *given,
            "--output_dir",
            tmp_path / "comparison",
            "--resamples",
            50,
            "--axis",
            "seconds",
            "--budgets",
            8000,
            12000.5,
        )
        answers.append((tmp_path / "comparison" / "comparison.json").read_text())
    assert answers[0] == answers[1]
    assert json.loads(answers[0])["budgets"] == [8000, 12000.5]


def test_one_seed_has_an_interval_but_no_p_value(runs, tmp_path):
    run(compare_runs, "--runs", runs[0], runs[10], "--output_dir", tmp_path, "--resamples", 50)
    (pair,) = read_json(tmp_path / "comparison.json")["pairs"]
    assert (
        pair["p"] is None
        and pair["p_holm"] is None
        and pair["low"] < pair["difference"] < pair["high"]
    )


def test_a_single_run_has_no_pairs(runs, tmp_path):
    run(compare_runs, "--runs", runs[0], "--output_dir", tmp_path / "out")
    run(compare_runs, "--runs", runs[0], "--output_dir", tmp_path / "out")
    (tmp_path / "table.md").write_text("mine")
    with pytest.raises(UserError, match=r"table\.md: is there"):
        run(compare_runs, "--runs", runs[0], "--output_dir", tmp_path)
    assert read_json(tmp_path / "out" / "comparison.json")["pairs"] == []


def test_what_all_labels_reach_comes_from_the_baseline_runs(runs, tmp_path):
    """The baselines' mean is the level; 95 % of it is reached where the curve crosses that."""
    full = [
        write_run(tmp_path / f"full_{seed}", "baseline", seed, percents=(100,)) for seed in range(2)
    ]
    run(
        compare_runs,
        "--runs",
        *runs[:5],
        "--full",
        *full,
        "--output_dir",
        tmp_path / "out",
        "--resamples",
        50,
    )
    level = 0.95 * np.mean(
        [read_json(folder / "results.json")["curve"][-1]["test_miou"] for folder in full]
    )
    curves = [read_json(folder / "results.json")["curve"] for folder in runs[:5]]
    wanted = [
        np.interp(level, [p["test_miou"] for p in curve], [p["percent"] for p in curve])
        for curve in curves
    ]
    (arm,) = read_json(tmp_path / "out" / "comparison.json")["arms"]
    assert arm["reach"]["mean"] == pytest.approx(np.mean(wanted))
    odd = write_run(tmp_path / "odd", "baseline", 9, percents=(100,), test_fingerprint="g")
    with pytest.raises(UserError, match=r"--full .*odd"):
        run(compare_runs, "--runs", *runs[:5], "--full", odd, "--output_dir", tmp_path / "out")


def test_judges_get_a_table(tmp_path, capsys):
    """Means and deviations run over all judged rounds; a run without a judge has no row."""
    judged = [
        write_run(
            tmp_path / f"judged_{seed}",
            "judged",
            seed,
            judge=[
                {"round": 0, "spearman": 0.6 + seed / 10, "purity": None, "seconds_saved": 7200}
            ],
        )
        for seed in range(3)
    ]
    alone = write_run(tmp_path / "alone_0", "alone", 0)
    run(compare_runs, "--runs", *judged, alone, "--output_dir", tmp_path / "out", "--resamples", 50)
    table = capsys.readouterr().out.partition("The judges")[2]
    assert "0.70 ± 0.10" in table and "2.00 ± 0.00" in table and "alone" not in table


def other_fingerprint(folder):
    write_run(folder / "odd", "odd", 0, test_fingerprint="g")


def other_images(folder):
    odd = write_run(folder / "odd", "odd", 0)
    with np.load(odd / "round_01/test.npz") as file:
        np.savez(
            odd / "round_01/test.npz", ids=file["ids"][::-1] + "x", confusions=file["confusions"]
        )


def other_miou(folder):
    odd = write_run(folder / "odd", "odd", 0)
    shutil.copy(odd / "round_00/test.npz", odd / "round_03/test.npz")


def truncated(folder):
    path = write_run(folder / "odd", "odd", 0) / "round_02/test.npz"
    path.write_bytes(path.read_bytes()[:300])


def absent(folder):
    (write_run(folder / "odd", "odd", 0) / "round_02/test.npz").unlink()


def no_curve(folder):
    write_run(folder / "odd", "odd", 0, curve=[])


def no_seconds(folder):
    odd = write_run(folder / "odd", "odd", 0)
    results = read_json(odd / "results.json")
    del results["curve"][1]["seconds"]
    write_json(odd / "results.json", results)


def broken(folder):
    (write_run(folder / "odd", "odd", 0) / "results.json").write_text("{")


def doubled(folder):
    write_run(folder / "odd", "random", 0)


def reset(folder):
    write_run(folder / "odd", "random", 9, config={"training": {"steps": 7}})


def falling(folder):
    write_run(folder / "odd", "odd", 0, percents=(5, 20, 10))


def apart(folder):
    write_run(folder / "odd", "odd", 0, percents=(50, 60))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (other_fingerprint, "odd/results.json: tested on other images"),
        (other_images, "odd/round_01/test.npz: holds other test images"),
        (other_miou, "odd/round_03/test.npz: gives a mIoU of"),
        (truncated, "odd/round_02/test.npz: not a readable"),
        (absent, "odd/round_02/test.npz: not a readable"),
        (no_curve, "odd/results.json: the curve has no round"),
        (no_seconds, "odd/results.json: round 1 lacks seconds"),
        (broken, "odd/results.json: not a readable JSON"),
        (doubled, "are both arm 'random', seed 0"),
        (reset, "are both arm 'random' but differ in training"),
        (falling, "odd/results.json: percent falls"),
        (apart, "odd begins at 50"),
    ],
)
def test_a_damaged_or_foreign_run_is_named(runs, tmp_path, damage, message):
    damage(tmp_path)
    with pytest.raises(UserError, match=message):
        run(compare_runs, "--runs", runs[0], tmp_path / "odd", "--output_dir", tmp_path / "out")
    assert not (tmp_path / "out").exists()


ODD = [None, "x", -1, float("nan"), 10**400, [], {}, True, "\x1b[31m", [[1]], 2.5, "../x"]


def places(value, at=()):
    """Yield the path of each entry of nested values, of lists the first two."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:2])
    for key, inner in items:
        yield (*at, key)
        if isinstance(inner, (dict, list)):
            yield from places(inner, (*at, key))


def test_every_field_of_a_results_file_is_checked(tmp_path):
    """What is odd in any of them is refused in one line, or makes numbers that can be compared."""
    folder = write_run(tmp_path / "odd", "odd", 0, judge=[{"round": 0, "ece": 0.5, "purity": None}])
    good = (folder / "results.json").read_text()
    refused = 0
    for place, odd in itertools.product(list(places(json.loads(good))), ODD):
        content = json.loads(good)
        inner = content
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = odd
        (folder / "results.json").write_text(json.dumps(content))
        try:
            (loaded,) = load_runs([folder])
            judges_table([loaded])
        except UserError as error:
            assert str(error).startswith(str(folder)) and "\n" not in str(error)
            refused += 1
        else:
            assert isinstance(loaded.arm, str) and isinstance(loaded.seed, int)
            for axis in AXES:
                assert np.isfinite(loaded.budgets(axis)).all() and np.isfinite(loaded.miou).all()
    assert refused > 150


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--baseline", "best"], "there are entropy, random"),
        (["--budgets", "10", "41"], "--budgets 41: lies outside 5 to 40"),
        (["--resamples", "0"], "--resamples"),
    ],
)
def test_wrong_flags_are_named(runs, tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        run(compare_runs, "--runs", runs[0], runs[5], "--output_dir", tmp_path, *flags)


def test_the_script_runs_from_a_shell_and_fails_in_one_line(tmp_path):
    script = Path(compare_runs.__file__)
    done = subprocess.run(
        [sys.executable, script, "--runs", tmp_path / "none", "--output_dir", tmp_path / "out"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert (
        done.stderr.startswith(f"error: {tmp_path / 'none' / 'results.json'}")
        and done.stderr.count("\n") == 1
    )


@pytest.mark.parametrize(
    ("arms", "axis", "seeds"), [(1, "percent", 1), (5, "seconds", 2), (12, "percent", 1)]
)
def test_budget_curves_and_win_matrix_are_tidy(tmp_path, sheets, arms, axis, seeds):
    from vlm_itl.results import budget_curves, comparison, figures
    from vlm_itl.results.finished_runs import load_runs

    names = [f"arm_{index}_with_a_name" for index in range(arms)]
    loaded = load_runs(
        write_run(tmp_path / f"{name}_{seed}", name, seed)
        for name in names
        for seed in range(seeds)
    )
    for item in loaded:
        item.results["full_miou"] = 0.8
    figures.budget_curves(tmp_path / "curves.png", loaded, axis)
    budgets = budget_curves.common_budgets(loaded, axis)
    figures.win_matrix_figure(tmp_path / "wins.png", *comparison.win_matrix(loaded, axis, budgets))
    figure, axes = sheets[0].figure, sheets[0].figure.axes[0]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == arms + 2 and axes.get_xlabel().endswith(("(hours)", "(% of the pool)"))
    assert_tidy(figure, [*figure.legends[0].get_texts(), axes.xaxis.label, axes.yaxis.label])
    assert_tidy(
        sheets[1].figure, [*sheets[1].figure.texts, *sheets[1].figure.axes[0].get_yticklabels()]
    )
    for name in ("curves.png", "wins.png"):
        picture(tmp_path / name)


def test_judge_figures_draw_every_judge_even_one_that_says_nothing(tmp_path, sheets):
    from vlm_itl.results import figures

    generator = np.random.default_rng(0)
    truth = generator.random(200)
    said = np.clip(truth + generator.normal(0, 0.2, 200), 0, 1)
    judges = {
        "learned": judge_metrics(said, said, said > 0.8, truth, 0.7),
        "silent": judge_metrics(None, None, np.zeros(200, bool), truth, 0.7),
        "nothing judged": judge_metrics([], [], [], [], 0.7),
    }
    figures.risk_coverage_figure(tmp_path / "risk.png", judges, risk=0.1)
    figures.reliability_figure(tmp_path / "reliability.png", judges)
    for sheet, name in zip(sheets, ("risk", "reliability"), strict=True):
        labels = [text.get_text() for text in sheet.figure.legends[0].get_texts()]
        assert [label.split(" (")[0] for label in labels[:3]] == list(judges)
        assert_tidy(
            sheet.figure, [*sheet.figure.legends[0].get_texts(), sheet.figure.axes[0].xaxis.label]
        )
        assert picture(tmp_path / f"{name}.png").std() > 5


def test_figures_refuse_nothing(tmp_path):
    from vlm_itl.results import figures

    for draw in (figures.budget_curves, figures.risk_coverage_figure, figures.reliability_figure):
        with pytest.raises(ValueError):
            draw(tmp_path / "none.png", {})
    with pytest.raises(ValueError):
        figures.win_matrix_figure(tmp_path / "none.png", [], [])
    assert not list(tmp_path.iterdir())
