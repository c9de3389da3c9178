"""GrabCut: cuts a mask out of one image along its boxes, clicks and strokes, alone or together.

Rother, Kolmogorov & Blake, "GrabCut: interactive foreground extraction using iterated graph cuts",
SIGGRAPH 2004, in OpenCV's implementation. It learns the colours of what is probably object and of
what is probably background, and cuts between the two along edges of the picture.

A *trimap* [h, w] uint8 tells it what is known of each pixel, by OpenCV's values: surely background
(GC_BGD), probably background (GC_PR_BGD), probably object (GC_PR_FGD), surely object (GC_FGD).
*Marks* [S, S] uint8 are clicks and strokes as they are drawn: classes, 0 background (where the data
set has one), 255 nothing.

All here happens at the network's own square resolution. Lengths are shares of its side, so that
another size gives nearly the same masks. benchmarks/grabcut.py measures the defaults;
`grabcut_files` keeps the masks of many images on disk.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from weakseg.common import IGNORE
from weakseg.labels.signals import SIGNALS, is_closed, is_complete
from weakseg.labels.targets import View, blank, parts_of_boxes

MARKS = ("points", "scribbles", "outlines")  # signals that mark pixels
USED = (*MARKS, "boxes")  # signals that can be cut along

Window = tuple[slice, slice]  # rows and columns of a picture
WHOLE: Window = (slice(None), slice(None))

# Where marks make less than this share of a box sure, its middle is taken for the object too.
LEAST_MARKED = 0.05
# Of the bilateral filter, at the resolution of the cut: its diameter in pixels, and the sigmas of
# colour (of 255) and of distance (in pixels).
SMOOTHING = (5, 30, 3)


# The cache's key holds an `Options` as it is printed: with another name of the class or of a field,
# all masks would be cut anew.
@dataclass(frozen=True)
class Options:
    """How masks are cut. Lengths are in sides of the picture, unless it says otherwise.

    margin      surroundings of a box that are looked at, in sides of the box
    core        ellipse in the middle of a box that surely is object, in half sides of the box
    claims      without boxes: a pixel is guessed to be of a class if it is nearer to the marks of
                that class than so many times the distance to any other mark. Each number is one
                guess; the mask is sure where the cuts from all guesses agree.
    reach       what lies as near as this to a click or a stroke surely is of its class
    band        uncertain pixels on each side of a cut
    least       a cut that adds less than this share of the guess to what was sure is given up:
                "empty"
    most        and one that perhaps fills more than this of all that is looked at: "full"
    box_side    pixels: a box with its surroundings is shrunk to the area of this square, if larger
    whole_side  pixels: the same of a whole picture, where there are no boxes
    """

    margin: float = 0.4
    core: float = 0.4
    claims: tuple[float, ...] = (0.5, 1.0)
    reach: float = 0.025
    band: float = 0.008
    least: float = 0.05
    most: float = 0.95
    box_side: int = 256
    whole_side: int = 128


DEFAULTS = Options()


class Cut(NamedTuple):
    """What was cut out of a window: sure object and doubtful pixels, both [h, w] bool.

    outcome: "cut"; or, of a cut that was given up, "empty" or "full" (see `Options`)
    """

    sure: np.ndarray
    unsure: np.ndarray
    outcome: str


class ObjectCut(NamedTuple):
    """The cut of one object (a box, or the marks of a class), and where in the picture it lies."""

    label: int
    window: Window
    cut: Cut


def pseudo_mask(
    image: np.ndarray,
    annotations: Mapping[str, Any],
    view: View,
    options: Options = DEFAULTS,
    has_background: bool = True,
) -> tuple[np.ndarray, Counter[str]]:
    """Cut a mask out of an image along its annotations -> (mask [S, S] uint8, outcomes).

    image        [S, S, 3] uint8 RGB, the picture resized to the network's square
    annotations  {"boxes", "points", "scribbles": annotation as in `weakseg.labels.signals`}, one
                 or more, perhaps with "complete"; other signals are not used
    view         the plain `View(width, height, S)`, neither cropped nor mirrored

    The mask holds 0 for background, class numbers, and 255 where in doubt. Clicks and strokes keep
    their classes. With boxes, each is cut apart, and outside of them is background. Without, each
    class of marks is cut out of the whole picture. Where cuts overlap, the smaller one wins. Where
    the data set has no background, what boxes of one class alone hold is of that class (`left_over`
    says more), and all that was cut out of nothing is in doubt. So is what lies outside of boxes,
    or was not cut out along marks, where these are not all that there are.

    The outcomes count what became of the objects (boxes, or classes of marks): "cut", or "empty" or
    "full" where the cut is degenerate (see `Options`). Of such an object the mask holds what its
    annotation alone says. Inside of its box is in doubt, but for what a larger object of its class
    covers; without boxes, all but the marks is.

    The result depends on nothing but the arguments. Raises ValueError where the image doesn't have
    the view's size.
    """
    if image.shape != (view.size, view.size, 3):
        raise ValueError(f"the image is {image.shape}, but the view {view.size} pixels a side")
    marks, boxes = draw_marks(annotations, view, has_background), annotations.get("boxes")
    if boxes is None:
        objects = cut_classes(image, marks, options, has_background)
    else:
        objects = cut_boxes(image, boxes, marks, view, options)
    if boxes is not None and is_complete(annotations, "boxes"):
        mask = np.zeros_like(marks) if has_background else left_over(objects, boxes, view)
    elif boxes is not None:
        mask = np.full_like(marks, IGNORE)
        for box, _ in parts_of_boxes(boxes, view) if has_background else ():
            mask[box] = 0
    else:
        is_known = bool(objects) and is_closed(annotations, MARKS, has_background)
        mask = np.full_like(marks, 0 if is_known else IGNORE)
    for label, window, cut in objects:  # the largest first, so that smaller ones lie on top
        part = mask[window]
        part[cut.unsure & (part != label)] = IGNORE
        part[cut.sure] = label
    outcomes = Counter(cut.outcome for _, _, cut in objects)
    return np.where(marks == IGNORE, mask, marks), outcomes


def draw_marks(
    annotations: Mapping[str, Any], view: View, has_background: bool = True
) -> np.ndarray:
    """Draw the clicks and, under them, the strokes -> [S, S] uint8, 255 where there are none.

    Under both lie coarse outlines, and where all objects have one, the background around them.
    """
    marks = blank(view)
    for signal in MARKS:
        if signal in annotations:
            closed = is_closed(annotations, [signal], has_background)
            drawn = SIGNALS[signal].target(annotations[signal], view, (), closed)
            marks = np.where(marks == IGNORE, drawn, marks)
    return marks


# ---- with boxes: each is cut out of its surroundings


def cut_boxes(
    image: np.ndarray,
    boxes: Sequence[Sequence[float]],
    marks: np.ndarray,
    view: View,
    options: Options,
) -> list[ObjectCut]:
    """Cut the object of each box out of the box and its surroundings, the largest box first."""
    objects, band = [], options.band * view.size
    for (rows, columns), label in parts_of_boxes(boxes, view):
        outer_rows, inner_rows = widened(rows, view.size, options.margin)
        outer_columns, inner_columns = widened(columns, view.size, options.margin)
        window, box = (outer_rows, outer_columns), (inner_rows, inner_columns)
        trimap = box_trimap(marks[window], box, label, options, view.size)
        cut = cut_window(image[window], [trimap], box, options.box_side, band, options)
        objects.append(ObjectCut(label, window, cut))
    return objects


def left_over(
    objects: Sequence[ObjectCut], boxes: Sequence[Sequence[float]], view: View
) -> np.ndarray:
    """Return the class of each pixel that alone is left, where there is no background, else 255.

    objects: as `cut_boxes` returns them -> [S, S] uint8. A pixel in boxes of one class only is of
    that class. Of several, those go whose boxes' cuts surely leave the pixel out.
    """
    parts = parts_of_boxes(boxes, view)
    classes = np.unique([label for _, label in parts]).astype(np.uint8)
    inside, possible = np.zeros((2, len(classes), view.size, view.size), bool)
    for (part, label), (_, window, cut) in zip(parts, objects, strict=True):
        held = np.zeros((view.size, view.size), bool)
        held[part] = True
        number = np.searchsorted(classes, label)
        inside[number] |= held
        if cut.outcome == "cut":
            held[window] &= cut.sure | cut.unsure
        possible[number] |= held
    left = np.where(inside.sum(0) == 1, inside, possible)
    return only_class(left, classes)


def only_class(regions: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the class of each pixel that lies in the region of one class alone, else 255.

    regions [K, S, S] bool, of classes [K] uint8 -> [S, S] uint8
    """
    mask = np.full(regions.shape[1:], IGNORE, np.uint8)
    alone = regions.sum(0) == 1
    mask[alone] = classes[regions[:, alone].argmax(0)] if len(classes) else IGNORE
    return mask


def widened(part: slice, size: int, margin: float) -> tuple[slice, slice]:
    """Widen a slice of pixels by `margin` of its length, within [0, size).

    Returns (the wider slice, where the first one lies in it).
    """
    start, stop = min(part.start, size), min(part.stop, size)
    around = max(4, round(margin * (stop - start)))
    first = max(0, start - around)
    return slice(first, min(size, stop + around)), slice(start - first, stop - first)


def box_trimap(
    marks: np.ndarray, box: Window, label: int, options: Options, size: int
) -> np.ndarray:
    """Return the trimap [h, w] of a box in its window: outside of it surely is background.

    marks: [h, w] of the window; box: where it lies in the window; size: S of the whole picture
    """
    trimap = np.full(marks.shape, cv2.GC_BGD, np.uint8)
    inside = trimap[box]
    inside[:] = cv2.GC_PR_FGD
    apply_marks(trimap, marks, label, options.reach * size)
    if np.count_nonzero(inside == cv2.GC_FGD) < LEAST_MARKED * inside.size:
        core = middle(inside.shape, options.core)
        inside[core & (inside == cv2.GC_PR_FGD)] = cv2.GC_FGD
    return trimap


def middle(shape: tuple[int, ...], core: float) -> np.ndarray:
    """Return the ellipse in the middle of a box, [h, w] bool; its axes are `core` of the sides."""
    rows, columns = ((2 * np.arange(n) + 1) / n - 1 for n in shape)
    return np.hypot(rows[:, None], columns) < core


# ---- without boxes: each class of marks is cut out of the whole picture


def cut_classes(
    image: np.ndarray, marks: np.ndarray, options: Options, has_background: bool = True
) -> list[ObjectCut]:
    """Cut each class of marks out of the whole picture, the largest cut first.

    The frame of the picture counts as a mark of the background, where there is one: without it, the
    few strokes on the background would leave most of it to the object.
    """
    objects, reach, band = [], options.reach * len(marks), options.band * len(marks)
    no_object = (0, IGNORE) if has_background else (IGNORE,)
    for label in np.setdiff1d(marks, no_object).tolist():
        to_own_mark = distance_to_false(marks != label)
        own_or_free = (marks == label) | (marks == IGNORE)
        framed = np.pad(own_or_free, 1, constant_values=not has_background)
        to_other_mark = distance_to_false(framed)[1:-1, 1:-1]
        trimaps = []
        for claim in options.claims:
            guess = to_own_mark < claim * to_other_mark
            trimap = np.where(guess, np.uint8(cv2.GC_PR_FGD), np.uint8(cv2.GC_PR_BGD))
            apply_marks(trimap, marks, label, reach)
            trimaps.append(trimap)
        cut = cut_window(image, trimaps, WHOLE, options.whole_side, band, options)
        objects.append(ObjectCut(label, WHOLE, cut))
    return sorted(objects, key=lambda one: -np.count_nonzero(one.cut.sure | one.cut.unsure))


def distance_to_false(mask: np.ndarray) -> np.ndarray:
    """Return how far each pixel is from the nearest False one, float32; far where there is none."""
    return cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)


# ---- one cut


def apply_marks(trimap: np.ndarray, marks: np.ndarray, label: int, reach: float) -> None:
    """Make a trimap sure, in place, within `reach` pixels of marks, where these agree.

    What surely is background already stays so.
    """
    own, other = marks == label, (marks != label) & (marks != IGNORE)
    near_own, near_other = dilated(own, reach), dilated(other, reach)
    free = trimap != cv2.GC_BGD
    trimap[near_other & ~near_own] = cv2.GC_BGD
    trimap[free & near_own & ~near_other] = cv2.GC_FGD


def dilated(mask: np.ndarray, radius: float) -> np.ndarray:
    """Add to a mask [h, w] bool what lies within `radius` pixels."""
    if not mask.any():
        return mask
    side = 2 * round(radius) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(mask.view(np.uint8), disc).view(bool)


def cut_window(
    image: np.ndarray,
    trimaps: Sequence[np.ndarray],
    region: Window,
    side: int,
    band: float,
    options: Options,
) -> Cut:
    """Cut an object out of a window from each of some guesses, and judge the result.

    image    [h, w, 3] uint8 RGB
    trimaps  the guesses; they differ in what is probable, not in what is sure. Where their cuts
             differ, and in a band along them, the object is unsure, but for what surely is
             background.
    region   of the window; all of it is unsure if the cut is given up
    side     see `Options.box_side`
    band     in pixels
    """
    first = trimaps[0]
    free = first != cv2.GC_BGD
    cuts = [cut_shrunk(image, trimap, side) & free for trimap in trimaps]
    agreed, claimed = np.logical_and.reduce(cuts), np.logical_or.reduce(cuts)

    # A degenerate cut is given up.
    guessed = min(np.count_nonzero(trimap == cv2.GC_PR_FGD) for trimap in trimaps)
    added = np.count_nonzero(agreed & (first != cv2.GC_FGD))
    one_colour = not np.ptp(image, axis=(0, 1)).any()  # which tells nothing
    full = claimed.mean() > options.most
    if full or one_colour or added < options.least * guessed or not agreed.any():
        unsure = np.zeros_like(free)
        unsure[region] = True
        return Cut(np.zeros_like(free), unsure, "full" if full else "empty")

    unsure = dilated(claimed, band) & dilated(free & ~agreed, band) & free
    return Cut(agreed & ~unsure, unsure, "cut")


def cut_shrunk(image: np.ndarray, trimap: np.ndarray, side: int) -> np.ndarray:
    """Run GrabCut on a smoothed image of at most the area of `side` x `side` pixels.

    image: [h, w, 3] uint8 RGB; trimap: [h, w] -> the object, [h, w] bool
    """
    height, width = trimap.shape
    scale = min(1, side / (height * width) ** 0.5)
    small = max(1, round(width * scale)), max(1, round(height * scale))
    image = cv2.bilateralFilter(cv2.resize(image, small, interpolation=cv2.INTER_AREA), *SMOOTHING)
    inside = grab_cut(image, cv2.resize(trimap, small, interpolation=cv2.INTER_NEAREST))
    grey = 255 * inside.astype(np.uint8)
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR) > 127


def grab_cut(image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
    """Return what OpenCV's GrabCut takes for the object, [h, w] bool.

    image: [h, w, 3] uint8 RGB; trimap: [h, w] uint8, OpenCV's GC_ values

    One iteration of learning colours and cutting: more take longer and find nothing better. A
    trimap without any pixel of the object, or without any of the background, leaves nothing to
    learn, and is returned as it is.
    """
    labels = trimap & 1  # both values of the object are odd
    if labels.any() and not labels.all():
        # Colours are clustered from random starts, by a generator that all of the thread shares.
        cv2.setRNGSeed(0)
        labels = trimap.copy()
        background, foreground = np.zeros((2, 1, 65))  # OpenCV's models of colours, to be filled
        no_box, iterations = (0, 0, 0, 0), 1
        cv2.grabCut(
            image, labels, no_box, background, foreground, iterations, cv2.GC_INIT_WITH_MASK
        )
    return (labels & 1).astype(bool)
