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

from weakseg.planning.tally import Tally, cells_of, worth_of

DRAWS = 2000
# With more than two classes, a class is scored in the mIoU from as many expected answers on.
LEAST_ANSWERS = 5

Masses = Callable[[int], np.ndarray]  # predicted class -> weights of answers [B, C + 1]
Draw = Callable[[np.ndarray], np.ndarray]  # weights of answers [K] -> draws [B, K]


class Interval(NamedTuple):
    """A value and the 2.5 and 97.5 % quantiles of its posterior; NaN where there is no value.

    The value is that of the answers alone, without the prior, kept inside the interval. It is
    nearly unbiased; median and mean of the posterior are not near 0 and 1, where the prior pulls
    them inward.
    """

    point: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: np.ndarray, point: float) -> "Interval":
        """Return the interval of draws [B] around a point."""
        low, high = np.quantile(draws, (0.025, 0.975))
        return cls(float(np.clip(point, low, high)), float(low), float(high))


@dataclass(frozen=True)
class Estimate:
    """Scores between out-of-fold masks and a person's own answers, where they can tell.

    answers                 how many named a class; effective ones where their weights differ. Of
                            0 the scores are the prior's
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
    drawn = gamma_draws(np.random.default_rng(seed), draws)
    return _estimate(tally, lambda row: drawn(tally.counts[row]), drawn, background)


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
    of n answers is the sum of n such weights. It is also what unequal `weights` need: pictures that
    joined later may be the harder ones, and then heavy answers scatter more than their number says.
    """
    tally = Tally.of(predicted, answers, shares, prior, weights)
    rows, columns = cells_of(predicted, answers, len(shares))
    worth = worth_of(len(rows), weights)
    _, visit = np.unique(visits, return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.standard_exponential((draws, visit.max(initial=-1) + 1))

    def masses(row: int) -> np.ndarray:
        here = np.flatnonzero(rows == row)
        table = np.zeros((len(here), len(shares) + 1))
        table[np.arange(len(here)), columns[here]] = worth[here]
        return drawn[:, visit[here]] @ table

    return _estimate(tally, masses, gamma_draws(rng, draws), background)


def _estimate(tally: Tally, masses: Masses, pseudo: Draw, background: int | None) -> Estimate:
    """Return the scores over draws: of `masses` by the answers, `pseudo` by the prior."""
    classes = len(tally.shares)
    told = float(tally.counts[:, :classes].sum())
    scored = scored_classes(told, tally.shares)
    drawn = _scores(tally, masses, pseudo, scored, background)
    plain = _scores(tally, lambda row: plain_draw(tally.counts[row]), tiny_draw, scored, background)
    iou, points = drawn.pop("iou"), plain.pop("iou")[0]
    return Estimate(
        answers=told,
        iou=[Interval.of(one, point) for one, point in zip(iou.T, points, strict=True)],
        **{name: Interval.of(values, plain[name][0]) for name, values in drawn.items()},
        scored=scored,
        unscored=[one for one in range(classes) if one not in scored],
    )


def _scores(
    tally: Tally, masses: Masses, pseudo: Draw, scored: list[int], background: int | None
) -> dict[str, np.ndarray]:
    """Return the scores of `Estimate`: `iou` [B, C], the others [B].

    The foreground IoU is that of two classes, background and all others.
    """
    found = areas_of(tally, masses, pseudo).scores(scored)
    classes = len(tally.shares)
    if background is None or classes < 2:
        foreground = np.full(len(found["miou"]), np.nan)
    elif classes == 2:
        foreground = found["iou"][:, 1 - background]
    else:
        front = np.arange(classes) != background
        rows = [np.flatnonzero(front == one) for one in (False, True)]
        columns = np.eye(3)[[*front.astype(int), 2]]
        counts = np.stack([tally.counts[some].sum(0) for some in rows]) @ columns
        two = Tally(counts, np.array([tally.shares[some].sum() for some in rows]))
        areas = areas_of(
            two, lambda row: np.sum([masses(int(one)) for one in rows[row]], 0) @ columns, pseudo
        )
        foreground = areas.scores([0, 1])["iou"][:, 1]
    return found | {"foreground_iou": foreground}


def gamma_draws(rng: np.random.Generator, draws: int) -> Draw:
    """Return what draws gammas of weights: over their sum they are a draw of a Dirichlet."""
    return lambda weights: rng.standard_gamma(weights, (draws, len(weights)))


def plain_draw(weights: np.ndarray) -> np.ndarray:
    """Return the weights themselves as the only draw, [1, K]."""
    return weights[None]


def tiny_draw(weights: np.ndarray) -> np.ndarray:
    """Return weights that only count where there is no answer, [1, K]."""
    return 1e-9 * weights[None]


@dataclass(frozen=True)
class Areas:
    """Shares of all pixels that can be told, [B, C] each: by class predicted, true, and both."""

    predicted: np.ndarray
    true: np.ndarray
    hits: np.ndarray

    def plus(self, other: "Areas", share: float) -> "Areas":
        """Return these areas and a share of others."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Areas(*(mine + share * theirs for mine, theirs in pairs))

    def of_accuracy(self, accuracy: np.ndarray) -> "Areas":
        """Return these areas with right and wrong ones scaled to a pixel accuracy, [B]."""
        total, hits = self.predicted.sum(1), self.hits.sum(1)
        right = (accuracy * total / np.maximum(hits, 1e-300))[:, None]
        wrong = ((1 - accuracy) * total / np.maximum(total - hits, 1e-300))[:, None]
        predicted, true = (
            right * self.hits + wrong * np.maximum(areas - self.hits, 0)
            for areas in (self.predicted, self.true)
        )
        return Areas(predicted, true, right * self.hits)

    def scores(self, scored: list[int]) -> dict[str, np.ndarray]:
        """Return `iou` [B, C], `miou` over the scored classes and the like [B]."""
        can_tell = self.predicted.sum(1)
        union = self.predicted + self.true - self.hits
        iou = np.divide(self.hits, union, out=np.full_like(union, np.nan), where=union > 0)
        scores = {
            "iou": iou,
            "miou": iou[:, scored].mean(1) if scored else np.full(len(iou), np.nan),
            "pixel_accuracy": self.hits.sum(1) / can_tell,
            "frequency_weighted_iou": (np.nan_to_num(iou) * self.true).sum(1) / can_tell,
            "cannot_tell": 1 - can_tell,
        }
        return {name: values.clip(0, 1) for name, values in scores.items()}  # rounding


def areas_of(tally: Tally, masses: Masses, pseudo: Draw) -> Areas:
    """Return the areas of each draw: of `masses` by the answers and `pseudo` by the prior.

    With more than two classes the pixel accuracy has a posterior of its own, of all answers and a
    half more of either kind (Jeffreys), and each draw is scaled to it. Many predicted classes have
    an answer or none and follow the prior; how much is right in all does not.
    """
    classes = len(tally.shares)
    # How often a person can tell: what they do in all predicted classes weighs one answer in each.
    rate = tell_rate(tally.counts[:, :classes].sum(), tally.counts.sum())
    predicted, hits = [], []
    true = right = wrong = np.zeros(1)
    for row, (share, prior) in enumerate(zip(tally.shares, tally.pseudo_answers, strict=True)):
        mass = masses(row)
        told = mass[:, :classes] + pseudo(prior)
        can, cannot = pseudo(np.array([rate, 1 - rate])).T
        can, cannot = can + mass[:, :classes].sum(1), cannot + mass[:, classes]
        predicted.append(share * can / (can + cannot))
        joint = told * (predicted[-1] / told.sum(1))[:, None]
        hits.append(joint[:, row])
        true = true + joint
        right = right + mass[:, row]
        wrong = wrong + mass[:, :classes].sum(1) - mass[:, row]
    areas = Areas(np.stack(predicted, 1), true, np.stack(hits, 1))
    if classes <= 2:
        return areas
    half_right, half_wrong = pseudo(np.full(2, 0.5)).T
    return areas.of_accuracy((right + half_right) / (right + wrong + half_right + half_wrong))


def tell_rate(told: float, asked: float) -> float:
    """Return how often a person can tell; not near 0, where there is no area left to score."""
    return max((told + 0.5) / (asked + 1), 0.05)


def scored_classes(told: float, shares: np.ndarray) -> list[int]:
    """Return the classes that enough of the answers are expected of."""
    every = len(shares) <= 2
    return [one for one, share in enumerate(shares) if every or told * share >= LEAST_ANSWERS]
