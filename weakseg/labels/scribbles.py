"""Strokes as people draw them: along an object's skeleton, within it, with a pen of its width."""

from functools import cache

import cv2
import numpy as np

STEPS = np.array(
    [(0, 1), (1, -1), (1, 0), (1, 1), (-1, -1), (-1, 0), (-1, 1), (0, -1)]
)  # (dy, dx) around a pixel
SKELETON_SIDE = 128  # skeletons are found on a mask no larger than this; the path is mapped back to original pixels


def annotate_scribbles(scene, rng):
    """Return [{"class", "width", "path": [[x, y], ...]}, ...]: a stroke on each object and one on
    the background.

    With noise p a stroke is shifted as a whole, by N(0, p x the object's size), but stays on the
    picture.
    """
    strokes, (height, width) = [], scene.mask.shape
    for region in [*scene.objects, *scene.background[:1]]:
        path, pen = skeleton_stroke(region, scene.options, rng)
        shift = rng.normal(size=2) * scene.options.noise * region.size
        shift = np.clip(shift, -path.min(0), (width, height) - path.max(0) - 0.01)
        strokes.append(
            {"class": region.label, "width": pen, "path": np.round(path + shift, 2).tolist()}
        )
    return strokes


def skeleton_stroke(region, options, rng):
    """Return a smooth path [N, 2] inside the object along its skeleton, and a pen width that stays
    inside it too.
    """
    from scipy.ndimage import gaussian_filter1d

    path = skeleton_path(region.pixels)
    keep = max(1, round(options.scribble_length * len(path)))
    start = int(rng.integers(len(path) - keep + 1))
    path = path[start : start + keep]
    smoothed = [gaussian_filter1d(path, sigma, axis=0, mode="nearest") for sigma in (2.0, 1.0)] + [
        path
    ]
    lines = [(line, pieces_between(line)) for line in np.round(smoothed, 2)]
    path = longest_run_inside(densify(*lines[0]), region.pixels)
    if len(path) < 0.9 * max(
        pieces.sum() + 1 for _, pieces in lines
    ):  # else no other run can be much longer
        runs = [path] + [longest_run_inside(densify(*line), region.pixels) for line in lines[1:]]
        most = max(map(len, runs))
        path = next(
            run for run in runs if len(run) >= 0.9 * most
        )  # smoothing cuts thin bends: then less of it
    path, width = fit_pen(path, region.pixels, options.scribble_width)
    return path + region.box[:2], width


def pieces_between(path):
    """Return [N - 1], in how many pieces the edges of a polyline [N, 2] must be cut for the pixels
    below to touch.
    """
    gaps = np.abs(path[1:] - path[:-1]).max(1, initial=0)
    return np.where(gaps < 1.001, 1, np.ceil(gaps / 0.95)).astype(int)


def densify(path, pieces):
    """Return the polyline [N, 2] with its edges cut into so many pieces, rounded."""
    ends = np.concatenate([[0], np.cumsum(pieces)])
    at = np.interp(np.arange(ends[-1] + 1), ends, np.arange(len(path)))
    return np.round(
        np.stack([np.interp(at, np.arange(len(path)), path[:, k]) for k in (0, 1)], axis=1), 2
    )


def longest_run_inside(path, pixels):
    """Return the longest stretch of `path` whose vertices all lie on `pixels`; it may be empty."""
    columns, rows = path.astype(int).T
    inside = pixels[rows, columns]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.view(np.int8), [0]])))
    if not len(edges):
        return path[:0]
    starts, ends = edges[::2], edges[1::2]
    best = int(np.argmax(ends - starts))
    return path[starts[best] : ends[best]]


def fit_pen(path, pixels, widest):
    """Return (path, width): the widest pen, `widest` at most, whose stroke stays on `pixels`, and
    fewer vertices.

    A pen one pixel wide over all the vertices always stays inside, for they lie on pixels that
    touch.
    """
    simple = cv2.approxPolyDP(path.astype(np.float32), 0.5, False)[:, 0].astype(float).round(2)
    around = widest + 2  # so that the edge of the picture bounds the object as well
    columns, rows = path.astype(int).T
    left, top = columns.min() - around, rows.min() - around
    right, bottom = columns.max() + around + 1, rows.max() + around + 1
    (height, width), seen = (
        pixels.shape,
        pixels[max(0, top) : bottom, max(0, left) : right].view(np.uint8),
    )
    beyond = (max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width))
    inside = cv2.copyMakeBorder(seen, *beyond, cv2.BORDER_CONSTANT, value=0)
    steps, distances = steps_around(widest / 2)
    at = (rows - top) * inside.shape[1] + columns - left
    near = inside.ravel()[at[:, None] + steps @ (inside.shape[1], 1)].all(0)
    room = distances[~near].min(initial=widest)
    for width in range(int(np.clip(2 * room, 1, widest)), 0, -1):
        for candidate in (simple, path):
            drawn = np.zeros(inside.shape, np.uint8)
            draw_stroke(drawn, candidate - (left, top), 1, width)
            if not (drawn > inside).any():
                return candidate, width
    raise AssertionError("a stroke one pixel wide left the pixels under its own vertices")


@cache
def steps_around(reach):
    """Return the steps [K, 2] (dy, dx) to the pixels nearer than `reach`, and their distances [K],
    as OpenCV counts.
    """
    side = int(reach) + 1
    single = np.ones((2 * side + 1, 2 * side + 1), np.uint8)
    single[side, side] = 0
    distances = cv2.distanceTransform(single, cv2.DIST_L2, cv2.DIST_MASK_5)
    steps = np.argwhere(distances < reach)
    return steps - side, distances[tuple(steps.T)]


def draw_stroke(canvas, path, value, width):
    """Draw a polyline [N, 2] with a round pen, at least one pixel wide, on a uint8 array [H, W], in
    place.
    """
    vertices = np.floor(path).astype(np.int32).reshape(-1, 1, 2)
    if len(vertices) == 1:
        vertices = np.repeat(vertices, 2, axis=0)  # OpenCV draws nothing for a line of one vertex
    cv2.polylines(canvas, [vertices], False, int(value), max(1, round(width)))


def skeleton_path(pixels, side=SKELETON_SIDE):
    """Return the longest shortest path [N, 2] through the skeleton of a connected region, in its
    own (x, y) pixels.

    Two breadth-first searches, the second from the end of the first, find it without trying every
    pair of ends.
    """
    from scipy.sparse.csgraph import breadth_first_order, connected_components
    from skimage.morphology import skeletonize

    small, columns, rows = shrink(pixels, side)
    skeleton = skeletonize(small)
    ys, xs = np.nonzero(skeleton if skeleton.any() else small)
    graph = neighbours(ys, xs, small.shape)
    order = breadth_first_order(graph, 0)[0] if len(ys) else ys
    if len(order) < len(ys):
        pieces = connected_components(graph)[1]
        order = breadth_first_order(graph, np.argmax(pieces == np.argmax(np.bincount(pieces))))[0]
    if side < max(pixels.shape) and len(order) <= 0.8 * len(
        ys
    ):  # too thin to be sampled: it fell to pieces
        return skeleton_path(pixels, max(pixels.shape))
    end = order[-1]
    order, previous = breadth_first_order(graph, end)
    walk, previous = [order[-1]], previous.tolist()
    while walk[-1] != end:
        walk.append(previous[walk[-1]])
    return np.stack([columns[xs[walk]] + 0.5, rows[ys[walk]] + 0.5], axis=1)


def neighbours(ys, xs, shape):
    """Return the graph of the listed pixels that touch, in the order of an image, as a sparse
    matrix of ones.
    """
    from scipy.sparse import csr_array

    row = shape[1] + 2  # with a margin around the image, whose pixels are numbered row by row
    index = np.full((shape[0] + 2) * row, -1, np.int32)
    at = (ys + 1) * row + xs + 1
    index[at] = np.arange(len(ys))
    others = index[at[:, None] + STEPS @ (row, 1)]
    touching = others >= 0
    ends = np.concatenate([[0], np.cumsum(touching.sum(1))])
    return csr_array(
        (np.ones(ends[-1]), others[touching], ends.astype(np.int32)), shape=(len(ys), len(ys))
    )


def shrink(pixels, side):
    """Return `pixels` sampled to at most `side` a side, with the columns and rows that were
    sampled.
    """
    step = max(*pixels.shape, side) / side
    sampled = []
    for length in pixels.shape:
        count = max(1, int(length / step))
        sampled.append(((np.arange(count) + 0.5) * length / count).astype(int))
    rows, columns = sampled
    return pixels[rows].take(columns, axis=1), columns, rows
