"""Two groups of runs compared on the same test images: every number that analyze.py says, with its
interval.
"""

from dataclasses import dataclass, fields

import numpy as np

from weakseg.common import UserError
from weakseg.evaluation.error_modes import BAND, DISTANCES, FOUND, MIXED, MODES, Truth, tally
from weakseg.evaluation.results import group_name, read_prediction, seed_of
from weakseg.evaluation.statistics import (
    image_weights,
    independent_difference,
    paired_difference,
    signed_rank,
)
from weakseg.labels.annotators import Options
from weakseg.labels.label_file import load_labels
from weakseg.labels.simulate import annotate
from weakseg.metrics import scores

FEWEST = 8  # images that a part of the test set needs for an interval


def share(part, whole):
    """Divide, NaN where there is nothing."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)


def objects(sums):
    """Return the sums [..., C - 1, C] of the object pixels by true and predicted class."""
    return sums["confusion"][..., 1:, :]


def right(sums):
    """Return how many object pixels got the right class."""
    return np.trace(objects(sums)[..., 1:], axis1=-2, axis2=-1)


def pixels(sums):
    """Return how many pixels were counted."""
    return sums["confusion"].sum((-2, -1))


def shown_miou(sums):
    """Return the mIoU over the classes that the truth shows: a part of the test set may lack
    some.
    """
    iou = scores(sums["confusion"])["iou"].numpy()
    there = sums["confusion"].sum(-1) > 0
    return share(np.where(there, iou, 0).sum(-1), there.sum(-1))


# Each reads its value [...], or one for each bin, class or mode [..., K], off sums of tallies [...,
# ...].
STATISTICS = {
    "miou": lambda s: scores(s["confusion"])["miou"].numpy(),
    "iou": lambda s: scores(s["confusion"])["iou"].numpy(),
    "covered": lambda s: share(s["complete"][..., 1].sum(-1), s["complete"][..., 0].sum(-1)),
    "covered_by_distance": lambda s: share(s["complete"][..., 1], s["complete"][..., 0]),
    "right": lambda s: share(right(s), objects(s).sum((-2, -1))),
    "other": lambda s: share(
        objects(s)[..., 1:].sum((-2, -1)) - right(s), objects(s).sum((-2, -1))
    ),
    "background": lambda s: share(objects(s)[..., 0].sum(-1), objects(s).sum((-2, -1))),
    "confused": lambda s: share(
        objects(s)[..., 1:].sum((-2, -1)) - right(s), objects(s)[..., 1:].sum((-2, -1))
    ),
    "mixed": lambda s: share(s["mixed"][..., 1], s["mixed"][..., 0]),
    "errors": lambda s: share(s["modes"].sum((-2, -1)), pixels(s)),
    "modes": lambda s: share(s["modes"].sum(-1), np.repeat(pixels(s)[..., None], len(MODES), -1)),
    "shares": lambda s: share(
        s["modes"].sum(-1), np.repeat(s["modes"].sum((-2, -1))[..., None], len(MODES), -1)
    ),
}
PART_STATISTICS = {"miou": shown_miou} | {
    key: STATISTICS[key] for key in ("covered", "right", "errors")
}


@dataclass(frozen=True)
class Annotator:
    """The simulated annotator of the runs: where its options come from, and its seed."""

    source: str | None
    seed: int
    options: Options

    @classmethod
    def of(cls, result, path=None):
        """Return the annotator of the weak-label file that a run names, or `path`; the usual one if
        it is gone.
        """
        source = path or result["args"].get("weak_label_path")
        try:
            head = load_labels(source) if source else {}
        except UserError:
            if path:
                raise
            source, head = None, {}
        given = head.get("options") or {}
        known = {f.name: given[f.name] for f in fields(Options) if f.name in given}
        return cls(source, head.get("seed", 0), Options(**known))


def truth_of(dataset, image, annotator, signals=()):
    """Return the `Truth` of a test image, and what the annotator would have said about it: points,
    and `signals`.
    """
    labels = annotate(dataset, image, annotator.options, annotator.seed, ("points", *signals))
    return Truth(dataset.mask(image), labels["points"], len(dataset.class_names)), labels


def count(groups, dataset, annotator):
    """Tally all runs of both groups on all images.

    Returns ([{name: [S, N, ...]} for each group], {image: mean object area as a share of the
    image}).
    """
    from tqdm import tqdm

    images, sizes = list(groups[0][0]["images"]), {}
    counts = [[[] for _ in group] for group in groups]
    for image in tqdm(images, desc="comparing masks", unit="img", disable=len(images) < 10):
        truth, _ = truth_of(dataset, image, annotator)
        sizes[image] = truth.object_size
        for group, of_group in zip(groups, counts, strict=True):
            for result, found in zip(group, of_group, strict=True):
                found.append(tally(read_prediction(result, image, truth.mask.shape), truth))
    names = counts[0][0][0]
    tallies = [
        {name: np.array([[c[name] for c in found] for found in group]) for name in names}
        for group in counts
    ]
    return tallies, sizes


def summed(tallies, weights):
    """Return {name: sums over images [B, S, ...]} for weights [B, N]."""
    return {name: np.tensordot(weights, values, (1, 1)) for name, values in tallies.items()}


def compare(tallies, statistics, paired, resamples, seed, chosen=None):
    """Compare two groups on the images `chosen` (default: all) -> {statistic: estimate, or a list
    of them}.
    """
    if chosen is not None:
        tallies = [{name: values[:, chosen] for name, values in group.items()} for group in tallies]
    images = next(iter(tallies[0].values())).shape[1]
    weights = image_weights(images, resamples, seed)
    plain = [summed(group, np.ones((1, images))) for group in tallies]
    drawn = [summed(group, weights) for group in tallies]
    found = {}
    for name, function in statistics.items():
        observed, resampled = (
            [function(group)[0] for group in plain],
            [function(group) for group in drawn],
        )
        if observed[0].ndim == 1:
            found[name] = estimate(observed, resampled, images, paired)
        else:
            found[name] = [
                estimate(
                    [o[:, k] for o in observed], [r[..., k] for r in resampled], images, paired
                )
                for k in range(observed[0].shape[1])
            ]
    return found


def estimate(observed, resampled, images, paired):
    """Return {"a", "b", "difference", "low", "high", "p"} of B minus A; None where there is nothing
    to measure.

    observed: values of A [S] and of B [T]; resampled: [B, S] and [B, T]
    """
    whole = np.isfinite(np.concatenate(resampled, 1)).all(1)
    if not np.isfinite(np.concatenate(observed)).all() or whole.sum() < 2:
        return None
    one, two = (values[whole] for values in resampled)
    if paired:
        found = paired_difference(observed[1] - observed[0], two - one, images)
    else:
        found = independent_difference(*observed, one, two, images)
    ends = {key: found[key] for key in ("difference", "low", "high", "p")}
    if images < FEWEST:
        ends |= dict.fromkeys(("low", "high", "p"))
    return {"a": float(observed[0].mean()), "b": float(observed[1].mean())} | ends


def parts(groups, sizes):
    """Return the parts of the test set: {"size": {name: indices}, "tag": {name: indices}}.

    Sizes are terciles of the mean object area; tags are left out where there is only one.
    """
    images = list(groups[0][0]["images"])
    shown = [index for index, image in enumerate(images) if sizes[image] > 0]
    by_size = np.array_split(sorted(shown, key=lambda index: sizes[images[index]]), 3)
    tags = {}
    for index, image in enumerate(images):
        for tag in groups[0][0]["images"][image]["tags"]:
            tags.setdefault(tag, []).append(index)
    size = dict(zip(("small", "medium", "large"), by_size, strict=True))
    return {
        "size": {name: found.tolist() for name, found in size.items() if len(found)},
        "tag": dict(sorted(tags.items())) if len(tags) > 1 else {},
    }


def image_means(group):
    """Return each image's mIoU averaged over the seeds [N], NaN where a run has none."""
    return np.mean(
        [[np.nan if i["miou"] is None else i["miou"] for i in r["images"].values()] for r in group],
        axis=0,
    )


def ranks(groups):
    """Return the signed-rank test over images, and on how many of them B is better or worse."""
    gains = image_means(groups[1]) - image_means(groups[0])
    gains = gains[np.isfinite(gains)]
    return {
        "p": signed_rank(gains),
        "images": len(gains),
        "better": int((gains > 0).sum()),
        "worse": int((gains < 0).sum()),
    }


def extremes(groups, number):
    """Return [(image, gain)] of the images where B gains most, then of those where it loses most;
    zeros are none.
    """
    gains = image_means(groups[1]) - image_means(groups[0])
    named = [
        (image, float(gain))
        for image, gain in zip(groups[0][0]["images"], gains, strict=True)
        if gain == gain
    ]
    up = sorted((pair for pair in named if pair[1] > 0), key=lambda pair: -pair[1])[:number]
    return up + sorted((pair for pair in named if pair[1] < 0), key=lambda pair: pair[1])[:number]


def describe(group):
    """Return what analysis.json says of a group."""
    return {
        "name": group_name(group),
        "supervision": group[0]["supervision"],
        "runs": [
            {
                "run": r["run"],
                "seed": seed_of(r),
                "commit": r.get("commit"),
                "labelled": r["cost"]["images"],
                "miou": r["aggregate"]["miou"],
            }
            for r in group
        ],
    }


def analyse(groups, dataset, annotator, resamples, seed):
    """Return everything that analyze.py reports about two groups, as plain values."""
    paired = [seed_of(r) for r in groups[0]] == [seed_of(r) for r in groups[1]]
    tallies, sizes = count(groups, dataset, annotator)
    found = {
        kind: [
            {
                "name": name,
                "images": len(chosen),
                **compare(tallies, PART_STATISTICS, paired, resamples, seed, chosen),
            }
            for name, chosen in named.items()
        ]
        for kind, named in parts(groups, sizes).items()
    }
    return {
        "a": describe(groups[0]),
        "b": describe(groups[1]),
        "classes": list(dataset.class_names),
        "images": len(groups[0][0]["images"]),
        "paired_seeds": paired,
        "overall": compare(tallies, STATISTICS, paired, resamples, seed),
        "by_size": found["size"],
        "by_tag": found["tag"],
        "signed_rank": ranks(groups),
        "annotator": {
            "weak_labels": annotator.source,
            "seed": annotator.seed,
            **vars(annotator.options),
        },
        "definitions": {
            "modes": MODES,
            "distances": [None if d == np.inf else d for d in DISTANCES],
            "band": BAND,
            "found": FOUND,
            "mixed": MIXED,
        },
        "resamples": resamples,
    }
