"""Areas that become other labels: coarse outlines, boxes, clicks in their middle, strokes."""

from dataclasses import replace

import numpy as np

from weakseg.labels.annotators import Options, Region, central_pixel, connected_regions
from weakseg.labels.formats.geometry import area_pixels, outlines, reach
from weakseg.labels.formats.records import AREAS, Shape
from weakseg.labels.scribbles import skeleton_stroke

MARKS = ("points", "scribbles")  # of which an area becomes one, on its largest region
PARTS = "areas of several parts, of which the largest alone has a mark: the list is not complete"
WISHES = ("full", "outlines", "boxes", "points", "scribbles")  # what an area can become


def converted(shape: Shape, wish: str | None, size: tuple[int, int]) -> list[Shape]:
    """Return a shape as the kind of label that is wished for; only areas become another.

    Each part of an area becomes a coarse outline; of the other kinds there is one of each area.

    wish: of `WISHES`; None: what they are, brushes being strokes. size: (width, height)
    """
    if shape.kind not in AREAS:
        return [shape]
    wish = wish or ("scribbles" if shape.kind == "brush" else "full")
    if wish == "full":
        return [replace(shape, kind="mask") if shape.kind == "brush" else shape]
    if wish == "outlines":
        rings = [ring for ring, *_ in outlines(shape)]
        return [replace(shape, kind="outline", geometry=ring) for ring in rings]
    if wish == "boxes":
        return [replace(shape, kind="box", geometry=[float(side) for side in reach(shape)])]
    region = largest_region(shape, size)
    if wish == "points":
        return [replace(shape, kind="click", geometry=[float(v) for v in central_pixel(region)])]
    path, width = skeleton_stroke(region, Options(scribble_length=1.0), np.random.default_rng(0))
    stroke = {"width": float(width), "path": path.tolist()}
    return [replace(shape, kind="stroke", geometry=stroke)]


def lacks_marks(shape: Shape, wish: str | None, size: tuple[int, int]) -> bool:
    """Return whether an area has a region that may be an object, and gets no mark; see `converted`.

    Masks come in as a shape a region, polygons of an object as one of all its parts.
    """
    if shape.kind not in AREAS or wish not in MARKS:
        return False
    least = Options().min_area * size[0] * size[1]  # of objects that simulated annotators mark
    regions = connected_regions(area_pixels(shape, size).astype(np.uint8), 1)
    return any(region.area >= least for region in regions[1:])


def largest_region(shape: Shape, size: tuple[int, int]) -> Region:
    """Return the largest connected region of an area."""
    return connected_regions(area_pixels(shape, size).astype(np.uint8), 1)[0]
