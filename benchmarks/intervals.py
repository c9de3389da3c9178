"""Do 95 % intervals of differences cover the truth in 95 %? Simulated groups of seeds and images.

    python benchmarks/intervals.py
    python benchmarks/intervals.py --pairs 5000 --seeds 3

A score is group + seed + image + (group, image) + (seed, image), each a normal draw; the value of a
run is its mean over images. `percentile` is the usual bootstrap that resamples seeds and images
together and takes percentiles; `student` is that bootstrap's variance, mended for few seeds, with
Student's t; `crossed` is what weakseg/evaluation/statistics.py does, which analyze.py and
scripts/compare_runs.py use. The last rows draw masks instead and take the
ratio that mIoU is. In the other rows the groups don't differ, so 100 % minus the coverage is how
often an A/A comparison claims a difference; the last column is how often the signed-rank test does,
which knows nothing of seeds.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from weakseg.common import commit
from weakseg.evaluation.statistics import (
    image_weights,
    independent_difference,
    paired_difference,
    signed_rank,
)

# Standard deviations of: seed, (group, image), (seed, image); the image itself is the same for both
# groups.
SCENES = {
    "seeds dominate": (1.0, 2.0, 2.0),
    "images dominate": (0.1, 10.0, 4.0),
    "both alike": (0.5, 5.0, 5.0),
    "seed x image dominates": (0.1, 1.0, 10.0),
}
METHODS = ("percentile", "student", "crossed")


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pairs", type=int, default=1000, help="simulated comparisons a row (default: %(default)s)"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[2, 3, 5], help="seeds a group (default: 2 3 5)"
    )
    parser.add_argument(
        "--images", type=int, default=120, help="test images (default: %(default)s)"
    )
    parser.add_argument(
        "--resamples", type=int, default=500, help="of the bootstrap (default: %(default)s)"
    )
    return parser.parse_args()


def draw(generator, seeds, images, spread, paired):
    """Return the scores of two groups without a difference, [2, S, N].

    Paired seeds share half of their variance.
    """
    seed, group, noise = spread
    own = generator.normal(0, seed, (2, seeds, 1))
    if paired:
        own = (own + generator.normal(0, seed, (1, seeds, 1))) / np.sqrt(2)
    image = generator.normal(0, 10, images) + generator.normal(0, group, (2, 1, images))
    return own + image + generator.normal(0, noise, (2, seeds, images))


def bootstrap(first, second, resampled, paired, generator):
    """Return the observed difference, its variance over seeds, and the joint bootstrap [B]."""
    rows, seeds = resampled.shape[1:]
    picks = generator.integers(seeds, size=(2, rows, seeds))
    if paired:
        picks[1] = picks[0]
    one, two = (
        np.take_along_axis(values, pick, 1).mean(1)
        for values, pick in zip(resampled, picks, strict=True)
    )
    between = (
        np.var(second - first, ddof=1) if paired else np.var(first, ddof=1) + np.var(second, ddof=1)
    )
    return second.mean() - first.mean(), between / seeds, two - one


def intervals(first, second, resampled, images, paired, generator):
    """Return {method: (low, high)} for the difference of two groups of runs.

    first, second: values [S]; resampled: the same on resampled images [2, B, S]
    """
    from scipy.stats import t

    seeds = len(first)
    difference, between, joint = bootstrap(first, second, resampled, paired, generator)
    variance = joint.var() + between / seeds
    within = max(variance - between, 0)
    freedom = variance**2 / (between**2 / ((seeds - 1) * (2 - paired)) + within**2 / (images - 1))
    reach = t.ppf(0.975, freedom) * np.sqrt(variance)
    if paired:
        crossed = paired_difference(second - first, resampled[1] - resampled[0], images)
    else:
        crossed = independent_difference(first, second, *resampled, images)
    return {
        "percentile": tuple(np.quantile(joint, [0.025, 0.975])),
        "student": (difference - reach, difference + reach),
        "crossed": (crossed["low"], crossed["high"]),
    }


def linear_row(name, seeds, paired, args):
    """Return each method's coverage where scores are means, and the signed-rank test's claims."""
    generator = np.random.default_rng([seeds, paired, list(SCENES).index(name)])
    covered, claims = dict.fromkeys(METHODS, 0), 0
    for pair in range(args.pairs):
        scores = draw(generator, seeds, args.images, SCENES[name], paired)
        weights = image_weights(args.images, args.resamples, pair)
        resampled = np.stack([weights @ group.T / args.images for group in scores])
        ranges = intervals(*scores.mean(2), resampled, args.images, paired, generator)
        for method, (low, high) in ranges.items():
            covered[method] += low <= 0 <= high
        claims += signed_rank(scores[1].mean(0) - scores[0].mean(0)) < 0.05
    return [covered[method] / args.pairs for method in METHODS] + [claims / args.pairs]


def masks(generator, seeds, images, gain=0.5):
    """Draw two groups of runs, the second better by `gain` logits -> pixels [2, S, N, 3].

    The last axis is: hit, missed, too many.
    Logits of a pixel's chance to be right are normal in run, image, (group, image) and (run,
    image).
    """
    size = generator.uniform(0.05, 0.6, images)
    logit = 1.5 + gain * np.arange(2)[:, None, None] + generator.normal(0, 0.15, (2, seeds, 1))
    logit = logit + generator.normal(0, 0.7, images) + generator.normal(0, 0.3, (2, 1, images))
    chance = 1 / (1 + np.exp(-logit - generator.normal(0, 0.4, (2, seeds, images))))
    return np.stack([size * chance, size * (1 - chance), 0.3 * (1 - size) * (1 - chance)], -1)


def miou(sums):
    """Return the mIoU of object and background from sums [..., 3].

    The background is what the three leave of 1.
    """
    hit, missed, more = sums[..., 0], sums[..., 1], sums[..., 2]
    rest = 1 - sums.sum(-1)
    return (hit / sums.sum(-1) + rest / (rest + missed + more)) / 2


def mask_row(seeds, args):
    """Return each method's coverage where the score is the mIoU of pooled pixels, groups differ."""
    generator = np.random.default_rng(seeds)
    truth = np.diff([miou(group.mean(1)).mean() for group in masks(generator, 400, 4000)])[0]
    covered, claims = dict.fromkeys(METHODS, 0), 0
    for pair in range(args.pairs):
        pixels = masks(generator, seeds, args.images)
        weights = image_weights(args.images, args.resamples, pair) / args.images
        resampled = np.stack(
            [miou(np.einsum("bn,snk->bsk", weights, group, optimize=True)) for group in pixels]
        )
        ranges = intervals(*miou(pixels.mean(2)), resampled, args.images, False, generator)
        for method, (low, high) in ranges.items():
            covered[method] += low <= truth <= high
        claims += signed_rank(miou(pixels[1]).mean(0) - miou(pixels[0]).mean(0)) < 0.05
    return [covered[method] / args.pairs for method in METHODS] + [claims / args.pairs]


def main(args):
    print(
        f"{args.images} images, {args.pairs} pairs a row, commit `{commit()}`; "
        "coverage of a 95 % interval in %:\n"
    )
    print(f"| what varies | seeds a group | seeds | {' | '.join(METHODS)} | signed-rank claims |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    rows = [
        (name, seeds, paired) for name in SCENES for seeds in args.seeds for paired in (True, False)
    ]
    for name, seeds, paired in rows:
        show(name, seeds, paired, linear_row(name, seeds, paired, args))
    for seeds in args.seeds:
        show("masks that differ, mIoU", seeds, False, mask_row(seeds, args))


def show(name, seeds, paired, shares):
    """Print one row of the table."""
    cells = " | ".join(f"{100 * share:.1f}" for share in shares)
    print(f"| {name} | {seeds} | {'paired' if paired else 'independent'} | {cells} |", flush=True)


if __name__ == "__main__":
    main(parse_args())
