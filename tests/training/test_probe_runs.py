"""train.py --learner probe: its fits by laws, and the commands on drawn photographs."""

import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from conftest import ROOT, run
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_runs import killed_after
from made_streets import streets
from PIL import Image

import analyze
import evaluate
import train
import weak_label_generator
from model import feature_store
from weakseg.common import IGNORE, UserError, run_cli
from weakseg.data.image_io import read_mask
from weakseg.evaluation.data_of_run import dataset_of
from weakseg.inference import predict
from weakseg.labels.costs import LOOK
from weakseg.labels.signals import SIGNALS
from weakseg.labels.spacing import MOST_OF_MASKS, OF_BOXES, WITHOUT_PLACES, edge_radius
from weakseg.learners.checkpoint_file import OF_PROBES
from weakseg.learners.feature_store import cached_encoder
from weakseg.learners.features import FeatureMaps
from weakseg.learners.penalty import PENALTIES
from weakseg.learners.probe import Probe
from weakseg.training import checkpoints, options, probe, probe_evidence, probe_fit
from weakseg.training.checkpoints import Log
from weakseg.training.pixel_sample import LabelledPixels, merged
from weakseg.training.probe_evidence import (
    Evidence,
    gather,
    marked,
    pixels_per_image,
    seen,
    self_trains,
)
from weakseg.training.probe_fit import (
    LEAST_OF_BOXES,
    LEAST_OF_MARKS,
    LEAST_OF_TAGS,
    SLACK,
    penalties_for,
    rows_of,
)
from weakseg.training.probe_options import ProbeOptions

PAIRS = [*itertools.combinations(SIGNALS, 2)]
TINY = ["--learner", "probe", "--img_size", 64, "--encoder_weights", "none", "--device", "cpu"]


# ---- pixels and their weights


@given(wanted=st.integers(1, 10**6), images=st.integers(1, probe_evidence.MOST_PIXELS))
def test_all_images_together_give_no_more_than_the_most(wanted, images):
    each = pixels_per_image(wanted, images)
    assert 1 <= each <= wanted and images * each <= probe_evidence.MOST_PIXELS
    assert each == wanted or (each + 1) * images > probe_evidence.MOST_PIXELS


def gathered(labels, signals, first=0):
    """Return the evidence of labels of 30 x 20 pixels, whose features are all alike.

    first: the class that pseudo-masks show
    """
    by_name = {f"image {number}": label for number, label in enumerate(labels)}
    kind = type("Labels", (), {"__getitem__": lambda _, name: by_name[name]})
    labels = kind()
    labels.train_ids = [*by_name]
    mask = np.tile(np.arange(6, dtype=np.uint8), (5, 1)).repeat(4, 0).repeat(5, 1)  # 6 classes
    dataset = SimpleNamespace(
        photograph=str,
        group=str,
        mask=lambda name: mask,
        has_background=True,
        class_names=["a", "b", "c"],
    )
    maps = FeatureMaps((np.zeros((4, 5, 8), np.float16),), (4,), (30, 20), (30, 20))
    run_ = SimpleNamespace(seed=0, signals=signals, probe=ProbeOptions(), weak_label_path="l")
    masks = SimpleNamespace(first=lambda name, label, maps: np.full((4, 4), first, np.uint8))
    return gather(run_, dataset, labels, lambda path: maps, masks)


@pytest.mark.parametrize("is_complete", [True, False])
def test_boxes_that_give_no_pixel_a_class_are_said_to_lack_what_they_lack(is_complete):
    label = {"size": [30, 20], "boxes": [[0, 0, 30, 20, 1]]}
    label |= {} if is_complete else {"complete": []}
    with pytest.raises(UserError) as caught:
        gathered([label] * 3, ("boxes",), first=IGNORE)
    assert ("leave nothing free" in str(caught.value)) == is_complete
    assert ("say which lists" in str(caught.value)) != is_complete


@pytest.mark.parametrize(
    "signals", [("points",), ("scribbles",), ("points", "scribbles"), ("full",)]
)
@pytest.mark.parametrize("images", [3, 12, 30])
def test_what_is_kept_of_many_images_is_bounded(signals, images, monkeypatch):
    monkeypatch.setattr(probe_evidence, "MOST_PIXELS", 60)
    stroke = {"class": 1, "path": [[3, 4], [20, 10]]}
    label = {"size": [30, 20], "points": [[3, 4, 0]], "scribbles": [stroke] * 2, "full": None}
    evidence = gathered([label] * images, signals)
    assert evidence.pool.shape == (images, 60 // images, 4)
    assert evidence.places.shape[:2] == evidence.first.shape == evidence.pool.shape[:2]
    if "full" in signals:  # at least one pixel of each of 6 classes, inside and on its border
        assert 0 < len(evidence.masks) <= 60 and not len(evidence.marks)
        assert evidence.masks.weights.sum() == pytest.approx(images)
    else:
        each = ("points" in signals) + 40 * ("scribbles" in signals)
        assert len(evidence.marks) == min(60, images * each) and not len(evidence.masks)


def test_the_radius_of_edges_is_what_images_usually_suggest():
    """By strokes and clicks together; by a mask or a box only where the run learns from them."""
    stroke, box = {"class": 1, "path": [[10, 0], [10, 19]]}, [0, 0, 12, 5, 1]
    label = {"size": [30, 20], "points": [[4, 10, 0]], "scribbles": [stroke]}
    labels = [label | {"boxes": [box]}, {"size": [30, 20], "points": [], "boxes": [box]}]
    signals = ("points", "scribbles")
    both = edge_radius(label, signals, marked(label, signals))
    assert both > 0 and gathered(labels, signals).edges == both
    assert gathered(labels, ("points",)).edges == WITHOUT_PLACES  # one class has no distance
    assert gathered(labels, ("points", "boxes")).edges == pytest.approx(OF_BOXES * 5 / 30)
    with_mask = [labels[0] | {"full": None}] * 2 + labels[:1]
    assert gathered(with_mask, (*signals, "full")).edges == MOST_OF_MASKS
    assert gathered(with_mask, signals).edges == both


def pixels(classes, weights, images=None, width=2):
    number = len(classes)
    features = np.arange(number * width, dtype=np.float16).reshape(number, width)
    images = np.zeros(number, int) if images is None else np.array(images, int)
    return LabelledPixels(features, np.array(classes, int), np.array(weights, float), images)


@given(rows=st.lists(st.tuples(st.integers(0, 1), st.floats(0.01, 5)), min_size=1, max_size=20))
def test_clicks_on_the_background_and_on_objects_weigh_the_same(rows):
    """However many of each there are; within a class they keep their proportions."""
    classes, weights = map(np.array, zip(*rows, strict=True))
    nothing = np.full((1, 3), IGNORE, np.uint8)
    pool, places = np.zeros((1, 3, 2), np.float16), np.zeros((1, 3, 2))
    marks = pixels(classes, weights)
    none, weak = pixels([], []), np.array([True])
    evidence = Evidence(
        marks, none, none, pool, places, nothing, weak, 0.0, weak, weak, np.arange(1)
    )
    found = rows_of(evidence, nothing, 2)[0].weights
    there = np.unique(classes)
    np.testing.assert_allclose(np.bincount(classes, found)[there], 1 / len(there))
    for label in there:
        assert np.ptp((found / weights)[classes == label]) < 1e-9


@settings(max_examples=40)
@given(
    marks=st.lists(st.integers(0, 2), max_size=5),
    answers=st.lists(st.integers(0, 2), max_size=5),
    masks=st.integers(0, 3),
    weak=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_weak_labels_weigh_as_many_images_as_have_them_and_answers_as_many_as_they_are(
    marks, answers, masks, weak, seed
):
    rng = np.random.default_rng(seed)
    images, each = masks + weak, 4
    pseudo = np.where(rng.random((images, each)) < 0.5, rng.integers(0, 3, (images, each)), IGNORE)
    pseudo = pseudo.astype(np.uint8)
    pseudo[weak:] = IGNORE
    of_masks = pixels([0] * 2 * masks, [0.5] * 2 * masks, np.repeat(np.arange(masks), 2) + weak)
    evidence = Evidence(
        pixels(marks, [1.0] * len(marks)),
        of_masks,
        pixels(answers, [1.0] * len(answers)),
        rng.normal(size=(images, each, 2)).astype(np.float16),
        rng.random((images, each, 2)),
        pseudo,
        np.arange(images) < weak,
        0.0,
        np.zeros(images, bool),
        np.ones(images, bool),
        np.arange(images),
    )
    rows, is_exact = rows_of(evidence, pseudo, 3)
    labelled, exact = pseudo != IGNORE, 2 * masks + len(answers)
    assert len(rows) == len(marks) + exact + labelled.sum()
    assert is_exact[:exact].all() and not is_exact[exact:].any()
    assert rows.weights[: 2 * masks].sum() == pytest.approx(masks)
    # Answers weigh one on average, and those of a class as the root of their number.
    own, counts = rows.weights[2 * masks : exact], np.bincount(answers, minlength=3)
    assert own.sum() == pytest.approx(len(answers))
    shares = own * np.sqrt(counts[answers]) if answers else own
    assert shares == pytest.approx(np.full(len(answers), shares[:1]))
    assert np.array_equal(rows.classes[2 * masks : exact], answers)
    if marks or labelled.any():
        assert rows.weights[~is_exact].sum() == pytest.approx(weak)
    # The rows of pseudo-masks are the places that have a class.
    found = rows.classes[len(rows) - labelled.sum() :]
    assert np.array_equal(found, pseudo[labelled])
    assert np.array_equal(rows.features[len(rows) - labelled.sum() :], evidence.pool[labelled])


@pytest.mark.parametrize("signals", [(), *((one,) for one in SIGNALS), ("tags", "pixels")])
def test_self_training_leaves_masks_alone_and_answers_of_many_classes(signals):
    assert self_trains(signals, 2) == ("full" not in signals)
    assert self_trains(signals, 3) == (signals not in (("full",), ("pixels",)))


# ---- which penalties are tried


def penalties(marks, num_classes, from_mask=(False,), signals=("tags",)):
    """Return the penalties of a fit with so many clicks and pixels of strokes."""
    evidence = SimpleNamespace(marks=range(marks))
    return penalties_for(signals, evidence, np.array(from_mask), num_classes)


@given(
    marks=st.integers(0, 10**5),
    more=st.integers(0, 10**5),
    num_classes=st.integers(2, 30),
    others=st.integers(0, 30),
)
def test_more_clicks_and_more_classes_may_be_fitted_more_closely(marks, more, num_classes, others):
    tried = penalties(marks, num_classes)
    assert tried and tried == PENALTIES[: len(tried)]  # the largest first, without a gap
    if marks:
        assert tried == penalties(marks + more, num_classes)[: len(tried)]
    assert tried == penalties(marks, num_classes + others)[: len(tried)]


@given(marks=st.integers(0, 10**5), boxes=st.booleans(), num_classes=st.integers(2, 30))
def test_the_least_penalty_is_the_lowest_of_the_labels_there_are(marks, boxes, num_classes):
    tried = penalties(marks, num_classes, signals=("boxes",) if boxes else ("tags",))
    of_marks = LEAST_OF_MARKS / marks**0.5 if marks else np.inf
    of_boxes = LEAST_OF_BOXES if boxes else np.inf
    least = min(of_marks, of_boxes) if marks or boxes else LEAST_OF_TAGS
    least = least / num_classes / SLACK
    left_out = PENALTIES[len(tried) :]
    assert len(tried) == 1 or tried[-1] >= least * (1 - 1e-9)
    assert not left_out or left_out[0] < least * (1 + 1e-9)


@given(rows=st.integers(1, 9), marks=st.integers(0, 99), num_classes=st.integers(2, 30))
def test_masks_alone_may_be_fitted_with_every_penalty(rows, marks, num_classes):
    assert penalties(marks, num_classes, [True] * rows) == PENALTIES
    beside_others = penalties(marks, num_classes, [True] * rows + [False])
    assert beside_others == penalties(marks, num_classes)


def test_parts_are_merged_and_no_parts_are_none():
    one, two = pixels([1, 2], [1, 3], [4, 4]), pixels([0], [2], [7])
    both = merged([one, two], one.features)
    assert both.classes.tolist() == [1, 2, 0] and both.images.tolist() == [4, 4, 7]
    assert both.weights.tolist() == [1, 3, 2] and len(both) == 3
    nothing = merged([], np.zeros((5, 9), np.float16))
    assert len(nothing) == 0 and nothing.features.shape == (0, 9)


def test_a_mask_says_what_it_holds_at_places():
    mask = np.arange(16, dtype=np.uint8).reshape(4, 4)
    places = np.array([[0.0, 0.0], [0.99, 0.0], [0.3, 0.6], [0.25, 0.999]])
    assert seen(mask, places).tolist() == [0, 3, 9, 13]
    assert (seen(None, places) == IGNORE).all()


# ---- the commands


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Train the small network for few steps."""
    with pytest.MonkeyPatch.context() as patch:
        for size in (probe_fit.SMALL, probe_fit.SMALL_OF_MANY, probe_fit.SMALL_OF_FEW):
            patch.setitem(size, "steps", 30)
        yield


@pytest.fixture(scope="module")
def data(pets_dir, pets_labels):
    """The flags that say which data; the cache of features is that of all tests."""
    return [
        *("--data_dir", pets_dir),
        *("--weak_label_path", pets_labels),
        *("--cache_dir", Path(pets_dir).parent / "cache"),
    ]


@pytest.fixture
def fit(data, tmp_path):
    """Return what fits a run of a few images: `fit("points", "name", more flags)`."""

    def call(modes, name="r", *more):
        few = ["--train_limit", 6, "--rounds", 1, "--pixels", 20, "--checkpoint_dir", tmp_path]
        run(
            train,
            "--supervision_modes",
            *modes.split(),
            *TINY,
            *data,
            *few,
            "--run_name",
            name,
            *more,
        )
        return state(tmp_path / name)

    return call


def state(folder, name="last.pt"):
    """Return the weights of a run."""
    return torch.load(Path(folder) / name, weights_only=True)["model"]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("modes", [*SIGNALS, *map(" ".join, PAIRS)])
def test_every_kind_of_label_and_every_pair_is_fitted(modes, fit, tmp_path):
    weights = fit(modes)
    assert all(torch.isfinite(value).all() for value in weights.values())
    lines = log(tmp_path / "r")
    fits = 1 if "full" in modes.split() else 2
    assert [line["epoch"] for line in lines] == list(range(1, fits + 1))
    assert all(line["seconds"] >= 0 and line["pixels"] > 0 for line in lines)
    best = torch.load(tmp_path / "r" / "best.pt", weights_only=True)
    assert same(best["model"], weights) and best["epoch"] == fits
    assert {*best["cost"]["seconds"]} == {*modes.split(), LOOK}
    assert best["selection"]["by"] is None and not any(best["selection"]["seconds"].values())
    small = "hidden_weights" in weights
    assert small == (modes == "full") or "full" in modes.split()


def test_runs_are_evaluated_and_analysed_beside_a_unet(fit, data, tmp_path):
    fit("points", "points")
    fit("full", "masks")
    plain = ["--img_size", 64, "--encoder_weights", "none", "--device", "cpu", "--epochs", 1]
    run(
        train,
        *("--supervision_mode", "points", "--run_name", "unet", "--train_limit", 8),
        *("--checkpoint_dir", tmp_path, *plain, *data),
    )
    results = tmp_path / "results"
    where = ["--checkpoint_dir", tmp_path, "--results_dir", results, "--device", "cpu"]
    run(evaluate, *where)
    for name, fits in (("points", 2), ("masks", 1), ("unet", 1)):
        content = json.loads((results / f"{name}.json").read_text())
        assert 0 <= content["aggregate"]["miou"] <= 1 and len(content["images"]) == 6
        assert content["epochs_done"] == fits
        assert len(list((results / name).glob("*.png"))) == 6
    assert (results / "comparison.png").exists() and (results / "cost.png").exists()
    rows = (results / "table.md").read_text().splitlines()
    for words, number in (("Points, probe", 1), ("| nothing ", 2), ("val_loss (+", 1)):
        assert sum(words in row for row in rows) == number, words
    run(analyze, "--a", "points", "--b", "unet", "--results_dir", results)
    with pytest.raises(UserError, match="--tile: the probe masks sees") as caught:
        run(evaluate, *where, "--tile", 32)
    assert "\n" not in str(caught.value)
    run(evaluate, *where, "--tile", 32, "--run_name", "unet")


@pytest.mark.parametrize(
    "more",
    [
        ["--scale", 0.5],
        ["--finest_stride", 2],
        ["--head", "small"],
        ["--penalty", 0.1],
        ["--edges", 0.2],
    ],
)
def test_what_a_run_is_told_travels_to_the_evaluation(more, fit, tmp_path):
    usual = fit("points", "usual")
    weights = fit("points", "r", *more)
    assert not same(usual, weights)
    assert ("hidden_weights" in weights) == ("small" in more)
    if "--penalty" in more:
        assert {line["penalty"] for line in log(tmp_path / "r")} == {0.1}
    more_features = len(weights["mean"]) > len(usual["mean"])
    assert more_features == ("--finest_stride" in more)
    run(
        evaluate,
        *("--checkpoint_dir", tmp_path, "--results_dir", tmp_path / "results"),
        *("--device", "cpu", "--run_name", "r"),
    )
    content = json.loads((tmp_path / "results" / "r.json").read_text())
    assert content["args"][more[0][2:]] == more[1]


@pytest.mark.parametrize("predicted", [0.013, pytest.param(0.9, marks=pytest.mark.slow), None])
@pytest.mark.parametrize(
    "modes",
    [
        "points",
        pytest.param("tags", marks=pytest.mark.slow),
        pytest.param("boxes", marks=pytest.mark.slow),
        "full",
        "points boxes",
    ],
)
def test_smaller_things_that_are_predicted_count_where_labels_show_no_size(
    modes, predicted, fit, tmp_path, monkeypatch
):
    monkeypatch.setattr(probe, "radius_of_predicted", lambda *rest: None)
    by_labels = fit(modes, "before")["edges"].item()
    monkeypatch.setattr(probe, "radius_of_predicted", lambda *rest: predicted)
    guesses = not {"boxes", "full"} & {*modes.split()}
    found = fit(modes, "r")["edges"].item()
    assert found == (min(predicted or 1, by_labels) if guesses else by_labels)
    assert {line["edges"] for line in log(tmp_path / "r")} == {found}
    assert fit(modes, "fixed", "--edges", 0.07)["edges"] == 0.07


@pytest.mark.parametrize(
    ("modes", "more", "radius"),
    [
        ("full", [], MOST_OF_MASKS),
        ("tags", [], WITHOUT_PLACES),
        ("points", ["--edges", 0.2], 0.2),
        ("full", ["--edges", 0, "--views", 1], 0),
    ],
)
def test_a_run_is_evaluated_with_the_radius_that_it_was_fitted_with(
    modes, more, radius, fit, tmp_path, monkeypatch
):
    """It stands in the log and in the weights; without one the likeliest classes of a view stay."""
    assert fit(modes, "r", *more)["edges"] == radius
    assert {line["edges"] for line in log(tmp_path / "r")} == {radius}
    radii, real = [], predict.mask_along_edges
    monkeypatch.setattr(
        predict, "mask_along_edges", lambda *rest: radii.append(rest[2]) or real(*rest)
    )
    results = tmp_path / "results"
    run(evaluate, "--checkpoint_dir", tmp_path, "--results_dir", results, "--device", "cpu")
    assert radii == [radius] * 6
    if radius:
        return
    checkpoint = torch.load(tmp_path / "r" / "best.pt", weights_only=True)
    dataset, cache = dataset_of(checkpoint)
    store, probe = feature_store(checkpoint["args"], cache), Probe.of_state(checkpoint["model"])
    for name in dataset.ids("test"):
        logits = probe.logits(store(dataset.image_path(name)))
        assert np.array_equal(read_mask(results / "r" / f"{name}.png"), logits.argmax(0))


@pytest.mark.parametrize("views", [None, 1, 2])
def test_a_run_is_evaluated_with_as_many_views_as_it_was_told(views, fit, tmp_path):
    """Two where nobody said it; they change no weights."""
    weights = fit("points", "r", *([] if views is None else ["--views", views]))
    assert same(weights, fit("points", "other", "--views", 1))
    results = tmp_path / "results"
    words = ["--checkpoint_dir", tmp_path, "--results_dir", results, "--device", "cpu"]
    run(evaluate, *words, "--run_name", "r")
    checkpoint = torch.load(tmp_path / "r" / "best.pt", weights_only=True)
    dataset, cache = dataset_of(checkpoint)
    store, probe = feature_store(checkpoint["args"], cache), Probe.of_state(weights)
    names, number = dataset.ids("test"), views or 2
    assert checkpoint["args"]["views"] == number
    for name, mask, _ in predict.probe_masks(probe, store, dataset, names, number):
        assert np.array_equal(read_mask(results / "r" / f"{name}.png"), mask)


def test_an_encoder_of_timm_is_taken_with_a_file_of_weights(fit, tmp_path):
    torch.manual_seed(1)
    file = tmp_path / "resnet18.pt"
    torch.save(timm.create_model("resnet18", pretrained=False).state_dict(), file)
    more = ["--encoder", "tu-resnet18", "--encoder_weights", file]
    assert not same(fit("boxes", "r", *more), fit("boxes", "random", *more[:2]))
    run(
        evaluate,
        *("--checkpoint_dir", tmp_path, "--results_dir", tmp_path / "results"),
        *("--device", "cpu", "--run_name", "r"),
    )
    torch.save(timm.create_model("resnet18", pretrained=False).state_dict(), file)
    cached_encoder.cache_clear()  # as in another process
    with pytest.raises(UserError, match="run r: learnt from other weights of tu-resnet18"):
        run(
            evaluate,
            *("--checkpoint_dir", tmp_path, "--results_dir", tmp_path / "results"),
            *("--device", "cpu", "--run_name", "r"),
        )


@pytest.mark.parametrize("modes", ["points", "tags", "boxes", "points full"])
def test_data_without_a_background_are_fitted(modes, tmp_path):
    root, labels = streets(tmp_path / "streets"), tmp_path / "labels.pkl"
    where = ["--data_dir", root, "--cache_dir", tmp_path / "cache"]
    run(weak_label_generator, *where[:2], "--output_file", labels, "--jobs", 1)
    run(
        train,
        *("--supervision_modes", *modes.split(), *TINY, *where, "--weak_label_path", labels),
        *("--checkpoint_dir", tmp_path, "--run_name", "r", "--rounds", 1, "--train_limit", 4),
    )
    run(
        evaluate,
        *("--checkpoint_dir", tmp_path, "--results_dir", tmp_path / "results"),
        *("--device", "cpu", "--run_name", "r"),
    )


# ---- the same run again


def test_a_run_is_decided_by_its_seed_and_labels_alone(fit, data, tmp_path, pets_labels):
    usual = fit("tags points", "usual")
    assert same(usual, fit("tags points", "again"))
    assert not same(usual, fit("tags points", "seed", "--seed", 1))
    assert same(usual, fit("tags points", "fresh", "--cache_dir", tmp_path / "cache"))
    assert list((tmp_path / "cache" / "features").rglob("*.npy"))
    none = ["--cache_dir", tmp_path / "none", "--cache_limit", 0, "--jobs", 2]
    assert same(usual, fit("tags points", "no_room", *none))
    assert not list((tmp_path / "none").rglob("*.npy"))
    # The file may list images in any order.
    content = pickle.loads(pets_labels.read_bytes())
    content["images"] = dict(reversed(content["images"].items()))
    other = tmp_path / "other.pkl"
    other.write_bytes(pickle.dumps(content))
    assert same(usual, fit("tags points", "order", "--weak_label_path", other))


def test_flags_of_the_unet_change_nothing(fit):
    usual = fit("points", "usual")
    ignored = ["--epochs", 3, "--batch_size", 2, "--lr", 1, "--recipe", "strong", "--augment"]
    assert same(usual, fit("points", "r", *ignored, "--select_by", "val_miou"))


def test_a_killed_run_ends_with_the_weights_of_one_left_alone(data, tmp_path):
    rounds = ["--rounds", 4, "--pixels", 10, "--train_limit", 12, "--checkpoint_dir", tmp_path]
    words = ["--supervision_mode", "points", *TINY, *data, *rounds]
    killed = subprocess.Popen(
        [sys.executable, "train.py", *map(str, words), "--run_name", "killed"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    last = tmp_path / "killed" / "last.pt"
    while not last.exists() and killed.poll() is None:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    output = killed.communicate()[0].decode()
    assert last.exists(), output
    done = torch.load(last, weights_only=True)["epoch"]
    assert done < 5, output
    with (tmp_path / "killed" / "log.jsonl").open("a") as file:
        file.write('{"epoch": 2, "lo')  # what a kill in the middle of a write leaves
    run(train, *words, "--run_name", "killed", "--resume")
    run(train, *words, "--run_name", "alone")
    for name in ("last.pt", "best.pt"):
        assert same(state(tmp_path / "killed", name), state(tmp_path / "alone", name))
    lines = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in log(tmp_path / name)]
        for name in ("killed", "alone")
    ]
    assert lines[0] == lines[1] and len(lines[0]) == 5
    assert {line["edges"] for line in lines[0]} == {float(state(tmp_path / "killed")["edges"])}


def test_a_finished_run_stays_as_it_is_and_gets_its_best_back(fit, tmp_path):
    before = fit("points")
    files = [tmp_path / "r" / name for name in ("last.pt", "log.jsonl")]
    written = [path.stat().st_mtime_ns for path in files]
    best = (tmp_path / "r" / "best.pt").read_bytes()
    fit("points", "r", "--resume", "auto")
    assert (tmp_path / "r" / "best.pt").read_bytes() == best  # which predictions are known by
    (tmp_path / "r" / "best.pt").unlink()  # what a kill between the two files leaves
    for argument in ("must", "auto"):
        assert same(before, fit("points", "r", "--resume", argument))
    assert [path.stat().st_mtime_ns for path in files] == written
    assert same(before, state(tmp_path / "r", "best.pt"))
    with pytest.raises(UserError, match="was trained with pixels = 20, not 21"):
        fit("points", "r", "--resume", "--pixels", 21)
    with pytest.raises(UserError, match=r"was trained with edges = None, not 0\.1"):
        fit("points", "r", "--resume", "--edges", 0.1)


def test_an_old_run_is_replaced_only_by_one_that_fits(fit, tmp_path, pets_labels):
    before = fit("boxes")
    with pytest.raises(UserError, match="--overwrite"):
        fit("boxes")
    content = pickle.loads(pets_labels.read_bytes())
    for label in content["images"].values():
        label["points"], label["scribbles"] = [], []
    empty = tmp_path / "empty.pkl"
    empty.write_bytes(pickle.dumps(content))
    for modes in ("points", "points scribbles"):
        with pytest.raises(
            UserError, match=r"empty\.pkl: none of the 6 training images has points"
        ) as caught:
            fit(modes, "r", "--overwrite", "--weak_label_path", empty)
        assert "\n" not in str(caught.value)
    assert same(before, state(tmp_path / "r")) and len(log(tmp_path / "r")) == 2
    fit("full", "r", "--overwrite")
    assert not same(before, state(tmp_path / "r")) and len(log(tmp_path / "r")) == 1


# ---- the same run with other labels


def with_fewer_clicks(labels, path):
    """Write a file of labels in which each image lost its last click or its first -> its path."""
    content = pickle.loads(labels.read_bytes())
    for number, label in enumerate(content["images"].values()):
        label["points"].pop(-(number % 2))
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.fixture
def fewer(pets_labels, tmp_path):
    return with_fewer_clicks(pets_labels, tmp_path / "fewer.pkl")


def close(one, other):
    """Whether two states are the same but for where fits to convergence end."""
    return one.keys() == other.keys() and all(
        torch.allclose(one[key], other[key], rtol=1e-3, atol=1e-4) for key in one
    )


@pytest.mark.parametrize("argument", ["must", "auto"])
@pytest.mark.parametrize("modes", ["points", "points scribbles"])
def test_other_labels_are_fitted_from_the_last_weights(
    modes, argument, fit, fewer, tmp_path, monkeypatch, capsys
):
    """The end is that of a run that knew no others; each linear fit starts from the old head."""
    more = ["--head", "linear", "--weak_label_path"]
    before = fit(modes, "r", *more, fewer)
    fresh = fit(modes, "fresh", *more[:2])
    starts, real = [], probe_fit.fit_linear

    def fit_linear(x, classes, weights, penalty, num_classes, start=None, axes=None):
        starts.extend([start] if start else [])  # else: again, as the start was too far off
        return real(x, classes, weights, penalty, num_classes, start, axes)

    monkeypatch.setattr(probe_fit, "fit_linear", fit_linear)
    capsys.readouterr()
    after = fit(modes, "r", *more[:2], "--resume", argument)
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith("r: the labels changed since the last fit; fitting again")
    assert close(after, fresh) and not close(after, before)
    assert all(torch.allclose(start.weights, before["weights"]) for start in starts)
    facts = ("epoch", "pixels", "penalty", "edges")
    lines = [[[line[name] for name in facts] for line in log(tmp_path / n)] for n in ("r", "fresh")]
    assert lines[0] == lines[1] and len(starts) == len(lines[0])
    digests = {
        torch.load(tmp_path / name, weights_only=True)["labels"]
        for name in ("r/best.pt", "r/last.pt", "fresh/best.pt")
    }
    assert len(digests) == 1
    assert same(after, fit(modes, "r", *more[:2], "--resume", argument))  # nothing is left to do
    assert len(starts) == len(lines[0])


def test_a_small_head_is_fitted_anew_to_other_labels(fit, fewer):
    small = ["--head", "small"]
    fit("points", "r", *small, "--weak_label_path", fewer)
    assert same(fit("points", "r", *small, "--resume"), fit("points", "fresh", *small))


@pytest.mark.parametrize(
    ("where", "name", "calls"),
    [
        (probe_fit, "fit_linear", 1),
        (probe_fit, "fit_linear", 2),
        (Log, "replace", 1),
        (checkpoints, "save_checkpoint", 1),
    ],
)
def test_a_kill_while_other_labels_are_fitted_loses_nothing(
    where, name, calls, fit, fewer, tmp_path, monkeypatch
):
    """Until the last fit to them is there, the run is that of the old labels."""
    before = fit("points", "r", "--weak_label_path", fewer)
    fit("points", "alone", "--weak_label_path", fewer)
    alone = fit("points", "alone", "--resume")
    with monkeypatch.context() as patch:
        killed_after(patch, where, name, calls)
        with pytest.raises(KeyboardInterrupt):
            fit("points", "r", "--resume", "auto")
    left = [state(tmp_path / "r", file) for file in ("best.pt", "last.pt")]
    assert same(left[0], before) and same(left[1], alone if where is checkpoints else before)
    assert same(fit("points", "r", "--resume", "auto"), alone)
    assert same(state(tmp_path / "r", "best.pt"), alone)
    lines = [[line | {"seconds": 0} for line in log(tmp_path / n)] for n in ("r", "alone")]
    assert lines[0] == lines[1]


def test_an_unfinished_run_is_fitted_to_other_labels_as_well(fit, fewer, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        killed_after(patch, checkpoints, "save_best", 1)
        with pytest.raises(KeyboardInterrupt):
            fit("points", "r", "--weak_label_path", fewer)
    assert len(log(tmp_path / "r")) == 1
    assert close(fit("points", "r", "--resume"), fit("points", "fresh"))
    assert len(log(tmp_path / "r")) == 2


def test_other_images_are_fitted_and_other_classes_refused(tmp_path, capsys):
    root, labels = streets(tmp_path / "streets"), tmp_path / "labels.pkl"
    where = ["--data_dir", root, "--cache_dir", tmp_path / "cache"]
    run(weak_label_generator, *where[:2], "--output_file", labels, "--jobs", 1)
    words = ["--supervision_mode", "full", *TINY, *where, "--weak_label_path", labels]
    words += ["--checkpoint_dir", tmp_path, "--head", "linear", "--train_limit", 4, "--resume"]
    words += ["auto", "--run_name"]
    run(train, *words, "r")
    masks = sorted((root / "masks").iterdir())
    for path in masks:
        Image.fromarray(np.roll(np.asarray(Image.open(path)), 20, 0)).save(path)
    capsys.readouterr()
    run(train, *words, "r")
    assert "r: the labels changed since the last fit; fitting again" in capsys.readouterr().out
    run(train, *words, "fresh")
    assert close(state(tmp_path / "r"), state(tmp_path / "fresh"))

    before, names = state(tmp_path / "r"), root / "classes.txt"
    names.write_text(names.read_text().replace("road", "street"))
    run(weak_label_generator, *where[:2], "--output_file", labels, "--jobs", 1)
    with pytest.raises(UserError, match="r: this run began with other classes; restore") as caught:
        run(train, *words, "r")
    assert "\n" not in str(caught.value) and same(before, state(tmp_path / "r"))


# ---- mistakes


def test_labels_of_another_size_are_refused(fit, tmp_path, pets_labels):
    content = pickle.loads(pets_labels.read_bytes())
    for label in content["images"].values():
        label["size"] = [side + 1 for side in label["size"]]
    other = tmp_path / "other.pkl"
    other.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match="was labelled at size") as caught:
        fit("full", "r", "--weak_label_path", other)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("modes", ["points", "full"])
def test_a_probe_of_other_code_is_refused_in_one_line_that_names_the_file(
    modes, fit, tmp_path, monkeypatch, capsys
):
    """Before anything is predicted, and before a run goes on."""
    fit(modes)
    best, last = (tmp_path / "r" / name for name in ("best.pt", "last.pt"))
    whole, folder = torch.load(best, weights_only=True), tmp_path / "results"
    words = ["--checkpoint_dir", tmp_path, "--results_dir", folder, "--device", "cpu"]
    lacking = [("model", name, "tensor") for name in whole["model"]]
    lacking += [("args", name, "setting") for name in OF_PROBES]
    for part, name, kind in lacking:
        kept = {key: value for key, value in whole[part].items() if key != name}
        torch.save(whole | {part: kept}, best)
        argv = ["evaluate.py", *map(str, words)]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as caught:
            run_cli(evaluate.main, evaluate.parse_args)
        assert caught.value.code == 2
        line = capsys.readouterr().err.strip()
        assert "\n" not in line and f"{best}: lacks the {kind} {name}, so" in line
    assert not folder.exists()
    kept = {key: value for key, value in whole["args"].items() if key not in OF_PROBES}
    torch.save(torch.load(last, weights_only=True) | {"args": kept, "model": {}}, last)
    with pytest.raises(UserError, match=r"last\.pt: lacks .* views and the tensor mean, so"):
        fit(modes, "r", "--resume")
    fit(modes, "r", "--overwrite")  # as the line says
    run(evaluate, *words)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("model", "weights", lambda tensor: tensor * float("nan")),
        ("model", "weights", lambda tensor: tensor[:-1]),
        ("model", "bias", lambda tensor: "text"),
        ("args", "scale", lambda _: "half"),
        ("args", "scale", lambda _: float("nan")),
        ("args", "img_size", lambda _: None),
        ("args", "views", lambda _: 0),
        ("task", "classes", lambda names: [*names, "more"]),
    ],
)
def test_a_damaged_probe_is_refused_in_one_line_before_anything_is_predicted(
    part, name, value, fit, tmp_path
):
    fit("points")
    best, folder = tmp_path / "r" / "best.pt", tmp_path / "results"
    whole = torch.load(best, weights_only=True)
    spoilt = whole[part] | {name: value(whole[part][name])}
    torch.save(whole | {part: spoilt}, best)
    words = ["--checkpoint_dir", tmp_path, "--results_dir", folder, "--device", "cpu"]
    with pytest.raises(UserError, match=r"best\.pt: is damaged, the \w+ \w+ ") as caught:
        run(evaluate, *words)
    assert "\n" not in str(caught.value) and not folder.exists()
    torch.save(whole | {part: None}, best)
    with pytest.raises(UserError, match=r"best\.pt: not a checkpoint"):
        run(evaluate, *words)


def test_several_processes_are_refused(fit, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(UserError, match="--learner probe: is fitted in one process") as caught:
            fit("points")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--rounds -1", "--rounds -1"),
        ("--confidence 0.5", "--confidence"),
        ("--confidence 1", "--confidence"),
        ("--penalty 0", "--penalty"),
        ("--penalty nan", "--penalty nan"),
        ("--scale 0", "--scale"),
        ("--scale inf", "--scale inf"),
        ("--pixels 0", "--pixels"),
        ("--edges -0.1", "--edges -0.1"),
        ("--edges 0.5", "--edges 0.5"),
        ("--edges nan", "--edges nan"),
        ("--jobs 0", "--jobs 0"),
        ("--img_size 63", "--img_size 63"),
        ("--encoder resnet18", "--encoder resnet18"),
        ("--encoder tu-nope", "--encoder tu-nope"),
        ("--encoder_weights nowhere.pt", r"nowhere\.pt"),
        ("--cluster tcp://nowhere:1", "--cluster"),
        ("--cache_limit -1", "--cache_limit"),
        ("--train_limit 100000", "--train_limit"),
        ("--resume", r"last\.pt"),
        pytest.param(
            "--device cuda",
            "--device cuda: not available",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)
def test_a_mistake_gets_one_line_that_names_it(words, message, fit, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        fit("points", "r", *words.split())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "words", ["--head large", "--finest_stride 3", "--learner forest", "--views 3"]
)
def test_what_no_flag_takes_is_refused(words, fit, capsys):
    with pytest.raises(SystemExit) as caught:
        fit("points", "r", *words.split())
    assert caught.value.code == 2
    assert f"error: {words.split()[0]}: invalid choice" in capsys.readouterr().err


def test_help_says_which_flags_the_probe_has_no_use_for(capsys):
    with pytest.raises(SystemExit):
        options.parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "The probe has no use for" in text
