"""What a predicted mask gets right and wrong: completeness, class consistency and error modes.

Everything is counted for each image on its own and read off sums, so that any quantity can be
resampled over images. Objects are the instances that are known, else the connected regions of one
class in the truth. Ignored pixels count nowhere.

A pixel of an object is covered where any object class is predicted. Where there is no background
that would be everywhere: there it is covered where its own class is, and no pixel is spilled,
hallucinated or swapped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from weakseg.common import IGNORE
from weakseg.labels.annotators import Region, connected_regions, objects_in
from weakseg.metrics import fill_ignored

# Upper ends of the bins of distance from the clicks, in object sizes: square roots of the object's
# area.
DISTANCES = (0.2, 0.4, 0.6, 0.8, 1.0, np.inf)
# A pixel is at the boundary within this share of the image diagonal of the true edge, as in
# Boundary IoU (Cheng et al., CVPR 2021).
BAND = 0.02
# An object is detected, and a predicted one real, from this share of its pixels: the overlap of
# TIDE (Bolya et al., ECCV 2020) below which a detection is background.
DETECTED = 0.1
# The second class of an object's predicted pixels that makes it mixed: this share of them.
MIXED = 0.1
MODES = {
    "boundary": "within the band at the true edge",
    "interior": "missing inside a found object, away from its edge",
    "spill": "beyond a found object, away from its edge",
    "missed": "a true object that was not found",
    "hallucinated": "a predicted object where there is none",
    "swap": "an object's pixels given to another object class",
}

Click = Sequence[float]  # x, y, class


@dataclass(frozen=True)
class Truth:
    """The true mask of an image, uint8 [H, W], and the clicks that an annotator would make in it.

    mask: 255 is ignored. clicks: [[x, y, class], ...] in its pixels
    instances, has_background: as a `Scene` has them
    """

    mask: np.ndarray
    clicks: Sequence[Click] = field(default_factory=list)
    num_classes: int = 2
    instances: np.ndarray | None = None
    has_background: bool = True

    @cached_property
    def labelled(self) -> np.ndarray:
        """The pixels that count, bool [H, W]."""
        return self.mask != IGNORE

    @cached_property
    def objects(self) -> list[Region]:
        """The objects of all classes."""
        return objects_in(self.mask, self.instances, self.has_background)

    def is_object(self, classes: np.ndarray) -> np.ndarray:
        """Return which of some predicted classes, of any shape, are those of objects, bool."""
        return classes >= int(self.has_background)

    @cached_property
    def near_edge(self) -> np.ndarray:
        """The pixels within the band at the true edge, bool [H, W].

        The edge runs in the middle of an ignored band; the image's frame is no edge. A pixel that
        touches the edge has distance 1.
        """
        filled = fill_ignored(self.mask) if self.labelled.any() else self.mask
        near = np.zeros(self.mask.shape, bool)
        labels = np.unique(filled)
        for label in labels if len(labels) > 1 else ():
            inside = (filled == label).view(np.uint8)
            distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            near |= (distance > 0) & (distance <= max(1.0, BAND * np.hypot(*self.mask.shape)))
        return near

    @cached_property
    def distance_bins(self) -> list[np.ndarray | None]:
        """For each object, its pixels' bins of distance from the clicks, as `distance_bins`."""
        return [distance_bins(region, self.clicks) for region in self.objects]

    @property
    def object_size(self) -> float:
        """The mean area of the objects as a share of the image, 0 without objects."""
        if not self.objects:
            return 0.0
        return float(np.mean([region.area for region in self.objects])) / self.mask.size


def window(region: Region) -> tuple[slice, slice]:
    """Return the rows and columns of a region's box."""
    x0, y0, x1, y1 = region.box
    return slice(y0, y1), slice(x0, x1)


def distance_bins(region: Region, clicks: Sequence[Click]) -> np.ndarray | None:
    """Return the index into `DISTANCES` of each pixel of a region, in row order, int [n].

    Distances are from the nearest click of the region's class; None where there is no such click.
    """
    points = np.array([click[:2] for click in clicks if click[2] == region.label], float)
    if not len(points):
        return None
    rows, columns = np.nonzero(region.pixels)
    centres = np.stack([columns + region.box[0] + 0.5, rows + region.box[1] + 0.5], 1)
    nearest = np.min([np.hypot(*(centres - point).T) for point in points], axis=0)
    return np.searchsorted(DISTANCES, nearest / np.sqrt(region.area))


def tally(prediction: np.ndarray, truth: Truth) -> dict[str, np.ndarray]:
    """Count what one predicted mask, uint8 [H, W], gets right and wrong -> {name: float array}.

    confusion [C, C]      pixels by true and predicted class
    complete [bins, 2]    the share of objects that lies at a distance from the clicks, and the
                          share that is covered there; each object counts 1, whatever its size
    mixed [2]             objects in which any object class is predicted, and those in which such
                          pixels mix classes
    modes [6, C]          erring pixels by error mode and class: the true class, and the predicted
                          one where the truth has no object
    """
    pairs = truth.mask[truth.labelled].astype(int) * truth.num_classes + prediction[truth.labelled]
    confusion = np.bincount(pairs, minlength=truth.num_classes**2).reshape(truth.num_classes, -1)
    complete, mixed = np.zeros((len(DISTANCES), 2)), np.zeros(2)
    missed = np.zeros(truth.mask.shape, bool)
    for region, bins in zip(truth.objects, truth.distance_bins, strict=True):
        predicted = prediction[window(region)][region.pixels]
        is_object = truth.is_object(predicted)
        covered = is_object if truth.has_background else predicted == region.label
        if bins is not None:
            complete[:, 0] += np.bincount(bins, minlength=len(DISTANCES)) / region.area
            complete[:, 1] += np.bincount(bins, covered, len(DISTANCES)) / region.area
        if is_object.any():
            most = np.bincount(predicted[is_object]).max()
            mixed += 1, most <= (1 - MIXED) * is_object.sum()
        if covered.mean() < DETECTED:
            missed[window(region)] |= region.pixels
    return {
        "confusion": confusion.astype(float),
        "complete": complete,
        "mixed": mixed,
        "modes": error_modes(prediction, truth, missed),
    }


def error_modes(prediction: np.ndarray, truth: Truth, missed: np.ndarray) -> np.ndarray:
    """Count the erring pixels by mode and class, float [6, C]; each belongs to one mode.

    missed: the pixels of objects that were not detected, bool [H, W]
    """
    true_object = truth.labelled & truth.is_object(truth.mask)
    predicted_object = truth.is_object(prediction)
    if not truth.has_background:
        predicted_object = prediction == truth.mask
    lacking = true_object & ~predicted_object
    extra = truth.labelled & ~true_object & predicted_object
    invented = hallucinated(prediction, truth, true_object) & extra
    pixels = {
        "boundary": truth.near_edge & ((lacking & ~missed) | (extra & ~invented)),
        "interior": lacking & ~missed & ~truth.near_edge,
        "spill": extra & ~invented & ~truth.near_edge,
        "missed": lacking & missed,
        "hallucinated": invented,
        "swap": true_object & predicted_object & (prediction != truth.mask),
    }
    labels = np.where(true_object, truth.mask, prediction)
    counts = [np.bincount(labels[pixels[mode]], minlength=truth.num_classes) for mode in MODES]
    return np.array(counts, float)


def hallucinated(prediction: np.ndarray, truth: Truth, true_object: np.ndarray) -> np.ndarray:
    """Return the pixels of predicted regions that hardly lie on any true object, bool [H, W]."""
    pixels = np.zeros(prediction.shape, bool)
    for label in range(1, truth.num_classes) if truth.has_background else ():
        for region in connected_regions(prediction, label):
            place = window(region)
            counted = region.pixels & truth.labelled[place]
            if (region.pixels & true_object[place]).sum() < DETECTED * counted.sum():
                pixels[place] |= region.pixels
    return pixels
