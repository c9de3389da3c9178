"""Any number of drawn images of one disc each, in no file and in no list: for shards.py.

In a module of its own, which the processes that draw labels import.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from weakseg.common import stable_seed

SIDE = 32  # pixels of an image


class Ids(Sequence):
    """The ids of `count` images, made when they are asked for."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [f"image_{n:09d}" for n in range(self.count)[i]]
        return f"image_{range(self.count)[i]:09d}"


class Discs:
    """Images of one disc each, that no file holds: what an annotator needs of a data set."""

    name = "discs"
    class_names, tag_names = ["background", "disc"], ["disc"]
    has_background, mask_values = True, None
    mask_meaning: ClassVar[dict[str, str]] = {}  # of values that are no class numbers

    def part(self, names):
        return self

    def tags(self, name):
        return ("disc",)

    def mask_path(self, name):
        return Path(__file__)  # stands for the file that the labels are drawn from

    image_path = mask_path

    def mask(self, name):
        seed, (y, x) = stable_seed("disc", name), pixel_grid()
        left, top, radius = 8 + seed % 16, 8 + seed // 16 % 16, 3 + seed // 256 % 5
        return ((x - left) ** 2 + (y - top) ** 2 < radius**2).astype(np.uint8)

    def instances(self, name):
        """Nobody told objects apart: there is one."""

    def instances_path(self, name):
        """No file holds their numbers."""

    def check_mask_size(self, name):
        """There is no photograph that could have another size."""


@cache
def pixel_grid():
    return np.mgrid[:SIDE, :SIDE]
