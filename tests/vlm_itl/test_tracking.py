"""Numbers reach `log.jsonl`, and a tracker's run for each round and for the summary."""

import json
import time

import pytest

from vlm_itl.config import Config
from vlm_itl.tracking import Tracker, tracker_options
from weakseg.training.distributed import make_accelerator
from weakseg.training.tracking import has_wandb_key

RESULTS = {
    "curve": [
        {
            "round": 0,
            "images": 5,
            "percent": 5.0,
            "seconds": 395.0,
            "test_miou": 0.5,
            "test_file": "round_00/test.npz",
        },
        {
            "round": 1,
            "images": 10,
            "percent": 10.0,
            "seconds": 790.0,
            "test_miou": 0.625,
            "test_file": "round_01/test.npz",
        },
    ],
    "judge": [
        {
            "round": 0,
            "purity": 0.75,
            "auroc": None,
            "usage": {"calls": 3},
            "reliability": [[0.5, 0.5, 2]],
        }
    ],
}
ROUNDS = ((0, 0), (1, 1))  # and the ensemble's second network
NAMES = ["run-round0", "run-round1-member1", "run-summary"]
SUMMARY = {"images": 10, "percent": 10.0, "seconds": 790.0, "test_miou": 0.625}


def make_tracker(folder, log_with="none"):
    settings = Config(log_with=log_with)
    accelerator = make_accelerator("cpu", **tracker_options(settings, folder))
    return Tracker(settings, folder, accelerator)


def track(folder, log_with):
    """Track a network of each of two rounds, and the summary -> the lines of log.jsonl."""
    folder.mkdir()
    tracker = make_tracker(folder, log_with)
    for number, member in ROUNDS:
        log = tracker.start(number, member)
        for step in (10, 20):
            log({"loss": 1 / step, "miou": number + member / 4}, step)
    tracker.summarise(RESULTS)
    assert not tracker.accelerator.trackers
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def check_lines(lines):
    rounds = [(line["round"], line["member"], line["step"], line["loss"]) for line in lines[:4]]
    assert rounds == [(n, m, step, 1 / step) for n, m in ROUNDS for step in (10, 20)]
    first, last = lines[4:]
    assert (
        first["summary"]
        and first["judge/purity"] == 0.75
        and (first["round"], first["step"]) == (0, 0)
    )
    assert not {"judge/auroc", "judge/usage", "judge/reliability", "test_file"} & first.keys()
    assert SUMMARY.items() <= last.items() and "judge/purity" not in last
    times = [line["time"] for line in lines]
    assert times == sorted(times)


def test_without_a_tracker_there_is_the_log_and_nothing_else(tmp_path):
    check_lines(track(tmp_path / "run", "none"))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["log.jsonl"]


def test_a_log_goes_on_where_a_killed_run_left_it(tmp_path):
    make_tracker(tmp_path).start(0)({"loss": 1.0}, 1)
    make_tracker(tmp_path).start(0)({"loss": 0.5}, 2)
    assert [
        json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()
    ] == [1.0, 0.5]


def test_a_step_that_is_computed_once_more_stands_in_the_log_once(tmp_path):
    """Numbers of another kind at the same step have a line of their own; a cut line goes."""
    path = tmp_path / "log.jsonl"
    log = make_tracker(tmp_path).start(0)
    log({"loss": 1.0}, 1)
    log({"miou": 0.5}, 1)
    path.write_text(path.read_text() + '{"round": 0, "step": 2, "lo')
    log = make_tracker(tmp_path).start(0)
    for step in (1, 2):
        log({"loss": 1 / step}, step)
        log({"miou": 0.5}, step)
    make_tracker(tmp_path).start(1)({"loss": 1.0}, 1)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["round"], line["step"], line.get("loss")) for line in lines] == [
        (0, 1, 1.0),
        (0, 1, None),
        (0, 2, 0.5),
        (0, 2, None),
        (1, 1, 1.0),
    ]
    tracker = make_tracker(tmp_path)
    tracker.begin()
    tracker.start(0)({"loss": 1.0}, 1)
    assert len(path.read_text().splitlines()) == 1


def test_tensorboard_has_one_run_a_round_and_a_summary(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    check_lines(track(tmp_path / "run", "tensorboard"))
    folder = tmp_path / "run" / "tensorboard"
    assert sorted(path.name for path in folder.iterdir()) == NAMES

    def read(name):
        events = EventAccumulator(str(folder / name)).Reload()
        return {
            tag: [(e.step, e.value) for e in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }

    assert read("run-round1-member1") == {
        "loss": [(10, pytest.approx(0.1)), (20, pytest.approx(0.05))],
        "miou": [(10, 1.25), (20, 1.25)],
    }
    found = read("run-summary")
    assert found["test_miou"] == [(0, 0.5), (1, 0.625)] and found["judge/purity"] == [(0, 0.75)]


def test_wandb_without_a_key_is_offline_with_one_run_a_round_and_a_summary(tmp_path, monkeypatch):
    """The real client, in a home without a login; it needs a few seconds a run."""
    from wandb.proto import wandb_internal_pb2

    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert not has_wandb_key()
    check_lines(track(tmp_path / "run", "wandb"))
    runs = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert len(runs) == len(NAMES)

    def stored(text):
        return sum(text.encode() in path.read_bytes() for path in runs)

    deadline = (
        time.monotonic() + 60
    )  # on a busy machine wandb's own process writes after the run is finished
    while time.monotonic() < deadline and not all(map(stored, [*NAMES, "judge/purity", "vlm-itl"])):
        time.sleep(0.1)
    assert [stored(name) for name in NAMES] == [1, 1, 1]
    assert stored("judge/purity") == 1
    assert stored("vlm-itl") == len(runs)  # the project
    # The summary alone has the labelled share as its horizontal axis, of all metrics.
    axis = wandb_internal_pb2.MetricRecord(glob_name="*", step_metric="percent")
    assert stored(axis.SerializeToString().decode()) == 1


def test_a_key_is_found_where_wandb_keeps_it(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not has_wandb_key()
    for content, found in (
        ("machine example.org login user password secret\n", False),
        ("machine api.wandb.ai login user password secret\n", True),
        ("machine api.wandb.ai nonsense\n", False),
    ):
        (tmp_path / ".netrc").write_text(content)
        (tmp_path / ".netrc").chmod(0o600)
        assert has_wandb_key() == found
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert has_wandb_key()
