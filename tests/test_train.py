"""train.py as people run it: every mode, resumption, processes, selection, refusals."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import psutil
import pytest
import torch
from conftest import run
from filelock import FileLock
from test_seeds import COMMANDS

import train
import weak_label_generator
from model import model_from
from weakseg.common import UserError, run_cli
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.costs import LOOK
from weakseg.labels.label_file import load_labels, save_labels
from weakseg.labels.signals import SIGNALS
from weakseg.training.checkpoints import lock_path

NUMBERS = ("loss", "val_loss", "weak_val_loss")
ROOT = Path(train.__file__).parent
TINY = ["--img_size", "64", "--batch_size", "8", "--encoder_weights", "none", "--device", "cpu"]


@pytest.fixture
def flags(pets_dir, pets_labels, tmp_path):
    """The flags that all runs here share."""
    return [
        *TINY,
        "--data_dir",
        pets_dir,
        "--weak_label_path",
        pets_labels,
        "--checkpoint_dir",
        tmp_path,
        "--cache_dir",
        Path(pets_dir).parent / "cache",
    ]


def weights(folder, name="last.pt"):
    return torch.load(Path(folder) / name, weights_only=True)["model"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def log(folder):
    return [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("mode", [*SIGNALS, "hybrid_tags_points"])
def test_every_mode_trains_and_leaves_a_complete_run(mode, flags, tmp_path):
    run(train, "--supervision_mode", mode, "--run_name", "r", "--epochs", 2, "--augment", *flags)
    lines = log(tmp_path / "r")
    assert [line["epoch"] for line in lines] == [1, 2]
    terms = set(lines[-1]["terms"])
    assert terms == {"tags": {"tags", "cam"}, "hybrid_tags_points": {"tags", "points"}}.get(
        mode, {mode}
    )
    best = torch.load(tmp_path / "r" / "best.pt", weights_only=True)
    assert best["epoch"] == [line["epoch"] for line in lines if line["selected"]][-1]
    assert best["cost"]["images"] > 0 and all(
        seconds > 0 for seconds in best["cost"]["seconds"].values()
    )
    assert (tmp_path / "r" / "curves.png").stat().st_size > 0


@pytest.mark.parametrize(("more", "coarse"), [([], False), (["--coarse_logits"], True)])
def test_two_classes_have_coarse_logits_on_demand(more, coarse, flags, tmp_path):
    run(train, "--supervision_mode", "full", "--run_name", "r", "--epochs", 1, *flags, *more)
    assert any(name.startswith("coarse_head.") for name in weights(tmp_path / "r")) is coarse


@pytest.mark.parametrize(
    ("more", "coarse"),
    [([], True), pytest.param(["--no-coarse_logits"], False, marks=pytest.mark.slow)],
)
def test_more_classes_have_coarse_logits_unless_refused(more, coarse, flags, pets_dir, tmp_path):
    path = tmp_path / "labels.pkl"
    run(
        weak_label_generator,
        "--data_dir",
        pets_dir,
        "--classes",
        "species",
        "--output_file",
        path,
        "--jobs",
        1,
    )
    again = [
        "--supervision_mode",
        "points",
        "--recipe",
        "strong",
        "--run_name",
        "r",
        "--epochs",
        2,
        *flags,
        "--classes",
        "species",
        "--weak_label_path",
        path,
        *more,
    ]
    run(train, *again)
    found = torch.load(tmp_path / "r" / "best.pt", weights_only=True)
    assert any(name.startswith("coarse_head.") for name in found["model"]) is coarse
    assert (model_from(found).coarse_head is not None) is coarse
    if not coarse:
        del found["args"]["coarse_logits"]  # a checkpoint of a version that had no such head
        assert same(model_from(found).state_dict(), found["model"])
    run(train, *again, "--resume")


def test_both_spellings_of_a_mix_are_one_run(flags, tmp_path):
    run(train, "--supervision_mode", "hybrid_tags_points", "--run_name", "a", "--epochs", 1, *flags)
    run(train, "--supervision_modes", "points", "tags", "--run_name", "b", "--epochs", 1, *flags)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def start(arguments, **options):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [*map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def wait_until_saved(folder, *processes):
    """Return once a run has its first last.pt, or one of its processes has ended."""
    while not (folder / "last.pt").exists() and all(
        process.poll() is None for process in processes
    ):
        time.sleep(0.02)


@pytest.mark.slow  # without a signal: tests/training/test_recipes.py and test_probe_start.py
def test_a_killed_run_resumes_to_the_same_weights(flags, tmp_path):
    """Two subprocesses: one is killed in its second epoch and resumed, the other is left alone."""
    base = [
        sys.executable,
        "train.py",
        "--supervision_modes",
        "tags",
        "scribbles",
        "--epochs",
        4,
        "--augment",
        "--loss_weighting",
        "uncertainty",
        *flags,
    ]
    left_alone = start([*base, "--run_name", "alone"])
    killed = start([*base, "--run_name", "killed"])
    wait_until_saved(tmp_path / "killed", killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert left_alone.communicate()[1] is None and left_alone.returncode == 0
    assert torch.load(tmp_path / "killed" / "last.pt", weights_only=True)["epoch"] < 4
    with (tmp_path / "killed" / "log.jsonl").open("a") as file:
        file.write('{"epoch": 2, "lo')  # what a kill in the middle of a write leaves
    resumed = start([*base, "--run_name", "killed", "--resume"])
    output = resumed.communicate()[0]
    assert resumed.returncode == 0, output
    assert same(weights(tmp_path / "alone"), weights(tmp_path / "killed"))
    assert same(weights(tmp_path / "alone", "best.pt"), weights(tmp_path / "killed", "best.pt"))
    timeless = [
        {k: v for k, v in line.items() if "second" not in k} for line in log(tmp_path / "alone")
    ]
    assert timeless == [
        {k: v for k, v in line.items() if "second" not in k} for line in log(tmp_path / "killed")
    ]


def test_a_cache_without_room_gives_the_same_run(flags, tmp_path):
    base = ["--supervision_mode", "points", "--epochs", 1, *flags]
    run(train, *base, "--run_name", "a")
    flags = [
        tmp_path / "empty" if word == flags[flags.index("--cache_dir") + 1] else word
        for word in base
    ]
    run(train, *flags, "--run_name", "b", "--cache_limit", 0)
    assert not list((tmp_path / "empty").rglob("*.npy"))
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    with pytest.raises(UserError, match="--cache_limit"):
        run(train, *base, "--run_name", "c", "--cache_limit", -1)


def learned_weights(folder):
    """Return what the optimiser moves: the weights without the moments of batch norm."""
    moments = ("running_mean", "running_var", "num_batches_tracked")
    return {key: value for key, value in weights(folder).items() if not key.endswith(moments)}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def launch(processes, script):
    """Start a script in so many processes of this machine -> the launcher's process."""
    port = ["--master_port", free_port()]
    return start(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc_per_node",
            processes,
            *port,
            *script,
        ]
    )


@pytest.mark.parametrize(
    "weighting, precision, recipe",
    [
        pytest.param("fixed", [], "plain", marks=pytest.mark.slow),
        pytest.param("fixed", ["--device", "auto"], "strong", marks=pytest.mark.slow),
        ("uncertainty", [], "plain"),
        pytest.param("fixed", ["--amp"], "plain", marks=pytest.mark.slow),
    ],
)
def test_two_processes_train_what_one_does(weighting, precision, recipe, flags, tmp_path):
    """Up to batch norm, whose batch is that of each process on CPUs; test_model.py has the law.

    Adam's first steps are signs: kept small, they don't blow rounding up.
    """
    base = [
        "train.py",
        "--supervision_modes",
        "points",
        "scribbles",
        "--epochs",
        2,
        "--augment",
        "--lr",
        1e-6,
        *flags,
        "--loss_weighting",
        weighting,
        "--recipe",
        recipe,
        *precision,
    ]
    one = start([sys.executable, *base, "--run_name", "one"])
    two = launch(2, [*base, "--run_name", "two"])
    for process in (one, two):
        output = process.communicate()[0]
        assert process.returncode == 0, output
        assert output.count("best.pt is epoch") == 1  # two processes are one run
    a, b = learned_weights(tmp_path / "one"), learned_weights(tmp_path / "two")
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-3, atol=1e-4)
    learned = [
        torch.load(tmp_path / name / "last.pt", weights_only=True)["criterion"]
        for name in ("one", "two")
    ]
    for key in learned[0]:
        torch.testing.assert_close(learned[0][key], learned[1][key], rtol=0, atol=1e-5)
    for x, y in zip(log(tmp_path / "one"), log(tmp_path / "two"), strict=True):
        assert [x[k] for k in NUMBERS] == pytest.approx([y[k] for k in NUMBERS], rel=0.25)


@pytest.mark.slow
def test_two_processes_with_batch_norm_of_their_own_are_killed_and_go_on(flags, tmp_path):
    """Bit for bit, the validation of both shares included: after each epoch all have the same
    running moments.
    """
    base = [
        "train.py",
        "--supervision_mode",
        "points",
        "--recipe",
        "strong",
        "--epochs",
        4,
        "--batch_norm",
        "local",
    ]
    alone = launch(2, [*base, "--run_name", "alone", *flags])
    killed = launch(2, [*base, "--run_name", "killed", *flags])
    wait_until_saved(tmp_path / "killed", killed)
    for process in [*psutil.Process(killed.pid).children(recursive=True), killed]:
        process.kill()
    killed.communicate()
    assert torch.load(tmp_path / "killed" / "last.pt", weights_only=True)["epoch"] < 4
    resumed = launch(2, [*base, "--run_name", "killed", "--resume", *flags])
    for process in (alone, resumed):
        output = process.communicate()[0]
        assert process.returncode == 0, output
    assert same(weights(tmp_path / "alone"), weights(tmp_path / "killed"))
    for x, y in zip(log(tmp_path / "alone"), log(tmp_path / "killed"), strict=True):
        assert [x[k] for k in NUMBERS] == [y[k] for k in NUMBERS]


@pytest.mark.slow
def test_of_two_processes_each_cuts_its_share(flags, tmp_path):
    at = flags.index("--weak_label_path") + 1
    base, found = ["--supervision_mode", "boxes", "--recipe", "strong", "--epochs", 1], []
    for processes in (1, 2):
        labels = tmp_path / f"labels{processes}" / "labels.pkl"
        labels.parent.mkdir()
        shutil.copy(flags[at], labels)
        own = [*flags[:at], labels, *flags[at + 1 :], "--run_name", processes]
        output = launch(processes, ["train.py", *base, *own]).communicate()[0]
        assert len(re.findall(r"GrabCut: \d+ ", output)) == 1, output
        found.append({path.name: path.read_bytes() for path in labels.parent.rglob("*.png")})
    assert found[0] and found[0] == found[1]


def two_nodes(launcher, script):
    """Start a script on two nodes of one process each, which meet on loopback -> the two launchers'
    processes.
    """
    port = free_port()
    commands = {
        "torchrun": lambda rank: [
            "torch.distributed.run",
            "--nnodes",
            2,
            "--node_rank",
            rank,
            "--nproc_per_node",
            1,
            "--master_addr",
            "127.0.0.1",
            "--master_port",
            port,
        ],
        "accelerate": lambda rank: [
            "accelerate.commands.launch",
            "--multi_gpu",
            "--num_machines",
            2,
            "--num_processes",
            2,
            "--machine_rank",
            rank,
            "--main_process_ip",
            "127.0.0.1",
            "--main_process_port",
            port,
            "--mixed_precision",
            "no",
            "--dynamo_backend",
            "no",
        ],
    }
    return [start([sys.executable, "-m", *commands[launcher](rank), *script]) for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_two_nodes_are_killed_and_one_process_goes_on(launcher, flags, tmp_path):
    """The run is the one that a single process makes without interruption, up to batch norm."""
    base = [
        "train.py",
        "--supervision_modes",
        "points",
        "scribbles",
        "--epochs",
        4,
        "--augment",
        "--lr",
        1e-6,
        *flags,
    ]
    nodes = two_nodes(launcher, [*base, "--run_name", "nodes"])
    wait_until_saved(tmp_path / "nodes", *nodes)
    for node in nodes:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [
                psutil.Process(node.pid),
                *psutil.Process(node.pid).children(recursive=True),
            ]:
                process.kill()
    said = [node.communicate()[0] for node in nodes]
    assert (tmp_path / "nodes" / "last.pt").exists(), said
    assert torch.load(tmp_path / "nodes" / "last.pt", weights_only=True)["epoch"] < 4
    one = start([sys.executable, *base, "--run_name", "one"])
    resumed = start([sys.executable, *base, "--run_name", "nodes", "--resume"])
    for process in (one, resumed):
        output = process.communicate()[0]
        assert process.returncode == 0, output
    a, b = learned_weights(tmp_path / "one"), learned_weights(tmp_path / "nodes")
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-3, atol=1e-4)
    for x, y in zip(log(tmp_path / "one"), log(tmp_path / "nodes"), strict=True):
        assert [x[k] for k in NUMBERS] == pytest.approx([y[k] for k in NUMBERS], rel=0.25)


@pytest.mark.slow
def test_one_process_is_killed_and_two_nodes_go_on(flags, tmp_path):
    base = [
        "train.py",
        "--supervision_mode",
        "points",
        "--recipe",
        "strong",
        "--epochs",
        4,
        "--lr",
        1e-6,
        *flags,
    ]
    killed = start([sys.executable, *base, "--run_name", "nodes"])
    wait_until_saved(tmp_path / "nodes", killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    for node in two_nodes("torchrun", [*base, "--run_name", "nodes", "--resume"]):
        output = node.communicate()[0]
        assert node.returncode == 0, output
    assert [line["epoch"] for line in log(tmp_path / "nodes")] == [1, 2, 3, 4]


def test_weak_selection_needs_no_mask_at_all(pets_dir, pets_labels, flags, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(pets_dir, bare)
    for mask in (bare / "annotations" / "trimaps").glob("*.png"):
        mask.unlink()
    flags[flags.index("--data_dir") + 1] = bare
    flags[flags.index("--cache_dir") + 1] = tmp_path / "cache"
    run(
        train,
        "--supervision_mode",
        "points",
        "--run_name",
        "r",
        "--epochs",
        1,
        "--select_by",
        "weak_val_loss",
        *flags,
    )
    assert log(tmp_path / "r")[0]["val_loss"] is None
    words = ["--supervision_mode", "points", "--run_name", "s", "--epochs", 1, *flags]
    with pytest.raises(UserError, match="--select_by val_miou: no validation image has a mask"):
        run(train, *words, "--select_by", "val_miou")
    run(train, *words)  # by default nothing is chosen where there is nothing to choose by
    best = torch.load(tmp_path / "s" / "best.pt", weights_only=True)
    assert best["args"]["select_by"] == "last" and best["selection"]["images"] == 0


@pytest.mark.parametrize(
    "rule, pick",
    [
        pytest.param("val_loss", min, marks=pytest.mark.slow),
        ("val_miou", max),
        pytest.param("weak_val_loss", min, marks=pytest.mark.slow),
    ],
)
def test_best_is_the_best_epoch_of_its_rule(rule, pick, flags, tmp_path):
    run(
        train,
        "--supervision_mode",
        "scribbles",
        "--run_name",
        "r",
        "--epochs",
        3,
        "--select_by",
        rule,
        *flags,
    )
    lines = log(tmp_path / "r")
    best = torch.load(tmp_path / "r" / "best.pt", weights_only=True)
    assert best["best"] == pick(line[rule] for line in lines) == lines[best["epoch"] - 1][rule]
    assert best["selection"]["by"] == rule
    chosen_with = "scribbles" if rule == "weak_val_loss" else "full"
    assert set(best["selection"]["seconds"]) == {chosen_with, LOOK}


def test_uncertainty_weights_are_trained(flags, tmp_path):
    run(
        train,
        "--supervision_modes",
        "points",
        "boxes",
        "--run_name",
        "r",
        "--epochs",
        1,
        "--loss_weighting",
        "uncertainty",
        *flags,
    )
    state = torch.load(tmp_path / "r" / "last.pt", weights_only=True)["criterion"]
    assert len(state) == 2 and all(value.item() != 0 for value in state.values())


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_what_was_there(flags, tmp_path):
    with pytest.raises(UserError, match=r"step \d+: the loss term 'points' is (nan|inf)"):
        run(
            train,
            "--supervision_mode",
            "points",
            "--run_name",
            "r",
            "--epochs",
            4,
            "--lr",
            1e30,
            "--warmup",
            0,
            *flags,
        )
    for path in (tmp_path / "r").glob("*.pt"):
        assert all(
            torch.isfinite(value).all() for value in weights(path.parent, path.name).values()
        )


def test_an_existing_run_is_safe(flags, tmp_path, capsys):
    mode = ["--supervision_mode", "points", "--run_name", "r"]
    run(train, *mode, "--epochs", 1, *flags)
    before = weights(tmp_path / "r")
    with pytest.raises(UserError, match="--overwrite"):
        run(train, *mode, "--epochs", 1, *flags)
    with pytest.raises(UserError, match="lr"):
        run(train, *mode, "--epochs", 1, "--lr", 1e-3, "--resume", *flags)
    with pytest.raises(UserError, match="--encoder"):
        run(train, *mode, "--epochs", 1, "--overwrite", "--encoder", "nope", *flags)
    assert same(before, weights(tmp_path / "r"))
    run(train, *mode, "--epochs", 1, "--resume", *flags)  # a finished run is left as it is
    run(train, *mode, "--epochs", 1, "--resume", "auto", *flags)
    gone = ["--data_dir", tmp_path / "gone", "--weak_label_path", tmp_path / "gone.pkl"]
    run(train, *mode, "--epochs", 1, "--resume", *flags, *gone)  # whatever became of its data
    assert "r: is finished and stays as it is; since then: " in capsys.readouterr().out
    with pytest.raises(UserError, match="epochs"):
        run(train, *mode, "--epochs", 2, "--resume", *flags, *gone)
    assert same(before, weights(tmp_path / "r"))
    run(train, *mode, "--epochs", 1, "--seed", 1, "--overwrite", *flags)
    assert not same(before, weights(tmp_path / "r"))


def test_a_kill_between_the_two_checkpoints_loses_neither(flags, tmp_path):
    """What it leaves is last.pt of a selected epoch, and best.pt of an older epoch or none."""
    mode = ["--supervision_mode", "scribbles", "--run_name", "r", "--epochs", 1]
    run(train, *mode, *flags)
    best = weights(tmp_path / "r", "best.pt")
    whole = (tmp_path / "r" / "best.pt").read_bytes()
    run(train, *mode, "--resume", "auto", *flags)
    assert (tmp_path / "r" / "best.pt").read_bytes() == whole  # which predictions are known by
    for argument in ("must", "auto"):
        (tmp_path / "r" / "best.pt").unlink()
        run(train, *mode, "--resume", argument, *flags)
        assert same(best, weights(tmp_path / "r", "best.pt"))


def test_two_processes_never_train_one_run(flags, tmp_path):
    mode = ["--supervision_mode", "points", "--run_name", "r", "--epochs", 1, *flags]
    with (
        FileLock(lock_path(tmp_path / "r")),
        pytest.raises(UserError, match="another process is training"),
    ):
        run(train, *mode)
    assert not (tmp_path / "r").exists()
    run(train, *mode)
    run(train, *mode, "--overwrite")  # the lock ends with the training


def test_an_epoch_has_the_steps_that_are_asked_for(flags, tmp_path):
    """More than the images give, so that small sets train as long as large ones."""
    run(
        train,
        "--supervision_mode",
        "points",
        "--run_name",
        "r",
        "--epochs",
        2,
        "--steps_per_epoch",
        5,
        "--train_limit",
        9,
        *flags,
    )
    steps = torch.load(tmp_path / "r" / "last.pt", weights_only=True)["schedule"]["last_epoch"]
    assert steps == 10 and len(log(tmp_path / "r")) == 2


def test_nothing_but_a_run_is_ever_replaced(flags, tmp_path):
    mine = tmp_path / "r" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    for overwrite in ([], ["--overwrite"]):
        with pytest.raises(UserError, match=r"notes\.txt"):
            run(
                train,
                "--supervision_mode",
                "points",
                "--run_name",
                "r",
                "--epochs",
                1,
                *overwrite,
                *flags,
            )
    assert mine.read_text() == "mine"


def test_a_run_goes_on_with_its_own_labels_only(pets_dir, flags, tmp_path):
    mode = ["--supervision_mode", "points", "--run_name", "r"]
    killed = start([sys.executable, "train.py", *mode, "--epochs", 9, *flags])
    wait_until_saved(tmp_path / "r", killed)
    killed.kill()
    killed.communicate()
    other = tmp_path / "other.pkl"
    run(
        weak_label_generator,
        "--data_dir",
        pets_dir,
        "--output_file",
        other,
        "--seed",
        1,
        "--jobs",
        1,
    )
    flags[flags.index("--weak_label_path") + 1] = other
    before = weights(tmp_path / "r")
    with pytest.raises(UserError, match="labels"):
        run(train, *mode, "--epochs", 9, "--resume", *flags)
    assert same(before, weights(tmp_path / "r"))


def test_where_masks_select_no_other_label_of_validation_images_is_needed(
    pets_dir, pets_labels, flags, tmp_path
):
    content = load_labels(pets_labels)
    val = {*open_dataset(DataOptions(data_dir=str(pets_dir))).ids("val")}
    images = {name: one for name, one in content.pop("images").items() if name not in val}
    del content["count"]
    save_labels(tmp_path / "few.pkl", content, len(images), images.items())
    words = ["--supervision_mode", "points", "--epochs", 1, *flags]
    few = ["--weak_label_path", tmp_path / "few.pkl"]
    run(train, *words, "--run_name", "all")
    run(train, *words, "--run_name", "few", *few)
    assert same(weights(tmp_path / "all"), weights(tmp_path / "few"))
    lines = [log(tmp_path / name)[-1] for name in ("all", "few")]
    assert lines[0]["val_miou"] == lines[1]["val_miou"]
    assert lines[0]["weak_val_loss"] and not lines[1].get("weak_val_loss")
    costs = [  # of the masks that select
        torch.load(tmp_path / name / "best.pt", weights_only=True)["selection"]
        for name in ("all", "few")
    ]
    assert costs[0] == costs[1]
    with pytest.raises(UserError, match="images have no labels"):
        run(train, *words, "--run_name", "weak", *few, "--select_by", "weak_val_loss")


def test_a_finished_run_says_that_its_data_are_others(pets_dir, flags, tmp_path, capsys):
    words = ["--supervision_mode", "points", "--run_name", "r", "--epochs", 1]
    run(train, *words, *flags)
    before, other = weights(tmp_path / "r"), tmp_path / "other.pkl"
    generated = ["--data_dir", pets_dir, "--output_file", other, "--seed", 1, "--jobs", 1]
    run(weak_label_generator, *generated)
    flags[flags.index("--weak_label_path") + 1] = other
    for argument in ("must", "auto"):
        argv = ["train.py", *map(str, [*words, *flags]), "--resume", argument]
        with patch.object(sys, "argv", argv), pytest.raises(SystemExit) as caught:
            run_cli(train.main, train.parse_args)
        line = capsys.readouterr().err.splitlines()[-1]
        assert caught.value.code == 2
        assert f"{tmp_path / 'r'}: this run began with other labels; restore them, take" in line
    assert same(before, weights(tmp_path / "r"))
    run(train, *words, *flags, "--overwrite")  # as the line says
    assert not same(before, weights(tmp_path / "r"))


def test_a_finished_run_stays_when_an_image_is_gone(pets_dir, flags, tmp_path, capsys):
    words = ["--supervision_mode", "points", "--run_name", "r", "--epochs", 1, "--resume", "auto"]
    data = tmp_path / "data"
    shutil.copytree(pets_dir, data)
    words += [*flags, "--data_dir", data]
    run(train, *words)
    before = weights(tmp_path / "r")
    seen = torch.load(tmp_path / "r" / "last.pt", weights_only=True)["seen"]
    (data / "images" / f"{seen[0]}.jpg").unlink()
    capsys.readouterr()
    run(train, *words)
    assert "stays as it is; since then: other images" in capsys.readouterr().out
    assert same(before, weights(tmp_path / "r"))


def test_ruined_validation_selects_nothing(flags, tmp_path):
    flags[flags.index("--batch_size") + 1] = "64"
    with pytest.raises(UserError, match="step 1"):
        run(
            train,
            "--supervision_mode",
            "points",
            "--run_name",
            "r",
            "--epochs",
            3,
            "--lr",
            1e30,
            "--warmup",
            0,
            *flags,
        )
    assert not (tmp_path / "r" / "best.pt").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--supervision_mode", "pionts"], "points"),
        (["--supervision_mode", "hybrid_tags_dots"], "dots"),
        (["--supervision_mode", "points", "--img_size", "100"], "multiple of 32"),
        (["--supervision_mode", "points", "--epochs", "0"], "--epochs"),
        (["--supervision_mode", "points", "--lambda_boxes", "1"], "--lambda_boxes"),
        (["--supervision_mode", "points", "--lambda_points", "-1"], "negative"),
        (["--supervision_mode", "points", "--lambda_seg", "0"], "positive"),
        (["--supervision_mode", "tags", "--lambda_tags", "0"], "--lambda_tags 0"),
        (
            ["--supervision_mode", "tags", "--recipe", "strong", "--select_by", "weak_val_loss"],
            "weak_val_loss",
        ),
        (
            [
                "--supervision_mode",
                "points",
                "--recipe",
                "strong",
                "--select_by",
                "weak_val_loss",
                "--lambda_points",
                "0",
            ],
            "weak_val_loss",
        ),
        (["--supervision_mode", "points", "--run_name", "a/b"], "--run_name"),
        (["--supervision_mode", "points", "--run_name", ".."], "--run_name"),
        (["--supervision_mode", "points", "--lambda_points", "nan"], "--lambda_points"),
        (["--supervision_mode", "points", "--num_workers", "-1"], "--num_workers"),
        (["--supervision_mode", "points", "--weight_decay", "-1"], "--weight_decay"),
        (["--supervision_mode", "points", "--train_limit", "100000"], "--train_limit"),
        (["--supervision_mode", "points", "--resume", "--run_name", "none_such"], "last.pt"),
        (["--supervision_mode", "points", "--encoder", "efficientnet-lite9"], "--encoder"),
        (
            ["--supervision_mode", "points", "--weak_label_path", "nowhere.pkl"],
            "weak_label_generator.py",
        ),
        (["--supervision_mode", "points", "--data_dir", "nowhere"], "download_data.py"),
    ],
)
def test_a_mistake_gets_one_line_that_names_it(arguments, message, flags, tmp_path):
    kept = list(flags)
    for flag in arguments[::2]:
        if flag in kept:
            at = kept.index(flag)
            del kept[at : at + 2]
    with pytest.raises(UserError, match=message) as caught:
        run(train, *kept, *arguments)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*/last.pt"))


def test_the_command_line_prints_one_line_and_fails(tmp_path):
    process = start(
        [sys.executable, "train.py", "--supervision_mode", "points", "--data_dir", tmp_path]
    )
    output = process.communicate()[0]
    assert process.returncode == 2 and output.startswith("error: ") and output.count("\n") == 1


def test_trackers_write_their_logs(flags, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    for tracker in ("tensorboard", "wandb"):
        run(
            train,
            "--supervision_mode",
            "points",
            "--run_name",
            tracker,
            "--epochs",
            1,
            "--log_with",
            tracker,
            *flags,
        )
    assert list(tmp_path.rglob("events.out.tfevents*"))
    assert list(tmp_path.rglob("*.wandb"))


def test_a_run_that_goes_on_is_one_run_of_its_tracker(flags, tmp_path, monkeypatch):
    """It stops after its first epoch is saved, before the tracker hears of it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from weakseg.training import loop

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))

    def stop(*_):
        raise KeyboardInterrupt

    for tracker in ("tensorboard", "wandb"):
        words = ["--supervision_mode", "points", "--run_name", tracker, "--epochs", 2, *flags]
        words += ["--log_with", tracker]
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(loop, "track_epoch", stop)
            run(train, *words)
        run(train, *words, "--resume")
    (file,) = (tmp_path / "tensorboard").glob("events.out.tfevents*")
    steps = [event.step for event in EventAccumulator(str(file)).Reload().Scalars("loss")]
    assert steps == [1, 2]
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert folder.name.endswith((tmp_path / "wandb" / "tracker_id").read_text())


SEED_COMMANDS = [c.removeprefix("train.py ") for c in COMMANDS if c.startswith("train.py ")]


@pytest.mark.parametrize("command", SEED_COMMANDS)
def test_published_commands_run_verbatim(command, pets_dir, pets_labels, tmp_path, monkeypatch):
    """From a folder laid out as they expect; only the size of the run is cut, after parsing."""
    (tmp_path / "data").symlink_to(pets_dir)
    (tmp_path / "weak_labels").mkdir()
    (tmp_path / "weak_labels" / "weak_labels_train.pkl").symlink_to(pets_labels)
    monkeypatch.chdir(tmp_path)
    parse = train.parse_args

    def small():
        args = parse()
        args.epochs, args.img_size, args.num_workers = 1, 64, 0
        args.cache_dir = str(Path(pets_dir).parent / "cache")
        return args

    monkeypatch.setattr(train, "parse_args", small)
    run(train, *command.split())
    assert len(list(tmp_path.glob("checkpoints*/*/best.pt"))) == 1
