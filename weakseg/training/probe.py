"""Training the probe: labels become weighted pixels, a head is fitted, and labels itself more.

Every training image gives `pixels` random places, whose features standardise all others. Masks
label a stratified sample of pixels, clicks and strokes label what they touch. What boxes, tags and
earlier fits say of the random places are further labels (`weakseg.pseudo_masks.from_features`).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from weakseg.common import IGNORE, UserError, remove, stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.labels.pixels import (
    Pixels,
    joined,
    pixels_of_mask,
    pixels_of_points,
    pixels_of_scribbles,
    random_places,
)
from weakseg.labels.training_labels import TrainingLabels
from weakseg.learners.feature_store import FeatureStore
from weakseg.learners.features import FeatureMaps
from weakseg.learners.logistic import fit_linear
from weakseg.learners.penalty import PENALTIES, choose_penalty
from weakseg.learners.probe import Head, Probe, Standard
from weakseg.learners.small_network import fit_small_network
from weakseg.pseudo_masks.from_features import (
    FeatureMasks,
    images_for_tag_maps,
    needs_tag_maps,
    pooled_cells,
    tag_maps_from,
)
from weakseg.training import checkpoints
from weakseg.training.checkpoints import Log
from weakseg.training.pixel_sample import LabelledPixels, PixelSample, merged
from weakseg.training.probe_options import ProbeOptions
from weakseg.training.run import TrainingRun

MOST_PIXELS = 120_000  # of all images together, of each kind: memory stays flat
MARKS_SHARE = 0.1  # of clicks and strokes in a fit that self-training labels pixels for as well
# Cross-validation within labels that err in the same way everywhere finds that a close fit pays.
# So the penalty of a fit from n clicks and strokes is at least this, divided by the square root of
# n, and that from boxes alone this one, each divided by the number of classes.
LEAST_OF_MARKS, LEAST_OF_BOXES = 33.0, 0.06
SLACK = 1.2  # factor by which a penalty may be smaller than the least
# Rare classes of many count more than their pixels, by this power of their share.
RARE = 0.25
# Hidden units and steps of the small head, with two classes and with more.
SMALL, SMALL_OF_MANY = {"hidden": 128, "steps": 1500}, {"hidden": 256, "steps": 3000}
FEW_IMAGES = 50  # below it no progress bar is shown

Line = dict[str, Any]  # of log.jsonl: one fit
FeaturesOf = Callable[[Path], FeatureMaps]  # of a photograph, such as `FeatureStore`
MaskOf = Callable[[str], np.ndarray]  # id -> mask [H, W] uint8, of any size


class FitSettings(Protocol):
    """What fits need to know of a run, such as a `TrainingRun`.

    weak_label_path  what a message names where nothing is labelled
    last_epoch       how many fits there are
    """

    @property
    def seed(self) -> int: ...
    @property
    def signals(self) -> Sequence[str]: ...
    @property
    def probe(self) -> ProbeOptions: ...
    @property
    def weak_label_path(self) -> str: ...
    @property
    def last_epoch(self) -> int: ...


@dataclass(frozen=True)
class Evidence:
    """What the training images and their labels say, before any fit.

    marks   clicks and strokes
    masks   pixels of masks
    pool    features [I, P, D] float16 of random places of each image
    places  [I, P, 2] of these places, in shares of the image's width and height
    first   [I, P] uint8 classes of these places by the first pseudo-masks, else 255
    weak    [I] bool: which images have labels, but no mask
    """

    marks: LabelledPixels
    masks: LabelledPixels
    pool: np.ndarray
    places: np.ndarray
    first: np.ndarray
    weak: np.ndarray


# ---- from labels to pixels


def pixels_per_image(wanted: int, images: int) -> int:
    """Return how many pixels each image may give: all together at most `MOST_PIXELS`."""
    return max(1, min(wanted, MOST_PIXELS // max(images, 1)))


def gather(
    run: FitSettings,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    store: FeaturesOf,
    masks: FeatureMasks,
    mask_of: MaskOf | None = None,
) -> Evidence:
    """Return the `Evidence` of the training images; features not on disk yet are computed.

    mask_of: the masks to learn from; None: those of the data set

    Raises `UserError` where no image has a label.
    """
    count = pixels_per_image(run.probe.pixels, len(labels.train_ids))
    mask_of = mask_of or dataset.mask
    marks, drawn = PixelSample(MOST_PIXELS), PixelSample(MOST_PIXELS)
    pool, places, first, weak = [], [], [], []
    for number, name in enumerate(shown(labels.train_ids, "labels to pixels")):
        rng = np.random.default_rng(stable_seed(run.seed, "pixels", name))
        maps, label = store(dataset.image_path(name)), labels[name]
        width, height = size = tuple(label["size"])
        if size != maps.size:
            raise UserError(
                f"{run.weak_label_path}: {name} was labelled at {width}x{height}, but the image is "
                f"{maps.size[0]}x{maps.size[1]}; make the labels again"
            )
        random = random_places(maps.size, count, rng)
        pool.append(maps.at(random).astype(np.float16))
        places.append(random / maps.size)

        has_mask = "full" in label and "full" in run.signals
        if has_mask:
            pixels = pixels_of(mask_of(name), size, count, rng)
            drawn.add(labelled(pixels, maps, number), rng)
        else:
            marks.add(labelled(marked(label, run.signals), maps, number), rng)
        mask = None if has_mask else masks.first(name, label, maps)
        first.append(seen(mask, places[-1]))
        weak.append(not has_mask)
    evidence = Evidence(
        marks.drawn(pool[0]),
        drawn.drawn(pool[0]),
        np.stack(pool),
        np.stack(places),
        np.stack(first),
        np.array(weak),
    )
    if not len(evidence.marks) + len(evidence.masks) and (evidence.first == IGNORE).all():
        raise UserError(
            f"{run.weak_label_path}: nothing is labelled in any of the {len(labels.train_ids)} "
            "training images; label some"
        )
    return evidence


def pixels_of(
    mask: np.ndarray, size: tuple[int, int], count: int, rng: np.random.Generator
) -> Pixels:
    """Return `pixels_of_mask` of an image of a size (width, height) that the mask covers."""
    pixels = pixels_of_mask(mask, count, rng)
    return pixels._replace(places=pixels.places * np.divide(size, mask.shape[::-1]))


def shown(names: Sequence[str], words: str) -> Iterable[str]:
    """Return the names with a progress bar, if there are many."""
    return tqdm(names, words, unit="img", disable=len(names) < FEW_IMAGES)


def marked(label: Mapping[str, Any], signals: Sequence[str]) -> Pixels:
    """Return the pixels of the clicks and strokes of an image."""
    parts = []
    if "points" in signals and "points" in label:
        parts.append(pixels_of_points(label["points"]))
    if "scribbles" in signals and "scribbles" in label:
        parts.append(pixels_of_scribbles(label["scribbles"]))
    return joined(parts)


def labelled(pixels: Pixels, maps: FeatureMaps, number: int) -> LabelledPixels:
    """Return the pixels of image `number` with their features."""
    features = maps.at(pixels.places).astype(np.float16)
    images = np.full(len(pixels.classes), number)
    return LabelledPixels(features, pixels.classes, pixels.weights, images)


def seen(mask: np.ndarray | None, places: np.ndarray) -> np.ndarray:
    """Return what a mask [S, S] says at places [P, 2], shares of its sides; 255 without a mask."""
    if mask is None:
        return np.full(len(places), IGNORE, np.uint8)
    columns, rows = (places * mask.shape[::-1]).astype(int).T
    classes: np.ndarray = mask[rows, columns]
    return classes


def pseudo_labels(
    run: FitSettings,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    store: FeaturesOf,
    masks: FeatureMasks,
    evidence: Evidence,
    probe: Probe,
) -> np.ndarray:
    """Return the classes [I, P] uint8 that a probe gives the random places, 255 where in doubt."""
    classes = np.full(evidence.first.shape, IGNORE, np.uint8)
    names = [(i, name) for i, name in enumerate(labels.train_ids) if evidence.weak[i]]
    bar = tqdm(names, "self-training", unit="img", disable=len(names) < FEW_IMAGES)
    for number, name in bar:
        maps = store(dataset.image_path(name))
        mask = masks.predicted(name, labels[name], maps, probe, run.probe.confidence)
        classes[number] = seen(mask, evidence.places[number])
    return classes


# ---- one fit


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
    """Return the rows of one fit, and whether each comes from a mask.

    pseudo: [I, P] uint8 classes of the random places, else 255. Masks and weak labels weigh as many
    images as have them.
    doubt_is_object: whether places in doubt most likely show objects, which then weigh as much more
    """
    images, positions = np.nonzero(pseudo != IGNORE)
    marks, masks = evidence.marks, evidence.masks
    weak_images = float(evidence.weak.sum())
    share = (MARKS_SHARE if len(images) else 1.0) if len(marks) else 0.0
    many = num_classes > 2
    rare = RARE if many else 0.0
    parts = [replace(masks, weights=evened(masks, num_classes, rare))] if len(masks) else []
    if len(marks):
        # As many clicks on the background as on objects: how many there are says nothing of areas.
        weights = evened(marks, num_classes, 0.5 if many else 1.0)
        weights *= share * weak_images / weights.sum()
        parts.append(replace(marks, weights=weights))
    if len(images):
        classes = pseudo[images, positions].astype(np.int64)
        weights = np.ones(len(images))
        if doubt_is_object and (classes > 0).any():
            in_doubt = np.count_nonzero(pseudo[evidence.weak] == IGNORE)
            weights[classes > 0] += in_doubt / np.count_nonzero(classes > 0)
        weights *= (1 - share) * weak_images / weights.sum()
        part = LabelledPixels(evidence.pool[images, positions], classes, weights, images)
        parts.append(replace(part, weights=evened(part, num_classes, rare)))
    rows = merged(parts, evidence.pool[0])
    return rows, np.arange(len(rows)) < len(masks)


def penalties_for(evidence: Evidence, from_mask: np.ndarray, num_classes: int) -> tuple[float, ...]:
    """Return the penalties that cross-validation chooses from, the largest first.

    from_mask [N]: whether each row of the fit comes from a mask
    """
    if from_mask.all():
        return PENALTIES
    number = len(evidence.marks)
    least = (LEAST_OF_MARKS / number**0.5 if number else LEAST_OF_BOXES) / num_classes
    return tuple(p for p in PENALTIES if p * SLACK >= least) or PENALTIES[:1]


def fit_head(
    run: FitSettings,
    evidence: Evidence,
    rows: LabelledPixels,
    from_mask: np.ndarray,
    standard: Standard,
    num_classes: int,
    is_last: bool = True,
) -> tuple[Head, Line]:
    """Return the head that the rows give, and what the log says of it.

    is_last: whether no fit follows. With more than two classes the last head is small even from
    weak labels: those before it only label pixels, for which a linear one does.
    """
    x = standard(rows.features)
    pays = from_mask.all() or (is_last and num_classes > 2)
    is_small = run.probe.head == "small" or (run.probe.head == "auto" and pays)
    if is_small:
        size = SMALL if num_classes == 2 else SMALL_OF_MANY
        network = fit_small_network(
            x, rows.classes, rows.weights, num_classes, seed=run.seed, **size
        )
        return network, {"head": "small", "pixels": len(rows)}
    penalty, axes = run.probe.penalty, None
    if penalty is None:
        choices = penalties_for(evidence, from_mask, num_classes)
        choice = choose_penalty(
            x, rows.classes, rows.weights, rows.images, num_classes, choices, seed=run.seed
        )
        penalty, axes = choice.penalty, choice.axes
    head = fit_linear(x, rows.classes, rows.weights, penalty, num_classes, axes=axes)
    return head, {
        "head": "linear",
        "pixels": len(rows),
        "penalty": penalty,
        "gradient": head.gradient,
        "loss": head.loss,
    }


# ---- a run


def fit_probe(
    run: FitSettings,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    store: FeaturesOf,
    masks: FeatureMasks,
    probe: Probe | None = None,
    done: int = 0,
    mask_of: MaskOf | None = None,
    image_weights: np.ndarray | None = None,
) -> Iterator[tuple[Probe, Line]]:
    """Yield the probe after each fit that is left, and its line for the log.

    probe, done: the probe of a run that is resumed, and the number of its fits
    mask_of: as `gather` takes it; image_weights [I]: of the training images, None: all the same
    """
    num_classes, began = len(dataset.class_names), time.process_time()
    evidence = gather(run, dataset, labels, store, masks, mask_of)
    standard = Standard.of(evidence.pool.reshape(-1, evidence.pool.shape[2]))
    for fit in range(done + 1, run.last_epoch + 1):
        pseudo = evidence.first
        if probe is not None:
            pseudo = pseudo_labels(run, dataset, labels, store, masks, evidence, probe)
            if (pseudo == IGNORE).all():  # nothing to learn from: the last labels stay
                pseudo = evidence.first
        by_boxes = "boxes" in run.signals and dataset.has_background
        rows, from_mask = rows_of(
            evidence, pseudo, num_classes, doubt_is_object=by_boxes and pseudo is evidence.first
        )
        if image_weights is not None:
            rows = replace(rows, weights=rows.weights * image_weights[rows.images])
        head, facts = fit_head(
            run, evidence, rows, from_mask, standard, num_classes, fit == run.last_epoch
        )
        probe = Probe(standard, head)
        seconds, began = time.process_time() - began, time.process_time()
        yield probe, {"epoch": fit, "selected": True, "seconds": seconds, **facts}


def feature_masks(
    run: FitSettings,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    store: FeaturesOf,
    masks: FeatureMasks,
) -> FeatureMasks:
    """Return `masks` with the tag maps that a run from tags alone needs."""
    if not needs_tag_maps(run.signals):
        return masks
    names = images_for_tag_maps(labels.train_ids)
    cells = [
        pooled_cells(store(dataset.image_path(name))) for name in shown(names, "activation maps")
    ]
    tag_maps = tag_maps_from(cells, [labels[name] for name in names], dataset.tag_names)
    return FeatureMasks(dataset, run.signals, masks.cache, tag_maps)


def train_probe(
    run: TrainingRun,
    checkpoint: Mapping[str, Any] | None,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    store: FeatureStore,
    masks: FeatureMasks,
    description: Mapping[str, Any],
) -> None:
    """Train a run of the probe from where its checkpoint ends; log and save after each fit.

    checkpoint: the content of last.pt to go on from; None starts anew
    description: what checkpoints say of the run besides its weights
    """
    folder, log = run.folder, Log(run.folder / "log.jsonl")
    if checkpoint:
        checkpoints.refuse_other_data(checkpoint, description, folder)

    # Features first, on as many workers as there are; then the fits.
    paths = [dataset.image_path(name) for name in labels.train_ids]
    missing = store.missing(paths)
    computed = store.compute(missing, run.workers)
    few = len(missing) < FEW_IMAGES
    for _ in tqdm(computed, "features", len(missing), unit="img", disable=few):
        pass
    masks = feature_masks(run, dataset, labels, store, masks)
    probe = Probe.of_state(checkpoint["model"]) if checkpoint else None
    done = checkpoint["epoch"] if checkpoint else 0
    for fitted, line in fit_probe(run, dataset, labels, store, masks, probe, done):
        if line["epoch"] == done + 1:  # whatever failed before has left an old run as it was
            take_up(folder, log, done)
        log.append(line)
        state = {"model": fitted.state(), "epoch": line["epoch"], "best": None, "selected": True}
        content = {**state, **description}
        checkpoints.save_checkpoint(folder / "last.pt", content)
        checkpoints.save_best(folder, content)
        print(fit_words(line, run.last_epoch))


def take_up(folder: Path, log: Log, done: int) -> None:
    """Make the folder of a run with `done` fits ready for the next: an old run's files go."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in checkpoints.leftovers(folder) if done else checkpoints.run_files(folder):
        remove(path)
    log.keep_until(done)


def fit_words(line: Line, fits: int) -> str:
    """Return what is printed of one fit."""
    penalty = f", penalty {line['penalty']:g}" if "penalty" in line else ""
    return (
        f"fit {line['epoch']}/{fits}  {line['head']} head on {line['pixels']} pixels{penalty}  "
        f"{line['seconds']:.1f} s of processor time"
    )
