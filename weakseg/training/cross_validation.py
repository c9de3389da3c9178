"""Whether the labels of each photograph agree with those of the others.

Photographs are dealt into folds. For each fold a linear head learns from the labels of all other
photographs, and says what class the labelled pixels of these are of (Stone, "Cross-validatory
choice and assessment of statistical predictions", JRSS B 1974). Labels of other photographs,
swapped classes and answers at random look right one by one; here they are gainsaid.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from weakseg.common import evenly
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.data.image_io import read_image
from weakseg.data.reading import Source
from weakseg.labels.training_labels import TrainingLabels
from weakseg.learners.encoders import NewEncoder
from weakseg.learners.features import FeatureMaps, FrameSize
from weakseg.learners.logistic import as_rows, fit_rows
from weakseg.learners.penalty import folds_of
from weakseg.pseudo_masks.from_features import FeatureMasks
from weakseg.reporting.tables import write_csv
from weakseg.training.pixel_sample import LabelledPixels
from weakseg.training.probe_evidence import Evidence, FitSettings, feature_masks, gather
from weakseg.training.probe_fit import evened, rows_of

NAME = "cross_validation.csv"  # in the folder of a run
HEAD = ("image", "class", "pixels", "agreed", "instead")
# The heads only rank photographs, so few folds and rows, and a loose fit, do: 0.3 to 0.9 seconds.
FOLDS, PENALTY, TOLERANCE, MOST_ROWS = 3, 0.3, 1e-3, 10_000
LEAST = 8  # photographs with labels, below which they say little of each other
FEW = 0.25  # share of a photograph's labels below which what agrees is told as little
NAMED = 3  # photographs, or classes, in the line
# What is looked at before a U-Net: how many photographs, by which encoder, and their longer side.
MOST, ENCODER, SIDE = 100, "efficientnet-lite0", 256


class Agreed(NamedTuple):
    """How far others agree with the labels of one class in one photograph.

    pixels   how many were looked at
    agreed   share of them, by their weights, that a model of other photographs gives this class
    instead  the class that it gives most of the others, "" where there are none
    """

    image: str
    label: str
    pixels: int
    agreed: float
    instead: str


@dataclass(frozen=True)
class Agreement:
    """How far the labels of photographs agree: one row for each class of each of them."""

    rows: tuple[Agreed, ...]

    def of_images(self) -> dict[str, float]:
        """Return {image: share of its labels that agrees, each of its classes alike}."""
        return means([(row.image, row.agreed) for row in self.rows])

    def of_classes(self) -> dict[str, float]:
        """Return {class: share of its labels that agrees, each photograph alike}."""
        return means([(row.label, row.agreed) for row in self.rows])

    def in_words(self, path: Path) -> str:
        """Return a line of it; path: of the table that `write` makes."""
        images, classes = self.of_images(), self.of_classes()
        everything = float(np.mean([*classes.values()]))
        line = (
            f"cross-validation: a model of the other photographs agrees with {percent(everything)} "
            f"of the labels, a guess would with {percent(1 / len(classes))}"
        )
        if len(classes) > 2:
            line += f"; of classes least with {worst(classes)}"
        little = sum(share < FEW for share in images.values())
        if little:
            line += f"; it agrees with less than {percent(FEW)} in {little} of {len(images)}"
            line += f" photographs, first {worst(images, min(little, NAMED))}"
        else:
            line += f"; of photographs least with {worst(images)}"
        return f"{line}: {path}"

    def write(self, path: Path) -> None:
        """Write the table atomically, what agrees the least first."""
        rows = ((*row[:3], f"{row.agreed:.3f}", row.instead) for row in self.rows)
        write_csv(path, HEAD, rows)


def means(values: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return {name: mean of its values}, the least first."""
    lists: dict[str, list[float]] = defaultdict(list)
    for name, value in values:
        lists[name].append(value)
    found = {name: float(np.mean(own)) for name, own in lists.items()}
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def worst(shares: dict[str, float], most: int = NAMED) -> str:
    """Return the first of {name: share} in words."""
    return ", ".join(f"{name} ({percent(share)})" for name, share in [*shares.items()][:most])


def percent(share: float) -> str:
    """Return a share in whole percent."""
    return f"{100 * share:.0f} %"


def cross_validated(
    evidence: Evidence, names: Sequence[str], classes: Sequence[str], seed: int = 0
) -> Agreement | None:
    """Return how far the labels of photographs agree; None where nothing can be compared.

    evidence: of photographs of these names; what belongs together is held out together. Boxes and
        tags count as the pixels that their first pseudo-masks label.
    A class counts where the labels of others show it.
    """
    if np.count_nonzero(evidence.known) < LEAST:
        return None
    rows, _ = rows_of(evidence, evidence.first, len(classes))
    found = held_out(rows, evidence, len(classes), seed)
    known = np.flatnonzero(found >= 0)
    if not len(known):
        return None
    rows, found = rows.part(known), found[known]
    owners, members = np.unique(rows.images * len(classes) + rows.classes, return_inverse=True)
    totals = np.zeros((len(owners), len(classes)))
    np.add.at(totals, (members, found), rows.weights)
    own = owners % len(classes)
    agreed = totals[np.arange(len(owners)), own] / totals.sum(1)
    totals[np.arange(len(owners)), own] = 0
    table = [
        Agreed(
            names[owner // len(classes)],
            classes[own[i]],
            int(np.count_nonzero(members == i)),
            float(agreed[i]),
            classes[totals[i].argmax()] if totals[i].any() else "",
        )
        for i, owner in enumerate(owners)
    ]
    return Agreement(tuple(sorted(table, key=lambda row: (row.agreed, row.image, row.label))))


def held_out(rows: LabelledPixels, evidence: Evidence, num_classes: int, seed: int) -> np.ndarray:
    """Return the class [N] that labels of other groups give each pixel, -1 where they show none.

    It is none, too, where they don't show the pixel's own class.
    """
    x, groups = evidence.standard(rows.features), evidence.groups[rows.images]
    folds, weights = folds_of(groups, FOLDS, seed).numpy(), evened(rows, num_classes, 0.5)
    learnt = np.zeros(len(rows), bool)
    learnt[np.random.default_rng(seed).permutation(len(rows))[:MOST_ROWS]] = True
    found = np.full(len(rows), -1)
    for fold in np.unique(folds):
        others, own = learnt & (folds != fold), folds == fold
        shown = np.unique(rows.classes[others])
        if len(shown) < 2:
            continue
        taught = as_rows(x[others], rows.classes[others], weights[others], num_classes)
        head = fit_rows(taught, PENALTY, tolerance=TOLERANCE)
        said = head.logits(torch.from_numpy(x[own])).argmax(1).numpy()
        found[own] = np.where(np.isin(rows.classes[own], shown), said, -1)
    return found


def of_a_network(
    run: FitSettings, dataset: SegmentationDataset, labels: TrainingLabels, squares: ResizedCache
) -> Agreement | None:
    """Return how far the labels that a network is to learn from agree, by the probe's features.

    At most `MOST` photographs are looked at, which are taken from all over the list.

    run: its settings, as a probe has them; squares: of the photographs, of any size
    """
    labels = replace(labels, train_ids=tuple(evenly(labels.train_ids, MOST)))
    encoder = NewEncoder(ENCODER, "imagenet", FrameSize(SIDE))()

    @cache
    def features(photograph: Source) -> FeatureMaps:
        return encoder(read_image(photograph))

    masks = FeatureMasks(dataset, run.signals, squares)
    masks = feature_masks(run, dataset, labels, features, masks)
    evidence = gather(run, dataset, labels, features, masks)
    return cross_validated(evidence, labels.train_ids, dataset.class_names, run.seed)
