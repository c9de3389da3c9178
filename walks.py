"""Pseudo-masks that grow from little: tags' activation maps, clicks, strokes, boxes, over alike features, then cut.

Random walks on what an image shows (Ahn & Kwak, CVPR 2018; for clicks and strokes, Vernaza & Chandraker, CVPR 2017;
where strokes or boxes say what is background, Grady, PAMI 2006), here between the features of the encoder as ImageNet
trained it. A second round makes them anew from what the network has learned of the first (recursive training: Khoreva
et al., CVPR 2017). They are read from PNG files.
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from common import UserError, atomic_path
from grabcut import USED, draw_marks, grab_cut, middle
from grabcut import Options as GrabCut
from image_io import read_mask
from model import deepest
from supervision import IGNORE, SIGNALS, View, parts_of_boxes, tag_vector

SCALES = (1.0, 1.5, 2.0)  # of the image, for activation maps
WALK_SCALE = 2.0
WALK_POWER, MEETING_POWER = 3.0, 6.0  # of the likeness of two cells: where walks spread, and where they meet seeds
LEAK = 1e-5  # chance of a step to anywhere, so that every walk meets a seed


class Growth(NamedTuple):
    """How far seeds spread, and what their maps, in [0, 1], then say.

    rivalry: share of the strongest other map that is taken from a map
    """

    steps: int
    rivalry: float
    background: float  # below it a pixel is background
    foreground: float  # from it on it may be the object
    certain: float  # from it on it is the object


# Maps of tags cover objects already, clicks have to travel.
GROWTH = {"tags": Growth(10, 0.0, 0.35, 0.6, 0.8), "points": Growth(12, 0.25, 0.1, 0.3, 0.5)}
# Where strokes or boxes say what is background, the maps are the chances that a walk meets the object first.
MEETING_GROWTH = Growth(0, 0.0, 0.3, 0.5, 0.7)
# The second round's maps are the network's probabilities, which nothing has to spread.
SECOND_SCALES, SECOND_GROWTH = (1.0, 2.0), Growth(0, 0.0, 0.1, 0.5, 0.9)


@torch.no_grad()
def activation_maps(encoder, tag_maps, image, scales=SCALES):
    """Return class activation maps (Zhou et al., CVPR 2016), summed over scales and flips -> [T, S, S], >= 0.

    encoder: a `SegmentationModel` in evaluation mode; tag_maps: the `TagMaps` of its features; image [3, S, S] uint8
    """
    x, total = encoder.normalised(image[None]), 0
    for scale in scales:
        larger = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False) if scale != 1 else x
        both = torch.cat([larger, larger.flip(3)])
        maps = tag_maps(deepest(encoder.unet.encoder(both))).clamp(min=0)
        maps = F.interpolate(maps, size=x.shape[-2:], mode="bilinear", align_corners=False)
        total = total + maps[0] + maps[1].flip(2)
    return total


@torch.no_grad()
def affinity(encoder, image, power=WALK_POWER):
    """Return how alike the cells of an image are, [N, N] with rows that sum to 1, and the cells' (rows, columns).

    encoder: a `SegmentationModel` whose features compare cells, by a `power` of their cosine
    """
    x = F.interpolate(encoder.normalised(image[None]), scale_factor=WALK_SCALE, mode="bilinear", align_corners=False)
    features = encoder.unet.encoder(x)[-2][0]
    cells = features.flatten(1).T
    cells = F.normalize(cells - cells.mean(0), dim=1)
    alike = (cells @ cells.T).clamp(min=0) ** power
    return alike / alike.sum(1, keepdim=True), features.shape[1:]


def spread(maps, walk, grid, steps):
    """Spread maps [K, S, S] by a random walk over alike cells -> [K, S, S] in [0, 1], each with its extremes there.

    walk: [N, N] probabilities of a step between the cells of a `grid` (rows, columns)
    """
    if not len(maps):
        return maps
    cells = F.adaptive_avg_pool2d(maps, grid).flatten(1).T
    for _ in range(steps):
        cells = walk @ cells
    found = cells.T.unflatten(1, tuple(grid))
    found = F.interpolate(found[None], size=maps.shape[-2:], mode="bilinear", align_corners=False)[0]
    low, high = found.amin((1, 2), keepdim=True), found.amax((1, 2), keepdim=True)
    return (found - low) / (high - low).clamp(min=torch.finfo(found.dtype).tiny)


def meeting(seeds, walk, grid):
    """Return the chance that a random walk over alike cells meets a seed of each class first -> [K, S, S], sums of 1.

    (Grady, Random Walks for Image Segmentation, PAMI 2006.) A cell with seeds of several classes ends the walk at each
    by its share. seeds: [K, S, S], 1 where a pixel is a seed of the class, else 0; walk, grid: see `spread`
    """
    cells = F.adaptive_avg_pool2d(seeds, grid).flatten(1).T
    total = cells.sum(1, keepdim=True)
    ended = total > 0
    ends = torch.where(ended, cells / total.clamp(min=torch.finfo(cells.dtype).tiny), 0)
    going = torch.where(ended, 0, (1 - LEAK) * walk + LEAK / len(walk))
    found = torch.linalg.solve(torch.eye(len(walk), dtype=walk.dtype, device=walk.device) - going, ends)
    found = (found / found.sum(1, keepdim=True)).T.unflatten(1, tuple(grid))
    return F.interpolate(found[None], size=seeds.shape[-2:], mode="bilinear", align_corners=False)[0]


def compete(maps, rivalry):
    """Take from each map [K, S, S] a share of the strongest of the others, down to 0."""
    if len(maps) < 2:
        return maps
    (first, second), winner = torch.topk(maps, 2, dim=0)[0], maps.argmax(0)
    others = torch.where(torch.arange(len(maps), device=maps.device)[:, None, None] == winner, second, first)
    return (maps - rivalry * others).clamp(min=0)


def mask_from(maps, labels, image, growth):
    """Turn maps of object classes into a mask [S, S] uint8: classes, 0 background, 255 where in doubt.

    maps [K, S, S] float in [0, 1]; labels: the class of each; image [S, S, 3] uint8 RGB. A pixel is of a class where
    its map and a cut along the image's edges agree; where two classes claim it, that of the stronger map.
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

    image: [3, S, S] uint8; walk: as from `affinity`. With a tag that nobody was asked about, or whose map is zero,
    there may be that object anywhere: the background is in doubt, then.
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
    """Return the mask [S, S] uint8 that clicks, strokes and boxes grow into; what these say themselves stays.

    annotations: {"points", "scribbles", "boxes": annotation as in `supervision`}, one or more; size: (width, height) of
    the original; image: [3, S, S] uint8; walk: as from `affinity`. Without a mark on an object, or where boxes leave no
    background, all else is in doubt.
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
    """Return whether these annotations say so much of the background that walks are asked which seed they meet."""
    return "scribbles" in signals or "boxes" in signals


def what_is_said(annotations, view):
    """Draw the clicks and strokes, and the background outside of boxes -> [S, S] uint8, 255 where nothing is said."""
    marks = draw_marks(annotations, view)
    if "boxes" in annotations:
        marks[(SIGNALS["boxes"].target(annotations["boxes"], view, ()) == 0) & (marks == IGNORE)] = 0
    return marks


def with_middles(marks, annotations, view):
    """Add to marks [S, S] the middle of each box, which nearly always is object -> [S, S] uint8; marks stay."""
    seeds = marks.copy()
    for part, label in parts_of_boxes(annotations.get("boxes", ()), view):
        seeds[part][middle(seeds[part].shape, GrabCut.core) & (marks[part] == IGNORE)] = label
    return seeds


def where_allowed(annotations, view, classes):
    """Return where each of K classes may be, [K, S, S] bool: in its own boxes; without boxes anywhere, [K, 1, 1]."""
    if "boxes" not in annotations:
        return np.ones((len(classes), 1, 1), bool)
    own = [[box for box in annotations["boxes"] if box[4] == label] for label in classes]
    return np.array([SIGNALS["boxes"].target(boxes, view, ()) > 0 for boxes in own]).reshape(-1, view.size, view.size)


def rgb(image):
    """Return an image [3, S, S] as OpenCV wants it, [S, S, 3]."""
    return np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())


def annotations_of(label, signals):
    """Return the points, scribbles and boxes of an image, those that are among `signals`: {signal: annotation}."""
    return {signal: label[signal] for signal in signals if signal in USED}


class Evidence(NamedTuple):
    """What annotations say of an image [S, S]: the K classes on show, where each may be ([K, S, S] or [K, 1, 1] bool),
    marks ([S, S] uint8, 255 where nothing is said, or None), and whether all else is background."""

    classes: np.ndarray
    where: np.ndarray
    marks: np.ndarray | None
    closed: bool


def evidence(label, signals, term, dataset, size):
    """Return the `Evidence` of an image's label.

    term: "cams", by the tags: no marks, and where nobody asked there may be more; or "walk", by the points, scribbles
    and boxes among `signals`: without boxes all is in doubt where no mark is on an object.
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
        found.append(F.interpolate(probabilities, size=size, mode="bilinear", align_corners=False)[0])
    return torch.stack(found).mean(0)


def from_predictions(probabilities, image, before, known):
    """Return the mask [S, S] uint8 of the second round: where the network is sure, cut along the image's edges.

    probabilities [C, S, S]; image [3, S, S] uint8; before: the mask of the first round; known: the `Evidence`. Where a
    class on show would vanish, the first mask stays.
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

    term: "cams", from tags by `tag_maps`, or "walk", from the points, scribbles and boxes among `signals`
    encoder: see `affinity`; label: {"size", signal: annotation, ...}; image [3, S, S] uint8
    """
    if term == "cams":
        walk = affinity(encoder, image)
        return from_tags(label["tags"], image, walk, activation_maps(encoder, tag_maps, image), dataset)
    walk = affinity(encoder, image, MEETING_POWER if meets(signals) else WALK_POWER)
    return from_annotations(annotations_of(label, signals), label["size"], image, walk)


def write_masks(make, names, folder):
    """Write the mask make(id), [S, S] uint8, of each image to `mask_path(folder, id)`, and yield the id."""
    for name in names:
        path = mask_path(folder, name)
        with atomic_path(path) as temporary:
            Image.fromarray(make(name)).save(temporary, format="PNG")
        yield name


def mask_path(folder, name):
    """Return where the mask of an image lies; an id may hold slashes."""
    return folder / f"{name}.png"


class GrownMasks:
    """The masks of a run, [S, S] uint8 by image id, of its last round; nothing is labelled before they are made.

    folders: those of the rounds, the first first; each is there when its masks are made
    """

    def __init__(self, folders, size):
        self.folders, self.size = folders, size

    def __getitem__(self, name):
        made = [folder for folder in self.folders if folder.exists()]
        if not made:
            return np.full((self.size, self.size), IGNORE, np.uint8)
        path = mask_path(made[-1], name)
        if not path.exists():
            raise UserError(f"{path}: gone since the run made it; start the run anew with --overwrite")
        return read_mask(path)
