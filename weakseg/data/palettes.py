"""Palettes of masks: one number must not be two classes.

Programs that choose a palette for each picture number its colours anew: what is 1 here is 2 there.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from weakseg.common import IGNORE, UserError
from weakseg.data.image_io import opened_mask
from weakseg.data.mask_values import MaskValues, read_numbers

GREY = 0x010101  # times a number: its colour where a palette only repeats the numbers


class Palettes:
    """The colours that the palettes of masks give to numbers, which all masks must share.

    values: what those in the masks mean; None: they are class numbers. Where they are colours, no
    number matters
    flag: that says it
    """

    def __init__(self, values: MaskValues | None = None, flag: str = "--mask_values") -> None:
        self.values, self.flag = values, flag
        self.shown: dict[int, tuple[int, object]] = {}  # {number: (colour 0xrrggbb, first file)}

    def add(self, path: Path, numbers: Iterable[int], where: object = None) -> None:
        """Take in the palette of a mask; another colour of a number is a `UserError`.

        numbers: of the classes that it shows; where: the file in words for people
        """
        is_named = self.values is not None and self.values.are_colours
        table = None if is_named else palette_of(path)
        if table is None:
            return
        if self.values:
            numbers = np.unique(read_numbers(path)).tolist()
        self.add_table(table, numbers, where or path)

    def add_table(self, table: list[int], numbers: Iterable[int], where: object) -> None:
        """Take in a palette, red, green and blue of each number; see `add`."""
        for number, colour in colours_of(table, numbers).items():
            before, other = self.shown.setdefault(number, (colour, where))
            if before != colour:
                raise UserError(
                    f"{where}: shows {number} as #{colour:06x}, {other} as #{before:06x}, "
                    "so that numbers mean other things from mask to mask; say what the colours "
                    f"mean, with {self.flag} '#rrggbb=CLASS', or write masks without a palette"
                )


def palette_of(path: Path) -> list[int] | None:
    """Return the red, green and blue of each number in a mask's palette, None without one."""
    with opened_mask(path) as image:
        return image.getpalette("RGB") if image.mode == "P" else None


def colours_of(table: list[int], numbers: Iterable[int]) -> dict[int, int]:
    """Return {number: colour 0xrrggbb} by a palette; 255 is left out.

    Empty where the palette says no more than the numbers.
    """
    every = range(len(table) // 3)
    colours = {n: int.from_bytes(bytes(table[3 * n : 3 * n + 3]), "big") for n in every}
    if len(colours) > 1 and all(colour == n * GREY for n, colour in colours.items()):
        return {}
    return {n: colours[n] for n in numbers if n in colours and n != IGNORE}
