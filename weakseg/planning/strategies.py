"""Which pixel to ask about next: the table of strategies.

A strategy gives each candidate a score from what the model thinks of it; of each picture the best
candidates are taken, then the best of all pictures. To add one, write its function and name it in
`STRATEGIES`.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MANY_TIMES = 3  # pictures for each one that spread takes: the most doubtful ones
FEW_OF_CLASS = 8  # answers below which a class that somebody has named is served
SERVED = 0.25  # share of the chosen questions that serve such classes
IN_VAIN = 4  # questions for each answer with a class, after which it is sought in vain


@dataclass(frozen=True)
class Outlook:
    """What is known of the candidates of the pictures that are looked at.

    chances   [I, K, C] float32, class probabilities
    counts    [C] answers of each class so far
    tells     [I, K] float32, the learned chance that a person can tell the class; 1 if unknown
    seconds   [I] what a question on each picture takes: an answer, and the look where it is new
    """

    chances: np.ndarray
    counts: np.ndarray
    tells: np.ndarray
    seconds: np.ndarray


Score = Callable[[Outlook], np.ndarray]  # [I, K], the larger the sooner asked


def margin(outlook: Outlook) -> np.ndarray:
    """Return how near the two likeliest classes are: 1 minus their difference (Scheffer, 2001)."""
    chances = outlook.chances
    if chances.shape[-1] == 2:
        close: np.ndarray = 1 - np.abs(chances[..., 0] - chances[..., 1])
        return close
    two = np.partition(chances, -2, axis=-1)[..., -2:]
    close = 1 - (two[..., 1] - two[..., 0])
    return close


def entropy(outlook: Outlook) -> np.ndarray:
    """Return the entropy of the classes, in nats (Shannon, 1948)."""
    chances = outlook.chances
    uncertain: np.ndarray = -(chances * np.log(np.maximum(chances, 1e-12))).sum(-1)
    return uncertain


def per_second(outlook: Outlook) -> np.ndarray:
    """Return the margin times the chance of an answer, per second that the question takes."""
    gain: np.ndarray = margin(outlook) * outlook.tells / outlook.seconds[:, None]
    return gain


def answered(outlook: Outlook) -> np.ndarray:
    """Return the margin times the chance of an answer."""
    gain: np.ndarray = margin(outlook) * outlook.tells
    return gain


def rare(outlook: Outlook) -> np.ndarray:
    """Return the margin, the larger the fewer answers the classes in question have.

    Each class weighs one over the root of its answers; what counts is the mean over the classes by
    the candidate's chances.
    """
    need = 1 / np.sqrt(1 + outlook.counts)
    needed: np.ndarray = margin(outlook) * (outlook.chances @ need.astype(np.float32))
    return needed


def rare_answered(outlook: Outlook) -> np.ndarray:
    """Return `rare` times the chance of an answer."""
    gain: np.ndarray = rare(outlook) * outlook.tells
    return gain


@dataclass(frozen=True)
class Strategy:
    """How questions are chosen: by a score; whether they must differ in their features; and whether
    some go where a class with few answers is likeliest, see `likeliest`."""

    score: Score
    spreads: bool = False
    serves: bool = False


STRATEGIES: dict[str, Strategy] = {
    "margin": Strategy(margin),
    "entropy": Strategy(entropy),
    "spread": Strategy(margin, spreads=True),
    "rare": Strategy(rare),
    "answered": Strategy(answered),
    "per_second": Strategy(per_second),
    "rare_spread": Strategy(rare, spreads=True, serves=True),
    "combined": Strategy(rare_answered, spreads=True, serves=True),
}
USUAL_STRATEGY = "combined"  # the best one on the validation images of pets and CamVid


def best_candidates(
    scores: np.ndarray, asked: np.ndarray, count: int, per_picture: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures [N] and candidates [N] of the largest scores, at most `count`.

    scores [I, K]; asked [I, K] bool: whom not to ask; per_picture: of one picture, at most
    """
    free = np.where(asked, -np.inf, scores)
    most = min(per_picture, free.shape[1])
    candidates = np.argpartition(-free, most - 1, axis=1)[:, :most]
    values = np.take_along_axis(free, candidates, 1)
    pictures = np.repeat(np.arange(len(free)), most)
    candidates, values = candidates.ravel(), values.ravel()
    # Pictures stay together, the one with the best candidate first: a visit costs a look.
    best_of_picture = values.reshape(len(free), most).max(1)[pictures]
    order = np.lexsort((-values, pictures, -best_of_picture))
    order = order[np.isfinite(values[order])][:count]
    return pictures[order], candidates[order]


def likeliest(chances: np.ndarray, asked: np.ndarray, classes: np.ndarray) -> list[tuple[int, int]]:
    """Return (picture, candidate) where each of some classes [N] is likeliest, in their order.

    chances [I, K, C], asked [I, K] bool: whom not to ask. Pictures differ; with fewer pictures than
    classes there are fewer.
    """
    free, best = ~asked, []
    for label in classes[: len(chances)]:
        scores = np.where(free, chances[..., label], -1)
        picture, candidate = np.unravel_index(int(scores.argmax()), scores.shape)
        if scores[picture, candidate] < 0:
            break
        best.append((int(picture), int(candidate)))
        free[picture] = False
    return best


def different(features: np.ndarray, scores: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the numbers [count] of candidates that score high and differ in their features.

    features [N, D], scores [N] above 0. Clusters are formed by k-means that the scores weigh, and
    of each the candidate nearest to its centre is taken (Zhdanov, "Diverse mini-batch active
    learning", 2019).
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if count >= len(features):
        return np.arange(len(features))
    means = KMeans(count, n_init=1, max_iter=20, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of candidates that are alike
        means.fit(features, sample_weight=scores)
    distances = ((features - means.cluster_centers_[means.labels_]) ** 2).sum(1)
    order = np.lexsort((distances, means.labels_))
    _, first = np.unique(means.labels_[order], return_index=True)
    chosen = order[first]
    if len(chosen) < count:  # candidates that are all alike make fewer clusters
        left = np.setdiff1d(np.arange(len(features)), chosen)
        chosen = np.concatenate([chosen, left[np.argsort(-scores[left])][: count - len(chosen)]])
    return np.sort(chosen)
