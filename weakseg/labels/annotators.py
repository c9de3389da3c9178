"""Simulated annotators: from a mask to tags, points and boxes; scribbles.py draws the strokes.

Coordinates are (x, y) in original pixels, x to the right and y down; pixel i covers [i, i + 1), its
centre is i + 0.5. Annotations are plain Python values. Every function takes its own random
generator, so a signal's annotation depends on nothing but the mask, the options and that generator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Self

import cv2
import numpy as np

from weakseg.common import IGNORE
from weakseg.labels.person import USUAL, Faults

DRAWING = 1  # raise it when the same mask, options and seed give other labels than before
MATCH = -1  # number of background clicks: as many as on objects
TRIES = 64  # places that a noisy click may go to; the first that fits is taken

Tags = dict[str, list[str]]  # {"present": names, "absent": names}
Point = list[float]  # [x, y, class]
Box = list[float]  # [x0, y0, x1, y1, class]


@dataclass(frozen=True)
class Options:
    """How the annotator works; recorded in the header of the weak-label file.

    points_per_object, background_points   clicks on each object, and on the background of an image;
                                           `MATCH`: there as many as on all its objects, at least 1
    random_points                          click anywhere on the object, not near its centroid first
    scribble_length                        share of the skeleton's path
    scribble_width                         widest pen, original pixels
    min_area                               smallest object, share of the image; where instances are
                                           known, none of them is too small
    outline_iou                            IoU of coarse outlines with their objects
    noise                                  error rate, as each `annotate_` function says
    pixels_per_image                       pixels of an image that the person is asked to name
    faults                                 of the person who names them
    """

    points_per_object: int = 1
    background_points: int = 1
    random_points: bool = False
    scribble_length: float = 0.7
    scribble_width: int = 3
    min_area: float = 0.001
    outline_iou: float = 0.9
    noise: float = 0.0
    pixels_per_image: int = 4
    faults: Faults = USUAL

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the options in the header of a label file; what it lacks is as usual."""
        known = {field.name: given[field.name] for field in fields(cls) if field.name in given}
        faults = known.pop("faults", None)
        return cls(**known, faults=Faults(**faults) if isinstance(faults, Mapping) else USUAL)


@dataclass(frozen=True)
class Region:
    """One object of a class, or one connected region of the background.

    label    the class
    box      its tight box (x0, y0, x1, y1), x1 and y1 just outside
    pixels   [h, w] bool, its pixels inside the box
    area     number of pixels
    """

    label: int
    box: tuple[int, int, int, int]
    pixels: np.ndarray
    area: int

    @property
    def size(self) -> float:
        """Diagonal of the tight box, pixels."""
        return float(np.hypot(self.box[2] - self.box[0], self.box[3] - self.box[1]))

    @cached_property
    def rows(self) -> np.ndarray:
        """Number of pixels in each row of the box, [h] int32."""
        return cv2.reduce(self.pixels.view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0]

    @cached_property
    def columns(self) -> np.ndarray:
        """Number of pixels in each column of the box, [w] int32."""
        return cv2.reduce(self.pixels.view(np.uint8), 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0]


@dataclass
class Scene:
    """The picture that an annotator looks at.

    mask            [H, W] uint8 classes, 255 = ignore
    tags            those of `tag_names` that hold
    instances       [H, W] uint16 number of the object at each pixel, 0 = none; None: not known
    has_background  whether class 0 is what no object covers; else it has objects like any other
    name            of the picture, and
    seed            of the person, on whom their answers to single pixels depend
    num_classes     that they choose among
    """

    mask: np.ndarray
    tags: Sequence[str] = ()
    tag_names: Sequence[str] = ()
    options: Options = field(default_factory=Options)
    instances: np.ndarray | None = None
    has_background: bool = True
    name: str = ""
    seed: int = 0
    num_classes: int = 2

    @cached_property
    def objects(self) -> list[Region]:
        """Foreground regions by class, the largest first; specks are dropped.

        A speck is smaller than `min_area`. The largest region of a class is kept even so, and so is
        each known instance.
        """
        smallest = self.options.min_area * self.mask.size
        return objects_in(self.mask, self.instances, self.has_background, smallest)

    @cached_property
    def background(self) -> list[Region]:
        """Background regions, the largest first."""
        return connected_regions(self.mask, 0) if self.has_background else []


def objects_in(
    mask: np.ndarray,
    instances: np.ndarray | None = None,
    has_background: bool = True,
    smallest: float = 0,
) -> list[Region]:
    """Return the objects in a mask [H, W] uint8 by class, those of a class the largest first.

    They are the known instances, and the connected regions of what belongs to none; of these, all
    of at least `smallest` pixels, or the largest where a class would have no object.
    """
    known: list[Region] = []
    if instances is not None:
        known, mask = split_instances(mask, instances, has_background)
    first = int(has_background)
    histogram = cv2.calcHist([mask], [0], None, [256], [0, 256]).ravel()[:IGNORE]
    labels = {int(label) for label in np.flatnonzero(histogram) if label >= first}
    objects = []
    for label in sorted(labels | {region.label for region in known}):
        own = [region for region in known if region.label == label]
        regions = connected_regions(mask, label) if label in labels else []
        own += [region for region in regions if region.area >= smallest]
        objects += sorted(own, key=lambda region: -region.area) or regions[:1]
    return objects


def split_instances(
    mask: np.ndarray, instances: np.ndarray, has_background: bool
) -> tuple[list[Region], np.ndarray]:
    """Return the objects that instances [H, W] name, and a mask [H, W] without their pixels, 255.

    An instance is of the class that most of its labelled pixels have, and consists of those pixels;
    it may be in pieces. One that is mostly background, as of a class that is left out, is none.
    """
    from scipy.ndimage import find_objects

    rest, regions = mask.copy(), []
    for number, place in enumerate(find_objects(instances), 1):
        if place is None:
            continue
        part = mask[place]
        pixels = instances[place] == number
        counts = np.bincount(part[pixels], minlength=256)[:IGNORE]
        label = int(counts.argmax())
        if counts[label] and label >= int(has_background):
            pixels &= part == label
            rest[place][pixels] = IGNORE
            regions.append(trimmed(label, place, pixels))
    return regions, rest


def trimmed(label: int, place: tuple[slice, slice], pixels: np.ndarray) -> Region:
    """Return the `Region` of a class in a tight box.

    pixels: [h, w] bool, not empty, of the part of the mask at `place`
    """
    rows, columns = (np.flatnonzero(pixels.any(axis)) for axis in (1, 0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    y, x = place[0].start, place[1].start
    box = (int(x + left), int(y + top), int(x + right), int(y + bottom))
    inside = np.ascontiguousarray(pixels[top:bottom, left:right])
    return Region(label, box, inside, int(np.count_nonzero(inside)))


def connected_regions(mask: np.ndarray, label: int) -> list[Region]:
    """Return the 8-connected regions of one class in a mask [H, W] uint8, the largest first."""
    pixels = mask == label
    outlines, tree = cv2.findContours(
        pixels.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    if not outlines:
        return []
    # An outline inside another is the rim of a hole.
    outer = [line for line, (*_, parent) in zip(outlines, tree[0], strict=True) if parent < 0]
    boxes = [cv2.boundingRect(line) for line in outer]
    if len(boxes) == 1:  # so nothing need be numbered, which takes most of the time
        return [make_region(label, boxes[0], pixels)]
    _, components = cv2.connectedComponents(pixels.view(np.uint8), connectivity=8)
    numbered = sorted(
        (components[line[0, 0, 1], line[0, 0, 0]], box)
        for line, box in zip(outer, boxes, strict=True)
    )
    regions = [make_region(label, box, components, number) for number, box in numbered]
    return sorted(regions, key=lambda region: -region.area)


def make_region(
    label: int, box: Sequence[int], components: np.ndarray, number: int | bool = True
) -> Region:
    """Return the `Region` of a class whose pixels have a number among the components [H, W].

    box: (x, y, width, height)
    """
    left, top, width, height = box
    pixels = components[top : top + height, left : left + width] == number
    corners = (left, top, left + width, top + height)
    return Region(label, corners, pixels, int(np.count_nonzero(pixels)))


# ---- tags


def annotate_tags(scene: Scene, rng: np.random.Generator) -> Tags:
    """Return {"present": names, "absent": names}: each tag is ruled in or out.

    With noise p each answer is wrong with probability p.
    """
    wrong = rng.random(len(scene.tag_names)) < scene.options.noise
    answers: Tags = {"present": [], "absent": []}
    for name, flip in zip(scene.tag_names, wrong.tolist(), strict=True):
        answers["present" if (name in scene.tags) != flip else "absent"].append(name)
    return answers


# ---- points


def annotate_points(scene: Scene, rng: np.random.Generator) -> list[Point]:
    """Return [[x, y, class], ...]: clicks on each object, then clicks on the background.

    The first click on an object is near its centroid, unless `random_points`.
    """
    options, aims = scene.options, []
    for region in scene.objects:
        central = [] if options.random_points else [(region, central_pixel(region))]
        drawn = random_pixels([region], options.points_per_object - len(central), rng)
        aims += (central + drawn)[: options.points_per_object]
    behind = max(1, len(aims)) if options.background_points == MATCH else options.background_points
    aims += random_pixels(scene.background, behind, rng)
    return [click(region, point, scene, rng) for region, point in aims]


def central_pixel(region: Region) -> tuple[float, float]:
    """Return the centre (x, y) of the region's pixel that is nearest to the region's centroid."""
    x, y = (
        int(counts @ np.arange(len(counts))) / region.area
        for counts in (region.columns, region.rows)
    )
    # Look at a square around the centroid, and at a larger one if a nearer pixel may lie outside.
    reach, nearest = 4, np.inf
    while nearest > (reach - 1) ** 2:
        reach *= 2
        left, top = max(0, int(x) - reach), max(0, int(y) - reach)
        rows, columns = np.nonzero(
            region.pixels[top : int(y) + reach + 1, left : int(x) + reach + 1]
        )
        distances = (rows + top - y) ** 2 + (columns + left - x) ** 2
        nearest = distances.min(initial=np.inf)
    i = np.argmin(distances)
    return columns[i] + left + region.box[0] + 0.5, rows[i] + top + region.box[1] + 0.5


def random_pixels(
    regions: list[Region], count: int, rng: np.random.Generator
) -> list[tuple[Region, tuple[float, float]]]:
    """Return `count` pairs (region, centre of a pixel in it), drawn evenly over all pixels.

    The pixels are all different, unless there are fewer than `count`.
    """
    if count <= 0 or not regions:
        return []
    ends = np.cumsum([region.area for region in regions])
    drawn = []
    for pick in rng.choice(ends[-1], size=count, replace=count > ends[-1]):
        region = regions[np.searchsorted(ends, pick, side="right")]
        # The pick counts pixels from the first region's first one; modulo the area it is still even
        # within the region.
        pick %= region.area
        until = np.cumsum(region.rows)
        row = int(np.searchsorted(until, pick, side="right"))
        column = int(np.flatnonzero(region.pixels[row])[pick - until[row]])  # from the row's end on
        drawn.append((region, (column + region.box[0] + 0.5, row + region.box[1] + 0.5)))
    return drawn


def click(region: Region, aim: Sequence[float], scene: Scene, rng: np.random.Generator) -> Point:
    """Return [x, y, class] of a click that is aimed at (x, y) in a region.

    With noise p the click misses the class with probability p, and else wobbles inside it. It stays
    where it was aimed if it finds no place to go, as a miss does if the class fills the picture.
    """
    noise, (x, y) = scene.options.noise, aim
    if noise:
        misses = rng.random() < noise
        spread = region.size / 2 if misses else region.size * noise
        # Rounded before it is judged: rounding may move a click to the next pixel.
        tries = np.round(np.asarray(aim) + rng.normal(scale=max(spread, 1.0), size=(TRIES, 2)), 2)
        height, width = scene.mask.shape
        tries = tries[((tries >= 0) & (tries < (width, height))).all(1)]
        columns, rows = tries.astype(int).T
        fitting = tries[(scene.mask[rows, columns] != region.label) == misses]
        if len(fitting):
            x, y = fitting[0]
    return [float(x), float(y), region.label]


# ---- boxes


def annotate_boxes(scene: Scene, rng: np.random.Generator) -> list[Box]:
    """Return [[x0, y0, x1, y1, class], ...], a tight box around each object.

    With noise p each side lies outside by |N(0, p x the box's length in that direction)|.
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
        boxes.append([round(float(side), 2) for side in loose] + [region.label])
    return boxes
