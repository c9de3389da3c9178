"""Budgets: how much may be bought before each round, in images or in a person's time."""

import math

from weakseg.labels.signals import image_seconds
from weakseg.planning.oracle import Oracle

Budget = tuple[float, str]  # (amount, unit): percent of the pool, images, seconds or hours


def spent(unit: str, oracle: Oracle, pool: int) -> float:
    """Return what the oracle's labels are in a unit.

    unit: "percent" of a pool of `pool` images, "images", "seconds" or "hours"
    """
    seconds = oracle.seconds
    return {
        "percent": 100 * len(oracle.labels) / pool,
        "images": len(oracle.labels),
        "seconds": seconds,
        "hours": seconds / 3600,
    }[unit]


def reached(target: Budget, oracle: Oracle, pool: int) -> bool:
    """Return whether a budget is used up; the last label may exceed it.

    What a label costs is known once it is made. A percentage is rounded to whole images, but never
    to none.
    """
    amount, unit = target
    if unit == "percent":
        return len(oracle.labels) >= max(1, math.floor(amount * pool / 100 + 0.5))
    return spent(unit, oracle, pool) >= amount


def between(before: Budget, after: Budget, share: float) -> Budget:
    """Return the budget that lies `share` of the way between two."""
    return before[0] + share * (after[0] - before[0]), after[1]


def images_left(target: Budget, oracle: Oracle, pool: int) -> int:
    """Return about how many images a budget still buys, at least 1.

    An image costs what the labels so far cost on average; before the first one, what a mask costs.
    """
    amount, unit = target
    left = amount - spent(unit, oracle, pool)
    if oracle.labels:
        seconds = oracle.seconds / len(oracle.labels)
    else:
        seconds = image_seconds({"full": {"objects": 1}}, ("full",), classes=1)
    price = {"percent": 100 / pool, "images": 1, "seconds": seconds, "hours": seconds / 3600}[unit]
    return max(1, math.ceil(left / max(price, 1e-9)))
