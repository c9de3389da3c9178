"""Single pixels of another class along borders, as averaging and JPEG leave many of in masks."""

import numpy as np

from weakseg.common import IGNORE

FEWEST, SHARE = 20, 0.03  # single pixels in a mask; for each pixel of its borders
BESIDE = 0.015  # of pixels that touch their like by corners alone, of a second class too


def is_speckled(mask: np.ndarray) -> bool:
    """Return whether a mask [H, W] uint8 has many pixels that are like none of their neighbours.

    Right masks, even those made smaller by nearest neighbour, have one for each hundred pixels of
    borders, or fewer. Of two classes, specks of both touch by corners; of a thin line one does.
    """
    alike, borders, second = mask == IGNORE, 0, 0
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        height, width = mask.shape
        rows, later = slice(0, height - down), slice(down, height)
        left, right = slice(0, width - abs(across)), slice(abs(across), width)
        one, other = (
            ((rows, left), (later, right)) if across >= 0 else ((rows, right), (later, left))
        )
        same = mask[one] == mask[other]
        alike[one] |= same
        alike[other] |= same
        if not (down and across):
            borders += same.size - np.count_nonzero(same)
            second = np.sort(np.bincount(mask[~alike], minlength=2))[-2]
    lone = alike.size - np.count_nonzero(alike)
    return bool(lone >= max(FEWEST, SHARE * borders) or second >= max(FEWEST, BESIDE * borders))
