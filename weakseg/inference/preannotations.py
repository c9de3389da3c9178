"""Predictions as labels that annotation tools load, to be corrected instead of drawn."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from weakseg.common import UserError
from weakseg.data.image_io import read_mask
from weakseg.inference.journal import (
    ANNOTATIONS,
    Journal,
    changed_annotations,
    note_annotations,
)
from weakseg.inference.objects import Clicks, separate
from weakseg.inference.pictures import Job
from weakseg.inference.tables import picture_of
from weakseg.labels.exporting import write_labels
from weakseg.labels.formats.geometry import Ring, outlines, polygon
from weakseg.labels.formats.records import Classes, Dropped, PictureRecord, Shape
from weakseg.labels.formats.runs import mask_geometry
from weakseg.labels.formats.table import FORMATS

LEAST = 3  # vertices of a ring


def write_preannotations(
    name: str, folder: Path, records: Sequence[PictureRecord], classes: Classes
) -> tuple[Path, int, Dropped]:
    """Write the objects of `records_of` -> (where, their number, what could not be said).

    A file of one picture that somebody changed since stays as it is, and that is told; one of all
    pictures is a `UserError`.
    name: of `FORMATS_OUT`; folder: of the predictions
    """
    path, changed = folder / f"{ANNOTATIONS}{FORMATS[name].suffix}", changed_annotations(folder)
    if path in changed:
        raise UserError(f"{path}: was changed by somebody since; move it, to write it anew")
    places = {one.name: (path / one.name).with_suffix(".json") for one in records}
    left = [one for one in records if places[one.name] not in changed]
    dropped = write_labels(name, left, path, classes, overwrite=True) if left else Dropped()
    note_annotations(folder, [places[one.name] for one in left] if path.is_dir() else [path])
    if len(left) < len(records):
        first = min(places[one.name] for one in records if places[one.name] in changed)
        dropped.told.append(
            f"{len(records) - len(left)} files that somebody changed stay as they are, the first "
            f"{first.name}; move them, to write them anew"
        )
    return path, sum(len(record.shapes) for record in left), dropped


def records_of(
    job: Job,
    journal: Journal,
    pictures: Mapping[str, Path],
    clicks: Mapping[str, Clicks],
    classes: Classes,
    tolerance: float,
) -> Iterator[PictureRecord]:
    """Yield what the masks of pictures show, under their paths below the folder of pictures.

    clicks: as the objects were told apart by; tolerance: as `simplified` takes it
    """
    assert job.separation is not None
    for line in journal.lines(pictures):
        mask = read_mask(job.path("masks", line["id"]))
        numbers, labels = separate(
            mask, job.separation, classes.has_background, clicks.get(line["id"], ())
        )
        shapes = [
            Shape("polygon", classes.names[label], parts, round(score, 4))
            for label, score, parts in zip(
                labels, line["scores"], polygons(numbers, len(labels), tolerance), strict=True
            )
        ]
        size = float(line["width"]), float(line["height"])
        yield PictureRecord(picture_of(line), size, tuple(shapes), ("full",))


def polygons(numbers: np.ndarray, count: int, tolerance: float) -> Iterator[list[list[Ring]]]:
    """Yield the polygon, as a `Shape` has it, of each object of numbers [H, W], from 1 to count."""
    from scipy.ndimage import find_objects

    for number, place in enumerate(find_objects(numbers, count), 1):
        down, across = place
        own = mask_geometry(numbers[place] == number, across.start, down.start)
        parts = outlines(Shape("mask", "", own))
        yield polygon([simplified(part, tolerance) for part in parts])


def simplified(part: Sequence[Ring], tolerance: float) -> list[Ring]:
    """Return a part [outline, hole, ...] with fewer vertices; holes that vanish are left out.

    No vertex that goes lay further than `tolerance` pixels from the line that replaces it (Douglas
    & Peucker, 1973). An outline that would vanish stays.
    """
    from skimage.measure import approximate_polygon

    rings = []
    for number, ring in enumerate(part):
        kept = approximate_polygon(np.array([*ring, ring[0]], float), tolerance)[:-1].tolist()
        if len(kept) >= LEAST:
            rings.append(kept)
        elif not number:
            rings.append(list(ring))
    return rings
