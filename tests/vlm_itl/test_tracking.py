"""Numbers reach `log.jsonl`, and a tracker's run for each round and for the summary."""

import json
import struct
import time
from functools import partial

import pytest
from PIL import Image

from vlm_itl.config import Config
from vlm_itl.tracking import Tracker, tracker_options
from weakseg.common import UserError
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
    tracker.summarise(RESULTS, {})
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


def scalars(folder):
    """Return {tag: [(step, value), ...]} of a TensorBoard run, and {tag: steps} of its pictures."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert len(list(folder.glob("events.*"))) == 1
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()
    numbers = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}
    return numbers, {tag: [e.step for e in events.Images(tag)] for tag in tags["images"]}


def test_tensorboard_has_one_run_a_round_and_a_summary(tmp_path):
    check_lines(track(tmp_path / "run", "tensorboard"))
    folder = tmp_path / "run" / "tensorboard"
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    assert scalars(folder / "run-round1-member1")[0] == {
        "loss": [(10, pytest.approx(0.1)), (20, pytest.approx(0.05))],
        "miou": [(10, 1.25), (20, 1.25)],
    }
    found, _ = scalars(folder / "run-summary")
    assert found["test_miou"] == [(0, 0.5), (1, 0.625)] and found["judge/purity"] == [(0, 0.75)]


def picture(folder, name="predictions"):
    """Draw a picture of a stage."""
    path = folder / "round_00" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 6), "red").save(path)
    return {name: path}


def killed_and_resumed(folder, log_with):
    """Track a round whose training is killed twice and goes on from a checkpoint at step 10.

    Another network of an ensemble is trained between the first one and its stages.
    """
    for last in (15, 25, 30):  # the steps at which it stops
        tracker = make_tracker(folder, log_with)
        log = tracker.start(0)
        for step in range(5 if last == 15 else 15, last + 1, 5):
            log({"loss": 1 / step}, step)
        if last < 30:
            tracker.stop()  # as the tracker's own process does when the run's is gone
    tracker.start(0, 1)({"loss": 0.5}, 5)
    for _ in range(2):  # the second time by a run that only looks what is left to do
        draw = partial(picture, folder)
        tracker.stage(0, "evaluate", {"test_miou": 0.5, "file": "x"}, 30, draw)
        draw = partial(picture, folder, "verdicts")
        tracker.stage(0, "judge", {"judge/accepted": 3}, 30, draw)
        tracker.stop()
        tracker = make_tracker(folder, log_with)
    tracker.summarise(RESULTS, picture(folder, "curve"))


STEPS = [(step, pytest.approx(1 / step)) for step in range(5, 31, 5)]


def test_a_resumed_run_is_one_run_with_stages_and_pictures_in_tensorboard(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    killed_and_resumed(folder, "tensorboard")
    names = ["run-round0", "run-round0-member1", "run-summary"]
    assert sorted(path.name for path in (folder / "tensorboard").iterdir()) == names
    numbers, pictures = scalars(folder / "tensorboard" / "run-round0")
    assert numbers == {"loss": STEPS, "test_miou": [(30, 0.5)], "judge/accepted": [(30, 3)]}
    assert pictures == {"predictions": [30], "verdicts": [30]}
    assert scalars(folder / "tensorboard" / "run-round0-member1")[0] == {"loss": [(5, 0.5)]}
    assert scalars(folder / "tensorboard" / "run-summary")[1] == {"curve": [1]}
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [*range(5, 31, 5), 5, 30, 30, 0, 1]


def test_a_run_of_one_round_is_one_run(tmp_path):
    """A baseline logs training and evaluation in one."""
    folder = tmp_path / "run"
    folder.mkdir()
    settings = Config(log_with="tensorboard")
    accelerator = make_accelerator("cpu", **tracker_options(settings, folder))
    tracker = Tracker(settings, folder, accelerator, rounds=1)
    tracker.start(0)({"loss": 0.5}, 1)
    tracker.stage(0, "evaluate", {"test_miou": 0.75}, 1, partial(picture, folder))
    tracker.summarise(RESULTS | {"judge": []}, {})
    (only,) = (folder / "tensorboard").iterdir()
    numbers, pictures = scalars(only)
    assert only.name == "run" and pictures == {"predictions": [1]}
    assert numbers == {"loss": [(1, 0.5)], "test_miou": [(1, 0.75)]}


@pytest.fixture
def no_wandb_key(tmp_path, monkeypatch):
    """A home without a login."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert not has_wandb_key()


def records(path):
    """Yield the records of a .wandb file, which is a log in blocks as LevelDB writes it."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        if at + 7 + length > len(data):  # wandb's own process is still writing it
            return
        parts, at = parts + data[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def wandb_run(path):
    """Return (name, id, {key: [(step, value), ...]}) of a .wandb file."""
    name, run_id, history = "", "", {}
    for record in records(path):
        if record.WhichOneof("record_type") == "run":
            name, run_id = record.run.display_name, record.run.run_id
        if record.WhichOneof("record_type") == "history":
            items = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            for key, value in items.items():
                history.setdefault(key, []).append((items["_step"], value))
    return name, run_id, history


def wandb_files(folder, count):
    """Return the .wandb files below a run's folder, once they are written to the end."""
    deadline = time.monotonic() + 60  # on a busy machine wandb's own process is slow
    while time.monotonic() < deadline:
        files = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))
        kinds = [[r.WhichOneof("record_type") for r in records(path)] for path in files]
        if len(files) == count and all("exit" in kind for kind in kinds):
            return files
        time.sleep(0.1)
    raise AssertionError((files, kinds))


@pytest.mark.usefixtures("no_wandb_key")
def test_wandb_without_a_key_is_offline_with_one_run_a_round_and_a_summary(tmp_path):
    """The real client; it needs a few seconds a run."""
    from wandb.proto import wandb_internal_pb2

    check_lines(track(tmp_path / "run", "wandb"))
    files = wandb_files(tmp_path / "run", len(NAMES))
    runs = {name: history for name, _, history in map(wandb_run, files)}
    assert sorted(runs) == NAMES
    assert runs["run-summary"]["judge/purity"] == [(0, 0.75)]
    assert runs["run-summary"]["test_miou"] == [(0, 0.5), (1, 0.625)]
    assert all(b"vlm-itl" in path.read_bytes() for path in files)  # the project
    # The summary alone has the labelled share as its horizontal axis, of all metrics.
    axis = wandb_internal_pb2.MetricRecord(glob_name="*", step_metric="percent")
    assert sum(axis.SerializeToString() in path.read_bytes() for path in files) == 1


@pytest.mark.usefixtures("no_wandb_key")
def test_a_resumed_run_is_one_run_with_stages_and_pictures_in_wandb(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    killed_and_resumed(folder, "wandb")
    files = wandb_files(folder, 3)
    runs = {
        name: (path, run_id, history)
        for path in files
        for name, run_id, history in [wandb_run(path)]
    }
    path, run_id, history = runs["run-round0"]
    assert run_id == (folder / "tracker_id").read_text() + "-round0"
    assert history["loss"] == STEPS
    assert history["test_miou"] == [(30, 0.5)] and history["judge/accepted"] == [(30, 3)]
    shown = sorted(image.name.partition("_")[0] for image in path.parent.rglob("media/**/*.png"))
    assert shown == ["predictions", "verdicts"]
    assert len({run_id for _, run_id, _ in runs.values()}) == 3


@pytest.mark.usefixtures("no_wandb_key")
def test_a_tracker_that_cannot_be_opened_is_one_line(tmp_path, monkeypatch):
    import wandb

    def refuse(**_):
        raise wandb.errors.CommError("no server\nthere")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(UserError, match=r"log_with: .*no server.*WANDB_MODE") as caught:
        make_tracker(tmp_path, "wandb").start(0)
    assert "\n" not in str(caught.value)


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
