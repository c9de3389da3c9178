"""How large the things are that labels show: how far a prediction may look around a pixel."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from weakseg.labels.pixels import Pixels

# What predictions follow the photograph's edges within, in longer sides. Chosen on validation
# images: with a larger radius small things vanish, with a smaller one large things keep holes.
OF_MARKS = 1 / 3  # of the distance between marks of different classes
OF_BOXES = 1 / 2  # of a box's shorter side
WITH_MASKS, WITHOUT_PLACES = 1 / 40, 1 / 12  # masks say where edges are; tags show large things
LEAST, MOST = 1 / 160, 1 / 10


def edge_radius(label: Mapping[str, Any], signals: Collection[str], marks: Pixels) -> float | None:
    """Return the radius that an image's labels suggest, in longer sides; None if they say nothing.

    label: {"size", signal: annotation, ...}; of the signals, those that the run learns from count
    marks: its clicks and strokes
    """
    longer = max(label["size"])
    if "full" in signals and "full" in label:
        return WITH_MASKS
    if "boxes" in signals and label.get("boxes"):
        corners = np.array([box[:4] for box in label["boxes"]], float)
        return OF_BOXES * float(np.median(np.abs(corners[:, 2:] - corners[:, :2]).min(1))) / longer
    distance = distance_between_classes(marks)
    if distance is not None:
        return OF_MARKS * distance / longer
    return WITHOUT_PLACES if "tags" in signals and label.get("tags") else None


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


def usual_radius(suggested: Collection[float | None]) -> float:
    """Return the radius of a run, from what each of its images suggests."""
    known = [radius for radius in suggested if radius is not None]
    usual = float(np.median(known)) if known else WITHOUT_PLACES
    return min(max(usual, LEAST), MOST)
