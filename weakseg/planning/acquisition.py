"""Acquisition strategies: which images to label next, a row of `STRATEGIES` each.

A strategy returns an order of buying, at least min(count, N) images long and without repeats. The
pool is sorted by id and shuffled before it is looked at, so the order in which it came changes
nothing and ties fall at random. Nothing of size N x N is built.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from weakseg.common import UserError, choose
from weakseg.planning.scores import Scores

# The share of the pixels from which an image counts as holding a class; less is often a stray
# speck.
PRESENT = 0.005
BETA = (1.0, 100.0)  # ClaSP PE: the sharpness of the first and of the last round
NEIGHBOURS, MOST_CLUSTERS, SMALL_CLUSTER = 20, 500, 5  # TypiClust, as in the authors' code


@dataclass(frozen=True)
class Context:
    """What a strategy may know besides the pool.

    labelled       the `Scores` of the labelled images, as predicted by the same network
    round, rounds  the number of this purchase, from 0, and how many there are in all
    has_background whether class 0 is one, which is no class to look for
    """

    labelled: Scores | None = None
    round: int = 0
    rounds: int = 1
    has_background: bool = True

    def labelled_vectors(self, name: str, like: np.ndarray) -> np.ndarray:
        """Return the vectors `name` of the labelled images, [M, D]; of none, shaped like `like`."""
        if self.labelled is None or not len(self.labelled):
            return like[:0]
        return self.labelled.vectors[name]


Order = Sequence[int] | np.ndarray  # indices into the pool, the first is bought first
Ranking = Callable[[Scores, int, np.random.Generator, Context], Order]


@dataclass(frozen=True)
class Strategy:
    """A way to choose images.

    needs  names of the scores to compute, none where no network is needed
    order  (pool, count, rng, context) -> indices into the pool
    """

    needs: frozenset[str]
    order: Ranking

    def rank(
        self, pool: Scores, count: int, rng: np.random.Generator, context: Context | None = None
    ) -> list[int]:
        """Return an order of buying, as indices into `pool`, of `count` images or more."""
        context = context or Context()
        if context.labelled is not None:
            labelled = context.labelled.take(_order_of_ids(context.labelled))
            context = replace(context, labelled=labelled)
        mixed = rng.permutation(_order_of_ids(pool))
        count = min(count, len(pool))
        chosen = self.order(pool.take(mixed), count, rng, context) if count > 0 else []
        return [int(mixed[index]) for index in chosen]


def choose_strategy(name: str) -> Strategy:
    """Return the `Strategy` called `name`; an unknown name is a `UserError` with the nearest."""
    choose([name], STRATEGIES, "active_learning.strategy")
    return STRATEGIES[name]


def check_needs(strategy: Strategy, dropout: float, ensemble_size: int) -> None:
    """Refuse a strategy that has no dropout, or no ensemble, to work with."""
    if "bald" in strategy.needs and dropout == 0:
        raise UserError(
            "model.dropout 0: the strategy bald needs dropout; "
            "set it above 0, or choose another strategy"
        )
    if "disagreement" in strategy.needs and ensemble_size < 2:
        raise UserError(
            "active_learning.ensemble_size 1: the strategy disagreement compares networks; "
            "set 2 or more"
        )


def _order_of_ids(scores: Scores) -> list[int]:
    return sorted(range(len(scores)), key=scores.ids.__getitem__)


def _descending(values: np.ndarray) -> np.ndarray:
    return np.argsort(-values, kind="stable")


# ---- the strategies


def _random(pool: Scores, count: int, rng: np.random.Generator, context: Context) -> Order:
    """Any image: the pool is shuffled already."""
    return range(len(pool))


def _class_balanced(pool: Scores, count: int, rng: np.random.Generator, context: Context) -> Order:
    """Random among the images predicted to hold the class that fewest images hold so far.

    The background does not count as a class.
    """
    first = int(context.has_background)
    holds = pool.class_share[:, first:] > PRESENT
    covered = np.zeros(holds.shape[1])
    if context.labelled is not None and len(context.labelled):
        covered += (context.labelled.class_share[:, first:] > PRESENT).sum(0)
    free = np.ones(len(pool), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < count:
        offered = np.flatnonzero(holds[free].any(0))
        candidates = free
        if len(offered):
            least = offered[covered[offered] == covered[offered].min()]
            candidates = free & holds[:, rng.choice(least)]
        pick = rng.choice(np.flatnonzero(candidates))
        chosen.append(pick)
        covered += holds[pick]
        free[pick] = False
    return chosen


def _largest(name: str) -> Ranking:
    """Return the strategy that takes the images with the largest score."""
    return lambda pool, count, rng, context: _descending(pool.numbers[name])


def _largest_per_second(name: str) -> Ranking:
    """Return the strategy that takes the largest score for each second of predicted annotation.

    Less than a second counts as one.
    """
    return lambda pool, count, rng, context: _descending(
        pool.numbers[name] / np.maximum(pool.numbers["seconds"], 1)
    )


def _squared_distance(vectors: np.ndarray, centre: np.ndarray | float) -> np.ndarray:
    return np.square(vectors - centre).sum(1, dtype=np.float64)


def _k_center(pool: Scores, count: int, rng: np.random.Generator, context: Context) -> Order:
    """Greedy k-center (Sener & Savarese, ICLR 2018): the image farthest from all chosen ones.

    Where nothing is labelled yet, the first is drawn at random.
    """
    vectors = pool.vectors["features"]
    nearest = np.full(len(pool), np.inf)
    for centre in context.labelled_vectors("features", vectors):
        nearest = np.minimum(nearest, _squared_distance(vectors, centre))
    chosen: list[int] = []
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _squared_distance(vectors, vectors[chosen[-1]]))
        nearest[chosen] = -1
    return chosen


def _badge(pool: Scores, count: int, rng: np.random.Generator, context: Context) -> Order:
    """BADGE (Ash et al., ICLR 2020): k-means++ seeding on gradient embeddings.

    The longest embedding comes first, as in the authors' code.
    """
    vectors = pool.vectors["gradient"]
    chosen = [int(_squared_distance(vectors, 0).argmax())]
    nearest = _squared_distance(vectors, vectors[chosen[0]])
    while len(chosen) < count:
        if nearest.sum() > 0:
            pick = rng.choice(len(pool), p=nearest / nearest.sum())
        else:
            pick = rng.choice(np.setdiff1d(np.arange(len(pool)), chosen))
        chosen.append(int(pick))
        nearest = np.minimum(nearest, _squared_distance(vectors, vectors[pick]))
    return chosen


def _typiclust(pool: Scores, count: int, rng: np.random.Generator, context: Context) -> Order:
    """TypiClust (Hacohen et al., ICML 2022): the typical image of the largest unlabelled clusters.

    k-means into as many clusters as there will be labels; clusters of fewer than `SMALL_CLUSTER`
    images come last. Ours: never more clusters than leave that many images to each on average
    (small pools), and where every cluster holds a label, the ones with the fewest go first.
    """
    labelled = context.labelled_vectors("features", pool.vectors["features"])
    vectors = np.concatenate([labelled, pool.vectors["features"]])
    limit = max(1, len(vectors) // SMALL_CLUSTER)
    clusters = _k_means(vectors, min(len(labelled) + count, MOST_CLUSTERS, limit), rng)
    sizes = np.bincount(clusters)
    held = np.bincount(clusters[: len(labelled)], minlength=len(sizes))
    clusters = clusters[len(labelled) :]
    left = {
        c: _by_typicality(pool.vectors["features"], np.flatnonzero(clusters == c))
        for c in np.unique(clusters)
    }
    chosen: list[int] = []
    while len(chosen) < count:
        cluster = min(left, key=lambda c: (sizes[c] < SMALL_CLUSTER, held[c], -sizes[c]))
        chosen.append(left[cluster].pop(0))
        held[cluster] += 1
        if not left[cluster]:
            del left[cluster]
    return chosen


def _k_means(vectors: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the cluster of each vector, [N] int."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    count = min(count, len(np.unique(vectors, axis=0)))
    kind = KMeans if count <= 50 else MiniBatchKMeans
    return kind(count, n_init=3, random_state=int(rng.integers(2**31))).fit_predict(vectors)


def _by_typicality(vectors: np.ndarray, members: np.ndarray) -> list[int]:
    """Return `members`, those with the smallest mean distance to their neighbours first.

    Neighbours are the nearest ones among the members, `NEIGHBOURS` at most.
    """
    from sklearn.neighbors import NearestNeighbors

    neighbours = min(NEIGHBOURS, len(members) // 2)
    if not neighbours:
        return members.tolist()
    distances, _ = NearestNeighbors(n_neighbors=neighbours).fit(vectors[members]).kneighbors()
    return members[np.argsort(distances.mean(1), kind="stable")].tolist()


def _clasp_pe(pool: Scores, count: int, rng: np.random.Generator, context: Context) -> Order:
    """ClaSP PE (Lüth et al., TMLR 2026): class-stratified scheduled power predictive entropy.

    Power acquisition (Kirsch et al., TMLR 2023): sort by log entropy + Gumbel noise / beta, which
    draws images with a chance proportional to entropy ** beta. beta grows from round to round:
    early ones explore, late ones exploit. Every other image is taken for a foreground class, in
    turn, by the entropy of what is predicted as that class. Ours: whole images and not patches of a
    volume, half of the purchase for the classes, a geometric schedule over `BETA`, the mean entropy
    over the class's pixels, and `PRESENT` as the least share that offers an image for it.
    """
    first, last = BETA
    beta = first * (last / first) ** (context.round / max(1, context.rounds - 1))

    def draw(scores: np.ndarray) -> np.ndarray:
        scores = np.maximum(scores, np.finfo(np.float64).tiny)
        return _descending(np.log(scores) + rng.gumbel(0, 1 / beta, len(scores)))

    # Queues that take turns: one over all images, and one for each class.
    overall = iter(draw(pool.numbers["entropy"]))
    turns: list[Iterator[int]] = []
    objects = np.arange(int(context.has_background), pool.class_share.shape[1])
    for c in rng.permutation(objects):
        offered = np.flatnonzero(pool.class_share[:, c] > PRESENT)
        entropy = pool.vectors["class_entropy"][offered, c].astype(np.float64)
        turns += [iter(offered[draw(entropy)]), overall]
    chosen: dict[int, bool] = {}  # ordered, and quick to look up
    for queue in itertools.cycle(turns or [overall]):
        if len(chosen) == count:
            break
        pick = next((index for index in queue if index not in chosen), None)
        if pick is not None:
            chosen[pick] = True
    return list(chosen)


UNCERTAINTIES = ("entropy", "margin", "least_confidence", "bald", "disagreement")
STRATEGIES = {
    "random": Strategy(frozenset(), _random),
    "class_balanced": Strategy(frozenset({"class_share"}), _class_balanced),
    **{name: Strategy(frozenset({name}), _largest(name)) for name in UNCERTAINTIES},
    **{
        f"{name}_per_second": Strategy(frozenset({name, "seconds"}), _largest_per_second(name))
        for name in UNCERTAINTIES
    },
    "kcenter": Strategy(frozenset({"features"}), _k_center),
    "badge": Strategy(frozenset({"gradient"}), _badge),
    "typiclust": Strategy(frozenset({"features"}), _typiclust),
    "clasp_pe": Strategy(frozenset({"class_share", "entropy", "class_entropy"}), _clasp_pe),
}
