"""When to stop: what the last doubling of the answers gained, and what the next one would."""

from dataclasses import dataclass

import numpy as np

from weakseg.common import IGNORE
from weakseg.planning.estimate import (
    DRAWS,
    Areas,
    Draw,
    Interval,
    areas_of,
    gamma_draws,
    plain_draw,
    scored_classes,
    tell_rate,
    tiny_draw,
)
from weakseg.planning.tally import Tally, worth_of

ENOUGH = 40  # random answers with a class; fewer say next to nothing, of two classes to 15 points
SMALL = "Twice as many answers gain less than a point."
OPEN = "Can't tell yet what twice as many answers gain."


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

    drawn = gamma_draws(rng, draws)
    given = answers, classes, areas, prior, weights
    before = _gain(predicted[:2], pool[:2], *given, drawn, drawn)
    last = _gain(predicted[1:], pool[1:], *given, drawn, drawn)
    falling = np.divide(last, before, out=np.ones(draws), where=before > 0).clip(0, 1)
    following = Interval.of(last * falling, float(np.median(last * falling)))
    point = float(_gain(predicted[1:], pool[1:], *given, plain_draw, tiny_draw)[0])
    is_small = following.high < 0.01 and np.count_nonzero(answers != IGNORE) >= ENOUGH
    return Gain(Interval.of(last, point), following, SMALL if is_small else OPEN)


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
    chance, told, worth = areas / areas.sum(), answers != IGNORE, worth_of(len(answers), weights)
    rate = tell_rate(worth[told].sum(), worth.sum())
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
    models = [Areas(tell * first, true, tell * one * first)]
    models += [Areas(tell * second, true, tell * two * second)]
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
        same = areas_of(tally, lambda row: mass(tally.counts[row]), pseudo)
        models = [model.plus(same, agreed.sum()) for model in models]
    scored = scored_classes(float(worth[told].sum()), shares)
    one, two = (model.scores(scored)["miou"] for model in models)
    return two - one
