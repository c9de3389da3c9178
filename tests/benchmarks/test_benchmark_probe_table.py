"""benchmarks/probe_table.py asks the commands for flags that they have, and makes its table."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import run

import evaluate
import train
import weak_label_generator
from benchmarks import probe_table
from weakseg.common import read_json
from weakseg.training import options

COMMANDS = {"weak_label_generator.py": weak_label_generator, "evaluate.py": evaluate}
TINY = ["--img_size", 64, "--encoder_weights", "none", "--pixels", 20, "--rounds", 1]


def arguments(folder, data="data", **more):
    return SimpleNamespace(data=Path(data), folder=folder, seeds=[0], jobs=1, **more)


@pytest.mark.parametrize("name", probe_table.TABLE)
def test_the_flags_of_every_row_are_those_of_the_commands(name, tmp_path, monkeypatch):
    calls = []
    dataset = SimpleNamespace(ids=lambda split: [*map(str, range(10))])
    monkeypatch.setattr(probe_table, "run", lambda *words, threads: calls.append(words))
    monkeypatch.setattr(probe_table, "balanced", lambda data, most, folder: folder)
    monkeypatch.setattr(probe_table, "open_dataset", lambda options: dataset)
    args, modes = arguments(tmp_path), probe_table.TABLE[name][3]
    for mode in modes:
        probe_table.train_and_score(args, name, mode, 3)
    assert len(calls) == 3 * len(modes)
    for script, *words in calls:
        words = [*map(str, words)]
        if script == "train.py":
            parsed = options.parse_args(words)
            assert parsed.learner == "probe" and parsed.seed == 3
            assert parsed.train_limit == (probe_table.TABLE[name][4] or 8)
        else:
            monkeypatch.setattr(sys, "argv", [script, *words])
            COMMANDS[script].parse_args()


def test_labels_are_made_and_runs_are_trained_and_scored_once(pets_dir, tmp_path, monkeypatch):
    calls = []

    def in_process(script, *words, threads):
        calls.append(script)
        if script == "train.py":
            run(train, *words, *TINY)
        else:
            run(COMMANDS[script], *words)

    monkeypatch.setattr(probe_table, "run", in_process)
    monkeypatch.setitem(probe_table.TABLE, "tiny", ("tiny", {}, {}, ("points", "full"), None))
    args = arguments(tmp_path / "probe", pets_dir, only=["tiny"])
    for _ in range(2):  # the second time nothing is left to do
        probe_table.main(args)
    assert sorted(calls) == ["evaluate.py"] * 2 + ["train.py"] * 2 + ["weak_label_generator.py"]
    results = [read_json(args.folder / "results" / f"tiny-{m}-0.json") for m in ("points", "full")]
    lines = (args.folder / "table.md").read_text().splitlines()[2:]
    for line, result in zip(lines, results, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[3] == f"{100 * result['aggregate']['miou']:.1f}" and cells[-1] == "1"
    never = probe_table.row(arguments(tmp_path / "nowhere"), "tiny", "full")
    assert never[:3] == ["tiny", "full", "not measured"]
