"""Masks that were stretched to 0 to 255, each by its own highest number, as to look at them.

Class 1 is 255 in a mask that shows it alone, 127 beside class 2, and 85 beside class 3: so no
meaning of the values fits all masks.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable

WHITE = 255
FEWEST = 2  # masks of each of two highest numbers
CAUSE = (
    "; if masks were stretched to 0 to 255, each by its own highest number, values mean other "
    "classes in each: write them anew with class numbers"
)


def highest_of(values: Collection[int], most: int) -> int | None:
    """Return the highest class, `most` or less, by which values were stretched; None if by none."""
    if WHITE not in values:
        return None
    for highest in range(1, most + 1):
        steps = {WHITE * number / highest for number in range(highest + 1)}
        if {*values} <= {*map(math.floor, steps), *map(math.ceil, steps)}:
            return highest
    return None


def are_stretched(masks: Iterable[Collection[int]], classes: int) -> bool:
    """Return whether all masks that show anything may be stretched, by different numbers.

    masks: the values in each; classes: how many there are, with number 0
    """
    counts = Counter(highest_of(values, classes - 1) for values in masks if max(values, default=0))
    return None not in counts and sum(count >= FEWEST for count in counts.values()) > 1
