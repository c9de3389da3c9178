"""Our own label files, for scripts and spreadsheets: JSON that can say everything, and a plain CSV.

image,kind,class,x,y             one shape a line; more coordinates follow in further columns
a.jpg,click,cat,120.5,80
a.jpg,box,cat,80,40,200,160      left, top, right, bottom
b.jpg,polygon,dog,1,1,9,1,9,9    also of strokes
b.jpg,tag,dog
c.jpg                            a picture that was looked at, without a shape

{"format": "weakseg-labels", "version": 1, "pictures": [{"image": "a.jpg", "size": [500, 375],
 "complete": ["boxes"], "seconds": 12.5, "annotator": "ann", "project": "cats",
 "shapes": [{"kind": "click", "class": "cat", "geometry": [120.5, 80]}]}]}
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from weakseg.common import UserError, write_json
from weakseg.labels.answers import AnswerModel
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.geometry import box_of, polygon
from weakseg.labels.formats.records import (
    AREAS,
    KINDS,
    Classes,
    Dropped,
    PictureRecord,
    Shape,
    Unreadable,
    number,
    pairs,
    places,
    size_of,
    text,
)
from weakseg.labels.formats.runs import mask_pixels
from weakseg.labels.signals import SIGNALS

FORMAT, VERSION = "weakseg-labels", 1
COLUMNS = ["image", "kind", "class"]


def recognise(files: Files, name: str) -> bool:
    """Return whether a file is of this format."""
    if name.casefold().endswith(".csv"):
        return header(files.text(name)) == COLUMNS
    if not name.casefold().endswith(".json"):
        return False
    content = files.json(name)
    return isinstance(content, dict) and content.get("format") == FORMAT


def header(content: str) -> list[str]:
    first = content[: content.find("\n") + 1] or content
    return [word.strip().casefold() for word in first.split(",")][: len(COLUMNS)]


def read(files: Files, dropped: Dropped) -> Iterator[PictureRecord]:
    """Yield what the files say of their pictures."""
    for name in files.with_suffix(".csv", ".json"):
        if not recognise(files, name):
            continue
        if name.casefold().endswith(".csv"):
            yield from of_rows(files.text(name), files.where(name), dropped)
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


def of_rows(content: str, where: str, dropped: Dropped) -> Iterator[PictureRecord]:
    """Yield the pictures of a CSV file, each with all its shapes."""
    pictures: dict[str, list[Shape]] = {}
    rows = csv.reader(io.StringIO(content, newline=None))
    try:
        for place, row in enumerate(rows, 1):
            words = [word.strip() for word in row]
            if place == 1 or not any(words):
                continue
            shapes = pictures.setdefault(words[0], [])
            if len(words) > 1 and words[1]:
                with dropped.unless_read(words[0], f"line {place}"):
                    values = pairs([word for word in words[3:] if word])
                    shapes.append(of_values(words[1], text(words[2]), values))
    except csv.Error as error:
        raise UserError(f"{where}: no readable CSV file ({error}); save it anew") from error
    for name, shapes in pictures.items():
        yield PictureRecord(name, None, tuple(shapes))


def of_values(kind: str, label: str, values: list[list[float]]) -> Shape:
    """Return the shape of a line; values: its coordinates in pairs."""
    if kind == "click" and len(values) == 1:
        return Shape(kind, label, values[0])
    if kind == "box" and len(values) == 2:
        return Shape(kind, label, box_of(values))
    if kind == "polygon":
        return Shape(kind, label, polygon([[values]]))
    if kind == "stroke" and values:
        return Shape(kind, label, {"width": 1.0, "path": values})
    if kind == "tag" and not values:
        return Shape(kind, label, True)
    raise Unreadable(f"a {kind[:40]} of {2 * len(values)} numbers")


def picture_of(one: Any, dropped: Dropped) -> PictureRecord:
    """Return what an entry of the JSON file says."""
    name = text(one["image"])
    shapes = []
    for place, shape in enumerate(one.get("shapes") or [], 1):
        with dropped.unless_read(name, f"shape {place}"):
            shapes.append(checked(shape["kind"], shape.get("class"), shape["geometry"]))
    complete = one.get("complete")
    if complete is not None and not set(complete) <= SIGNALS.keys():
        raise ValueError(f"complete names {complete}")
    seconds = one.get("seconds")
    return PictureRecord(
        name,
        size_of(*one["size"]) if one.get("size") else None,
        tuple(shapes),
        None if complete is None else tuple(complete),
        None if seconds is None else number(seconds),
        str(one.get("annotator", "")),
        str(one.get("project", "")),
    )


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
    if kind == "stroke":
        path, width = places(geometry["path"]), number(geometry["width"])
        if not path or width < 0:
            raise Unreadable("a stroke without a vertex, or of no width")
        return Shape(kind, name, {"width": width, "path": path})
    if kind in AREAS:
        mask_pixels(geometry)
        keys = ("left", "top", "width", "height", "counts")
        return Shape(kind, name, {key: geometry[key] for key in keys})
    if kind == "answer":
        one = AnswerModel.model_validate({**geometry, "class": 0})
        return Shape(kind, name, {"x": one.x, "y": one.y, "drawn": one.drawn, "fit": one.fit})
    if kind == "tag" and isinstance(geometry, bool):
        return Shape(kind, name, geometry)
    raise Unreadable(f"of the kind {str(kind)[:40]!r}; known are {', '.join(KINDS)}")


# ---- writing


def write(records: Sequence[PictureRecord], path: Path, classes: Classes, dropped: Dropped) -> None:
    """Write the JSON file, which says everything."""
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
                for one in record.shapes
            ],
        }
        for record in records
    ]
    write_json(path, {"format": FORMAT, "version": VERSION, "pictures": pictures})
