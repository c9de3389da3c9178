"""Simulated annotators: from a ground-truth mask to tags, points, scribbles and boxes.

Coordinates are (x, y) in original pixels, x to the right and y down; pixel i covers [i, i + 1), its
centre is i + 0.5. Annotations are plain Python values. Every function takes its own random
generator, so a signal's annotation depends on nothing but the mask, the options and that generator.
"""

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from weakseg.common import IGNORE

DRAWING = 1  # raise it when the same mask, options and seed give other labels than before


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
    """One connected object: its class, its pixels inside its tight box [x0, y0, x1, y1), its area
    in pixels.
    """

    label: int
    box: tuple
    pixels: np.ndarray
    area: int

    @property
    def size(self):
        """Diagonal of the tight box, pixels."""
        return float(np.hypot(self.box[2] - self.box[0], self.box[3] - self.box[1]))

    @cached_property
    def rows(self):
        """How many pixels each row of the box has, [h] int32."""
        return cv2.reduce(self.pixels.view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0]

    @cached_property
    def columns(self):
        """How many pixels each column of the box has, [w] int32."""
        return cv2.reduce(self.pixels.view(np.uint8), 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0]


@dataclass
class Scene:
    """What the annotator looks at: a mask [H, W] uint8 (255 = ignore); the tags that hold out of
    all `tag_names`.
    """

    mask: np.ndarray
    tags: tuple = ()
    tag_names: tuple = ()
    options: Options = field(default_factory=Options)

    @cached_property
    def objects(self):
        """Foreground regions, largest first in each class; specks are dropped, but no class loses
        its last region.
        """
        found = []
        for label in (
            np.flatnonzero(cv2.calcHist([self.mask], [0], None, [256], [0, 256]).ravel()[1:IGNORE])
            + 1
        ):
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
    pixels = mask == label
    outlines, tree = cv2.findContours(
        pixels.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    outer = (
        [line for line, (*_, parent) in zip(outlines, tree[0], strict=True) if parent < 0]
        if outlines
        else []
    )
    boxes = [cv2.boundingRect(outline) for outline in outer]
    if len(boxes) <= 1:
        return [make_region(label, box, pixels) for box in boxes]
    _, components = cv2.connectedComponents(pixels.view(np.uint8), connectivity=8)
    numbered = sorted(
        (components[line[0, 0, 1], line[0, 0, 0]], box)
        for line, box in zip(outer, boxes, strict=True)
    )
    regions = [make_region(label, box, components, number) for number, box in numbered]
    return sorted(regions, key=lambda region: -region.area)


def make_region(label, box, components, number=True):
    """Return the `Region` of a class that has this number among the components [H, W]; box: (x, y,
    width, height).
    """
    left, top, width, height = box
    pixels = components[top : top + height, left : left + width] == number
    return Region(
        label, (left, top, left + width, top + height), pixels, int(np.count_nonzero(pixels))
    )


def annotate_tags(scene, rng):
    """Return {"present": [names], "absent": [names]}: each name is ruled in or out, wrongly with
    chance `noise`.
    """
    wrong = rng.random(len(scene.tag_names)) < scene.options.noise
    says = [
        (name in scene.tags) != flip
        for name, flip in zip(scene.tag_names, wrong.tolist(), strict=True)
    ]
    answers = list(zip(scene.tag_names, says, strict=True))
    return {
        "present": [n for n, yes in answers if yes],
        "absent": [n for n, yes in answers if not yes],
    }


def annotate_points(scene, rng):
    """Return [[x, y, class], ...]: clicks on each object, the first near its centroid, and clicks
    on the background.
    """
    options, aims = scene.options, []
    for region in scene.objects:
        central = [] if options.random_points else [(region, central_pixel(region))]
        drawn = random_pixels([region], options.points_per_object - len(central), rng)
        aims += (central + drawn)[: options.points_per_object]
    aims += random_pixels(scene.background, options.background_points, rng)
    return [click(region, point, scene, rng) for region, point in aims]


def central_pixel(region):
    """Return the centre (x, y) of the object's pixel nearest to the object's centroid; it is looked
    for around it.
    """
    x, y = (
        int(counts @ np.arange(len(counts))) / region.area
        for counts in (region.columns, region.rows)
    )
    reach, nearest = 4, np.inf
    while nearest > (reach - 1) ** 2:  # a nearer one may lie outside of what was looked at
        reach *= 2
        left, top = max(0, int(x) - reach), max(0, int(y) - reach)
        rows, columns = np.nonzero(
            region.pixels[top : int(y) + reach + 1, left : int(x) + reach + 1]
        )
        distances = (rows + top - y) ** 2 + (columns + left - x) ** 2
        nearest = distances.min(initial=np.inf)
    i = np.argmin(distances)
    return columns[i] + left + region.box[0] + 0.5, rows[i] + top + region.box[1] + 0.5


def random_pixels(regions, count, rng):
    """Return `count` pairs (region, centre of one of its pixels), drawn evenly over all pixels of
    the regions.

    The pixels are all different, unless there are fewer than `count`.
    """
    if count <= 0 or not regions:
        return []
    ends = np.cumsum([region.area for region in regions])
    drawn = []
    for pick in rng.choice(ends[-1], size=count, replace=count > ends[-1]):
        region = regions[np.searchsorted(ends, pick, side="right")]
        # The pick counts pixels from the first region's first; modulo the area, it is still even
        # within the region.
        pick %= region.area
        until = np.cumsum(region.rows)
        row = int(np.searchsorted(until, pick, side="right"))
        column = int(np.flatnonzero(region.pixels[row])[pick - until[row]])  # from the row's end on
        drawn.append((region, (column + region.box[0] + 0.5, row + region.box[1] + 0.5)))
    return drawn


def click(region, point, scene, rng):
    """Return [x, y, class]; with noise p the click misses the class with probability p, and else
    wobbles inside it.

    A click that finds no place where it should go (a miss where the class fills the picture) stays
    where it was aimed.
    """
    noise = scene.options.noise
    if noise:
        misses = rng.random() < noise
        spread = region.size / 2 if misses else region.size * noise
        # Rounded before it is judged: rounding may move a click to the next pixel.
        tries = np.round(np.asarray(point) + rng.normal(scale=max(spread, 1.0), size=(64, 2)), 2)
        height, width = scene.mask.shape
        tries = tries[((tries >= 0) & (tries < (width, height))).all(1)]
        columns, rows = tries.astype(int).T
        fitting = tries[(scene.mask[rows, columns] != region.label) == misses]
        point = fitting[0] if len(fitting) else point
    return [float(point[0]), float(point[1]), region.label]


def annotate_boxes(scene, rng):
    """Return [[x0, y0, x1, y1, class], ...], tight; with noise p each side lies outside by |N(0, p
    x its length)|.
    """
    height, width = scene.mask.shape
    boxes = []
    for region in scene.objects:
        x0, y0, x1, y1 = region.box
        slack = np.abs(rng.normal(size=4)) * scene.options.noise * np.array([x1 - x0, y1 - y0] * 2)
        loose = [
            max(0, x0 - slack[0]),
            max(0, y0 - slack[1]),
            min(width, x1 + slack[2]),
            min(height, y1 + slack[3]),
        ]
        boxes.append([round(float(v), 2) for v in loose] + [region.label])
    return boxes
