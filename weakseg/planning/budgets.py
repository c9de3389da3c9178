"""Budgets: how much may be bought before each round, in images or in a person's time."""

import math

from weakseg.labels.signals import SIGNALS


def spent(unit, oracle, pool):
    """Return what the oracle's labels are in a unit: percent of a pool of `pool` images, images,
    seconds or hours.
    """
    seconds = oracle.seconds
    return {
        "percent": 100 * len(oracle.labels) / pool,
        "images": len(oracle.labels),
        "seconds": seconds,
        "hours": seconds / 3600,
    }[unit]


def reached(target, oracle, pool):
    """Whether a budget (amount, unit) is used up. What a label costs is known once it is made: the
    last may pass it.

    A percentage is rounded to whole images, but never to none.
    """
    amount, unit = target
    if unit == "percent":
        return len(oracle.labels) >= max(1, math.floor(amount * pool / 100 + 0.5))
    return spent(unit, oracle, pool) >= amount


def between(before, after, share):
    """Return the budget that lies `share` of the way between two."""
    return before[0] + share * (after[0] - before[0]), after[1]


def images_left(target, oracle, pool):
    """Return about how many images a budget still buys, at the mean price so far or that of a mask;
    at least 1.
    """
    amount, unit = target
    left = amount - spent(unit, oracle, pool)
    each = (
        oracle.seconds / len(oracle.labels)
        if oracle.labels
        else SIGNALS["full"].seconds({"objects": 1})
    )
    price = {"percent": 100 / pool, "images": 1, "seconds": each, "hours": each / 3600}[unit]
    return max(1, math.ceil(left / max(price, 1e-9)))
