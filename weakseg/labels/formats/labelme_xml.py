"""The XML of the first LabelMe, a file for each picture: polygons, and boxes as CVAT writes them.

An `<object>` has a `<polygon>` of places `<pt>`. CVAT calls this format *LabelMe*, too.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from xml.etree import ElementTree

from weakseg.labels.formats.files import Files, xml_of_pictures
from weakseg.labels.formats.geometry import box_of, polygon
from weakseg.labels.formats.records import (
    Dropped,
    PictureRecord,
    Shape,
    Unreadable,
    number,
    size_of,
    text,
)


def recognise(files: Files, name: str) -> bool:
    """Return whether a file is of this format, which has no boxes as Pascal VOC's has."""
    if not name.casefold().endswith(".xml"):
        return False
    root = files.xml(name)
    drawn = root.find("object/polygon") is not None or root.find("object/segm") is not None
    return root.tag == "annotation" and drawn and root.find("object/bndbox") is None


def read(files: Files, dropped: Dropped) -> Iterator[PictureRecord]:
    """Return what each file says of its picture."""
    return xml_of_pictures(files, picture_of, dropped)


def picture_of(root: ElementTree.Element, file: str, dropped: Dropped) -> PictureRecord:
    name = (root.findtext("filename") or "").strip() or PurePosixPath(file).stem
    shapes = []
    for place, one in enumerate(root.iter("object"), 1):
        if (one.findtext("deleted") or "").strip() != "1":
            with dropped.unless_read(name, f"object {place}"):
                shapes.append(shape_of(one))
    size = size_of(root.findtext("imagesize/ncols"), root.findtext("imagesize/nrows"))
    own = PurePosixPath(file).with_suffix("").as_posix()
    return PictureRecord(name, size, tuple(shapes), file=own)


def shape_of(one: ElementTree.Element) -> Shape:
    """Return what an object draws."""
    label = text(one.findtext("name"))
    if one.find("segm") is not None:
        raise Unreadable("a mask in a picture of its own; export it as CVAT for images")
    ring = [[number(at.findtext("x")), number(at.findtext("y"))] for at in one.iter("pt")]
    if (one.findtext("type") or "").strip() == "bounding_box" and len(ring) > 1:
        return Shape("box", label, box_of(ring))
    return Shape("polygon", label, polygon([[ring]]))
