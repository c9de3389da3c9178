"""benchmarks/probe_speed.py measures every step that has a bound, and the commands."""

import re
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evaluate
import weak_label_generator
from benchmarks import probe_speed
from benchmarks.probe_speed import Labelled
from weakseg.training import options, probe_fit

ROW = re.compile(r"^\| ([^|]+) \| ([\d.]+) \| ([\d.]+|none) \|(?: [\d.]+)? \|$", re.M)


def measured_rows(capsys, words):
    """Return what the benchmark prints by its words: (name, seconds, bound) of each row."""
    probe_speed.main(probe_speed.parse_args(words.split()))
    rows = ROW.findall(capsys.readouterr().out)
    assert all(float(seconds) > 0 for _, seconds, _ in rows)
    return rows


def test_every_step_is_measured(capsys, pets_dir, monkeypatch):
    for size in (probe_fit.SMALL, probe_fit.SMALL_OF_MANY, probe_fit.SMALL_OF_FEW):
        monkeypatch.setitem(size, "steps", 3)
    words = f"--data_dir {pets_dir} --img_size 32 --encoder_weights none"
    rows = measured_rows(capsys, f"{words} --images 3 --labelled 6 --fits 1")
    assert {name: bound for name, _, bound in rows} == {
        name: str(bound) for name, bound in probe_speed.BOUNDS.items()
    }


def test_the_commands_are_those_of_a_user_with_an_empty_cache(capsys, pets_dir, monkeypatch):
    calls = []

    def run(*words):
        calls.append([*map(str, words)])
        return 7.0, ""

    monkeypatch.setattr(probe_speed, "run", run)
    words = f"--data_dir {pets_dir} --classes pet=cat+dog --command --train_limit 5"
    ((name, seconds, bound),) = measured_rows(capsys, words)
    assert "5 training images" in name and float(seconds) == 14 and float(bound) == 240
    assert [command for command, *_ in calls] == [
        "weak_label_generator.py",
        "train.py",
        "evaluate.py",
    ]
    caches = [words[words.index("--cache_dir") + 1] for words in calls[:2]]
    assert caches[0] != caches[1], "labels must leave the cache of the run empty"
    training = options.parse_args(calls[1][1:])
    assert training.learner == "probe" and training.train_limit == 5
    for command, words in ((weak_label_generator, calls[0]), (evaluate, calls[2])):
        monkeypatch.setattr(sys, "argv", words)
        command.parse_args()


def test_the_first_case_is_not_counted():
    seen = []
    assert len(probe_speed.measured(seen.append, "abc")) == 2 and seen == ["a", "b", "c"]


@given(number=st.integers(1, 30), count=st.integers(1, 40), seed=st.integers(0, 99))
def test_some_pixels_are_drawn_without_repetition_and_stay_whole(number, count, seed):
    numbers = np.arange(number)
    pixels = Labelled(numbers[:, None] * 2.0, numbers % 3, numbers + 1.0, numbers)
    some = pixels.some(count, seed)
    assert len({*some.images}) == len(some.images) == min(number, count)
    assert np.array_equal(some.features[:, 0], 2.0 * some.images)
    assert np.array_equal(some.classes, some.images % 3)
    assert np.array_equal(some.of_two().classes, some.classes > 0)
    assert np.array_equal(some.images, pixels.some(count, seed).images)


@pytest.mark.parametrize("seconds", [0.1, 0.4])
def test_a_row_ends_with_the_share_of_its_bound(seconds):
    assert probe_speed.row("step", seconds, 0.2).endswith(f"| {seconds / 0.2:.2f} |")
