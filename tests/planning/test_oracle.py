"""The oracle sells labels, counts their seconds, and shows nothing that nobody bought."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_utils import SegmentationItems
from vlm_itl.sections import Data
from vlm_itl.training.data import LabelledItems, open_images, splits_of
from weakseg.common import UserError
from weakseg.data.cache import ResizedCache
from weakseg.labels.annotators import Options
from weakseg.labels.costs import LOOK, load_schedule
from weakseg.labels.signals import SIGNALS
from weakseg.labels.simulate import annotate
from weakseg.metrics import confusion_matrix, scores
from weakseg.planning.oracle import (
    Examiner,
    Oracle,
    as_judged,
    confident_mask,
    predicted_price,
    signals_of,
)

LAWS = settings(max_examples=25)
SIZE = 64
ALL = tuple(SIGNALS)
LOOKS = load_schedule().prices[LOOK]["image"]  # seconds of a look at one image


@pytest.fixture(scope="module")
def pets(pets_dir, tmp_path_factory):
    """The tiny Pet data set of cats and dogs: its config, the data set, its splits and a cache."""
    cache_dir = str(tmp_path_factory.mktemp("cache"))
    data = Data(source=str(pets_dir), classes=("species",), image_size=SIZE, cache_dir=cache_dir)
    dataset = open_images(data)
    ids = splits_of(dataset, data)
    return SimpleNamespace(
        data=data, dataset=dataset, pool=ids["pool"], ids=ids, cache=ResizedCache(cache_dir, SIZE)
    )


def opened(pets, seed=0, options=None):
    return Oracle(pets.dataset, pets.pool, pets.cache, seed, options)


# ---- buying


def test_a_mask_is_shown_only_to_its_buyer(pets):
    oracle, (first, second, *_) = opened(pets), pets.pool
    for signals in (("points",), ("tags", "scribbles", "boxes")):
        oracle = opened(pets)
        with pytest.raises(PermissionError, match=first):
            oracle.mask(first)
        label = oracle.buy(first, signals)
        assert label.annotations.keys() == {"size", *signals}
        with pytest.raises(PermissionError, match=first):
            oracle.mask(first)
    oracle.buy(second, ("full", "points"))
    assert np.array_equal(oracle.mask(second), Examiner(pets.dataset, pets.cache).truth(second))
    with pytest.raises(PermissionError):
        oracle.mask(first)


def test_only_images_of_the_pool_are_for_sale_and_each_once(pets):
    oracle, name = opened(pets), pets.pool[0]
    oracle.buy(name, ("tags",))
    for again in (("tags",), ("full",)):
        with pytest.raises(ValueError, match="bought before"):
            oracle.buy(name, again)
    for outside in (pets.ids["test"][0], pets.ids["val"][0], "nothing"):
        with pytest.raises(ValueError, match="not in the pool"):
            oracle.buy(outside, ("tags",))
    assert list(oracle.labels) == [name]


@LAWS
@given(data=st.data(), seed=st.integers(0, 3))
def test_labels_are_the_annotators_own_in_any_order(pets, data, seed):
    names = data.draw(st.permutations(pets.pool[:6]))
    options = Options(points_per_object=2, random_points=True, noise=0.2)
    signals = data.draw(
        st.sampled_from([("points", "boxes"), ("full", "tags", "boxes"), ("boxes", "pixels")])
    )
    oracle = opened(pets, seed, options)
    for name in names:
        label = oracle.buy(name, signals)
        expected = annotate(pets.dataset, name, options, seed)
        assert label.annotations == {key: expected[key] for key in ("size", *signals)}
        assert label.signals == signals
        each = sum(SIGNALS[s].seconds(expected[s]) for s in signals)
        assert label.seconds == pytest.approx(each + LOOKS)
    assert oracle.seconds == pytest.approx(sum(label.seconds for label in oracle.labels.values()))


def test_a_restored_purchase_is_a_purchase(pets):
    bought, restored, name = opened(pets), opened(pets), pets.pool[0]
    restored.restore(name, bought.buy(name, ("full",)))
    assert restored.seconds == bought.seconds > 0
    assert np.array_equal(restored.mask(name), bought.mask(name))
    with pytest.raises(ValueError, match="bought before"):
        restored.buy(name, ("full",))


def test_label_names():
    assert signals_of("mask") == signals_of("full") == ("full",)
    assert (
        signals_of("hybrid_points_boxes")
        == signals_of("hybrid_boxes_points")
        == ("points", "boxes")
    )
    with pytest.raises(UserError, match=r"active_learning\.label: .*did you mean points"):
        signals_of("pionts")
    with pytest.raises(UserError, match=r"active_learning\.label: .*'mask2'"):
        signals_of("mask2")


def test_the_examiner_measures_like_the_metrics(pets):
    examiner, rng = Examiner(pets.dataset, pets.cache), np.random.default_rng(0)
    for name in pets.pool[:4]:
        truth = examiner.truth(name)
        assert examiner.iou(name, np.where(truth == 255, 0, truth)) == 1
        prediction = np.where(
            rng.random(truth.shape) < 0.3, rng.integers(0, 3, truth.shape), truth % 255
        ).astype("u1")
        confusion = confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(truth), 3)
        assert examiner.iou(name, prediction) == pytest.approx(
            float(scores(confusion)["iou"][1:].nanmean())
        )
        options = Options(points_per_object=3)
        for signals in (("full",), ("points", "boxes")):
            price = opened(pets, options=options).buy(name, signals).seconds
            assert examiner.seconds(name, signals, options) == pytest.approx(price)


# ---- what a training sees


def blank_targets(targets):
    """Return the names of the signals whose target says nothing."""
    return {
        name
        for name, target in targets.items()
        if (target == (-1 if name == "tags" else 255)).all()
    }


@pytest.mark.parametrize("augment", [False, True])
def test_each_image_has_the_targets_that_were_bought_for_it_and_no_others(pets, augment):
    oracle, names = opened(pets), pets.pool[:5]
    bought = dict(
        zip(
            names,
            [("points",), ("full",), ("tags", "boxes"), ("scribbles", "outlines", "pixels")],
            strict=False,
        )
    )
    for name, signals in bought.items():
        oracle.buy(name, signals)
    pseudo = {names[4]: Examiner(pets.dataset, pets.cache).truth(names[4])}
    items = LabelledItems(pets.dataset, oracle, pseudo, pets.cache, augment, 7)
    assert items.signals == ALL and items.ids == names
    labels = {name: annotate(pets.dataset, name, Options(), 0) for name in names}
    usual = SegmentationItems(pets.dataset, names, pets.cache, labels, ALL, augment, seed=7)
    for index, name in enumerate(names):
        signals = bought.get(name, ("full",))
        for epoch in range(3):
            item, expected = items[epoch, index], usual[epoch, index]
            assert torch.equal(item["image"], expected["image"])
            assert {*ALL} - {*signals} <= blank_targets(item["targets"])
            for signal, target in expected["targets"].items():
                found = item["targets"][signal]
                assert found.shape == target.shape and found.dtype == target.dtype
                assert signal not in signals or torch.equal(found, target)
            if not augment:  # a crop may show no click
                assert blank_targets(item["targets"]) == {*ALL} - {*signals}


def test_a_pseudo_label_equal_to_the_truth_trains_like_the_bought_mask(pets):
    name = pets.pool[0]
    oracle = opened(pets)
    oracle.buy(name, ("full",))
    bought = LabelledItems(pets.dataset, oracle, {}, pets.cache, True, 3)
    accepted = LabelledItems(
        pets.dataset, opened(pets), {name: oracle.mask(name)}, pets.cache, True, 3
    )
    assert bought.signals == accepted.signals == ("full",)
    for epoch in range(8):
        one, other = bought[epoch, 0], accepted[epoch, 0]
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["targets"]["full"], other["targets"]["full"])


def test_strong_augmentation_is_for_pseudo_labelled_images_alone_and_leaves_their_masks(pets):
    first, second, *_ = pets.pool
    oracle = opened(pets)
    oracle.buy(first, ("full",))
    pseudo = {second: Examiner(pets.dataset, pets.cache).truth(second)}
    usual, strong = (
        LabelledItems(pets.dataset, oracle, pseudo, pets.cache, True, 3, strong=s)
        for s in (False, True)
    )
    differ = []
    for epoch in range(8):
        assert torch.equal(usual[epoch, 0]["image"], strong[epoch, 0]["image"])
        assert torch.equal(usual[epoch, 1]["targets"]["full"], strong[epoch, 1]["targets"]["full"])
        differ.append(not torch.equal(usual[epoch, 1]["image"], strong[epoch, 1]["image"]))
    assert any(differ)


def test_pseudo_labels_stand_behind_the_bought_ones_and_need_no_other_label(pets):
    oracle, (first, second, third, *_) = opened(pets), pets.pool
    oracle.buy(third, ("points",))
    pseudo = {name: np.full((SIZE, SIZE), 255, np.uint8) for name in (second, first)}
    items = LabelledItems(pets.dataset, oracle, pseudo, pets.cache, False, 0)
    assert items.ids == [third, first, second] and items.signals == ("full", "points")
    assert blank_targets(items[0, 0]["targets"]) == {"full"}
    assert blank_targets(items[0, 1]["targets"]) == {"full", "points"}
    without = LabelledItems(pets.dataset, oracle, {}, pets.cache, False, 0)
    assert without.ids == [third] and without.signals == ("points",)


# ---- prices and pseudo-labels


@pytest.mark.parametrize("options", [None, Options(points_per_object=3, background_points=2)])
def test_the_predicted_price_of_the_truth_is_the_price(pets, options):
    for signals in (
        ("full",),
        ("points",),
        ("boxes",),
        ("scribbles",),
        ("pixels",),
        ("tags", "points", "boxes"),
    ):
        price = predicted_price(signals, pets.dataset.tag_names, 3, options)
        oracle = opened(pets, options=options)
        for name in pets.pool[:4]:
            assert price(pets.dataset.mask(name)) == pytest.approx(
                oracle.buy(name, signals).seconds
            )


def test_the_predicted_price_counts_objects():
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[5:20, 5:20], mask[30:50, 5:20], mask[5:20, 40:60] = 1, 1, 2
    expected = {
        "full": 3 * 79.0,
        "boxes": 3 * 7.0,
        "scribbles": 4 * 10.9,
        "points": 3 * 2.4 + 0.9,
        "tags": 2.0,
        "pixels": 4 * 2.0,
    }
    for signal, seconds in expected.items():
        price = predicted_price((signal,), ("cat", "dog"), 3)
        assert price(mask) == pytest.approx(seconds + LOOKS)
    assert predicted_price(("full", "boxes"), (), 3)(mask) == pytest.approx(3 * 86.0 + LOOKS)
    assert predicted_price(("pixels",), (), 11)(mask) == pytest.approx(4 * 3.0 + LOOKS)
    assert mask.sum() == 15 * 15 + 20 * 15 + 2 * 15 * 20  # it is the caller's


EMPTY = np.zeros((16, 16), np.uint8)


@LAWS
@given(mask=arrays(np.uint8, (16, 16), elements=st.integers(0, 2), fill=st.just(0)))
def test_no_predicted_price_is_below_one_object(mask):
    single = EMPTY.copy()
    single[4:9, 4:9] = 1
    for signal in ("full", "boxes", "tags"):
        price = predicted_price((signal,), ("cat", "dog"), 3)
        assert price(mask) >= price(single) == price(EMPTY) > 0
    for signal, least in (
        ("points", 2.4),
        ("scribbles", 10.9),
    ):  # an object that leaves no background to mark
        price = predicted_price((signal,), (), 3)
        assert price(EMPTY) == price(single) == pytest.approx(2 * least + LOOKS)
        assert price(mask) >= least + LOOKS
    assert not EMPTY.any()


def test_a_confident_mask_by_hand():
    foreground = np.array([[0.1, 0.45], [0.8, 0.95]], np.float32)
    probabilities = np.stack([1 - foreground, foreground])
    assert confident_mask(probabilities, 0.0).tolist() == [[0, 0], [1, 1]]
    assert confident_mask(probabilities, np.float32(0.8)).tolist() == [[0, 255], [1, 1]]
    assert confident_mask(probabilities, 0.93).tolist() == [[255, 255], [255, 1]]
    assert confident_mask(probabilities, 0.93).dtype == np.uint8


def test_judges_know_every_class_of_a_data_set_without_a_background_as_an_object():
    mask = np.array([[0, 1, 255]], np.uint8)
    assert np.array_equal(as_judged(mask, True), mask)
    assert as_judged(mask, False).tolist() == [[1, 2, 255]]
    assert as_judged(mask, False).dtype == np.uint8


def test_without_a_background_a_prediction_of_class_0_has_a_price():
    empty = np.zeros((32, 32), np.uint8)
    halves = empty.copy()
    halves[:, 16:] = 1
    price = predicted_price(("points",), (), 2, has_background=False)
    assert price(empty) == SIGNALS["points"].seconds([[0, 0, 0]]) + LOOKS
    assert price(halves) == SIGNALS["points"].seconds([[0, 0, 0], [20, 0, 1]]) + LOOKS
