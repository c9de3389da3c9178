"""Commands are killed at random moments and started again: all files end as if left alone."""

import json
import random
import shutil
import time

import pytest
import torch
from conftest import ROOT
from forked import finish, start
from killed_runs import same

from weakseg.own_files import MARK

pytestmark = pytest.mark.slow

# What the clock says, and which stands in files.
CLOCK = {"seconds", "images_per_second", "time", "eval_runtime", "eval_samples_per_second"}
CLOCK |= {"eval_steps_per_second"}
TEXT = {".json", ".jsonl"}
NOT_COMPARED = (".lock", ".log")

PROBE = "--learner probe --views 1 --supervision_mode points --rounds 1"
UNET = "--supervision_mode boxes --epochs 3 --batch_size 8 --recipe strong --augment"
TINY = "--encoder_weights none --img_size 64 --device cpu --cache_dir cache"
LABELS = ["--data_dir", "data", "--weak_label_path", "labels.pkl"]
RUNS = ["--checkpoint_dir", "runs"]
EVALUATE = "--checkpoint_dir done --results_dir results --device cpu"
LOOP = {
    "data.source": "data",
    "data.image_size": 64,
    "data.cache_dir": "cache",
    "active_learning.label": "points",
    "active_learning.initial_percentage": 20,
    "active_learning.increment_percentage": 20,
    "active_learning.max_percentage": 60,
    "output_dir_prefix": "loop",
    "run_name": "r",
    "training.device": "cpu",
}
PROBE_LOOP = LOOP | {"model.network": "probe", "model.head": "linear", "model.weights": "none"}
TRANSFORMER = LOOP | {
    "model.name": "segformer-tiny",
    "training.steps": 6,
    "training.eval_steps": 2,
    "training.batch_size": 4,
    "active_learning.label": "mask",
    "vlm_itl.vlm_handler": "confidence",
    "vlm_itl.iou_bar": 0.02,
    "vlm_itl.risk": 0.6,
}
STUDY = "--study_dir study --budgets 40s 80s --seeds 1 --modes points --cache_dir cache -- "
STUDY += "--img_size 64 --encoder_weights none --views 1 --device cpu"


def settings(values):
    config = ROOT / "configs" / "active_learning_config.yaml"
    return ["--config", config, "--set", *(f"{key}={value}" for key, value in values.items())]


# What is killed -> (module, words, the folders that it writes).
COMMANDS = {
    "weak_label_generator": (
        "weak_label_generator",
        ["--data_dir", "data", "--output_file", "drawn", "--shards", 6, "--jobs", 1],
        ["drawn"],
    ),
    "train, probe": ("train", [*PROBE.split(), *TINY.split(), *LABELS, *RUNS], ["runs"]),
    "train, U-Net": ("train", [*UNET.split(), *TINY.split(), *LABELS, *RUNS], ["runs"]),
    "evaluate": (
        "evaluate",
        ["--checkpoint_dir", "done", "--results_dir", "results", "--device", "cpu"],
        ["results"],
    ),
    "study": ("study", [*LABELS, *STUDY.split()], ["study"]),
    "active learning": ("scripts.train_active_learning", settings(PROBE_LOOP), ["loop"]),
    "judge in the loop": ("scripts.train_vlm_itl", settings(TRANSFORMER), ["loop"]),
}
for name in ("train, probe", "train, U-Net"):
    COMMANDS[name][1].extend(["--resume", "auto"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a data set, its labels and, for `evaluate`, two trained runs."""
    root = tmp_path_factory.mktemp("prepared")
    log = root / "prepared.log"
    shapes = "--dataset shapes --data_dir data --count_trainval 24 --count_test 6 --size 80"
    finish("download_data", shapes.split(), root, log)
    labels = ["--data_dir", "data", "--output_file", "labels.pkl", "--jobs", 1]
    finish("weak_label_generator", labels, root, log)
    for mode in ("points", "boxes"):
        words = [*PROBE.replace("points", mode).split(), *TINY.split(), *LABELS]
        finish("train", [*words, "--checkpoint_dir", "done"], root, log)
    return root


def contents(folder):
    """Return {path: what must be the same} of the files that a run leaves; litter fails."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.name.endswith(NOT_COMPARED):
            continue
        assert path.name == MARK or not path.name.startswith("."), f"{path} was left"
        name = str(path.relative_to(folder))
        if path.suffix == ".pt":
            files[name] = torch.load(path, weights_only=True)
        elif path.suffix in TEXT:
            lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
            files[name] = [timeless(json.loads(line)) for line in lines]
        else:
            files[name] = path.read_bytes()
    return files


def timeless(value):
    """Return plain values without what the clock says."""
    if isinstance(value, dict):
        return {key: timeless(each) for key, each in value.items() if key not in CLOCK}
    return [timeless(each) for each in value] if isinstance(value, list) else value


def compare(whole, killed, folders):
    """All files of two folders are the same."""
    for name in folders:
        one, two = contents(whole / name), contents(killed / name)
        assert one.keys() == two.keys(), sorted(one.keys() ^ two.keys())
        different = [path for path in one if not same(one[path], two[path])]
        assert not different, different


def kills(name, prepared, tmp_path, count):
    """Kill a command `count` times at random moments of its work -> how often it was killed.

    Each run that comes to its end, killed or not, is compared, and the next begins anew.
    """
    module, words, folders = COMMANDS[name]
    whole = shutil.copytree(prepared, tmp_path / "whole")
    began = time.monotonic()
    finish(module, words, whole, whole / "out.log")
    usual = time.monotonic() - began
    generator, killed, number = random.Random(name), 0, 0
    while killed < count:
        folder = shutil.copytree(prepared, tmp_path / f"killed{number}")
        number += 1
        for _ in range(4):  # kills of one run, each after it has gone on a while
            process = start(module, words, folder, folder / "out.log")
            process.join(generator.uniform(0.02, 0.8 * usual))
            if process.exitcode is None:
                process.kill()
                killed += 1
            process.join()
            if process.exitcode == 0 or killed >= count:
                break
            assert process.exitcode == -9, (folder / "out.log").read_text()[-2000:]
        finish(module, words, folder, folder / "out.log")
        compare(whole, folder, folders)
        shutil.rmtree(folder)
    return killed


MANY = {
    "weak_label_generator": 20,
    "train, probe": 20,
    "train, U-Net": 25,
    "evaluate": 15,
    "study": 8,
    "active learning": 15,
    "judge in the loop": 15,
}


@pytest.mark.parametrize("name", MANY)
def test_a_killed_command_ends_as_one_left_alone(name, prepared, tmp_path, tried):
    tried(f"kills of {name}", kills(name, prepared, tmp_path, MANY[name]))
