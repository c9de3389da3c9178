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

Masses = Callable[[int], np.ndarray]  # predicted class -> weights of answers [B, C + 1]
Draw = Callable[[np.ndarray], np.ndarray]  # weights of answers [K] -> draws [B, K]
SMALL = "Twice as many answers gain less than a point."
OPEN = "Can't tell yet what twice as many answers gain."


class Interval(NamedTuple):
    """A value and the 2.5 and 97.5 % quantiles of its posterior; NaN where there is no value.

    The value is that of the answers alone, without the prior, kept inside the interval. It is
    nearly unbiased; median and mean of the posterior are not near 0 and 1, where the prior pulls
    them inward: by 2 to 9 points of mIoU at 50 answers (`benchmarks/coverage.py`).
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
        rows, columns = _cells(predicted, answers, classes)
        counts = np.zeros((classes, classes + 1))
        np.add.at(counts, (rows, columns), _worth(len(rows), weights))
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


def _worth(count: int, weights: np.ndarray | None) -> np.ndarray:
    """Return the effective count of each answer, [N], of sum (sum w)^2 / sum w^2."""
    if weights is None or not count:
        return np.ones(count)
    weights = np.asarray(weights, float)
    if weights.shape != (count,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("weights must be positive numbers, one an answer")
    return weights * (weights.sum() / (weights**2).sum())


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
    drawn = _gammas(np.random.default_rng(seed), draws)
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
    rows, columns = _cells(predicted, answers, len(shares))
    worth = _worth(len(rows), weights)
    _, visit = np.unique(visits, return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.standard_exponential((draws, visit.max(initial=-1) + 1))

    def masses(row: int) -> np.ndarray:
        here = np.flatnonzero(rows == row)
        table = np.zeros((len(here), len(shares) + 1))
        table[np.arange(len(here)), columns[here]] = worth[here]
        return drawn[:, visit[here]] @ table

    return _estimate(tally, masses, _gammas(rng, draws), background)


def _estimate(tally: Tally, masses: Masses, pseudo: Draw, background: int | None) -> Estimate:
    """Return the scores over draws: of `masses` by the answers, `pseudo` by the prior."""
    classes = len(tally.shares)
    told = float(tally.counts[:, :classes].sum())
    scored = _scored(told, tally.shares)
    drawn = _scores(tally, masses, pseudo, scored, background)
    plain = _scores(tally, lambda row: _plain(tally.counts[row]), _tiny, scored, background)
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
    found = _areas(tally, masses, pseudo).scores(scored)
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
        areas = _areas(
            two, lambda row: np.sum([masses(int(one)) for one in rows[row]], 0) @ columns, pseudo
        )
        foreground = areas.scores([0, 1])["iou"][:, 1]
    return found | {"foreground_iou": foreground}


def _gammas(rng: np.random.Generator, draws: int) -> Draw:
    """Return what draws gammas of weights: over their sum they are a draw of a Dirichlet."""
    return lambda weights: rng.standard_gamma(weights, (draws, len(weights)))


def _plain(weights: np.ndarray) -> np.ndarray:
    """Return the weights themselves as the only draw, [1, K]."""
    return weights[None]


def _tiny(weights: np.ndarray) -> np.ndarray:
    """Return weights that only count where there is no answer, [1, K]."""
    return 1e-9 * weights[None]


@dataclass(frozen=True)
class _Areas:
    """Shares of all pixels that can be told, [B, C] each: by class predicted, true, and both."""

    predicted: np.ndarray
    true: np.ndarray
    hits: np.ndarray

    def plus(self, other: "_Areas", share: float) -> "_Areas":
        """Return these areas and a share of others."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Areas(*(mine + share * theirs for mine, theirs in pairs))

    def of_accuracy(self, accuracy: np.ndarray) -> "_Areas":
        """Return these areas with right and wrong ones scaled to a pixel accuracy, [B]."""
        total, hits = self.predicted.sum(1), self.hits.sum(1)
        right = (accuracy * total / hits)[:, None]
        wrong = ((1 - accuracy) * total / np.maximum(total - hits, 1e-300))[:, None]
        predicted, true = (
            right * self.hits + wrong * np.maximum(areas - self.hits, 0)
            for areas in (self.predicted, self.true)
        )
        return _Areas(predicted, true, right * self.hits)

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


def _areas(tally: Tally, masses: Masses, pseudo: Draw) -> _Areas:
    """Return the areas of each draw: of `masses` by the answers and `pseudo` by the prior.

    With more than two classes the pixel accuracy has a posterior of its own, of all answers and a
    half more of either kind (Jeffreys), and each draw is scaled to it. Many predicted classes have
    an answer or none and follow the prior; how much is right in all does not.
    """
    classes = len(tally.shares)
    # How often a person can tell: what they do in all predicted classes weighs one answer in each.
    rate = _tell_rate(tally.counts[:, :classes].sum(), tally.counts.sum())
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
    areas = _Areas(np.stack(predicted, 1), true, np.stack(hits, 1))
    if classes <= 2:
        return areas
    half_right, half_wrong = pseudo(np.full(2, 0.5)).T
    return areas.of_accuracy((right + half_right) / (right + wrong + half_right + half_wrong))


def _tell_rate(told: float, asked: float) -> float:
    """Return how often a person can tell; not near 0, where there is no area left to score."""
    return max((told + 0.5) / (asked + 1), 0.05)


def _scored(told: float, shares: np.ndarray) -> list[int]:
    """Return the classes that enough of the answers are expected of."""
    every = len(shares) <= 2
    return [one for one, share in enumerate(shares) if every or told * share >= LEAST_ANSWERS]


@dataclass(frozen=True)
class Gain:
    """What a doubling of the answers gains in mIoU.

    last      of the last doubling, as the random answers say
    next      of the next one: the last gain, times what it is of the gain before, at most once
    sentence  what a person is told
    """

    last: Interval
    next: Interval
    sentence: str


def gain_of_doubling(
    predicted: np.ndarray,
    answers: np.ndarray,
    pool: np.ndarray,
    classes: int,
    areas: np.ndarray | None = None,
    prior: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Gain:
    """Return what the last doubling of the answers gained, and what the next one would.

    predicted  [3, N] int: out of fold, at the pixels of the random questions, by the models of the
               first quarter, the first half, and all of the answers
    answers    [N] int: the person's answers to them, `IGNORE` = cannot tell
    pool       [3, M] int: the same models' out-of-fold predictions at all candidate pixels
    areas      [M] float: how many pixels a candidate stands for; None: all as many
    prior, weights: those of `Tally.of`
    """
    rng = np.random.default_rng(seed)
    predicted, answers, pool = (np.asarray(x, np.int64) for x in (predicted, answers, pool))
    areas = np.ones(pool.shape[1]) if areas is None else np.asarray(areas, float)
    if predicted.shape != (3, len(answers)) or pool.shape != (3, len(areas)):
        raise ValueError(f"predictions {predicted.shape} and {pool.shape} are not of three models")

    drawn = _gammas(rng, draws)
    given = answers, classes, areas, prior, weights
    before = _gain(predicted[:2], pool[:2], *given, drawn, drawn)
    last = _gain(predicted[1:], pool[1:], *given, drawn, drawn)
    falling = np.divide(last, before, out=np.ones(draws), where=before > 0).clip(0, 1)
    following = Interval.of(last * falling, float(np.median(last * falling)))
    point = float(_gain(predicted[1:], pool[1:], *given, _plain, _tiny)[0])
    return Gain(Interval.of(last, point), following, SMALL if following.high < 0.01 else OPEN)


def _gain(
    predicted: np.ndarray,
    pool: np.ndarray,
    answers: np.ndarray,
    classes: int,
    areas: np.ndarray,
    prior: np.ndarray | None,
    weights: np.ndarray | None,
    mass: Draw,
    pseudo: Draw,
) -> np.ndarray:
    """Return draws [B] of how much mIoU the second of two models is above the first.

    Only where they differ can one gain on the other. How much of the pool that is, is known. How
    often either is right there has one posterior for all classes (half an answer each for the
    first, the second and, with more than two classes, neither): pairs of classes have an answer or
    none each, and a prior of their own would say of most that nothing is gained.

    predicted [2, N], pool [2, M]: at the questions and at the candidates; `mass` draws the answers'
    part of the posterior, `pseudo` that of the prior
    """
    chance, told, worth = areas / areas.sum(), answers != IGNORE, _worth(len(answers), weights)
    rate = _tell_rate(worth[told].sum(), worth.sum())
    shares = np.bincount(pool[1], chance, classes)
    # Where they differ.
    differ, apart = pool[0] != pool[1], predicted[0] != predicted[1]
    first, second = (np.bincount(one[differ], chance[differ], classes) for one in pool)
    who = np.select([~told, answers == predicted[0], answers == predicted[1]], [3, 0, 1], 2)
    counted = mass(np.bincount(who[apart], worth[apart], 4))
    right = counted[:, :3] + pseudo(np.array([0.5, 0.5, 0.5 * (classes > 2)]))
    can, cannot = pseudo(np.array([rate, 1 - rate])).T
    can, cannot = can + counted[:, :3].sum(1), cannot + counted[:, 3]
    tell = (can / (can + cannot))[:, None]
    one, two, none = (right / right.sum(1, keepdims=True)).T[..., None]
    true = tell * (one * first + two * second + none * first.sum() * shares)
    models = [_Areas(tell * first, true, tell * one * first)]
    models += [_Areas(tell * second, true, tell * two * second)]
    # Where they agree.
    if not differ.all():
        agreed = np.bincount(pool[0][~differ], chance[~differ], classes)
        tally = Tally.of(
            predicted[0][~apart],
            answers[~apart],
            agreed,
            prior,
            None if weights is None else np.asarray(weights)[~apart],
        )
        same = _areas(tally, lambda row: mass(tally.counts[row]), pseudo)
        models = [model.plus(same, agreed.sum()) for model in models]
    scored = _scored(float(worth[told].sum()), shares)
    one, two = (model.scores(scored)["miou"] for model in models)
    return two - one
