"""Our own label files: JSON that can say everything, and the table of `sheet` for spreadsheets.

{"format": "weakseg-labels", "version": 1, "pictures": [{"image": "a.jpg", "size": [500, 375],
 "complete": ["boxes"], "seconds": 12.5, "annotator": "ann", "project": "cats",
 "shapes": [{"kind": "click", "class": "cat", "geometry": [120.5, 80]}]}]}

A shape of a store may have "annotator", and where a model helped "number", of its event, and
"helped", whether a prediction was in view.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from weakseg.common import UserError, write_json
from weakseg.labels.answers import AnswerModel
from weakseg.labels.formats import sheet
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.geometry import box_of, polygon
from weakseg.labels.formats.records import (
    AREAS,
    KINDS,
    Classes,
    Dropped,
    Origin,
    PictureRecord,
    Shape,
    Unreadable,
    number,
    places,
    size_of,
    text,
    whole,
)
from weakseg.labels.formats.runs import mask_pixels
from weakseg.labels.signals import SIGNALS

FORMAT, VERSION = "weakseg-labels", 1
ORIGIN = {"annotator", "number", "helped"}  # of a shape


def recognise(files: Files, name: str) -> bool:
    """Return whether a file is of this format."""
    if name.casefold().endswith(sheet.SUFFIXES):
        return sheet.is_sheet(files.text(name))
    if not name.casefold().endswith(".json"):
        return False
    content = files.json(name)
    return isinstance(content, dict) and content.get("format") == FORMAT


def read(files: Files, dropped: Dropped) -> Iterator[PictureRecord]:
    """Yield what the files say of their pictures."""
    for name in files.with_suffix(*sheet.SUFFIXES, ".json"):
        if not recognise(files, name):
            continue
        if name.casefold().endswith(sheet.SUFFIXES):
            yield from sheet.of_rows(files.text(name), files.where(name), dropped)
            continue
        content = files.json(name)
        if content.get("version") != VERSION:
            raise UserError(f"{files.where(name)}: is of version {content.get('version')!r}, not 1")
        pictures = content.get("pictures")
        if not isinstance(pictures, list):
            raise UserError(f"{files.where(name)}: has no list of 'pictures'; add it")
        for place, one in enumerate(pictures, 1):
            with dropped.unless_read(files.where(name), f"picture {place}"):
                yield picture_of(one, dropped)


def picture_of(one: Any, dropped: Dropped) -> PictureRecord:
    """Return what an entry of the JSON file says."""
    name = text(one["image"])
    shapes = []
    for place, shape in enumerate(one.get("shapes") or [], 1):
        with dropped.unless_read(name, f"shape {place}"):
            read = checked(shape["kind"], shape.get("class"), shape["geometry"])
            # The order of the numbers tells whether they are corners, see `box_order`.
            raw = [*map(number, shape["geometry"])] if read.kind == "box" else read.geometry
            shapes.append(replace(read, geometry=raw, origin=origin_in(shape)))
    complete = one.get("complete")
    if complete is not None and not set(complete) <= SIGNALS.keys():
        raise ValueError(f"complete names {complete}")
    seconds = one.get("seconds")
    if seconds is not None and number(seconds) < 0:
        dropped.change("seconds below 0, which are left out", name)
        seconds = None
    return PictureRecord(
        name,
        size_of(*one["size"]) if one.get("size") else None,
        tuple(shapes),
        None if complete is None else tuple(complete),
        None if seconds is None else number(seconds),
        str(one.get("annotator", "")),
        str(one.get("project", "")),
    )


def origin_in(shape: Any) -> Origin | None:
    """Return how a shape came into the store that it was exported from, where the file says so."""
    if not ORIGIN & shape.keys():
        return None
    place, helped = whole(shape.get("number", 0)), shape.get("helped", False)
    if place < 0 or not isinstance(helped, bool):
        raise ValueError(f"its number is {place}, its helped {helped}")
    return Origin(str(shape.get("annotator", "")), place, helped)


def checked(kind: Any, label: Any, geometry: Any) -> Shape:
    """Return a shape whose geometry is what its kind takes; others are a `ValueError`."""
    name = None if label is None and kind != "tag" else text(label)
    if kind == "click":
        ((x, y),) = places([geometry])
        return Shape(kind, name, [x, y])
    if kind == "box":
        left, top, right, bottom = map(number, geometry)
        return Shape(kind, name, box_of([[left, top], [right, bottom]]))
    if kind == "polygon":
        parts = [[places(ring) for ring in part] for part in geometry]
        return Shape(kind, name, polygon(parts))
    if kind == "outline":
        return Shape(kind, name, polygon([[places(geometry)]])[0][0])
    if kind == "stroke":
        path, width = places(geometry["path"]), number(geometry["width"])
        if not path or width < 0:
            raise Unreadable("a stroke without a vertex, or of no width")
        return Shape(kind, name, {"width": width, "path": path})
    if kind in AREAS:
        mask_pixels(geometry)
        own = {key: geometry[key] for key in ("left", "top", "width", "height", "counts")}
        return Shape(kind, name, own | origin_of_mask(kind, geometry))
    if kind == "answer":
        one = AnswerModel.model_validate({**geometry, "class": 0})
        return Shape(kind, name, {"x": one.x, "y": one.y, "drawn": one.drawn, "fit": one.fit})
    if kind == "tag" and isinstance(geometry, bool):
        return Shape(kind, name, geometry)
    raise Unreadable(f"of the kind {str(kind)[:40]!r}; known are {', '.join(KINDS)}")


def origin_of_mask(kind: str, geometry: Any) -> dict[str, Any]:
    """Return the mark of the model whose mask it is, or was before somebody corrected it."""
    if kind == "accepted":
        return {"model": text(geometry["model"])}
    if kind != "mask" or "model" not in geometry:
        return {}
    corrections = whole(geometry["corrections"])
    if corrections < 0:
        raise ValueError(f"it was corrected {corrections} times")
    return {"model": text(geometry["model"]), "corrections": corrections}


# ---- writing


def write(records: Sequence[PictureRecord], path: Path, classes: Classes, dropped: Dropped) -> None:
    """Write the JSON file, which says everything.

    Where a model helped, that is also in which order shapes came: it had learned from earlier ones.
    """
    shapes = [shape for record in records for shape in record.shapes]
    is_ordered = any(one.is_of_model or (one.origin and one.origin.helped) for one in shapes)
    pictures = [
        {
            "image": record.name,
            **({"size": list(record.size)} if record.size else {}),
            **({} if record.complete is None else {"complete": list(record.complete)}),
            **({} if record.seconds is None else {"seconds": record.seconds}),
            **({"annotator": record.annotator} if record.annotator else {}),
            **({"project": record.project} if record.project else {}),
            "shapes": [
                {"kind": one.kind, "class": one.label, "geometry": one.geometry}
                | told_of_origin(one.origin or Origin(), is_ordered)
                for one in record.shapes
            ],
        }
        for record in records
    ]
    write_json(path, {"format": FORMAT, "version": VERSION, "pictures": pictures})


def told_of_origin(origin: Origin, is_ordered: bool) -> dict[str, Any]:
    """Return what the file says of how a shape came into its store."""
    told: dict[str, Any] = {"annotator": origin.annotator} if origin.annotator else {}
    told |= {"number": origin.number} if is_ordered and origin.number else {}
    return told | ({"helped": True} if origin.helped else {})
