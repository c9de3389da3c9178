"""How the photographs of a data set are read: which page and channels, and which greys they show.

A photograph of a camera needs none of this. A stack of a microscope or a satellite does: what is
shown of it is chosen once for the whole data set, and a run remembers it.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weakseg.common import UserError


@dataclass(frozen=True)
class Reading:
    """What is shown of each file, and how.

    page         number of the page, from 1; None where a file has one
    channels     numbers of the one or three channels, from 1; None where a file has one or three.
                 Where each page has one channel and no page is chosen, the pages are the channels.
    value_range  the values that are shown black and white, of pictures deeper than 8 bits; None
                 where nobody knows them yet
    """

    page: int | None = None
    channels: tuple[int, ...] | None = None
    value_range: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.page is not None and not is_number_from_1(self.page):
            raise UserError(f"--page {self.page}: must be a whole number, 1 or more")
        if self.channels is not None and not (
            len(self.channels) in (1, 3) and all(map(is_number_from_1, self.channels))
        ):
            shown = " ".join(map(str, self.channels))
            raise UserError(f"--channels {shown}: name one channel or three, counted from 1")
        if self.value_range is not None and not is_range(self.value_range):
            shown = " ".join(map(str, self.value_range))
            raise UserError(f"--value_range {shown}: write two numbers, the lower one first")

    @property
    def flags(self) -> list[str]:
        """The words of a command line that choose the same."""
        words: list[object] = ["--page", self.page] if self.page else []
        words += ["--channels", *self.channels] if self.channels else []
        words += ["--value_range", *self.value_range] if self.value_range else []
        return [str(word) for word in words]

    def page_of(self, count: int, where: object, channel: int | None = None) -> int:
        """Return the page to read, from 0, of a file that has `count`.

        where: the file, for messages; channel: number of the page that holds it, from 1
        """
        flag, number = ("--page", self.page) if channel is None else ("--channels", channel)
        if number is None and count > 1:
            raise UserError(f"{where}: has {count} pages; choose one with --page, from 1")
        if number is not None and number > count:
            pages = counted(count, "page")
            raise UserError(f"{where}: has {pages}, none is number {number}; mend {flag}")
        return (number or 1) - 1

    def channels_of(self, values: np.ndarray, colours: int, where: object) -> np.ndarray:
        """Return the channels to show, [H, W, 1 or 3], of values [H, W, C].

        colours: number of the first channels that are no transparency; where: the file
        """
        count = values.shape[2]
        if self.channels is None and colours not in (1, 3):
            raise UserError(
                f"{where}: has {colours} channels; choose one or three with --channels, from 1"
            )
        chosen = self.channels or range(1, colours + 1)
        if max(chosen) > count:
            raise UserError(
                f"{where}: has {counted(count, 'channel')}, none is number {max(chosen)}; mend "
                "--channels"
            )
        return values[..., [number - 1 for number in chosen]]

    def in_8_bits(self, values: np.ndarray, where: object) -> np.ndarray:
        """Return values as uint8; those of more bits are scaled by the range."""
        if values.dtype == np.uint8:
            return values
        if values.dtype.kind not in "uif":
            raise UserError(f"{where}: holds values of {values.dtype}; convert it to whole numbers")
        if self.value_range is None:
            raise UserError(
                f"{where}: is deeper than 8 bits, unlike the pictures to train on; say with "
                "--value_range which two values are black and white"
            )
        # What a TIFF says that it has no data for is -inf, and black.
        if values.dtype.kind == "f" and not (np.isfinite(values) | (values == -np.inf)).any():
            raise UserError(f"{where}: holds no number, only NaN or endless values; replace it")
        low, high = self.value_range
        exact = values.astype("float32" if values.itemsize <= 2 else "float64")
        share = (exact - low) / (high - low)
        return (255 * np.nan_to_num(share, nan=0).clip(0, 1) + 0.5).astype(np.uint8)

    @property
    def key(self) -> str:
        """A text that tells this reading from any other, empty for the usual one."""
        return "" if self == USUAL else repr(self)


USUAL = Reading()  # of a camera's photographs


def counted(count: int, word: str) -> str:
    """Return "1 page" or "2 pages"."""
    return f"{count} {word}{'s' * (count != 1)}"


def is_number_from_1(value: object) -> bool:
    """Return whether a value is a whole number, 1 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_range(values: Sequence[float]) -> bool:
    """Return whether values are a range: two finite numbers, the lower one first."""
    return (
        len(values) == 2
        and all(isinstance(value, int | float) and math.isfinite(value) for value in values)
        and values[0] < values[1]
    )


@dataclass(frozen=True)
class Photograph:
    """A file with a photograph in it, and how it is read."""

    path: Path
    reading: Reading = USUAL

    def __str__(self) -> str:
        return str(self.path)


Source = str | Path | Photograph  # what a photograph can be read from


def as_photograph(source: Source) -> Photograph:
    """Return a photograph; a path alone is read in the usual way."""
    return source if isinstance(source, Photograph) else Photograph(Path(source))


def add_reading_arguments(group: argparse._ActionsContainer, default: str = "") -> None:
    """Add the flags that say how pictures are read.

    default: what holds without them, in words; "": pictures must need none, and those to train on
    decide the range of values
    """
    usual = f" (default: {default})" if default else ""
    group.add_argument(
        "--page",
        type=int,
        help=f"of pictures with several pages: which one to show, from 1{usual}",
    )
    group.add_argument(
        "--channels",
        type=int,
        nargs="+",
        metavar="N",
        help="of pictures with several channels, or pages of one channel: which to show, from 1; "
        f"one, or three for red, green and blue{usual}",
    )
    of_training = " (default: the range of all pictures to train on together)"
    group.add_argument(
        "--value_range",
        type=float,
        nargs=2,
        metavar=("BLACK", "WHITE"),
        help="of pictures deeper than 8 bits: which values to show black and white"
        f"{usual or of_training}",
    )
