"""Budgets: how much may be bought before each round, in images or in a person's time."""

import math

from annotators import Options
from common import UserError
from supervision import SIGNALS
from vlm_itl.config import ActiveLearning


def budgets(settings):
    """Return the rising budgets [(amount, unit), ...] of the config's section `active_learning`, one a round."""
    if not settings.budgets:
        return [(percent, "percent") for percent in percentages(settings)]
    for before, after in zip((0.0, *settings.budgets), settings.budgets, strict=False):
        if after <= before:
            raise UserError(f"active_learning.budgets {list(settings.budgets)}: must rise from one round to the next")
    if settings.budget_unit == "percent" and settings.budgets[-1] > 100:
        raise UserError(f"active_learning.budgets {list(settings.budgets)}: more than 100 percent")
    return [(amount, settings.budget_unit) for amount in settings.budgets]


def percentages(settings):
    """Return initial_percentage, then steps of increment_percentage, up to max_percentage."""
    first, step, last = settings.initial_percentage, settings.increment_percentage, settings.max_percentage
    if last < first:
        raise UserError(f"active_learning.max_percentage {last:g}: is less than initial_percentage {first:g}")
    rounds = math.floor((last - first) / step + 1e-9) + 1
    found = [first + step * number for number in range(rounds)]
    return found if last - found[-1] < 1e-6 else [*found, last]


def spent(unit, oracle, pool):
    """Return what the oracle's labels are in a unit: percent of a pool of `pool` images, images, seconds or hours."""
    seconds = oracle.seconds
    return {
        "percent": 100 * len(oracle.labels) / pool,
        "images": len(oracle.labels),
        "seconds": seconds,
        "hours": seconds / 3600,
    }[unit]


def reached(target, oracle, pool):
    """Whether a budget (amount, unit) is used up. What a label costs is known once it is made: the last may pass it.

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
    """Return about how many images a budget still buys, at the mean price so far or that of a mask; at least 1."""
    amount, unit = target
    left = amount - spent(unit, oracle, pool)
    each = oracle.seconds / len(oracle.labels) if oracle.labels else SIGNALS["full"].seconds({"objects": 1})
    price = {"percent": 100 / pool, "images": 1, "seconds": each, "hours": each / 3600}[unit]
    return max(1, math.ceil(left / max(price, 1e-9)))


def annotator(settings):
    """Return the `annotators.Options` of a config."""
    section: ActiveLearning = settings.active_learning
    return Options(points_per_object=section.points_per_object, background_points=section.background_points)
