"""Prices of one's own: what labels take the people of a store, as a schedule of seconds.

The model. A price is the mean of an act's seconds. People differ from the published price p of an
act by a log-normal factor: log price ~ N(log p, `PEOPLE`^2), so two in three lie within a factor of
two of it. The mean m of n stretches of time that hold the same acts has the log-normal error
log m ~ N(log sum(count * price), v / n). v is the variance of one stretch over the square of its
mean: exp(s^2) - 1, where s^2 is that of the logarithms of their seconds, and more where those of
one picture are alike; `USUAL` counts beside it as if from `BELIEF` pictures. The prices are those
of the greatest posterior, with its curvature as their interval.

So an act that always stands alone has log price = (log p / PEOPLE^2 + n log m / v) / (1 / PEOPLE^2
+ n / v): the published price without any time, the mean of one's own where there is much. Acts that
come together, such as the first answer about a picture and the look at it, are told apart by the
others that come alone.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from weakseg.labels.clock import CLOCKS, Seconds
from weakseg.labels.costs import DEFAULT, Schedule, load_schedule
from weakseg.labels.timings import ABSENT, Act, Stretch

ODD = 60  # times the published price that a median is no person's
PEOPLE = math.log(2)  # deviation of the logarithm of people's prices round the published one
USUAL, BELIEF = 0.5, 4  # relative variance of one stretch, and pictures that it counts as
NORMAL = 1.96  # deviations either side that hold 95 %
SEARCHED = "bearman2016"  # the schedule whose annotators looked for absent classes
STEPS = 100  # of the search for the posterior's top
LEAST = 1e-3  # seconds


@dataclass(frozen=True)
class Interval:
    """A value and the 95 % interval round it, in seconds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class OwnPrice:
    """The price of an act.

    published  its price in the schedule that others made
    number     of stretches that it was measured by
    median     seconds of these, what else they hold taken off
    mean       the same
    by_clock   means {clock: seconds}
    price      what the schedule has: the mean, towards the published price where there are few
    """

    act: Act
    published: float
    number: int
    price: Interval
    median: float
    mean: Interval
    by_clock: Seconds


@dataclass(frozen=True)
class Group:
    """Stretches that hold the same acts: means of their counts and of their seconds.

    variance: relative, of one stretch
    """

    counts: Mapping[Act, float]
    mean: float
    number: int
    variance: float


def own_prices(
    stretches: Sequence[Stretch], published: Schedule, clock: str
) -> dict[Act, OwnPrice]:
    """Return the prices of all acts that took time; published: in seconds; clock: of `CLOCKS`."""
    groups = grouped(stretches, clock)
    acts = sorted({act for group in groups for act in group.counts})
    start = {act: positive_price(act, published) for act in acts}
    fitted = fit(groups, start)
    known = {act: price.value for act, price in fitted.items()}
    return {
        act: measured(act, published_price(act, published), fitted[act], stretches, known, clock)
        for act in acts
    }


def published_price(act: Act, schedule: Schedule) -> float:
    """Return the price of an act in a schedule, or else in the usual one.

    Of the search for absent classes it is that of outlines, as of all kinds but tags.
    """
    signal, action = ("outlines", "absent") if act == ABSENT else act
    for prices in (schedule.prices, load_schedule(DEFAULT).prices):
        if action in prices.get(signal, {}):
            return prices[signal][action]
    return 0.0


def positive_price(act: Act, schedule: Schedule) -> float:
    """Return the price that one's own is drawn to.

    A price of 0 says that nobody is charged, not that it takes no time.
    """
    for one in (schedule, load_schedule(DEFAULT), load_schedule(SEARCHED)):
        price = published_price(act, one)
        if price > 0:
            return price
    return 1.0


def grouped(stretches: Sequence[Stretch], clock: str) -> list[Group]:
    """Return the groups of stretches that hold the same acts, however often."""
    alike: dict[tuple[Act, ...], list[Stretch]] = {}
    for one in stretches:
        alike.setdefault(tuple(sorted(one.acts)), []).append(one)
    return [group_of(acts, some, clock) for acts, some in sorted(alike.items())]


def group_of(acts: Sequence[Act], some: Sequence[Stretch], clock: str) -> Group:
    """Return a group of stretches."""
    seconds = [max(one.seconds[clock], LEAST) for one in some]
    counts = {act: statistics.mean(one.acts[act] for one in some) for act in acts}
    mean, number = statistics.mean(seconds), len(some)
    gaps = [took - mean for took in seconds]
    apart, own = together(some, gaps)
    alone = number / max(number - 1, 1) * sum(gap**2 for gap in gaps)
    linked = max(1.0, apart / alone) if alone else 1.0
    relative = math.expm1(statistics.variance(map(math.log, seconds))) if number > 1 else 0.0
    variance = (BELIEF * USUAL + own * linked * relative) / (BELIEF + own)
    return Group(counts, mean, number, variance)


def together(some: Sequence[Stretch], gaps: Sequence[float]) -> tuple[float, int]:
    """Return (variance of the sum of gaps from a mean, pictures that tell it but for one).

    Those of one picture vary together. Of one picture alone it is 0.
    """
    sums: dict[str, float] = {}
    for one, gap in zip(some, gaps, strict=True):
        sums[one.visit] = sums.get(one.visit, 0.0) + gap
    free = len(sums) - 1
    return (free + 1) / max(free, 1) * sum(gap**2 for gap in sums.values()), free


def fit(groups: Sequence[Group], start: Mapping[Act, float]) -> dict[Act, Interval]:
    """Return the prices of the greatest posterior; start: {act: price that they are drawn to}."""
    if not groups:
        return {}
    acts = [*start]
    counts = np.array([[group.counts.get(act, 0.0) for act in acts] for group in groups])
    means = np.array([group.mean for group in groups])
    weights = np.array([group.number / group.variance for group in groups])
    prior, at = np.array([start[act] for act in acts]), np.zeros(len(acts))
    # Gauss-Newton on logarithms, with steps that are halved until the posterior rises.
    for _ in range(STEPS):
        parts = counts * (prior * np.exp(at))
        slopes = parts / parts.sum(1, keepdims=True)
        gaps = np.log(means) - np.log(parts.sum(1))
        curvature = (slopes.T * weights) @ slopes + np.eye(len(acts)) / PEOPLE**2
        step = np.linalg.solve(curvature, slopes.T @ (weights * gaps) - at / PEOPLE**2)
        lost = misfit(at, counts * prior, means, weights)
        while misfit(at + step, counts * prior, means, weights) > lost and abs(step).max() > 1e-9:
            step = step / 2
        at = at + step
        if abs(step).max() < 1e-9:
            break
    spread = NORMAL * np.sqrt(np.diag(np.linalg.inv(curvature)))
    values = prior * np.exp(at)
    low, high = values * np.exp(-spread), values * np.exp(spread)
    rows = np.stack([values, low, high], 1).tolist()
    return {act: Interval(*row) for act, row in zip(acts, rows, strict=True)}


def misfit(at: np.ndarray, scale: np.ndarray, means: np.ndarray, weights: np.ndarray) -> float:
    """Return minus twice the logarithm of the posterior.

    at [A]: logarithms of prices over the published ones; scale [G, A]: counts times these
    """
    gaps = np.log(means) - np.log((scale * np.exp(at)).sum(1))
    return float((weights * gaps**2).sum() + (at**2).sum() / PEOPLE**2)


def measured(
    act: Act,
    published: float,
    price: Interval,
    stretches: Sequence[Stretch],
    prices: Mapping[Act, float],
    clock: str,
) -> OwnPrice:
    """Return the price of an act with the person's own seconds.

    They are those of the stretches in which it stands alone; if there are none, those of all that
    hold it, without what else they hold by its price.
    """
    with_it = [one for one in stretches if one.acts.get(act)]
    some = [one for one in with_it if len(one.acts) == 1] or with_it
    counts = [one.acts[act] for one in some]
    rests = [sum(n * prices[key] for key, n in one.acts.items() if key != act) for one in some]

    def own(by: str) -> list[float]:
        return [one.seconds[by] - rest for one, rest in zip(some, rests, strict=True)]

    seconds, whole = own(clock), sum(counts)
    mean = sum(seconds) / whole
    gaps = [took - mean * count for took, count in zip(seconds, counts, strict=True)]
    apart, free = together(some, gaps)
    return OwnPrice(
        act,
        published,
        len(some),
        price,
        statistics.median(took / count for took, count in zip(seconds, counts, strict=True)),
        around(mean, math.sqrt(apart) / whole) if free else Interval(mean, 0.0, math.inf),
        {by: sum(own(by)) / whole for by in CLOCKS},
    )


def around(mean: float, deviation: float) -> Interval:
    """Return the interval of a mean, by its logarithm where it has one."""
    if mean <= 0:
        return Interval(mean, mean - NORMAL * deviation, mean + NORMAL * deviation)
    factor = math.exp(min(NORMAL * deviation / mean, 50.0))
    return Interval(mean, mean / factor, mean * factor)


# ---- of a store


@dataclass(frozen=True)
class Measured:
    """What the people of a store need, {act: price}.

    seen   of what was done with a prediction in view, where that is kept apart
    apart  number of stretches of that kind
    """

    own: Mapping[Act, OwnPrice]
    seen: Mapping[Act, OwnPrice]
    apart: int


def odd_times(own: Mapping[Act, OwnPrice]) -> list[str]:
    """Return a line where people seem to take far longer than anybody does, with the way out."""
    odd = [one for one in own.values() if one.median > ODD * one.published > 0]
    if not odd:
        return []
    first = odd[0]
    return [
        f"{len(odd)} of {len(own)} acts take over {ODD} times as long as is published, the first "
        f"{first.median:.0f} s and not {first.published:.1f} s; where times are milliseconds, "
        "write seconds"
    ]


def measured_prices(
    stretches: Sequence[Stretch], published: Schedule, clock: str, with_predictions: bool = False
) -> Measured:
    """Return the prices; with_predictions: what was done with one in view counts as the rest."""
    apart = [] if with_predictions else [one for one in stretches if one.is_seen]
    rest = stretches if with_predictions else [one for one in stretches if not one.is_seen]
    own, seen = (own_prices(some, published, clock) for some in (rest, apart))
    return Measured(own, seen, len(apart))
