"""The simulated person: exact distances, stated chances, and answers that repeat as people's do."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest

from weakseg.common import IGNORE
from weakseg.labels.person import Faults, Person, across, whole

masks = arrays(
    np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.sampled_from([0, 1, 2])
)
with_void = arrays(
    np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.sampled_from([0, 1, 255])
)
NEVER = Faults(0, 0, 0)


def halves(left, right=0):
    """A mask of one row of `left` pixels of class 0, then `right` of class 1."""
    return np.repeat(np.uint8([0, 1]), [left, right])[None]


def answers(person, mask, names, place, times=0):
    return np.array([person.answer(name, mask, place, times) for name in names])


# ---- distances


@pytest.mark.parametrize(
    ("place", "distance"),
    [((2.5, 0.5), 0.5), ((0.5, 0.5), 2.5), ((2.9, 0.5), 0.1), ((3.5, 0.5), 0.5), ((4, 0.5), 1)],
)
def test_a_distance_reaches_to_the_other_pixels_square(place, distance):
    found, other = across(halves(3, 3), place)
    assert found == pytest.approx(distance) and other == int(place[0] < 3)


def test_a_distance_is_one_in_the_plane():
    mask = np.zeros((6, 6), np.uint8)
    mask[5, 4] = 2
    assert across(mask, (0.5, 1.5)) == (pytest.approx(math.hypot(3.5, 3.5)), 2)
    assert across(mask, (4.5, 1.5)) == (pytest.approx(3.5), 2)


@given(masks, st.data())
def test_a_distance_is_the_least_to_a_point_of_another_pixel(mask, data):
    height, width = mask.shape
    x = data.draw(st.integers(0, width - 1)) + data.draw(st.sampled_from([0.0, 0.25, 0.5]))
    y = data.draw(st.integers(0, height - 1)) + data.draw(st.sampled_from([0.0, 0.25, 0.5]))
    own = mask[int(y), int(x)]
    squares = [(i, j) for i, j in np.ndindex(mask.shape) if mask[i, j] != own]
    found, other = across(mask, (x, y))
    if not squares:
        assert (found, other) == (math.inf, IGNORE)
        return
    to = [math.dist((x, y), (min(max(x, j), j + 1), min(max(y, i), i + 1))) for i, j in squares]
    assert found == pytest.approx(min(to))
    nearest = {mask[square] for square, d in zip(squares, to, strict=True) if d <= found + 1e-9}
    assert other in nearest


@given(with_void)
def test_void_takes_the_nearest_class(mask):
    filled = whole(mask)
    known = mask != IGNORE
    assert (filled[known] == mask[known]).all()
    if not known.any():
        assert (filled == IGNORE).all()
        return
    places = np.argwhere(known)
    for void in np.argwhere(~known):
        squares = ((places - void) ** 2).sum(1)
        assert filled[tuple(void)] in {mask[tuple(p)] for p in places[squares == squares.min()]}


def test_a_distance_does_not_end_at_void():
    mask = halves(4, 4)
    mask[0, 2:6] = IGNORE
    assert across(whole(mask), (0.5, 0.5)) == (pytest.approx(3.5), 1)


# ---- answers


@given(masks, st.integers(0, 9))
def test_without_faults_an_answer_is_the_truth(mask, seed):
    person = Person(seed, NEVER, num_classes=3)
    for i, j in np.ndindex(mask.shape):
        assert person.answer("a", mask, (j + 0.5, i + 0.5)) == mask[i, j]


@pytest.mark.parametrize("faults", [NEVER, Faults(), Faults(2, 2, 2)])
def test_in_void_nobody_can_tell(faults):
    mask = halves(4, 4)
    mask[0, 2:6] = IGNORE
    person = Person(0, faults, num_classes=2)
    assert {person.answer(str(n), mask, (3.5, 0.5)) for n in range(50)} == {IGNORE}
    assert person.answer("a", np.full((2, 2), IGNORE, np.uint8), (0.5, 0.5)) == IGNORE


@pytest.mark.parametrize("factor", [0.5, 1, 2])
@pytest.mark.parametrize("reach", [1, 2, 4, 40])
def test_rates_are_those_that_are_stated(reach, factor):
    count, d = 4000, reach - 0.5
    person = Person(3, Faults(factor, factor, factor), num_classes=4)
    given = answers(person, halves(reach, 3), range(count), (0.5, 0.5))
    cannot_tell = min(1, factor * math.exp(-d / 1.5))
    if cannot_tell < 1:
        wrong = factor * (0.25 * math.exp(-d / 3) + 0.02)
        told = given[given != IGNORE]
        assert binomtest(int((told != 0).sum()), len(told), wrong).pvalue > 1e-4
    unknown = int((given == IGNORE).sum())
    assert binomtest(unknown, count, cannot_tell).pvalue > 1e-4
    assert set(given) <= {0, 1, IGNORE}  # what is wrong is the class across the border


def test_where_there_is_no_border_a_slip_takes_any_other_class():
    mask, count = np.full((1, 1), 2, np.uint8), 6000
    given = answers(Person(1, num_classes=4), mask, range(count), (0.5, 0.5))
    numbers = np.bincount(given, minlength=4)
    assert binomtest(int(count - numbers[2]), count, 0.02).pvalue > 1e-4
    assert (numbers[[0, 1, 3]] > 0).all()
    alone = answers(Person(1, num_classes=1), np.zeros((1, 1), np.uint8), range(300), (0.5, 0.5))
    assert not alone.any()


def test_asked_again_borders_repeat_and_slips_do_not():
    mask, names = halves(2, 2), range(1500)
    border = Person(0, Faults(1, 1, 0), num_classes=2)
    first, second = (answers(border, mask, names, (0.5, 0.5), times) for times in (0, 1))
    assert (first == second).all() and {0, 1, IGNORE} == set(first)
    slips = Person(0, Faults(1, 0, 5), num_classes=2)
    first, second = (answers(slips, mask, names, (0.5, 0.5), times) for times in (0, 1))
    assert ((first == IGNORE) == (second == IGNORE)).all()
    told = first != IGNORE
    assert 0 < (first[told] & second[told]).sum() < (first[told] | second[told]).sum() / 3


@settings(max_examples=20)
@given(masks, st.permutations(range(12)), st.integers(0, 5))
def test_an_answer_knows_nothing_of_the_others(mask, order, seed):
    person, height, width = Person(seed, Faults(1, 4, 20), num_classes=3), *mask.shape
    questions = [(f"{n % 3}", (n % width + 0.5, n % height + 0.5), n // 6) for n in range(12)]
    ask = {n: person.answer(questions[n][0], mask, *questions[n][1:]) for n in order}
    filled = whole(mask)
    for n, (name, place, times) in enumerate(questions):
        fresh = Person(seed, Faults(1, 4, 20), num_classes=3)
        assert ask[n] == fresh.answer(name, mask, place, times, filled)


@pytest.mark.parametrize("factor", [-0.1, math.inf, math.nan])
def test_a_factor_is_a_number_from_0(factor):
    for name in ("cannot_tell", "border", "slip"):
        with pytest.raises(ValueError, match=f"^{name}: must be a number from 0"):
            Faults(**{name: factor})
