"""Supervisely's JSON, `ann/NAME.jpg.json` for each picture, https://developer.supervisely.com.

A bitmap is a PNG, packed by zlib, in base 64, with the pixel at its top left. Corners of rectangles
are pixels, both inside.
"""

import base64
import binascii
import contextlib
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from weakseg.common import UserError
from weakseg.data.image_io import opened
from weakseg.labels.formats.files import Files, one_a_picture
from weakseg.labels.formats.geometry import box_of, polygon
from weakseg.labels.formats.records import (
    IGNORED,
    UNCHANGED,
    Dropped,
    Nothing,
    PictureRecord,
    Shape,
    Unreadable,
    number,
    places,
    size_of,
    text,
    whole,
)
from weakseg.labels.formats.runs import checked_size, mask_geometry

SCORES = ("confidence", "conf", "score")  # names of such tags
MOST_BYTES = 2**27  # of the PNG of one bitmap


def recognise(files: Files, name: str) -> bool:
    """Return whether a file is of this format."""
    if not name.casefold().endswith(".json"):
        return False
    content = files.json(name)
    return isinstance(content, dict) and {"objects", "size"} <= content.keys()


def read(files: Files, dropped: Dropped) -> Iterator[PictureRecord]:
    """Return what each file says of its picture."""
    return one_a_picture(files, recognise, picture_of, dropped)


def picture_of(content: Any, file: str, dropped: Dropped) -> PictureRecord:
    parts = [part for part in PurePosixPath(file).parts if part != "ann"]
    name = "/".join(parts).removesuffix(".json").removesuffix(".JSON")
    shapes = []
    for place, one in enumerate(content["objects"], 1):
        with dropped.unless_read(name, f"object {place}"):
            score = score_of(one)
            shapes.append(replace(shape_of(one), score=score))
            if score is None and is_of_network(one):
                dropped.change(UNCHANGED, name)
            if any(is_ignored(tag) for tag in one.get("tags") or []):
                dropped.change(IGNORED, name)
    for tag in content.get("tags") or []:
        with dropped.unless_read(name, "tag"):
            shapes.append(Shape("tag", text(name_of(tag)), True))
    size = size_of(content["size"].get("width"), content["size"].get("height"))
    return PictureRecord(name, size, tuple(shapes))


def is_of_network(one: Any) -> bool:
    """Return whether a network made an object, or changed it last."""
    return one.get("nnUpdated", one.get("nnCreated")) is True


def score_of(one: Any) -> float | None:
    """Return how sure a model is of an object, by a tag that the tool's apps add, or None."""
    for tag in one.get("tags") or []:
        if isinstance(tag, dict) and str(tag.get("name")).casefold() in SCORES:
            with contextlib.suppress(ValueError):
                score = number(tag.get("value"))
                return score if score <= 1 else score / 100
    return None


def is_ignored(tag: Any) -> bool:
    """Return whether a tag of an object says to ignore it, as CVAT's attribute does."""
    name, value = (tag.get("name"), tag.get("value")) if isinstance(tag, dict) else (tag, None)
    denied = ("false", "0", "no")
    return str(name).casefold() == "ignore" and str(value).casefold() not in denied


def name_of(tag: Any) -> Any:
    """Return the name of a tag; one with a value, `split: train`, is `Nothing`, a note."""
    if isinstance(tag, dict) and tag.get("value") is not None:
        raise Nothing("a tag with a value, a note that is no label here")
    return tag["name"] if isinstance(tag, dict) else tag


def shape_of(one: Any) -> Shape:
    """Return the shape of one object."""
    label, kind = text(one["classTitle"]), one.get("geometryType")
    if kind == "bitmap":
        left, top = map(whole, one["bitmap"]["origin"])
        return Shape("mask", label, mask_geometry(decoded(one["bitmap"]["data"]), left, top))
    exterior = places(one["points"]["exterior"])
    if kind == "polygon":
        holes = [places(hole) for hole in one["points"].get("interior") or []]
        return Shape("polygon", label, polygon([[exterior, *holes]]))
    if kind == "rectangle":
        x0, y0, x1, y1 = box_of(exterior)
        return Shape("box", label, [x0, y0, x1 + 1, y1 + 1])
    if kind == "point":
        return Shape("click", label, [exterior[0][0] + 0.5, exterior[0][1] + 0.5])
    if kind in ("line", "polyline"):
        path = [[x + 0.5, y + 0.5] for x, y in exterior]
        return Shape("stroke", label, {"width": 1.0, "path": path})
    raise Unreadable(f"an object of the type {str(kind)[:40]}, which is no label here")


def decoded(content: str) -> np.ndarray:
    """Return the mask [h, w] bool of a bitmap: what is opaque, or else what is not black."""
    try:
        packed = base64.b64decode(content, validate=True)
        picture = zlib.decompressobj().decompress(packed, MOST_BYTES)
        with opened("bitmap", picture) as image:
            checked_size(*image.size)
            if "A" in image.getbands() or "transparency" in image.info:
                return np.asarray(image.convert("RGBA"))[..., 3] > 0
            return np.asarray(image.convert("L")) > 0
    except (UserError, binascii.Error, zlib.error) as error:
        raise Unreadable("a bitmap that can't be read") from error
