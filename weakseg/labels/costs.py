"""What labels cost: counts of what annotators did, and the schedules of `costs.yaml` that price
them.

Counts are {signal: {action: number}} and know nothing of prices, so another schedule needs no new
training.
"""

import functools
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

from weakseg.common import UserError, suggestion

FILE = Path(__file__).with_name("costs.yaml")
DEFAULT, RELATIVE = "extreme_clicking", "relative"
UNITS = ("seconds", "relative")


@dataclass(frozen=True)
class Schedule:
    """Prices {signal: {action: price}} in a unit, `seconds` or `relative`; a signal that isn't
    there has no price.
    """

    name: str
    unit: str
    prices: dict

    def price(self, signal, actions):
        """Return what `actions` {action: number} of a signal cost; KeyError where the signal has no
        price.
        """
        prices = self.prices[signal]
        return sum(prices.get(action, 0.0) * number for action, number in actions.items())

    def price_all(self, counts):
        """Return {signal: cost} of counts, None where a signal has no price."""
        if counts.keys() - self.prices.keys():
            return None
        return {signal: self.price(signal, actions) for signal, actions in counts.items()}


@functools.cache
def load_schedule(name=DEFAULT):
    """Return the `Schedule` of a name in costs.yaml, or of a user's own YAML file; a mistake in it
    is a `UserError`.
    """
    known = read_yaml(FILE)
    if name in known:
        return parse_schedule(known[name], name, f"{FILE.name}: {name}", known[DEFAULT])
    if not Path(name).is_file():
        raise UserError(
            f"schedule {name}: neither a file nor one of {', '.join(known)}"
            f"{suggestion(name, known, '; did you mean {}?')}"
        )
    return parse_schedule(read_yaml(name), str(name), str(name), known[DEFAULT])


def read_yaml(path):
    """Read a YAML file that holds a table."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(
            f"{path}: not a readable YAML file ({' '.join(str(error).split())})"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: must be a table of prices, as in {FILE.name}")
    return content


def parse_schedule(content, name, where, pattern):
    """Check a schedule's table and return the `Schedule`.

    pattern: the default schedule's table, which has every signal and every action that there is
    """
    if not isinstance(content, dict):
        raise UserError(f"{where}: must be a table of prices, as in {FILE.name}")
    unit = content.get("unit")
    if unit not in UNITS:
        raise UserError(f"{where}: unit must be one of {', '.join(UNITS)}, not {unit!r}")
    refuse_unknown(content, pattern, where)
    prices = {
        signal: parse_prices(table, f"{where}: {signal}", pattern[signal])
        for signal, table in content.items()
        if signal != "unit"
    }
    if not prices:
        raise UserError(
            f"{where}: has no price; write one of {', '.join(key for key in pattern if key != 'unit')}"
        )
    return Schedule(name, unit, prices)


def parse_prices(table, where, pattern):
    """Return {action: price} of one signal."""
    if not isinstance(table, dict):
        raise UserError(f"{where}: must be a table of prices, not {table!r}")
    refuse_unknown(table, [*pattern, "image"], where)
    prices = {action: price for action, price in table.items() if action != "source"}
    for action, price in prices.items():
        if (
            isinstance(price, bool)
            or not isinstance(price, (int, float))
            or not math.isfinite(price)
        ):
            raise UserError(f"{where}.{action}: must be a number, not {price!r}")
        if price < 0:
            raise UserError(f"{where}.{action}: must not be negative, but is {price!r}")
    missing = [action for action in pattern if action not in prices and action != "source"]
    if missing and "image" not in prices:
        raise UserError(
            f"{where}: has no price for '{missing[0]}'; add it (0 leaves it out), or a price an 'image'"
        )
    return {action: float(price) for action, price in prices.items()}


def refuse_unknown(table, known, where):
    """Raise `UserError` at the first key of `table` that isn't known."""
    for key in table:
        if key not in known:
            raise UserError(
                f"{where}: unknown key '{key}'"
                f"{suggestion(key, known, '; did you mean {}?') or '; known: ' + ', '.join(known)}"
            )


def add_counts(images):
    """Return the sum {signal: {action: number}} over the counts of images."""
    total = {}
    for counts in images:
        for signal, actions in counts.items():
            total.setdefault(signal, Counter()).update(actions)
    return {signal: dict(actions) for signal, actions in total.items()}


def hours(cost):
    """Return the hours of the labels that a run's `cost` or `selection` describes."""
    return sum(cost["seconds"].values()) / 3600


def price_labels(counts, images, schedule=None):
    """Return what the labels of `images` images cost, for a result file.

    {"images", "counts", "schedule", "seconds": {signal: s}, "relative": units an image, or None
    where a signal has no price in them}. `schedule` replaces the default one of its unit;
    `UserError` where it prices no seconds of a signal.
    """
    chosen = {
        unit: load_schedule(name) for unit, name in zip(UNITS, (DEFAULT, RELATIVE), strict=True)
    }
    chosen |= {schedule.unit: schedule} if schedule else {}
    seconds = chosen["seconds"].price_all(counts)
    if seconds is None:
        missing, name = min(counts.keys() - chosen["seconds"].prices.keys()), chosen["seconds"].name
        raise UserError(
            f"{name}: this schedule has no price for '{missing}', which is used; add it"
        )
    relative = chosen["relative"].price_all(counts)
    return {
        "images": images,
        "counts": counts,
        "schedule": chosen["seconds"].name,
        "seconds": seconds,
        "relative": None if relative is None else sum(relative.values()) / max(images, 1),
    }


def in_unit(cost, unit):
    """Return a run's `cost` in hours, or in relative units an image: None where a signal has
    none.
    """
    return cost["relative"] if unit == "relative" else hours(cost)


def schedule_in_seconds(name):
    """Return the `Schedule` of a name or file; one that is not in seconds is a `UserError`."""
    schedule = load_schedule(name)
    if schedule.unit != "seconds":
        raise UserError(
            f"schedule {name}: is in {schedule.unit} units, but hours are needed; take one in seconds"
        )
    return schedule


def chosen_schedule(args):
    """Return the `Schedule` that --cost_schedule and --cost ask for."""
    schedule = load_schedule(
        args.cost_schedule or (RELATIVE if args.cost == "relative" else DEFAULT)
    )
    if args.cost and schedule.unit != args.cost:
        raise UserError(
            f"--cost_schedule {schedule.name}: is in {schedule.unit}; leave out --cost {args.cost}"
        )
    return schedule


def cost_band(args, schedule):
    """Return the `Schedule` that --cost_band names, else `schedule` itself; other units are a
    `UserError`.
    """
    band = load_schedule(args.cost_band) if args.cost_band else schedule
    if band.unit != schedule.unit:
        raise UserError(
            f"--cost_band {band.name}: is in {band.unit}, but the cost axis in {schedule.unit}"
        )
    return band
