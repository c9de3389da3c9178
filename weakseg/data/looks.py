"""How a picture looks in the large: enough to tell that a label file was made of another one."""

from pathlib import Path

import numpy as np
from PIL import Image

from weakseg.common import UserError
from weakseg.data.image_io import opened, orientation, turn_upright
from weakseg.data.tiff import is_tiff

SIDE = 16  # pixels of a look
PLAIN, MARKED = 1, 10  # greys: deviation below which a picture is plain, above which it is not
BLUR = 2.0  # of greys, pixels: outlines of people miss edges by as much
STRONGEST = 4.0  # edge that counts, in means of the picture: one sharp line proves little
RANGE = (0.5, 99.5)  # percentiles of a picture of more than 8 bits that become black and white
ALIKE = 0.5  # correlation that two looks of one picture have at least


def look_of(path: str | Path, content: bytes | None = None, side: int = SIDE) -> np.ndarray | None:
    """Return the greys [side, side] float of a picture, upright; None where they can't be told.

    content: of the file, where it is in memory; that of a TIFF may have any range of values
    """
    if content is None and is_tiff(Path(path)):
        return None
    try:
        with opened(path, content) as image:
            image.draft("L", (4 * side, 4 * side))
            turn_upright(image)
            return look_of_image(image, side)
    except UserError:
        return None


def smooth_look_of(path: str | Path, side: int) -> np.ndarray | None:
    """Return the greys [side, side] float of a picture, upright; nearly the same at any size.

    None where they can't be told, as of a TIFF, whose values may have any range.
    """
    if is_tiff(path):
        return None
    try:
        with opened(path) as image:
            drafted = image.draft("L", (4 * side, 4 * side))  # whose last row may be filled up
            box = drafted[1] if drafted else None
            turn, grey = orientation(image), greys_of(image)
            small = grey.resize((side, side), Image.Resampling.BILINEAR, box)
            turn_upright(small, turn)
            return np.asarray(small, float)
    except UserError:
        return None


def look_of_image(image: Image.Image, side: int = SIDE) -> np.ndarray:
    """Return the greys [side, side] float of an upright picture."""
    small = greys_of(image).resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, float)


def greys_of(image: Image.Image) -> Image.Image:
    """Return a picture in greys of 8 bits; one of more bits is scaled by its own range."""
    if not image.mode.startswith(("I", "F")):
        return image.convert("RGB").convert("L")
    values = np.asarray(image, np.float32)
    low, high = np.percentile(values, RANGE)
    greys = 255 * (values - low) / max(float(high - low), 1e-9)
    return Image.fromarray(greys.clip(0, 255).astype(np.uint8))


def edges_of(look: np.ndarray) -> np.ndarray:
    """Return how much greys [S, S] change at each pixel, in means of all."""
    import cv2

    down, across = np.gradient(cv2.GaussianBlur(look, (0, 0), BLUR))
    edges = np.hypot(across, down)
    return np.minimum(edges / max(edges.mean(), 1e-9), STRONGEST)


def borders_of(mask: np.ndarray) -> np.ndarray:
    """Return where a mask [H, W] has another class than the pixel above or to the left: bool."""
    changes = np.zeros(mask.shape, bool)
    changes[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    changes[1:] |= mask[1:] != mask[:-1]
    return changes


def are_alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two looks may be of one picture, in other colours or brighter perhaps."""
    least, most = sorted((one.std(), other.std()))
    if least < PLAIN:  # there is no pattern to compare
        return bool(most < MARKED)
    return bool(abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) >= ALIKE)
