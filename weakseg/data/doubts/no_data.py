"""Values that may stand for no data: many pixels of a photograph have one far from all others.

A range that reaches from there to the others shows these as one grey.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from weakseg.data.value_range import PERCENTILES

SHARE = 0.001  # of the pixels, from which on a value counts in a range
FEWEST = 16  # different values that the others have at least

Extent = tuple[float, float]  # the darkest and the lightest value of a photograph


def without_lone(values: np.ndarray) -> tuple[np.ndarray, float | None]:
    """Return values [N] without one that lies farther from the others than they do; and that one.

    It is None where there is none, or where the others are few.
    """
    for lone in (values.min(), values.max()):
        others = values[values != lone]
        if len(others) > len(values) * (1 - SHARE) or len(np.unique(others)) < FEWEST:
            continue
        gap = min(abs(others.min() - lone), abs(others.max() - lone))
        if gap > np.ptp(np.percentile(others, PERCENTILES)):
            return others, float(lone)
    return values, None


def no_data_notes(
    root: Path, lone: Mapping[Path, float], extents: Mapping[Path, Extent]
) -> list[str]:
    """Return a line where lone values of some photographs lie far from the values of all.

    root: of the data set; lone: {photograph: value}; extents: between which values others lie
    """
    if not lone:
        return []
    black = min(low for low, _ in extents.values())
    white = max(high for _, high in extents.values())
    reach = white - black
    far = [path for path, one in lone.items() if not black - reach < one < white + reach]
    if not far:
        return []
    return [
        f"{root}: {len(far)} of {len(extents)} photographs deeper than 8 bits that were looked at, "
        f"the first {far[0].relative_to(root)}, hold {lone[far[0]]:g} far from all their other "
        f"values; if it stands for no data, --value_range {black:g} {white:g} shows the others"
    ]
