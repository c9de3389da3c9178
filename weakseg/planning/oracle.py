"""The labelling oracle: a simulated annotator, who alone sees the truth and counts the cost.

Who wants to know anything about a mask of the pool buys it here.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from weakseg.common import IGNORE, UserError, stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.labels.annotators import Options, Scene
from weakseg.labels.signals import SIGNALS, image_seconds, parse_modes
from weakseg.labels.simulate import annotate
from weakseg.metrics import image_iou


def signals_of(label: str) -> tuple[str, ...]:
    """Return the signal names of `active_learning.label`; 'mask' is the signal `full`."""
    try:
        return parse_modes(["full" if label == "mask" else label])
    except UserError as error:
        raise UserError(f"active_learning.label: {error}") from error


def seconds_of(
    annotations: dict[str, Any], signals: Sequence[str], dataset: SegmentationDataset
) -> float:
    """Return what a person needs for these annotations of one image, in seconds."""
    classes, has_background = len(dataset.object_names), dataset.has_background
    return image_seconds(annotations, signals, classes, has_background)


@dataclass(frozen=True)
class Label:
    """One bought label.

    annotations  {"size": [w, h], signal: annotation, ...}
    signals      which ones were asked for
    seconds      of a person's work
    """

    annotations: dict[str, Any]
    signals: tuple[str, ...]
    seconds: float


class Oracle:
    """A simulated annotator of the pool, who counts the seconds.

    labels  {id: Label}, everything bought so far
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        pool: Collection[str],
        cache: ResizedCache,
        seed: int,
        options: Options | None = None,
    ) -> None:
        self._dataset, self._pool, self._cache = dataset, frozenset(pool), cache
        self._options, self._seed = options or Options(), seed
        self.labels: dict[str, Label] = {}

    @property
    def seconds(self) -> float:
        """What all labels so far have cost, in seconds of a person's work."""
        return sum(label.seconds for label in self.labels.values())

    def buy(self, name: str, signals: Sequence[str]) -> Label:
        """Annotate one image of the pool that nobody bought; any other is a `ValueError`."""
        if name not in self._pool or name in self.labels:
            why = "bought before" if name in self.labels else "not in the pool"
            raise ValueError(f"{name} is not for sale: {why}")
        annotations = annotate(self._dataset, name, self._options, self._seed, signals)
        seconds = seconds_of(annotations, signals, self._dataset)
        label = Label(annotations, tuple(signals), seconds)
        self.labels[name] = label
        return label

    def restore(self, name: str, label: Label) -> None:
        """Take up a purchase from the ledger."""
        self.labels[name] = label

    def mask(self, name: str) -> np.ndarray:
        """Return the resized mask [S, S] uint8 of an image whose mask was bought."""
        if name not in self.labels or "full" not in self.labels[name].signals:
            raise PermissionError(f"nobody bought the mask of {name}")
        return self._dataset.resized_mask(name, self._cache)


def as_judged(mask: np.ndarray, has_background: bool) -> np.ndarray:
    """Return classes [S, S] uint8 as judges know them, to whom 0 is no object; 255 stays.

    Where the data set has no background, the numbers are higher by one.
    """
    return mask if has_background else np.where(mask == IGNORE, mask, mask + 1).astype(np.uint8)


class Examiner:
    """What only a simulation knows: the truth of every image, free of charge.

    Its answers reach the handler `mock`, which simulates a judge, and the report; never training,
    acquisition or calibration. Masks are those that judges know, see `as_judged`.
    """

    def __init__(self, dataset: SegmentationDataset, cache: ResizedCache) -> None:
        self._dataset, self._cache = dataset, cache

    def iou(self, name: str, prediction: np.ndarray) -> float:
        """Return `image_iou` of a predicted mask [S, S] uint8."""
        return image_iou(prediction, self.truth(name))

    def truth(self, name: str) -> np.ndarray:
        """Return the resized ground truth [S, S] uint8."""
        mask = self._dataset.resized_mask(name, self._cache)
        return as_judged(mask, self._dataset.has_background)

    def seconds(self, name: str, signals: Sequence[str], options: Options | None = None) -> float:
        """Return what a person who works as `options` say would have needed for this image."""
        annotations = annotate(self._dataset, name, options or Options(), 0, signals)
        return seconds_of(annotations, signals, self._dataset)


def predicted_price(
    signals: Sequence[str],
    tag_names: Sequence[str],
    num_classes: int,
    options: Options | None = None,
    has_background: bool = True,
) -> Callable[[np.ndarray], float]:
    """Return a function mask [S, S] uint8 -> seconds: what labels cost if the prediction were true.

    Where no object is predicted it is the price of one: an image that looks empty is not a cheap
    one.
    """

    def price(mask: np.ndarray) -> float:
        if has_background and not mask.any():
            mask = np.zeros_like(mask)
            mask[len(mask) // 2, len(mask) // 2] = 1
        scene = Scene(
            mask,
            (),
            tuple(tag_names),
            options or Options(),
            has_background=has_background,
            num_classes=num_classes,
        )
        rng = np.random.default_rng(stable_seed("price"))
        annotations = {signal: SIGNALS[signal].extract(scene, rng) for signal in signals}
        return image_seconds(annotations, signals, num_classes - has_background, has_background)

    return price


def confident_mask(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return the predicted classes [S, S] uint8 of probabilities [C, S, S], as a pseudo-label.

    Pixels whose probability is below `threshold` are 255.
    """
    confident = probabilities.max(0) >= threshold
    return np.where(confident, probabilities.argmax(0), IGNORE).astype(np.uint8)
