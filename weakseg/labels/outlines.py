"""Coarse outlines: polygons of few vertices around objects, drawn quickly and not exactly.

What lies well inside of an outline is the object, what lies well outside of all of them is none;
the rim between, where the hand erred, is unlabelled.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from weakseg.common import IGNORE
from weakseg.labels.annotators import Region, Scene
from weakseg.labels.targets import View

RIM = 0.2  # half the width of the rim, in areas of an outline over its length; of a disc, R / 10
LEAST_PIECE = 0.1  # of an object's area: smaller pieces of it get no outline
GRID = 128  # cells of the longer side of the grid on which a hand is simulated
SHAKES, STEPS = 3, 10  # hands that are tried for the stated overlap, and steps of a bisection
SHIFT = 4  # bits of a pixel to which outlines are drawn
MOST_SHAKE = 0.5  # what a hand errs by at most, in roots of the area

Outline = dict[str, Any]  # {"class": class, "polygon": [[x, y], ...]}


def annotate_outlines(scene: Scene, rng: np.random.Generator) -> list[Outline]:
    """Return [{"class", "polygon"}, ...]: an outline around each object, and each piece of it.

    Their IoU is about `outline_iou`: half of the error is that of few vertices, half that of a hand
    that shakes. Holes are inside. With noise p each vertex is off by N(0, p x the object's size) as
    well. Vertices stay on the picture.
    """
    height, width = scene.mask.shape
    outlines = []
    for region in scene.objects:
        for piece, corner in pieces_of(region):
            polygon = coarse(piece, scene.options.outline_iou, rng) + corner
            noise = rng.normal(size=polygon.shape) * scene.options.noise * region.size
            polygon += noise if len(polygon) > 3 else 0  # a shaken speck may vanish
            vertices = np.clip(polygon, 0, (width, height)).round(2).tolist()
            outlines.append({"class": region.label, "polygon": vertices})
    return outlines


def pieces_of(region: Region) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """Return the pieces of an object that hang together, without holes, the largest first.

    Each is (pixels [h, w] bool, its left and upper edge in the picture); small ones are left out.
    """
    lines, _ = cv2.findContours(
        region.pixels.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    pieces = []
    for line in lines:
        left, top, width, height = cv2.boundingRect(line)
        pixels = np.zeros((height, width), np.uint8)
        cv2.fillPoly(pixels, [line - (left, top)], 1)
        pieces.append((pixels.view(bool), (region.box[0] + left, region.box[1] + top)))
    areas = [int(np.count_nonzero(pixels)) for pixels, _ in pieces]
    order = sorted(range(len(pieces)), key=lambda number: -areas[number])
    return [pieces[n] for n in order if areas[n] >= LEAST_PIECE * region.area or n == order[0]]


def coarse(pixels: np.ndarray, iou: float, rng: np.random.Generator) -> np.ndarray:
    """Return a polygon [N, 2] around pixels [h, w] bool whose IoU with them is about `iou`."""
    height, width = pixels.shape
    scale = GRID / max(height, width)
    cells = (max(1, round(width * scale)), max(1, round(height * scale)))
    usual = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    shares = cv2.resize(pixels.astype(np.float32), cells, interpolation=usual)
    grid = np.pad((shares >= min(0.5, shares.max())).view(np.uint8), GRID // 4)
    lines, _ = cv2.findContours(grid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygon = simplest(max(lines, key=len), grid, (1 + iou) / 2)
    polygon = shaken(polygon, grid, iou, rng)
    found: np.ndarray = (polygon + 0.5 - GRID // 4) * (width / cells[0], height / cells[1])
    return found


def simplest(line: np.ndarray, grid: np.ndarray, iou: float) -> np.ndarray:
    """Return the polygon [N, 2] of the fewest vertices that has an IoU with a grid [h, w] uint8.

    line: [M, 1, 2] int32, around its cells; simplified as Douglas and Peucker (1973) do
    iou: as a share of the line's own, which cuts the cells of the edge in half
    """
    low, high, best = 0.0, float(GRID), line[:, 0]
    iou *= overlap(best, grid)
    for _ in range(STEPS):
        middle = (low + high) / 2
        polygon = cv2.approxPolyDP(line, middle, True)[:, 0]
        if len(polygon) > 2 and overlap(polygon, grid) >= iou:
            low, best = middle, polygon
        else:
            high = middle
    return best.astype(float)


def shaken(
    polygon: np.ndarray, grid: np.ndarray, iou: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a polygon [N, 2] with its vertices moved so far that its IoU is about `iou`."""
    best, error = polygon, abs(overlap(polygon, grid) - iou)
    for _ in range(SHAKES):
        direction = rng.normal(size=polygon.shape)
        low, high = 0.0, MOST_SHAKE * float(np.sqrt(np.count_nonzero(grid)))
        for _ in range(STEPS):
            middle = (low + high) / 2
            moved = polygon + middle * direction
            found = overlap(moved, grid)
            low, high = (middle, high) if found > iou else (low, middle)
            if abs(found - iou) < error:
                best, error = moved, abs(found - iou)
    return best


def overlap(polygon: np.ndarray, grid: np.ndarray) -> float:
    """Return the IoU of a polygon [N, 2] with the cells of a grid [h, w] uint8 of 0 and 1.

    Half of each cell under the line of the polygon is inside.
    """
    halves, line = np.zeros_like(grid), [np.round(polygon).astype(np.int32)]
    cv2.fillPoly(halves, line, 2)
    cv2.polylines(halves, line, True, 1)
    both = int((halves * grid).sum()) / 2
    return both / (int(halves.sum()) / 2 + np.count_nonzero(grid) - both)


def draw_outlines(
    annotation: Sequence[Mapping[str, Any]], view: View, outside: int = 0
) -> np.ndarray:
    """Draw [{"class", "polygon"}, ...] as a mask -> [size, size] uint8.

    Well inside of an outline is its class, well outside of all of them `outside`, by default the
    background; the rim between is 255. Of an outline that is nearly all rim its innermost pixel is
    its class. Where outlines overlap the smaller one wins.
    """
    target = np.full((view.size, view.size), outside, np.uint8)
    polygons = [
        (view.map(one["polygon"]).astype(np.float32), int(one["class"])) for one in annotation
    ]
    for polygon, label in sorted(polygons, key=lambda one: -cv2.contourArea(one[0])):
        rim = RIM * cv2.contourArea(polygon) / max(cv2.arcLength(polygon, True), 1.0)
        # A window around the outline: its edges are those of the picture, or far enough.
        reach = int(rim) + 2
        low = np.maximum(np.floor(polygon.min(0)).astype(int) - reach, 0)
        high = np.minimum(np.ceil(polygon.max(0)).astype(int) + reach, view.size)
        if (low >= high).any():
            continue  # outside of the crop
        (left, top), (right, bottom) = low, high
        inside = np.zeros((bottom - top, right - left), np.uint8)
        places = np.round((polygon - 0.5 - low) * 2**SHIFT).astype(np.int32)
        cv2.fillPoly(inside, [places], 1, shift=SHIFT)
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
        away = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_5)
        part, is_object = target[top:bottom, left:right], inside.view(bool)
        core = is_object & (depth > rim)
        is_whole = (polygon >= 0).all() and (polygon <= view.size).all()
        if is_whole and not core.any():
            core[np.unravel_index(depth.argmax(), depth.shape)] = True
        part[is_object | (away <= rim)] = IGNORE
        part[core] = label
    return view.finish(target)
