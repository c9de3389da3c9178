"""Pseudo-masks from labels: seeds spread over what looks alike, then are cut along edges.

Seeds are the activation maps of tags, clicks, strokes and the middles of boxes. They travel by
random walks (`random_walk`) over the features of the ImageNet encoder; a cut by GrabCut gives them
the edges of the picture; pixels in doubt stay unlabelled. The second round starts from what the
network predicts (Khoreva et al., CVPR 2017).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from weakseg.common import IGNORE
from weakseg.data.base import SegmentationDataset
from weakseg.labels.signals import SIGNALS, is_closed, is_complete, kinds_of
from weakseg.labels.signals import annotations_of as of_signals
from weakseg.labels.targets import View, draw_boxes, draw_pixels, parts_of_boxes, tag_vector
from weakseg.learners.unet import SegmentationModel
from weakseg.pseudo_masks.cam import TagMaps, activation_maps
from weakseg.pseudo_masks.grabcut import USED, draw_marks, grab_cut, middle, only_class
from weakseg.pseudo_masks.grabcut import Options as GrabCut
from weakseg.pseudo_masks.random_walk import (
    ARRIVAL_GROWTH,
    ARRIVAL_POWER,
    GROWTH,
    SPREAD_POWER,
    Growth,
    Walk,
    affinity,
    arrival_probabilities,
    compete,
    spread,
)

# The second round's maps are the network's probabilities, which nothing has to spread.
SECOND_SCALES, SECOND_GROWTH = (1.0, 2.0), Growth(0, 0.0, 0.1, 0.5, 0.9)

# {"points", "scribbles", "boxes": annotation}, one or more, perhaps with "complete"
Annotations = Mapping[str, Any]


# ---- the first round: from labels


def first_mask(
    term: str,
    encoder: SegmentationModel,
    tag_maps: TagMaps | None,
    dataset: SegmentationDataset,
    signals: Collection[str],
    label: Mapping[str, Any],
    image: torch.Tensor,
) -> np.ndarray:
    """Return the pseudo-mask [S, S] uint8 of one image, from its label.

    term: "cams", from tags by `tag_maps`, or "walk", from the clicks, strokes and boxes of signals
    encoder: as ImageNet trained it, in evaluation mode; label: {"size", signal: annotation, ...}
    image: [3, S, S] uint8
    """
    if term == "cams":
        assert tag_maps is not None
        walk = affinity(encoder, image)
        maps = activation_maps(encoder, tag_maps, image)
        mask = mask_from_tags(label["tags"], image, walk, maps, dataset)
        return with_answers(mask, label, signals)
    has_background = dataset.has_background
    annotations = annotations_of(label, signals)
    power = ARRIVAL_POWER if marks_rivals(annotations, has_background) else SPREAD_POWER
    walk = affinity(encoder, image, power)
    mask = mask_from_annotations(annotations, label["size"], image, walk, has_background)
    return with_answers(mask, label, signals)


def mask_from_tags(
    annotation: Mapping[str, Sequence[str]],
    image: torch.Tensor,
    walk: Walk,
    maps: torch.Tensor,
    dataset: SegmentationDataset,
) -> np.ndarray:
    """Return the pseudo-mask [S, S] uint8 that the activation maps [T, S, S] of present tags give.

    Where nobody was asked about a tag, or its map is zero, that object may be anywhere: then all
    that is no object is in doubt, as it is where there is no background.
    """
    tags = tag_vector(annotation, dataset.tag_names)
    present = np.flatnonzero(tags == 1)
    is_seen = maps[present].flatten(1).amax(1) > 0
    growth = GROWTH["tags"]
    spread_maps = spread(maps[present], *walk, growth.steps).cpu().numpy()
    is_closed = dataset.has_background and bool(is_seen.all()) and not (tags == -1).any()
    classes, rest = np.array(dataset.tag_class)[present], 0 if is_closed else IGNORE
    return mask_from_maps(spread_maps, classes, rgb(image), growth, rest)


def mask_from_annotations(
    annotations: Annotations,
    size: tuple[int, int],
    image: torch.Tensor,
    walk: Walk,
    has_background: bool = True,
) -> np.ndarray:
    """Return the pseudo-mask [S, S] uint8 that clicks, strokes and boxes grow into.

    size: (width, height) of the original; image: [3, S, S] uint8. The annotated pixels keep their
    classes. Without a mark on an object, or where boxes leave no background, all else is in doubt.
    So is what no seed grows into where there may be more objects than annotations. Where the data
    set has no background, the classes compete for all pixels.
    """
    view = View(*size, image.shape[1])
    marks = draw_evidence(annotations, view, has_background)
    seeds = add_box_middles(marks, annotations, view, has_background)
    classes = np.setdiff1d(seeds, [IGNORE])
    is_object = classes >= int(has_background)
    sees_background = has_background and 0 in classes
    lacks_background = has_background and not sees_background
    if not is_object.any() or ("boxes" in annotations and lacks_background):
        return marks

    planes = (seeds == classes[:, None, None]).astype(np.float32)
    seed_maps = torch.from_numpy(planes).to(image.device)
    has_rivals = sees_background or (not has_background and len(classes) > 1)
    if has_rivals and marks_rivals(annotations, has_background):
        growth = ARRIVAL_GROWTH
        maps = arrival_probabilities(seed_maps, *walk)
    else:
        growth = GROWTH["points"]
        maps = compete(spread(seed_maps, *walk, growth.steps), growth.rivalry)

    objects = classes[is_object]
    object_maps = maps.cpu().numpy()[is_object] * allowed_regions(annotations, view, objects)
    rest = 0 if is_closed(annotations, USED, has_background) else IGNORE
    mask = mask_from_maps(object_maps, objects, rgb(image), growth, rest)
    return np.where(marks == IGNORE, mask, marks)


def mask_from_maps(
    maps: np.ndarray | Sequence[np.ndarray],
    classes: Sequence[int] | np.ndarray,
    image: np.ndarray,
    growth: Growth,
    rest: int = 0,
) -> np.ndarray:
    """Turn maps of object classes into a mask [S, S] uint8: classes, `rest`, 255 in doubt.

    maps [K, S, S] float in [0, 1]; classes: of each map; image [S, S, 3] uint8 RGB. A pixel is of a
    class where its map and a cut along the image's edges agree; where two classes claim it, that of
    the stronger map. rest: what is no object, the background or 255.
    """
    claims = np.zeros((len(maps) + 1, *image.shape[:2]), np.float32)
    for claim, one in zip(claims[1:], maps, strict=True):
        steps = np.digitize(one, (growth.background, growth.foreground, growth.certain))
        levels = np.array([cv2.GC_BGD, cv2.GC_PR_BGD, cv2.GC_PR_FGD, cv2.GC_FGD], np.uint8)
        inside = grab_cut(image, levels[steps])
        np.copyto(claim, one, where=inside & (one >= growth.foreground))
    winner = claims.argmax(0)
    mask = np.array([rest, *classes], np.uint8)[winner]
    mask[(winner == 0) & (np.max(maps, axis=0, initial=0) >= growth.background)] = IGNORE
    return mask


# ---- what annotations say


def annotations_of(label: Mapping[str, Any], signals: Collection[str]) -> dict[str, Any]:
    """Return `Annotations`: the points, scribbles and boxes among `signals` that say something."""
    return of_signals(label, [signal for signal in kinds_of(label, signals) if signal in USED])


def with_answers(
    mask: np.ndarray, label: Mapping[str, Any], signals: Collection[str]
) -> np.ndarray:
    """Return a mask [S, S] uint8 in which the pixels that a person named have their classes.

    Nothing grows from them: many lie near a border, and they leave open what else is there.
    """
    if "pixels" not in signals or "pixels" not in label:
        return mask
    width, height = label["size"]
    answers = draw_pixels(label["pixels"], View(width, height, len(mask)))
    return np.where(answers == IGNORE, mask, answers)


def term_of(label: Mapping[str, Any], signals: Collection[str]) -> str:
    """Return by which labels of an image `knowledge_of` should know it."""
    if annotations_of(label, signals):
        return "walk"
    return "cams" if "tags" in signals else "open"


def marks_rivals(signals: Collection[str], has_background: bool) -> bool:
    """Return whether these signals mark enough besides an object for walks to meet.

    Clicks mark too little background; where there is none, they mark all that there is.
    """
    return not has_background or bool({"scribbles", "boxes", "outlines"} & {*signals})


def draw_evidence(annotations: Annotations, view: View, has_background: bool = True) -> np.ndarray:
    """Draw clicks and strokes, and what boxes say for sure -> [S, S] uint8, else 255.

    That is the background outside of boxes, or without a background their class where boxes of one
    class alone are. Boxes of some objects say nothing for sure.
    """
    marks = draw_marks(annotations, view, has_background)
    if "boxes" not in annotations or not is_complete(annotations, "boxes"):
        return marks
    if has_background:
        outside = SIGNALS["boxes"].target(annotations["boxes"], view, ()) == 0
        said = np.where(outside, np.uint8(0), np.uint8(IGNORE))
    else:
        classes = np.unique([box[4] for box in annotations["boxes"]]).astype(np.uint8)
        said = only_class(allowed_regions(annotations, view, classes), classes)
    return np.where(marks == IGNORE, said, marks)


def add_box_middles(
    marks: np.ndarray, annotations: Annotations, view: View, has_background: bool = True
) -> np.ndarray:
    """Add to marks [S, S] uint8 the middle of each box, which nearly always is object.

    Pixels that are marked already keep their classes. Without a background large boxes hold what
    lies behind the smaller ones: their middles end where those begin.
    """
    seeds = marks.copy()
    for part, label in parts_of_boxes(annotations.get("boxes", ()), view):
        unmarked = marks[part] == IGNORE
        if not has_background:
            seeds[part][unmarked] = IGNORE
        seeds[part][middle(seeds[part].shape, GrabCut.core) & unmarked] = label
    return seeds


def allowed_regions(
    annotations: Annotations, view: View, classes: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Return where each of K classes may be, [K, S, S] bool: in its own boxes.

    Without boxes of all objects it may be anywhere: [K, 1, 1].
    """
    if "boxes" not in annotations or not is_complete(annotations, "boxes"):
        return np.ones((len(classes), 1, 1), bool)
    regions = []
    for label in classes:
        own = [box for box in annotations["boxes"] if box[4] == label]
        regions.append(draw_boxes(own, view, IGNORE) != IGNORE)
    return np.array(regions).reshape(-1, view.size, view.size)


class Knowledge(NamedTuple):
    """What the labels of an image [S, S] say.

    classes    the K object classes on show
    where      where each may be, [K, S, S] or [K, 1, 1] bool
    marks      [S, S] uint8 annotated pixels, else 255; None where there are none
    is_closed  whether all that is no object is background
    """

    classes: np.ndarray
    where: np.ndarray
    marks: np.ndarray | None
    is_closed: bool


def knowledge_of(
    label: Mapping[str, Any],
    signals: Collection[str],
    term: str,
    dataset: SegmentationDataset,
    size: int,
) -> Knowledge:
    """Return the `Knowledge` of an image from its label.

    term: "cams", by the tags: where nobody asked there may be more; "walk", by the points,
    scribbles and boxes among `signals`, or else by tags: without boxes all is in doubt where no
    mark is on an object; or "open", by neither: every class may be anywhere, as it may where there
    are more objects than annotations. In any case answers are marks.
    """
    blank = np.full((size, size), IGNORE, np.uint8)
    answers = with_answers(blank, label, signals)
    own_marks = None if (answers == IGNORE).all() else answers
    if term == "open":
        return knowledge_of_nothing(dataset, own_marks)
    if term == "cams":
        tags = tag_vector(label["tags"], dataset.tag_names)
        classes = np.unique(np.array(dataset.tag_class)[tags == 1])
        anywhere = np.ones((len(classes), 1, 1), bool)
        is_closed = dataset.has_background and not (tags == -1).any()
        return Knowledge(classes, anywhere, own_marks, is_closed)
    annotations = annotations_of(label, signals)
    if not annotations and term_of(label, kinds_of(label, signals)) == "cams":
        return knowledge_of(label, signals, "cams", dataset, size)
    width, height = label["size"]
    view = View(width, height, size)
    marks = draw_evidence(annotations, view, dataset.has_background)
    if not any(is_complete(annotations, signal) for signal in USED if signal in annotations):
        marks = add_box_middles(marks, annotations, view)  # what else is known of their objects
        return knowledge_of_nothing(dataset, with_answers(marks, label, signals))
    boxed = [box[4] for box in annotations.get("boxes", ())]
    no_object = [0, IGNORE] if dataset.has_background else [IGNORE]
    classes = np.union1d(np.setdiff1d(marks, no_object), boxed).astype(np.uint8)
    is_closed = dataset.has_background and (classes.size > 0 or "boxes" in annotations)
    where = allowed_regions(annotations, view, classes)
    return Knowledge(classes, where, with_answers(marks, label, signals), is_closed)


def knowledge_of_nothing(dataset: SegmentationDataset, marks: np.ndarray | None) -> Knowledge:
    """Return the `Knowledge` of an image of which only marks are known."""
    classes = np.arange(int(dataset.has_background), len(dataset.class_names), dtype=np.uint8)
    anywhere = np.ones((len(classes), 1, 1), bool)
    return Knowledge(classes, anywhere, marks, dataset.has_background)


# ---- the second round: from predictions


@torch.no_grad()
def mean_prediction(
    model: SegmentationModel, image: torch.Tensor, scales: tuple[float, ...] = SECOND_SCALES
) -> torch.Tensor:
    """Return the class probabilities [C, S, S] of an image [3, S, S] uint8, averaged over scales.

    model: in evaluation mode
    """
    size, predictions = image.shape[-2:], []
    for scale in scales:
        larger = image[None].float()
        if scale != 1:
            larger = F.interpolate(larger, scale_factor=scale, mode="bilinear", align_corners=False)
        probabilities = model(larger)["seg"].softmax(1)
        predictions.append(
            F.interpolate(probabilities, size=size, mode="bilinear", align_corners=False)[0]
        )
    return torch.stack(predictions).mean(0)


def mask_from_predictions(
    probabilities: torch.Tensor, image: torch.Tensor, before: np.ndarray, knowledge: Knowledge
) -> np.ndarray:
    """Return the pseudo-mask [S, S] uint8 where the network is sure, cut along the image's edges.

    probabilities [C, S, S]; image [3, S, S] uint8; before: the mask of the first round. Marks keep
    their classes, and no class appears that nobody named. Where a class on show would vanish, the
    first mask stays.
    """
    maps = probabilities[knowledge.classes.tolist()].cpu().numpy() * knowledge.where
    rest = 0 if knowledge.is_closed else IGNORE
    mask = mask_from_maps(maps, knowledge.classes, rgb(image), SECOND_GROWTH, rest)
    if np.setdiff1d(knowledge.classes, mask).size:
        return before
    if knowledge.marks is None:
        return mask
    return np.where(knowledge.marks == IGNORE, mask, knowledge.marks)


def rgb(image: torch.Tensor) -> np.ndarray:
    """Return an image [3, S, S] as OpenCV wants it, [S, S, 3]."""
    return np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
