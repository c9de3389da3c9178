"""The model of a session of questions: a linear head on frozen features, fitted anew in a moment.

Every answer weighs the same. Other labels that are there weigh as much as held-out answers like
best, where these are sure.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from weakseg.common import IGNORE
from weakseg.learners.logistic import Axes, LinearHead, axes_of, fit_linear
from weakseg.learners.penalty import PENALTIES, choose_penalty, folds_of
from weakseg.learners.probe import Probe, Standard
from weakseg.planning.questions import Answers
from weakseg.training.pixel_sample import LabelledPixels, merged

TOLERANCE = 1e-4  # of the gradient: chances then differ by less than a hundredth of their spread
GROWTH = 1.25  # the penalty is chosen again when there are so many times more answers
FEW_UNTOLD = 10  # answers of *cannot tell* from which on their chance is learned
TELL_PENALTY = 0.1  # of the head that learns it
# Labels that were there weigh as many answers as held-out answers surely like best, of these.
WEIGHTS_OF_LABELS = (0.0, 30.0, 100.0, 400.0)
FEW_ANSWERS = 20  # below it nothing is held out, and they weigh `USUAL_WEIGHT`
USUAL_WEIGHT = 100.0


@dataclass
class AnswerModel:
    """What is learned from the answers of one session.

    standard     what puts features to mean 0 and deviation 1
    num_classes  C
    seed         of cross-validation
    labels       pixels of other labels that are there, whose weights are comparable with each other
    head         of the last fit, on features that `standard` standardises; None before any
    tell         the head of [can't tell, can]; None while there are few of the former
    fits         how many there were
    penalty, weight  of the head's weights, and of other labels in answers, chosen at `chosen_at`
    groups       [I] int, of each picture, that no fold parts; None: each is its own
    axes         of the features, which speed fits up, found of the first `axes_at` answers
    """

    standard: Standard
    num_classes: int
    seed: int
    labels: LabelledPixels | None = None
    head: LinearHead | None = None
    tell: LinearHead | None = None
    fits: int = 0
    penalty: float = PENALTIES[4]
    weight: float = USUAL_WEIGHT
    chosen_at: int = 0
    axes: Axes | None = field(default=None, repr=False)
    axes_at: int = 0
    groups: np.ndarray | None = None

    def fit(self, answers: Answers) -> None:
        """Fit the model to all answers and labels so far, from its last weights."""
        if not len(answers) and self.labels is None:
            return
        self.fits += 1
        rows = answers.pixels(answers.last_of_each())
        told = rows.part(rows.classes != IGNORE)
        if len(rows) >= self.chosen_at * GROWTH or self.axes is None:
            self.choose(told)
            self.chosen_at, self.axes_at = len(rows), len(answers)
            self.find_axes(answers)
        head = self.fitted(told, self.head)
        self.head = head or self.head
        if np.count_nonzero(rows.classes == IGNORE) >= FEW_UNTOLD:
            can = (rows.classes != IGNORE).astype(np.int64)
            x = self.standard(rows.features)
            self.tell = fit_linear(
                x, can, rows.weights, TELL_PENALTY, 2, self.tell, self.axes, TOLERANCE
            )

    def find_axes(self, answers: Answers) -> None:
        """Find the axes of the pixels that fits learn from, of the first `axes_at` answers."""
        rows = answers.pixels(answers.last_of_each(self.axes_at))
        rows = with_labels(rows, self.labels, self.weight)
        x, weights = torch.from_numpy(self.standard(rows.features)), torch.from_numpy(rows.weights)
        self.axes = axes_of(x, weights)

    def fitted(
        self, told: LabelledPixels, start: LinearHead | None, unseen: np.ndarray | None = None
    ) -> LinearHead | None:
        """Return the head that answers and labels give; None while they show only one class.

        told: answers with a class; start: the head that the fit begins from; unseen: pictures whose
        labels it must not learn from
        """
        labels = self.labels if unseen is None else without_pictures(self.labels, unseen)
        rows = with_labels(told, labels, self.weight)
        if len(np.unique(rows.classes)) < 2:
            return None
        x = self.standard(rows.features)
        return fit_linear(
            x,
            rows.classes,
            rows.weights,
            self.penalty,
            self.num_classes,
            start,
            self.axes,
            TOLERANCE,
        )

    def choose(self, told: LabelledPixels) -> None:
        """Choose the penalty, and the weight of other labels, by cross-validation over pictures."""
        if self.labels is not None and len(told) >= FEW_ANSWERS:
            losses = {w: self.held_out_losses(told, w) for w in WEIGHTS_OF_LABELS}
            best = min(losses, key=lambda weight: float(losses[weight].sum()))
            # Few answers are easily fooled: the usual weight gives way to what is surely better.
            gains = losses[USUAL_WEIGHT] - losses[best]
            is_sure = gains.mean() > gains.std(ddof=1) / len(gains) ** 0.5
            self.weight = best if is_sure else USUAL_WEIGHT
        rows = with_labels(told, self.labels, self.weight)
        if len(np.unique(rows.classes)) > 1:
            x = self.standard(rows.features)
            parts = x, rows.classes, rows.weights, self.groups_of(rows.images)
            self.penalty = choose_penalty(*parts, self.num_classes, seed=self.seed).penalty

    def groups_of(self, images: np.ndarray) -> np.ndarray:
        """Return the groups [N] of pictures [N], by their numbers."""
        return images if self.groups is None else self.groups[images]

    def held_out_losses(self, told: LabelledPixels, weight: float) -> np.ndarray:
        """Return the cross-entropy of each answer [N] by heads that don't know its picture.

        weight: of other labels, in answers. Where all others name one class, chances are equal.
        """
        folds = folds_of(self.groups_of(told.images), 3, self.seed).numpy()
        losses = np.full(len(told), np.log(self.num_classes))
        for fold in np.unique(folds):
            held = told.part(folds == fold)
            labels = self.labels
            if labels is not None:
                held_groups = np.unique(self.groups_of(held.images))
                labels = labels.part(~np.isin(self.groups_of(labels.images), held_groups))
            rows = with_labels(told.part(folds != fold), labels, weight)
            if len(np.unique(rows.classes)) < 2:
                continue
            x = self.standard(rows.features)
            head = fit_linear(
                x, rows.classes, rows.weights, self.penalty, self.num_classes, tolerance=1e-3
            )
            log_p = head.logits(torch.from_numpy(self.standard(held.features))).log_softmax(1)
            log_p = log_p.clamp(min=-7)  # a class that nobody has named yet is no catastrophe
            right = log_p[torch.arange(len(log_p)), torch.from_numpy(held.classes)]
            losses[folds == fold] = -right.double().numpy()
        return losses

    def logits(self, features: np.ndarray, head: LinearHead) -> np.ndarray:
        """Return the logits [..., C] float32 that a head gives features [..., D]."""
        weights, bias = Probe(self.standard, head).folded(head.weights, head.bias)
        found: np.ndarray = (torch.from_numpy(features).float() @ weights + bias).numpy()
        return found


def without_pictures(labels: LabelledPixels | None, pictures: np.ndarray) -> LabelledPixels | None:
    """Return the labels of all other pictures."""
    return None if labels is None else labels.part(~np.isin(labels.images, pictures))


def with_labels(
    told: LabelledPixels, labels: LabelledPixels | None, weight: float
) -> LabelledPixels:
    """Return answers together with other labels, which weigh as much as `weight` answers."""
    if labels is None or not weight or not len(labels):
        return told
    share = weight / labels.weights.sum()
    scaled = LabelledPixels(labels.features, labels.classes, labels.weights * share, labels.images)
    return merged([told, scaled], labels.features)
