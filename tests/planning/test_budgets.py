"""Budgets rise as the config says, and all units agree on when one is used up."""

import itertools
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vlm_itl.config import Config, annotator, budgets, percentages
from vlm_itl.loop_sections import UNITS, ActiveLearning
from weakseg.common import UserError
from weakseg.labels.annotators import Options
from weakseg.planning.budgets import between, images_left, reached, spent
from weakseg.planning.oracle import Label, Oracle

LAWS = settings(max_examples=100)


def oracle_with(prices):
    """An oracle whose labels cost `prices`, in seconds."""
    oracle = Oracle(None, [], None, 0)  # nothing is bought from it
    for number, price in enumerate(prices):
        oracle.restore(f"image{number}", Label({}, ("full",), price))
    return oracle


def stepped(first, step, last):
    return ActiveLearning(initial_percentage=first, increment_percentage=step, max_percentage=last)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (ActiveLearning(), [5, 10, 15, 20, 25, 30]),
        (stepped(0.1, 0.1, 1.0), [0.1 * k for k in range(1, 11)]),
        (stepped(10, 10, 35), [10, 20, 30, 35]),
        (stepped(10, 50, 30), [10, 30]),
        (stepped(30, 5, 30), [30]),
        (stepped(1, 0.3, 2), [1, 1.3, 1.6, 1.9, 2]),
        (stepped(20, 20, 100), [20, 40, 60, 80, 100]),
    ],
)
def test_percentages_run_up_to_the_last(settings, expected):
    assert percentages(settings) == pytest.approx(expected)
    assert budgets(settings) == [(percent, "percent") for percent in percentages(settings)]


@LAWS
@given(first=st.floats(0.1, 100), step=st.floats(0.1, 100), last=st.floats(0.1, 100))
def test_percentages_rise_by_one_step_and_end_at_the_last(first, step, last):
    assume(last >= first)
    found = percentages(stepped(first, step, last))
    gaps = [after - before for before, after in itertools.pairwise(found)]
    assert found[0] == first and found[-1] == pytest.approx(last, abs=1e-5)
    assert all(gap == pytest.approx(step) for gap in gaps[:-1]) and all(
        0 < gap <= step + 1e-5 for gap in gaps
    )


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("amounts", [(5, 5), (10, 5), (0, 5), (-1,), (1, 3, 2)])
def test_budgets_that_do_not_rise_are_refused(unit, amounts):
    with pytest.raises(UserError, match=r"active_learning\.budgets .*rise"):
        budgets(ActiveLearning(budgets=amounts, budget_unit=unit))


def test_given_budgets_keep_their_unit_and_percent_ends_at_100():
    for unit in UNITS:
        assert budgets(ActiveLearning(budgets=(1.5, 100), budget_unit=unit)) == [
            (1.5, unit),
            (100, unit),
        ]
    with pytest.raises(UserError, match="more than 100 percent"):
        budgets(ActiveLearning(budgets=(5, 100.5)))
    assert budgets(ActiveLearning(budgets=(5, 200), budget_unit="images"))[-1] == (200, "images")
    with pytest.raises(UserError, match=r"active_learning\.max_percentage 3: is less"):
        budgets(stepped(5, 5, 3))


@LAWS
@given(pool=st.integers(1, 300), percent=st.floats(0.01, 100))
def test_a_percentage_buys_the_nearest_number_of_images_but_at_least_one(pool, percent):
    target, images = (percent, "percent"), max(1, math.floor(percent * pool / 100 + 0.5))
    assert images <= pool
    assert reached(target, oracle_with([1] * images), pool)
    assert not reached(target, oracle_with([1] * (images - 1)), pool)


@LAWS
@given(
    prices=st.lists(st.integers(1, 400), max_size=12),
    pool=st.integers(12, 50),
    amount=st.integers(1, 3000),
)
def test_the_units_agree(prices, pool, amount):
    oracle = oracle_with(prices)
    assert spent("images", oracle, pool) == len(prices) and spent("seconds", oracle, pool) == sum(
        prices
    )
    assert reached((amount, "images"), oracle, pool) == (len(prices) >= amount)
    assert reached((amount, "seconds"), oracle, pool) == (sum(prices) >= amount)
    assert reached((amount / 3600, "hours"), oracle, pool) == reached(
        (amount, "seconds"), oracle, pool
    )
    assert spent("percent", oracle, pool) == pytest.approx(100 * len(prices) / pool)
    if 1 <= amount <= pool:
        share = (100 * amount / pool, "percent")
        assert reached(share, oracle, pool) == reached((amount, "images"), oracle, pool)


@LAWS
@given(
    bought=st.integers(0, 8),
    price=st.integers(1, 400),
    pool=st.integers(30, 60),
    unit=st.sampled_from(UNITS),
    more=st.floats(0.05, 20),
)
def test_images_left_is_what_the_budget_still_buys_at_a_constant_price(
    bought, price, pool, unit, more
):
    price = price if bought else 79 + 1.5  # a mask and a look
    each = {"percent": 100 / pool, "images": 1, "seconds": price, "hours": price / 3600}[unit]
    target = ((bought + more) * each, unit)
    left = images_left(target, oracle_with([price] * bought), pool)
    assert left >= 1
    assert reached(target, oracle_with([price] * (bought + left + 1)), pool)
    assert left == 1 or not reached(target, oracle_with([price] * (bought + left - 2)), pool)


@LAWS
@given(
    prices=st.lists(st.integers(1, 400), max_size=12),
    unit=st.sampled_from(UNITS),
    pool=st.integers(12, 60),
    before=st.integers(1, 40),
    rise=st.integers(1, 60),
    share=st.sampled_from([0, 0.25, 0.5, 0.75, 1]),
)
def test_a_budget_between_two_is_reached_between_them(prices, unit, pool, before, rise, share):
    first, last = (before, unit), (before + rise, unit)
    middle = between(first, last, share)
    assert middle == (before + share * rise, unit)
    oracle = oracle_with(prices)
    order = [reached(target, oracle, pool) for target in (first, middle, last)]
    assert order == sorted(order, reverse=True)
    assert (
        images_left(first, oracle, pool)
        <= images_left(middle, oracle, pool)
        <= images_left(last, oracle, pool)
    )


def test_the_annotator_clicks_as_the_config_says():
    options = annotator(
        Config(
            active_learning=ActiveLearning(
                points_per_object=3, background_points=2, pixels_per_image=7
            )
        )
    )
    assert (options.points_per_object, options.background_points, options.noise) == (3, 2, 0.0)
    assert options.pixels_per_image == 7
    assert annotator(Config()).pixels_per_image == Options().pixels_per_image


def test_no_more_rounds_than_anyone_waits_for():
    tiny = ActiveLearning(initial_percentage=1, increment_percentage=1e-300)
    with pytest.raises(UserError, match=r"increment_percentage 1e-300: .*raise it"):
        budgets(tiny)
