"""One fit of a probe: how much each labelled pixel weighs, which penalty, which head."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from weakseg.common import IGNORE
from weakseg.learners.logistic import TOLERANCE, LinearHead, fit_linear
from weakseg.learners.penalty import PENALTIES, choose_penalty, folds_of
from weakseg.learners.probe import Head, Standard
from weakseg.learners.small_network import SmallNetwork, fit_small_network, mean_network
from weakseg.training.pixel_sample import LabelledPixels, merged
from weakseg.training.probe_evidence import Evidence, FitSettings

MARKS_SHARE = 0.1  # of clicks and strokes in a fit that self-training labels pixels for as well
# Cross-validation within labels that err in the same way everywhere finds that a close fit pays.
# So the penalty of a fit has a floor: from n clicks and pixels of strokes the first of these,
# divided by the square root of n; from boxes, which say where things end, the second; from tags
# alone the third; each divided by the number of classes, and of several the lowest.
LEAST_OF_MARKS, LEAST_OF_BOXES, LEAST_OF_TAGS = 33.0, 0.06, 0.6
SLACK = 1.2  # factor by which a penalty may be smaller than the floor
# Rare classes of many count more than their pixels, by this power of their share.
RARE = 0.25
EVENED_ANSWERS = 0.5  # the same of answers
# From so many pixels on the small head beats the linear one where there are two classes, and with
# more of them long training pays. From few pixels of many classes the mean of several networks is
# 0.5 points better than one (VOC's 21 classes, 3,000 pixels) and takes 4 s for each.
FEW, FEW_OF_MANY = 2_000, 5_000
# The small head: with two classes, with more, and then from few pixels.
SMALL, SMALL_OF_MANY = {"hidden": 128, "steps": 1500}, {"hidden": 256, "steps": 3000}
SMALL_OF_FEW = {"hidden": 128, "steps": 1000, "batch": 256}
NETWORKS_OF_FEW = 4
# Masks beside weak labels: in how many parts they are held out, the linear head's penalty, and how
# many images or groups must have one: five can give up hundreds of clicks on a guess.
MIX_FOLDS, MIX_PENALTY, LEAST_OF_MIX = 3, 0.1, 10

Line = dict[str, Any]  # of log.jsonl: one fit


def evened(pixels: LabelledPixels, num_classes: int, power: float) -> np.ndarray:
    """Return weights [N] of the same sum, those of each class divided by a power of its share.

    power: 0 leaves them as they are, with 1 all classes that occur count the same
    """
    totals = np.bincount(pixels.classes, pixels.weights, num_classes)
    weights: np.ndarray = pixels.weights * totals[pixels.classes] ** -power
    return weights * (pixels.weights.sum() / weights.sum())


def rows_of(
    evidence: Evidence, pseudo: np.ndarray, num_classes: int, doubt_is_object: bool = False
) -> tuple[LabelledPixels, np.ndarray]:
    """Return the rows of one fit, and whether each is exact: of a mask, or an answer.

    pseudo: [I, P] uint8 classes of the random places, else 255. Masks and weak labels weigh as many
    images as have them, pseudo-labels included, and answers as many as there are of them.
    doubt_is_object: whether places in doubt most likely show objects, which then weigh as much
        more; it counts for images with boxes of all their objects
    """
    images, positions = np.nonzero(pseudo != IGNORE)
    marks, masks, answers = evidence.marks, evidence.masks, evidence.answers
    known = evidence.known.copy()
    known[images] = True
    weak_images = float((evidence.weak & known).sum())
    share = (MARKS_SHARE if len(images) else 1.0) if len(marks) else 0.0
    many = num_classes > 2
    rare = RARE if many else 0.0
    parts = [replace(masks, weights=evened(masks, num_classes, rare))] if len(masks) else []
    if len(answers):  # rare classes count more than their answers, as those of clicks do
        parts.append(replace(answers, weights=evened(answers, num_classes, EVENED_ANSWERS)))
    if len(marks):
        # As many clicks on the background as on objects: how many there are says nothing of areas.
        weights = evened(marks, num_classes, 0.5 if many else 1.0)
        weights *= share * weak_images / weights.sum()
        parts.append(replace(marks, weights=weights))
    if len(images):
        classes = pseudo[images, positions].astype(np.int64)
        weights = np.ones(len(images))
        in_boxes = (classes > 0) & evidence.boxed[images]
        if doubt_is_object and in_boxes.any():
            in_doubt = np.count_nonzero(pseudo[np.unique(images[in_boxes])] == IGNORE)
            weights[in_boxes] += in_doubt / np.count_nonzero(in_boxes)
        weights *= (1 - share) * weak_images / weights.sum()
        part = LabelledPixels(evidence.pool[images, positions], classes, weights, images)
        parts.append(replace(part, weights=evened(part, num_classes, rare)))
    rows = merged(parts, evidence.pool[0])
    return rows, np.arange(len(rows)) < len(masks) + len(answers)


def penalties_for(
    signals: Sequence[str], evidence: Evidence, is_exact: np.ndarray, num_classes: int
) -> tuple[float, ...]:
    """Return the penalties that cross-validation chooses from, the largest first.

    is_exact [N]: whether each row of the fit is of a mask, or an answer
    """
    if is_exact.all():
        return PENALTIES
    number = len(evidence.marks)
    least = [LEAST_OF_MARKS / number**0.5] if number else []
    least += [LEAST_OF_BOXES] if "boxes" in signals else []
    floor = min(least, default=LEAST_OF_TAGS) / num_classes
    return tuple(p for p in PENALTIES if p * SLACK >= floor) or PENALTIES[:1]


def fit_head(
    run: FitSettings,
    evidence: Evidence,
    rows: LabelledPixels,
    is_exact: np.ndarray,
    standard: Standard,
    num_classes: int,
    is_last: bool = True,
    start: LinearHead | None = None,
) -> tuple[Head, Line]:
    """Return the head that the rows give, and what the log says of it.

    is_last: whether no fit follows. With more than two classes the last head is small even from
    weak labels: those before it only label pixels, for which a linear one does. Where some images
    have masks and others weak labels, the masks choose the last head.
    start: the head, on features of this standard, from which a linear fit begins
    """
    x = standard(rows.features)
    pays = is_exact.all() or (is_last and num_classes > 2)
    of_answers = {*run.signals} == {"pixels"}  # then what is not exact comes from answers as well
    is_mix = is_exact.any() and not is_exact.all() and not of_answers
    if run.probe.head != "auto":
        kind = run.probe.head
    elif not (is_last and is_mix):
        kind = usual_head(len(rows), num_classes) if pays else "linear"
    else:
        groups = evidence.groups[rows.images]
        kind, counted = best_of_mix(run, x, rows, is_exact, num_classes, groups)
        x, rows, is_exact = x[counted], rows.part(counted), is_exact[counted]
    if kind == "small":
        network = small_head(run, x, rows, num_classes)
        return network, {"head": "small", "pixels": len(rows)}
    penalty, axes = run.probe.penalty, None
    if penalty is None:
        choices = penalties_for(run.signals, evidence, is_exact, num_classes)
        choice = choose_penalty(
            x,
            rows.classes,
            rows.weights,
            evidence.groups[rows.images],
            num_classes,
            choices,
            seed=run.seed,
        )
        penalty, axes = choice.penalty, choice.axes
    head = fit_linear(x, rows.classes, rows.weights, penalty, num_classes, start, axes)
    if start and head.gradient > TOLERANCE:  # it began too far off
        head = fit_linear(x, rows.classes, rows.weights, penalty, num_classes, axes=axes)
    return head, {
        "head": "linear",
        "pixels": len(rows),
        "penalty": penalty,
        "gradient": head.gradient,
        "loss": head.loss,
    }


def usual_head(pixels: int, num_classes: int) -> str:
    """Return the head, by what `--head` calls it, that suits so many labelled pixels of masks."""
    return "linear" if num_classes == 2 and pixels < FEW else "small"


def small_head(
    run: FitSettings, x: np.ndarray, rows: LabelledPixels, num_classes: int
) -> SmallNetwork:
    """Return the small network that rows of standardised features x [N, D] give."""

    def network(seed: int, size: dict[str, int]) -> SmallNetwork:
        return fit_small_network(x, rows.classes, rows.weights, num_classes, seed=seed, **size)

    if num_classes > 2 and len(rows) < FEW_OF_MANY:
        seeds = [run.seed + 1000 * number for number in range(NETWORKS_OF_FEW)]
        return mean_network([network(seed, SMALL_OF_FEW) for seed in seeds])
    return network(run.seed, SMALL if num_classes == 2 else SMALL_OF_MANY)


def best_of_mix(
    run: FitSettings,
    x: np.ndarray,
    rows: LabelledPixels,
    is_exact: np.ndarray,
    num_classes: int,
    groups: np.ndarray | None = None,
) -> tuple[str, np.ndarray]:
    """Return the head that suits masks and weak labels together, and which rows [N] bool count.

    groups [N]: of the rows, which no fold parts; by default their images

    Masks of some images are held out in turn. Of three fits the one is taken whose cross-entropy on
    them is the least: all rows with a linear head, all with a small one if they are enough, and the
    masks alone with their usual head. So weak labels that err do not hurt, and those that help
    count. Few masks can't tell: then all rows have a linear head.
    """
    groups = rows.images if groups is None else groups
    folds = np.full(len(rows), -1)
    folds[is_exact] = folds_of(groups[is_exact], MIX_FOLDS, run.seed).numpy()
    every, penalty = np.ones(len(rows), bool), run.probe.penalty or MIX_PENALTY
    choices = [("linear", every), (usual_head(int(is_exact.sum()), num_classes), is_exact)]
    if usual_head(len(rows), num_classes) == "small":
        choices.insert(1, ("small", every))
    if len(np.unique(groups[is_exact])) < LEAST_OF_MIX:
        return choices[0]

    def loss(kind: str, counted: np.ndarray, fold: int) -> float:
        known, held = counted & (folds != fold), folds == fold
        part = rows.part(known)
        head: Head
        if kind == "linear":
            head = fit_linear(x[known], part.classes, part.weights, penalty, num_classes)
        else:
            head = small_head(run, x[known], part, num_classes)
        log_p = head.logits(torch.from_numpy(x[held])).log_softmax(1)
        right = log_p[torch.arange(len(log_p)), torch.from_numpy(rows.classes[held])]
        return -float(right.double() @ torch.from_numpy(rows.weights[held]))

    losses = [
        sum(loss(*choice, fold) for fold in range(int(folds.max()) + 1)) for choice in choices
    ]
    return choices[int(np.argmin(losses))]
