"""Strokes as people draw them: along an object's skeleton, inside it, with a pen of its width."""

from functools import cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from weakseg.labels.annotators import Options, Region, Scene

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Steps (dy, dx) to the pixels around one. Their order decides which of two equal paths is taken.
STEPS = np.array([(0, 1), (1, -1), (1, 0), (1, 1), (-1, -1), (-1, 0), (-1, 1), (0, -1)])
SKELETON_SIDE = 128  # skeletons are made of masks no longer than this, pixels
SMOOTHING = (2.0, 1.0)  # of the path, in vertices: the first that stays inside is taken

Stroke = dict[str, Any]  # {"class": class, "width": pixels, "path": [[x, y], ...]}


def annotate_scribbles(scene: Scene, rng: np.random.Generator) -> list[Stroke]:
    """Return [{"class", "width", "path"}, ...]: a stroke on each object, one on the background.

    With noise p a stroke is shifted as a whole, by N(0, p x the object's size), but stays on the
    picture.
    """
    strokes, (height, width) = [], scene.mask.shape
    for region in [*scene.objects, *scene.background[:1]]:
        path, pen = skeleton_stroke(region, scene.options, rng)
        shift = rng.normal(size=2) * scene.options.noise * region.size
        shift = np.clip(shift, -path.min(0), (width, height) - path.max(0) - 0.01)
        vertices = np.round(path + shift, 2).tolist()
        strokes.append({"class": region.label, "width": pen, "path": vertices})
    return strokes


def skeleton_stroke(
    region: Region, options: Options, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Return a smooth path [N, 2] along a region's skeleton, and a pen width, both inside it."""
    from scipy.ndimage import gaussian_filter1d

    # A stretch of the skeleton, as long as the options say, from a random vertex on.
    path = skeleton_path(region.pixels)
    keep = max(1, round(options.scribble_length * len(path)))
    start = int(rng.integers(len(path) - keep + 1))
    path = path[start : start + keep]

    # Smoothing cuts thin bends, and then less of it is better. Lines from smooth to raw, each with
    # the pieces that its edges must be cut into.
    smoothed = [gaussian_filter1d(path, sigma, axis=0, mode="nearest") for sigma in SMOOTHING]
    lines = [(line, pieces_between(line)) for line in np.round([*smoothed, path], 2)]
    path = longest_run_inside(densify(*lines[0]), region.pixels)
    longest = max(pieces.sum() + 1 for _, pieces in lines)
    if len(path) < 0.9 * longest:  # else none of the others can be much longer
        runs = [path] + [longest_run_inside(densify(*line), region.pixels) for line in lines[1:]]
        most = max(map(len, runs))
        path = next(run for run in runs if len(run) >= 0.9 * most)

    path, width = fit_pen(path, region.pixels, options.scribble_width)
    return path + region.box[:2], width


def pieces_between(path: np.ndarray) -> np.ndarray:
    """Return [N - 1]: into how many pieces the edges of a polyline [N, 2] must be cut.

    Then the pixels under the vertices touch.
    """
    gaps = np.abs(path[1:] - path[:-1]).max(1, initial=0)
    return np.where(gaps < 1.001, 1, np.ceil(gaps / 0.95)).astype(int)


def densify(path: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """Return the polyline [N, 2] with its edges cut into so many pieces, rounded."""
    ends = np.concatenate([[0], np.cumsum(pieces)])
    at = np.interp(np.arange(ends[-1] + 1), ends, np.arange(len(path)))
    x, y = (np.interp(at, np.arange(len(path)), path[:, k]) for k in (0, 1))
    return np.round(np.stack([x, y], axis=1), 2)


def longest_run_inside(path: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return the longest stretch of a path [N, 2] whose vertices all lie on `pixels` [H, W] bool.

    It may be empty.
    """
    columns, rows = path.astype(int).T
    inside = pixels[rows, columns]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.view(np.int8), [0]])))
    if not len(edges):
        return path[:0]
    starts, ends = edges[::2], edges[1::2]
    best = int(np.argmax(ends - starts))
    return path[starts[best] : ends[best]]


def fit_pen(path: np.ndarray, pixels: np.ndarray, widest: int) -> tuple[np.ndarray, int]:
    """Return (path, width): the widest pen whose stroke stays on `pixels`, and fewer vertices.

    widest: pixels at most. A pen one pixel wide over all the vertices always stays inside, for they
    lie on pixels that touch.
    """
    simple = cv2.approxPolyDP(path.astype(np.float32), 0.5, False)[:, 0].astype(float).round(2)

    # The part of the mask that the stroke can touch, with zeros beyond the edge of the picture, so
    # that the edge bounds the object as well.
    around = widest + 2
    columns, rows = path.astype(int).T
    left, top = columns.min() - around, rows.min() - around
    right, bottom = columns.max() + around + 1, rows.max() + around + 1
    height, width = pixels.shape
    seen = pixels[max(0, top) : bottom, max(0, left) : right].view(np.uint8)
    beyond = (max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width))
    inside = cv2.copyMakeBorder(seen, *beyond, cv2.BORDER_CONSTANT, value=0)

    # No pen fits whose radius exceeds the distance from a vertex to the nearest pixel outside.
    steps, distances = steps_around(widest / 2)
    at = (rows - top) * inside.shape[1] + columns - left
    free = inside.ravel()[at[:, None] + steps @ (inside.shape[1], 1)].all(0)
    room = distances[~free].min(initial=widest)
    for pen in range(int(np.clip(2 * room, 1, widest)), 0, -1):
        for candidate in (simple, path):
            drawn = np.zeros(inside.shape, np.uint8)
            draw_stroke(drawn, candidate - (left, top), 1, pen)
            if not (drawn > inside).any():
                return candidate, pen
    raise AssertionError("a stroke one pixel wide left the pixels under its own vertices")


@cache
def steps_around(reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps [K, 2] (dy, dx) to the pixels nearer than `reach`, and their distances [K].

    Distances are those of OpenCV, whose pen they are compared with.
    """
    side = int(reach) + 1
    single = np.ones((2 * side + 1, 2 * side + 1), np.uint8)
    single[side, side] = 0
    distances = cv2.distanceTransform(single, cv2.DIST_L2, cv2.DIST_MASK_5)
    steps = np.argwhere(distances < reach)
    return steps - side, distances[tuple(steps.T)]


def draw_stroke(canvas: np.ndarray, path: np.ndarray, value: int, width: float) -> None:
    """Draw a polyline [N, 2] with a round pen on a canvas [H, W] uint8, in place.

    width: pixels; the pen is at least one pixel wide
    """
    vertices = np.floor(path).astype(np.int32).reshape(-1, 1, 2)
    if len(vertices) == 1:
        vertices = np.repeat(vertices, 2, axis=0)  # OpenCV draws nothing for a line of one vertex
    cv2.polylines(canvas, [vertices], False, int(value), max(1, round(width)))


def skeleton_path(pixels: np.ndarray, side: int = SKELETON_SIDE) -> np.ndarray:
    """Return the longest of the shortest paths [N, 2] in the skeleton of a region, (x, y) pixels.

    pixels: [H, W] bool, sampled to at most `side` a side. The path is found by two breadth-first
    searches, the second from the end of the first, without trying every pair of ends.
    """
    from scipy.sparse.csgraph import breadth_first_order, connected_components
    from skimage.morphology import skeletonize

    small, columns, rows = shrink(pixels, side)
    skeleton = skeletonize(small)
    ys, xs = np.nonzero(skeleton if skeleton.any() else small)
    graph = neighbours(ys, xs, small.shape)
    order = breadth_first_order(graph, 0)[0] if len(ys) else ys
    if len(order) < len(ys):  # the skeleton is in pieces: take the largest
        pieces = connected_components(graph)[1]
        first = np.argmax(pieces == np.argmax(np.bincount(pieces)))
        order = breadth_first_order(graph, first)[0]
    if side < max(pixels.shape) and len(order) <= 0.8 * len(ys):
        return skeleton_path(pixels, max(pixels.shape))  # too thin a region to be sampled
    end = order[-1]
    order, tree = breadth_first_order(graph, end)
    walk, before = [order[-1]], tree.tolist()
    while walk[-1] != end:
        walk.append(before[walk[-1]])
    return np.stack([columns[xs[walk]] + 0.5, rows[ys[walk]] + 0.5], axis=1)


def neighbours(ys: np.ndarray, xs: np.ndarray, shape: tuple[int, ...]) -> "csr_array":
    """Return which of the listed pixels touch, as a graph [K, K]: a sparse matrix of ones.

    ys, xs: [K], in the order of an image of that shape
    """
    from scipy.sparse import csr_array

    row = shape[1] + 2  # with a margin around the image, whose pixels are numbered row by row
    index = np.full((shape[0] + 2) * row, -1, np.int32)
    at = (ys + 1) * row + xs + 1
    index[at] = np.arange(len(ys))
    others = index[at[:, None] + STEPS @ (row, 1)]
    touching = others >= 0
    ends = np.concatenate([[0], np.cumsum(touching.sum(1))]).astype(np.int32)
    return csr_array((np.ones(ends[-1]), others[touching], ends), shape=(len(ys), len(ys)))


def shrink(pixels: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (sampled pixels, columns, rows): every n-th pixel, so that at most `side` are left.

    columns, rows: which ones of the original were taken
    """
    step = max(*pixels.shape, side) / side
    sampled = []
    for length in pixels.shape:
        count = max(1, int(length / step))
        sampled.append(((np.arange(count) + 0.5) * length / count).astype(int))
    rows, columns = sampled
    return pixels[rows].take(columns, axis=1), columns, rows
