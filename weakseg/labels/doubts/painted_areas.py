"""What is wrong of the masks that areas of an import make: inverted, pieces of all, elsewhere."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from weakseg.common import evenly
from weakseg.data.doubts.inverted import FEWEST, InvertedTally
from weakseg.data.doubts.mask_tally import MOST
from weakseg.data.doubts.misplaced import SIDE, FitTally, beside
from weakseg.data.looks import look_of
from weakseg.labels.doubts.rectangles import fills
from weakseg.labels.formats.painting import painted
from weakseg.labels.formats.records import AREAS, Shape
from weakseg.labels.store import Given

WHOLE = 0.99  # share of a picture that areas cover where nothing is left
CORNERS = 200  # of an outline that are painted, at most
OTHER_WAY = "turn them in the tool that made them, and import again"


def area_lines(sources: Mapping[str, Mapping[str, Given]], files: Mapping[str, Path]) -> list[str]:
    """Return lines where most of some pictures have their background within an object, or none.

    And where outlines fit the edges in photographs better mirrored, turned, or beside a neighbour.
    sources: {source: {id: what it says}}; files: {id: photograph}. What areas leave is taken as
    background.
    """
    drawn = {
        key: given
        for pictures in sources.values()
        for key, given in sorted(pictures.items())
        if given.size and any(shape.kind in AREAS for shape in given.shapes.values())
    }
    labels = {one.label for given in drawn.values() for one in given.shapes.values()}
    names = ["background", *sorted(filter(None, labels))]
    keys = [*drawn]
    tally, fits = InvertedTally(names, way_out=OTHER_WAY), FitTally()
    looked, full = 0, list[str]()
    for place in evenly(range(len(keys)), MOST):
        given = drawn[keys[place]]
        if tally.room < 0:
            break
        mask = mask_of(given, names)
        if len(np.unique(mask[mask > 0])) == 1:
            tally.add(mask, keys[place])
            looked += 1
            full += [keys[place]] if np.mean(mask != 0) >= WHOLE else []
        look = look_of(files[keys[place]], side=SIDE) if keys[place] in files else None
        if look is not None:
            others = {w: drawn[keys[other]] for w, other in beside(place, len(keys)).items()}
            same = {w: other for w, other in others.items() if other.size == given.size}
            fits.add(look, mask, {w: mask_of(other, names) for w, other in same.items()})
    lines = [line] if (line := fits.line()) else []
    if len(full) >= max(FEWEST, looked):
        return [
            *lines,
            f"areas of one class cover {looked} of {looked} pictures that were looked at wholly, "
            f"the first {full[0]}, so that nothing is background; where a tool cut pictures into "
            "pieces, take only those of objects",
        ]
    return [*lines, *tally.lines()]


def filled_lines(sources: Mapping[str, Mapping[str, Given]]) -> list[str]:
    """Return a line where one class alone covers every picture wholly; sources: as `area_lines`."""
    drawn = {
        key: areas
        for pictures in sources.values()
        for key, given in sorted(pictures.items())
        if (areas := [(s, given.size) for s in given.shapes.values() if s.kind in AREAS])
    }
    every = [one for areas in drawn.values() for one in areas]
    labels = {shape.label for shape, _ in every}
    is_filled = all(size and fills(shape, size) for shape, size in every)
    if len(drawn) < FEWEST or len(labels) > 1 or not is_filled:
        return []
    return [
        f"{labels.pop()} covers all of each of {len(drawn)} pictures, the first {min(drawn)}, and "
        "nothing else is shown, so that nothing can be learnt; label what is beside it too"
    ]


def mask_of(given: Given, names: list[str]) -> np.ndarray:
    """Return about the mask [H, W] uint8 that the areas of a picture make; names: of classes."""
    assert given.size
    return painted([coarser(shape) for shape in given.shapes.values()], given.size, names, 0)


def coarser(shape: Shape) -> Shape:
    """Return a shape whose outlines have few corners: painting takes long where they have many."""
    if shape.kind != "polygon":
        return shape
    parts = [[[*evenly(ring, CORNERS)] for ring in part] for part in shape.geometry]
    return replace(shape, geometry=parts)
