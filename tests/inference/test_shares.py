"""Predictions that follow the shares of the classes in a photograph."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.inference.shares import LEAST, POWER, STEPS, follow_shares


def random_chances(seed, classes=4, height=5, width=6):
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(classes, 0.5), (height, width)).astype(np.float32)
    usual = rng.dirichlet(np.ones(classes)).astype(np.float32) + 1e-4
    return np.ascontiguousarray(np.moveaxis(chances, -1, 0)), usual / usual.sum()


@given(st.integers(0, 99), st.integers(2, 6), st.booleans())
def test_it_is_the_tempered_adjustment_pixel_by_pixel(seed, classes, has_background):
    chances, usual = random_chances(seed, classes)
    objects = range(int(has_background), classes)
    columns = chances.reshape(classes, -1).astype(float).T
    adjusted = columns
    for _ in range(STEPS):
        own = [sum(row[c] for row in adjusted) / len(adjusted) for c in range(classes)]
        ratio = [((own[c] + LEAST * usual[c]) / usual[c]) ** POWER for c in objects]
        raised = [[row[c] * r for c, r in zip(objects, ratio, strict=True)] for row in columns]
        rests = [1 - row[0] if has_background else 1 for row in columns]
        adjusted = [
            [*row[: objects[0]], *(value * rest / sum(new) for value in new)]
            for row, rest, new in zip(columns, rests, raised, strict=True)
        ]
    got = follow_shares(chances, usual[objects[0] :]).reshape(classes, -1).T
    np.testing.assert_allclose(got, adjusted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got.sum(1), 1, rtol=1e-5)


def test_a_photograph_of_nothing_but_background_stays_as_it_is():
    chances = np.zeros((3, 2, 2), np.float32)
    chances[0] = 1
    assert np.array_equal(follow_shares(chances, np.array([0.1, 0.2], np.float32)), chances)


@given(st.integers(0, 99))
def test_classes_and_pixels_have_no_order(seed):
    chances, usual = random_chances(seed)
    classes, pixels = np.random.default_rng(seed).permutation(4), slice(None, None, -1)
    turned = follow_shares(chances[classes][:, pixels, pixels], usual[classes])
    straight = follow_shares(chances, usual)[classes][:, pixels, pixels]
    np.testing.assert_allclose(turned, straight, rtol=1e-5, atol=1e-7)


@given(st.integers(0, 99))
def test_a_photograph_with_the_usual_shares_keeps_its_predictions(seed):
    chances, _ = random_chances(seed)
    usual = chances.mean((1, 2))
    np.testing.assert_allclose(follow_shares(chances, usual), chances, rtol=1e-4, atol=1e-6)


def test_a_class_that_a_photograph_hardly_shows_is_taken_for_another_less_often():
    chances = np.full((3, 4, 4), 0.05, np.float32)
    chances[0] = 0.9
    chances[:, 0, 0] = 0.3, 0.34, 0.36  # of two rare classes the second shows elsewhere as well
    chances[:, 1] = np.array([0.1, 0.8, 0.1])[:, None]
    adjusted = follow_shares(chances, np.full(3, 1 / 3, np.float32))
    assert chances[:, 0, 0].argmax() == 2 and adjusted[1, 0, 0] > adjusted[2, 0, 0]
    assert adjusted.sum(0) == pytest.approx(1)
