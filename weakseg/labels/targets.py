"""What a network learns from one label: a drawing on its input grid, or a vector of tags."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from weakseg.common import IGNORE
from weakseg.labels.answers import Answer, last_answers
from weakseg.labels.scribbles import draw_stroke


@dataclass(frozen=True)
class View:
    """The one map from original pixels to the network's square input.

    The original, width x height, is resized to size x size; then the box (left, top, crop_width,
    crop_height) of that square, in its pixels, is enlarged to size x size again; then mirrored if
    `flip`. Without a crop the whole square is seen.

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
    def crop(self) -> tuple[int, int, int, int]:
        """(left, top, width, height) of the part that is seen, in pixels of the resized square."""
        return self.left, self.top, self.crop_width or self.size, self.crop_height or self.size

    @property
    def scale(self) -> tuple[float, float]:
        """Network pixels per original pixel, (x, y)."""
        _, _, w, h = self.crop
        return self.size / self.width * self.size / w, self.size / self.height * self.size / h

    def map(self, xy: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
        """Map points [N, 2] from original to network pixels, before the mirror and not rounded.

        Points outside the crop are mapped too. Raises ValueError for numbers that are not finite.
        """
        left, top, w, h = self.crop
        to_square = (self.size / self.width, self.size / self.height)
        square = np.asarray(xy, float).reshape(-1, 2) * to_square
        if not np.isfinite(square).all():
            raise ValueError(f"coordinates {xy} are not finite")
        return (square - (left, top)) * (self.size / w, self.size / h)

    def finish(self, target: np.ndarray) -> np.ndarray:
        """Mirror a finished target [size, size] if the view does."""
        return np.ascontiguousarray(target[:, ::-1] if self.flip else target)


def blank(view: View) -> np.ndarray:
    """Return a target [size, size] uint8 with nothing labelled."""
    return np.full((view.size, view.size), IGNORE, np.uint8)


def draw_points(annotation: Sequence[Sequence[float]], view: View) -> np.ndarray:
    """Draw clicks [[x, y, class], ...] as single pixels -> [size, size] uint8.

    Clicks outside the crop are not drawn. Where clicks share a pixel the first one wins: objects
    come before the background.
    """
    target = blank(view)
    places = view.map([point[:2] for point in annotation])
    for (x, y), (*_, label) in zip(places[::-1], annotation[::-1], strict=True):
        if 0 <= x < view.size and 0 <= y < view.size:
            target[int(y), int(x)] = label
    return view.finish(target)


def draw_pixels(annotation: Sequence[Answer], view: View) -> np.ndarray:
    """Draw answers as single pixels -> [size, size] uint8; where a person can't tell, nothing is.

    The last answer to a pixel holds, and so does the last of those that share a network pixel.
    """
    told = [one for one in last_answers(annotation) if one["class"] != IGNORE]
    return draw_points([[one["x"], one["y"], one["class"]] for one in told[::-1]], view)


def draw_scribbles(annotation: Sequence[Mapping[str, Any]], view: View) -> np.ndarray:
    """Draw [{"class", "width", "path"}, ...] as strokes -> [size, size] uint8.

    A stroke is at least one pixel wide. Where strokes cross the first one wins.
    """
    target = blank(view)
    for stroke in annotation[::-1]:
        width = stroke["width"] * min(view.scale)
        draw_stroke(target, view.map(stroke["path"]), stroke["class"], width)
    return view.finish(target)


def draw_boxes(annotation: Sequence[Sequence[float]], view: View, outside: int = 0) -> np.ndarray:
    """Draw boxes [[x0, y0, x1, y1, class], ...] as a pseudo-mask -> [size, size] uint8.

    Inside of a box is its class, outside of all of them `outside`, by default the background. A
    pixel belongs to a box when its centre does; a box too thin for that takes the pixel under its
    own centre. Where boxes overlap the smaller one wins.
    """
    target = np.full((view.size, view.size), outside, np.uint8)
    for part, label in parts_of_boxes(annotation, view):
        target[part] = label
    return view.finish(target)


def parts_of_boxes(
    annotation: Sequence[Sequence[float]], view: View
) -> list[tuple[tuple[slice, slice], int]]:
    """Return [((rows, columns), class), ...], slices of network pixels, the largest box first.

    They are those before the mirror. Any two opposite corners make a box.
    """
    parts = []
    for x0, y0, x1, y1, label in sorted(
        annotation, key=lambda b: -abs((b[2] - b[0]) * (b[3] - b[1]))
    ):
        (left, top), (right, bottom) = np.sort(view.map([[x0, y0], [x1, y1]]), axis=0)
        parts.append(((covered(top, bottom), covered(left, right)), int(label)))
    return parts


def covered(low: float, high: float) -> slice:
    """Return the slice of the pixels whose centres lie in [low, high), or the one in its middle."""
    first, end = math.ceil(low - 0.5), math.ceil(high - 0.5)
    if first >= end:
        first = math.floor((low + high) / 2)
        end = first + 1
    return slice(max(0, first), max(0, end))


def crop_mask(mask: np.ndarray, view: View) -> np.ndarray:
    """Return what the view shows of the resized mask [size, size] uint8, in the same shape.

    It is enlarged by nearest neighbours.
    """
    left, top, w, h = view.crop
    seen = mask[top : top + h, left : left + w]
    if seen.shape != (view.size, view.size):
        rows = ((np.arange(view.size) + 0.5) * h / view.size).astype(int)
        columns = ((np.arange(view.size) + 0.5) * w / view.size).astype(int)
        seen = seen[np.ix_(rows, columns)]
    return view.finish(seen)


def tag_vector(annotation: Mapping[str, Sequence[str]], tag_names: Sequence[str]) -> np.ndarray:
    """Return [T] float32 of the answers to each tag: 1 present, 0 absent, -1 not asked."""
    answers = dict.fromkeys(annotation["absent"], 0.0) | dict.fromkeys(annotation["present"], 1.0)
    return np.array([answers.get(name, -1.0) for name in tag_names], np.float32)
