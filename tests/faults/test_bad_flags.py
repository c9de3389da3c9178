"""Every flag of every command, misspelt and with values that mean nothing: one line each."""

import importlib
import sys
from unittest.mock import patch

import pytest
from outcomes import assert_refused, outcome

from weakseg.command_line import Parser

COMMANDS = {
    "train": ["--supervision_mode", "points"],
    "evaluate": [],
    "analyze": [],
    "predict": ["--run_name", "nowhere", "--images", "."],
    "study": ["compare"],
    "study ask": ["ask", "--simulate"],
    "study plan": ["plan", "nowhere.json"],
    "labels import": ["import", "nowhere.xml", "--images", ".", "--output", "nowhere_too"],
    "labels export": ["export", "--labels", ".", "--format", "coco", "--output", "nowhere_too"],
    "labels check": ["check", "--labels", "nowhere"],
    "labels show": ["show", "--labels", "nowhere", "--images", "."],
    "weak_label_generator": [],
    "download_data": ["--dataset", "shapes"],
    "scripts.compare_runs": ["--runs", "nowhere", "--output_dir", "nowhere_too"],
    "scripts.train_baseline": ["--config", "nowhere.yaml"],
    "scripts.train_active_learning": ["--config", "nowhere.yaml"],
    "scripts.train_vlm_itl": ["--config", "nowhere.yaml"],
}
# Flags whose files are written, not read.
WRITTEN = {"output_file", "output_dir", "results_dir", "study_dir", "checkpoint_dir", "cache_dir"}


def module_of(command):
    return importlib.import_module(command.split()[0])


def actions(command):
    """Return what argparse knows of a command's flags."""
    parsers = []
    real = Parser.parse_known_args

    def seen(parser, *args, **options):
        parsers.append(parser)
        return real(parser, *args, **options)

    module = module_of(command)
    argv = [command, *COMMANDS[command]]
    with patch.object(Parser, "parse_known_args", seen), patch.object(sys, "argv", argv):
        module.parse_args()
    return [a for a in parsers[-1]._actions if a.option_strings and a.dest != "help"]


def bad_words(action):
    """Yield words that can't be right for a flag, whatever the others are."""
    flag = action.option_strings[0]
    middle = len(flag) // 2 + 1
    yield [flag[:middle] + "qq" + flag[middle:]]  # misspelt
    if action.nargs == 0:
        yield [f"{flag}=yes"]
        return
    if action.nargs not in ("*", "?"):
        yield [flag]  # without a value
    if action.choices is not None:
        yield [flag, "qqq"]
    elif action.type is int:
        yield from ([flag, word] for word in ("qqq", "1.5", "1e3", "9" * 5000, "1" + "0" * 30))
    elif action.type is float:
        yield from ([flag, word] for word in ("qqq", "1,5", "--"))
    yield [flag, "\udcff"]  # no UTF-8


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_that_mean_nothing_are_one_line(command, tried, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # nothing may be written, and least of all here
    module, number = module_of(command), 0
    for action in actions(command):
        for words in bad_words(action):
            line = assert_refused(module, [*COMMANDS[command], *words], capsys)
            assert "--" in line, line  # a flag is named
            number += 1
    tried(f"flags of {command.removeprefix('scripts.')}", number)
    assert not list(tmp_path.iterdir())


SENSELESS = {
    "train": [
        "--lr nan",
        "--lr inf",
        "--lr -1",
        "--warmup 1",
        "--val_fraction 0",
        "--val_fraction 1.5",
        "--img_size 63",
        "--img_size -64",
        "--epochs 0",
        "--batch_size 0",
        "--num_workers -1",
        "--seed -1",
        "--train_limit 0",
        "--steps_per_epoch 0",
        "--run_name ../x",
        "--run_name a/b",
        "--run_name ..",
        "--encoder_weights nowhere.pth",
        "--encoder nonsense",
        "--cam_foreground 2",
        "--cache_limit -1",
        "--cluster tcp://x:1",
        "--overwrite --resume",
        "--data_dir nowhere",
        "--weak_label_path nowhere.pkl",
        "--supervision_mode pionts",
        "--classes cat cat",
        "--classes nonsense",
        "--learner probe --scale 9",
        "--learner probe --confidence 0.4",
        "--learner probe --rounds -1",
        "--learner probe --pixels 0",
        "--start probe --learner probe",
        "--frozen 2",
        "--lambda_probe 1",
        "--device cuda" if not __import__("torch").cuda.is_available() else "--device mps",
    ],
    "evaluate": [
        "--batch_size 0",
        "--num_workers -1",
        "--tile 8",
        "--tile_overlap 0.2",
        "--tile --tile_overlap nan",
        "--resamples 0",
        "--run_name a/b",
        "--run_name nowhere",
        "--cost_schedule nowhere.yaml",
        "--cost_band relative",
        "--reprice --tile",
        "--reprice --predictions x",
        "--predictions nowhere",
        "--classes cat",
        "--checkpoint_dir nowhere",
        "--cache_limit nan",
    ],
    "predict": [
        "",
        "--run_name a/b",
        "--tile 8",
        "--tile_overlap 0.2",
        "--tile --tile_overlap nan",
        "--jobs 0",
        "--min_area 0",
        "--min_area 5",
        "--clicks nowhere.pkl",
        "--cluster tcp://x:1",
        "--output_dir .",
        "--checkpoint_dir nowhere",
        "--export x.onnx",
    ],
    "analyze": [
        "--a x",
        "--a x --b y",
        "--report nowhere",
        "--report x --a y --b z",
        "--a x --b y --seed -1",
        "--a x --b y --resamples 5",
        "--a x --b y --examples -1",
        "--cost_schedule bearman2016",
    ],
    "study": [
        "--budgets soon",
        "--budgets 0h",
        "--modes pionts",
        "--seeds 0",
        "--jobs 0",
        "--steps 3",
        "--hours 2",
        "--cost_schedule relative",
        "--data_dir nowhere",
        "-- --seed 3",
        "-- --img_size 63",
        "-- --nonsense",
    ],
    "study ask": [
        "--answers 0",
        "--at 0",
        "--random_share 2",
        "--random_share nan",
        "--refit_every 0",
        "--labels pixels",
        "--seed -1",
        "--faults -1",
        "--data_dir nowhere",
    ],
    "study plan": ["", "--hours 2"],
    "labels import": [
        "",
        "--images nowhere",
        "--format voc",
        "--map cat",
        "--mask_values 255=cat",
        "--mask_ignore x --classes background cat",
        "--classes",
    ],
    "labels export": ["", "--labels nowhere", "--images nowhere", "--format voc"],
    "labels check": ["", "--images nowhere"],
    "labels show": ["", "--images nowhere", "--count 0"],
    "weak_label_generator": [
        "--points_per_object -1",
        "--noise 2",
        "--noise nan",
        "--min_area 1",
        "--scribble_width 0",
        "--preview 1000",
        "--jobs 0",
        "--simulated_clicks",
        "--clicks nowhere.json",
        "--data_dir nowhere",
        "--seed -1",
        "--shards -1",
        "--faults -1",
    ],
    "download_data": ["--size 8", "--count_test 0", "--from_dir nowhere", "--max_side 64"],
    "scripts.compare_runs": ["", "--resamples 0", "--seed -1", "--full nowhere"],
    "scripts.train_baseline": [""],
    "scripts.train_active_learning": ["", "--set x", "--set seed=q"],
    "scripts.train_vlm_itl": [""],
}


@pytest.mark.slow
@pytest.mark.parametrize("command", SENSELESS)
def test_values_that_make_no_sense_are_one_line(
    command, pets_dir, pets_labels, tried, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    known = {action.dest for action in actions(command)}
    data = []
    if "data_dir" in known and command not in ("evaluate", "analyze", "download_data"):
        data += ["--data_dir", pets_dir]
    if "weak_label_path" in known and command != "analyze":
        data += ["--weak_label_path", pets_labels]
    for words in SENSELESS[command]:
        before, dashes, rest = words.partition("-- ")
        split = [*before.split(), *([dashes.strip()] if dashes else []), *rest.split()]
        assert_refused(module_of(command), [*COMMANDS[command], *data, *split], capsys)
    tried(f"values for {command.removeprefix('scripts.')}", len(SENSELESS[command]))
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert not [path for path in left if path.suffix not in (".npy", ".json")], left


OVERRIDES = [
    "active_learning.strategy=entropi",
    "active_learning.label=msk",
    "active_learning.initial_percentage=-1",
    "active_learning.initial_percentage=nan",
    "active_learning.ensemble_size=0",
    "model.name=nonsense",
    "model.weights=nowhere.pth",
    "training.steps=0",
    "training.steps=many",
    "training.learning_rate=.nan",
    "training.batch_size=-3",
    "training.nonsense=1",
    "data.source=nowhere",
    "data.image_size=0",
    "run_name=a/b",
    "seed=-1",
    "log_with=paper",
    "vlm_itl.vlm_handler=lerned",
    "vlm_itl.risk=2",
    "vlm_itl.confidence=.inf",
    "nonsense.key=1",
    "seed",
    "seed=[",
    "output_dir=x",
]


@pytest.mark.slow
def test_settings_that_mean_nothing_are_one_line(tried, capsys, tmp_path):
    from conftest import ROOT

    config = ROOT / "configs" / "active_learning_config.yaml"
    module = importlib.import_module("scripts.train_vlm_itl")
    for override in OVERRIDES:
        words = ["--config", config, "--set", f"output_dir_prefix={tmp_path / 'out'}"]
        words += [f"data.data_dir={tmp_path / 'data'}", f"data.cache_dir={tmp_path / 'cache'}"]
        assert_refused(module, [*words, override], capsys)
    tried("settings", len(OVERRIDES))
    assert not any(path.stat().st_size for path in tmp_path.rglob("ledger.jsonl"))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_no_error(command, capsys):
    words = command.split()[1:] if command != "study" else ["compare"]
    assert outcome(module_of(command), [*words, "--help"], capsys).code == 0
