"""Photographs deeper than 8 bits of which some fill a smaller range of values than the others.

All are shown in one range. Beside 0 to 65535, what was kept as 0 to 255 is nearly black.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from weakseg.common import UserError, evenly
from weakseg.data.doubts.no_data import Extent, no_data_notes, without_lone
from weakseg.data.image_io import image_size, read_shown
from weakseg.data.reading import Photograph
from weakseg.data.value_range import PERCENTILES, is_deep_photograph

LOOKED, PIXELS, VALUES = 100, 100_000_000, 100_000  # photographs; pixels of all; values of each
WHITES = 1, 255, 1023, 4095, 16383  # what whites are that are not those of 16 bits
FEWEST, SHARE = 3, 0.05  # photographs that fill another range than the others; of all
FULL, WIDE = 0.98, 0.5  # shares of a range: of the whitest of these, and of the widest tenth
APART = 3  # times as white the others are


def sample(photograph: Photograph) -> np.ndarray | None:
    """Return some of the values of a photograph [N] float64; None without a number."""
    shown = read_shown(photograph)
    if isinstance(shown, Image.Image):
        return None
    flat = shown.reshape(-1)
    values = flat[:: -(-len(flat) // VALUES)].astype(np.float64)
    values = values[np.isfinite(values)]
    return values if len(values) else None


def smaller_range(extents: Sequence[Extent]) -> float | None:
    """Return the white of a range that some photographs fill, and the others exceed by far.

    All others may also begin far above it, as those do that are turned from negatives.
    """
    blacks, whites = np.array(extents, float).reshape(-1, 2).T
    for white in WHITES:
        is_low = whites <= white
        low, high = whites[is_low], whites[~is_low]
        if min(len(low), len(high)) < max(FEWEST, SHARE * len(whites)):
            continue
        is_full = low.max() >= FULL * white
        is_wide = np.percentile(low - blacks[is_low], 90) >= WIDE * white
        if is_full and is_wide and np.percentile(high, 10) >= APART * white:
            return white
    for white in np.unique(whites)[:-1].tolist():
        is_low = whites <= white
        if min(sum(is_low), sum(~is_low)) >= FEWEST and blacks[~is_low].min() > APART * abs(white):
            return white
    return None


def mixed_range_notes(root: Path, photographs: Sequence[Photograph]) -> list[str]:
    """Return lines where photographs deeper than 8 bits fill other ranges of values than others.

    So do those with a value far from all others, unless somebody chose a range. root: of the data
    set
    """
    extents, lone, room = dict[Path, Extent](), dict[Path, float](), PIXELS
    for photograph in evenly(photographs, LOOKED):
        if not is_deep_photograph(photograph):
            continue
        try:
            room -= math.prod(image_size(photograph.path))
            if room < 0:
                break
            if (values := sample(photograph)) is None:
                continue
        except UserError:  # whoever needs it says why
            continue
        values, apart = without_lone(values)
        if apart is not None and photograph.reading.value_range is None:
            lone[photograph.path] = apart
        black, white = np.percentile(values, PERCENTILES).tolist()
        extents[photograph.path] = black, white
    lines = no_data_notes(root, lone, extents)
    if (smaller := smaller_range([*extents.values()])) is None:
        return lines
    low = [path for path, found in extents.items() if found[1] <= smaller]
    most = max(found[1] for found in extents.values())
    return [
        *lines,
        f"{root}: {len(low)} of {len(extents)} photographs deeper than 8 bits that were looked at, "
        f"the first {low[0].relative_to(root)}, hold values up to {smaller:g}, others up to "
        f"{most:g}, so that they are shown nearly black; if white is another value in these, bring "
        "all to one range",
    ]
