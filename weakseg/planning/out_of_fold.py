"""What a session's model predicts for pictures it has not learned from: the ground of an estimate.

Pictures, or groups of them, are dealt into folds. For each fold a head is fitted to the answers on
all other pictures, and predicts this fold's candidates and answered pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from weakseg.common import IGNORE, stable_seed
from weakseg.labels.answers import RANDOM
from weakseg.learners.logistic import LinearHead
from weakseg.learners.penalty import folds_of
from weakseg.planning.asking import Asking
from weakseg.planning.estimate import Estimate, estimate_by_visits
from weakseg.planning.gain import Gain, gain_of_doubling

FOLDS = 10
MOST_PICTURES = 2000  # of the pool, drawn by the seed, whose candidates are predicted
TEMPERATURES = np.geomspace(0.25, 4, 17)  # what logits are divided by to be calibrated

MaskOf = Callable[[int, LinearHead], np.ndarray]  # number of a picture -> mask [H, W] by a head


@dataclass(frozen=True)
class OutOfFold:
    """Predictions for random questions, and for the candidates of pictures, by heads of others.

    questions  [N] int: numbers of the random questions among the answers
    predicted  [N] int: class at each of them
    answers    [N] int: what the person said, `IGNORE` = cannot tell
    weights    [N] float: how much each answer weighs, 1 on average
    pool       [M] int: class at each candidate of the pictures that were looked at
    areas      [M] float: pixels that each of them stands for
    chances    [M, C] float32: calibrated probabilities there
    """

    questions: np.ndarray
    predicted: np.ndarray
    answers: np.ndarray
    weights: np.ndarray
    pool: np.ndarray
    areas: np.ndarray
    chances: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """The share of each predicted class, by area [C]."""
        totals = np.bincount(self.pool, self.areas, self.chances.shape[1])
        shares: np.ndarray = totals / totals.sum()
        return shares

    @property
    def prior(self) -> np.ndarray:
        """The mean calibrated probabilities by predicted class [C, C]; equal ones without any."""
        classes = self.chances.shape[1]
        prior = np.full((classes, classes), 1 / classes)
        for label in np.unique(self.pool):
            here = self.pool == label
            mean = self.areas[here] @ self.chances[here]
            prior[label] = mean / mean.sum()
        return prior


def out_of_fold(
    asking: Asking,
    answers: int | None = None,
    groups: Sequence[object] | None = None,
    mask_of: MaskOf | None = None,
) -> OutOfFold | None:
    """Return the out-of-fold predictions of a session's model; None where folds show one class.

    answers: how many of the first answers the heads learn from, None: all; the random questions
        are those of all answers in any case
    groups: of each picture of the pool, such as its patient; folds never split one. None: those of
        the session
    mask_of: the mask that a head gives a picture, if it is more than the likeliest class of each
        pixel, as masks that follow edges are
    """
    pool, rows = asking.pool, asking.answers.rows
    belongs = asking.groups if groups is None else groups
    random = np.array([i for i, row in enumerate(rows) if row.question.drawn == RANDOM], int)
    pictures = np.array([rows[i].question.picture for i in random], int)
    folds = folds_of(pool.names if belongs is None else belongs, FOLDS, asking.options.seed).numpy()
    heads = fold_heads(asking, folds, len(rows) if answers is None else answers)
    if heads is None:
        return None
    looked = looked_at(len(pool), asking.options.seed)
    places = np.array([rows[i].question.place for i in random]).reshape(-1, 2)

    # Chances at the random questions, and at all candidates of the pictures that are looked at.
    features = asking.answers.pixels(random).features if len(random) else np.empty((0, 1))
    shape = len(looked), pool.features.shape[1]
    at_answers = np.empty((len(random), asking.num_classes), np.float32)
    at_pool = np.empty((*shape, asking.num_classes), np.float32)
    for fold, head in heads.items():
        mine = folds[pictures] == fold
        if mine.any():
            at_answers[mine] = asking.model.logits(features[mine], head)
        own = folds[looked] == fold
        if own.any():
            at_pool[own] = asking.model.logits(pool.features[looked[own]], head)
    labels = np.array([rows[i].label for i in random], int)
    at_pool /= temperature(at_answers, labels)
    predicted, classes = at_answers.argmax(1), at_pool.argmax(2)

    # Masks that are more than the likeliest class of each pixel.
    if mask_of is not None:
        for number, picture in enumerate(looked):
            mask = mask_of(picture, heads[folds[picture]])
            classes[number] = seen(mask, pool.places[picture])
        for picture in np.unique(pictures):
            mask = mask_of(picture, heads[folds[picture]])
            predicted[pictures == picture] = seen(mask, places[pictures == picture])
    return OutOfFold(
        random,
        predicted,
        labels,
        asking.random.weights(pictures, len(random)),
        classes.ravel(),
        np.repeat(pool.areas[looked], shape[1]),
        torch.from_numpy(at_pool).softmax(2).numpy().reshape(-1, asking.num_classes),
    )


def fold_heads(asking: Asking, folds: np.ndarray, answers: int) -> dict[int, LinearHead] | None:
    """Return the head of each fold, fitted to the first answers on pictures of the others.

    folds [I]: of each picture; None where the answers of some folds show fewer than two classes
    """
    rows = asking.answers.pixels(asking.answers.last_of_each(answers))
    told = rows.part(rows.classes != IGNORE)
    heads = {}
    for fold in np.unique(folds):
        others = told.part(folds[told.images] != fold)
        head = asking.model.fitted(others, asking.model.head, np.flatnonzero(folds == fold))
        if head is None:
            return None
        heads[int(fold)] = head
    return heads


def looked_at(pictures: int, seed: int) -> np.ndarray:
    """Return the numbers of the pictures whose candidates are predicted, in order."""
    if pictures <= MOST_PICTURES:
        return np.arange(pictures)
    rng = np.random.default_rng(stable_seed(seed, "out of fold"))
    return np.sort(rng.choice(pictures, MOST_PICTURES, replace=False))


def seen(mask: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the classes [N] of a mask [H, W] at places [N, 2]."""
    columns, rows = places.astype(int).T
    classes: np.ndarray = mask[rows, columns].astype(int)
    return classes


def temperature(logits: np.ndarray, answers: np.ndarray) -> float:
    """Return what logits [N, C] are to be divided by, so that answers [N] are likeliest.

    This is temperature scaling (Guo et al., "On calibration of modern neural networks", 2017); 1
    where nobody could tell.
    """
    told = answers != IGNORE
    if not told.any():
        return 1.0
    known, labels = torch.from_numpy(logits[told]), torch.from_numpy(answers[told])
    losses = [
        float(torch.nn.functional.cross_entropy(known / value, labels)) for value in TEMPERATURES
    ]
    return float(TEMPERATURES[int(np.argmin(losses))])


def gain(asking: Asking, groups: Sequence[object] | None = None) -> Gain | None:
    """Return what the last doubling of the answers gained; None while there are too few to say.

    Models of the first quarter, the first half and all of the answers are scored on the same random
    answers, out of fold.
    """
    parts = [out_of_fold(asking, len(asking.answers) // share, groups) for share in (4, 2, 1)]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or not len(known[-1].answers):
        return None
    last = known[-1]
    return gain_of_doubling(
        np.stack([part.predicted for part in known]),
        last.answers,
        np.stack([part.pool for part in known]),
        asking.num_classes,
        last.areas,
        last.prior,
        last.weights,
        seed=asking.options.seed,
    )


def quality(found: OutOfFold, has_background: bool, seed: int = 0) -> Estimate:
    """Return how well out-of-fold masks agree with the person's answers, with intervals."""
    return estimate_by_visits(
        found.predicted,
        found.answers,
        np.arange(len(found.answers)),  # each random question is a visit of its own
        found.shares,
        found.prior,
        found.weights,
        seed=seed,
        background=0 if has_background else None,
    )
