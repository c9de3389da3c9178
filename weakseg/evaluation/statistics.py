"""Is B better than A? The difference of two groups of trained seeds, with an honest interval.

Both the seed and the test image change a score: random, crossed effects, for every seed is tested
on every image. That is the design of studies in which several readers read the same cases, and its
analysis is taken over: Obuchowski & Rockette, Communications in Statistics 1995; Hillis, Statistics
in Medicine 2007. The variance of a difference is that of the seeds' own values, plus the part that
the images add to all seeds alike, read off a bootstrap over images. The interval is Student's,
because three seeds tell little about their spread. `benchmarks/intervals.py` measures how often it
covers the truth, beside the percentile bootstrap of seeds and images.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

Values = Sequence[float] | np.ndarray
Part = tuple[float, float]  # a variance and its degrees of freedom

# Resampling weights held at once by the bootstrap: 2**22 of them as int64 and float64 are 64 MiB.
BOOTSTRAP_CELLS = 2**22


def image_weights(count: int, resamples: int, seed: int) -> np.ndarray:
    """Return how often each image occurs in each bootstrap resample (Efron, 1979), int64 [B, N].

    count: number of images, N; resamples: B
    """
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)


def paired_difference(observed: Values, resampled: np.ndarray, images: int) -> dict[str, Any]:
    """Estimate the mean of differences that share their seed: each seed trained both ways.

    observed: differences [S]; resampled: the same on resampled images [B, S], alike for all seeds;
    images: how many
    Returns a dict of `difference`, `low` and `high` of its 95 % interval, two-sided `p`. One seed
    says nothing of other seeds: its interval is over images alone, and p is None.
    """
    differences = np.asarray(observed, float)
    shared = common_variance(np.asarray(resampled, float))
    parts = [(shared, images - 1), *_seed_part(differences)]
    return _student(differences.mean(), parts, len(differences) > 1)


def independent_difference(
    first: Values,
    second: Values,
    resampled_first: np.ndarray,
    resampled_second: np.ndarray,
    images: int,
) -> dict[str, Any]:
    """Estimate mean(second) - mean(first) for groups with seeds of their own, on the same images.

    first, second: values [S], [T]; resampled_*: the same on resampled images [B, S], [B, T], alike
    for all seeds
    Returns what `paired_difference` does; where a group has one seed only, the interval is over
    images alone.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    one, two = np.asarray(resampled_first, float), np.asarray(resampled_second, float)
    several = min(len(first), len(second)) > 1
    if several:
        cross = np.cov(one.T, two.T)[: len(first), len(first) :].mean()
        shared = max(common_variance(one) + common_variance(two) - 2 * cross, 0.0)
        parts = [(shared, images - 1), *_seed_part(first), *_seed_part(second)]
    else:
        parts = [(float((two.mean(1) - one.mean(1)).var(ddof=1)), images - 1)]
    return _student(second.mean() - first.mean(), parts, several)


def common_variance(resampled: np.ndarray) -> float:
    """Return the variance that the images add to all seeds alike.

    It is the mean covariance of two seeds, and of one seed its own variance.
    resampled: [B, S], one column a seed
    """
    seeds = resampled.shape[1]
    covariance = np.atleast_2d(np.cov(resampled.T))
    if seeds == 1:
        return float(covariance[0, 0])
    return max(float(covariance.sum() - covariance.trace()) / (seeds * (seeds - 1)), 0.0)


def _seed_part(values: np.ndarray) -> list[Part]:
    """Return the variance of the mean of values and its degrees of freedom; nothing for one."""
    return [(float(values.var(ddof=1)) / len(values), len(values) - 1)] if len(values) > 1 else []


def _student(difference: float, parts: Sequence[Part], tested: bool) -> dict[str, Any]:
    """Return the 95 % interval of a difference whose variance is the sum of independent parts.

    tested: whether there is a p-value
    """
    from scipy.stats import t

    difference, variance = float(difference), sum(part for part, _ in parts)
    low, high, p = difference, difference, float(difference == 0)
    if variance > 0:
        error = float(np.sqrt(variance))
        # Satterthwaite, Biometrics 1946.
        freedom = variance**2 / sum(part**2 / max(1, degrees) for part, degrees in parts)
        reach = float(t.ppf(0.975, freedom)) * error
        low, high = difference - reach, difference + reach
        p = float(2 * t.sf(abs(difference) / error, freedom))
    return {"difference": difference, "low": low, "high": high, "p": p if tested else None}


def seed_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return (mean, low, high) of a value over two seeds or more: the mean's 95 % t-interval."""
    from scipy import stats

    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def signed_rank(differences: Values) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test (1945); 1 where no image differs.

    differences: one an image. The test asks whether *these* trained networks differ on other
    images. It is no test over seeds: two groups of one mode may differ too, being other networks.
    """
    from scipy.stats import wilcoxon

    values = np.asarray(differences, float)
    return float(wilcoxon(values).pvalue) if np.any(values) else 1.0


def bootstrap_miou(
    confusions: Any, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval over images of the mIoU (Efron, 1979).

    How often each image occurs in a resample is multinomial, so weights [resamples, N] times the
    matrices [N, C * C] give what gathering resampled matrices gives (the law of
    ``scipy.stats.bootstrap``), without N * C * C numbers each. A class that a resample lacks is
    left out of its mean.

    confusions: confusion matrices [N, C, C], one an image (tensor or array)
    Returns (low, high) as fractions at confidence `level`; equal for one image, NaN if nothing was
    counted. The same `seed` gives the same interval. Raises ValueError without images or for a
    level outside (0, 1).
    """
    import torch

    from weakseg.metrics import scores

    matrices = torch.as_tensor(confusions).cpu().double()
    count = len(matrices)
    if not count or not 0 < level < 1:
        raise ValueError(
            "bootstrap needs an image and a level inside (0, 1), "
            f"not {count} images and level {level}"
        )
    generator = np.random.default_rng(seed)
    rows, values = max(1, BOOTSTRAP_CELLS // count), []
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        weights = generator.multinomial(count, np.full(count, 1 / count), size=size)
        sums = torch.from_numpy(weights).double() @ matrices.flatten(1)
        values.append(scores(sums.unflatten(1, matrices.shape[1:]))["miou"])
    tail = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.cat(values).nanquantile(tail).tolist()
    return low, high
