"""Pseudo-masks that grow from little: tags' activation maps, clicks, strokes, boxes, over alike
features, then cut.

Random walks on what an image shows (Ahn & Kwak, CVPR 2018; for clicks and strokes, Vernaza &
Chandraker, CVPR 2017; where strokes or boxes say what is background, Grady, PAMI 2006), here
between the features of the encoder as ImageNet trained it. A second round makes them anew from what
the network has learned of the first (recursive training: Khoreva et al., CVPR 2017). They are read
from PNG files.
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from weakseg.common import IGNORE
from weakseg.labels.signals import SIGNALS
from weakseg.labels.targets import View, parts_of_boxes, tag_vector
from weakseg.pseudo_masks.cam import activation_maps
from weakseg.pseudo_masks.grabcut import USED, draw_marks, grab_cut, middle
from weakseg.pseudo_masks.grabcut import Options as GrabCut
from weakseg.pseudo_masks.random_walk import (
    GROWTH,
    MEETING_GROWTH,
    MEETING_POWER,
    WALK_POWER,
    Growth,
    affinity,
    compete,
    meeting,
    spread,
)

# The second round's maps are the network's probabilities, which nothing has to spread.
SECOND_SCALES, SECOND_GROWTH = (1.0, 2.0), Growth(0, 0.0, 0.1, 0.5, 0.9)


def mask_from(maps, labels, image, growth):
    """Turn maps of object classes into a mask [S, S] uint8: classes, 0 background, 255 where in
    doubt.

    maps [K, S, S] float in [0, 1]; labels: the class of each; image [S, S, 3] uint8 RGB. A pixel is
    of a class where its map and a cut along the image's edges agree; where two classes claim it,
    that of the stronger map.
    """
    claims = np.zeros((len(maps) + 1, *image.shape[:2]), np.float32)
    for claim, found in zip(claims[1:], maps, strict=True):
        steps = np.digitize(found, (growth.background, growth.foreground, growth.certain))
        trimap = np.uint8([cv2.GC_BGD, cv2.GC_PR_BGD, cv2.GC_PR_FGD, cv2.GC_FGD])[steps]
        inside = grab_cut(image, trimap)
        np.copyto(claim, found, where=inside & (found >= growth.foreground))
    mask = np.uint8([0, *labels])[claims.argmax(0)]
    mask[(mask == 0) & (np.max(maps, axis=0, initial=0) >= growth.background)] = IGNORE
    return mask


def from_tags(annotation, image, walk, maps, dataset):
    """Return the mask [S, S] uint8 that the activation maps [T, S, S] of the present tags give.

    image: [3, S, S] uint8; walk: as from `affinity`. With a tag that nobody was asked about, or
    whose map is zero, there may be that object anywhere: the background is in doubt, then.
    """
    says = tag_vector(annotation, dataset.tag_names)
    present = np.flatnonzero(says == 1)
    seen = maps[present].flatten(1).amax(1) > 0
    maps = spread(maps[present], *walk, GROWTH["tags"].steps).cpu().numpy()
    mask = mask_from(maps, np.array(dataset.tag_class)[present], rgb(image), GROWTH["tags"])
    if (says == -1).any() or not seen.all():
        mask[mask == 0] = IGNORE
    return mask


def from_annotations(annotations, size, image, walk):
    """Return the mask [S, S] uint8 that clicks, strokes and boxes grow into; what these say
    themselves stays.

    annotations: {"points", "scribbles", "boxes": annotation as in `supervision`}, one or more;
    size: (width, height) of the original; image: [3, S, S] uint8; walk: as from `affinity`. Without
    a mark on an object, or where boxes leave no background, all else is in doubt.
    """
    view = View(*size, image.shape[1])
    marks = what_is_said(annotations, view)
    seeds = with_middles(marks, annotations, view)
    labels = np.setdiff1d(seeds, [IGNORE])
    objects, bounded = labels > 0, 0 in labels
    if not objects.any() or ("boxes" in annotations and not bounded):
        return marks
    planes = torch.from_numpy((seeds == labels[:, None, None]).astype(np.float32)).to(image.device)
    if bounded and meets(annotations):
        maps, growth = meeting(planes, *walk), MEETING_GROWTH
    else:
        growth = GROWTH["points"]
        maps = compete(spread(planes, *walk, growth.steps), growth.rivalry)
    maps = maps.cpu().numpy()[objects] * where_allowed(annotations, view, labels[objects])
    mask = mask_from(maps, labels[objects], rgb(image), growth)
    return np.where(marks == IGNORE, mask, marks)


def meets(signals):
    """Return whether these annotations say so much of the background that walks are asked which
    seed they meet.
    """
    return "scribbles" in signals or "boxes" in signals


def what_is_said(annotations, view):
    """Draw the clicks and strokes, and the background outside of boxes -> [S, S] uint8, 255 where
    nothing is said.
    """
    marks = draw_marks(annotations, view)
    if "boxes" in annotations:
        marks[
            (SIGNALS["boxes"].target(annotations["boxes"], view, ()) == 0) & (marks == IGNORE)
        ] = 0
    return marks


def with_middles(marks, annotations, view):
    """Add to marks [S, S] the middle of each box, which nearly always is object -> [S, S] uint8;
    marks stay.
    """
    seeds = marks.copy()
    for part, label in parts_of_boxes(annotations.get("boxes", ()), view):
        seeds[part][middle(seeds[part].shape, GrabCut.core) & (marks[part] == IGNORE)] = label
    return seeds


def where_allowed(annotations, view, classes):
    """Return where each of K classes may be, [K, S, S] bool: in its own boxes; without boxes
    anywhere, [K, 1, 1].
    """
    if "boxes" not in annotations:
        return np.ones((len(classes), 1, 1), bool)
    own = [[box for box in annotations["boxes"] if box[4] == label] for label in classes]
    return np.array([SIGNALS["boxes"].target(boxes, view, ()) > 0 for boxes in own]).reshape(
        -1, view.size, view.size
    )


def rgb(image):
    """Return an image [3, S, S] as OpenCV wants it, [S, S, 3]."""
    return np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())


def annotations_of(label, signals):
    """Return the points, scribbles and boxes of an image, those that are among `signals`: {signal:
    annotation}.
    """
    return {signal: label[signal] for signal in signals if signal in USED}


class Evidence(NamedTuple):
    """What annotations say of an image [S, S]: the K classes on show, where each may be ([K, S, S]
    or [K, 1, 1] bool), marks ([S, S] uint8, 255 where nothing is said, or None), and whether all
    else is background.
    """

    classes: np.ndarray
    where: np.ndarray
    marks: np.ndarray | None
    closed: bool


def evidence(label, signals, term, dataset, size):
    """Return the `Evidence` of an image's label.

    term: "cams", by the tags: no marks, and where nobody asked there may be more; or "walk", by the
    points, scribbles and boxes among `signals`: without boxes all is in doubt where no mark is on
    an object.
    """
    if term == "cams":
        says = tag_vector(label["tags"], dataset.tag_names)
        classes = np.unique(np.array(dataset.tag_class)[says == 1])
        return Evidence(classes, np.ones((len(classes), 1, 1), bool), None, not (says == -1).any())
    annotations, view = annotations_of(label, signals), View(*label["size"], size)
    marks = what_is_said(annotations, view)
    boxed = [box[4] for box in annotations.get("boxes", ())]
    classes = np.union1d(np.setdiff1d(marks, [0, IGNORE]), boxed).astype(np.uint8)
    closed = classes.size > 0 or "boxes" in annotations
    return Evidence(classes, where_allowed(annotations, view, classes), marks, closed)


@torch.no_grad()
def predictions(model, image, scales=SECOND_SCALES):
    """Return the class probabilities of an image, their mean over scales -> [C, S, S].

    model: a `SegmentationModel` in evaluation mode; image [3, S, S] uint8
    """
    size, found = image.shape[-2:], []
    for scale in scales:
        larger = image[None].float()
        if scale != 1:
            larger = F.interpolate(larger, scale_factor=scale, mode="bilinear", align_corners=False)
        probabilities = model(larger)["seg"].softmax(1)
        found.append(
            F.interpolate(probabilities, size=size, mode="bilinear", align_corners=False)[0]
        )
    return torch.stack(found).mean(0)


def from_predictions(probabilities, image, before, known):
    """Return the mask [S, S] uint8 of the second round: where the network is sure, cut along the
    image's edges.

    probabilities [C, S, S]; image [3, S, S] uint8; before: the mask of the first round; known: the
    `Evidence`. Where a class on show would vanish, the first mask stays.
    """
    maps = probabilities[known.classes.tolist()].cpu().numpy() * known.where
    mask = mask_from(maps, known.classes, rgb(image), SECOND_GROWTH)
    if not known.closed:
        mask[mask == 0] = IGNORE
    if np.setdiff1d(known.classes, mask).size:
        return before
    return mask if known.marks is None else np.where(known.marks == IGNORE, mask, known.marks)


def first_mask(term, encoder, tag_maps, dataset, signals, label, image):
    """Return the pseudo-mask [S, S] uint8 of one image, grown from its annotation.

    term: "cams", from tags by `tag_maps`, or "walk", from the points, scribbles and boxes among
    `signals` encoder: see `affinity`; label: {"size", signal: annotation, ...}; image [3, S, S]
    uint8
    """
    if term == "cams":
        walk = affinity(encoder, image)
        return from_tags(
            label["tags"], image, walk, activation_maps(encoder, tag_maps, image), dataset
        )
    walk = affinity(encoder, image, MEETING_POWER if meets(signals) else WALK_POWER)
    return from_annotations(annotations_of(label, signals), label["size"], image, walk)
