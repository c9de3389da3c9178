"""One fit of a probe: what weighs how much, and which head masks beside weak labels choose."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.common import IGNORE
from weakseg.learners.probe import Standard
from weakseg.learners.small_network import SmallNetwork
from weakseg.training import probe_fit
from weakseg.training.pixel_sample import LabelledPixels
from weakseg.training.probe_evidence import Evidence
from weakseg.training.probe_fit import best_of_mix, fit_head, rows_of
from weakseg.training.probe_options import ProbeOptions

WIDTH, IMAGES, PLACES = 6, 30, 40
SEEDS = st.integers(0, 2**32 - 1)
PLAIN = Standard(np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32))


@pytest.fixture(autouse=True)
def _a_quick_small_head(monkeypatch):
    monkeypatch.setattr(probe_fit, "SMALL", {"hidden": 16, "steps": 150})
    monkeypatch.setattr(probe_fit, "FEW", 3 * PLACES)


def settings_of(**probe):
    return SimpleNamespace(seed=0, signals=("full", "points"), probe=ProbeOptions(**probe))


def pixels(seed, classes, images):
    """Return pixels of given classes [N] and images [N], whose first feature tells the class."""
    features = np.random.default_rng(seed).normal(size=(len(classes), WIDTH))
    features[:, 0] += 3 * classes
    return LabelledPixels(features.astype(np.float16), classes, np.ones(len(classes)), images)


def mix(seed, wrong, weak_images=IMAGES, mask_images=IMAGES // 2):
    """Return rows of masks and, of share `wrong` in the wrong class, of weak labels; and which."""
    rng = np.random.default_rng(seed)
    images = np.repeat(np.arange(mask_images + weak_images), PLACES)
    truth = rng.integers(0, 2, len(images))
    rows, from_mask = pixels(seed, truth, images), images < mask_images
    flipped = ~from_mask & (rng.random(len(images)) < wrong)
    said = np.where(flipped, 1 - truth, truth)
    return LabelledPixels(rows.features, said, rows.weights, images), from_mask


def test_weak_labels_that_are_wrong_do_not_count_beside_masks():
    rows, from_mask = mix(0, wrong=0.9)
    kind, counted = best_of_mix(settings_of(), PLAIN(rows.features), rows, from_mask, 2)
    assert kind == "small" and np.array_equal(counted, from_mask)


def test_weak_labels_that_are_right_count_where_masks_are_few():
    rows, from_mask = mix(0, wrong=0.0, mask_images=2)
    _, counted = best_of_mix(settings_of(), PLAIN(rows.features), rows, from_mask, 2)
    assert counted.all()


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_does_not_matter(seed):
    rows, from_mask = mix(seed, wrong=0.3, mask_images=probe_fit.LEAST_OF_MIX, weak_images=6)
    order = np.random.default_rng(seed).permutation(len(rows))
    kind, counted = best_of_mix(settings_of(), PLAIN(rows.features), rows, from_mask, 2)
    turned = rows.part(order)
    again, there = best_of_mix(settings_of(), PLAIN(turned.features), turned, from_mask[order], 2)
    assert again == kind and np.array_equal(there, counted[order])


@pytest.mark.parametrize("mask_images", [1, 5, probe_fit.LEAST_OF_MIX - 1])
@pytest.mark.parametrize("wrong", [0.4, 0.9])
def test_few_masks_give_no_weak_label_up(mask_images, wrong):
    rows, from_mask = mix(0, wrong, mask_images=mask_images)
    kind, counted = best_of_mix(settings_of(), PLAIN(rows.features), rows, from_mask, 2)
    assert kind == "linear" and counted.all()


@pytest.mark.parametrize("head", ["auto", "linear"])
@pytest.mark.parametrize("is_last", [False, True])
def test_masks_choose_the_last_head_unless_the_user_does(head, is_last):
    rows, from_mask = mix(0, wrong=0.9)
    run = settings_of(head=head, penalty=0.1)
    evidence = SimpleNamespace(groups=np.arange(rows.images.max() + 1))
    fitted, line = fit_head(run, evidence, rows, from_mask, PLAIN, 2, is_last)
    chooses = head == "auto" and is_last
    assert isinstance(fitted, SmallNetwork) == chooses
    assert line["pixels"] == (from_mask.sum() if chooses else len(rows))


@pytest.mark.parametrize("classes, pixel_count", [(2, 119), (2, 120), (3, 10), (21, 119)])
def test_few_pixels_of_masks_of_two_classes_have_a_linear_head(classes, pixel_count):
    images = np.arange(pixel_count) // PLACES
    rows = pixels(0, np.arange(pixel_count) % classes, images)
    masks = np.ones(pixel_count, bool)
    evidence = SimpleNamespace(marks=[], groups=np.arange(pixel_count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe_fit, "SMALL_OF_FEW", {"hidden": 8, "steps": 5})
        fitted, line = fit_head(settings_of(penalty=0.1), evidence, rows, masks, PLAIN, classes)
    is_small = classes > 2 or pixel_count >= probe_fit.FEW
    assert isinstance(fitted, SmallNetwork) == is_small
    assert line["head"] == probe_fit.usual_head(pixel_count, classes)


def test_masks_alone_beside_wrong_labels_have_the_head_that_suits_so_many(monkeypatch):
    rows, from_mask = mix(0, wrong=0.9)
    monkeypatch.setattr(probe_fit, "FEW", int(from_mask.sum()) + 1)
    kind, counted = best_of_mix(settings_of(), PLAIN(rows.features), rows, from_mask, 2)
    assert kind == "linear" and np.array_equal(counted, from_mask)


@given(seed=SEEDS, clicked=st.integers(0, 20))
def test_only_pictures_with_boxes_have_places_in_doubt_of_boxes(seed, clicked):
    """Pictures without boxes, none of whose places are labelled yet, change no weight of others."""
    rng = np.random.default_rng(seed)
    boxed = 5
    first = rng.choice([0, 1, IGNORE], (boxed, PLACES)).astype(np.uint8)
    first[0, :2] = 0, 1
    nothing = np.full((clicked, PLACES), IGNORE, np.uint8)

    def evidence(number):
        empty = pixels(0, np.empty(0, np.int64), np.empty(0, np.int64))
        pool = np.zeros((number, PLACES, WIDTH), np.float16)
        all_of_them = np.ones(number, bool)
        return Evidence(
            empty, empty, empty, pool, None, None, all_of_them, 0.0, all_of_them, all_of_them, None
        )

    alone, _ = rows_of(evidence(boxed), first, 2, doubt_is_object=True)
    both = evidence(boxed + clicked)
    together, _ = rows_of(both, np.concatenate([first, nothing]), 2, doubt_is_object=True)
    shares = [one.weights / one.weights.sum() for one in (alone, together)]
    np.testing.assert_allclose(*shares)
