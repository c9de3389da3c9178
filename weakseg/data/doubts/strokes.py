"""Masks that are strokes of a brush: somebody scribbled on objects, and the rest stayed 0.

A brush has one width, and a stroke is much longer than wide. Objects vary, even poles and nuclei.
"""

import cv2
import numpy as np

from weakseg.common import IGNORE
from weakseg.data.doubts.inverted import FEWEST

LONG = 4  # circles of its width that a stroke has room for
MOST = 0.6  # of the labelled pixels, those in strokes
THINNEST = 1.8  # pixels of a half width: below, all lines are alike
EVEN, PIXEL = 0.1, 0.6  # by which half widths differ between strokes, as a share, and in pixels
WITHIN = 1.4  # times as wide a stroke is at its wider places than at its narrow ones
HOPELESS = 0.2  # share below which the first masks are those of a set that has no strokes
REGIONS = 100  # of a class in a mask, at most, that are looked at


def strokes(pixels: np.ndarray) -> list[tuple[float, int]]:
    """Return (half width, pixels) of the regions in [H, W] bool that may be strokes of a brush."""
    own = pixels.astype(np.uint8)
    count, numbers, boxes, _ = cv2.connectedComponentsWithStats(own, connectivity=8)
    depth = cv2.distanceTransform(np.pad(own, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    is_ridge = depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8))
    found = []
    for number in range(1, min(count, REGIONS)):
        left, top, wide, high, area = boxes[number].tolist()
        place = np.s_[top : top + high, left : left + wide]
        ridge = depth[place][(numbers[place] == number) & is_ridge[place]]
        narrow, half, broad = np.percentile(ridge, (10, 50, 90)).tolist()
        if area >= LONG * np.pi * half**2 and broad <= WITHIN * narrow:
            found.append((half, area))
    return found


class StrokeTally:
    """How many masks show strokes of one brush a class, of those that are looked at.

    seen, names: number of masks with a class, and names of those with strokes
    halves: {class: half widths of its strokes}
    painted, labelled: pixels of strokes, and of all classes
    """

    def __init__(self) -> None:
        self.names, self.halves = list[str](), dict[int, list[float]]()
        self.seen, self.painted, self.labelled = 0, 0, 0

    def add(self, mask: np.ndarray, name: str) -> None:
        """Look at a mask [H, W] uint8 of class numbers, unless the first showed no strokes."""
        if self.seen >= FEWEST and self.painted < HOPELESS * self.labelled:
            return
        counts = np.bincount(mask.ravel(), minlength=256)
        numbers = {*np.flatnonzero(counts).tolist()} - {0, IGNORE}
        found = {number: strokes(mask == number) for number in sorted(numbers)}
        for number, some in found.items():
            self.labelled += int(counts[number])
            self.painted += sum(area for _, area in some)
            self.halves.setdefault(number, []).extend(half for half, _ in some)
        self.seen += bool(found)
        if any(found.values()):
            self.names.append(name)

    def width(self) -> float | None:
        """Return about how wide the brush is, in pixels; None where strokes are not of one width.

        A class may have a brush of its own.
        """
        halves = [np.array(some) for some in self.halves.values() if some]
        if len(self.names) < FEWEST or self.painted < MOST * self.labelled:
            return None
        half = float(np.median(np.concatenate(halves)))
        apart = np.concatenate([some - np.median(some) for some in halves])
        low, high = np.percentile(apart, (10, 90))
        is_one = half >= THINNEST and high - low <= PIXEL + EVEN * half
        return 2 * half - 1 if is_one else None

    def lines(self, where: object = "") -> list[str]:
        """Return a line where most of what is labelled is so, with the way out."""
        width = self.width()
        if width is None:
            return []
        return [
            f"{where}{': ' if where else ''}{len(self.names)} of {self.seen} masks of objects, "
            f"the first {self.names[0]}, show strokes of one width, about {width:.0f} pixels; if "
            "they are scribbles on objects, not their shapes, import them as scribbles (labels.py "
            "import --as scribbles), or what is unpainted counts as background"
        ]
