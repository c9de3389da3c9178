"""Two groups of runs compared on the same test images: every difference with its interval."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from weakseg.common import UserError
from weakseg.data.base import SegmentationDataset
from weakseg.evaluation.error_modes import BAND, DETECTED, DISTANCES, MIXED, MODES, Truth, tally
from weakseg.evaluation.groups import Group, group_name, seed_of, title
from weakseg.evaluation.measures import Tallies, measures, measures_of_part, summed
from weakseg.evaluation.results import other_checkpoints, read_prediction, refuse_other_mask
from weakseg.evaluation.statistics import (
    image_weights,
    independent_difference,
    paired_difference,
    signed_rank,
)
from weakseg.labels.annotators import Options
from weakseg.labels.label_file import load_labels
from weakseg.labels.simulate import annotate

Groups = tuple[Group, Group]  # A and B
Estimate = dict[str, float | None]  # of A, of B, of their difference, with interval and p

FEWEST = 8  # images that a part of the test set needs for an interval


@dataclass(frozen=True)
class Annotator:
    """The simulated annotator of the runs: the file its options come from, its seed, its options.

    source: None for the usual annotator
    """

    source: str | None
    seed: int
    options: Options

    @classmethod
    def of(cls, result: Mapping[str, Any], path: str | None = None) -> "Annotator":
        """Return the annotator who made the labels of a run, or those in the file `path`.

        Where the run's labels are gone it is the usual annotator.
        """
        source = path or result["args"].get("weak_label_path")
        try:
            head = load_labels(source) if source else {}
        except UserError:
            if path:
                raise
            source, head = None, {}
        return cls(source, head.get("seed", 0), Options.of(head.get("options") or {}))


def doubts(groups: Groups) -> list[str]:
    """Return lines on results of other checkpoints than are there, and on seeds of other labels."""
    results = {result["run"]: result for group in groups for result in group}.values()
    return [
        *other_checkpoints(results),
        *(line for one in groups for line in other_annotators(one)),
    ]


def other_annotators(group: Group) -> list[str]:
    """Return a line where the labels of a group's runs were drawn in other ways.

    Those of a run whose label file is gone are not known.
    """
    own = [(result["run"], Annotator.of(result)) for result in group]
    known = [(run, annotator) for run, annotator in own if annotator.source is not None]
    for run, annotator in known[1:]:
        first, usual = known[0][0], asdict(known[0][1].options)
        unlike = [key for key, value in asdict(annotator.options).items() if value != usual[key]]
        if unlike:
            return [
                f"{first} and {run} learnt from labels that were drawn with another {unlike[0]}: "
                "their group is no run with several seeds; compare them as --a and --b"
            ]
    return []


def truth_of(
    dataset: SegmentationDataset, image: str, annotator: Annotator, signals: Collection[str] = ()
) -> tuple[Truth, dict[str, Any]]:
    """Return the `Truth` of a test image, and its labels by the annotator: points, `signals`."""
    labels = annotate(dataset, image, annotator.options, annotator.seed, ("points", *signals))
    truth = Truth(
        dataset.mask(image),
        labels["points"],
        len(dataset.class_names),
        dataset.instances(image),
        dataset.has_background,
    )
    return truth, labels


def tally_groups(
    groups: Groups, dataset: SegmentationDataset, annotator: Annotator
) -> tuple[list[Tallies], dict[str, float]]:
    """Tally all runs of both groups on all test images.

    Returns the tallies of A and of B, and {image: mean object area as a share of the image}.
    """
    from tqdm import tqdm

    images = list(groups[0][0]["images"])
    sizes: dict[str, float] = {}
    counts: list[list[list[dict[str, np.ndarray]]]] = [[[] for _ in group] for group in groups]
    for image in tqdm(images, desc="comparing masks", unit="img", disable=len(images) < 10):
        truth, _ = truth_of(dataset, image, annotator)
        sizes[image] = truth.object_size
        for group, group_counts in zip(groups, counts, strict=True):
            for result, run_counts in zip(group, group_counts, strict=True):
                prediction = read_prediction(result, image, truth.mask.shape)
                run_counts.append(tally(prediction, truth))
                refuse_other_mask(result, image, run_counts[-1]["confusion"])
    names = counts[0][0][0]
    tallies = [
        {
            name: np.array([[c[name] for c in run_counts] for run_counts in group_counts])
            for name in names
        }
        for group_counts in counts
    ]
    return tallies, sizes


def compare(
    tallies: Sequence[Tallies],
    paired: bool,
    resamples: int,
    seed: int,
    whole: bool = True,
    has_background: bool = True,
) -> dict[str, Any]:
    """Return {measure: estimate, or a list of them} of B against A.

    paired: whether both have the same seeds; whole: whether these are all images, or a part;
    has_background: whether class 0 is one
    """
    images = next(iter(tallies[0].values())).shape[1]
    weights = image_weights(images, resamples, seed)
    measure = partial(measures if whole else measures_of_part, has_background=has_background)
    observed = [measure(summed(group, np.ones((1, images)))) for group in tallies]
    resampled = [measure(summed(group, weights)) for group in tallies]
    estimates: dict[str, Any] = {}
    for name in observed[0]:
        once = [group[name][0] for group in observed]
        often = [group[name] for group in resampled]
        if once[0].ndim == 1:
            estimates[name] = estimate(once, often, images, paired)
        else:
            estimates[name] = [
                estimate([o[:, k] for o in once], [r[..., k] for r in often], images, paired)
                for k in range(once[0].shape[1])
            ]
    return estimates


def estimate(
    observed: Sequence[np.ndarray], resampled: Sequence[np.ndarray], images: int, paired: bool
) -> Estimate | None:
    """Return {"a", "b", "difference", "low", "high", "p"} of B minus A.

    observed: values of A [S] and of B [T]; resampled: [B, S] and [B, T]. None where there is
    nothing to measure; low, high and p are None where too few images show it.
    """
    complete = np.isfinite(np.concatenate(resampled, 1)).all(1)
    if not np.isfinite(np.concatenate(observed)).all() or complete.sum() < 2:
        return None
    one, two = (values[complete] for values in resampled)
    if paired:
        interval = paired_difference(observed[1] - observed[0], two - one, images)
    else:
        interval = independent_difference(observed[0], observed[1], one, two, images)
    ends = {key: interval[key] for key in ("difference", "low", "high", "p")}
    if images < FEWEST:
        ends |= dict.fromkeys(("low", "high", "p"))
    return {"a": float(observed[0].mean()), "b": float(observed[1].mean())} | ends


def parts(groups: Groups, sizes: Mapping[str, float]) -> dict[str, dict[str, list[int]]]:
    """Return parts of the test set: {"size": {name: indices of images}, "tag": {name: indices}}.

    Sizes are terciles of the mean object area; tags are left out where there is only one.
    """
    images = groups[0][0]["images"]
    shown = [index for index, image in enumerate(images) if sizes[image] > 0]
    names = list(images)
    terciles = np.array_split(sorted(shown, key=lambda index: sizes[names[index]]), 3)
    by_size = {
        name: indices.tolist()
        for name, indices in zip(("small", "medium", "large"), terciles, strict=True)
        if len(indices)
    }
    by_tag: dict[str, list[int]] = {}
    for index, image in enumerate(images.values()):
        for tag in image["tags"]:
            by_tag.setdefault(tag, []).append(index)
    return {"size": by_size, "tag": dict(sorted(by_tag.items())) if len(by_tag) > 1 else {}}


def image_means(group: Group) -> np.ndarray:
    """Return each image's mIoU averaged over the seeds [N], NaN where a run has none."""
    mious = [
        [np.nan if image["miou"] is None else image["miou"] for image in result["images"].values()]
        for result in group
    ]
    return np.mean(mious, axis=0)


def ranks(groups: Groups) -> dict[str, Any]:
    """Return the signed-rank test over images, and on how many of them B is better or worse."""
    gains = image_means(groups[1]) - image_means(groups[0])
    gains = gains[np.isfinite(gains)]
    return {
        "p": signed_rank(gains),
        "images": len(gains),
        "better": int((gains > 0).sum()),
        "worse": int((gains < 0).sum()),
    }


def extremes(groups: Groups, number: int) -> list[tuple[str, float]]:
    """Return (image, gain) of the images where B gains most, then of those where it loses most.

    At most `number` of each; images without a difference are left out.
    """
    gains = image_means(groups[1]) - image_means(groups[0])
    pairs = list(zip(groups[0][0]["images"], gains.tolist(), strict=True))
    up = sorted((pair for pair in pairs if pair[1] > 0), key=lambda pair: -pair[1])
    down = sorted((pair for pair in pairs if pair[1] < 0), key=lambda pair: pair[1])
    return up[:number] + down[:number]


def describe(group: Group, groups: Groups) -> dict[str, Any]:
    """Return what analysis.json says of a group."""
    runs = [
        {
            "run": result["run"],
            "seed": seed_of(result),
            "commit": result.get("commit"),
            "labelled": result["cost"]["images"],
            "miou": result["aggregate"]["miou"],
        }
        for result in group
    ]
    return {
        "name": group_name(group),
        "title": title(group, groups),
        "supervision": group[0]["supervision"],
        "runs": runs,
    }


def analyse(
    groups: Groups, dataset: SegmentationDataset, annotator: Annotator, resamples: int, seed: int
) -> dict[str, Any]:
    """Return everything that analyze.py reports about two groups, as plain values."""
    paired = [seed_of(result) for result in groups[0]] == [seed_of(result) for result in groups[1]]
    tallies, sizes = tally_groups(groups, dataset, annotator)
    by_part: dict[str, list[dict[str, Any]]] = {}
    for kind, named in parts(groups, sizes).items():
        by_part[kind] = []
        for name, chosen in named.items():
            some = [{key: n[:, chosen] for key, n in group.items()} for group in tallies]
            estimates = compare(some, paired, resamples, seed, False, dataset.has_background)
            by_part[kind].append({"name": name, "images": len(chosen), **estimates})
    return {
        "a": describe(groups[0], groups),
        "b": describe(groups[1], groups),
        "classes": list(dataset.class_names),
        "has_background": dataset.has_background,
        "images": len(groups[0][0]["images"]),
        "paired_seeds": paired,
        "overall": compare(tallies, paired, resamples, seed, has_background=dataset.has_background),
        "by_size": by_part["size"],
        "by_tag": by_part["tag"],
        "signed_rank": ranks(groups),
        "annotator": {
            "weak_labels": annotator.source,
            "seed": annotator.seed,
            **asdict(annotator.options),
        },
        "definitions": {
            "modes": MODES,
            "distances": [None if d == np.inf else d for d in DISTANCES],
            "band": BAND,
            "found": DETECTED,
            "mixed": MIXED,
        },
        "resamples": resamples,
    }
