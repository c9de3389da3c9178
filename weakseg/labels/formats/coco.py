"""COCO's JSON: instances and keypoints, https://cocodataset.org/#format-data.

Several polygons of one annotation are one object; they hold no holes. Some converters write holes
as polygons nonetheless, which the area of the annotation shows. Runs go column by column. Keypoints
are the numbers of pixels, so half a pixel is added. A crowd is no object: its pixels are of no
class, as are those that `ignore` takes out of COCO's evaluation.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from weakseg.common import UserError, write_json
from weakseg.labels.formats.coco_ids import (
    OF_IMAGE,
    known_as,
    merged_lines,
    refuse_shared,
    refuse_shifted,
)
from weakseg.labels.formats.complete import KEY, as_key, note_of, noted_in
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.geometry import (
    Ring,
    area_pixels,
    box_around,
    lies_in,
    overlap,
    picture_size,
    polygon,
    reach,
    ring_area,
    without_area,
)
from weakseg.labels.formats.records import (
    AREAS,
    HIDDEN,
    TURNED_BOX,
    Classes,
    Dropped,
    Nothing,
    PictureRecord,
    Shape,
    Unreadable,
    least_seen,
    number,
    pairs,
    size_of,
    text,
    turn_of,
)
from weakseg.labels.formats.runs import coco_pixels, coco_segmentation, mask_geometry

SAME_BOX = 0.5  # IoU of a box and that of its outline from which on they are one


def recognise(files: Files, name: str) -> bool:
    """Return whether a file is of this format."""
    if not name.casefold().endswith(".json"):
        return False
    content = files.json(name)
    return isinstance(content, dict) and {"images", "categories"} <= content.keys()


def read(files: Files, dropped: Dropped) -> Iterator[PictureRecord]:
    """Yield what the export says of its pictures."""
    for name in files.with_suffix(".json"):
        if not recognise(files, name):
            continue
        content = files.json(name)
        try:
            classes = {known_as(one["id"]): text(one["name"]) for one in content["categories"]}
            images = {known_as(one["id"]): one for one in content["images"]}
            refuse_shared(files.where(name), "categories", content["categories"], "name")
            refuse_shared(files.where(name), "images", content["images"], *OF_IMAGE)
            refuse_shifted(files.where(name), classes, content.get("annotations") or [])
            dropped.told += merged_lines(files.where(name), content)
            annotations: dict[str, list[Any]] = {key: [] for key in images}
            if any("segments_info" in one for one in content.get("annotations") or []):
                raise UserError(
                    f"{files.where(name)}: is 'COCO panoptic', whose objects are in PNGs; export "
                    "'COCO instances'"
                )
            for place, one in enumerate(content.get("annotations") or [], 1):
                if known_as(one.get("image_id")) not in annotations:
                    dropped.add("of a picture that the file doesn't list", f"annotation {place}")
                    continue
                annotations[known_as(one["image_id"])].append(one)
            every = (one for some in annotations.values() for one in some)
            seen = least_seen(mark for one in every for mark in marks_of(one))
            records = [
                picture_of(images[key], annotations[key], classes, seen, dropped) for key in images
            ]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f"{files.where(name)}: its images, categories or annotations are not of COCO's "
                "form; export it anew"
            ) from error
        yield from records


def names_in(files: Files) -> list[str]:
    """Return the classes that the export lists, by their ids, without those that group others."""
    listed = [files.json(name) for name in files.with_suffix(".json") if recognise(files, name)]
    entries = [(text(one["name"]), one) for content in listed for one in content["categories"]]
    groups = {one.get("supercategory") for name, one in entries if one.get("supercategory") != name}
    if all(isinstance(one["id"], int) for _, one in entries):
        entries = sorted(entries, key=lambda entry: entry[1]["id"])
    return [name for name, _ in entries if name not in groups]


def marks_of(one: Any) -> list[Any]:
    """Return whether each keypoint of an annotation can be seen: 2, or 1 where something hides it.

    0 is one that nobody placed.
    """
    return list((one.get("keypoints") or [])[2::3])


def picture_of(
    image: Any, annotations: Sequence[Any], classes: dict[str, str], seen: int, dropped: Dropped
) -> PictureRecord:
    """Return what a file says of a picture; seen: of `least_seen`."""
    name, shapes = text(image["file_name"]), []
    size = size_of(image.get("width"), image.get("height")) or size_of_runs(annotations)
    for one in annotations:
        with dropped.unless_read(name, f"annotation {one.get('id')}"):
            category = known_as(one["category_id"])
            if category not in classes:
                raise Unreadable("of a category that the file doesn't list")
            found = shapes_of(one, classes[category], size, seen)
            for _ in range(sum(0 < mark < seen for mark in marks_of(one))):
                dropped.add(HIDDEN, name, f"annotation {one.get('id')}", hides=False)
            if found[0].label is None:
                dropped.change("a crowd, or marked 'ignore': its pixels are of no class", name)
            if found[0].kind == "box" and turn_of(attributes(one).get("rotation")):
                dropped.change(TURNED_BOX, name)
            if found[0].kind in AREAS and not has_box(one, found[0]):
                why = (
                    "outlines that lie elsewhere than their boxes, of which the outlines are taken"
                )
                dropped.change(why, name)
            if has_nested(found[0]):
                dropped.change(
                    "outlines within another one of their object, which COCO fills; holes are told "
                    "by runs, or by the object's area",
                    name,
                )
            shapes += found
    return PictureRecord(name, size, tuple(shapes), noted=noted_in(image.get(KEY)))


def size_of_runs(annotations: Sequence[Any]) -> tuple[float, float] | None:
    """Return the size (width, height) that the runs of a picture state; None without any."""
    outlines = (one.get("segmentation") for one in annotations)
    sizes = (one.get("size") for one in outlines if isinstance(one, dict))
    return next((size_of(size[1], size[0]) for size in sizes if size), None)


def has_box(one: Any, shape: Shape) -> bool:
    """Return whether the box of an annotation, if it states one, is about that of its outline."""
    box = one.get("bbox")
    if not box:
        return True
    left, top, width, height = map(number, box)
    own = [left, top, left + width, top + height]
    return not (width > 0 and height > 0) or overlap(own, reach(shape)) >= SAME_BOX


def shapes_of(one: Any, label: str, size: tuple[float, float] | None, visible: int) -> list[Shape]:
    """Return the shapes of one annotation: its outline, or else its box, and its keypoints.

    size: (width, height) of its picture; None: not stated; visible: of `least_seen`
    """
    score = one.get("score")
    score = None if score is None else number(score)
    outline, box = one.get("segmentation"), one.get("bbox")
    points = one.get("keypoints") or []
    joints = zip(points[::3], points[1::3], points[2::3], strict=True)
    seen = [[number(x) + 0.5, number(y) + 0.5] for x, y, mark in joints if mark > visible - 1]
    clicks = [Shape("click", label, place) for place in seen]
    name = None if one.get("iscrowd") or one.get("ignore") in (1, True) else label
    if isinstance(outline, dict):
        if size and [*outline["size"]] != [size[1], size[0]]:
            raise Unreadable("runs of a picture of another size than its own")
        return [Shape("mask", name, mask_geometry(coco_pixels(outline)), score), *clicks]
    if outline:
        rings = rings_in(outline)
        try:
            parts = with_holes(polygon([[ring] for ring in rings]), one.get("area"))
        except Nothing as error:
            if box and min(map(number, box[2:])) > 0:  # which shows that an object is there
                raise Unreadable(f"{error}, unlike its box") from error
            raise
        return [Shape("polygon", name, parts, score), *clicks]
    if box:
        left, top, width, height = map(number, box)
        own = [left, top, left + width, top + height]
        if not width or not height:
            raise without_area("a box", [own[:2], own[2:]])
        turn = turn_of(attributes(one).get("rotation"))
        return [Shape("box", name, box_around(own, turn) if turn else own, score), *clicks]
    if clicks:
        return clicks
    if any(points[2::3]):
        raise Unreadable("an object of which something hides all keypoints")
    raise Unreadable("an annotation without a shape")


def rings_in(outline: Sequence[Any]) -> list[Ring]:
    """Return the rings of a segmentation, COCO's flat lists [x, y, x, y, ...] of numbers.

    Some converters write one ring alone, or places [x, y], neither of which can mean anything else.
    """
    is_flat = not any(isinstance(one, list) for one in outline)
    is_places = len(outline) > 2 and all(is_place(one) for one in outline)
    rings = [outline] if is_flat or is_places else outline
    return [
        pairs(number for place in ring for number in place)
        if all(is_place(place) for place in ring)
        else pairs(ring)
        for ring in rings
    ]


def is_place(value: Any) -> bool:
    """Return whether a value is [x, y], and no list of lists."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and not any(isinstance(one, list) for one in value)
    )


def with_holes(parts: list[list[Ring]], area: Any) -> list[list[Ring]]:
    """Return the parts of an object, of which some are holes in others where its area shows it.

    area: that the file states, in pixels, if any
    """
    homes = {
        i: home for i, (ring,) in enumerate(parts) if (home := home_of(ring, parts)) is not None
    }
    if not homes or not isinstance(area, int | float):
        return parts
    areas = [ring_area(ring) for (ring,) in parts]
    nested = sum(areas[i] for i in homes)
    filled = sum(areas) - nested
    if abs(area - (filled - nested)) >= abs(area - filled):
        return parts
    kept = {i: [ring] for i, (ring,) in enumerate(parts) if i not in homes}
    for i, home in homes.items():
        kept[home].append(parts[i][0])
    return [*kept.values()]


def home_of(ring: Ring, parts: Sequence[Sequence[Ring]]) -> int | None:
    """Return the number of the first outermost outline in which a ring lies as a whole, if any."""
    for place, (outline, *_) in enumerate(parts):
        if ring_area(outline) > ring_area(ring) and lies_in(ring, outline):
            above = home_of(outline, parts)
            return place if above is None else above
    return None


def has_nested(shape: Shape) -> bool:
    """Return whether an outline of a polygon lies within another one of it, and is no hole."""
    parts = shape.geometry if shape.kind == "polygon" else []
    return len(parts) > 1 and any(home_of(part[0], parts) is not None for part in parts)


def attributes(one: Any) -> Mapping[str, Any]:
    """Return what CVAT says of an annotation beyond COCO's words."""
    own = one.get("attributes")
    return own if isinstance(own, dict) else {}


# ---- writing


def write(records: Sequence[PictureRecord], path: Path, classes: Classes, dropped: Dropped) -> None:
    """Write `instances.json`; objects are numbered from 1 in their order."""
    numbers = {name: place for place, name in enumerate(classes.to_write(records), 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for key, record in enumerate(records, 1):
        size = picture_size(record)
        image = {"id": key, "file_name": record.name, "width": size[0], "height": size[1]}
        written: list[Shape] = []
        for shape in record.shapes:
            with dropped.unless_read(record.name):
                told = {"id": len(annotations) + 1, "image_id": key}
                annotations.append(told | annotation(shape, size, numbers))
                written.append(shape)
        images.append(image | as_key(note_of(record, written)))
    categories = [{"id": key, "name": name} for name, key in numbers.items()]
    write_json(path, {"images": images, "annotations": annotations, "categories": categories})


def annotation(shape: Shape, size: tuple[int, int], numbers: dict[str, int]) -> dict[str, Any]:
    """Return the annotation of one shape, without its number and its picture's."""
    if shape.kind != "box" and shape.kind not in AREAS:
        raise Unreadable(f"a {shape.kind}, which COCO has no word for")
    if shape.label is None and not numbers:
        raise Unreadable("a shape of no class")
    outline: list[Any] | dict[str, Any]
    if shape.kind == "box":
        box, outline = shape.geometry, []
        area = (box[2] - box[0]) * (box[3] - box[1])
    else:
        pixels = area_pixels(shape, size)
        box, area = reach(shape), int(pixels.sum())
        has_holes = shape.kind != "polygon" or any(len(part) > 1 for part in shape.geometry)
        is_plain = not has_holes and shape.label is not None
        rings = shape.geometry if is_plain else []
        outline = [[value for place in part[0] for value in place] for part in rings]
        outline = outline if is_plain else coco_segmentation(pixels)
    return {
        "category_id": numbers[shape.label] if shape.label else min(numbers.values()),
        "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
        "area": area,
        "segmentation": outline,
        "iscrowd": int(shape.label is None),
        **({} if shape.score is None else {"score": shape.score}),
    }
