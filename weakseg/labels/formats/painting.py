"""The mask that polygons and masks of a picture make together."""

from collections.abc import Sequence

import numpy as np

from weakseg.common import IGNORE
from weakseg.labels.formats.geometry import area_pixels
from weakseg.labels.formats.records import AREAS, Shape


def painted(
    shapes: Sequence[Shape], size: tuple[int, int], classes: Sequence[str], outside: int
) -> np.ndarray:
    """Return the mask [H, W] uint8 of class numbers that areas make, where smaller ones lie on top.

    size: (width, height); outside: what no area covers, a class or 255. Areas of no class are 255,
    and lie below all others. Shapes of other kinds are left out; classes must be known.
    """
    width, height = size
    mask = np.full((height, width), outside, np.uint8)
    areas = [(one, area_pixels(one, size)) for one in shapes if one.kind in AREAS]
    for one, pixels in sorted(areas, key=lambda area: (area[0].label is not None, -area[1].sum())):
        mask[pixels] = IGNORE if one.label is None else classes.index(one.label)
    return mask
