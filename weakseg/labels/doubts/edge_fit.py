"""Whether outlines fit the edges in photographs that EXIF turns upright, or as these are stored.

An outline lies where a picture changes. Turned by what EXIF says, it lies somewhere else. What the
two differ by, over several pictures, tells on which of them people drew.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from weakseg.common import evenly
from weakseg.data.doubts.misplaced import student
from weakseg.data.looks import edges_of, look_of
from weakseg.labels.fitting import Fit
from weakseg.labels.formats.geometry import Ring, outlines
from weakseg.labels.formats.records import AREAS, MALFORMED, Shape
from weakseg.labels.matched import Matched

SIDE = 192  # of the copies whose edges are looked at, pixels
MARGIN = 2  # pixels at the border of a copy, where the picture ends and nothing changes
FEWEST, MOST = 8, 50  # pictures from which on it can be told, and that are looked at


def upright_evidence(doubtful: Sequence[Matched], files: Mapping[str, Path]) -> float:
    """Return Student's t of how much better outlines fit upright photographs than stored ones.

    It is below 0 where they fit as these are stored, and 0 where too few pictures tell.
    doubtful: records whose size fits both; files: {id: photograph}
    """
    differences = []
    for one in evenly(doubtful, MOST):
        look = look_of(files[one.key], side=SIDE)
        if look is None:
            continue
        given = one.record.size or one.seen.stored
        upright = rims(one.record.shapes, Fit.of(one.record, one.seen))
        stored = rims(one.record.shapes, Fit(given, one.seen.turn, one.seen.size))
        if upright.any() and stored.any():
            edges = edges_of(look)
            differences.append(edges[upright].mean() - edges[stored].mean())
    return student(differences, FEWEST)


def rims(shapes: Sequence[Shape], fit: Fit) -> np.ndarray:
    """Return the pixels [SIDE, SIDE] bool of a copy of the picture on which outlines lie."""
    import cv2

    drawn = np.zeros((SIDE, SIDE), np.uint8)
    for shape in shapes:
        with suppress(*MALFORMED):  # of shapes that can't be taken over, whoever reads them tells
            for ring in rings_of(shape, fit):
                scaled = np.array(ring) * SIDE / fit.size
                path = np.round(scaled).astype(np.int32).reshape(-1, 1, 2)
                cv2.polylines(drawn, [path], True, 1)
    inside = np.zeros_like(drawn)
    inside[MARGIN:-MARGIN, MARGIN:-MARGIN] = 1
    return (drawn & inside) > 0


def rings_of(shape: Shape, fit: Fit) -> list[Ring]:
    """Return the rings [[x, y], ...] of an area in the upright picture.

    Other shapes have none: most of a box's sides lie where nothing changes.
    """
    if shape.kind == "outline":
        return [fit.shape(shape).geometry]
    if shape.kind not in AREAS:
        return []
    return [ring for part in outlines(fit.shape(shape)) for ring in part]
