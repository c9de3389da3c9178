"""The full fit of what people drew: a linear probe of all labels, as `train.py` fits one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from weakseg.common import IGNORE
from weakseg.data.cache import ResizedCache
from weakseg.labels.formats.records import Classes
from weakseg.learners.logistic import Axes, LinearHead, axes_of
from weakseg.learners.probe import Probe, Standard
from weakseg.page.drawing_labels import DrawnLabels
from weakseg.pseudo_masks.from_features import FeatureMasks
from weakseg.training.pixel_sample import LabelledPixels
from weakseg.training.probe import pseudo_labels
from weakseg.training.probe_evidence import Evidence, FeaturesOf, gather
from weakseg.training.probe_fit import fit_head, rows_of
from weakseg.training.probe_options import ProbeOptions

ROUNDS = 1  # of self-training
MOST_ROWS = 6000  # pixels that are kept for what follows


@dataclass(frozen=True)
class Settings:
    """What fits need to know; see `FitSettings`."""

    signals: Sequence[str]
    seed: int = 0
    probe: ProbeOptions = field(default_factory=lambda: ProbeOptions(head="linear"))
    weak_label_path: str = "the labels of the page"
    last_epoch: int = 1


@dataclass(frozen=True)
class Fit:
    """A full fit: its probe, and what further fits begin from.

    names    of the pictures that it learned from, by the numbers in `rows.images`
    rows, x  a sample of its rows, and their standardised features [N, D]
    """

    classes: Classes
    probe: Probe
    names: list[str]
    rows: LabelledPixels
    x: np.ndarray
    penalty: float
    axes: Axes


def evidence_of(labels: DrawnLabels, features: FeaturesOf, cache: ResizedCache) -> Evidence:
    """Return what labels say of the pixels of their pictures."""
    settings, masks = Settings(labels.signals), masks_of(labels, cache)
    given = labels.of_training()
    return gather(settings, labels.dataset, given, features, masks, labels.mask)


def masks_of(labels: DrawnLabels, cache: ResizedCache) -> FeatureMasks:
    """Return what makes pseudo-masks of labels."""
    return FeatureMasks(labels.dataset, labels.signals, cache)


def full_fit(labels: DrawnLabels, features: FeaturesOf, cache: ResizedCache) -> Fit | None:
    """Return the fit of all labels, with `ROUNDS` of self-training; None where one class is shown.

    features: of a photograph; cache: of photographs, for pseudo-masks
    """
    if not labels.signals:
        return None
    settings, classes = Settings(labels.signals), len(labels.classes.names)
    evidence, masks = evidence_of(labels, features, cache), masks_of(labels, cache)
    standard = Standard.of(evidence.pool.reshape(-1, evidence.pool.shape[2]))
    pseudo = evidence.first
    for number in range(1 + ROUNDS):
        rows, is_exact = rows_of(evidence, pseudo, classes)
        if len(np.unique(rows.classes)) < 2:
            return None
        head, line = fit_head(settings, evidence, rows, is_exact, standard, classes)
        probe = Probe(standard, head, evidence.edges)
        if number < ROUNDS and evidence.weak.any():
            given, dataset = labels.of_training(), labels.dataset
            found = pseudo_labels(settings, dataset, given, features, masks, evidence, probe)
            pseudo = evidence.first if (found == IGNORE).all() else found
    rows = sample(rows, MOST_ROWS)
    x = standard(rows.features)
    axes = axes_of(torch.from_numpy(x), torch.from_numpy(rows.weights))
    penalty = float(line["penalty"])
    return Fit(labels.classes, probe, [*labels.records], rows, x, penalty, axes)


def sample(rows: LabelledPixels, most: int) -> LabelledPixels:
    """Return at most so many rows, which weigh as much together as all do."""
    if len(rows) <= most:
        return rows
    kept = np.sort(np.random.default_rng(0).choice(len(rows), most, replace=False))
    part = rows.part(kept)
    return replace(part, weights=part.weights * (rows.weights.sum() / part.weights.sum()))


def linear(probe: Probe) -> LinearHead:
    """Return the head of a probe of this view, which is linear."""
    assert isinstance(probe.head, LinearHead)
    return probe.head
