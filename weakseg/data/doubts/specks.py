"""Single pixels of another class along borders, as averaging and JPEG leave many of in masks."""

import numpy as np

from weakseg.common import IGNORE

FEWEST, SHARE = 20, 0.03  # single pixels in a mask; for each pixel of its borders
BESIDE = 0.045  # of pixels that touch their like by corners alone, as those of two classes do


def is_speckled(mask: np.ndarray) -> bool:
    """Return whether a mask [H, W] uint8 has many pixels that are like none of their neighbours.

    Right masks, even those made smaller by nearest neighbour, have one for each hundred pixels of
    borders, or fewer. Of two classes, specks touch by corners, which a few of right masks do too.
    """
    alike, borders, apart = mask == IGNORE, 0, 0
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
            apart = alike.size - np.count_nonzero(alike)
    lone = alike.size - np.count_nonzero(alike)
    return bool(lone >= max(FEWEST, SHARE * borders) or apart >= max(FEWEST, BESIDE * borders))
