"""Pseudo-masks from boxes, points and scribbles, alone or together, by GrabCut; made once, then
read from PNG files.

Rother, Kolmogorov & Blake, "GrabCut: interactive foreground extraction using iterated graph cuts",
SIGGRAPH 2004, in OpenCV's implementation. It learns the colours of what is probably object and of
what is probably background, and cuts between the two along edges of the picture. All here happens
at the network's own square resolution; lengths are shares of its side, so that another size gives
nearly the same masks. benchmarks/grabcut.py measures the defaults.
"""

import json
from collections import Counter, namedtuple
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from weakseg.common import IGNORE, UserError, atomic_path, stable_seed
from weakseg.data.cache import source_key
from weakseg.data.image_io import opened
from weakseg.labels.signals import SIGNALS
from weakseg.labels.targets import View, blank, parts_of_boxes

VERSION = 1  # raise it when the same image, annotations and options give another mask than before
MARKS = ("points", "scribbles")
USED = (*MARKS, "boxes")
CHUNK = 16  # images a task: fewer than two tasks stay in this process
WHOLE = slice(None), slice(None)
FEW = 0.05  # of a box: where the marks make fewer of its pixels sure, its middle is taken for the object
SMOOTHING = (
    5,
    30,
    3,
)  # bilateral, at the resolution of the cut: pixels across; sigmas of colour (of 255) and of pixels


@dataclass(frozen=True)
class Options:
    """How masks are cut; recorded in the cache's key. Lengths are in sides of the picture, unless
    it says otherwise.
    """

    margin: float = 0.4  # surroundings of a box that are looked at, in sides of the box
    core: float = (
        0.4  # the ellipse in the middle of a box that surely is object, in half sides; see FEW
    )
    # Without boxes, what is nearer to the marks of a class than so many times the distance to any
    # other mark is guessed to be of it; only where the cuts from all guesses agree is the mask
    # sure.
    claims: tuple = (0.5, 1.0)
    reach: float = 0.025  # what lies as near as this to a click or a stroke surely is of its class
    band: float = 0.008  # uncertain pixels on each side of a cut
    least: float = 0.05  # a cut that adds less than this share of the guess to what was sure is given up: "empty"
    most: float = 0.95  # and one that perhaps fills more than this of all that is looked at: "full"
    box_side: int = 256  # pixels: a box with its surroundings is shrunk to the area of this square, if it has more
    whole_side: int = 128  # pixels: the same of a whole picture, where there are no boxes


# One cut in its window (slices of rows and columns): object and perhaps object, [h, w] bool; "cut",
# or why it failed.
Piece = namedtuple("Piece", "label window found unsure verdict")
# One image to cut, and where its mask goes.
Task = namedtuple("Task", "photograph view annotations path")


def pseudo_mask(image, annotations, view, options=Options()):
    """Cut a mask out of an image along its annotations -> (mask [S, S] uint8, outcome).

    image: [S, S, 3] uint8 RGB, the picture resized to the network's square annotations: {"boxes",
    "points", "scribbles": annotation as in `supervision`}, one or more; others are not used view:
    the plain `View(width, height, S)`, neither cropped nor mirrored mask: 0 background, class
    numbers, 255 uncertain. Clicks and strokes keep their classes. With boxes, each is cut
        apart, the smaller one wins where they overlap, and outside of them is background. Without,
        each class is cut out of the whole picture, and the smaller cut wins.
    outcome: Counter of what became of the objects (boxes; without them, classes of marks): "cut",
    or "empty" or "full"
        (see `Options`) where the result is degenerate. Of such an object the mask holds what its
        annotation alone says: marks keep their classes, outside of its box is background, and
        inside is uncertain, but for what a larger object of its class covers; without boxes, all
        but the marks is uncertain.

    The result depends on nothing but the arguments. Raises ValueError where the image doesn't have
    the view's size.
    """
    if image.shape != (view.size, view.size, 3):
        raise ValueError(f"the image is {image.shape}, but the view {view.size} pixels a side")
    marks, boxes = draw_marks(annotations, view), annotations.get("boxes")
    pieces = (
        cut_classes(image, marks, options)
        if boxes is None
        else cut_boxes(image, boxes, marks, view, options)
    )
    target = np.full_like(marks, IGNORE if boxes is None and not pieces else 0)
    for piece in pieces:
        part = target[piece.window]
        part[piece.unsure & (part != piece.label)] = IGNORE
        part[piece.found] = piece.label
    return np.where(marks == IGNORE, target, marks), Counter(piece.verdict for piece in pieces)


def draw_marks(annotations, view):
    """Draw the clicks and, under them, the strokes -> [S, S] uint8, 255 where there are none."""
    marks = blank(view)
    for signal in MARKS:
        if signal in annotations:
            marks = np.where(
                marks == IGNORE, SIGNALS[signal].target(annotations[signal], view, ()), marks
            )
    return marks


def cut_boxes(image, boxes, marks, view, options):
    """Cut the object of each box out of the box and its surroundings -> [Piece], the largest box
    first.
    """
    pieces, band = [], options.band * view.size
    for part, label in parts_of_boxes(boxes, view):
        sides = [within(side, view.size, options.margin) for side in part]
        window, inside = zip(*sides, strict=True)
        trimap = box_trimap(marks[window], inside, label, options, view.size)
        pieces.append(
            Piece(
                label,
                window,
                *cut(image[window], [trimap], inside, options.box_side, band, options),
            )
        )
    return pieces


def within(inside, size, margin):
    """Widen a slice of pixels by `margin` of its length, within [0, size) -> (slice, the place of
    the first in it).
    """
    start, stop = min(inside.start, size), min(inside.stop, size)
    around = max(4, round(margin * (stop - start)))
    first = max(0, start - around)
    return slice(first, min(size, stop + around)), slice(start - first, stop - first)


def box_trimap(marks, inside, label, options, size):
    """Say what a box and the marks [h, w] in its window tell of its object -> [h, w] uint8,
    OpenCV's GC_ values.
    """
    trimap = np.full(marks.shape, cv2.GC_BGD, np.uint8)
    box = trimap[inside]
    box[:] = cv2.GC_PR_FGD
    heed(marks, label, trimap, options.reach * size)
    if np.count_nonzero(box == cv2.GC_FGD) < FEW * box.size:
        box[middle(box.shape, options.core) & (box == cv2.GC_PR_FGD)] = cv2.GC_FGD
    return trimap


def middle(shape, core):
    """Return the ellipse in the middle of a box, [h, w] bool, whose axes are `core` of the box's
    sides.
    """
    rows, columns = ((2 * np.arange(n) + 1) / n - 1 for n in shape)
    return np.hypot(rows[:, None], columns) < core


def cut_classes(image, marks, options):
    """Cut each class of marks out of the whole picture -> [Piece], the largest one first.

    The frame of the picture counts as a mark of the background: without it, the few strokes on the
    background would leave most of it to the object.
    """
    pieces, reach, band = [], options.reach * len(marks), options.band * len(marks)
    for label in np.setdiff1d(marks, (0, IGNORE)).tolist():
        near = distance(marks != label)
        far = distance(np.pad((marks == label) | (marks == IGNORE), 1))[1:-1, 1:-1]
        guesses = [
            np.where(near < claim * far, np.uint8(cv2.GC_PR_FGD), cv2.GC_PR_BGD)
            for claim in options.claims
        ]
        trimaps = [heed(marks, label, guess, reach) for guess in guesses]
        pieces.append(
            Piece(label, WHOLE, *cut(image, trimaps, WHOLE, options.whole_side, band, options))
        )
    return sorted(pieces, key=lambda piece: -np.count_nonzero(piece.found | piece.unsure))


def distance(mask):
    """Return each pixel's distance from the nearest False one, float32; far where there is none."""
    return cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)


def heed(marks, label, trimap, reach):
    """Make a trimap sure within `reach` pixels of marks where they agree, in place -> it; sure
    background stays.
    """
    own, other = marks == label, (marks != label) & (marks != IGNORE)
    around_own, around_other = widen(own, reach), widen(other, reach)
    free = trimap != cv2.GC_BGD
    trimap[around_other & ~around_own] = cv2.GC_BGD
    trimap[free & around_own & ~around_other] = cv2.GC_FGD
    return trimap


def widen(mask, radius):
    """Add to a mask [h, w] bool what lies within `radius` pixels."""
    radius = round(radius)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(mask.view(np.uint8), disc).view(bool) if mask.any() else mask


def cut(image, trimaps, region, side, band, options):
    """Cut a window from each of some guesses, and judge -> (found [h, w] bool, unsure [h, w] bool,
    verdict).

    trimaps: the guesses; they differ in what is probable, not in what is sure. Where the cuts
    differ, and in a band of
        so many pixels along them, the object is unsure, unless the trimap is sure of the background
    region: slices of the window; all of it is unsure if the cut is given up. side: see
    `Options.box_side`
    """
    free = trimaps[0] != cv2.GC_BGD
    cuts = [cut_small(image, trimap, side) & free for trimap in trimaps]
    found, perhaps = np.logical_and.reduce(cuts), np.logical_or.reduce(cuts)
    guessed = min(np.count_nonzero(trimap == cv2.GC_PR_FGD) for trimap in trimaps)
    added = np.count_nonzero(found & (trimaps[0] != cv2.GC_FGD))
    full, flat = (
        perhaps.mean() > options.most,
        not np.ptp(image, axis=(0, 1)).any(),
    )  # one colour tells nothing
    if full or flat or added < options.least * guessed or not found.any():
        unsure = np.zeros_like(free)
        unsure[region] = True
        return np.zeros_like(free), unsure, "full" if full else "empty"
    unsure = widen(perhaps, band) & widen(free & ~found, band) & free
    return found & ~unsure, unsure, "cut"


def cut_small(image, trimap, side):
    """Run GrabCut on a smoothed image of at most `side` x `side` pixels -> [h, w] bool at the size
    it came in.
    """
    height, width = trimap.shape
    scale = min(1, side / (height * width) ** 0.5)
    small = max(1, round(width * scale)), max(1, round(height * scale))
    image = cv2.bilateralFilter(cv2.resize(image, small, interpolation=cv2.INTER_AREA), *SMOOTHING)
    found = grab_cut(image, cv2.resize(trimap, small, interpolation=cv2.INTER_NEAREST))
    return (
        cv2.resize(255 * found.astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
        > 127
    )


def grab_cut(image, trimap):
    """Return what OpenCV's GrabCut finds to be the object, [h, w] bool.

    One iteration of learning colours and cutting: more take longer and find nothing better. A
    trimap without any pixel of the object, or without any of the background, leaves nothing to
    learn, and is returned as it is.
    """
    found, (background, foreground) = trimap & 1, np.zeros((2, 1, 65))
    if found.any() and not found.all():
        cv2.setRNGSeed(
            0
        )  # colours are clustered from random starts, with a generator that all of the thread shares
        found = trimap.copy()
        cv2.grabCut(image, found, None, background, foreground, 1, cv2.GC_INIT_WITH_MASK)
    return (found & 1).astype(bool)


class PseudoMasks(Mapping):
    """Masks [S, S] uint8 by image id, read from their files when asked for; may be handed to other
    processes.
    """

    def __init__(self, paths, size):
        self.paths, self.size = paths, size

    def __getitem__(self, name):
        stored = read_stored(self.paths[name], self.size)
        if stored is None:
            raise UserError(
                f"{self.paths[name]}: can't be read any more; start again, and it is made anew"
            )
        return stored[0]

    def __iter__(self):
        return iter(self.paths)

    def __len__(self):
        return len(self.paths)


def pseudo_masks(dataset, ids, labels, signals, cache, folder, jobs, options=Options()):
    """Cut the masks of many images in parallel, but for those that are there already ->
    (PseudoMasks, outcomes).

    dataset, ids: whose photographs labels: {id: {"size": [w, h], signal: annotation, ...}}, as of
    `weak_labels.labels_for`; signals: those to cut
        along, of which others than boxes, points and scribbles are left out
    cache: an `image_io.ResizedCache`; its size is that of the masks folder: where the PNG files go.
    Their names change with all that the masks depend on: any number of runs may share
        the folder, at the same time too, and one that was stopped is taken up by the next
    jobs: processes, -1 = one a core; no mask depends on it
    outcomes: the Counters of `pseudo_mask`, added up over all images, whether cut now or before

    Raises UserError where no signal can be used, and for a photograph that can't be read.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    used = [signal for signal in USED if signal in signals]
    if not used:
        raise UserError(
            f"no pseudo-masks from {', '.join(signals) or 'nothing'}: choose among {', '.join(USED)}"
        )
    tasks = [
        make_task(dataset, name, labels[name], used, cache.size, Path(folder), options)
        for name in ids
    ]
    outcomes = {
        task.path: stored[1] for task in tasks if (stored := read_stored(task.path, cache.size))
    }
    missing = [task for task in tasks if task.path not in outcomes]
    chunks = [missing[i : i + CHUNK] for i in range(0, len(missing), CHUNK)]
    work = (delayed(cut_many)(chunk, cache, options) for chunk in chunks)
    with tqdm(total=len(missing), desc="GrabCut", unit="img", disable=not missing) as bar:
        for done in Parallel(n_jobs=jobs if len(chunks) > 1 else 1, return_as="generator")(work):
            outcomes.update(done)
            bar.update(len(done))
    paths = dict(zip(ids, [task.path for task in tasks], strict=True))
    return PseudoMasks(paths, cache.size), sum(outcomes.values(), Counter())


def make_task(dataset, name, labels, used, size, folder, options):
    """Return the task of one image; the path of its mask holds a hash of all that the mask depends
    on.
    """
    annotations = {signal: labels[signal] for signal in used}
    photograph, view = dataset.image_path(name), View(*labels["size"], size)
    content = json.dumps(annotations, sort_keys=True)
    key = stable_seed(VERSION, cv2.__version__, options, view, source_key(photograph), content)
    return Task(
        photograph,
        view,
        annotations,
        folder / f"{'_'.join(used)}_{size}" / f"{name}.{key:016x}.png",
    )


def cut_many(tasks, cache, options):
    """Cut and store the masks of a chunk of images in one process -> {path: outcome}."""
    cv2.setNumThreads(1)  # the processes share the cores already
    outcomes = {}
    for task in tasks:
        image = cache.image(task.photograph).transpose(1, 2, 0)
        mask, outcomes[task.path] = pseudo_mask(image, task.annotations, task.view, options)
        store(task.path, mask, outcomes[task.path])
    return outcomes


def store(path, mask, outcome):
    """Write a mask as a grey PNG, atomically, with its outcome as text in the same file."""
    text = PngInfo()
    text.add_text("outcome", json.dumps(outcome))
    with atomic_path(path) as temporary:
        Image.fromarray(mask).save(temporary, pnginfo=text)


def read_stored(path, size):
    """Return (mask, outcome) of a file; None where it isn't there, is damaged, or holds anything
    else.
    """
    try:
        with opened(path) as picture:
            mask, outcome = np.array(picture), Counter(json.loads(picture.info["outcome"]))
    except (UserError, KeyError, TypeError):
        return None
    return (mask, outcome) if mask.shape == (size, size) and mask.dtype == np.uint8 else None
