"""Mixes of labels in an equal-budget study: shares of the hours for each kind of label.

Images are labelled one after the other in the study's random order, each with the kind that is
furthest behind its share of the hours so far. So what a smaller budget buys is part of what a
larger one buys, and hours are shared as asked to within one image of each kind. Once every image
has a label, images get a second kind in the same order, for what that step costs on top.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from weakseg.common import UserError
from weakseg.labels.signals import parse_modes

Mix = Mapping[str, float]  # {kind of label: its share of the hours}


@dataclass(frozen=True)
class Purchase:
    """One label of one image, and the hours that all so far have taken with it."""

    image: str
    signal: str
    spent: float


def parse_mix(word: str) -> dict[str, float]:
    """Turn 'full:0.25 boxes:0.75' into {kind: share of the hours}; else raise `UserError`."""
    mix: dict[str, float] = {}
    for part in word.split():
        match = re.fullmatch(r"(\w+):(\d+\.?\d*|\.\d+)", part)
        if not match or not float(match[2]):
            raise UserError(f"--mix {word}: {part} is not KIND:SHARE, such as full:0.25")
        for signal in parse_modes([match[1]]):
            if signal in mix:
                raise UserError(f"--mix {word}: names {signal} twice; give it one share")
            mix[signal] = float(match[2])
    if len(mix) < 2 or abs(sum(mix.values()) - 1) > 1e-6:
        raise UserError(f"--mix {word}: needs two kinds or more, whose shares add up to 1")
    return {signal: mix[signal] for signal in parse_modes(mix)}


def name_mix(mix: Mix) -> str:
    """Return a mix's name in tables: '25 % full + 75 % boxes'."""
    return " + ".join(f"{100 * share:g} % {signal}" for signal, share in mix.items())


def purchases(
    mix: Mix, order: Sequence[str], price: Callable[[str, Sequence[str]], float]
) -> list[Purchase]:
    """Return what is bought one after the other, until no image lacks the kind that is behind.

    order: ids of the images; price: (id, kinds of label) -> seconds of all of them together
    """
    bought: list[Purchase] = []
    kinds: dict[str, tuple[str, ...]] = dict.fromkeys(order, ())
    hours, total = dict.fromkeys(mix, 0.0), 0.0
    fresh = iter(order)
    again = {signal: iter(order) for signal in mix}
    while True:
        signal = min(mix, key=lambda one: hours[one] / mix[one])
        image = next(fresh, None)
        if image is None:
            image = next((name for name in again[signal] if signal not in kinds[name]), None)
        if image is None:
            return bought
        before, kinds[image] = kinds[image], (*kinds[image], signal)
        step = price(image, kinds[image]) - (price(image, before) if before else 0.0)
        hours[signal] += step / 3600
        total += step / 3600
        bought.append(Purchase(image, signal, total))


def kinds_bought(bought: Sequence[Purchase]) -> dict[str, list[str]]:
    """Return {id: kinds of label} of the images that have any, in the order of their first."""
    kinds: dict[str, list[str]] = {}
    for one in bought:
        kinds.setdefault(one.image, []).append(one.signal)
    return kinds
