"""What the training images and their labels tell a probe before any fit: pixels and features."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from tqdm import tqdm

from weakseg.common import IGNORE, UserError, stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.data.groups import group_numbers
from weakseg.data.reading import Source
from weakseg.inference.edges import LONGEST, longest_copy
from weakseg.labels.answers import pixels_of_answers
from weakseg.labels.outlines import draw_outlines
from weakseg.labels.pixels import (
    NOTHING,
    Pixels,
    joined,
    pixels_of_mask,
    pixels_of_points,
    pixels_of_scribbles,
    random_places,
)
from weakseg.labels.signals import is_closed, is_complete, kinds_of
from weakseg.labels.spacing import LEAST, edge_radius, things_in, usual_radius
from weakseg.labels.targets import View
from weakseg.labels.training_labels import TrainingLabels
from weakseg.learners.features import FeatureMaps
from weakseg.learners.probe import Standard
from weakseg.pseudo_masks.from_features import (
    FeatureMasks,
    images_for_tag_maps,
    needs_tag_maps,
    pooled_cells,
    tag_maps_from,
)
from weakseg.training.pixel_sample import LabelledPixels, PixelSample
from weakseg.training.probe_options import ProbeOptions

MOST_PIXELS = 120_000  # of all images together, of each kind: memory stays flat
FEW_IMAGES = 50  # below it no progress bar is shown

Image = TypeVar("Image")  # its id, or its number and its id
FeaturesOf = Callable[[Source], FeatureMaps]  # of a photograph, such as `FeatureStore`
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
    answers pixels that a person was asked to name
    pool    features [I, P, D] float16 of random places of each image
    places  [I, P, 2] of these places, in shares of the image's width and height
    first   [I, P] uint8 classes of these places by the first pseudo-masks, else 255
    weak    [I] bool: which images self-training labels, see `self_trains`
    edges   radius that the labels suggest for `weakseg.inference.edges.follow_edges`
    boxed   [I] bool: which images have boxes of all their objects
    known   [I] bool: which images have a label
    groups  [I] int: which belong together, by the number of the first of them
    seconds of processor time that it took to gather all this
    """

    marks: LabelledPixels
    masks: LabelledPixels
    answers: LabelledPixels
    pool: np.ndarray
    places: np.ndarray
    first: np.ndarray
    weak: np.ndarray
    edges: float
    boxed: np.ndarray
    known: np.ndarray
    groups: np.ndarray
    seconds: float = 0.0

    @cached_property
    def standard(self) -> Standard:
        """What makes features standard: mean 0 and variance 1 at the random places."""
        return Standard.of(self.pool.reshape(-1, self.pool.shape[2]))


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
    began = time.process_time()
    count = pixels_per_image(run.probe.pixels, len(labels.train_ids))
    mask_of = mask_of or dataset.mask
    marks, drawn, asked = (PixelSample(MOST_PIXELS) for _ in range(3))
    pool, places, first, weak, boxed, known = [], [], [], [], [], []
    radii, finest = [], LEAST
    for number, name in enumerate(shown(labels.train_ids, "labels to pixels")):
        rng = np.random.default_rng(stable_seed(run.seed, "pixels", name))
        maps, label = store(dataset.photograph(name)), labels[name]
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
        is_drawn = not has_mask and "outlines" in run.signals and "outlines" in label
        things, least = None, least_radius(max(maps.frame))
        if has_mask:
            full = mask_of(name)
            things, _ = things_in(full, size, dataset.has_background, least)
            pixels = pixels_of(full, size, count, rng)
            drawn.add(labelled(pixels, maps, number), rng)
        if is_drawn:
            outlined = mask_of_outlines(label, max(maps.frame), dataset.has_background)
            pixels = pixels_of(outlined, size, count, rng)
            drawn.add(labelled(pixels, maps, number), rng)
        clicked = marked({} if has_mask else label, run.signals)
        marks.add(labelled(clicked, maps, number), rng)
        is_asked = not has_mask and "pixels" in run.signals and "pixels" in label
        told = pixels_of_answers(label["pixels"]) if is_asked else NOTHING
        asked.add(labelled(told, maps, number), rng)
        radii.append(edge_radius(label, run.signals, clicked, things, least))
        finest = min(finest, least)
        is_whole = has_mask or (is_drawn and is_closed(label, ["outlines"], dataset.has_background))
        mask = None if is_whole else masks.first(name, label, maps)
        first.append(seen(mask, places[-1]))
        kinds = kinds_of(label, run.signals)
        weak.append(not is_whole and self_trains(kinds, len(dataset.class_names)))
        boxed.append("boxes" in kinds and is_complete(label, "boxes"))
        known.append(bool(kinds))
    evidence = Evidence(
        marks.drawn(pool[0]),
        drawn.drawn(pool[0]),
        asked.drawn(pool[0]),
        np.stack(pool),
        np.stack(places),
        np.stack(first),
        np.array(weak),
        usual_radius(radii, finest),
        np.array(boxed),
        np.array(known),
        group_numbers(labels.train_ids, dataset.group),
        time.process_time() - began,
    )
    found = len(evidence.marks) + len(evidence.masks) + len(evidence.answers)
    if not found and (evidence.first == IGNORE).all():
        raise UserError(f"{run.weak_label_path}: {no_pixel_line(run, evidence)}")
    return evidence


def no_pixel_line(run: FitSettings, evidence: Evidence) -> str:
    """Return why labels give no pixel a class, with the way out: boxes fill pictures, mostly."""
    images = f"{len(evidence.known)} training images"
    if evidence.boxed[evidence.known].all():
        return (
            f"the boxes of the {images} leave nothing free, so that no pixel is known to be in an "
            "object or beside one; click on some objects and on what is beside them"
        )
    return (
        f"the labels of the {images} ({', '.join(run.signals)}) give no pixel a class; click on "
        "some, or say which lists of boxes are complete"
    )


def self_trains(signals: Sequence[str], num_classes: int) -> bool:
    """Return whether self-training labels more of an image that has labels of these signals.

    A mask leaves nothing to label. Answers alone leave every class open: with more than two a
    probe's errors would come back as labels.
    """
    return "full" not in signals and ({*signals} != {"pixels"} or num_classes == 2)


def mask_of_outlines(label: Mapping[str, Any], side: int, has_background: bool) -> np.ndarray:
    """Return what the coarse outlines of an image say, [side, side] uint8, 255 in their rims."""
    width, height = label["size"]
    closed = is_closed(label, ["outlines"], has_background)
    return draw_outlines(label["outlines"], View(width, height, side), 0 if closed else IGNORE)


def least_radius(frame: int) -> float:
    """Return the least radius of edges, in longer sides, for a frame of this longer side."""
    return LEAST * LONGEST / longest_copy(frame)


def pixels_of(
    mask: np.ndarray, size: tuple[int, int], count: int, rng: np.random.Generator
) -> Pixels:
    """Return `pixels_of_mask` of an image of a size (width, height) that the mask covers."""
    pixels = pixels_of_mask(mask, count, rng)
    return pixels._replace(places=pixels.places * np.divide(size, mask.shape[::-1]))


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


def shown(images: Sequence[Image], words: str) -> Iterable[Image]:
    """Return the images with a progress bar, if there are many and the main thread waits."""
    is_behind = threading.current_thread() is not threading.main_thread()
    return tqdm(images, words, unit="img", disable=is_behind or len(images) < FEW_IMAGES)


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
        pooled_cells(store(dataset.photograph(name))) for name in shown(names, "activation maps")
    ]
    tag_maps = tag_maps_from(cells, [labels[name] for name in names], dataset.tag_names)
    return FeatureMasks(dataset, run.signals, masks.cache, tag_maps)
