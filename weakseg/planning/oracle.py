"""The labelling oracle: the only way from the pool's images to their ground truth, and it counts
what that costs.
"""

from dataclasses import dataclass

import numpy as np

from weakseg.common import IGNORE, UserError, stable_seed
from weakseg.data.cache import ResizedCache
from weakseg.labels.annotators import Options
from weakseg.labels.signals import SIGNALS, parse_modes
from weakseg.labels.simulate import annotate
from weakseg.metrics import image_iou


def signals_of(label):
    """Return the signal names of `active_learning.label`; 'mask' is the signal `full`."""
    try:
        return parse_modes(["full" if label == "mask" else label])
    except UserError as error:
        raise UserError(f"active_learning.label: {error}") from error


@dataclass(frozen=True)
class Label:
    """One bought label: {"size": [w, h], signal: annotation, ...}, which signals were asked for,
    seconds of work.
    """

    annotations: dict
    signals: tuple
    seconds: float


class Oracle:
    """A simulated annotator of the pool. Whoever wants to know anything about a mask buys it here.

    labels  {id: Label}, everything bought so far
    """

    def __init__(self, dataset, pool, data, seed, options=None):
        self._dataset, self._pool = dataset, frozenset(pool)
        self._cache = ResizedCache(data.cache_dir, data.image_size, data.cache_limit)
        self._options, self._seed = options or Options(), seed
        self.labels = {}

    @property
    def seconds(self):
        """What all labels so far have cost, in seconds of a person's work."""
        return sum(label.seconds for label in self.labels.values())

    def buy(self, name, signals):
        """Annotate one image of the pool that nobody bought -> `Label`."""
        if name not in self._pool or name in self.labels:
            raise ValueError(
                f"{name} is not for sale: {'bought before' if name in self.labels else 'not in the pool'}"
            )
        annotations = annotate(self._dataset, name, self._options, self._seed, signals)
        label = Label(
            annotations, tuple(signals), sum(SIGNALS[s].seconds(annotations[s]) for s in signals)
        )
        self.labels[name] = label
        return label

    def restore(self, name, label):
        """Take up a purchase from the ledger."""
        self.labels[name] = label

    def mask(self, name):
        """Return the resized mask [S, S] uint8 of an image whose mask was bought."""
        if name not in self.labels or "full" not in self.labels[name].signals:
            raise PermissionError(f"nobody bought the mask of {name}")
        return self._dataset.resized_mask(name, self._cache)


class Examiner:
    """What only a simulation knows: the IoU of any predicted mask.

    Its answers reach the handler `mock`, which simulates a judge, and the report; never training,
    acquisition or calibration.
    """

    def __init__(self, dataset, data):
        self._dataset, self._cache = (
            dataset,
            ResizedCache(data.cache_dir, data.image_size, data.cache_limit),
        )

    def iou(self, name, prediction):
        """Return `image_iou` of a predicted mask [S, S] uint8."""
        return image_iou(prediction, self.truth(name))

    def truth(self, name):
        """Return the resized ground truth [S, S] uint8."""
        return self._dataset.resized_mask(name, self._cache)

    def seconds(self, name, signals, options=None):
        """Return what a person would have needed to label this image, working as
        `annotators.Options` say.
        """
        annotations = annotate(self._dataset, name, options or Options(), 0, signals)
        return sum(SIGNALS[s].seconds(annotations[s]) for s in signals)


def predicted_price(signals, tag_names, options=None):
    """Return a function mask [S, S] uint8 -> seconds: what these labels would cost if the
    prediction were true.

    Where no object is predicted it is the price of one: an image that looks empty is not a cheap
    one.
    """
    from weakseg.labels.annotators import Scene

    def price(mask):
        if not mask.any():
            mask = np.zeros_like(mask)
            mask[len(mask) // 2, len(mask) // 2] = 1
        scene = Scene(mask, (), tuple(tag_names), options or Options())
        rng = np.random.default_rng(stable_seed("price"))
        return sum(SIGNALS[s].seconds(SIGNALS[s].extract(scene, rng)) for s in signals)

    return price


def confident_mask(probabilities, threshold):
    """Return a pseudo-label [S, S] uint8: the predicted class, 255 where its probability is below
    `threshold`.
    """
    return np.where(probabilities.max(0) >= threshold, probabilities.argmax(0), IGNORE).astype(
        np.uint8
    )
