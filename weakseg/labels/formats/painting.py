"""The mask that polygons and masks of a picture make together."""

from collections.abc import Sequence

import numpy as np

from weakseg.common import IGNORE
from weakseg.labels.formats.geometry import area_pixels, box_of, overlap, reach, twofold
from weakseg.labels.formats.records import AREAS, Classes, Shape, Unreadable

SAME_OBJECT = 0.5  # IoU from which on a box is that of an area


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


def refuse_twofold(shapes: Sequence[Shape], size: tuple[int, int]) -> None:
    """Raise `Unreadable` where areas of two classes cover the same pixels: which is on top?"""
    pair = twofold([one for one in shapes if one.kind in AREAS], size)
    if pair:
        one, other = pair
        raise Unreadable(
            f"a {one.kind} of {one.label} and a {other.kind} of {other.label} cover the same "
            "pixels; remove one"
        )


def mask_of(
    shapes: Sequence[Shape], size: tuple[int, int], classes: Classes, is_complete: bool
) -> np.ndarray:
    """Return the mask [H, W] uint8 of a picture; what no area covers is background, or else 255.

    is_complete: whether areas show all objects. They don't where a box, a click or a stroke shows
    one that no area covers, whatever else was said.
    """
    if not (is_complete and classes.has_background):
        return painted(shapes, size, classes.names, IGNORE)
    mask = painted(shapes, size, classes.names, 0)
    if unexplained(shapes, mask, classes) is None:
        return mask
    return painted(shapes, size, classes.names, IGNORE)


def unexplained(shapes: Sequence[Shape], mask: np.ndarray, classes: Classes) -> Shape | None:
    """Return the first shape that shows an object where a mask [H, W] has none, if one does."""
    return next((one for one in shapes if not is_explained(one, shapes, mask, classes)), None)


def is_explained(one: Shape, shapes: Sequence[Shape], mask: np.ndarray, classes: Classes) -> bool:
    """Return whether what a box, click or stroke shows is no background in a mask [H, W]."""
    if one.label is None or one.label == classes.names[0]:
        return True
    if one.kind in ("box", "outline"):
        own = one.geometry if one.kind == "box" else box_of(one.geometry)
        areas = [reach(area) for area in shapes if area.kind in AREAS and area.label == one.label]
        return any(overlap(own, box) >= SAME_OBJECT for box in areas)
    if one.kind in ("click", "stroke"):
        places = [one.geometry] if one.kind == "click" else one.geometry["path"]
        height, width = mask.shape
        return all(mask[min(int(y), height - 1), min(int(x), width - 1)] != 0 for x, y in places)
    return True
