"""Pseudo-masks of the probe: from labels and frozen features, then from its own predictions.

The first come from boxes, which GrabCut fills, or ellipses where boxes are small, and from tags,
whose activation maps have a closed form. Clicks and strokes need none: a probe learns from them as
they are. Later ones are what a probe predicts where the labels allow it, cut along the image's
edges (self-training under constraints; Papandreou et al., ICCV 2015, Khoreva et al., CVPR 2017).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from weakseg.common import IGNORE
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.inference.edges import follow_edges
from weakseg.labels.signals import annotations_of as of_signals
from weakseg.labels.signals import is_complete, kinds_of
from weakseg.labels.targets import View, parts_of_boxes, tag_vector
from weakseg.learners.features import FeatureMaps
from weakseg.learners.probe import Probe
from weakseg.pseudo_masks.cam import GRID, MOST_IMAGES, TagMaps, fit_tag_maps
from weakseg.pseudo_masks.from_labels import (
    annotations_of,
    draw_evidence,
    knowledge_of,
    mask_from_maps,
    mask_from_tags,
    rgb,
    term_of,
)
from weakseg.pseudo_masks.grabcut import USED, draw_marks, pseudo_mask
from weakseg.pseudo_masks.random_walk import Growth, walk_between

SIDE = 128  # pixels a side of the square that masks are cut on
SMALL_BOX = 1 / 8  # of the image's sides: smaller things have too few pixels of the square
FINE = 384  # pixels a side of the square that holds them
# Where the encoder sees more than FINE pixels a side, these squares grow with its frame.
MOST_SIDE, STEP = 1024, 32


def side_of(maps: FeatureMaps) -> int:
    """Return the pixels a side of the square that the masks of an image are cut on."""
    share = STEP * round(max(maps.frame) * SIDE / FINE / STEP)
    return min(max(SIDE, share), MOST_SIDE)


def finer(side: int) -> int:
    """Return the pixels a side of the square that holds small things, in place of `side`."""
    return side * FINE // SIDE


def has_small_boxes(label: Mapping[str, Any], side: int = SIDE) -> bool:
    """Return whether the usual box of an image is small, by the shorter of its shares of the sides.

    label: {"size", "boxes": annotation, ...}; side: pixels of the square that masks are cut on
    """
    boxes = np.array([box[:4] for box in label.get("boxes", ())], float).reshape(-1, 4)
    if not len(boxes):
        return False
    shares = np.abs(boxes[:, 2:] - boxes[:, :2]) / label["size"]
    return float(np.median(shares.min(1))) < SMALL_BOX * SIDE / side


def growth_of(confidence: float) -> Growth:
    """Return what probabilities mean for a cut: sure from `confidence` on, doubt in between."""
    return Growth(0, 0.0, 1 - confidence, 0.5, confidence)


@dataclass(frozen=True)
class FeatureMasks:
    """Makes the pseudo-masks of one run, [S, S] uint8, 255 where in doubt.

    S is `side_of` an image, or `finer` where boxes are small.

    signals   that the run learns from; an image may lack some
    cache     of the photographs, of any size
    tag_maps  where tags are all that an image may have
    """

    dataset: SegmentationDataset
    signals: Sequence[str]
    cache: ResizedCache
    tag_maps: TagMaps | None = None

    def first(self, name: str, label: Mapping[str, Any], maps: FeatureMaps) -> np.ndarray | None:
        """Return an image's mask before anything is learnt; None without boxes or tags alone.

        label: {"size", signal: annotation, ...}
        """
        signals, side = kinds_of(label, self.signals), side_of(maps)
        annotations = annotations_of(label, signals)
        if "boxes" in annotations:
            if has_small_boxes(label, side):
                return self.of_ellipses(annotations, label["size"], finer(side))
            width, height = label["size"]
            view, picture = View(width, height, side), rgb(self.image(name, side))
            has_background = self.dataset.has_background
            return pseudo_mask(picture, annotations, view, has_background=has_background)[0]
        if annotations or "tags" not in signals or self.tag_maps is None:
            return None
        cells = deep_cells(maps)
        evidence = self.tag_maps(cells[None])[0].clamp(min=0)
        evidence = F.interpolate(evidence[None], size=[side, side], mode="bilinear")[0]
        walk, image = walk_between(cells), self.image(name, side)
        return mask_from_tags(label["tags"], image, walk, evidence, self.dataset)

    def predicted(
        self,
        name: str,
        label: Mapping[str, Any],
        maps: FeatureMaps,
        probe: Probe,
        confidence: float,
    ) -> np.ndarray:
        """Return an image's mask where a probe is sure and its labels allow it.

        Classes that the labels rule out have no chance, marks keep their classes. Without any class
        on show all is background where the labels are complete, and in doubt where they are not.
        Small boxes hold the same ellipses whatever the probe says.
        """
        signals, side = kinds_of(label, self.signals), side_of(maps)
        annotations = annotations_of(label, signals)
        if "boxes" in annotations and has_small_boxes(label, side):
            ellipses = self.of_ellipses(annotations, label["size"], finer(side))
            if is_complete(label, "boxes"):
                return ellipses
            others = {key: value for key, value in label.items() if key != "boxes"}
            mask = self.predicted(name, others, maps, probe, confidence)
            around = mask.repeat(FINE // SIDE, 0).repeat(FINE // SIDE, 1)
            return np.where(ellipses == IGNORE, around, ellipses)
        known = knowledge_of(label, signals, term_of(label, signals), self.dataset, side)
        rest = 0 if known.is_closed else IGNORE
        if not known.classes.size:
            return np.full((side, side), rest, np.uint8)
        logits = probe.logits(maps, (side, side))
        possible = [*([0] if self.dataset.has_background else []), *known.classes.tolist()]
        if known.is_closed or not self.dataset.has_background:
            impossible = np.setdiff1d(np.arange(probe.num_classes), possible)
            logits[impossible] = -torch.inf
        growth, image = growth_of(confidence), rgb(self.image(name, side))
        chances = logits.softmax(0)[known.classes.tolist()].numpy()
        chances = follow_edges(chances, image, probe.edges) * known.where
        mask = mask_from_maps(chances, known.classes, image, growth, rest)
        return mask if known.marks is None else np.where(known.marks == IGNORE, mask, known.marks)

    def of_ellipses(
        self, annotations: Mapping[str, Any], size: Sequence[int], side: int
    ) -> np.ndarray:
        """Return the mask [side, side] uint8 in which each box holds the ellipse that fits into it.

        annotations: {"boxes" and perhaps "points", "scribbles": annotation}; size: (width, height)
        of the photograph. Most small things are round. Clicks and strokes keep their classes.
        Smaller ellipses lie on top of larger ones. Without a background, what boxes of one class
        alone hold is of that class, and large boxes hold no ellipse. What lies outside of boxes of
        some objects is in doubt.
        """
        width, height = size
        view, has_background = View(width, height, side), self.dataset.has_background
        boxes = of_signals(annotations, ["boxes"])
        mask = draw_evidence(boxes, view, has_background)
        for window, _ in parts_of_boxes(annotations["boxes"], view) if has_background else ():
            mask[window] = 0
        for window, value in parts_of_boxes(annotations["boxes"], view):
            part = mask[window]
            if not self.dataset.has_background and min(part.shape) >= SMALL_BOX * FINE:
                continue
            y, x = (np.linspace(-1, 1, 2 * length + 1)[1::2] for length in part.shape)
            part[y[:, None] ** 2 + x**2 <= 1] = value
        marks = draw_marks(annotations, view, has_background)
        return np.where(marks == IGNORE, mask, marks)

    def image(self, name: str, side: int) -> torch.Tensor:
        """Return a photograph [3, side, side] uint8."""
        return torch.from_numpy(self.cache.at(side).image(self.dataset.photograph(name)))


def needs_tag_maps(signals: Sequence[str]) -> bool:
    """Return whether a run learns from tags where nothing else says where objects are."""
    return "tags" in signals and not {*USED, "full"} & {*signals}


def deep_cells(maps: FeatureMaps) -> torch.Tensor:
    """Return the stages of the two largest strides, joined on the finer of the two [F, h, w]."""
    strides = sorted({*maps.strides})[-2:]
    deep = [
        torch.from_numpy(stage.astype(np.float32))
        for stage, stride in zip(maps.maps, maps.strides, strict=True)
        if stride in strides
    ]
    finest = max((stage.shape[1:] for stage in deep), key=lambda shape: shape[0] * shape[1])
    return torch.cat(
        [F.interpolate(stage[None], size=finest, mode="bilinear")[0] for stage in deep]
    )


def pooled_cells(maps: FeatureMaps) -> torch.Tensor:
    """Return `deep_cells` of an image, averaged to a grid of `GRID` cells a side [GRID^2, F]."""
    return F.adaptive_avg_pool2d(deep_cells(maps), GRID).flatten(1).T


def tag_maps_from(
    cells: Sequence[torch.Tensor], labels: Sequence[Mapping[str, Any]], tag_names: Sequence[str]
) -> TagMaps:
    """Return the `TagMaps` of images by their `pooled_cells` and their labels, at least one."""
    tags = [torch.from_numpy(tag_vector(label["tags"], tag_names)) for label in labels]
    return fit_tag_maps(torch.stack(list(cells)), torch.stack(tags))


def images_for_tag_maps(names: Sequence[str]) -> Sequence[str]:
    """Return an even part of the images, few enough to fit tag maps in memory."""
    return names[:: -(-len(names) // MOST_IMAGES)]
