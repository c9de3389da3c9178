"""Numbers of objects that lie in several places each, as resizing and 8 bits leave them.

Resized with interpolation, the rim of object 57 shows the numbers of 56 others. In 8 bits objects 1
and 257 have one number.
"""

from collections.abc import Iterable

import numpy as np

from weakseg.data.doubts.other_instances import Reader, looked_at

TORN = 1.5  # regions a number, from which on a picture counts
MANY, FEWEST = 0.5, 3  # of the pictures, those that are so


def regions_a_number(numbers: np.ndarray) -> float:
    """Return how many connected regions the numbers of objects [H, W] have on average, 0 = none."""
    from skimage.measure import label

    count = np.count_nonzero(np.unique(numbers))
    return float(label(numbers, background=0, connectivity=2).max() / count) if count else 0.0


def torn_notes(where: object, names: Iterable[str], numbers_of: Reader) -> list[str]:
    """Return a line where the numbers of objects lie in several places each in most pictures.

    where: the folder of the numbers; numbers_of: returns those of an id, [H, W]
    """
    seen, torn = 0, dict[str, float]()
    for name, (numbers,) in looked_at(names, numbers_of):
        seen += 1
        if (regions := regions_a_number(numbers)) > TORN:
            torn[name] = regions
    if len(torn) < max(FEWEST, MANY * seen):
        return []
    first, regions = next(iter(torn.items()))
    return [
        f"{where}: in {len(torn)} of {seen} pictures that were looked at numbers of objects lie in "
        f"several places, in the first, {first}, in {regions:.1f} each; resize them to the nearest "
        "pixel, and save more than 255 of them in 16 bits"
    ]
