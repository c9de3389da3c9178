"""LabelMe's JSON, a file for each picture, https://github.com/wkentaro/labelme.

Coordinates are pixels of the upright picture. Shapes of one class and `group_id` are one object.
The corners of a mask are inclusive.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.common import UserError, write_json
from weakseg.data.image_io import opened
from weakseg.data.looks import look_of
from weakseg.labels.formats.complete import KEY, as_key, note_of, noted_in
from weakseg.labels.formats.files import Files, one_a_picture
from weakseg.labels.formats.geometry import (
    Ring,
    as_mask,
    box_of,
    ellipse,
    lies_in,
    polygon,
    single_outline,
)
from weakseg.labels.formats.records import (
    AREAS,
    TURNED_BOX,
    Classes,
    Dropped,
    PictureRecord,
    Shape,
    Unreadable,
    places,
    size_of,
    text,
)
from weakseg.labels.formats.records import IGNORED as MARKED
from weakseg.labels.formats.runs import checked_size, mask_geometry, mask_pixels

VERSION = "5.4.1"  # of LabelMe, whose files these are like
SCORED = re.compile(r"score (\d(?:\.\d+)?(?:e-\d+)?)")  # as `write` says it in a description
TURNED = "rotation"  # the type of X-AnyLabeling's turned boxes
WITHIN = (
    "an outline within another of its group, which makes no hole: draw such an object as a mask"
)
IGNORED = "__ignore__"  # the class that LabelMe's own list of classes calls so


def recognise(files: Files, name: str) -> bool:
    """Return whether a file is of this format."""
    if not name.casefold().endswith(".json"):
        return False
    content = files.json(name)
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def read(files: Files, dropped: Dropped) -> Iterator[PictureRecord]:
    """Return what each file says of its picture."""
    return one_a_picture(files, recognise, picture_of, dropped)


def picture_of(content: Any, file: str, dropped: Dropped) -> PictureRecord:
    said = content.get("imagePath")
    name = said if isinstance(said, str) and said else Path(file).stem
    folder = Path(file).parent.as_posix()
    if folder != "." and "/" not in name and "\\" not in name:
        name = f"{folder}/{name}"  # the path of a picture is that from its file
    shapes: list[Shape] = []
    groups: dict[object, int] = {}
    for place, one in enumerate(content["shapes"], 1):
        with dropped.unless_read(name, f"shape {place}"):
            for drawn in shapes_of(one):
                shape = replace(drawn, score=score_of(one))
                group = one.get("group_id"), shape.label
                if shape.kind == "polygon" and group[0] is not None and group in groups:
                    first = shapes[groups[group]]
                    if any(is_within(part[0], shape.geometry[0][0]) for part in first.geometry):
                        dropped.change(WITHIN, name)
                    parts = [*first.geometry, *shape.geometry]
                    shapes[groups[group]] = replace(first, geometry=parts)
                    continue
                if shape.kind == "polygon":
                    groups[group] = len(shapes)
                shapes.append(shape)
            marks = one.get("flags") or {}
            if any(
                mark.casefold() == "ignore" and ticked is True for mark, ticked in marks.items()
            ):
                dropped.change(MARKED, name)
            if one.get("shape_type") == TURNED:
                dropped.change(TURNED_BOX, name)
    flags = content.get("flags") or {}
    shapes += [Shape("tag", label, True) for label, ticked in flags.items() if ticked is True]
    size = size_of(content.get("imageWidth"), content.get("imageHeight"))
    own = Path(file).with_suffix("").as_posix()
    return PictureRecord(
        name,
        size,
        tuple(shapes),
        file=own,
        look=held(content.get("imageData")),
        noted=noted_in(content.get(KEY)),
    )


def is_within(one: Ring, other: Ring) -> bool:
    """Return whether one of two rings lies wholly within the other."""
    return lies_in(one, other) or lies_in(other, one)


def held(content: object) -> np.ndarray | None:
    """Return the look of the picture that a file holds in base 64; None where it holds none."""
    if not isinstance(content, str) or not content:
        return None
    try:
        return look_of("imageData", base64.b64decode(content))
    except ValueError:
        return None


def score_of(one: Any) -> float | None:
    """Return how sure a model is of an entry, as X-AnyLabeling or `write` says, or None."""
    score, note = one.get("score"), SCORED.fullmatch(str(one.get("description")))
    if isinstance(score, int | float):
        return float(score)
    return float(note[1]) if note else None


def shapes_of(one: Any) -> list[Shape]:
    """Return the shapes of one entry: several where it holds several points."""
    label: str | None = text(one["label"])
    label = None if label == IGNORED else label
    kind, points = one.get("shape_type", "polygon"), places(one["points"])
    if kind == "polygon":
        return [Shape(kind, label, polygon([[points]]))]
    if kind == "rectangle" and len(points) == 2:
        return [Shape("box", label, [*points[0], *points[1]])]  # as it is, see `box_order`
    if kind in ("rectangle", TURNED):
        return [Shape("box", label, box_of(points))]
    if kind == "circle":
        (x, y), (edge_x, edge_y) = points
        radius = float(np.hypot(edge_x - x, edge_y - y))
        return [Shape("polygon", label, polygon([[ellipse([x, y], [radius, radius])]]))]
    if kind in ("line", "linestrip"):
        return [Shape("stroke", label, {"width": 1.0, "path": points})]
    if kind in ("point", "points"):
        return [Shape("click", label, place) for place in points]
    if kind == "mask":
        left, top, _, _ = box_of(points)
        return [Shape("mask", label, mask_geometry(decoded(one["mask"]), round(left), round(top)))]
    raise Unreadable(f"a shape of the type {str(kind)[:40]}, which is no label here")


def decoded(content: str) -> np.ndarray:
    """Return the mask [h, w] bool of a PNG in base 64."""
    try:
        with opened("mask", base64.b64decode(content, validate=True)) as image:
            checked_size(*image.size)
            return np.asarray(image.convert("L")) > 0
    except (UserError, binascii.Error) as error:
        raise Unreadable("a mask whose picture can't be read") from error


# ---- writing


def write(records: Sequence[PictureRecord], path: Path, classes: Classes, dropped: Dropped) -> None:
    """Write a file for each picture into a folder, with the pictures' own names and folders."""
    for record in records:
        shapes: list[dict[str, Any]] = []
        flags: dict[str, bool] = {}
        written: list[Shape] = []
        for group, shape in enumerate(record.shapes):
            with dropped.unless_read(record.name):
                if shape.kind == "tag" and shape.geometry and shape.label:
                    flags[shape.label] = True
                else:
                    shapes += entries(shape, record, group, dropped)
                written.append(shape)
        width, height = record.size or (None, None)
        content = {
            "version": VERSION,
            "flags": flags,
            "shapes": shapes,
            "imagePath": Path(record.name).name,
            "imageData": None,
            "imageHeight": height and int(height),
            "imageWidth": width and int(width),
            **as_key(note_of(record, written)),
        }
        write_json((path / record.name).with_suffix(".json"), content)


def entries(
    shape: Shape, record: PictureRecord, group: int, dropped: Dropped
) -> list[dict[str, Any]]:
    """Return the entries of one shape: several where an object has several outlines."""
    parts: list[tuple[str, Any]]
    extra: dict[str, Any] = {}
    if shape.kind == "box":
        left, top, right, bottom = shape.geometry
        parts = [("rectangle", [[left, top], [right, bottom]])]
    elif shape.kind == "click":
        parts = [("point", [shape.geometry])]
    elif shape.kind == "stroke":
        parts = [("linestrip", shape.geometry["path"])]
        if shape.geometry["width"] != 1:
            dropped.change("a stroke's width, which the format has no place for", record.name)
    elif shape.kind == "tag":
        raise Unreadable("a tag that says that a class is not there")
    elif shape.kind not in AREAS:
        raise Unreadable(f"a {shape.kind}, which LabelMe has no word for")
    elif single_outline(shape):
        parts = [("polygon", shape.geometry[0][0])]
    elif shape.kind == "polygon" and all(len(part) == 1 for part in shape.geometry):
        parts = [("polygon", outline) for (outline,) in shape.geometry]
    else:
        one = as_mask(shape, record, dropped)
        right, bottom = one["left"] + one["width"] - 1, one["top"] + one["height"] - 1
        parts = [("mask", [[one["left"], one["top"]], [right, bottom]])]
        extra["mask"] = encoded(mask_pixels(one)[0])
    told: dict[str, Any] = {
        "group_id": group if len(parts) > 1 else None,
        "description": "" if shape.score is None else f"score {shape.score:g}",
        "flags": {},
    }
    label = IGNORED if shape.label is None else shape.label
    return [
        {"label": label, "points": points, "shape_type": kind, **told, **extra}
        for kind, points in parts
    ]


def encoded(pixels: np.ndarray) -> str:
    """Return a mask [h, w] bool as a PNG in base 64."""
    import cv2

    _, content = cv2.imencode(".png", pixels.astype(np.uint8) * 255)
    return base64.b64encode(content.tobytes()).decode()
