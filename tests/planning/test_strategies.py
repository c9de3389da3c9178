"""Strategies: which of the candidates come first, and how many of one picture."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.planning.strategies import (
    STRATEGIES,
    USUAL_STRATEGY,
    Outlook,
    best_candidates,
    different,
    likeliest,
)


def outlook(pictures=3, candidates=5, classes=3, seed=0, **changes):
    rng = np.random.default_rng(seed)
    usual = Outlook(
        rng.dirichlet(np.ones(classes), (pictures, candidates)).astype(np.float32),
        np.full(classes, 10),
        np.ones((pictures, candidates), np.float32),
        np.full(pictures, 2.0),
    )
    return replace(usual, **changes)


@pytest.mark.parametrize("name", STRATEGIES)
@given(seed=st.integers(0, 100), classes=st.integers(2, 5))
def test_scores_do_not_depend_on_the_order_of_pictures_or_classes(name, seed, classes):
    rng = np.random.default_rng(seed)
    known = outlook(
        classes=classes,
        seed=seed,
        counts=rng.integers(0, 99, classes),
        seconds=rng.choice([2.0, 3.5], 3),
    )
    score = STRATEGIES[name].score
    order, names = rng.permutation(3), rng.permutation(classes)
    turned = Outlook(
        known.chances[order][..., names],
        known.counts[names],
        known.tells[order],
        known.seconds[order],
    )
    assert score(turned) == pytest.approx(score(known)[order], rel=1e-5)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_sure_pixel_comes_after_a_doubtful_one(name):
    chances = np.array([[[0.98, 0.01, 0.01], [0.4, 0.35, 0.25]]], np.float32)
    known = outlook(1, 2, chances=chances)
    sure, doubtful = STRATEGIES[name].score(known)[0]
    assert doubtful > sure >= 0


def test_the_margin_of_two_classes_is_largest_at_one_half():
    chances = np.stack([np.linspace(0, 1, 11), 1 - np.linspace(0, 1, 11)], -1)[None]
    scores = STRATEGIES["margin"].score(outlook(1, 11, 2, chances=chances.astype(np.float32)))
    assert scores[0].argmax() == 5 and scores[0, 5] == pytest.approx(1)
    assert scores[0] == pytest.approx(scores[0, ::-1], abs=1e-6)


def test_rare_classes_come_first():
    chances = np.array([[[0.45, 0.45, 0.1], [0.1, 0.45, 0.45]]], np.float32)
    known = outlook(1, 2, chances=chances, counts=np.array([100, 100, 0]))
    common, rare = STRATEGIES["rare"].score(known)[0]
    assert rare > common


def test_what_a_person_can_hardly_tell_comes_last():
    known = outlook(1, 2, chances=np.full((1, 2, 2), 0.5, np.float32))
    known = replace(known, tells=np.array([[0.9, 0.3]], np.float32))
    clear, blurred = STRATEGIES["answered"].score(known)[0]
    assert clear == pytest.approx(3 * blurred)


def test_a_picture_that_was_seen_costs_no_look():
    known = outlook(2, 1, chances=np.full((2, 1, 2), 0.5, np.float32), seconds=np.array([2, 3.5]))
    seen, new = STRATEGIES["per_second"].score(known)[:, 0]
    assert seen / new == pytest.approx(3.5 / 2)


# ---- the best of them


@given(
    st.integers(1, 6), st.integers(1, 8), st.integers(0, 30), st.integers(1, 4), st.integers(0, 99)
)
def test_the_best_candidates_are_the_best(pictures, candidates, count, per_picture, seed):
    rng = np.random.default_rng(seed)
    scores, asked = rng.random((pictures, candidates)), rng.random((pictures, candidates)) < 0.3
    chosen = best_candidates(scores, asked, count, per_picture)
    pairs = [*zip(*map(np.ndarray.tolist, chosen), strict=True)]
    assert len({*pairs}) == len(pairs) <= count and not asked[chosen].any()
    free = [np.sort(scores[p][~asked[p]])[::-1][:per_picture] for p in range(pictures)]
    assert len(pairs) == min(count, sum(map(len, free)))
    # Each picture gives its best, and pictures come by their best one.
    for picture in {p for p, _ in pairs}:
        own = [scores[p, c] for p, c in pairs if p == picture]
        assert own == free[picture][: len(own)].tolist()
    firsts = [max(free[p]) for p in dict.fromkeys(p for p, _ in pairs)]
    assert firsts == sorted(firsts, reverse=True)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 9), st.integers(0, 99))
def test_each_class_gets_its_likeliest_free_candidate(pictures, candidates, wanted, seed):
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.ones(3), (pictures, candidates)).astype(np.float32)
    asked = rng.random((pictures, candidates)) < 0.4
    classes = rng.integers(0, 3, wanted)
    chosen = likeliest(chances, asked, classes)
    free = ~asked
    for label, (picture, candidate) in zip(classes.tolist(), chosen, strict=False):
        assert free[picture, candidate]
        assert chances[picture, candidate, label] == chances[..., label][free].max()
        free[picture] = False
    assert len(chosen) == min(wanted, int((~asked).any(1).sum()))


def test_the_usual_strategy_is_a_row_of_the_table():
    assert USUAL_STRATEGY in STRATEGIES


def test_different_candidates_come_from_each_cluster():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10]])
    features = np.repeat(centres, [20, 5, 2], 0) + rng.normal(0, 0.1, (27, 2))
    chosen = different(features, np.ones(27), 3, 0)
    assert {(0, 1, 2)[int(np.searchsorted([20, 25], i, side="right"))] for i in chosen} == {0, 1, 2}


@given(st.integers(1, 12), st.booleans())
def test_there_are_as_many_different_candidates_as_wanted(count, alike):
    features = np.zeros((8, 2)) if alike else np.random.default_rng(1).normal(size=(8, 2))
    chosen = different(features, np.linspace(1, 2, 8), count, 0)
    assert len({*chosen.tolist()}) == len(chosen) == min(count, 8)
