"""An image carries whatever labels it has: in targets, losses, prices, and runs of any mix."""

import copy
import math
import pickle
import shutil

import numpy as np
import pytest
import torch
from conftest import run
from hypothesis import given
from hypothesis import strategies as st

import data_utils
import train
from data_utils import SegmentationItems, make_loaders
from losses import Criterion
from weakseg.common import IGNORE, UserError
from weakseg.data.cache import ResizedCache
from weakseg.data.datasets import Pets
from weakseg.labels.checks import Picture
from weakseg.labels.costs import load_schedule, price_labels
from weakseg.labels.label_file import load_labels
from weakseg.labels.label_record import read_record
from weakseg.labels.signals import (
    LISTS,
    SIGNALS,
    count_actions,
    is_labelled,
    kinds_of,
    parse_modes,
)
from weakseg.labels.training_labels import annotation_cost, labels_digest, read_training_labels
from weakseg.training.recipes import LossOptions

WEAK = [signal for signal in SIGNALS if signal != "full"]
GIVEN = [("points",), ("boxes",), ("full",), ("tags", "boxes"), ("points", "boxes", "full"), ()]
PRICES = {"look": 1.5, "tag": 1.0, "first": 2.4, "further": 0.9, "box": 7.0, "object": 79.0}


@pytest.fixture(scope="module")
def dataset(pets_dir, tmp_path_factory):
    """The drawn pets with their masks."""
    return Pets(pets_dir, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def mixed(tmp_path, pets_labels, dataset):
    """Return a function that writes people's labels: the kinds of each image, in turn."""

    def write(kinds=GIVEN, complete=True):
        content = copy.deepcopy(load_labels(pets_labels)) | {"options": {}, "complete": complete}
        for number, name in enumerate(dataset.ids("trainval")):
            label, kept = content["images"][name], kinds[number % len(kinds)]
            content["images"][name] = {key: label[key] for key in ("size", *kept)}
        path = tmp_path / f"people{len(kinds)}.pkl"
        path.write_bytes(pickle.dumps(content | {"count": len(content["images"])}))
        return path

    return write


def labels_of(path, dataset, signals=None, select_by=None):
    names = dataset.ids("train")
    return read_training_labels(path, dataset, names, signals, select_by, "data")


# ---- missing is not empty


@pytest.mark.parametrize("signal", LISTS)
def test_a_list_that_is_missing_is_not_an_empty_one(signal, dataset):
    """Nor is an empty one that nobody called complete: in record, digest, price and target."""
    name = dataset.ids("train")[0]
    picture = Picture(dataset.image_size(name), dataset.class_names, dataset.tag_names)
    signals = [signal, "tags"]
    missing, some, empty = (
        read_record(record, picture, signals, complete)
        for record, complete in [({}, LISTS), ({signal: []}, ()), ({signal: []}, LISTS)]
    )
    assert [is_labelled(one, signal) for one in (missing, some, empty)] == [False, False, True]
    assert [kinds_of(one, signals) for one in (missing, some, empty)] == [[], [], [signal]]
    digests = [labels_digest({"a": one}, ["a"], signals) for one in (missing, some, empty)]
    assert digests[0] == digests[1] != digests[2]
    prices = [annotation_cost({"a": one}, ["a"], signals, 1) for one in (missing, some, empty)]
    assert [price["images"] for price in prices] == [0, 0, 1]
    cache = ResizedCache(dataset.cache_dir, 64)
    targets = [
        SegmentationItems(dataset, [name], cache, {name: one}, signals)[0, 0]["targets"][signal]
        for one in (missing, some, empty)
    ]
    assert (targets[0] == IGNORE).all() and (targets[1] == IGNORE).all()
    assert (targets[2] == 0).all() == (signal in ("boxes", "outlines"))


def test_a_mask_that_is_missing_is_a_target_without_labels(dataset):
    name = dataset.ids("train")[0]
    label = {"size": list(dataset.image_size(name))}
    cache = ResizedCache(dataset.cache_dir, 64)
    items = SegmentationItems(dataset, [name], cache, {name: label}, ["full"])
    assert (items[0, 0]["targets"]["full"] == IGNORE).all()
    items = SegmentationItems(dataset, [name], cache, {name: label | {"full": {}}}, ["full"])
    assert (items[0, 0]["targets"]["full"] != IGNORE).any()


# ---- the loss of a mixed batch


def cross_entropy(logits, target):
    """Return the mean cross-entropy of labelled pixels of all images, in Python's own numbers."""
    losses = []
    for scores, mask in zip(logits, target, strict=True):
        for (row, column), label in np.ndenumerate(mask):
            if label != IGNORE:
                values = scores[:, row, column].tolist()
                total = math.fsum(math.exp(value) for value in values)
                losses.append(math.log(total) - values[label])
    return math.fsum(losses) / len(losses) if losses else 0.0


def binary_entropy(logits, answers):
    """Return the mean binary cross-entropy of the tags that somebody was asked about."""
    losses = [
        math.log1p(math.exp(-score if answer else score))
        for score, answer in zip(logits.flat, answers.flat, strict=True)
        if answer >= 0
    ]
    return math.fsum(losses) / len(losses) if losses else 0.0


@given(seed=st.integers(0, 2**20), own=st.lists(st.sets(st.sampled_from(list(SIGNALS)))))
def test_each_loss_of_a_mixed_batch_counts_the_images_that_have_its_label(seed, own):
    own = own[:4] or [set()]
    rng, side = np.random.default_rng(seed), 4
    logits = rng.normal(size=(len(own), 3, side, side))
    tag_logits = rng.normal(size=(len(own), 2))
    targets, by_hand = {}, {}
    for signal in SIGNALS:
        if signal == "tags":
            target = rng.integers(-1, 2, (len(own), 2)).astype(float)
            target[[signal not in kinds for kinds in own]] = -1
            by_hand[signal] = binary_entropy(tag_logits, target)
        else:
            target = rng.choice([0, 1, 2, IGNORE], (len(own), side, side))
            target[[signal not in kinds for kinds in own]] = IGNORE
            by_hand[signal] = cross_entropy(logits, target)
        targets[signal] = torch.from_numpy(target)
    weights = dict(zip(SIGNALS, rng.random(len(SIGNALS)) + 0.1, strict=True))
    criterion = Criterion([*SIGNALS], weights, LossOptions((1, 2)))
    cam = torch.zeros(len(own), 2, 2, 2, dtype=torch.double)
    outputs = {"seg": torch.from_numpy(logits), "tags": torch.from_numpy(tag_logits), "cam": cam}
    values = {name: mean.value for name, mean in criterion(outputs, targets).items()}
    for name, value in values.items():
        assert float(value) == pytest.approx(by_hand[name], abs=1e-12)
    whole = math.fsum(weights[name] * by_hand[name] for name in SIGNALS)
    assert float(criterion.combine(values, outputs)) == pytest.approx(whole, abs=1e-12)


# ---- the price of a mixed set


@given(st.data())
def test_a_mixed_set_costs_the_sum_of_what_was_done_to_each_image(data):
    """By hand: a look an image, and each step on it: a click, then a box, then its mask."""
    labels, seconds = {}, 0.0
    for number in range(data.draw(st.integers(1, 5))):
        kinds = data.draw(st.sets(st.sampled_from(["tags", "points", "boxes", "full"])))
        label, objects = {"complete": []}, data.draw(st.integers(1, 3))
        if "tags" in kinds:
            label["tags"] = {"present": ["cat"], "absent": ["dog"]}
            seconds += 2 * PRICES["tag"]
        if "points" in kinds:
            label["points"] = [[k, 1, 1] for k in range(objects)] + [[9, 9, 0]]
            seconds += 2 * PRICES["first"] + (objects - 1) * PRICES["further"]
        if "boxes" in kinds:
            label["boxes"] = [[k, 0, k + 1, 1, 1] for k in range(objects)]
            seconds += objects * PRICES["box"]
        if "full" in kinds:
            label["full"] = {"objects": objects, "classes": 1}
            seconds += objects * PRICES["object"]
        labels[str(number)] = label
        seconds += PRICES["look"] * bool(kinds)
    cost = annotation_cost(labels, labels, ["full", "tags", "points", "boxes"], 2)
    assert sum(cost["seconds"].values()) == pytest.approx(seconds)


def test_tags_and_points_of_one_image_are_three_relative_units():
    label = {"tags": {"present": ["cat"], "absent": []}, "points": [[1, 1, 1]]}
    counts = count_actions(label, ("tags", "points"), 1)
    assert price_labels(counts, 1, load_schedule("relative"))["relative"] == 3


# ---- runs of any mix


@pytest.fixture
def flags(pets_dir, tmp_path):
    where = ["--data_dir", pets_dir, "--cache_dir", tmp_path / "cache", "--device", "cpu"]
    return [*where, "--checkpoint_dir", tmp_path / "runs", "--img_size", 64]


def trained(flags, labels, name, *words):
    run(train, *flags, "--weak_label_path", labels, "--run_name", name, *words)
    folder = flags[flags.index("--checkpoint_dir") + 1]
    return torch.load(folder / name / "last.pt", weights_only=True)


PROBE = ["--learner", "probe", "--encoder_weights", "none", "--rounds", 1, "--head", "linear"]
UNET = ["--epochs", 1, "--encoder_weights", "none"]


@pytest.mark.parametrize("learner", [PROBE, UNET], ids=["probe", "unet"])
@pytest.mark.parametrize("signal", ["points"])
def test_labels_of_one_kind_give_exactly_the_run_that_they_gave_before(
    learner, signal, mixed, flags
):
    path = mixed([(signal,)])
    one, other = (
        trained(flags, path, mode, "--supervision_mode", mode, *learner) for mode in (signal, "any")
    )
    for name, tensor in one["model"].items():
        assert torch.equal(tensor, other["model"][name])
    assert {key: value for key, value in one["args"].items() if key != "run_name"} == {
        key: value for key, value in other["args"].items() if key != "run_name"
    }
    assert one["labels"] == other["labels"] and one["cost"] == other["cost"]


@pytest.mark.parametrize(
    "words",
    [
        PROBE,
        UNET,
        [*UNET, "--select_by", "last", "--recipe", "strong"],
        [*UNET, "--recipe", "strong", "--start", "probe"],
        [*UNET, "--select_by", "weak_val_loss"],
    ],
    ids=["probe", "unet", "last", "start", "weak"],
)
def test_a_run_takes_whatever_labels_the_images_have(words, mixed, flags, dataset, capsys):
    path = mixed()
    checkpoint = trained(flags, path, "r", "--supervision_mode", "any", *words)
    assert checkpoint["args"]["modes"] == ["full", "tags", "points", "boxes"]
    labels = labels_of(path, dataset)
    bare = sum(not kinds_of(labels[name], labels.signals) for name in labels.train_ids)
    assert 0 < bare and f"{bare} of {len(labels.train_ids)} training images have no label" in (
        capsys.readouterr().out
    )
    looked = {name: kinds_of(labels[name], labels.signals) for name in labels.train_ids}
    assert checkpoint["cost"]["images"] == sum(map(bool, looked.values()))
    masks = sum("full" in kinds for kinds in looked.values())
    assert checkpoint["cost"]["counts"]["full"]["image"] == masks > 0
    selected = {"last": None, "weak_val_loss": "weak_val_loss"}
    by = words[words.index("--select_by") + 1] if "--select_by" in words else "val_loss"
    expected = None if words is PROBE else selected.get(by, by)
    assert checkpoint["selection"]["by"] == expected
    assert bool(sum(checkpoint["selection"]["seconds"].values())) == bool(expected)


@pytest.mark.parametrize("recipe", ["plain", "strong"])
def test_pictures_without_a_label_are_drawn_where_they_teach(
    recipe, mixed, flags, dataset, monkeypatch
):
    drawn = []

    def spied(*args, **options):
        loaders = make_loaders(*args, **options)
        drawn.append(loaders[0].dataset.ids)
        return loaders

    monkeypatch.setattr(data_utils, "make_loaders", spied)
    path = mixed([("points",), ()])
    trained(flags, path, "r", "--supervision_mode", "any", *UNET, "--recipe", recipe)
    labels = labels_of(path, dataset)
    labelled = [name for name in labels.train_ids if is_labelled(labels[name], "points")]
    assert 0 < len(labelled) < len(labels.train_ids)
    assert [*drawn[0]] == ([*labels.train_ids] if recipe == "strong" else labelled)


def test_by_last_every_epoch_is_the_best_so_far(mixed, flags):
    path = mixed([("points",), ("boxes",)])
    words = ["--supervision_mode", "any", *UNET, "--select_by", "last", "--epochs", 2]
    checkpoint = trained(flags, path, "r", *words)
    assert checkpoint["selected"] and checkpoint["epoch"] == 2 and checkpoint["best"] is None
    assert checkpoint["selection"]["images"] == 0
    again = trained(flags, path, "r", *words[:-1], 2, "--resume")
    assert again["epoch"] == 2


def test_a_probe_of_any_labels_is_fitted_again_when_a_kind_joins(mixed, flags):
    first = trained(flags, mixed([("points",), ()]), "r", "--supervision_mode", "any", *PROBE)
    path = mixed([("points",), ("boxes",), ()])
    second = trained(flags, path, "r", "--supervision_mode", "any", *PROBE, "--resume", "auto")
    assert [one["args"]["modes"] for one in (first, second)] == [["points"], ["points", "boxes"]]
    with pytest.raises(UserError, match="was trained with modes"):
        trained(flags, path, "r", "--supervision_mode", "points", *PROBE, "--resume")


@given(st.lists(st.sampled_from([*SIGNALS]), min_size=1, max_size=3, unique=True))
def test_a_mix_has_three_ways_to_be_named(signals):
    ways = [signals, ["+".join(signals)], ["_".join(("hybrid", *signals))]]
    assert {parse_modes(words) for words in ways} == {parse_modes(signals)}
    with pytest.raises(UserError, match="unknown supervision ''"):
        parse_modes([f"{signals[0]}+"])


def test_simulated_labels_have_every_kind(dataset, pets_labels):
    labels = labels_of(pets_labels, dataset)
    assert labels.signals == tuple(SIGNALS) and labels.all_masks
    assert labels.digest == labels_of(pets_labels, dataset, tuple(SIGNALS)).digest


def test_labels_of_nothing_are_an_error(mixed, flags):
    with pytest.raises(UserError, match=r"none of the .* training images has a label"):
        trained(flags, mixed([()]), "r", "--supervision_mode", "any", *PROBE)


@pytest.mark.parametrize("are_all_there", [True, False])
def test_masks_that_labels_do_not_mention_count_where_only_some_images_have_one(
    are_all_there, mixed, dataset, pets_dir, tmp_path
):
    """Where all have one, they are there to simulate people, or to test."""
    root = tmp_path / "pets"
    shutil.copytree(pets_dir, root)
    names = dataset.ids("train")
    for name in [] if are_all_there else names[3:]:
        (root / "annotations" / "trimaps" / f"{name}.png").unlink()
    some = Pets(root, cache_dir=tmp_path / "cache")
    path = mixed([("points",)])
    labels = labels_of(path, some)
    masked = [] if are_all_there else names[:3]
    assert [name for name in names if "full" in labels[name]] == masked
    assert labels.signals == (("points",) if are_all_there else ("full", "points"))
    assert not labels.all_masks
    if not are_all_there:
        seen = {name: count_actions(labels[name], ("full",), 1) for name in masked}
        assert all(counts["full"]["object"] >= 1 for counts in seen.values())
        assert labels.cost["counts"]["full"]["image"] == 3
