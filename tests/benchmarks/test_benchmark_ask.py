"""benchmarks/ask_strategies.py and ask_speed.py, on tiny photographs."""

from types import SimpleNamespace

import pytest

from benchmarks import ask_speed, ask_strategies, fitted_probes, probe_table
from weakseg.planning.strategies import STRATEGIES

TINY = {"encoder_weights": "none"}


@pytest.fixture
def tiny(pets_dir, monkeypatch):
    """Put tiny photographs into the table, and small frames into each benchmark."""
    real = fitted_probes.Bench.of_flags
    monkeypatch.setitem(probe_table.TABLE, "tiny", ("tiny", {}, {}, (), None))
    monkeypatch.setattr(ask_strategies, "SIZE", 64)
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
    monkeypatch.setattr(ask_strategies, "simulation", None)
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
