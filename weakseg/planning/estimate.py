"""How good is the model, without a mask? An interval from answers about pixels drawn at random.

What is estimated: how well the out-of-fold masks agree with *this person's own answers*, over all
pixels that they can tell. Where the person errs, it counts against the masks. Beside it stands the
share of pixels that they can't tell. Only answers to random questions may enter: chosen pixels are
harder than the rest.

How: the share of each predicted class over all pixels is known, for the masks are. What is not
known is the truth within a predicted class, and whether a person can tell it; of both the random
answers give a posterior (post-stratification with Dirichlet posteriors). Draws of the posterior
times the known shares are confusion matrices, and their scores give the interval. A bootstrap of
few answers misses the errors that it has not seen; the prior has them. `benchmarks/coverage.py`
measures how often the intervals cover the truth. All scores are fractions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from weakseg.common import IGNORE

DRAWS = 2000
# With more than two classes, a class is scored in the mIoU from as many expected answers on.
LEAST_ANSWERS = 5

Masses = Callable[
    [int], np.ndarray
]  # predicted class -> draws of the weights of answers [B, C + 1]


class Interval(NamedTuple):
    """The median of a posterior, and its 2.5 and 97.5 % quantiles; NaN where there is no value."""

    point: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: np.ndarray) -> "Interval":
        """Return the interval of draws [B]."""
        return cls(*(float(value) for value in np.quantile(draws, (0.5, 0.025, 0.975))))


@dataclass(frozen=True)
class Tally:
    """What a person answered to random questions, by what was predicted there out of fold.

    counts  [C, C + 1] float64: rows = predicted class, columns = their answer, the last = cannot
            tell. A question that was drawn twice counts twice. With unequal chances to be drawn
            these are effective counts, see `of`.
    shares  [C] float64: the share of all pixels (by area) that is predicted as each class, out of
            fold; scaled to sum 1
    prior   [C, C] float64: for each predicted class the mean of the model's calibrated
            probabilities of the truth, out of fold; rows sum to 1 and weigh one answer. None: equal
            parts. With two classes always a half each, whatever is given.

    Raises ValueError on shapes that don't fit together, on values that are negative or not finite,
    on shares of sum 0.
    """

    counts: np.ndarray
    shares: np.ndarray
    prior: np.ndarray | None = None

    def __post_init__(self) -> None:
        counts, shares = np.asarray(self.counts, float), np.asarray(self.shares, float)
        classes = len(shares)
        shapes = [counts.shape, shares.shape]
        if shapes != [(classes, classes + 1), (classes,)]:
            raise ValueError(f"counts and shares of shapes {shapes} don't fit together")
        if not all(np.isfinite(x).all() and (x >= 0).all() for x in (counts, shares)):
            raise ValueError("counts and shares must be finite and not negative")
        if not shares.sum():
            raise ValueError("the shares are all 0: there is nothing to estimate")
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "shares", shares / shares.sum())
        _pseudo_answers(self.prior, classes)

    @property
    def pseudo_answers(self) -> np.ndarray:
        """The prior as one answer a predicted class, [C, C]."""
        return _pseudo_answers(self.prior, len(self.shares))

    @classmethod
    def of(
        cls,
        predicted: np.ndarray,
        answers: np.ndarray,
        shares: np.ndarray,
        prior: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> "Tally":
        """Return the tally of answers.

        predicted  [N] int: the class that was predicted out of fold at the pixel of each question
        answers    [N] int: the person's, `IGNORE` = cannot tell
        weights    [N] float: one over the chance to be drawn, up to a factor, where it is not the
                   same for all: pictures that joined later were in fewer draws. None: the same. The
                   answers of a predicted class then weigh (sum w)^2 / sum w^2 answers (Kish 1965).
        """
        classes = len(shares)
        rows, columns = _cells(predicted, answers, classes)
        counts = np.zeros((classes, classes + 1))
        np.add.at(counts, (rows, columns), _worth(rows, weights))
        return cls(counts, shares, prior)


def _pseudo_answers(prior: np.ndarray | None, classes: int) -> np.ndarray:
    """Return the rows [C, C], each of sum 1, that a prior stands for."""
    if prior is None or classes <= 2:
        return np.full((classes, classes), 1 / classes)
    rows = np.asarray(prior, float)
    if rows.shape != (classes, classes) or not np.isfinite(rows).all() or (rows < 0).any():
        raise ValueError(
            f"a prior of {classes} classes is a [C, C] of finite shares, none negative"
        )
    if not np.allclose(rows.sum(1), 1, atol=1e-3):
        raise ValueError("each row of a prior must sum to 1")
    return rows / rows.sum(1, keepdims=True)


def _cells(
    predicted: np.ndarray, answers: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the column of a tally that each answer stands in, int64 [N] each."""
    rows, answers = np.asarray(predicted, np.int64), np.asarray(answers, np.int64)
    columns = np.where(answers == IGNORE, classes, answers)
    if rows.shape != columns.shape or rows.ndim != 1:
        raise ValueError(
            f"{rows.shape} predictions and {columns.shape} answers: not one a question"
        )
    if rows.size and (min(rows.min(), columns.min()) < 0 or rows.max() >= classes):
        raise ValueError(f"a class outside the {classes} classes")
    if rows.size and ((answers >= classes) & (answers != IGNORE)).any():
        raise ValueError(f"an answer outside the {classes} classes")
    return rows, columns


def _worth(rows: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return the effective count of each answer [N]; those of a row sum to (sum w)^2 / sum w^2."""
    if weights is None:
        return np.ones(len(rows))
    weights = np.asarray(weights, float)
    if weights.shape != rows.shape or not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("weights must be positive numbers, one an answer")
    sums, squares = np.bincount(rows, weights), np.bincount(rows, weights**2)
    return weights * (sums[rows] / squares[rows])


@dataclass(frozen=True)
class Estimate:
    """Scores between out-of-fold masks and a person's own answers, where they can tell.

    answers                 how many named a class; effective ones where their weights differ
    iou                     one a class
    miou                    the mean IoU over `scored`
    pixel_accuracy          the share of pixels of the right class
    foreground_iou          of all classes but the background, taken as one; NaN without background
    frequency_weighted_iou  the mean IoU weighted by the true area of each class
    cannot_tell             the share of all pixels that the person can't tell
    scored, unscored        the classes of the mIoU, and the others: with more than two classes
                            those that fewer than `LEAST_ANSWERS` answers are expected of
    """

    answers: float
    iou: list[Interval]
    miou: Interval
    pixel_accuracy: Interval
    foreground_iou: Interval
    frequency_weighted_iou: Interval
    cannot_tell: Interval
    scored: list[int]
    unscored: list[int]


def estimate(
    tally: Tally, draws: int = DRAWS, seed: int = 0, background: int | None = 0
) -> Estimate:
    """Return the scores of a tally with their intervals.

    draws: of the posterior; background: the class that is no foreground, None = there is none
    """
    rng = np.random.default_rng(seed)
    # A Dirichlet draw is gamma draws over their sum.
    return _estimate(
        tally,
        lambda row: rng.standard_gamma(tally.counts[row], (draws, len(tally.shares) + 1)),
        rng,
        draws,
        background,
    )


def estimate_by_visits(
    predicted: np.ndarray,
    answers: np.ndarray,
    visits: np.ndarray,
    shares: np.ndarray,
    prior: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    background: int | None = 0,
) -> Estimate:
    """Return the scores where a visit to a picture brings several answers, which are alike.

    visits: [N] int, the visit that each answer is of. The others are those of `Tally.of` and
    `estimate`. The visits are drawn anew by the Bayesian bootstrap (Rubin 1981): a weight from
    Exp(1) for all answers of a visit. With one answer a visit this is `estimate`, for a gamma draw
    of n answers is the sum of n such weights.
    """
    tally = Tally.of(predicted, answers, shares, prior, weights)
    rows, columns = _cells(predicted, answers, len(shares))
    worth = _worth(rows, weights)
    _, visit = np.unique(visits, return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.standard_exponential((draws, visit.max(initial=-1) + 1))

    def masses(row: int) -> np.ndarray:
        here = np.flatnonzero(rows == row)
        table = np.zeros((len(here), len(shares) + 1))
        table[np.arange(len(here)), columns[here]] = worth[here]
        return drawn[:, visit[here]] @ table

    return _estimate(tally, masses, rng, draws, background)


def _estimate(
    tally: Tally, masses: Masses, rng: np.random.Generator, draws: int, background: int | None
) -> Estimate:
    """Return the scores over draws of the posterior; `masses` are those of the answers alone."""
    classes = len(tally.shares)
    told = tally.counts[:, :classes].sum()
    # How often a person can tell: one answer's weight of what they do over all predicted classes.
    rate = (told + 0.5) / (tally.counts.sum() + 1)
    pseudo = tally.pseudo_answers
    hits, predicted, true = (np.zeros((draws, classes)) for _ in range(3))
    for row, share in enumerate(tally.shares):
        mass = masses(row)
        truth = mass[:, :classes] + rng.standard_gamma(pseudo[row], (draws, classes))
        can, cannot = rng.standard_gamma((rate, 1 - rate), (draws, 2)).T
        can, cannot = can + mass[:, :classes].sum(1), cannot + mass[:, classes]
        # Pixels of this predicted class that can be told, by truth: a row of the matrix.
        predicted[:, row] = share * can / (can + cannot)
        joint = truth * (predicted[:, row] / truth.sum(1))[:, None]
        hits[:, row] = joint[:, row]
        true += joint
    total = predicted.sum(1)
    union = predicted + true - hits
    iou = np.divide(hits, union, out=np.full_like(hits, np.nan), where=union > 0)
    scored = _scored(told, tally.shares)
    foreground = np.full(draws, np.nan)
    if background is not None:
        both = total - predicted[:, background] - true[:, background] + hits[:, background]
        foreground = both / (total - hits[:, background])
    return Estimate(
        answers=float(told),
        iou=[Interval.of(one) for one in iou.T],
        miou=Interval.of(iou[:, scored].mean(1) if scored else np.full(draws, np.nan)),
        pixel_accuracy=Interval.of(hits.sum(1) / total),
        foreground_iou=Interval.of(foreground),
        frequency_weighted_iou=Interval.of((np.nan_to_num(iou) * true).sum(1) / total),
        cannot_tell=Interval.of(1 - total),
        scored=scored,
        unscored=[one for one in range(classes) if one not in scored],
    )


def _scored(told: float, shares: np.ndarray) -> list[int]:
    """Return the classes that enough of the answers are expected of."""
    every = len(shares) <= 2
    return [one for one, share in enumerate(shares) if every or told * share >= LEAST_ANSWERS]


@dataclass(frozen=True)
class Gain:
    """What a doubling of the answers gains in mIoU over `scored`.

    last      of the last doubling, measured
    next      of the next one, extrapolated
    sentence  what a person is told
    """

    last: Interval
    next: Interval
    scored: list[int]
    sentence: str


def gain_of_doubling(
    predicted: np.ndarray,
    answers: np.ndarray,
    pool: np.ndarray,
    classes: int,
    areas: np.ndarray | None = None,
    prior: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Gain:
    """Return what the last doubling of the answers gained, and what the next one would.

    predicted  [3, N] int: out of fold, at the pixels of the random questions, by the models of the
               first quarter, the first half and all of the answers
    answers    [N] int: the person's answers to them, `IGNORE` = cannot tell
    pool       [3, M] int: the same models' out-of-fold predictions at all candidate pixels
    areas      [M] float: how many pixels a candidate stands for; None: all as many
    prior      [C, C]: that of `Tally`, of the model of all answers
    """
    raise NotImplementedError
