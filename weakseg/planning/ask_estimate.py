"""How good a simulated session's model is: by its random answers alone, and in truth."""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.common import IGNORE, atomic_path
from weakseg.data.base import SegmentationDataset
from weakseg.learners.feature_store import FeatureStore
from weakseg.learners.probe import Probe
from weakseg.planning.estimate import Estimate
from weakseg.planning.out_of_fold import OutOfFold, gain, looked_at, out_of_fold, quality
from weakseg.planning.simulated_asking import Simulation, mask_of
from weakseg.training.probe import smaller_radius

LARGEST_RADIUS = 1 / 20  # of edges that out-of-fold masks follow, in longer sides


def estimated(
    session: Simulation, dataset: SegmentationDataset, store: FeatureStore, truth: "Truth"
) -> dict[str, Any]:
    """Return what the random answers say of the out-of-fold masks, and what is true of them.

    The predictions and answers stay beside the session, for `benchmarks/coverage.py`.
    """
    asking = session.asking
    if asking.model.head is None:
        return {}
    start = Probe(asking.model.standard, asking.model.head, LARGEST_RADIUS)
    edges = smaller_radius(dataset, asking.pool.names, store, start, as_of_masks=True)
    found = out_of_fold(asking, mask_of=mask_of(asking, store, dataset, edges))
    if found is None:
        return {}
    truth.save(session.path.with_name("out_of_fold.npz"), found)
    best = quality(found, dataset.has_background, asking.options.seed)
    if not best.answers:  # nobody could tell anything
        return {}
    doubling = gain(asking)
    return {
        "estimate": as_dict(best),
        "truth": truth.miou(found, best.scored),
        "gain": None if doubling is None else doubling.sentence,
    }


def as_dict(found: Estimate) -> dict[str, Any]:
    """Return an estimate in plain values, scores in percent."""
    scores = ("miou", "pixel_accuracy", "foreground_iou", "frequency_weighted_iou", "cannot_tell")
    return {
        "answers": found.answers,
        **{name: percentages(getattr(found, name)) for name in scores},
        "scored": found.scored,
        "unscored": found.unscored,
    }


def percentages(interval: Sequence[float]) -> list[float] | None:
    """Return an interval in percent, None where there is no value."""
    values = [100 * value for value in interval]
    return None if any(map(math.isnan, values)) else values


class Truth:
    """What the person would answer at all candidates: what an estimate is about."""

    def __init__(self, session: Simulation) -> None:
        self.session = session

    @cached_property
    def answers(self) -> np.ndarray:
        """The answers [M] to the candidates that are looked at, in the order of `OutOfFold`."""
        from tqdm import tqdm

        asking, annotator = self.session.asking, self.session.annotator
        looked = tqdm(looked_at(len(asking.pool), asking.options.seed), "truth", unit="img")
        return np.concatenate(
            [annotator.answers_to_candidates(asking.pool, int(picture)) for picture in looked]
        )

    def miou(self, found: OutOfFold, scored: Sequence[int]) -> float | None:
        """Return the mIoU in % of masks and answers over some classes, None without any."""
        told, classes = self.answers != IGNORE, found.chances.shape[1]
        matrix = np.zeros((classes, classes))
        np.add.at(matrix, (found.pool[told], self.answers[told]), found.areas[told])
        union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
        values = [matrix[c, c] / union[c] for c in scored if union[c] > 0]
        return 100 * float(np.mean(values)) if values else None

    def save(self, path: Path, found: OutOfFold) -> None:
        """Write the predictions and answers of all candidates, for `benchmarks/coverage.py`."""
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                predicted=found.pool,
                answers=self.answers,
                areas=found.areas,
                prior=found.prior,
            )
