"""Every command of the two documents that the project comes from still parses, word for word."""

import re
import shlex
import sys
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import pytest
from conftest import ROOT

SHORT = "--epochs 50 --batch_size 8 --lr 1e-4"
MIX = (
    "--run_name {} --data_dir ./data --weak_label_path ./weak_labels/weak_labels_train.pkl"
    " --batch_size 32 --lr 1e-4 --epochs 50 --num_workers 8 --img_size 256"
    " --checkpoint_dir ./checkpoints_hybrid --augment"
)
COLAB = (
    "--weak_label_path ./weak_labels/weak_labels_train.pkl --data_dir ./data --batch_size 64"
    " --lr 2e-4 --epochs 75 --num_workers 8 --img_size 256 --checkpoint_dir ./checkpoints_a100"
)
COMMANDS = [
    "weak_label_generator.py --data_dir ./data --output_file ./weak_labels/weak_labels_train.pkl",
    "train.py --supervision_mode points --run_name points_run1"
    " --epochs 10 --batch_size 8 --lr 1e-4",
    f"train.py --supervision_mode tags --run_name tags_run1 {SHORT}",
    f"train.py --supervision_mode scribbles --run_name scribbles_run1 {SHORT}",
    f"train.py --supervision_mode boxes --run_name boxes_run1 {SHORT}",
    f"train.py --supervision_mode hybrid_tags_points --run_name hybrid_run1 {SHORT}"
    " --lambda_seg 1.0",
    f"train.py --supervision_mode points --run_name points_run1 {COLAB}",
    "train.py --supervision_modes points boxes --lambda_points 1.0 --lambda_boxes 1.0 "
    + MIX.format("points_boxes_run1"),
    "train.py --supervision_modes scribbles boxes --lambda_scribbles 1.0 --lambda_boxes 1.0 "
    + MIX.format("scribbles_boxes_run1"),
    "train.py --supervision_modes points scribbles --lambda_points 1.0 --lambda_scribbles 1.0 "
    + MIX.format("points_scribbles_run1"),
    "download_data.py",
    "scripts/train_baseline.py --config configs/baseline_config.yaml",
    "scripts/train_active_learning.py --config configs/active_learning_config.yaml",
    "scripts/train_vlm_itl.py --config configs/active_learning_config.yaml",
]
SEEDS = ROOT.parent / "shared" / "seeds"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_published_command_parses(command, monkeypatch):
    script, *words = shlex.split(command)
    monkeypatch.chdir(ROOT)
    module = import_module(script.removesuffix(".py").replace("/", "."))
    with patch.object(sys, "argv", [script, *words]):
        args = module.parse_args()
    given = vars(args)
    for flag, value in zip(words, [*words[1:], ""], strict=False):
        name = flag.removeprefix("--")
        if flag.startswith("--") and name in given and not value.startswith("--") and value:
            assert str(given[name]) == value or float(given[name]) == float(value), flag


def commands_in(text: str) -> set[tuple[str, ...]]:
    """Return the words of each `python SCRIPT ...` of a document, continued lines joined."""
    text = re.sub(r"\\\s*\n\s*", " ", text)
    lines = (line.strip().lstrip("!") for line in text.splitlines())
    return {tuple(shlex.split(line)[1:]) for line in lines if re.match(r"python \S+\.py\b", line)}


@pytest.mark.skipif(not SEEDS.is_dir(), reason=f"{SEEDS} is absent")
def test_no_command_of_the_documents_is_missing():
    known = {tuple(shlex.split(command)) for command in COMMANDS}
    for document in sorted(Path(SEEDS).glob("*.txt")):
        assert commands_in(document.read_text(encoding="utf-8")) <= known, document.name
