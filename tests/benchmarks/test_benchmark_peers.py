"""benchmarks/peers.py gives other learners the labels that train.py has, and scores them alike."""

import argparse
import json

import numpy as np
import pytest
import torch
from conftest import run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks import peers
from benchmarks.peers import DRAWN, Forest, Lesson, Squares, TutorialUNet, measure
from weakseg.common import IGNORE, UserError
from weakseg.data.cache import ResizedCache
from weakseg.data.datasets import Pets
from weakseg.evaluation.scoring import aggregate, score_image
from weakseg.labels.label_file import labels_for
from weakseg.labels.signals import SIGNALS
from weakseg.labels.targets import View
from weakseg.labels.training_labels import training_ids

SIDE = 40
PLACE = st.tuples(st.floats(0, SIDE - 0.01), st.floats(0, SIDE - 0.01))
POINTS = st.lists(st.tuples(PLACE, st.integers(0, 2)).map(lambda p: [*p[0], p[1]]), max_size=8)
STROKE = st.fixed_dictionaries(
    {
        "class": st.integers(0, 2),
        "width": st.integers(1, 5),
        "path": st.lists(PLACE.map(list), min_size=1, max_size=4),
    }
)


@given(points=POINTS, scribbles=st.lists(STROKE, max_size=4))
def test_labels_at_the_photographs_size_are_those_of_a_network_of_that_size(points, scribbles):
    view = View(SIDE, SIDE, SIDE)
    for signal, annotation in {"points": points, "scribbles": scribbles}.items():
        ours = DRAWN[signal](annotation, (SIDE, SIDE))
        assert np.array_equal(ours, SIGNALS[signal].target(annotation, view, ()))


def test_clicks_lie_where_they_were_made_on_a_long_photograph():
    target = DRAWN["points"]([[99.9, 0.2, 1], [0, 29.5, 0], [100.0, 3, 1]], (100, 30))
    assert target.shape == (30, 100)
    assert target[0, 99] == 1 and target[29, 0] == 0 and (target != IGNORE).sum() == 2


@pytest.fixture
def dataset(pets_dir, tmp_path):
    return Pets(pets_dir, cache_dir=tmp_path / "cache")


def lesson(dataset, path, signal, limit=None):
    names = training_ids(dataset, 0, limit)
    return Lesson(dataset, labels_for(path, dataset, names, DRAWN, ""), names, signal)


def arguments(**values):
    usual = {"trees": 10, "most_pixels": None, "img_size": 64, "epochs": 1, "batch_size": 4}
    usual |= {"seed": 0, "resamples": 10, "weak_label_path": "labels.pkl"}
    return argparse.Namespace(**usual | values)


def test_the_forest_learns_its_own_pixels_by_heart(dataset, pets_labels):
    for signal in DRAWN:
        task = lesson(dataset, pets_labels, signal, limit=4)
        forest = Forest(task, arguments())
        right = pixels = 0
        for name in task.names:
            annotations = task.labels[name]
            target = DRAWN[signal](annotations[signal], annotations["size"])
            labelled = target != IGNORE
            prediction = forest.predict(dataset.image(name))
            assert prediction.shape == target.shape and prediction.dtype == np.uint8
            right += np.count_nonzero(prediction[labelled] == target[labelled])
            pixels += np.count_nonzero(labelled)
        assert right > 0.9 * pixels and forest.pixels == pixels


def test_the_forest_takes_as_many_pixels_of_an_image_as_it_may(dataset, pets_labels):
    task = lesson(dataset, pets_labels, "scribbles", limit=4)
    few, again = (Forest(task, arguments(most_pixels=5)) for _ in range(2))
    assert few.pixels == 20
    image = dataset.image(task.names[0])
    assert np.array_equal(few.predict(image), again.predict(image))


def test_the_unet_sees_what_train_py_sees(dataset, pets_labels, tmp_path):
    task, cache = lesson(dataset, pets_labels, "scribbles"), ResizedCache(tmp_path / "images", 64)
    squares = Squares(task, 64)
    assert len(squares) == len(task.names)
    for name, (image, target) in zip(task.names[:3], squares, strict=False):
        assert np.array_equal(image.numpy(), cache.image(dataset.image_path(name)))
        view = View(*task.labels[name]["size"], 64)
        expected = SIGNALS["scribbles"].target(task.labels[name]["scribbles"], view, ())
        assert np.array_equal(target.numpy(), expected)


def test_the_unet_learns_and_the_same_seed_gives_the_same_network(dataset, pets_labels):
    task = lesson(dataset, pets_labels, "scribbles", limit=4)
    one, two = (TutorialUNet(task, arguments(epochs=2)) for _ in range(2))
    for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True):
        assert torch.equal(a, b)
    picture = Image.new("RGB", (50, 30))
    assert one.predict(picture).shape == (30, 50)

    images, targets = map(torch.stack, zip(*Squares(task, 64), strict=True))
    longer = TutorialUNet(task, arguments(epochs=12))
    with torch.no_grad():
        losses = [
            torch.nn.functional.cross_entropy(unet.logits(images), targets, ignore_index=IGNORE)
            for unet in (one, longer)
        ]
    assert losses[1] < losses[0]


def test_a_batch_without_a_labelled_pixel_leaves_the_network_finite(dataset, pets_labels):
    task = lesson(dataset, pets_labels, "points", limit=3)
    labels = {name: {**task.labels[name], "points": []} for name in task.names[:2]}
    labels |= {name: task.labels[name] for name in task.names[2:]}
    task = Lesson(dataset, labels, task.names, "points")
    unet = TutorialUNet(task, arguments(batch_size=1))
    assert all(parameter.isfinite().all() for parameter in unet.network.parameters())


@pytest.mark.parametrize("peer", [Forest, TutorialUNet])
def test_labels_without_a_pixel_are_refused(dataset, pets_labels, peer):
    task = lesson(dataset, pets_labels, "points", limit=2)
    labels = {name: {**task.labels[name], "points": []} for name in task.names}
    with pytest.raises(UserError, match=r"labels\.pkl: the points of 2 images label no pixel"):
        peer(Lesson(dataset, labels, task.names, "points"), arguments())


def test_a_row_has_the_scores_of_evaluate_py(dataset, pets_labels):
    task, args = lesson(dataset, pets_labels, "scribbles", limit=4), arguments()
    row, forest = measure("forest", task, args), Forest(task, args)
    images = {
        name: score_image(forest.predict(dataset.image(name)), dataset.mask(name), 2)
        for name in dataset.ids("test")
    }
    expected = aggregate(images, args.resamples)
    assert row["miou"] == expected["miou"] and row["interval"] == expected["miou_interval"]
    assert row["training_seconds"] > 0 and row["predicting_seconds"] > 0
    assert (row["training_images"], row["test_images"]) == (4, 6)


def test_every_peer_has_a_row_for_every_kind_of_label(pets_dir, pets_labels, tmp_path, capsys):
    words = ["--data_dir", pets_dir, "--cache_dir", tmp_path, "--weak_label_path", pets_labels]
    words += ["--train_limit", 4, "--trees", 3, "--img_size", 64, "--epochs", 1]
    path = tmp_path / "results" / "peers.jsonl"
    for _ in range(2):  # rows are added, and are the same but for the seconds
        run(peers, *words, "--resamples", 20, "--output_file", path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    kinds = [(row["peer"], row["labels"]) for row in rows]
    assert kinds == 2 * [(peer, signal) for peer in peers.PEERS for signal in DRAWN]
    for row in rows:
        low, high = row["interval"]
        assert 0 <= low <= high <= 1 and 0 < row["miou"] < 1
    assert [row["miou"] for row in rows[:4]] == [row["miou"] for row in rows[4:]]
    table = capsys.readouterr().out.splitlines()[-4:]
    assert all(line.startswith(("| forest | ", "| unet   | ")) for line in table)


@pytest.mark.parametrize(
    "flag, value", [("--epochs", 0), ("--img_size", 100), ("--most_pixels", 0), ("--trees", -1)]
)
def test_a_value_that_means_nothing_is_refused(pets_dir, flag, value):
    with pytest.raises(UserError, match=flag):
        run(peers, "--data_dir", pets_dir, flag, value)
