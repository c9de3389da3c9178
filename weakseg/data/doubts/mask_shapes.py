"""Masks that show something of objects, but not their shapes: outlines, boxes, dots, strokes.

Whoever learns from them takes what they leave out for background. Objects may be rings or boxes,
or of one size: so a line asks, where nearly all regions of nearly all masks are so, or part of the
masks of a class.
"""

from collections import Counter

import cv2
import numpy as np

from weakseg.common import IGNORE
from weakseg.data.doubts.gaps import GapTally
from weakseg.data.doubts.inverted import FEWEST, SHARE
from weakseg.data.doubts.mask_tally import PIXELS
from weakseg.data.doubts.mixed_shapes import BOXES, RINGS, MixedShapes
from weakseg.data.doubts.strokes import StrokeTally

LEAST, SIDE = 64, 8  # pixels within a region, and of its sides, from which on its form tells
REGIONS = 100  # of a class in a mask, at most, that are looked at
HOLLOW, ONE_HOLE = 0.5, 0.7  # share of a ring that its hole has; of its holes, the largest
MOST = 0.6  # of the regions in a mask, and of the masks, that are so
THIN = 0.15  # of the side of a square as large, a line's width
CORNERS = 12  # of a box, and of a few that overlap
SAME = 1  # pixels by which the sides of dots of one size differ

Box = tuple[int, int]  # width and height
Region = tuple[np.ndarray, list[np.ndarray]]  # outer contour, those of its holes


def regions(pixels: np.ndarray) -> list[Region]:
    """Return the contours of the regions in [H, W] bool that touch at most one edge, a few."""
    height, width = pixels.shape
    contours, tree = cv2.findContours(
        pixels.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    found: dict[int, Region] = {}
    for number, contour in enumerate(contours):
        if tree[0][number][3] < 0 and len(found) < REGIONS:
            left, top, wide, high = cv2.boundingRect(contour)
            edges = (left == 0) + (top == 0) + (left + wide == width) + (top + high == height)
            if edges <= 1:
                found[number] = contour, []
    for number, contour in enumerate(contours):
        if tree[0][number][3] in found:
            found[tree[0][number][3]][1].append(contour)
    return [*found.values()]


def is_ring(region: Region) -> bool:
    """Return whether a region is a thin line around one hole."""
    outer, holes = region
    area, hollow = cv2.contourArea(outer), [cv2.contourArea(hole) for hole in holes]
    if not holes or area < LEAST or sum(hollow) < HOLLOW * area:
        return False
    width = (area - sum(hollow)) / (cv2.arcLength(outer, True) or 1)
    return max(hollow) >= ONE_HOLE * sum(hollow) and width <= THIN * area**0.5 + 1


def is_empty(region: Region, mask: np.ndarray) -> bool:
    """Return whether the largest hole of a region of a mask [H, W] uint8 is background."""
    hole = max(region[1], key=cv2.contourArea)
    left, top, wide, high = cv2.boundingRect(hole)
    within = np.zeros((high, wide), np.uint8)
    cv2.drawContours(within, [hole - (left, top)], -1, 1, -1)
    shown = mask[top : top + high, left : left + wide]
    return bool(np.mean(shown[within > 0] == 0) >= HOLLOW)


def is_box(region: Region) -> bool:
    """Return whether a region is an upright rectangle, or a few that overlap."""
    outer, holes = region
    if holes or min(cv2.boundingRect(outer)[2:]) < SIDE or len(outer) > CORNERS:
        return False
    sides = np.abs(outer[:, 0] - np.roll(outer[:, 0], 1, 0))
    return bool((sides.min(1) <= (sides.max(1) == 1)).all())  # an inner corner is cut by a pixel


def is_large(region: Region) -> bool:
    """Return whether a region is large enough for its form to tell."""
    return min(cv2.boundingRect(region[0])[2:]) >= SIDE


def forms(found: list[Region], mask: np.ndarray) -> set[str]:
    """Return which of rings around background, and boxes, nearly all large regions of a mask are.

    mask: [H, W] uint8. A border around objects of another class is no outline of these.
    """
    large = [region for region in found if is_large(region)]
    tests = {RINGS: lambda region: is_ring(region) and is_empty(region, mask), BOXES: is_box}
    return {
        form
        for form, is_so in tests.items()
        if large and sum(map(is_so, large)) >= MOST * len(large)
    }


class ShapeTally:
    """How many masks show outlines, boxes, dots or strokes alone, of those that are looked at.

    seen, rings, boxes: names of masks with regions that tell something; those whose regions nearly
    all are so. sizes: {width and height: number of regions}; first: the mask that has it first
    strokes: of a brush; mixed: those of each class; gaps: within objects
    room: pixels that are still looked at
    """

    def __init__(self) -> None:
        self.strokes, self.mixed, self.gaps = StrokeTally(), MixedShapes(), GapTally()
        self.seen, self.rings, self.boxes = list[str](), list[str](), list[str]()
        self.sizes, self.first, self.room = Counter[Box](), dict[Box, str](), PIXELS

    def add(self, mask: np.ndarray, name: str) -> None:
        """Look at a mask [H, W] uint8 of class numbers, unless there were many."""
        if self.room < 0:
            return
        self.room -= mask.size
        self.strokes.add(mask, name)
        self.gaps.add(mask, name)
        numbers = {*np.flatnonzero(np.bincount(mask.ravel())).tolist()} - {0, IGNORE}
        parts = {number: regions(mask == number) for number in sorted(numbers)}
        self.mixed.add(mask, name, {number: forms(part, mask) for number, part in parts.items()})
        found = [region for part in parts.values() for region in part]
        for outer, _ in found:
            _, _, wide, high = cv2.boundingRect(outer)
            size = wide, high
            self.sizes[size] += 1
            self.first.setdefault(size, name)
        if not any(map(is_large, found)):
            return
        self.seen.append(name)
        shown = forms(found, mask)
        self.rings += [name] * (RINGS in shown)
        self.boxes += [name] * (BOXES in shown)

    def lines(self, where: object = "", tells_boxes: bool = True) -> list[str]:
        """Return a line where nearly all are so, with the way out.

        where: what they belong to; tells_boxes: an import tells rectangles of any kind itself
        """
        if gaps := self.gaps.lines(where):
            return gaps
        head, of_all = f"{where}: " if where else "", f"of {len(self.seen)} masks of objects"
        if dots := self.dots():
            (wide, high), count = dots
            return [
                f"{head}{count} of {self.sizes.total()} regions in masks, the first in "
                f"{self.first[wide, high]}, are of one size, {wide}x{high} pixels; if they are "
                "dots on objects, not their shapes, import them as points (labels.py import --as "
                "points)"
            ]
        if self.are_most(self.rings):
            return [
                f"{head}{len(self.rings)} {of_all}, the first {self.rings[0]}, show thin rings "
                "alone; if they are outlines, fill them, or what lies within counts as background"
            ]
        if tells_boxes and self.are_most(self.boxes):
            return [
                f"{head}{len(self.boxes)} {of_all}, the first {self.boxes[0]}, show upright "
                "rectangles alone; if they are boxes around objects, not their shapes, import "
                "them as boxes (labels.py import --as boxes)"
            ]
        return self.strokes.lines(where) or self.mixed.lines(where, tells_boxes)

    def are_most(self, names: list[str]) -> bool:
        """Return whether these are nearly all masks, and enough."""
        return len(names) >= max(FEWEST, MOST * len(self.seen))

    def dots(self) -> tuple[Box, int] | None:
        """Return the size that nearly all regions have, and how many do; None without one."""
        if not self.sizes:
            return None
        (wide, high), _ = self.sizes.most_common(1)[0]
        steps = range(-SAME, SAME + 1)
        count = sum(self.sizes[wide + x, high + y] for x in steps for y in steps)
        is_most = count >= max(FEWEST, SHARE * self.sizes.total())
        return ((wide, high), count) if is_most and min(wide, high) > 2 else None
