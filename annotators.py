"""Simulated annotators: from a ground-truth mask to tags, points, scribbles and boxes.

Coordinates are (x, y) in original pixels, x to the right and y down; pixel i covers [i, i + 1), so its centre is i + 0.5.
Annotations are plain Python values. Every function takes its own random generator, so a signal's annotation depends on
nothing but the mask, the options and that generator.
"""

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

IGNORE = 255
SKELETON_SIDE = 128  # skeletons are found on a mask no larger than this; the path is mapped back to original pixels


@dataclass(frozen=True)
class Options:
    """How the annotator works; recorded in the header of the weak-label file."""

    points_per_object: int = 1
    background_points: int = 1
    random_points: bool = False
    scribble_length: float = 0.7
    scribble_width: int = 3
    min_area: float = 0.001
    noise: float = 0.0


@dataclass(frozen=True)
class Region:
    """One connected object: its class, its pixels inside its tight box [x0, y0, x1, y1), its area in pixels."""

    label: int
    box: tuple
    pixels: np.ndarray
    area: int

    @property
    def size(self):
        """Diagonal of the tight box, pixels."""
        return float(np.hypot(self.box[2] - self.box[0], self.box[3] - self.box[1]))

    def holds(self, x, y):
        """Whether the pixel under (x, y) belongs to the object."""
        column, row = int(np.floor(x)) - self.box[0], int(np.floor(y)) - self.box[1]
        inside = 0 <= row < self.pixels.shape[0] and 0 <= column < self.pixels.shape[1]
        return bool(inside and self.pixels[row, column])


@dataclass
class Scene:
    """What the annotator looks at: a mask [H, W] uint8 (255 = ignore) and the tags that hold, out of all `tag_names`."""

    mask: np.ndarray
    tags: tuple = ()
    tag_names: tuple = ()
    options: Options = field(default_factory=Options)

    @cached_property
    def objects(self):
        """Foreground regions, largest first in each class; specks are dropped, but no class loses its last region."""
        found = []
        for label in np.flatnonzero(np.bincount(self.mask.ravel(), minlength=256)[1:IGNORE]) + 1:
            regions = connected_regions(self.mask, int(label))
            keep = [r for r in regions if r.area >= self.options.min_area * self.mask.size]
            found += keep or regions[:1]
        return found

    @cached_property
    def background(self):
        """Background regions, largest first."""
        return connected_regions(self.mask, 0)


def connected_regions(mask, label):
    """Return the 8-connected `Region`s of one class, largest first."""
    count, components, stats, _ = cv2.connectedComponentsWithStats((mask == label).view(np.uint8), connectivity=8)
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable") if count > 1 else []
    regions = []
    for i in order:
        x, y, w, h, area = (int(v) for v in stats[i])
        regions.append(Region(label, (x, y, x + w, y + h), components[y : y + h, x : x + w] == i, area))
    return regions


def annotate_tags(scene, rng):
    """Return {"present": [names], "absent": [names]}: every name is ruled in or out; noise is the rate of wrong answers."""
    wrong = rng.random(len(scene.tag_names)) < scene.options.noise
    says = [(name in scene.tags) != flip for name, flip in zip(scene.tag_names, wrong.tolist(), strict=True)]
    answers = list(zip(scene.tag_names, says, strict=True))
    return {"present": [n for n, yes in answers if yes], "absent": [n for n, yes in answers if not yes]}


def annotate_points(scene, rng):
    """Return [[x, y, class], ...]: clicks on each object, the first near its centroid, and clicks on the background."""
    points = []
    for region in scene.objects:
        central = [] if scene.options.random_points else [(region, central_pixel(region))]
        aims = central + random_pixels([region], scene.options.points_per_object - len(central), rng)
        points += [click(*aim, scene, rng) for aim in aims[: scene.options.points_per_object]]
    return points + [
        click(*aim, scene, rng) for aim in random_pixels(scene.background, scene.options.background_points, rng)
    ]


def central_pixel(region):
    """Return the centre (x, y) of the object's pixel nearest to the object's centroid."""
    rows, columns = np.nonzero(region.pixels)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return columns[nearest] + region.box[0] + 0.5, rows[nearest] + region.box[1] + 0.5


def random_pixels(regions, count, rng):
    """Return `count` pairs (region, centre of one of its pixels), drawn evenly over all pixels of the regions."""
    if count <= 0 or not regions:
        return []
    areas = np.array([region.area for region in regions], float)
    drawn = []
    for i in rng.choice(len(regions), size=count, p=areas / areas.sum()):
        region = regions[i]
        row, column = divmod(int(rng.choice(np.flatnonzero(region.pixels))), region.pixels.shape[1])
        drawn.append((region, (column + region.box[0] + 0.5, row + region.box[1] + 0.5)))
    return drawn


def click(region, point, scene, rng):
    """Return [x, y, class]; with noise p the click misses the object with probability p, and else wobbles inside it."""
    noise = scene.options.noise
    if noise:
        misses = rng.random() < noise
        spread = region.size / 2 if misses else region.size * noise
        tries = np.asarray(point) + rng.normal(scale=max(spread, 1.0), size=(64, 2))
        height, width = scene.mask.shape
        on_image = tries[((tries >= 0) & (tries < (width, height))).all(1)]
        point = next((p for p in on_image if region.holds(*p) != misses), point)
    return [round(float(point[0]), 2), round(float(point[1]), 2), region.label]


def annotate_boxes(scene, rng):
    """Return [[x0, y0, x1, y1, class], ...], tight; with noise p each side lies outside by |N(0, p x its length)|."""
    height, width = scene.mask.shape
    boxes = []
    for region in scene.objects:
        x0, y0, x1, y1 = region.box
        slack = np.abs(rng.normal(size=4)) * scene.options.noise * np.array([x1 - x0, y1 - y0] * 2)
        loose = [max(0, x0 - slack[0]), max(0, y0 - slack[1]), min(width, x1 + slack[2]), min(height, y1 + slack[3])]
        boxes.append([round(float(v), 2) for v in loose] + [region.label])
    return boxes


def annotate_scribbles(scene, rng):
    """Return [{"class", "width", "path": [[x, y], ...]}, ...]: a stroke on each object and one on the background."""
    strokes = []
    for region in [*scene.objects, *scene.background[:1]]:
        path, width = skeleton_stroke(region, scene.options, rng)
        path = path + rng.normal(size=2) * scene.options.noise * region.size
        strokes.append({"class": region.label, "width": width, "path": np.round(path, 2).tolist()})
    return strokes


def skeleton_stroke(region, options, rng):
    """Return a smooth path [N, 2] inside the object along its skeleton, and a pen width that stays inside it too."""
    from scipy.ndimage import gaussian_filter1d

    path = skeleton_path(region.pixels)
    keep = max(1, round(options.scribble_length * len(path)))
    start = int(rng.integers(len(path) - keep + 1))
    path = path[start : start + keep]
    # One pixel of margin all round, so that the edge of the picture bounds the object as well.
    clearance = cv2.distanceTransform(np.pad(region.pixels, 1).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    smooth = gaussian_filter1d(path, sigma=2.0, axis=0, mode="nearest")
    path = longest_run_inside(densify(smooth), region.pixels, densify(path))
    room = clearance[path[:, 1].astype(int), path[:, 0].astype(int)].min()
    width = int(np.clip(2 * room - 3, 1, options.scribble_width))
    every = max(1, min(4, len(path) // 2)) if room > 4 else 1
    return np.concatenate([path[:-1:every], path[-1:]]) + region.box[:2], width


def densify(path):
    """Return the polyline [N, 2] with extra vertices, so that neighbours are at most one pixel apart along each axis."""
    if len(path) < 2:
        return path
    gaps = np.abs(np.diff(path, axis=0)).max(1)
    along = np.concatenate([[0], np.cumsum(np.maximum(gaps, 1e-9))])
    at = np.linspace(0, along[-1], int(np.ceil(along[-1])) + 1)
    return np.stack([np.interp(at, along, path[:, k]) for k in (0, 1)], axis=1)


def longest_run_inside(path, pixels, fallback):
    """Return the longest stretch of `path` whose vertices all lie on `pixels`; without one, that of `fallback`."""
    columns, rows = np.floor(path).astype(int).T
    inside = pixels[rows.clip(0, pixels.shape[0] - 1), columns.clip(0, pixels.shape[1] - 1)]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.view(np.int8), [0]])))
    if not len(edges):
        return longest_run_inside(fallback, pixels, fallback)
    starts, ends = edges[::2], edges[1::2]
    best = int(np.argmax(ends - starts))
    return path[starts[best] : ends[best]]


def skeleton_path(pixels):
    """Return the longest shortest path [N, 2] through the skeleton of a connected region, in its own (x, y) pixels.

    Two breadth-first searches, the second from the end of the first, find it without trying every pair of ends.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order
    from skimage.morphology import skeletonize

    small, columns, rows = shrink(pixels)
    skeleton = skeletonize(small)
    index = np.full(np.add(small.shape, 2), -1)
    ys, xs = np.nonzero(skeleton if skeleton.any() else small)
    index[ys + 1, xs + 1] = np.arange(len(ys))
    pairs = []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        other = index[ys + 1 + dy, xs + 1 + dx]
        pairs.append(np.stack([np.flatnonzero(other >= 0), other[other >= 0]]))
    a, b = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(len(ys), len(ys))).tocsr()
    end = breadth_first_order(graph, 0, directed=False)[0][-1]
    order, previous = breadth_first_order(graph, end, directed=False)
    walk = [order[-1]]
    while walk[-1] != end:
        walk.append(previous[walk[-1]])
    return np.stack([columns[xs[walk]] + 0.5, rows[ys[walk]] + 0.5], axis=1)


def shrink(pixels):
    """Return `pixels` sampled to at most SKELETON_SIDE a side, with the columns and rows that were sampled."""
    height, width = pixels.shape
    step = max(height, width, SKELETON_SIDE) / SKELETON_SIDE
    rows = ((np.arange(max(1, int(height / step))) + 0.5) * height / max(1, int(height / step))).astype(int)
    columns = ((np.arange(max(1, int(width / step))) + 0.5) * width / max(1, int(width / step))).astype(int)
    small = np.ascontiguousarray(pixels[np.ix_(rows, columns)])
    if small.any():
        return small, columns, rows
    return pixels, np.arange(width), np.arange(height)
