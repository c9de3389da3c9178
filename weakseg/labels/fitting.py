"""Shapes brought to the picture as it is seen: upright, in its own pixels, within its edges.

A label file may have been made of the picture before its EXIF turn, or of a smaller copy.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.data.image_io import image_size, opened, orientation, upright_size
from weakseg.data.tiff import is_tiff
from weakseg.labels.checks import EDGE
from weakseg.labels.formats.geometry import box_of, clipped, corners, polygon, reach, without_area
from weakseg.labels.formats.records import (
    AREAS,
    OF_MODEL,
    SHARES,
    Nothing,
    PictureRecord,
    Shape,
    Unreadable,
    rounded,
)
from weakseg.labels.formats.runs import mask_geometry, mask_pixels

ASPECT = 0.02  # how far the sides of a copy may differ from the picture's, as a share
# EXIF orientation -> where a place (x, y) of a stored picture of (w, h) lies in the upright one.
TURNS: dict[int, Callable[[float, float, float, float], list[float]]] = {
    1: lambda x, y, w, h: [x, y],
    2: lambda x, y, w, h: [w - x, y],
    3: lambda x, y, w, h: [w - x, h - y],
    4: lambda x, y, w, h: [x, h - y],
    5: lambda x, y, w, h: [y, x],
    6: lambda x, y, w, h: [h - y, x],
    7: lambda x, y, w, h: [h - y, w - x],
    8: lambda x, y, w, h: [y, w - x],
}


@dataclass(frozen=True)
class Seen:
    """The size of a picture as it is seen, and how it is stored.

    turn  EXIF orientation that makes it upright, 1 for none
    """

    size: tuple[int, int]
    stored: tuple[int, int]
    turn: int = 1

    @classmethod
    def of(cls, path: Path) -> "Seen":
        """Read it from a file's header."""
        if is_tiff(path):
            size = image_size(path)
            return cls(size, size)
        with opened(path) as image:
            return cls(upright_size(image), image.size, orientation(image))


@dataclass(frozen=True)
class Fit:
    """The map from a label file's coordinates to those of the upright picture.

    given  (width, height) of the first; turn: applied to them before they are scaled to `size`
    is_stated  whether the file says its size, so that nothing was drawn on a copy of another one
    """

    given: tuple[float, float]
    turn: int
    size: tuple[int, int]
    is_stated: bool = True

    @classmethod
    def of(cls, record: PictureRecord, seen: Seen, is_swapped: bool = False) -> "Fit":
        """Return the map of a record; one of a picture of another shape is `Unreadable`.

        A size that says nothing is taken for the picture's own, and one that is the wrong way round
        where `is_swapped` says that only the file has it so: else the picture was turned since.
        """
        given = record.size
        if given is None:
            return cls(seen.size, 1, seen.size, is_stated=False)
        if given == SHARES:
            return cls(SHARES, 1, seen.size)
        turned = seen.turn > 4
        for fits in (same, similar):
            if fits(given, seen.size):
                return cls(given, 1, seen.size)
            if turned and fits(given, seen.stored):
                return cls(given, seen.turn, seen.size)
        reversed_ = same(given, seen.size[::-1])
        of_pixels = any(s.kind in AREAS and s.kind != "polygon" for s in record.shapes)
        if reversed_ and is_swapped and not of_pixels:
            return cls(seen.size, 1, seen.size)
        since = ", as if it was turned since" if reversed_ else ""
        raise Unreadable(
            f"labelled at {given[0]:g}x{given[1]:g}, but the upright picture has "
            f"{seen.size[0]}x{seen.size[1]} pixels{since}"
        )

    @property
    def is_same(self) -> bool:
        """Whether nothing changes."""
        return self.given == self.size and self.turn == 1

    def place(self, x: float, y: float) -> list[float]:
        """Return where a place lies in the upright picture."""
        width, height = self.given
        x, y = TURNS[self.turn](x, y, width, height)
        across, down = (height, width) if self.turn > 4 else (width, height)
        return [x * self.size[0] / across, y * self.size[1] / down]

    def shape(self, shape: Shape) -> Shape:
        """Return a shape in the upright picture, cut at its edges.

        One that lies outside, or has no area, is `Unreadable`.
        """
        if shape.kind == "tag":
            return shape
        return replace(shape, geometry=getattr(self, f"_{shape.kind}")(shape.geometry))

    def whole(self, shape: Shape) -> Shape:
        """Return a shape in the upright picture, of which a polygon is not cut at the edges."""
        if shape.kind != "polygon":
            return self.shape(shape)
        parts = [[[self.place(x, y) for x, y in ring] for ring in part] for part in shape.geometry]
        return replace(shape, geometry=parts)

    def is_far(self, shape: Shape, is_crossed: bool = False) -> bool:
        """Return whether a shape reaches further beyond the edges than a rounding may.

        is_crossed: whether y is taken for x, and x for y
        """
        return self.beyond(shape, is_crossed) > ASPECT * max(self.size)

    def beyond(self, shape: Shape, is_crossed: bool = False) -> float:
        """Return how far a shape reaches beyond the edges of the upright picture, in pixels."""
        marks = [place[::-1] for place in ends_of(shape)] if is_crossed else ends_of(shape)
        if not marks:
            return 0.0
        left, top, right, bottom = box_of([self.place(x, y) for x, y in marks])
        return max(0.0, -left, -top, right - self.size[0], bottom - self.size[1])

    def _click(self, geometry: Any) -> list[float]:
        x, y = self.place(*geometry)
        if not all(-EDGE <= v <= side + EDGE for v, side in zip((x, y), self.size, strict=True)):
            raise Nothing("outside of the picture")
        return self._inside(x, y)

    def _answer(self, geometry: Any) -> dict[str, Any]:
        x, y = self._click([geometry["x"], geometry["y"]])
        return {**geometry, "x": x, "y": y}

    def _inside(self, x: float, y: float) -> list[float]:
        width, height = self.size
        return [min(max(x, 0.0), width - 0.01), min(max(y, 0.0), height - 0.01)]

    def _stroke(self, geometry: Any) -> dict[str, Any]:
        path = [self.place(x, y) for x, y in geometry["path"]]
        width, height = self.size
        kept = [
            self._inside(x, y)
            for x, y in path
            if -EDGE <= x <= width + EDGE and -EDGE <= y <= height + EDGE
        ]
        if not kept:
            raise Nothing("outside of the picture")
        scale = min(a / b for a, b in zip(self.size, self._upright_given(), strict=True))
        pen = geometry["width"] if self.given == SHARES else geometry["width"] * scale
        return {"width": min(pen, min(self.size)), "path": kept}

    def _upright_given(self) -> tuple[float, float]:
        return self.given[::-1] if self.turn > 4 else self.given

    def _box(self, geometry: Any) -> list[float]:
        left, top, right, bottom = box_of([self.place(x, y) for x, y in corners(geometry)])
        width, height = self.size
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            raise Nothing("outside of the picture")
        box = [max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)]
        if min(box[2] - box[0], box[3] - box[1]) < EDGE:
            if min(right - left, bottom - top) < EDGE:
                raise without_area("a box", [[left, top], [right, bottom]])
            raise Nothing("a box without an area")  # but beyond the edge
        return box

    def _polygon(self, geometry: Any) -> list[list[list[list[float]]]]:
        parts = [[[self.place(x, y) for x, y in ring] for ring in part] for part in geometry]
        cut = [[clipped(ring, self.size) for ring in part] for part in parts]
        cut = [[part[0], *(ring for ring in part[1:] if len(ring) > 2)] for part in cut]
        if not any(len(part[0]) > 2 for part in cut):
            raise Nothing("outside of the picture")
        try:
            return polygon(rounded(cut))  # as the store keeps it: what has no area then is none
        except Unreadable as error:
            polygon(rounded(parts))  # which tells what has none as a whole
            raise Nothing(str(error)) from error

    def _outline(self, geometry: Any) -> list[list[float]]:
        return self._polygon([[geometry]])[0][0]

    def _mask(self, geometry: Any) -> dict[str, Any]:
        of_model = {key: geometry[key] for key in OF_MODEL if key in geometry}
        return self._runs(geometry) | of_model

    _brush = _accepted = _mask

    def _runs(self, geometry: Any) -> dict[str, Any]:
        pixels, left, top = mask_pixels(geometry)
        if self.is_same:
            width, height = self.size
            pixels = pixels[max(0, -top) : max(0, height - top), max(0, -left) :]
            pixels = pixels[:, : max(0, width - max(0, left))]
            if not pixels.any():
                raise Nothing("outside of the picture")
            return mask_geometry(pixels, max(0, left), max(0, top))
        width, height = (int(side) for side in self._upright_given())
        columns, rows = np.meshgrid(
            (np.arange(self.size[0]) + 0.5) * width / self.size[0],
            (np.arange(self.size[1]) + 0.5) * height / self.size[1],
        )
        back = {6: 8, 8: 6}.get(self.turn, self.turn)
        x, y = TURNS[back](columns, rows, width, height)  # type: ignore[arg-type]
        x, y = np.floor(x).astype(int) - left, np.floor(y).astype(int) - top
        is_in = (x >= 0) & (y >= 0) & (x < pixels.shape[1]) & (y < pixels.shape[0])
        whole = np.zeros(self.size[::-1], bool)
        whole[is_in] = pixels[y[is_in], x[is_in]]
        if not whole.any():
            raise Nothing("outside of the picture")
        return mask_geometry(whole)


def places_of(shape: Shape) -> list[list[float]]:
    """Return the places [x, y] that a person set who drew a shape; none of pixels and tags."""
    geometry = shape.geometry
    if shape.kind == "click":
        return [geometry]
    if shape.kind == "box":
        return [geometry[:2], geometry[2:]]
    if shape.kind == "stroke":
        return list(geometry["path"])
    if shape.kind == "outline":
        return list(geometry)
    if shape.kind == "polygon":
        return [place for part in geometry for ring in part for place in ring]
    return []


def ends_of(shape: Shape) -> list[list[float]]:
    """Return places [x, y] that a shape reaches, the outermost among them; none of tags."""
    if shape.kind in AREAS and shape.kind != "polygon":
        left, top, right, bottom = reach(shape)
        return [[left, top], [right, bottom]]
    if shape.kind == "answer":
        return [[shape.geometry["x"], shape.geometry["y"]]]
    return places_of(shape)


def are_swapped(pairs: Iterable[tuple[PictureRecord, Seen]]) -> bool:
    """Return whether a file has the sides of pictures the wrong way round, by where its shapes lie.

    They must reach beyond the size that it says, and never beyond the pictures. Else these may have
    been turned since they were labelled.
    """
    is_proven = False
    for record, seen in pairs:
        size = record.size
        if size is None or same(size, seen.size) or not same(size, seen.size[::-1]):
            continue
        ends = [place for shape in record.shapes for place in ends_of(shape)]
        if any(x > seen.size[0] + EDGE or y > seen.size[1] + EDGE for x, y in ends):
            return False
        is_proven = is_proven or any(x > size[0] + EDGE or y > size[1] + EDGE for x, y in ends)
    return is_proven


def same(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether two sizes are equal."""
    return tuple(one) == tuple(other)


def similar(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether two sizes have the same aspect, so that one may be a copy of the other."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= ASPECT
