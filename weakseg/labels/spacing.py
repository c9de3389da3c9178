"""How large the things are that labels show: how far a prediction may look around a pixel."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from scipy.spatial import cKDTree

from weakseg.common import IGNORE
from weakseg.labels.pixels import Pixels

# What predictions follow the photograph's edges within, in longer sides. Chosen on validation
# images: with a larger radius small things vanish, with a smaller one large things keep holes.
OF_MARKS = 1 / 3  # of the distance between marks of different classes
OF_BOXES = 1 / 2  # of a box's shorter side, and of that of a thing in a mask
WITHOUT_PLACES = 1 / 12  # tags show large things
LEAST, MOST = 1 / 160, 1 / 10
MOST_OF_MASKS = 1 / 20  # a probe of masks knows better where edges are
FINEST = 512  # pixels: longer side of what is looked at of a mask, about, for radii of LEAST


def edge_radius(
    label: Mapping[str, Any],
    signals: Collection[str],
    marks: Pixels,
    things: np.ndarray | None = None,
    least: float = LEAST,
) -> float | None:
    """Return the radius that an image's labels suggest, in longer sides; None if they say nothing.

    label: {"size", signal: annotation, ...}; of the signals, those that the run learns from count
    marks: its clicks and strokes; things: the shorter sides of `things_in` its mask, if it has one
    least: radius that is useful at all; things that suggest a smaller one do not count
    """
    longer = max(label["size"])
    if things is not None:
        return radius_of_things(things, least)
    boxes = [box[:4] for box in label.get("boxes", ())] if "boxes" in signals else []
    if "outlines" in signals:
        polygons = [np.array(one["polygon"]) for one in label.get("outlines", ())]
        boxes += [[*polygon.min(0), *polygon.max(0)] for polygon in polygons]
    if boxes:
        corners = np.array(boxes, float)
        return OF_BOXES * float(np.median(np.abs(corners[:, 2:] - corners[:, :2]).min(1))) / longer
    distance = distance_between_classes(marks)
    if distance is not None:
        return OF_MARKS * distance / longer
    return WITHOUT_PLACES if "tags" in signals and label.get("tags") else None


def radius_of_things(things: np.ndarray, least: float = LEAST) -> float | None:
    """Return the radius that the shorter sides [N] of the things in a mask suggest; None for none.

    least: as `edge_radius` takes it
    """
    radii = OF_BOXES * things[OF_BOXES * things >= least]
    suggested = float(np.median(radii)) if len(radii) else least
    return min(suggested, MOST_OF_MASKS) if len(things) else None


def things_in(
    mask: np.ndarray, size: Sequence[int], has_background: bool, least: float = LEAST
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shorter sides [N] of the things in a mask [H, W] uint8, and how many pixels each.

    A thing is what hangs together of one class, corners count. Sides are in longer sides of the
    photograph of a size (width, height), which the mask covers.
    has_background: whether class 0 is no thing; least: no thing much smaller than this radius is
    looked for
    """
    step = max(1, int(max(mask.shape) * least / (FINEST * LEAST)))
    seen = np.ascontiguousarray(mask[::step, ::step])
    share = np.array(size) * step / (np.array(mask.shape[::-1]) * max(size))  # of a pixel
    sides, areas = [np.empty(0)], [np.empty(0)]
    for label in np.setdiff1d(seen, [0, IGNORE] if has_background else [IGNORE]):
        *_, boxes, _ = cv2.connectedComponentsWithStats((seen == label).astype(np.uint8))
        sides.append((boxes[1:, cv2.CC_STAT_WIDTH : cv2.CC_STAT_HEIGHT + 1] * share).min(1))
        areas.append(boxes[1:, cv2.CC_STAT_AREA])
    return np.concatenate(sides), np.concatenate(areas)


def radius_of_predicted(
    mask: np.ndarray, size: Sequence[int], has_background: bool, least: float = LEAST
) -> float | None:
    """Return the radius that a predicted mask [H, W] uint8 suggests; None where it shows no thing.

    It is that of the thing that a pixel of a thing is usually in, so that specks count little.
    size, has_background, least: as `things_in` takes them
    """
    sides, areas = things_in(mask, size, has_background, least)
    if not len(sides):
        return None
    order = np.argsort(sides)
    cumulated = np.cumsum(areas[order])
    return OF_BOXES * float(sides[order][np.searchsorted(cumulated, cumulated[-1] / 2)])


def distance_between_classes(marks: Pixels) -> float | None:
    """Return how far a mark usually is from the next one of another class, in original pixels.

    The median over the marks of each class, and the median of these. None with fewer than two
    classes.
    """
    classes = np.unique(marks.classes)
    if len(classes) < 2:
        return None
    usual = []
    for one in classes:
        others = cKDTree(marks.places[marks.classes != one])
        usual.append(np.median(others.query(marks.places[marks.classes == one])[0]))
    return float(np.median(usual))


def usual_radius(suggested: Collection[float | None], least: float = LEAST) -> float:
    """Return the radius of a run, from what each of its images suggests, but at least `least`."""
    known = [radius for radius in suggested if radius is not None]
    usual = float(np.median(known)) if known else WITHOUT_PLACES
    return min(max(usual, least), MOST)
