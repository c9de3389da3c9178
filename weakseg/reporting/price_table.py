"""The table of one's own prices: how often something was done, how long it took, what it costs."""

import math
from collections.abc import Iterable

from weakseg.labels.clock import CLOCKS, WALL
from weakseg.labels.costs import LOOK
from weakseg.labels.own_prices import Interval, OwnPrice
from weakseg.labels.timings import ABSENT, ACCEPTED, CORRECTION, Act
from weakseg.reporting.tables import markdown

WORDS = {
    (LOOK, "image"): "look at a picture",
    ("pixels", "answer"): "answer",
    ("pixels", "answer_of_many"): "answer, more than ten classes",
    ("points", "first_point"): "first click on a class",
    ("points", "further_point"): "further click",
    ("scribbles", "stroke"): "stroke",
    ("boxes", "box"): "box",
    ("outlines", "outline"): "outline",
    ("full", "object"): "mask of an object",
    ("tags", "present"): "tag, there",
    ("tags", "absent"): "tag, not there",
    ABSENT: "class searched for, not there",
    ACCEPTED: "accepted mask of the model",
    CORRECTION: "stroke that corrects an accepted mask",
}


def price_table(own: Iterable[OwnPrice], seen: Iterable[OwnPrice] = ()) -> str:
    """Return a Markdown table of prices in seconds; see `price_rows`."""
    head, *rows = price_rows(own, seen)
    return markdown(head, rows)


def price_rows(own: Iterable[OwnPrice], seen: Iterable[OwnPrice] = ()) -> list[list[str]]:
    """Return the rows of a table of prices in seconds, the head first.

    seen: what was done with a prediction in view, which the prices don't count
    """
    head = ["seconds for", "n", "price", "95 %", "published", "median", "mean", "95 %"]
    head += [WALL, *(f"cap {cap}" for cap in CLOCKS if cap != WALL)]
    rows = [
        [words(one.act), str(one.number), *shown(one.price), f"{one.published:g}", *measured(one)]
        for one in ordered(own)
    ]
    rows += [
        [f"{words(one.act)}, a prediction in view", str(one.number), "-", "-", "-", *measured(one)]
        for one in ordered(seen)
    ]
    return [head, *rows]


def ordered(prices: Iterable[OwnPrice]) -> list[OwnPrice]:
    """Return prices in the order of the table."""
    places: dict[Act, int] = {act: place for place, act in enumerate(WORDS)}
    return sorted(prices, key=lambda one: places.get(one.act, len(places)))


def words(act: Act) -> str:
    """Return what an act is called."""
    return WORDS.get(act, ": ".join(act))


def measured(one: OwnPrice) -> list[str]:
    """Return the cells of what was measured."""
    clocks = [f"{one.by_clock[clock]:.2f}" for clock in CLOCKS]
    return [f"{one.median:.2f}", *shown(one.mean), *clocks]


def shown(value: Interval) -> list[str]:
    """Return the cells of a value and its interval; of one picture nobody knows any."""
    known = math.isfinite(value.high)
    return [f"{value.value:.2f}", f"{value.low:.2f} to {value.high:.2f}" if known else "-"]
