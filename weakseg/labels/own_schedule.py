"""One's own prices as a price schedule, which `--cost_schedule` takes."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from weakseg.common import atomic_path
from weakseg.labels.costs import DEFAULT, Schedule, load_schedule
from weakseg.labels.own_prices import OwnPrice, published_price
from weakseg.labels.timings import ABSENT, Act


def own_schedule(own: Mapping[Act, OwnPrice], published: Schedule) -> dict[str, Any]:
    """Return a schedule as a file holds it: own prices, and published ones of what nobody timed.

    The search for absent classes counts for all kinds but tags, whose purpose it is, and pixels.
    """
    table: dict[str, Any] = {"unit": "seconds"}
    for signal, prices in load_schedule(DEFAULT).prices.items():
        table[signal] = {}
        sources = []
        for action in prices:
            key = (signal, action)
            is_search = action == "absent" and signal not in ("tags", "pixels")
            one = own.get(ABSENT if is_search else key)
            price = one.price.value if one else published_price(key, published)
            table[signal][action] = round(price, 3)
            if one:
                sources.append(f"{action}: {words(one)}")
        told = sources or [f"{published.name}, nobody timed it here"]
        table[signal]["source"] = "; ".join(told)
    return table


def write_schedule(path: Path, own: Mapping[Act, OwnPrice], published: Schedule) -> None:
    """Write a schedule of one's own prices as a YAML file, atomically."""
    text = yaml.safe_dump(own_schedule(own, published), sort_keys=False, width=100)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def words(one: OwnPrice) -> str:
    """Return what a price is made of, in words."""
    low, high = one.price.low, one.price.high
    own = f"own n {one.number}, median {one.median:.2f}, mean {one.mean.value:.2f}"
    if math.isfinite(one.mean.high):
        own += f" ({one.mean.low:.2f} to {one.mean.high:.2f})"
    return f"{own}, towards {one.published:g}: {one.price.value:.2f} ({low:.2f} to {high:.2f})"
