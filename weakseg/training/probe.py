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
from weakseg.training.probe_options import ProbeOptions
from weakseg.training.run import TrainingRun

MOST_PIXELS = 120_000  # of all images together, of each kind: memory stays flat
MARKS_SHARE = 0.1  # of clicks and strokes in a fit that self-training labels pixels for as well
# Clicks lie in the middle of things, and self-training repeats its own mistakes: to fit either
# closely pays within them, and nowhere else.
WEAK_PENALTIES = (1.0, 0.3)
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
class LabelledPixels:
    """Labelled pixels of many images.

    features [N, D] float16; classes [N] int64; weights [N] float64; images [N] int64: which image
    each pixel is of
    """

    features: np.ndarray
    classes: np.ndarray
    weights: np.ndarray
    images: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)


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
    marks, drawn, pool, places, first, weak = [], [], [], [], [], []
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
            drawn.append(labelled(pixels_of(mask_of(name), size, count, rng), maps, number))
        else:
            marks.append(labelled(marked(label, run.signals), maps, number))
        mask = None if has_mask else masks.first(name, label, maps)
        first.append(seen(mask, places[-1]))
        weak.append(not has_mask)
    evidence = Evidence(
        merged(marks, pool[0]),
        merged(drawn, pool[0]),
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


def merged(parts: Sequence[LabelledPixels], like: np.ndarray) -> LabelledPixels:
    """Return all parts in one; without any, none, with as many features as `like` [N, D] has."""
    nothing = LabelledPixels(
        np.empty((0, like.shape[1]), np.float16),
        np.empty(0, np.int64),
        np.empty(0),
        np.empty(0, np.int64),
    )
    fields = zip(*(vars(part).values() for part in (nothing, *parts)), strict=True)
    return LabelledPixels(*(np.concatenate(field) for field in fields))


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


def balanced(pixels: LabelledPixels, num_classes: int) -> np.ndarray:
    """Return weights [N] that sum to 1, in which all classes that occur count the same."""
    totals = np.bincount(pixels.classes, pixels.weights, num_classes)
    weights: np.ndarray = pixels.weights / totals[pixels.classes]
    return weights / weights.sum()


def rows_of(
    evidence: Evidence, pseudo: np.ndarray, num_classes: int
) -> tuple[LabelledPixels, np.ndarray]:
    """Return the rows of one fit, and whether each comes from a mask.

    pseudo: [I, P] uint8 classes of the random places, else 255. Masks and weak labels weigh as many
    images as have them.
    """
    images, positions = np.nonzero(pseudo != IGNORE)
    marks, masks = evidence.marks, evidence.masks
    weak_images = float(evidence.weak.sum())
    share = (MARKS_SHARE if len(images) else 1.0) if len(marks) else 0.0
    parts = [masks]
    if len(marks):
        weights = balanced(marks, num_classes) * share * weak_images
        parts.append(LabelledPixels(marks.features, marks.classes, weights, marks.images))
    if len(images):
        weights = np.full(len(images), (1 - share) * weak_images / len(images))
        features = evidence.pool[images, positions]
        classes = pseudo[images, positions].astype(np.int64)
        parts.append(LabelledPixels(features, classes, weights, images))
    rows = merged(parts, evidence.pool[0])
    return rows, np.arange(len(rows)) < len(masks)


def fit_head(
    run: FitSettings,
    rows: LabelledPixels,
    from_mask: np.ndarray,
    standard: Standard,
    num_classes: int,
) -> tuple[Head, Line]:
    """Return the head that the rows give, and what the log says of it."""
    x = standard(rows.features)
    is_small = run.probe.head == "small" or (run.probe.head == "auto" and from_mask.all())
    if is_small:
        network = fit_small_network(x, rows.classes, rows.weights, num_classes, seed=run.seed)
        return network, {"head": "small", "pixels": len(rows)}
    penalty = run.probe.penalty
    if penalty is None:
        choices = PENALTIES if from_mask.all() else WEAK_PENALTIES
        penalty = choose_penalty(
            x, rows.classes, rows.weights, rows.images, num_classes, choices, seed=run.seed
        ).penalty
    head = fit_linear(x, rows.classes, rows.weights, penalty, num_classes)
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
        rows, from_mask = rows_of(evidence, pseudo, num_classes)
        if image_weights is not None:
            rows = replace(rows, weights=rows.weights * image_weights[rows.images])
        head, facts = fit_head(run, rows, from_mask, standard, num_classes)
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
