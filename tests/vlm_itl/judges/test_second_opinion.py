"""The second opinion is the minimum of its loss, and bears images of one class or none."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from vlm_itl.judges.frozen_features import GRID
from vlm_itl.judges.second_opinion import SecondOpinion, held_out_opinions

CELLS = GRID**2


def images(count, classes, seed=0):
    """Random features [CELLS, 3] of images, and shares [CELLS, C] that depend on them."""
    rng = np.random.default_rng(seed)
    features = [rng.normal(size=(CELLS, 3)).astype(np.float32) for _ in range(count)]
    logits = [rows @ rng.normal(size=(3, classes)) for rows in features]
    shares = [np.exp(log_softmax(rows, 1)) for rows in logits]
    return features, [rows.astype(np.float32) for rows in shares]


@pytest.mark.parametrize("classes", [2, 3])
def test_the_weight_decay_means_the_same_for_two_and_for_more_classes(classes):
    (features,), (shares,) = images(1, classes)
    scaled = (features - features.mean(0)) / features.std(0)
    decay = 0.05

    def loss(values):
        weights, bias = values[:-classes].reshape(classes, 3), values[-classes:]
        log = log_softmax(scaled @ weights.T + bias, 1)
        return -(log * shares).sum() / shares.sum() + decay * np.square(weights).sum()

    best = minimize(loss, np.zeros(4 * classes)).x
    weights, bias = best[:-classes].reshape(classes, 3), best[-classes:]
    expected = np.exp(log_softmax(scaled @ weights.T + bias, 1))
    opinion = SecondOpinion([features], [shares], decay)(features, GRID)
    assert np.allclose(opinion.reshape(classes, CELLS).T, expected, atol=0.01)


def test_a_class_that_no_image_shows_is_improbable_and_keeps_its_place():
    features, shares = images(2, 3)
    shares = [np.insert(rows, 1, 0, axis=1) for rows in shares]
    opinion = SecondOpinion(features, shares, 0.01)(features[0], 32)
    assert opinion.shape == (4, 32, 32) and opinion.dtype == np.float32
    assert opinion[1].max() < 0.02 and np.allclose(opinion.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("decay", [0, 0.02])
def test_images_of_one_class_and_of_none_are_learned_from(decay):
    features, shares = images(2, 3)
    one = [np.eye(3, dtype=np.float32)[np.full(CELLS, 2)] for _ in shares]
    assert (SecondOpinion(features, one, decay)(features[0], GRID).argmax(0) == 2).all()
    nothing = SecondOpinion(features, [rows * 0 for rows in shares], decay)(features[0], GRID)
    assert np.allclose(nothing, 1 / 3, atol=1e-3)


def test_no_opinion_learned_from_its_own_image():
    features, shares = images(3, 3)
    names = ["a", "b", "c"]
    fold_of = {"a": 0, "b": 1, "c": 1}
    size_of = dict.fromkeys(names, 20)
    found = held_out_opinions(
        dict(zip(names, features, strict=True)),
        dict(zip(names, shares, strict=True)),
        fold_of,
        size_of,
        0.02,
    )
    expected = SecondOpinion(features[:1], shares[:1], 0.02)(features[2], 20)
    assert set(found) == set(names) and np.array_equal(found["c"], expected)
