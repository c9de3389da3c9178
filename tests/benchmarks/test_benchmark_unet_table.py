"""benchmarks/unet_table.py asks the commands for flags that they have, and makes its tables."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import run

import evaluate
import train
import weak_label_generator
from benchmarks import probe_table, unet_table
from weakseg.common import read_json
from weakseg.training import options, probe_fit

COMMANDS = {"weak_label_generator.py": weak_label_generator, "evaluate.py": evaluate}
TINY = ["--img_size", 64, "--encoder_weights", "none", "--pixels", 20, "--rounds", 1]


@pytest.mark.slow
def test_labels_are_made_and_runs_are_trained_and_scored_once(pets_dir, tmp_path, monkeypatch):
    calls = []

    def in_process(script, *words, threads):
        calls.append(script)
        if script == "train.py":
            parsed = options.parse_args([*map(str, words)])
            assert (parsed.start == "probe") == (parsed.learner == "unet")
            assert parsed.seed == 0 and parsed.train_limit == 8
            run(train, *words, *TINY)
        else:
            run(COMMANDS[script], *words)

    for module in (probe_table, unet_table):
        monkeypatch.setattr(module, "run", in_process)
    monkeypatch.setattr(probe_fit, "SMALL", {"hidden": 8, "steps": 20})
    monkeypatch.setitem(probe_table.TABLE, "tiny", ("tiny", {}, {}, (), None))
    monkeypatch.setattr(unet_table, "TABLE", {"tiny": ("tiny", 8)})
    monkeypatch.setitem(unet_table.SCHEDULES["full"], "epochs", 3)
    args = SimpleNamespace(
        data=Path(pets_dir), folder=tmp_path, only=["tiny"], modes=["points", "full"], seed=0
    )
    for _ in range(2):  # the second time nothing is left to do
        unet_table.main(args)
    assert sorted(calls) == ["evaluate.py"] * 4 + ["train.py"] * 4 + ["weak_label_generator.py"]

    quality, curves = (tmp_path / "table.md").read_text().split("\n\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in quality.splitlines()]
    for cells in rows[2:]:
        result = read_json(tmp_path / "results" / f"tiny-{cells[1]}-{cells[2]}-0.json")
        assert cells[4] == f"{100 * result['aggregate']['miou']:.1f}" and float(cells[6]) >= 0
    assert len(rows) == 2 + 4 and len(curves.splitlines()) == 2 + 2
    args.seed = 1
    assert unet_table.rows_of(args, "tiny", "full")[0][0][3] == "not measured"


def test_a_training_that_was_cut_short_begins_anew_and_a_finished_one_is_kept(
    tmp_path, monkeypatch
):
    """So the seconds of a run are those of the whole."""
    args = SimpleNamespace(data=tmp_path, folder=tmp_path, seed=0)
    calls, failing = [], {"train.py"}

    def in_order(script, *words, threads):
        calls.append(script)
        if script == "train.py":
            parsed = options.parse_args([*map(str, words)])
            assert parsed.overwrite and parsed.resume is None
        if script in failing:
            raise RuntimeError(script)

    seconds = iter([0, 10, 500])  # before the training that is cut short, and around the next
    monkeypatch.setattr(unet_table, "processor_seconds", lambda: next(seconds))
    monkeypatch.setattr(unet_table, "run", in_order)
    monkeypatch.setattr(unet_table, "labels", lambda *_: tmp_path / "labels.pkl")
    for failing_next in ({"evaluate.py"}, set(), set()):
        try:
            unet_table.train_and_score(args, "nuclei", "points", "unet")
        except RuntimeError as error:
            assert str(error) in failing
        failing.clear()
        failing |= failing_next
    assert calls == ["train.py", "train.py", "evaluate.py", "evaluate.py"]
    assert read_json(unet_table.seconds_path(args, "nuclei-points-unet-0")) == 490


def test_the_rows_are_of_data_that_the_table_of_the_probe_knows(monkeypatch):
    assert {*unet_table.TABLE} <= {*probe_table.TABLE}
    monkeypatch.setattr(sys, "argv", ["unet_table.py", "--data", "data"])
    assert unet_table.parse_args().only == [*unet_table.TABLE]
