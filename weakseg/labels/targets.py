"""What a network learns from one label: the annotation drawn on its input grid, or a vector of
tags.
"""

import math
from dataclasses import dataclass

import numpy as np

from weakseg.common import IGNORE
from weakseg.labels import scribbles


@dataclass(frozen=True)
class View:
    """The one map from original pixels to the network's square input.

    The original, width x height, is resized to size x size; then the box (left, top, crop_width,
    crop_height) of that square, in its pixels, is enlarged to size x size again; then mirrored if
    `flip`.

    Targets are drawn before the mirror and mirrored as a whole by `finish`: a mirrored drawing is
    the drawing's mirror image to the pixel.
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
        """Map points [N, 2] from original to network pixels before the mirror (continuous), also
        outside the crop.

        Raises ValueError for numbers that are not finite.
        """
        left, top, w, h = self.crop
        square = np.asarray(xy, float).reshape(-1, 2) * (
            self.size / self.width,
            self.size / self.height,
        )
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
    """Draw [[x, y, class], ...] as single pixels -> [size, size] uint8; clicks outside the crop are
    not drawn.

    Where clicks share a pixel the first one wins: objects come before the background.
    """
    target = blank(view)
    for (x, y), (_, _, label) in zip(
        view.map([p[:2] for p in annotation])[::-1], annotation[::-1], strict=True
    ):
        if 0 <= x < view.size and 0 <= y < view.size:
            target[int(y), int(x)] = label
    return view.finish(target)


def draw_scribbles(annotation, view):
    """Draw [{"class", "width", "path"}, ...] as strokes, at least one pixel wide -> [size, size]
    uint8.

    Where strokes cross the first one wins.
    """
    target = blank(view)
    for stroke in annotation[::-1]:
        width = stroke["width"] * min(view.scale)
        scribbles.draw_stroke(target, view.map(stroke["path"]), stroke["class"], width)
    return view.finish(target)


def draw_boxes(annotation, view):
    """Draw [[x0, y0, x1, y1, class], ...] as a pseudo-mask -> [size, size] uint8: inside the class,
    outside background.

    A pixel belongs to a box when its centre does; a box too thin for that takes the pixel under its
    own centre. Where boxes overlap the smaller one wins.
    """
    target = np.zeros((view.size, view.size), np.uint8)
    for part, label in parts_of_boxes(annotation, view):
        target[part] = label
    return view.finish(target)


def parts_of_boxes(annotation, view):
    """Return [((rows, columns), class), ...]: slices of network pixels before the mirror, the
    largest box first.
    """
    parts = []
    for x0, y0, x1, y1, label in sorted(annotation, key=lambda b: (b[0] - b[2]) * (b[3] - b[1])):
        (left, top), (right, bottom) = view.map([[x0, y0], [x1, y1]])
        parts.append(((covered(top, bottom), covered(left, right)), label))
    return parts


def covered(low, high):
    """Return the slice of the pixels whose centres lie in [low, high), or else of the one under its
    middle.
    """
    first, end = math.ceil(low - 0.5), math.ceil(high - 0.5)
    if first >= end:
        first = math.floor((low + high) / 2)
        end = first + 1
    return slice(max(0, first), max(0, end))


def crop_mask(mask, view):
    """Show the resized mask [size, size] uint8 through the view, nearest neighbour -> [size, size]
    uint8.
    """
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
