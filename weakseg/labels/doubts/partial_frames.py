"""Boxes and outlines around parts of objects alone, as of heads, told by masks beside them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from weakseg.common import IGNORE
from weakseg.labels.agreement import FRAMES, SLACK, framed

COVERED = 0.6  # share of objects in their frames from which on these are around all of them
FEWEST, MOST_OF = 5, 0.5  # pictures with frames of parts, and their share, that are no chance


class PartialFrames:
    """In how many pictures boxes, or outlines, are around a part of what masks show.

    pictures, partial  {kind of frame: pictures that have both; those whose frames are of parts}
    """

    def __init__(self) -> None:
        self.pictures: dict[str, int] = dict.fromkeys(FRAMES, 0)
        self.partial: dict[str, list[str]] = {kind: [] for kind in FRAMES}

    def add(self, name: str, labels: Mapping[str, Any], mask: np.ndarray) -> None:
        """Take in the labels of a picture, and a mask [H, W] uint8 of class numbers."""
        for kind in FRAMES:
            if labels.get(kind):
                self.pictures[kind] += 1
                share = covered(labels, kind, mask)
                self.partial[kind] += [name] if share < COVERED else []

    def lines(self) -> Iterator[str]:
        """Yield a line for each kind of frame that often is around a part, with the way out."""
        for kind, names in self.partial.items():
            if len(names) >= max(FEWEST, MOST_OF * self.pictures[kind]):
                yield (
                    f"{kind} of {len(names)} of {self.pictures[kind]} pictures are around less "
                    f"than {COVERED:.0%} of their objects in the masks, the first of {names[0]}; "
                    "where they are around parts, such as heads, draw them around the whole"
                )


def covered(labels: Mapping[str, Any], kind: str, mask: np.ndarray) -> float:
    """Return which share of the objects in a mask [H, W] uint8 lies in the frames of their class.

    Objects without a frame don't count unless the list of frames is complete. 1 where there are
    none.
    """
    import cv2

    height, width = mask.shape
    slack = SLACK * max(labels["size"])
    within, whole = 0, 0
    frames = [*framed(labels, kind)]
    for number in {label for label, _ in frames} - {IGNORE}:
        shown = mask == number
        inside = np.zeros_like(shown)
        for left, top, right, bottom in (frame for label, frame in frames if label == number):
            rows = slice(max(0, round(top - slack)), min(height, round(bottom + slack)))
            inside[rows, max(0, round(left - slack)) : min(width, round(right + slack))] = True
        regions = cv2.connectedComponents(shown.astype(np.uint8), connectivity=8)[1]
        framed_regions = np.unique(regions[shown & inside])
        is_complete = kind in labels.get("complete", ())
        objects = shown if is_complete else np.isin(regions, framed_regions) & shown
        within, whole = within + int((objects & inside).sum()), whole + int(objects.sum())
    return within / whole if whole else 1.0
