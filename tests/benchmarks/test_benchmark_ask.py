"""The benchmarks of asked pixels, on tiny photographs."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import (
    ask_faults,
    ask_kinds,
    ask_speed,
    ask_starts,
    ask_strategies,
    ask_table,
    ask_unet,
    ask_whole,
    asked_sessions,
    fitted_probes,
    probe_table,
)
from weakseg.common import write_json
from weakseg.labels.label_file import load_labels, save_labels
from weakseg.labels.signals import image_seconds
from weakseg.planning.strategies import STRATEGIES

TINY = {"encoder_weights": "none"}


@pytest.fixture
def tiny(pets_dir, pets_labels, monkeypatch):
    """Put tiny photographs into the table, and small frames into each benchmark."""
    real = fitted_probes.Bench.of_flags
    monkeypatch.setitem(probe_table.TABLE, "tiny", ("tiny", {}, {}, (), None))
    for module in (ask_strategies, asked_sessions, ask_whole):
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


def test_persons_are_paired_with_the_usual_one(tiny, tmp_path, capsys):
    args = SimpleNamespace(
        data=tiny,
        folder=tmp_path,
        only=["tiny"],
        persons=["as people do", "twice of all"],
        seeds=[0],
        points=[30, 60],
        refit_every=10,
    )
    ask_faults.main(args)
    _, _, usual, twice = (tmp_path / "table.md").read_text().strip().splitlines()
    assert "(" not in usual and twice.count("(") == 2
    factors = [ask_faults.PERSONS[person] for person in args.persons]
    assert factors == [(1, 1, 1), (2, 2, 2)]


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


# ---- other kinds of labels


@given(st.lists(st.floats(0, 100), min_size=2, max_size=6), st.floats(0, 100))
def test_a_curve_reaches_what_it_passes(values, miou):
    curve = [(2.0**i, value) for i, value in enumerate(values)]
    time = ask_kinds.reached(curve, miou)
    if time is None:
        assert max(values) < miou
        return
    logs, height = np.log([hours for hours, _ in curve]), [value for _, value in curve]
    if time > 1:
        assert np.interp(np.log(time), logs, height) == pytest.approx(miou, abs=1e-6)
    earlier = np.linspace(0, np.log(time), 50, endpoint=False)
    assert (np.interp(earlier, logs, height) <= miou + 1e-6).all() or time == 1


def test_a_price_that_breaks_even_takes_as_long():
    assert ask_kinds.break_even(1.0, 800, 400) == pytest.approx((3600 - 1.5 * 400) / 800)
    row = {"answers": 800, "pictures": 400, "miou": 85.0}
    assert ask_kinds.verdict([(0.5, 80.0), (2.0, 90.0)], row) == "1 h, 3.8 s"
    assert ask_kinds.verdict([(0.5, 80.0), (2.0, 84.0)], row) == "never"
    assert ask_kinds.verdict([(0.5, 86.0)], row) == "at most 0.5 h, 1.5 s"


def test_masks_are_priced_anew():
    cost = {
        "counts": {"full": {"object": 30, "image": 4}},
        "seconds": {"full": 30 * 79.0, "look": 6.0},
    }
    assert ask_kinds.hours_at(cost) == pytest.approx((30 * 79 + 6) / 3600)
    assert ask_kinds.hours_at(cost, "object", 10.0) == pytest.approx(306 / 3600)
    assert ask_kinds.hours_at(cost, "image", 60.0) == pytest.approx(246 / 3600)


@pytest.mark.slow
def test_kinds_over_hours_stand_beside_answers(tiny, pets_labels, tmp_path, monkeypatch, capsys):
    row = {"point": 5, "answers": 5, "pictures": 3, "miou": 20.0}
    rows = [row | {"minutes": 0.3, "low": 15.0, "high": 25.0}]
    write_json(tmp_path / "answers" / "sessions" / "tiny-0" / "ask.json", {"rows": rows})
    monkeypatch.setattr(ask_kinds, "SIZES", {"tiny": 64})
    monkeypatch.setattr(ask_kinds, "labels", lambda *_: pets_labels)
    real = ask_kinds.run
    encoder = "--encoder_weights", "none"
    monkeypatch.setattr(
        ask_kinds, "run", lambda *w, **k: real(*w, *(encoder if w[0] == "train.py" else ()), **k)
    )
    args = SimpleNamespace(
        data=tiny,
        folder=tmp_path,
        answers=tmp_path / "answers",
        only=["tiny"],
        kinds=["full"],
        pictures=[2],
        seeds=[0],
        jobs=1,
    )
    ask_kinds.main(args)
    table = (tmp_path / "table.md").read_text()
    assert "| tiny | full   |     1 | 2: " in table and "as 5 answers" in table
    monkeypatch.setattr(ask_kinds, "run", None)
    capsys.readouterr()
    ask_kinds.main(args)
    assert capsys.readouterr().out == table
    assert (tmp_path / "tiny.png").stat().st_size > 5000


# ---- whole sessions


def test_whole_sessions_are_kept_and_counted(tiny, tmp_path, monkeypatch, capsys):
    args = SimpleNamespace(
        data=tiny, folder=tmp_path, only=["tiny"], sessions=2, points=[30, 60], refit_every=10
    )
    ask_whole.main(args)
    table = (tmp_path / "table.md").read_text()
    assert table.count("\n") == 4 and " of 2 " in table
    monkeypatch.setattr(ask_whole, "simulated", None)
    capsys.readouterr()
    ask_whole.main(args)
    assert capsys.readouterr().out == table


def test_the_true_gain_is_that_of_sessions_that_said_so():
    def row(truth, said):
        return {"random": 20, "interval": [50, 70], "truth": truth, "said_small": said}

    sessions = [[row(60, True), row(61, True)], [row(40, False), row(50, False)], [{}, row(99, 0)]]
    first, last = (ask_whole.cells(sessions, number) for number in (0, 1))
    assert first[1:] == ["1 of 2", "10.0", "50.0", "1 of 2", "+1.00"]
    assert last[1] == "2 of 3" and last[-1] == "-"


# ---- a network


@pytest.mark.parametrize("kind", ["points", "full"])
def test_no_more_is_labelled_than_the_hours_buy(kind, tiny, pets_labels, tmp_path, monkeypatch):
    monkeypatch.setattr(ask_unet, "labels", lambda *_: pets_labels)
    monkeypatch.setattr(ask_unet, "DATA", "tiny")
    monkeypatch.setattr(ask_unet, "PICTURES", 22)
    args = SimpleNamespace(data=tiny, folder=tmp_path, seed=0)
    images = load_labels(pets_labels)["images"]
    every = sum(image_seconds(label, [kind], 1) for label in images.values())
    numbers = [ask_unet.affordable(args, kind, share * every) for share in (0, 0.3, 0.6, 1.1)]
    assert numbers == sorted(numbers) and numbers[0] == 1 and 1 < numbers[1] < numbers[3]
