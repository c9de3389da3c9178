"""What labels cost: counted actions of annotators, priced by a schedule.

Counts are {signal: {action: number}}. They know nothing of prices, so that labels can be priced by
another schedule without training anew. `costs.yaml` holds the schedules that come with the code.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator
from pydantic_core import PydanticCustomError

from weakseg.common import UserError, suggestion
from weakseg.plain_yaml import read_plain_yaml
from weakseg.validation import first_fault

FILE = Path(__file__).with_name("costs.yaml")
DEFAULT, RELATIVE = "extreme_clicking", "relative"
LOOK = "look"  # what stands among the signals for the look at a picture
Unit = Literal["seconds", "relative"]
UNITS: tuple[str, ...] = get_args(Unit)

Counts = Mapping[str, Mapping[str, int]]  # {signal: {action: number}}
Price = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Schedule:
    """Prices {signal: {action: price}} in one unit; a signal that is missing has no price.

    `LOOK` may stand among the signals: each labelled picture costs it once, whatever its labels.
    """

    name: str
    unit: str
    prices: dict[str, dict[str, float]]

    def price(self, signal: str, actions: Mapping[str, int]) -> float:
        """Return what the actions {action: number} of a signal cost.

        An action without a price is free. Raises KeyError if the whole signal has none.
        """
        prices = self.prices[signal]
        return sum(prices.get(action, 0.0) * number for action, number in actions.items())

    def price_all(self, counts: Counts, images: int = 1) -> dict[str, float] | None:
        """Return {signal: cost} of counts, None if one of the signals has no price.

        images: how many were labelled; what looking at them costs, if it costs anything, stands
        under `LOOK`
        """
        if counts.keys() - self.prices.keys():
            return None
        costs = {signal: self.price(signal, actions) for signal, actions in counts.items()}
        looks = self.price(LOOK, {"image": images}) if counts and LOOK in self.prices else 0.0
        return costs | {LOOK: looks} if looks else costs


# ---- schedules in YAML files


class SignalPrices(BaseModel):
    """The prices of one signal in a file: one for each action, or one for the image as a whole.

    `schedule_model` derives a model for each signal, whose further fields are its actions.
    """

    model_config = ConfigDict(extra="forbid")

    source: str = ""
    image: Price = 0.0

    @model_validator(mode="after")
    def price_every_action(self) -> Self:
        """Refuse prices of some actions only: the others would be free by mistake."""
        given = self.model_fields_set
        if "correction" in type(self).model_fields and not given & {"correction", "image"}:
            self.correction = self.object * correction_share()  # type: ignore[attr-defined]
        missing = [key for key in type(self).model_fields if key not in {*given, "source", "image"}]
        if missing and "image" not in given:
            raise PydanticCustomError(
                "no_price",
                "has no price for '{action}'; add it (0 leaves it out), or a price an 'image'",
                {"action": missing[0]},
            )
        return self


class ScheduleTable(BaseModel):
    """One schedule as a file holds it: its unit, and a table of prices for some of the signals.

    `schedule_model` derives the model whose further fields are the signals.
    """

    model_config = ConfigDict(extra="forbid")

    unit: Unit

    def prices(self) -> dict[str, dict[str, float]]:
        """Return {signal: {action: price}} of the signals that have prices."""
        return {
            signal: getattr(self, signal).model_dump(exclude={"source"}, exclude_unset=True)
            for signal in type(self).model_fields
            if signal in self.model_fields_set and signal != "unit"
        }

    @model_validator(mode="after")
    def price_something(self) -> Self:
        """Refuse a schedule without any price."""
        if not self.prices():
            signals = [key for key in type(self).model_fields if key != "unit"]
            words = f"has no price; write one of {', '.join(signals)}"
            raise PydanticCustomError("no_price", words)
        return self


@functools.cache
def correction_share() -> float:
    """Return what a stroke on an accepted mask costs, as a share of an object's outline.

    Schedules that price outlines may leave it out: they are older, or written by hand.
    """
    usual = read_yaml(FILE)[DEFAULT]["full"]
    return float(usual["correction"] / usual["object"])


@functools.cache
def schedule_model() -> type[ScheduleTable]:
    """Return the pydantic model of a schedule: the default one has all signals and actions."""
    tables: dict[str, Any] = {}
    for signal, prices in read_yaml(FILE)[DEFAULT].items():
        if signal != "unit":
            actions: dict[str, Any] = {key: (Price, 0.0) for key in prices if key != "source"}
            table = create_model(f"{signal.title()}Prices", __base__=SignalPrices, **actions)
            tables[signal] = (table, Field(default_factory=table.model_construct))
    return create_model("AnySchedule", __base__=ScheduleTable, **tables)


@functools.cache
def load_schedule(name: str = DEFAULT) -> Schedule:
    """Return the `Schedule` of a name in costs.yaml, or of a user's own YAML file.

    Raises `UserError` that names the file and the key if something is wrong with it.
    """
    built_in = read_yaml(FILE)
    if name in built_in:
        content, where = built_in[name], f"{FILE.name}: {name}"
    elif Path(name).is_file():
        content, where = read_yaml(name), str(name)
    else:
        raise UserError(
            f"schedule {name}: neither a file nor one of {', '.join(built_in)}"
            f"{suggestion(name, built_in, '; did you mean {}?')}"
        )
    try:
        table = schedule_model().model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {first_fault(error, schedule_model())}") from error
    return Schedule(str(name), table.unit, table.prices())


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the content of a YAML file that holds a table; anything else is a `UserError`."""
    try:
        content = read_plain_yaml(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable YAML file ({reason})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: must be a table of prices, as in {FILE.name}")
    return content


def schedule_in_seconds(name: str) -> Schedule:
    """Return the `Schedule` of a name or file; one that is not in seconds is a `UserError`."""
    schedule = load_schedule(name)
    if schedule.unit != "seconds":
        raise UserError(
            f"schedule {name}: is in {schedule.unit} units, but hours are needed; "
            "take one in seconds"
        )
    return schedule


def chosen_schedule(name: str | None, unit: str | None) -> Schedule:
    """Return the `Schedule` that --cost_schedule and --cost ask for.

    name: of a schedule or file, None for the default one of the unit
    unit: "seconds", "relative", or None for the schedule's own
    """
    schedule = load_schedule(name or (RELATIVE if unit == "relative" else DEFAULT))
    if unit and schedule.unit != unit:
        raise UserError(
            f"--cost_schedule {schedule.name}: is in {schedule.unit}; leave out --cost {unit}"
        )
    return schedule


def cost_band(name: str | None, schedule: Schedule) -> Schedule:
    """Return the second price schedule; cost plots draw a band between both.

    name: of a schedule or file in the same unit as `schedule`, None for `schedule` itself
    """
    band = load_schedule(name) if name else schedule
    if band.unit != schedule.unit:
        raise UserError(
            f"--cost_band {band.name}: is in {band.unit}, but the cost axis in {schedule.unit}"
        )
    return band


# ---- the cost of labels


def add_counts(images: Iterable[Counts]) -> dict[str, dict[str, int]]:
    """Return the sum {signal: {action: number}} over the counts of images."""
    total: dict[str, Counter[str]] = {}
    for counts in images:
        for signal, actions in counts.items():
            total.setdefault(signal, Counter()).update(actions)
    return {signal: dict(actions) for signal, actions in total.items()}


def price_labels(counts: Counts, images: int, schedule: Schedule | None = None) -> dict[str, Any]:
    """Return what the labels of `images` images cost, as a result file states it.

    {"images", "counts", "schedule", "seconds": {signal: s}, "relative": units an image, or None if
    a signal has no price in them}; the looks at images are in the seconds, as `price_all` says.
    `schedule` replaces the default one of its unit. Raises `UserError` if a signal has no price in
    seconds.
    """
    chosen = {"seconds": load_schedule(DEFAULT), "relative": load_schedule(RELATIVE)}
    if schedule:
        chosen[schedule.unit] = schedule
    in_seconds = chosen["seconds"]
    seconds = in_seconds.price_all(counts, images)
    if seconds is None:
        missing = min(counts.keys() - in_seconds.prices.keys())
        raise UserError(
            f"{in_seconds.name}: this schedule has no price for '{missing}', which is used; add it"
        )
    relative = chosen["relative"].price_all(counts, images)
    return {
        "images": images,
        "counts": counts,
        "schedule": in_seconds.name,
        "seconds": seconds,
        "relative": None if relative is None else sum(relative.values()) / max(images, 1),
    }


def hours(cost: Mapping[str, Any]) -> float:
    """Return the hours of labels, from a run's `cost` or `selection`."""
    return sum(cost["seconds"].values()) / 3600


def in_unit(cost: Mapping[str, Any], unit: str) -> float | None:
    """Return a run's `cost` in hours, or in relative units an image: None if a signal has none."""
    return cost["relative"] if unit == "relative" else hours(cost)
