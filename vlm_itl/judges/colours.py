"""The colours of predicted classes in the pictures of a question, and the words for them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from weakseg.common import IGNORE

# A colour in words, which a model knows better than hexadecimal numbers, and its place in
# `style.palette`. The first seven suit the colour-blind.
WORDS: tuple[tuple[str, int], ...] = (
    ("orange", 1),
    ("blue", 2),
    ("green", 3),
    ("pink", 4),
    ("light blue", 5),
    ("red-orange", 6),
    ("yellow", 7),
    ("magenta", 10),
    ("dark violet", 11),
    ("maroon", 13),
    ("olive", 14),
    ("lavender", 16),
    ("cyan", 18),
    ("beige", 19),
    ("bright green", 9),
    ("navy blue", 27),
)


class Paint(NamedTuple):
    """How a class is shown: its place in `style.palette`, in words, and a number written on it."""

    colour: int
    words: str
    mark: str = ""


def paints(labels: Sequence[int]) -> dict[int, Paint]:
    """Return the `Paint` of each class that a question shows, in their order.

    Classes beyond those that words can tell apart are marked by numbers.
    """
    named = {colour for _, colour in WORDS}
    others = (colour for colour in range(1, IGNORE) if colour not in named)
    shown = {
        label: Paint(colour, word)
        for label, (word, colour) in zip(labels[: len(WORDS)], WORDS, strict=False)
    }
    for number, label in enumerate(labels[len(WORDS) :], 1):
        shown[label] = Paint(next(others), f"marked with the number {number}", str(number))
    return shown


def painted(mask: np.ndarray, shown: Mapping[int, Paint]) -> np.ndarray:
    """Return a mask [S, S] uint8 whose numbers are those of `style.palette`."""
    table = np.arange(256, dtype=np.uint8)
    for label, paint in shown.items():
        table[label] = paint.colour
    return table[mask]


def write_marks(picture: np.ndarray, mask: np.ndarray, shown: Mapping[int, Paint]) -> None:
    """Write the numbers of classes where each is widest, into a picture [h, w, 3] uint8.

    mask: [h, w] uint8, as `painted` returns it
    """
    size = max(picture.shape) / 640
    for paint in shown.values():
        inside = np.pad(mask == paint.colour, 1).astype(np.uint8)
        if not paint.mark or not inside.any():
            continue
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_3)[1:-1, 1:-1]
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        (width, height), _ = cv2.getTextSize(paint.mark, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        at = max(0, int(x) - width // 2), max(height, int(y) + height // 2)
        for colour, line in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(
                picture, paint.mark, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, line, cv2.LINE_AA
            )
