"""The table of weak signals: how each is annotated, drawn for the network, scored by a loss, and priced.

To add a signal, add a row to `SIGNALS`: the generator, the data set, the losses, the command line and the cost axis all
iterate it.
"""

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import annotators
from common import UserError
from costs import load_schedule

IGNORE = 255


@dataclass(frozen=True)
class View:
    """The one map from original pixels to the network's square input.

    The original, width x height, is resized to size x size; then the box (left, top, crop_width, crop_height) of that
    square, in its pixels, is enlarged to size x size again; then mirrored if `flip`.

    Targets are drawn before the mirror and mirrored as a whole by `finish`: a mirrored drawing is the drawing's mirror
    image to the pixel.
    """

    width: int
    height: int
    size: int
    left: int = 0
    top: int = 0
    crop_width: int | None = None
    crop_height: int | None = None
    flip: bool = False

    @property
    def crop(self):
        """(left, top, width, height) of the part that is seen, in pixels of the resized square."""
        return self.left, self.top, self.crop_width or self.size, self.crop_height or self.size

    @property
    def scale(self):
        """Network pixels per original pixel, (x, y)."""
        _, _, w, h = self.crop
        return self.size / self.width * self.size / w, self.size / self.height * self.size / h

    def map(self, xy):
        """Map points [N, 2] from original to network pixels before the mirror (continuous), also outside the crop.

        Raises ValueError for numbers that are not finite.
        """
        left, top, w, h = self.crop
        square = np.asarray(xy, float).reshape(-1, 2) * (self.size / self.width, self.size / self.height)
        if not np.isfinite(square).all():
            raise ValueError(f"coordinates {xy} are not finite")
        return (square - (left, top)) * (self.size / w, self.size / h)

    def finish(self, target):
        """Mirror a finished target [size, size] if the view does."""
        return np.ascontiguousarray(target[:, ::-1] if self.flip else target)


def blank(view):
    """Return a target [size, size] uint8 with nothing labelled."""
    return np.full((view.size, view.size), IGNORE, np.uint8)


def draw_points(annotation, view):
    """Draw [[x, y, class], ...] as single pixels -> [size, size] uint8; clicks outside the crop are not drawn.

    Where clicks share a pixel the first one wins: objects come before the background.
    """
    target = blank(view)
    for (x, y), (_, _, label) in zip(view.map([p[:2] for p in annotation])[::-1], annotation[::-1], strict=True):
        if 0 <= x < view.size and 0 <= y < view.size:
            target[int(y), int(x)] = label
    return view.finish(target)


def draw_scribbles(annotation, view):
    """Draw [{"class", "width", "path"}, ...] as strokes, at least one pixel wide -> [size, size] uint8.

    Where strokes cross the first one wins.
    """
    target = blank(view)
    for stroke in annotation[::-1]:
        width = stroke["width"] * min(view.scale)
        annotators.draw_stroke(target, view.map(stroke["path"]), stroke["class"], width)
    return view.finish(target)


def draw_boxes(annotation, view):
    """Draw [[x0, y0, x1, y1, class], ...] as a pseudo-mask -> [size, size] uint8: inside the class, outside background.

    A pixel belongs to a box when its centre does; a box too thin for that takes the pixel under its own centre.
    Where boxes overlap the smaller one wins.
    """
    target = np.zeros((view.size, view.size), np.uint8)
    for part, label in parts_of_boxes(annotation, view):
        target[part] = label
    return view.finish(target)


def parts_of_boxes(annotation, view):
    """Return [((rows, columns), class), ...]: slices of network pixels before the mirror, the largest box first."""
    parts = []
    for x0, y0, x1, y1, label in sorted(annotation, key=lambda b: (b[0] - b[2]) * (b[3] - b[1])):
        (left, top), (right, bottom) = view.map([[x0, y0], [x1, y1]])
        parts.append(((covered(top, bottom), covered(left, right)), label))
    return parts


def covered(low, high):
    """Return the slice of the pixels whose centres lie in [low, high), or else of the one under its middle."""
    first, end = math.ceil(low - 0.5), math.ceil(high - 0.5)
    if first >= end:
        first = math.floor((low + high) / 2)
        end = first + 1
    return slice(max(0, first), max(0, end))


def crop_mask(mask, view):
    """Show the resized mask [size, size] uint8 through the view, nearest neighbour -> [size, size] uint8."""
    left, top, w, h = view.crop
    seen = mask[top : top + h, left : left + w]
    if seen.shape != (view.size, view.size):
        rows = ((np.arange(view.size) + 0.5) * h / view.size).astype(int)
        columns = ((np.arange(view.size) + 0.5) * w / view.size).astype(int)
        seen = seen[np.ix_(rows, columns)]
    return view.finish(seen)


def tag_vector(annotation, tag_names):
    """Return [T] float32: 1 present, 0 absent, -1 not asked."""
    says = dict.fromkeys(annotation["absent"], 0.0) | dict.fromkeys(annotation["present"], 1.0)
    return np.array([says.get(name, -1.0) for name in tag_names], np.float32)


@dataclass(frozen=True)
class LossOptions:
    """What losses need besides outputs and target: the mask class each tag shows, how CAMs become masks, and whether
    the inside of a box is its class or unlabelled."""

    tag_class: tuple
    cam_foreground: float = 0.4
    cam_background: float = 0.2
    open_boxes: bool = False


def segmentation_loss(name):
    """Return the loss of a signal whose target is a mask, sparse or dense: cross-entropy on its labelled pixels."""

    def loss(outputs, target, image, options):
        from losses import partial_cross_entropy

        return {name: partial_cross_entropy(outputs["seg"], target)}

    return loss


def boxes_loss(outputs, target, image, options):
    """Cross-entropy on the pseudo-mask that boxes give; with open boxes only the background outside."""
    if options.open_boxes:
        target = target.masked_fill(target > 0, IGNORE)
    return segmentation_loss("boxes")(outputs, target, image, options)


def tags_loss(outputs, target, image, options):
    """Classification of the tags, and cross-entropy on the pseudo-mask that their activation maps give."""
    from losses import cam_pseudo_mask, partial_cross_entropy, tag_loss

    tag_class = target.new_tensor(options.tag_class).long()
    size = outputs["seg"].shape[-2:]
    mask = cam_pseudo_mask(outputs["cam"], target, tag_class, size, options.cam_foreground, options.cam_background)
    return {"tags": tag_loss(outputs["tags"], target), "cam": partial_cross_entropy(outputs["seg"], mask)}


def point_actions(annotation):
    """Count clicks: the first on each class, the background being one, and the further ones."""
    classes = {p[2] for p in annotation}
    return {"first_point": len(classes), "further_point": len(annotation) - len(classes)}


@dataclass(frozen=True)
class Signal:
    """One kind of label.

    extract(scene, rng) -> annotation       plain Python, original pixels
    target(annotation, view, tag_names)     array for the network; `full` takes the resized mask as its annotation
    loss(outputs, target, image, options)   {term: losses.Mean}
    actions(annotation) -> {action: number} what the annotator did, priced by the schedules of costs.yaml
    shown(annotation) -> number             of classes that it says are there, the background not counted
    """

    name: str
    extract: Callable
    target: Callable
    loss: Callable
    actions: Callable
    shown: Callable

    def seconds(self, annotation):
        """Return what a person needs for one label by the default schedule, seconds."""
        return load_schedule().price(self.name, self.actions(annotation))


SIGNALS = {
    "full": Signal(
        name="full",
        extract=lambda scene, rng: {
            "objects": len(scene.objects),
            "classes": len({region.label for region in scene.objects}),
        },
        target=lambda annotation, view, tag_names: crop_mask(annotation, view),
        loss=segmentation_loss("full"),
        actions=lambda annotation: {"object": annotation["objects"]},
        shown=lambda annotation: annotation.get("classes", min(annotation["objects"], 1)),
    ),
    "tags": Signal(
        name="tags",
        extract=annotators.annotate_tags,
        target=lambda annotation, view, tag_names: tag_vector(annotation, tag_names),
        loss=tags_loss,
        actions=lambda annotation: {answer: len(names) for answer, names in annotation.items()},
        shown=lambda annotation: len(annotation["present"]),
    ),
    "points": Signal(
        name="points",
        extract=annotators.annotate_points,
        target=lambda annotation, view, tag_names: draw_points(annotation, view),
        loss=segmentation_loss("points"),
        actions=point_actions,
        shown=lambda annotation: len({p[2] for p in annotation} - {0}),
    ),
    "scribbles": Signal(
        name="scribbles",
        extract=annotators.annotate_scribbles,
        target=lambda annotation, view, tag_names: draw_scribbles(annotation, view),
        loss=segmentation_loss("scribbles"),
        actions=lambda annotation: {"stroke": len(annotation)},
        shown=lambda annotation: len({stroke["class"] for stroke in annotation} - {0}),
    ),
    "boxes": Signal(
        name="boxes",
        extract=annotators.annotate_boxes,
        target=lambda annotation, view, tag_names: draw_boxes(annotation, view),
        loss=boxes_loss,
        actions=lambda annotation: {"box": len(annotation)},
        shown=lambda annotation: len({box[4] for box in annotation}),
    ),
}


def count_actions(annotations, signals, classes):
    """Count what an annotator did in one image -> {signal: {action: number}}.

    classes: number of classes the annotator looks for, the background not counted. One that isn't there is looked for
    once: tags, which ask for it, take the count, and other signals only what is left.
    """
    counts, ruled_out = {}, 0
    for signal in sorted(signals, key=lambda name: name != "tags"):
        done = SIGNALS[signal].actions(annotations[signal])
        absent = done.get("absent", max(0, classes - SIGNALS[signal].shown(annotations[signal])))
        counts[signal] = {"image": 1, **done, "absent": max(0, absent - ruled_out)}
        ruled_out = max(ruled_out, absent)
    return counts


TERMS = (*SIGNALS, "cam")  # every loss term there is; `cam` comes with `tags`


def parse_modes(words):
    """Turn mode words (["points", "boxes"], ["hybrid_tags_points"]) into signal names in table order, each once."""
    chosen = set()
    for word in words:
        names = word.removeprefix("hybrid_").split("_") if word.startswith("hybrid_") else [word]
        for name in names:
            if name not in SIGNALS:
                near = difflib.get_close_matches(name, SIGNALS, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise UserError(
                    f"unknown supervision '{name}': {hint}choose from {', '.join(SIGNALS)}, "
                    "several after --supervision_modes, or hybrid_A_B"
                )
            chosen.add(name)
    return tuple(name for name in SIGNALS if name in chosen)
