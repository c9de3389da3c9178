"""Candidate pixels, and the random questions: a fair sample that the seed fixes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from weakseg.learners.features import FeatureMaps
from weakseg.planning.candidates import RandomQuestions, make_pool

SIZES = np.array([[4, 3], [10, 2], [1, 1], [7, 5]])


def maps_of(name):
    """Return features of a picture of 8 x 6 pixels that its name decides."""
    rng = np.random.default_rng(len(name))
    stages = rng.normal(size=(3, 6, 8)), rng.normal(size=(2, 3, 4))
    return FeatureMaps(tuple(s.astype(np.float16) for s in stages), (1, 2), (8, 6), (8, 6))


@pytest.fixture
def pool(tmp_path):
    return make_pool(["a", "bb", "ccc"], [(8, 6)] * 3, maps_of, tmp_path, "key", per_picture=20)


# ---- the pool


def test_a_pool_holds_the_features_of_its_places(pool):
    assert pool.features.dtype == np.float16 and pool.features.shape == (3, 20, 5)
    for name, places, features in zip(pool.names, pool.places, pool.features, strict=True):
        assert (features == maps_of(name).at(places).astype(np.float16)).all()
    assert (pool.areas == 48).all()


def test_a_pool_is_made_once_and_kept(pool, tmp_path):
    def never(name):
        raise AssertionError("features are on disk")

    again = make_pool(list(pool.names), [(8, 6)] * 3, never, tmp_path, "key", per_picture=20)
    assert (again.features == pool.features).all() and (again.places == pool.places).all()
    with pytest.raises(AssertionError):
        make_pool(list(pool.names), [(8, 6)] * 3, never, tmp_path, "other", per_picture=20)


def test_a_pool_that_is_cut_short_leaves_no_file(tmp_path):
    def broken(name):
        if name == "bb":
            raise KeyboardInterrupt
        return maps_of(name)

    with pytest.raises(KeyboardInterrupt):
        make_pool(["a", "bb"], [(8, 6)] * 2, broken, tmp_path, "key")
    assert not list(tmp_path.iterdir())


def test_the_candidates_of_a_picture_do_not_depend_on_the_others(pool, tmp_path):
    fewer = make_pool(["ccc"], [(8, 6)], maps_of, tmp_path, "key", per_picture=20)
    assert (fewer.places[0] == pool.places[2]).all()


# ---- random questions


@given(st.integers(0, 2**63 - 1), st.integers(0, 3000), st.integers(0, 1500))
def test_random_questions_are_one_sequence(seed, first, count):
    """However many are asked for at a time, and from wherever on."""
    questions = RandomQuestions(seed, SIZES)
    pictures, places = questions.drawn(0, first + count)
    later = questions.drawn(first, count)
    assert (later[0] == pictures[first:]).all() and (later[1] == places[first:]).all()
    width, height = SIZES[pictures].T
    x, y = places.T
    assert ((x > 0) & (x < width) & (y > 0) & (y < height)).all()
    assert (places % 1 == 0.5).all()


def test_every_pixel_is_as_likely():
    pictures, places = RandomQuestions(1, SIZES).drawn(0, 20_000)
    width, height = SIZES.T
    first = np.concatenate([[0], np.cumsum(width * height)])
    columns, rows = places.astype(int).T
    counts = np.bincount(first[pictures] + rows * width[pictures] + columns, minlength=first[-1])
    assert chisquare(counts).pvalue > 1e-3


def test_other_seeds_give_other_questions():
    one, other = (RandomQuestions(seed, SIZES).drawn(0, 50) for seed in (0, 1))
    assert not (one[1] == other[1]).all()


def test_pictures_that_join_leave_the_earlier_questions_as_they_were():
    before = RandomQuestions(3, SIZES[:2]).drawn(0, 100)
    joined = RandomQuestions(3, SIZES, np.array([0, 0, 100, 100]))
    after = joined.drawn(0, 400)
    assert (after[0][:100] == before[0]).all() and (after[1][:100] == before[1]).all()
    assert {2, 3} & {*after[0][100:].tolist()}


@given(st.integers(0, 2**32))
def test_weighted_answers_of_pictures_that_joined_are_a_fair_sample(seed):
    """The weighted share of a picture is, on average, its share of the area."""
    joined = np.array([0, 0, 0, 200])
    sizes = np.array([[20, 20], [20, 10], [10, 10], [30, 20]])
    questions = RandomQuestions(seed, sizes, joined)
    pictures, _ = questions.drawn(0, 1200)
    weights = questions.weights(pictures, 1200)
    assert weights.mean() == pytest.approx(1)
    shares = np.bincount(pictures, weights, 4) / weights.sum()
    areas = sizes.prod(1) / sizes.prod(1).sum()
    # Without weights the last picture's share would be 0.38 instead of 0.46.
    assert np.abs(shares - areas).max() < 0.08


def test_without_later_pictures_all_answers_weigh_the_same():
    questions = RandomQuestions(0, SIZES)
    pictures, _ = questions.drawn(0, 50)
    assert questions.weights(pictures, 50) == pytest.approx(np.ones(50))
    assert len(questions.weights(pictures[:0], 0)) == 0


def test_there_must_be_a_picture_before_the_first_question():
    with pytest.raises(ValueError, match="before the first"):
        RandomQuestions(0, SIZES, np.array([1, 2, 3, 4]))
