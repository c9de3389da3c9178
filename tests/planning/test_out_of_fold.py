"""Out-of-fold predictions: no picture is judged by a model that has seen its answers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_asking import PICTURES, SIDE, answered, features_of, session, truth

from weakseg.common import IGNORE
from weakseg.labels.answers import RANDOM
from weakseg.learners.logistic import fit_linear
from weakseg.planning.candidates import Pool
from weakseg.planning.out_of_fold import (
    FOLDS,
    looked_at,
    out_of_fold,
    quality,
    temperature,
)


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    places = rng.integers(0, SIDE, (PICTURES, 40, 2)).astype(np.float32) + 0.5
    features = np.stack([features_of(i, own) for i, own in enumerate(places)])
    sizes = np.full((PICTURES, 2), SIDE)
    names = [f"p{i:02}" for i in range(PICTURES)]
    return Pool(names, sizes, places, features.astype(np.float16))


@pytest.fixture(scope="module")
def asking(pool):
    """A session whose person errs once in ten answers, and cannot tell in the middle."""

    def answer(question, classes):
        if abs(question.place[0] - SIDE / 2) < 1.5:
            return IGNORE
        wrong = (question.picture * 7 + int(question.place[1])) % 10 == 0
        return truth(question) ^ wrong

    asking = session(pool, seed=2, random_share=0.5)
    answered(asking, 200, answer=answer)
    return asking


def test_a_picture_is_predicted_by_a_model_of_the_others(asking, pool):
    """Checked by hand for each picture: leave its fold out, fit anew, predict."""
    groups = [i % FOLDS for i in range(PICTURES)]  # each group is a fold of its own
    found = out_of_fold(asking, groups=groups)
    rows = asking.answers.pixels(asking.answers.last_of_each())
    told = rows.part(rows.classes != IGNORE)
    for group in (0, 7):
        others = told.part(told.images % FOLDS != group)
        x = asking.model.standard(others.features)
        head = fit_linear(x, others.classes, others.weights, asking.model.penalty, 2)
        mine = np.arange(PICTURES) % FOLDS == group
        features = pool.features[mine].reshape(-1, pool.features.shape[-1])
        logits = head.logits(torch.from_numpy(asking.model.standard(features)))
        clear = (logits[:, 0] - logits[:, 1]).abs() > 0.05
        ours = found.pool.reshape(PICTURES, -1)[mine].ravel()
        assert (ours == logits.argmax(1).numpy())[clear.numpy()].all()


def test_only_random_questions_count(asking):
    found = out_of_fold(asking)
    drawn = [row.question.drawn == RANDOM for row in asking.answers.rows]
    assert found.questions.tolist() == np.flatnonzero(drawn).tolist()
    labels = [asking.answers.rows[i].label for i in found.questions]
    assert found.answers.tolist() == labels
    told = np.count_nonzero(np.array(labels) != IGNORE)
    assert quality(found, True).answers == pytest.approx(told)


def test_shares_and_prior_are_those_of_the_candidates(asking):
    found = out_of_fold(asking)
    assert found.shares.sum() == pytest.approx(1)
    assert found.shares[1] == pytest.approx((found.pool == 1).mean())  # pictures of one size
    assert found.prior.sum(1) == pytest.approx(np.ones(2))
    assert found.prior[0, 0] > 0.5 < found.prior[1, 1]


def test_larger_pictures_weigh_more(asking, pool):
    asking.pool = Pool(
        pool.names,
        pool.sizes * [[1, 1 + (i < 3)] for i in range(PICTURES)],
        pool.places,
        pool.features,
    )
    try:
        found = out_of_fold(asking)
    finally:
        asking.pool = pool
    areas = found.areas.reshape(PICTURES, -1)
    assert (areas[:3] == 2 * areas[3]).all()


def test_masks_replace_the_likeliest_classes(asking):
    seen = []

    def mask(picture, head):
        seen.append(picture)
        return np.full((SIDE, SIDE), picture % 2)

    found = out_of_fold(asking, mask_of=mask)
    assert (found.pool.reshape(PICTURES, -1) == (np.arange(PICTURES) % 2)[:, None]).all()
    pictures = [asking.answers.rows[i].question.picture for i in found.questions]
    assert found.predicted.tolist() == [picture % 2 for picture in pictures]
    assert {*seen} == {*range(PICTURES)}


def test_the_estimate_covers_what_it_is_of(asking, pool):
    """The person's answers to all candidates, against out-of-fold predictions."""
    found = out_of_fold(asking)
    best = quality(found, True)
    assert best.miou.low < best.miou.point < best.miou.high
    # Errors are one in ten, predictions hardly any: accuracy is near 0.9.
    assert best.pixel_accuracy.low < 0.9 < best.pixel_accuracy.high + 0.03
    assert best.cannot_tell.low < 3 / SIDE < best.cannot_tell.high


def test_before_there_is_a_model_there_is_no_estimate(pool):
    asking = session(pool)
    answered(asking, 10, answer=lambda question, classes: 0)
    assert out_of_fold(asking) is None


@given(st.floats(0.3, 3.5), st.integers(0, 50))
def test_temperature_calibrates(scale, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (4000, 3)).astype(np.float32)
    chances = torch.from_numpy(logits).softmax(1).numpy()
    answers = (chances.cumsum(1) < rng.random((4000, 1))).sum(1).clip(max=2)
    assert temperature(scale * logits, answers) == pytest.approx(scale, rel=0.25)


def test_without_an_answer_that_tells_chances_stay():
    assert temperature(np.ones((2, 2), np.float32), np.full(2, IGNORE)) == 1
    assert temperature(np.empty((0, 2), np.float32), np.empty(0, int)) == 1


def test_of_many_pictures_a_part_is_looked_at():
    assert looked_at(10, 0).tolist() == [*range(10)]
    some = looked_at(5000, 1)
    assert len(some) == 2000 == len({*some}) and (np.diff(some) > 0).all()
    assert (some == looked_at(5000, 1)).all() and not (some == looked_at(5000, 2)).all()
