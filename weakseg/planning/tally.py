"""A tally of answers: what a person said, by what was predicted at the pixels that were asked."""

from dataclasses import dataclass

import numpy as np

from weakseg.common import IGNORE


@dataclass(frozen=True)
class Tally:
    """What a person answered to random questions, by what was predicted there out of fold.

    counts  [C, C + 1] float64: rows = predicted class, columns = their answer, the last = cannot
            tell. A question that was drawn twice counts twice. With unequal chances to be drawn
            these are effective counts, see `of`.
    shares  [C] float64: the share of all pixels (by area) that is predicted as each class, out of
            fold; scaled to sum 1
    prior   [C, C] float64, used with more than two classes: for each predicted class the mean of
            the model's calibrated probabilities of the truth, out of fold; rows sum to 1. None:
            right as often as over all answers, else another class by its share.

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
        if self.prior is not None:
            object.__setattr__(self, "prior", _check_prior(self.prior, classes))

    @property
    def pseudo_answers(self) -> np.ndarray:
        """The prior as answers, [C, C].

        Of two classes half an answer each (Jeffreys). Of more, one answer to each predicted class,
        spread by `prior`, and over all of them together one more that is wrong: few answers to a
        good model hold fewer errors than it makes.
        """
        classes = len(self.shares)
        if classes <= 2:
            return np.full((classes, classes), 1 / classes)
        own = np.eye(classes, dtype=bool)
        wrong = self.shares + np.zeros((classes, 1))
        if self.prior is None:
            right = self.counts[:, :classes].trace() + 0.5
            right /= self.counts[:, :classes].sum() + 1
            rows = np.where(own, right, (1 - right) * _others(wrong, own))
        else:
            rows = self.prior / self.prior.sum(1, keepdims=True)
            wrong = rows
        return rows + self.shares[:, None] * _others(wrong, own)

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
                   same for all: pictures that joined later were in fewer draws. None: the same. All
                   answers together then count as (sum w)^2 / sum w^2 (Kish 1965), which is enough
                   where weights tell nothing of the answers; else see `estimate_by_visits`
        """
        classes = len(shares)
        rows, columns = cells_of(predicted, answers, classes)
        counts = np.zeros((classes, classes + 1))
        np.add.at(counts, (rows, columns), worth_of(len(rows), weights))
        return cls(counts, shares, prior)


def _check_prior(prior: np.ndarray, classes: int) -> np.ndarray:
    """Return a prior as float64 [C, C]; raise ValueError where it is none."""
    rows = np.asarray(prior, float)
    if rows.shape != (classes, classes) or not np.isfinite(rows).all() or (rows < 0).any():
        raise ValueError(f"a prior of {classes} classes is [C, C] of finite shares, none negative")
    if not np.allclose(rows.sum(1), 1, atol=1e-3):
        raise ValueError("each row of a prior must sum to 1")
    return rows


def _others(rows: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return rows [C, C] without their diagonal, of sum 1; equal parts where nothing is left."""
    rest = np.where(own, 0, rows + 1e-9)
    return rest / rest.sum(1, keepdims=True)


def cells_of(
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


def worth_of(count: int, weights: np.ndarray | None) -> np.ndarray:
    """Return the effective count of each answer, [N], of sum (sum w)^2 / sum w^2."""
    if weights is None or not count:
        return np.ones(count)
    weights = np.asarray(weights, float)
    if weights.shape != (count,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("weights must be positive numbers, one an answer")
    return weights * (weights.sum() / (weights**2).sum())
