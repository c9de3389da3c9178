"""CVAT for images 1.1: an XML file, https://docs.cvat.ai/docs/manual/advanced/xml_format/.

A box turns about its centre. A mask's runs go row by row within its own box. Lines have no width.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from weakseg.common import UserError, atomic_path
from weakseg.labels.formats.complete import KEY, note_of, noted_in
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.geometry import (
    Ring,
    area_pixels,
    as_mask,
    box_around,
    ellipse,
    is_round,
    is_simple,
    overlap,
    picture_size,
    polygon,
    reach,
    single_outline,
)
from weakseg.labels.formats.records import (
    AREAS,
    IGNORED,
    MALFORMED,
    TURNED_BOX,
    UNCHANGED,
    Classes,
    Dropped,
    PictureRecord,
    Shape,
    Unreadable,
    number,
    places,
    size_of,
    text,
    whole,
)
from weakseg.labels.formats.runs import checked_size, mask_geometry, pixels_of
from weakseg.validation import shorten

Element = ElementTree.Element
ROUND = 0.2  # area of such an outline against that of a circle as long
MANY = 12  # points of one shape that hardly go around an area by chance
FEWEST, MOST_OF = 3, 0.5  # such shapes, and their share of those of many points


def recognise(files: Files, name: str) -> bool:
    """Return whether a file is of this format."""
    return name.casefold().endswith(".xml") and files.xml(name).tag == "annotations"


def read(files: Files, dropped: Dropped) -> Iterator[PictureRecord]:
    """Yield what the export says of its pictures; shapes are in the order in which they lie."""
    for name in files.with_suffix(".xml"):
        root = files.xml(name)
        if root.tag != "annotations":
            continue
        if root.find("track") is not None:
            raise UserError(
                f"{files.where(name)}: is 'CVAT for video'; export the task as 'CVAT for images'"
            )
        for image in root.iter("image"):
            yield picture_of(image, project_of(root, image), dropped)
        dropped.told += (*around_lines(root), *attribute_lines(root))


def names_in(files: Files) -> list[str]:
    """Return the classes that the export lists, without the parts of skeletons."""
    roots = [files.xml(name) for name in files.with_suffix(".xml") if recognise(files, name)]
    listed = [one for root in roots for one in root.iterfind("meta//labels/label")]
    names = [(one.findtext("name") or "").strip() for one in listed if not one.findtext("parent")]
    return [name for name in names if name]


def project_of(root: Element, image: Element) -> str:
    """Return what a picture is part of: its task, which names it in a project's export too."""
    if image.get("task_id"):
        return f"task {image.get('task_id')}"
    for kind in ("task", "job", "project"):
        found = root.findtext(f"meta/{kind}/id")
        if found:
            return f"{kind} {found.strip()}"
    return ""


def picture_of(image: Element, project: str, dropped: Dropped) -> PictureRecord:
    name = image.get("name", "")
    layers: list[tuple[int, Shape]] = []
    for place, one in enumerate(sorted(image, key=layer), 1):
        with dropped.unless_read(name, f"shape {place}"):
            layers += [(layer(one), shape) for shape in shapes_of(one)]
            if one.get("source") == "auto":
                dropped.change(UNCHANGED, name)
            marks = {key.casefold(): value.casefold() for key, value in marks_of(one).items()}
            if marks.get(IGNORE) in ("true", "1", "yes"):
                dropped.change(IGNORED, name)
            if one.tag == "box" and number(one.get("rotation", 0)) % 360:
                dropped.change(TURNED_BOX, name)
    size = size_of(image.get("width"), image.get("height"))
    shapes = [shape for _, shape in layers]
    if size and len({level for level, _ in layers}) > 1:
        shapes = uncovered(layers, (int(size[0]), int(size[1])), name, dropped)
    noted = noted_in(image.get(KEY))
    return PictureRecord(name, size, tuple(shapes), project=project, noted=noted)


def uncovered(
    layers: Sequence[tuple[int, Shape]], size: tuple[int, int], name: str, dropped: Dropped
) -> list[Shape]:
    """Return shapes of layers without what larger areas of other classes above them hide.

    Of what overlaps the smaller one lies on top otherwise, see `painting.painted`.
    layers: [(layer, shape)]; size: (width, height) of the picture called `name`
    """
    areas = [one for one in layers if one[1].kind in AREAS]
    shapes: list[Shape] = []
    for level, shape in layers:
        over = [
            other
            for above, other in areas
            if shape.kind in AREAS and above > level and other.label != shape.label
            if overlap(reach(shape), reach(other))
        ]
        if not over:
            shapes.append(shape)
            continue
        pixels = area_pixels(shape, size)
        covers = [area_pixels(other, size) for other in over]
        hidden = [
            cover for cover in covers if cover.sum() > pixels.sum() and (cover & pixels).any()
        ]
        if not hidden:
            shapes.append(shape)
            continue
        with dropped.unless_read(name):
            left = pixels & ~np.logical_or.reduce(hidden)
            shapes.append(replace(shape, kind="mask", geometry=mask_geometry(left)))
            dropped.change("areas without what a larger one above them hides", name)
    return shapes


def layer(shape: Element) -> int:
    """Return how far up a shape lies; what states none lies at the bottom."""
    try:
        return int(shape.get("z_order", 0))
    except ValueError:
        return 0


def shapes_of(one: Element) -> list[Shape]:
    """Return the shapes of one element: several where it holds several points."""
    label = text(one.get("label"))
    if one.tag == "box":
        box = [number(one.get(key)) for key in ("xtl", "ytl", "xbr", "ybr")]
        return [Shape("box", label, box_around(box, number(one.get("rotation", 0))))]
    if one.tag == "polygon":
        return [Shape("polygon", label, polygon([[path_of(one)]]))]
    if one.tag == "ellipse":
        centre, radii = ([number(one.get(a)), number(one.get(b))] for a, b in ELLIPSE)
        outline = ellipse(centre, radii, number(one.get("rotation", 0)))
        return [Shape("polygon", label, polygon([[outline]]))]
    if one.tag == "polyline":
        return [Shape("stroke", label, {"width": 1.0, "path": path_of(one)})]
    if one.tag == "points":
        return [Shape("click", label, place) for place in path_of(one)]
    if one.tag == "skeleton":
        seen = [joint for joint in one.iter("points") if joint.get("outside") != "1"]
        return [Shape("click", label, place) for joint in seen for place in path_of(joint)]
    if one.tag == "mask":
        return [Shape("mask", label, mask_of(one))]
    if one.tag == "tag":
        return [Shape("tag", label, True)]
    raise Unreadable(f"a {one.tag}, which is no label here")


def around_lines(root: Element) -> Iterator[str]:
    """Yield a line where most shapes of many points go around an area, as outlines do, if any."""
    many, around = 0, []
    for image in root.iter("image"):
        for one in image.findall("points"):
            with contextlib.suppress(*MALFORMED):
                path = path_of(one)
                many += len(path) >= MANY
                if len(path) >= MANY and is_round(path, ROUND) and is_simple(path):
                    around.append(image.get("name", ""))
    if len(around) >= max(FEWEST, MOST_OF * many):
        yield (
            f"{len(around)} of {many} shapes of many points go around an area, the first in "
            f"{around[0]}, and each point is taken as a click; where they outline objects, call "
            "them polygons in the file"
        )


def marks_of(one: Element) -> dict[str, str]:
    """Return {name: value} of a shape's attributes."""
    marks = one.iter("attribute")
    return {each.get("name", "").strip(): (each.text or "").strip() for each in marks}


def attribute_lines(root: Element) -> Iterator[str]:
    """Yield a line on attributes of shapes, which may tell what a label does not, if any.

    One that has the same value everywhere tells nothing.
    """
    values: dict[str, list[tuple[str, str]]] = {}
    for image in root.iter("image"):
        for one in image:
            for name, value in marks_of(one).items():
                values.setdefault(name, []).append((value, image.get("name", "")))
    told = {
        name: pictures
        for name, pictures in values.items()
        if name.casefold() != IGNORE and len({value for value, _ in pictures}) > 1
    }
    if told:
        parts = (f"{name} in {len(pictures)} shapes" for name, pictures in told.items())
        (_, first), *_ = next(iter(told.values()))
        yield (
            f"attributes, which are left out: {shorten(', '.join(parts), 100)}, the first of "
            f"{first}; where one tells the class, make it the label in the file"
        )


IGNORE = "ignore"  # an attribute that is read
ELLIPSE = (("cx", "cy"), ("rx", "ry"))


def path_of(one: Element) -> Ring:
    return places(pair.split(",") for pair in one.get("points", "").split(";"))


def mask_of(one: Element) -> dict[str, object]:
    width, height = checked_size(one.get("width"), one.get("height"))
    counts = [whole(count) for count in one.get("rle", "").split(",")]
    pixels_of(counts, width * height)  # refuses runs of another length
    box = {"left": whole(one.get("left")), "top": whole(one.get("top"))}
    return {**box, "width": width, "height": height, "counts": counts}


# ---- writing


def write(records: Sequence[PictureRecord], path: Path, classes: Classes, dropped: Dropped) -> None:
    """Write `annotations.xml`, which CVAT loads into a task of the same pictures."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    for place, record in enumerate(records):
        width, height = record.size or (0, 0)
        layers = layers_of(record)
        attributes = {"id": str(place), "name": record.name}
        attributes |= {"width": f"{width:g}", "height": f"{height:g}"}
        image = ElementTree.SubElement(root, "image", attributes)
        written: list[Shape] = []
        for shape, level in zip(record.shapes, layers, strict=True):
            with dropped.unless_read(record.name):
                add(image, shape, level, record, dropped)
                written.append(shape)
        note = note_of(record, written)
        if note is not None:
            image.set(KEY, " ".join(note))
    ElementTree.indent(root)
    with atomic_path(path) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def layers_of(record: PictureRecord) -> list[int]:
    """Return how far up each shape of a picture lies: areas by their size, the smallest on top."""
    if not record.size:
        return [0] * len(record.shapes)
    size = picture_size(record)
    areas = [area_pixels(one, size).sum() if one.kind in AREAS else 0 for one in record.shapes]
    return [sum(other > own for other in areas) for own in areas]


def add(image: Element, shape: Shape, level: int, record: PictureRecord, dropped: Dropped) -> None:
    """Add one shape to the element of a picture, at a layer."""
    if shape.label is None:
        raise Unreadable("a shape of no class")
    given = {"label": shape.label, "source": "file" if shape.score is None else "auto"}
    if shape.score is not None:
        dropped.change("a model's score, which CVAT has no word for", record.name)
    if shape.kind != "tag":
        given |= {"occluded": "0", "z_order": str(level)}
    if shape.kind == "box":
        sides = zip(("xtl", "ytl", "xbr", "ybr"), shape.geometry, strict=True)
        given |= {side: f"{value:.2f}" for side, value in sides}
    elif shape.kind == "click":
        given["points"] = path_text([shape.geometry])
    elif shape.kind == "stroke":
        given["points"] = path_text(shape.geometry["path"])
        if shape.geometry["width"] != 1:
            dropped.change("a stroke's width, which the format has no place for", record.name)
        ElementTree.SubElement(image, "polyline", given)
        return
    elif shape.kind == "polygon" and single_outline(shape):
        given["points"] = path_text(shape.geometry[0][0])
    elif shape.kind == "tag":
        if not shape.geometry:
            raise Unreadable("a tag that says that a class is not there")
    elif shape.kind not in AREAS:
        raise Unreadable(f"a {shape.kind}, which CVAT has no word for")
    else:
        one = as_mask(shape, record, dropped)
        given |= {key: str(one[key]) for key in ("left", "top", "width", "height")}
        given["rle"] = ", ".join(map(str, one["counts"]))
        ElementTree.SubElement(image, "mask", given)
        return
    ElementTree.SubElement(image, {"click": "points"}.get(shape.kind, shape.kind), given)


def path_text(path: Ring) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in path)
