"""study.py: what the budgets buy, and tiny real grids, stopped, resumed, spoilt and spread.

Most of their runs are made in this process: a process of their own would mostly import PyTorch.
Those of the study that is killed are real ones.
"""

import contextlib
import io
import itertools
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from conftest import run
from hypothesis import given
from hypothesis import strategies as st
from made_streets import streets

import evaluate
import study
import train
import weak_label_generator
from weakseg.common import UserError, run_cli, stable_seed
from weakseg.labels.training_labels import training_ids, training_order
from weakseg.planning import runner
from weakseg.planning.cell import (
    CONTENTS,
    Cell,
    digest_of,
    identity_of,
    run_of,
    training_flags,
)
from weakseg.planning.grid import Grid, buys, parse_budget
from weakseg.planning.report import CellResult
from weakseg.reporting.charts import budget_plot

ROOT = Path(study.__file__).parent
TINY = [
    "--",
    "--learner",
    "unet",
    "--img_size",
    "64",
    "--batch_size",
    "4",
    "--epochs",
    "2",
    "--encoder_weights",
    "none",
    "--device",
    "cpu",
]
EPOCHS = ["--epochs", "2"]


@pytest.fixture(scope="module")
def flags(pets_dir, pets_labels):
    """The flags that all studies here share, but for the folder."""
    return [
        "--data_dir",
        pets_dir,
        "--weak_label_path",
        pets_labels,
        "--cache_dir",
        Path(pets_dir).parent / "cache",
        "--modes",
        "points",
        "tags boxes",
        "--budgets",
        "40s",
        "1h",
        "--seeds",
        1,
        "--steps",
        4,
    ]


def call(command, log, *_):
    """Stand for `runner.run_command` on train.py or evaluate.py, in this process."""
    module, text = (
        {"train.py": train, "evaluate.py": evaluate}[Path(command[1]).name],
        io.StringIO(),
    )
    code = 0
    with (
        patch.object(sys, "argv", command[1:]),
        contextlib.redirect_stdout(text),
        contextlib.redirect_stderr(text),
    ):
        try:
            run_cli(module.main, module.parse_args)
        except SystemExit as end:
            code = end.code
    log.write(text.getvalue().encode())
    return code


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Run the cells of a study in this process."""
    with patch.object(runner, "run_command", call):
        yield


@pytest.fixture(scope="module")
def done(flags, quick, tmp_path_factory):
    """A finished study: two modes, one budget within the data and one beyond."""
    folder = tmp_path_factory.mktemp("study")
    run(study, *flags, "--study_dir", folder, *TINY)
    return folder


def grid_of(*argv):
    with patch.object(sys, "argv", ["study.py", *map(str, argv)]):
        args = study.parse_args()
    return Grid(study.study_of(args))


def content(folder):
    return json.loads((folder / "study.json").read_text())


def copied(done, folder):
    shutil.copytree(done, folder)
    return folder


def forget(folder, name):
    """Make a study one that has not yet started this run."""
    shutil.rmtree(folder / "runs" / name)
    shutil.rmtree(folder / "results" / name)


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("results/*/*.json")}


# ---- what the budgets buy


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=30), st.floats(0, 500), st.floats(0, 500))
def test_a_budget_buys_all_it_can_and_more_never_less(prices, one, other):
    spent = np.cumsum(prices)
    for budget in (one, other):
        n = buys(spent, budget)
        assert n == 0 or spent[n - 1] <= budget * (1 + 1e-8)
        assert n == len(prices) or spent[n] > budget
    assert (buys(spent, one) <= buys(spent, other)) == (one <= other) or buys(spent, one) == buys(
        spent, other
    )
    assert buys(spent, spent[-1]) == len(prices)


@pytest.mark.parametrize("schedule", ["extreme_clicking", "bearman2016"])
def test_smaller_budgets_are_within_larger_ones_and_all_modes_share_an_order(flags, schedule):
    grid = grid_of(
        *flags,
        "--seeds",
        2,
        "--budgets",
        "20s",
        "40s",
        "1m",
        "--modes",
        "points",
        "boxes",
        "full",
        "--cost_schedule",
        schedule,
        *TINY,
    )
    subsets = {}
    for cell in grid.cells:
        names = set(training_ids(grid.dataset, cell.run.seed, cell.run.train_limit))
        assert len(names) == cell.images == cell.run.train_limit
        signals = cell.run.signals
        price = sum(grid.price(name, signals) for name in names)
        assert price <= 3600 * cell.budget * (1 + 1e-8)
        left = [name for name in grid.dataset.ids("train") if name not in names]
        following = min(left, key=lambda name: stable_seed(cell.seed, "limit", name), default=None)
        assert following is None or price + grid.price(following, signals) > 3600 * cell.budget
        subsets.setdefault(cell.seed, []).append(names)
    for nested in subsets.values():
        ordered = sorted(nested, key=len)
        assert all(small <= large for small, large in itertools.pairwise(ordered))
    assert subsets[0] != subsets[1]
    assert len(grid.left_out["full", 20 / 3600]) == 2


def test_budgets_that_buy_only_what_is_free_buy_nothing(flags, monkeypatch):
    wanted = *flags, "--budgets", "20s", "4m", "--modes", "full", *TINY
    usual, real = grid_of(*wanted), Grid.price
    first = {training_order(usual.dataset, seed)[0] for seed in range(usual.study.seeds)}
    monkeypatch.setattr(
        Grid, "price", lambda self, name, signals: 0 if name in first else real(self, name, signals)
    )
    grid = grid_of(*wanted)
    assert {cell.budget for cell in grid.cells} == {4 / 60}
    assert min(grid.left_out["full", 20 / 3600]) > 20 / 3600
    monkeypatch.setattr(Grid, "price", lambda *_: 0)
    with pytest.raises(UserError, match="full costs nothing"):
        grid_of(*wanted)


def test_all_budgets_take_the_same_steps_unless_epochs_are_asked_for(flags):
    at = flags.index("--steps")
    bare = flags[:at] + flags[at + 2 :]
    for argv, expected in [
        ([*flags, *TINY], (2, 2)),
        ([*bare, *TINY], (2, None)),
        ([*bare, *TINY[:7]], (10, 100)),
        ([*bare, "--steps", 7, *TINY[:7]], (10, None)),
    ]:
        if expected == (10, None):
            with pytest.raises(UserError, match="--steps 7"):
                grid_of(*argv)
            continue
        for cell in grid_of(*argv).cells:
            assert (cell.run.epochs, cell.run.steps_per_epoch) == expected


def test_a_run_is_named_by_all_that_makes_it(flags, done):
    def names(*argv):
        return {cell.name for cell in grid_of(*argv).cells}

    same = names(*flags, "--study_dir", "elsewhere", "--jobs", 1, *TINY, "--num_workers", 1)
    assert same == names(*flags, *TINY) == {row["run"] for row in content(done)["rows"]}
    for other in (
        [*flags, "--split_seed", 1, *TINY],
        [*flags, *TINY, "--lr", 1e-3],
        [*flags, "--steps", 8, *TINY],
    ):
        assert not same & names(*other)


@pytest.mark.parametrize(
    ("word", "hours"),
    [("0.5h", 0.5), ("30m", 0.5), ("30min", 0.5), ("1800s", 0.5), (".5", 0.5), ("2", 2)],
)
def test_budgets_are_times(word, hours):
    assert parse_budget(word) == pytest.approx(hours)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budgets", "soon"], "--budgets soon"),
        (["--budgets", "0h"], "--budgets 0h"),
        (["--budgets", "-1h"], "--budgets"),
        (["--budgets", "1s"], "single image"),
        (["--modes", "pionts"], "points"),
        (["--seeds", "0"], "--seeds"),
        (["--cost_schedule", "relative"], "relative.*in seconds"),
        (["--cost_band", "relative"], "relative.*in seconds"),
        (["--cluster", "tcp://somewhere:1"], "--cluster tcp.*dask or ray"),
        (["--cost_schedule", "none.yaml"], r"none\.yaml"),
        (["--weak_label_path", "nowhere.pkl"], "weak_label_generator.py"),
        (["--data_dir", "nowhere"], "download_data.py"),
        ([*TINY, "--seed", "3"], "--seed after --"),
        ([*TINY, "--run_name", "mine"], "--run_name after --"),
        ([*TINY, "--supervision_mode", "tags"], "--modes after --"),
        ([*TINY, "--img_size", "100"], "--img_size 100"),
        (["--seeds", "1", "--"], "--steps: .*-- --learner unet"),
    ],
)
def test_a_mistake_gets_one_line_before_anything_is_trained(arguments, message, flags, tmp_path):
    with pytest.raises(
        (UserError, SystemExit), match=message if arguments[1] != "-1h" else None
    ) as caught:
        run(
            study,
            *flags,
            "--study_dir",
            tmp_path / "study",
            *arguments,
            *(TINY if "--" not in arguments else []),
        )
    assert "\n" not in str(caught.value) and not (tmp_path / "study").exists()


# ---- real grids


def test_a_study_compares_modes_at_equal_hours(done):
    found = content(done)
    assert len(found["rows"]) == found["cells"] == 4
    for row in found["rows"]:
        assert row["hours"] <= row["budget"] and row["everything"] == (row["budget"] == 1)
        result = json.loads((done / "results" / row["run"] / f"{row['run']}.json").read_text())
        assert (
            row["miou"] == 100 * result["aggregate"]["miou"]
            and result["cost"]["images"] == row["images"]
        )
        assert row["hours"] == pytest.approx(sum(result["cost"]["seconds"].values()) / 3600)
        assert result["args"]["steps_per_epoch"] * result["args"]["epochs"] == 4
    text = (done / "table.md").read_text()
    for words in (
        "tags + boxes",
        "40 s",
        "n = all 22",
        "expected mIoU",
        "validation images",
        "forecast",
    ):
        assert words in text
    assert (done / "study.png").stat().st_size > 10_000


def test_a_study_replaces_no_file_of_a_person(flags, tmp_path):
    (tmp_path / "table.md").write_text("mine")
    with pytest.raises(UserError, match="did not write it; take another --study_dir"):
        run(study, *flags, "--study_dir", tmp_path, *TINY)
    assert not (tmp_path / "runs").exists()


def test_a_finished_study_repeats_nothing_and_prices_are_free(done, flags, tmp_path, monkeypatch):
    folder = copied(done, tmp_path / "study")
    monkeypatch.setattr(runner, "execute", None)  # would fail if any run were started
    before = written(folder)
    run(study, *flags, "--study_dir", folder, "--cost_band", "bearman2016", *TINY)
    assert written(folder) == before
    rows = content(folder)["rows"]
    assert [row["miou"] for row in rows] == [row["miou"] for row in content(done)["rows"]]
    assert all((row["other_hours"] > row["hours"]) == ("boxes" in row["mode"]) for row in rows)


@pytest.mark.slow
def test_a_study_killed_in_a_training_goes_on_to_the_same_table(done, flags, tmp_path):
    folder = copied(done, tmp_path / "study")
    name = content(done)["rows"][0]["run"]
    forget(folder, name)
    before = written(folder)
    argv = [*map(str, flags), "--study_dir", str(folder), *TINY]
    killed = subprocess.Popen(
        [sys.executable, "study.py", *argv],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    while not (folder / "runs" / name).exists() and killed.poll() is None:
        time.sleep(0.02)
    killed.kill()  # its training ends with it, and until then must not be disturbed
    killed.wait()
    run(study, *argv)
    assert (folder / "table.md").read_text() == (done / "table.md").read_text()
    assert {path: written(folder)[path] for path in before} == before
    assert content(folder)["rows"] == content(done)["rows"]


def test_a_run_of_the_same_name_with_other_arguments_is_not_reused(done, flags, tmp_path, capsys):
    """It is reported as failed, the others are compared, and the exit code is not 0."""
    folder = copied(done, tmp_path / "study")
    first, other = (row["run"] for row in content(done)["rows"][:2])
    forget(folder, first)
    shutil.copytree(folder / "runs" / other, folder / "runs" / first)
    shutil.copytree(folder / "results" / other, folder / "results" / first)
    (folder / "results" / first / f"{other}.json").rename(
        folder / "results" / first / f"{first}.json"
    )
    with pytest.raises(
        UserError, match=f"1 of 4 runs failed, the first is {first}: .*was trained with"
    ):
        run(study, *flags, "--study_dir", folder, *TINY)
    assert (
        "3 of 4 cells" in (folder / "table.md").read_text() and "3 of 4" in capsys.readouterr().out
    )
    assert [row["run"] for row in content(folder)["rows"]] == [
        r["run"] for r in content(done)["rows"] if r["run"] != first
    ]


def test_a_cell_without_all_its_files_is_evaluated_again(done, flags, tmp_path):
    folder = copied(done, tmp_path / "study")
    cells = [cell for cell in grid_of(*flags, *TINY).cells if cell.result(folder)]
    for cell, name in zip(cells, ["table.md", "comparison.png", "cost.png", None], strict=True):
        path = cell.result_path(folder)
        if name:
            path.with_name(name).unlink()
        else:
            path.write_text(path.read_text()[:-40])
        assert cell.result(folder) is None
    for cell in cells[:2]:  # two of them are mended by hand
        at = cell.result_path(folder).parent
        shutil.copytree(cell.result_path(done).parent, at, dirs_exist_ok=True)
    run(study, *flags, "--study_dir", folder, *TINY)
    assert [cell.result(folder) for cell in cells] == [cell.result(done) for cell in cells]
    assert all(len(list(cell.result_path(folder).parent.glob("[!.]*.*"))) == 4 for cell in cells)


def test_an_unfinished_or_foreign_result_is_no_result(done, flags, tmp_path):
    cells = {cell.name: cell for cell in grid_of(*flags, *TINY).cells}
    folder = copied(done, tmp_path / "study")
    for name, (key, value) in zip(
        cells,
        [("epochs_done", 1), ("fingerprint", "x"), ("labels", "x"), ("args", {})],
        strict=True,
    ):
        path = cells[name].result_path(folder)
        assert cells[name].result(folder)
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
        assert cells[name].result(folder) is None


def test_a_result_on_another_test_set_is_none_and_told(done, flags, tmp_path, capsys):
    """Where an earlier version didn't say what the files of the test set hold, it is one."""
    grid, folder = grid_of(*flags, *TINY), copied(done, tmp_path / "study")
    cells, grid.study = grid.cells, replace(grid.study, folder=folder)
    study.report_other_test(grid)
    assert not capsys.readouterr().out
    changes = [("test_fingerprint", "x"), ("test_contents", "x"), ("test_contents", None)]
    for cell, (key, value) in zip(cells, changes, strict=False):
        path = cell.result_path(folder)
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
        assert (cell.result(folder) is None) == (value is not None)
    study.report_other_test(grid)
    told = f"changed since 2 runs were evaluated, the first {cells[0].name}"
    assert told in capsys.readouterr().out


def test_runs_of_an_earlier_version_keep_their_names(done, flags, tmp_path):
    folder = copied(done, tmp_path / "study")
    for cell in grid_of(*flags, *TINY).cells:
        told = {key: one for key, one in cell.identity.items() if key not in CONTENTS}
        told["args"] = told["args"] | {"run_name": "_".join(cell.run.signals)}
        name = f"{cell.name.rpartition('_')[0]}_{digest_of(told)}"
        (folder / "results" / cell.name).rename(folder / "results" / name)
        path = cell.result_path(folder).parent.with_name(name) / f"{name}.json"
        path.with_name(f"{cell.name}.json").rename(path)
        content = json.loads(path.read_text())
        content["args"]["run_name"] = content["run"] = name
        path.write_text(json.dumps({key: content[key] for key in {*content} - {*CONTENTS}}))
        mine = {again.name: again for again in grid_of(*flags, "--study_dir", folder, *TINY).cells}
        assert mine[name].result(folder)
        path.write_text(json.dumps(content | {"contents": "x"}))  # of other files: another run
        assert name not in {one.name for one in grid_of(*flags, "--study_dir", folder, *TINY).cells}


def test_a_study_is_not_replaced_by_one_of_other_images(done, flags, tmp_path):
    grid, folder = grid_of(*flags, *TINY), copied(done, tmp_path / "study")
    grid.study = replace(grid.study, folder=folder)
    runner.refuse_other_data(grid)
    before = content(folder)["data"]
    for change in ({"data_dir": "moved"}, {"fingerprint": "of more images"}, None):
        data = {"data": before | change} if change else {"rows": []}
        (folder / "study.json").write_text(json.dumps(data))
        runner.refuse_other_data(grid)
    other = {"data": before | {"data_dir": "other", "fingerprint": "x"}}
    (folder / "study.json").write_text(json.dumps(other))
    with pytest.raises(UserError, match="is of the images of other; take another --study_dir"):
        runner.refuse_other_data(grid)


@pytest.mark.parametrize(
    ("name", "package"), [("loky", "joblib"), ("dask", "distributed"), ("ray", "ray")]
)
def test_two_workers_give_the_same_table(name, package, done, flags, tmp_path, monkeypatch):
    """Each run is brought back by copying what a process of its own would have made."""
    if not find_spec(package):
        pytest.skip(f"needs {package}")
    folder = copied(done, tmp_path / "study")
    for row in content(done)["rows"][:2]:
        forget(folder, row["run"])
    code = "import shutil, sys; shutil.copytree(*sys.argv[1:])"
    monkeypatch.setattr(
        Cell,
        "commands",
        lambda cell, to, python, root: [
            [python, "-c", code, str(done / part / cell.name), str(to / part / cell.name)]
            for part in ("runs", "results")
        ],
    )
    run(study, *flags, "--study_dir", folder, "--backend", name, "--jobs", 2, *TINY)
    assert (folder / "table.md").read_text() == (done / "table.md").read_text()


# ---- summaries and the figure


def test_intervals_over_seeds_are_student_t():
    rows = [
        {
            "miou": m,
            "low": 0,
            "high": 99,
            "hours": 1,
            "other_hours": 2,
            "images": n,
            "everything": False,
        }
        for m, n in ((60, 10), (62, 10), (64, 12))
    ]
    cell = CellResult.of_runs(rows)
    assert (cell.miou, cell.images, cell.seeds) == (62, "10-12", 3)
    assert cell.high - 62 == pytest.approx(4.3027 * 2 / 3**0.5, rel=1e-4)
    assert 62 - cell.low == pytest.approx(cell.high - 62)
    assert CellResult.of_runs(rows[:1]).high == 99


def test_the_figure_draws_every_mode_and_the_other_prices(tmp_path, sheets):
    line = {
        "hours": [0.5, 1],
        "miou": [60, 65],
        "low": [58, 64],
        "high": [62, 66],
        "other_hours": [0.5, 1],
    }
    lines = [{"name": "points", **line}, {"name": "boxes", **line, "other_hours": [2, 4]}]
    budget_plot(tmp_path / "a.png", lines, "hours", "bearman2016")
    names = [text.get_text() for text in sheets[0].figure.legends[0].get_texts()]
    assert sorted(names) == ["boxes", "boxes, by bearman2016", "frontier", "points"]
    with pytest.raises(ValueError, match="no lines"):
        budget_plot(tmp_path / "b.png", [], "hours")


def test_a_study_without_a_background_passes_the_flag_on_and_prices_every_class(tmp_path):
    data = ["--data_dir", streets(tmp_path / "data", line=""), "--cache_dir", tmp_path / "cache"]
    data, labels = [*data, "--no_background"], tmp_path / "labels.pkl"
    run(weak_label_generator, *data, "--output_file", labels, "--jobs", 1)
    flags = ["--modes", "boxes", "--budgets", "1h", "--seeds", 1, "--steps", 2]
    where = ["--weak_label_path", labels, "--study_dir", tmp_path / "study"]
    run(study, *data, *where, *flags, *TINY)
    results = [json.loads(p.read_text()) for p in (tmp_path / "study").glob("results/*/*.json")]
    (result,) = results
    assert result["args"]["no_background"] and result["task"]["has_background"] is False
    assert result["cost"]["counts"]["boxes"]["absent"] == 0
    with pytest.raises(UserError, match="--no_background after --: belongs to the study itself"):
        run(study, *data, *where, *flags, *TINY, "--no_background")


def test_a_study_of_probes_compares_kinds_of_label_and_repeats_nothing(
    flags, tmp_path, monkeypatch, capsys
):
    """Their labels are those of the training images alone, and they have no steps."""
    at, folder = flags.index("--steps"), tmp_path / "study"
    bare = [*flags[:at], *flags[at + 2 :], "--budgets", "40s", "--study_dir", folder]
    probe = ["--", "--rounds", 1, *TINY[3:5], *TINY[-4:]]
    with pytest.raises(UserError, match="--steps: the probe is fitted without steps"):
        run(study, *bare, "--steps", 4, *probe)
    run(study, *bare, *probe)
    found = content(folder)
    assert len(found["rows"]) == found["cells"] == 2
    for row in found["rows"]:
        result = json.loads((folder / "results" / row["run"] / f"{row['run']}.json").read_text())
        assert result["args"]["learner"] == "probe" and result["epochs_done"] == 2
        assert result["selection"]["by"] is None and 0 < row["miou"] < 100
    assert "No label of a validation image" in (folder / "table.md").read_text()
    before = written(folder)
    monkeypatch.setattr(runner, "execute", None)  # would fail if any run were started
    run(study, *bare, *probe, "--learner", "probe")  # the default, named
    assert written(folder) == before
    unet = {cell.name for cell in grid_of(*bare, *TINY).cells}
    assert not unet & {row["run"] for row in found["rows"]}


def test_a_study_begins_with_the_probe():
    assert training_flags(None, ["--img_size", "100"]) == (
        *("--learner", "probe"),
        *("--img_size", "100"),
    )
    for words in (training_flags(None, []), training_flags(None, ["--learner", "probe"])):
        assert run_of(["--supervision_mode", "full", *words]).learner == "probe"
    for words in (["--learner", "unet"], ["--lea=unet", "--recipe", "strong"]):
        assert run_of(["--supervision_mode", "full", *training_flags(8, words + EPOCHS)]) == run_of(
            ["--supervision_mode", "full", *words, *EPOCHS, "--steps_per_epoch", "4"]
        )


@pytest.mark.parametrize(
    "words",
    [["--recipe", "strong"], ["--augment"], ["--epochs", "3"], ["--epochs=3"], ["--lr", "1e-3"]],
)
@pytest.mark.parametrize("named", [[], ["--learner", "probe"]])
def test_what_only_networks_have_use_for_is_refused_with_both_ways_out(words, named):
    flag = words[0].partition("=")[0]
    with pytest.raises(UserError, match=f"{flag} after --: .*leave it out.*-- --learner unet"):
        training_flags(None, [*words, *named])
    training_flags(None, [*words, "--learner", "unet"])


@pytest.mark.parametrize("later", [{}, {"learner": "unet"}])
def test_networks_of_a_study_that_was_begun_before_learners_are_found(later, flags):
    """Their result files name no learner; the same words and --learner unet ask for them."""
    for cell in grid_of(*flags, *TINY).cells:
        args = {key: value for key, value in cell.run.recorded().items() if key != "learner"}
        assert identity_of(cell.identity | {"args": args | later}) == cell.identity
        assert "learner" not in cell.identity["args"]
