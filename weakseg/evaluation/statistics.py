"""Is B better than A? The difference of two groups of trained seeds on the same test images, with
an honest interval.

Both the seed and the test image change a score: random, crossed effects, for every seed is tested
on every image. That is the design of studies in which several readers read the same cases, and its
analysis is taken over: Obuchowski & Rockette, Communications in Statistics 1995; Hillis, Statistics
in Medicine 2007. The variance of a difference is that of the seeds' own values, plus the part that
the images add to all seeds alike, read off a bootstrap over images. The interval is Student's,
because three seeds tell little about their spread. `benchmarks/intervals.py` measures how often it
covers the truth, beside the percentile bootstrap of seeds and images.
"""

import numpy as np

# Resampling weights held at once by the bootstrap: 2**22 of them as int64 and float64 are 64 MiB.
BOOTSTRAP_CELLS = 2**22


def image_weights(count, resamples, seed):
    """Return how often each of `count` images occurs in each bootstrap resample (Efron, 1979):
    int64 [B, N].
    """
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)


def paired_difference(observed, resampled, images):
    """Estimate the mean of differences that share their seed: each seed trained both ways.

    observed: differences [S]; resampled: the same on resampled images [B, S], alike for all seeds;
    images: how many Returns a dict of `difference`, `low` and `high` of its 95 % interval,
    two-sided `p`. One seed says nothing of other seeds: its interval is over images alone, and p is
    None.
    """
    observed, resampled = np.asarray(observed, float), np.asarray(resampled, float)
    parts = [(common_variance(resampled), images - 1), *_seed_part(observed)]
    return _student(observed.mean(), parts, len(observed) > 1)


def independent_difference(first, second, resampled_first, resampled_second, images):
    """Estimate mean(second) - mean(first) for groups with seeds of their own, tested on the same
    images.

    first, second: values [S], [T]; resampled_*: the same on resampled images [B, S], [B, T], alike
    for all seeds Returns what `paired_difference` does; where a group has one seed only, the
    interval is over images alone.
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


def common_variance(resampled):
    """Return the variance that the images add to all seeds alike: the mean covariance of two seeds,
    for one its own.

    resampled: [B, S], one column a seed
    """
    seeds = resampled.shape[1]
    covariance = np.atleast_2d(np.cov(resampled.T))
    if seeds == 1:
        return float(covariance[0, 0])
    return max(float(covariance.sum() - covariance.trace()) / (seeds * (seeds - 1)), 0.0)


def _seed_part(values):
    """Return [(variance of their mean, degrees of freedom)], nothing for one seed."""
    return [(float(values.var(ddof=1)) / len(values), len(values) - 1)] if len(values) > 1 else []


def _student(difference, parts, tested):
    """Return the 95 % interval of a difference whose variance is the sum of parts [(variance,
    freedom), ...].
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


def seed_interval(values):
    """Return (mean, low, high) of a value over two seeds or more: the 95 % t-interval of the
    mean.
    """
    from scipy import stats

    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def signed_rank(differences):
    """Wilcoxon's signed-rank test (1945) over images -> two-sided p; 1 where no image differs.

    It asks whether *these* trained networks differ on other images. It is no test over seeds: two
    groups of one mode may differ too, being other networks.
    """
    from scipy.stats import wilcoxon

    differences = np.asarray(differences, float)
    return float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0


def bootstrap_miou(confusions, level=0.95, resamples=1000, seed=0):
    """Percentile bootstrap over images of the mIoU of the summed confusion matrices (Efron, 1979).

    How often each image occurs in a resample is multinomial, so weights [resamples, N] times the
    matrices [N, C * C] give what gathering resampled matrices gives (the law of
    ``scipy.stats.bootstrap``), without N * C * C numbers each. A class that a resample lacks is
    left out of its mean.

    confusions: [N, C, C], one for each image (tensor or array) Returns (low, high) as fractions at
    confidence `level`; equal for one image, NaN if nothing was counted. The same `seed` gives the
    same interval. Raises ValueError without images or for a level outside (0, 1).
    """
    import torch

    from weakseg.metrics import scores

    confusions = torch.as_tensor(confusions).cpu().double()
    count = len(confusions)
    if not count or not 0 < level < 1:
        raise ValueError(
            f"bootstrap needs an image and a level inside (0, 1), not {count} images and level {level}"
        )
    generator = np.random.default_rng(seed)
    rows, values = max(1, BOOTSTRAP_CELLS // count), []
    for start in range(0, resamples, rows):
        weights = generator.multinomial(
            count, np.full(count, 1 / count), size=min(rows, resamples - start)
        )
        sums = torch.from_numpy(weights).double() @ confusions.flatten(1)
        values.append(scores(sums.unflatten(1, confusions.shape[1:]))["miou"])
    tail = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.cat(values).nanquantile(tail).tolist()
    return low, high
