"""The benchmarks of asked pixels, on tiny photographs."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import ask_speed, ask_starts, ask_strategies, ask_table, fitted_probes, probe_table
from weakseg.common import write_json
from weakseg.labels.label_file import save_labels
from weakseg.planning.strategies import STRATEGIES

TINY = {"encoder_weights": "none"}


@pytest.fixture
def tiny(pets_dir, pets_labels, monkeypatch):
    """Put tiny photographs into the table, and small frames into each benchmark."""
    real = fitted_probes.Bench.of_flags
    monkeypatch.setitem(probe_table.TABLE, "tiny", ("tiny", {}, {}, (), None))
    for module in (ask_strategies, ask_starts):
        monkeypatch.setattr(module, "SIZE", 64)
    monkeypatch.setattr(ask_starts, "labels", lambda *_: pets_labels)
    monkeypatch.setattr(ask_table, "SIZES", {"tiny": 64})
    monkeypatch.setattr(ask_speed, "DATA", {"tiny": (64, 5)})
    monkeypatch.setattr(fitted_probes.Bench, "of_flags", lambda **values: real(**(values | TINY)))
    return pets_dir


def test_ways_are_strategies_and_each_is_compared():
    assert {way.strategy for way in ask_strategies.WAYS.values()} == {*STRATEGIES}
    assert len({*ask_strategies.WAYS.values()}) == len(ask_strategies.WAYS)


def test_sessions_of_equal_minutes_are_kept_and_compared(tiny, tmp_path, monkeypatch, capsys):
    args = SimpleNamespace(
        data=tiny,
        folder=tmp_path,
        only=["tiny"],
        ways=["margin", "rare and spread"],
        seeds=[0, 1],
        minutes=[1, 2],
        refit_every=10,
    )
    ask_strategies.main(args)
    table = (tmp_path / "table.md").read_text()
    assert table.count("\n") == 4 and "2 min" in table and "rare and spread" in table
    monkeypatch.setattr(ask_strategies, "simulated", None)
    capsys.readouterr()
    ask_strategies.main(args)
    assert capsys.readouterr().out == table == (tmp_path / "table.md").read_text()


def test_the_wait_is_measured_with_more_pictures_than_there_are(tiny, tmp_path, capsys):
    args = SimpleNamespace(
        data=tiny, folder=tmp_path, only=["tiny"], answers=40, pictures=50, refits=3
    )
    ask_speed.main(args)
    *_, row = capsys.readouterr().out.strip().splitlines()
    _, name, classes, answers, pictures, every, *seconds, _ = map(str.strip, row.split("|"))
    assert (name, classes, answers, pictures, every) == ("tiny", "2", "55", "50", "5")
    refit, choice, both, slowest = map(float, seconds)
    assert 0 <= max(refit, choice) <= both + 0.01 <= slowest + 0.02


def test_beginnings_are_paired_with_nothing(tiny, tmp_path, capsys):
    args = SimpleNamespace(
        data=tiny,
        folder=tmp_path,
        only=["tiny"],
        starts=["examples", "clicks"],
        seeds=[0],
        points=[10, 20],
        refit_every=10,
    )
    ask_starts.main(args)
    head, _, nothing, *others = (tmp_path / "table.md").read_text().strip().splitlines()
    assert "10 answers" in head and "worst" not in nothing and len(others) == 2
    assert all("worst" in line for line in others)
    values = json.loads((tmp_path / "sessions" / "tiny-nothing-0" / "miou.json").read_text())
    assert f"{values[0]:.1f}" in nothing


def test_the_table_is_of_finished_sessions(tiny, tmp_path, monkeypatch, capsys):
    """The sessions themselves are those of study.py, which test_ask.py runs."""
    args = SimpleNamespace(
        data=tiny, folder=tmp_path, only=["tiny"], seeds=[0, 1], points=[20, 40], jobs=1
    )
    estimate = {"miou": [70.0, 60.0, 80.0], "cannot_tell": [9.0, 5.0, 12.0]}

    def run(*words, threads):
        seed = int(words[words.index("--seed") + 1])
        folder = ask_table.where(args, "tiny", seed)
        assert words[:3] == ("study.py", "ask", "--simulate") and threads == 1
        rows = [
            {"point": n, "answers": n, "miou": 80.0 + seed, "minutes": n / 10, "estimate": estimate,
             "truth": 65.0 + 20 * seed}
            for n in args.points
        ]  # fmt: skip
        write_json(folder / "ask.json", {"rows": rows})
        image = {"size": [9, 9], "pixels": [{"class": 0}, {"class": 255}, {"class": 0}]}
        head = {"format": "weak-labels", "version": 1, "dataset": "pets", "seed": 0, "options": {},
                "classes": ["background", "pet"], "tag_names": []}  # fmt: skip
        np.savez(folder / "out_of_fold.npz", answers=[0, 1, 1, 255], areas=[5, 1, 1, 9])
        for n in args.points:
            save_labels(folder / "labels" / f"answers_{n}.pkl", head, 1, [("a", image)])

    monkeypatch.setattr(ask_table, "run", run)
    ask_table.main(args)
    first, second = (tmp_path / "table.md").read_text().strip().split("\n\n")
    assert "80.5 ± 0.7" in first and first.count("\n") == 2
    assert "1 of 2" in second and "0 (pet)" in second and "10.0" in second
