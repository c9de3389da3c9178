"""The simulated person who is asked which class a pixel has: they can't always tell, and they err.

One rule for generator, loop and study. Near a border people can't tell, or name the class across
it; far from one they slip now and then. Distances are in original pixels, so that small pictures
are hard ones.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from weakseg.common import IGNORE, UserError, stable_seed

BLURRED = 1.5  # pixels: as far from a border the chance of "can't tell" falls to 1 / e
NEAR, BORDER = 3.0, 0.25  # pixels, and the chance of an error, on the border itself
SLIP = 0.02  # chance of an error anywhere


@dataclass(frozen=True)
class Faults:
    """Factors on how often a person fails: 1 is the usual person, 0 never, 2 twice as often.

    cannot_tell   says that they can't tell; in void they always do
    border        takes a pixel near a border for one of the other side
    slip          presses the wrong key
    """

    cannot_tell: float = 1.0
    border: float = 1.0
    slip: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            factor = getattr(self, field.name)
            if not 0 <= factor < math.inf:
                raise ValueError(f"{field.name}: must be a number from 0, not {factor}")


USUAL = Faults()


def add_faults_argument(group: argparse._ArgumentGroup) -> None:
    """Add --faults, the factors that `faults_of` takes."""
    group.add_argument(
        "--faults",
        type=float,
        nargs="+",
        default=[1.0],
        metavar="FACTOR",
        help="how often that person fails: 1 as people do, 0 never; or three factors, of can't "
        "tell, of errors at borders and of slips (default: 1)",
    )


def faults_of(factors: Sequence[float], flag: str) -> Faults:
    """Return the `Faults` that a flag gives: one factor for all, or one for each.

    Raises `UserError` for other numbers, naming the flag.
    """
    names = [field.name for field in fields(Faults)]
    if len(factors) not in (1, len(names)):
        raise UserError(
            f"{flag}: takes one factor, or {len(names)}: {', '.join(names)}; got {len(factors)}"
        )
    try:
        return Faults(*(factors if len(factors) > 1 else [*factors] * len(names)))
    except ValueError as error:
        raise UserError(f"{flag}: {error}") from error


def whole(mask: np.ndarray) -> np.ndarray:
    """Return a mask [H, W] uint8 whose void, 255, has the nearest class; all void stays void."""
    void = mask == IGNORE
    if not void.any() or void.all():
        return mask
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(void, return_distances=False, return_indices=True)
    return mask[rows, columns]


def across(filled: np.ndarray, place: tuple[float, float]) -> tuple[float, int]:
    """Return (distance, class) of the nearest pixel that is of another class than a place's own.

    filled: [H, W] of `whole`. The distance is exact, to the pixel's square, in pixels; where there
    is no other class it is infinite, and the class 255.
    """
    x, y = place
    other = filled != filled[int(y), int(x)]
    if not other.any():
        return math.inf, IGNORE
    to_column, to_row = (
        np.maximum(np.abs(np.arange(length) + 0.5 - at) - 0.5, 0) ** 2
        for at, length in ((x, filled.shape[1]), (y, filled.shape[0]))
    )
    squares = np.where(other, to_row[:, None] + to_column, np.inf)
    nearest = int(squares.argmin())
    return math.sqrt(squares.flat[nearest]), int(filled.flat[nearest])


class Person:
    """Names the class under a place, as a person with a person's faults would.

    An answer depends on the seed, the picture's name and the pixel alone, not on what was asked
    before. Asked again, a person can't tell or errs at a border as before, but slips anew.
    """

    def __init__(self, seed: int, faults: Faults = USUAL, *, num_classes: int) -> None:
        self.seed, self.faults, self.num_classes = seed, faults, num_classes

    def answer(
        self,
        name: str,
        mask: np.ndarray,
        place: tuple[float, float],
        times: int = 0,
        filled: np.ndarray | None = None,
    ) -> int:
        """Return the class under a place (x, y) of a picture, 255 where the person can't tell.

        mask: [H, W] uint8 classes, 255 = void
        times: how often this pixel was asked before
        filled: `whole(mask)`, where it is at hand
        """
        column, row = int(place[0]), int(place[1])
        truth = int(mask[row, column])
        if truth == IGNORE:
            return IGNORE
        distance, other = across(whole(mask) if filled is None else filled, place)
        cannot_tell, border, slip = self.chances(distance)
        pixel = (name, column, row)
        if self.draw("cannot tell", *pixel) < cannot_tell:
            return IGNORE
        errs = self.draw("border", *pixel) < border
        # Of those who did not err so many slip that errors and slips add up to their chances.
        slips = self.draw("slip", *pixel, times) * (1 - border) < slip
        return self.another(truth, other, *pixel, times) if errs or slips else truth

    def chances(self, distance: float) -> tuple[float, float, float]:
        """Return the chances of can't tell, and of an error and a slip of those who can tell.

        distance: to the nearest pixel of another class, original pixels
        """
        cannot_tell = min(1.0, self.faults.cannot_tell * math.exp(-distance / BLURRED))
        border = min(1.0, self.faults.border * BORDER * math.exp(-distance / NEAR))
        return cannot_tell, border, min(1 - border, self.faults.slip * SLIP)

    def another(self, truth: int, other: int, *question: object) -> int:
        """Return the wrong class: the one across the border, or any where there is no border."""
        if other != IGNORE:
            return other
        if self.num_classes < 2:
            return truth
        return (truth + 1 + stable_seed(self.seed, "class", *question) % (self.num_classes - 1)) % (
            self.num_classes
        )

    def draw(self, *question: object) -> float:
        """Return a number from [0, 1) that depends on the seed and the question alone."""
        return stable_seed(self.seed, *question) / 2**63
