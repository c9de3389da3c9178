"""`make demo`: its commands parse, learn from every kind of label, and `make clean` removes all."""

import re
import subprocess
import sys
from importlib import import_module
from unittest.mock import patch

import pytest
from conftest import ROOT

from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.signals import SIGNALS, parse_modes

OUTPUTS = {
    "weak_label_generator": ["cache_dir", "output_file"],
    "train": ["cache_dir", "checkpoint_dir"],
    "evaluate": ["results_dir"],
    "analyze": [],  # beside the results that it is given
}


def make(*words: str) -> list[str]:
    """Return the lines that make prints; what the demo would install is taken for done."""
    command = ["make", "--silent", "--old-file", ".venv/installed", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def commands():
    """The demo's commands, [(script, its arguments)], in their order; none of them is run."""
    lines = [line.split() for line in make("demo", "RUN=echo") if re.match(r"\w+\.py ", line)]
    found = []
    for script, *words in lines:
        module = import_module(script.removesuffix(".py"))
        with patch.object(sys, "argv", [script, *words]):
            found.append((module.__name__, module.parse_args()))
    return found


def of(commands, name):
    return [args for script, args in commands if script == name]


def test_every_kind_of_label_is_learnt_from_by_the_probe_and_can_be_resumed(commands):
    trainings = of(commands, "train")
    assert {args.learner for args in trainings} == {"probe"}
    assert {args.resume for args in trainings} == {"auto"}
    pets = [args.modes for args in trainings if args.data_dir == "examples/pets"]
    assert {parse_modes(modes) for modes in pets} > {(signal,) for signal in SIGNALS}
    folders = [(args.checkpoint_dir, args.run_name) for args in trainings]
    assert len(set(folders)) == len(folders)


def test_its_photographs_ship_and_its_labels_are_made_first(commands, tmp_path):
    made = {args.output_file: args.data_dir for args in of(commands, "weak_label_generator")}
    for args in of(commands, "train"):
        assert made[args.weak_label_path] == args.data_dir
        options = DataOptions(data_dir=args.data_dir, cache_dir=str(tmp_path))
        assert open_dataset(options).ids("test")
    names = [name for name, _ in commands]
    last = len(names) - names[::-1].index("weak_label_generator")
    assert "train" not in names[:last]


def test_what_is_trained_is_tested_compared_and_put_into_a_page(commands):
    evaluations, analyses = of(commands, "evaluate"), of(commands, "analyze")
    runs = {args.checkpoint_dir for args in of(commands, "train")}
    assert {args.checkpoint_dir for args in evaluations} == runs
    results = {args.results_dir for args in evaluations}
    assert {args.report for args in analyses if args.report} == results
    compared = [args for args in analyses if not args.report]
    assert {args.results_dir for args in compared} == results
    for args in compared:
        (folder,) = (e.checkpoint_dir for e in evaluations if e.results_dir == args.results_dir)
        named = {a.run_name for a in of(commands, "train") if a.checkpoint_dir == folder}
        assert {*args.a, *args.b} <= named


def test_the_files_that_it_says_to_open_are_those_that_it_writes(commands):
    words = " ".join(line for line in make("demo", "RUN=true"))
    pages = {f"{args.report}/report.html" for args in of(commands, "analyze") if args.report}
    previews = {
        args.output_file.replace(".pkl", "_preview.png")
        for args in of(commands, "weak_label_generator")
        if args.preview
    }
    assert set(re.findall(r"\S+\.(?:html|png)", words)) == pages | previews


def test_clean_removes_all_that_the_demo_writes_and_nothing_else(commands):
    (line,) = make("--dry-run", "clean")
    removed = line.removeprefix("rm -rf ").split()
    assert removed and all("demo" in path for path in removed)
    for name, args in commands:
        for flag in OUTPUTS[name]:
            path = getattr(args, flag)
            assert any(path.startswith(place.rstrip("*")) for place in removed), path
