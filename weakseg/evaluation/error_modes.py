"""What a predicted mask gets right and wrong: completeness, class consistency, failure modes, as
counts that add up.

Everything is counted for each image on its own and read off sums, so that any quantity can be
resampled over images. Objects are the connected regions of one class in the truth. Ignored pixels
count nowhere.
"""

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from weakseg.common import IGNORE
from weakseg.labels.annotators import connected_regions
from weakseg.metrics import fill_ignored

# Upper ends of the bins of distance from the clicks, in object sizes: square roots of the object's
# area.
DISTANCES = (0.2, 0.4, 0.6, 0.8, 1.0, np.inf)
# A pixel is at the boundary within this share of the image diagonal of the true edge, as in
# Boundary IoU (Cheng et al., CVPR 2021).
BAND = 0.02
# An object is found, and a predicted one real, from this share of its pixels: the overlap of TIDE
# (Bolya et al., ECCV 2020) below which a detection is background.
FOUND = 0.1
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


@dataclass(frozen=True)
class Truth:
    """The true mask [H, W] uint8 (255 = ignored) of an image and the clicks [[x, y, class], ...] an
    annotator makes.
    """

    mask: np.ndarray
    clicks: list = field(default_factory=list)
    num_classes: int = 2

    @cached_property
    def labelled(self):
        """Which pixels count, bool [H, W]."""
        return self.mask != IGNORE

    @cached_property
    def objects(self):
        """The connected regions of all object classes."""
        return [
            region
            for label in range(1, self.num_classes)
            for region in connected_regions(self.mask, label)
        ]

    @cached_property
    def near_edge(self):
        """Which pixels lie within the band at the true edge, bool [H, W].

        The edge runs in the middle of an ignored band; the frame is none. A pixel that touches it
        has distance 1.
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
    def distance_bins(self):
        """For each object its pixels' bins of distance from the nearest click of its class, int
        [n]; None without.
        """
        return [distance_bins(region, self.clicks, self.mask.shape) for region in self.objects]

    @property
    def object_size(self):
        """Mean area of the objects as a share of the image, 0 without objects."""
        return (
            float(np.mean([region.area for region in self.objects])) / self.mask.size
            if self.objects
            else 0.0
        )


def window(region):
    """Return the slices of a region's box."""
    x0, y0, x1, y1 = region.box
    return slice(y0, y1), slice(x0, x1)


def distance_bins(region, clicks, shape):
    """Return the index into `DISTANCES` of each pixel of a region, in row order; None if no click
    is of its class.
    """
    points = np.array([click[:2] for click in clicks if click[2] == region.label], float).reshape(
        -1, 2
    )
    if not len(points):
        return None
    rows, columns = np.nonzero(region.pixels)
    centres = np.stack([columns + region.box[0] + 0.5, rows + region.box[1] + 0.5], 1)
    nearest = np.min([np.hypot(*(centres - point).T) for point in points], axis=0)
    return np.searchsorted(DISTANCES, nearest / np.sqrt(region.area))


def tally(prediction, truth):
    """Count what one prediction, uint8 [H, W], gets right and wrong against a `Truth` -> {name:
    float array}.

    confusion [C, C]      pixels by true and predicted class
    complete [bins, 2]    the share of objects that lies at a distance from the clicks, and that of it that is covered
                          by any object class; each object counts 1, whatever its size
    mixed [2]             objects of which anything is covered, and those whose covered pixels mix classes
    modes [6, C]          erring pixels by failure mode and class: the true one, of what is no object the predicted one
    """
    pairs = truth.mask[truth.labelled].astype(int) * truth.num_classes + prediction[truth.labelled]
    confusion = np.bincount(pairs, minlength=truth.num_classes**2).reshape(truth.num_classes, -1)
    complete, mixed, missed = (
        np.zeros((len(DISTANCES), 2)),
        np.zeros(2),
        np.zeros(truth.mask.shape, bool),
    )
    for region, bins in zip(truth.objects, truth.distance_bins, strict=True):
        given = prediction[window(region)][region.pixels]
        covered = given > 0
        if bins is not None:
            for column, weights in enumerate((None, covered)):
                complete[:, column] += np.bincount(bins, weights, len(DISTANCES)) / region.area
        if covered.any():
            mixed += 1, np.bincount(given[covered]).max() <= (1 - MIXED) * covered.sum()
        if covered.mean() < FOUND:
            missed[window(region)] |= region.pixels
    return {
        "confusion": confusion.astype(float),
        "complete": complete,
        "mixed": mixed,
        "modes": failure_modes(prediction, truth, missed),
    }


def failure_modes(prediction, truth, missed):
    """Count the erring pixels by mode and class, float [6, C]: each belongs to one mode.

    missed: which pixels belong to objects that were not found, bool [H, W]
    """
    object_there, object_said = truth.labelled & (truth.mask > 0), prediction > 0
    lacking, extra = object_there & ~object_said, truth.labelled & ~object_there & object_said
    false = hallucinated(prediction, truth, object_there) & extra
    parts = {
        "boundary": truth.near_edge & ((lacking & ~missed) | (extra & ~false)),
        "interior": lacking & ~missed & ~truth.near_edge,
        "spill": extra & ~false & ~truth.near_edge,
        "missed": lacking & missed,
        "hallucinated": false,
        "swap": object_there & object_said & (prediction != truth.mask),
    }
    labels = np.where(object_there, truth.mask, prediction)
    return np.array(
        [np.bincount(labels[parts[mode]], minlength=truth.num_classes) for mode in MODES], float
    )


def hallucinated(prediction, truth, object_there):
    """Return which pixels belong to predicted regions that hardly lie on any true object, bool [H,
    W].
    """
    found = np.zeros(prediction.shape, bool)
    for label in range(1, truth.num_classes):
        for region in connected_regions(prediction, label):
            place = window(region)
            counted = region.pixels & truth.labelled[place]
            if (region.pixels & object_there[place]).sum() < FOUND * counted.sum():
                found[place] |= region.pixels
    return found
