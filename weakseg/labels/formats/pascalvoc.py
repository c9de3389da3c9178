"""Pascal VOC's XML, a file for each picture: boxes, numbered from 1, with both corners inside.

roLabelImg's turned boxes too, of which the box around them is taken.
"""

import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from xml.etree import ElementTree

from weakseg.labels.formats.files import Files, xml_of_pictures
from weakseg.labels.formats.geometry import box_around
from weakseg.labels.formats.records import (
    TURNED_BOX,
    Dropped,
    PictureRecord,
    Shape,
    Unreadable,
    number,
    size_of,
    text,
    turn_of,
)


def recognise(files: Files, name: str) -> bool:
    """Return whether a file is of this format."""
    return name.casefold().endswith(".xml") and files.xml(name).tag == "annotation"


def read(files: Files, dropped: Dropped) -> Iterator[PictureRecord]:
    """Return what each file says of its picture."""
    return xml_of_pictures(files, picture_of, dropped)


def picture_of(root: ElementTree.Element, file: str, dropped: Dropped) -> PictureRecord:
    name = (root.findtext("filename") or "").strip() or PurePosixPath(file).stem
    shapes = []
    for place, one in enumerate(root.iter("object"), 1):
        with dropped.unless_read(name, f"object {place}"):
            label, (drawn, turn) = text(one.findtext("name")), box_of_object(one)
            shapes.append(Shape("box", label, box_around(drawn, turn) if turn else drawn))
            if turn:
                dropped.change(TURNED_BOX, name)
            if one.find("polygon") is not None:
                dropped.change("outlines beside boxes, of which the boxes are taken", name)
    size = size_of(root.findtext("size/width"), root.findtext("size/height"))
    own = PurePosixPath(file).with_suffix("").as_posix()
    return PictureRecord(name, size, tuple(shapes), file=own)


def box_of_object(one: ElementTree.Element) -> tuple[list[float], float]:
    """Return the box [left, top, right, bottom] of an object, and the degrees of its turn."""
    turned = one.find("robndbox")
    if turned is None:
        return box(one.find("bndbox")), turn_in(one)
    told = (number(turned.findtext(key)) for key in ("cx", "cy", "w", "h", "angle"))
    x, y, width, height, radians = told
    own = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    return own, math.degrees(radians)


def turn_in(one: ElementTree.Element) -> float:
    """Return the degrees by which a box of CVAT's is turned, which it states as an attribute."""
    own = [each for each in one.iter("attribute") if each.findtext("name") == "rotation"]
    return turn_of(own[0].findtext("value")) if own else 0.0


def box(corners: ElementTree.Element | None) -> list[float]:
    """Return [left, top, right, bottom] of an object's corners, which may stand in any order."""
    if corners is None:
        raise Unreadable("an object without a box")
    x0, y0, x1, y1 = (number(corners.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax"))
    if max(x0, y0, x1, y1) <= 1 and min(x0, y0, x1, y1) < 1:
        raise Unreadable("in shares of the picture's sides, where pixels are counted from 1")
    # The lesser number is that of the first pixel inside; the order tells more, see `box_order`.
    return [x0 - (x0 <= x1), y0 - (y0 <= y1), x1 - (x1 < x0), y1 - (y1 < y0)]
