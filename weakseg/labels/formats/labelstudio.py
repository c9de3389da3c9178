"""Label Studio's JSON: a list of tasks, https://labelstud.io/guide/task_format.

Coordinates are percent of the picture's sides. A rectangle turns about its corner at the top left,
in pixels. Of several annotations of one task the one that was marked as truth holds, else the
latest; cancelled ones don't count. Seconds are `lead_time`, which counts idle time too.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from weakseg.common import UserError, write_json
from weakseg.labels.formats.complete import KEY, as_key, note_of, noted_in
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.geometry import (
    area_pixels,
    box_of,
    corners,
    ellipse,
    picture_size,
    polygon,
    single_outline,
    turned,
)
from weakseg.labels.formats.records import (
    AREAS,
    TURNED_BOX,
    UNCHANGED,
    Classes,
    Dropped,
    Nothing,
    PictureRecord,
    Shape,
    Unreadable,
    number,
    places,
    size_of,
    text,
)
from weakseg.labels.formats.runs import brush_code, brush_pixels, mask_geometry

NOTES = ("textarea", "rating", "number", "datetime", "taxonomy", "pairwise", "ranker")
OF_MIN = {"annotation_id", "annotator", "lead_time"}  # what 'JSON-MIN' says beside the labels
IMAGE = "image"  # what the picture of a task is usually called
PICTURE = re.compile(r"\.(jpe?g|png|tiff?|webp|bmp|gif|jp2|avif)(\?|$)", re.IGNORECASE)


def recognise(files: Files, name: str) -> bool:
    """Return whether a file is of this format."""
    if not name.casefold().endswith(".json"):
        return False
    tasks = files.json(name)
    if not isinstance(tasks, list) or not tasks:
        return False
    if isinstance(tasks[0], dict) and "data" not in tasks[0] and OF_MIN & tasks[0].keys():
        raise UserError(f"{files.where(name)}: is 'JSON-MIN'; export the project as 'JSON'")
    return is_task(tasks[0])


def is_task(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("data"), dict)


def read(files: Files, dropped: Dropped) -> Iterator[PictureRecord]:
    """Yield what the export says of its pictures."""
    for name in files.with_suffix(".json"):
        if not recognise(files, name):
            continue
        for place, task in enumerate(files.json(name), 1):
            with dropped.unless_read(files.where(name), f"task {place}"):
                yield picture_of(task, dropped)


def picture_of(task: Any, dropped: Dropped) -> PictureRecord:
    annotations = [*task.get("annotations", task.get("completions", []))]
    regions = [one for told in annotations for one in told.get("result", [])]
    drawn_on = {str(one.get("to_name")) for one in regions if one.get("original_width")}
    name = picture_name(task["data"], drawn_on)
    annotation = chosen(annotations, name, dropped)
    project = f"project {task['project']}" if task.get("project") is not None else ""
    if not annotations:
        # Nobody has submitted anything, and so nobody has said that the picture shows nothing.
        why = "a task without an annotation, whose predictions and drafts don't count until "
        dropped.add(f"{why}somebody submits them in Label Studio", name)
    if annotation is None:
        return PictureRecord(name, None, (), project=project)
    results = [one for one in annotation.get("result", []) if isinstance(one.get("value"), dict)]
    refuse_several(results)
    if annotation.get("reviews") and annotation["reviews"][-1].get("accepted") is False:
        dropped.change("annotations that a reviewer rejected, which are taken all the same", name)
    sizes = [size_of(one.get("original_width"), one.get("original_height")) for one in results]
    size = next((one for one in sizes if one), None)
    shapes: list[Shape] = []
    ids = Counter(one.get("id") for one in results if one.get("id") is not None)
    for place, one in enumerate(results, 1):
        region = f"region {place}"
        kind, is_of_region = one.get("type"), ids[one.get("id")] > 1
        if kind == "labels" and is_of_region:
            continue  # the region of the same id takes them
        for label in labels_of(one, results):
            with dropped.unless_read(name, region):
                if kind in NOTES or (kind == "choices" and is_of_region):
                    raise Nothing(f"of the type {kind}, a note that is no label here")
                where = f"{name}, {region}"
                if one.get("origin") == "prediction":
                    dropped.change(UNCHANGED, where)
                if one["value"].get("closed") is False:
                    dropped.change("polygons that were left open, taken as closed", where)
                shapes.append(Shape(*shape_of(one, size, label, where, dropped)))
    meta = task.get("meta")
    lead = annotation.get("lead_time")
    person = annotation.get("completed_by")
    person = person.get("email", person.get("id", "")) if isinstance(person, dict) else person
    return PictureRecord(
        name,
        size,
        tuple(shapes),
        seconds=None if lead is None else max(0.0, number(lead)),
        annotator="" if person is None else str(person),
        project=project,
        noted=noted_in(meta.get(KEY)) if isinstance(meta, dict) else None,
    )


def picture_name(data: Mapping[str, Any], drawn_on: Collection[str]) -> str:
    """Return the name of a task's picture: the value that ends as names of pictures do.

    drawn_on: names that the project's layout has for what regions lie on. Of several pictures one
    is meant that is called so, or else `image`.
    """
    values = {key: value for key, value in data.items() if isinstance(value, str)}
    pictures = {key: value for key, value in values.items() if PICTURE.search(value)}
    if len({*pictures.values()}) > 1:
        own = [key for key in pictures if key in drawn_on] or [
            key for key in pictures if key == IMAGE
        ]
        if len(own) != 1:
            keys = ", ".join(map(str, pictures))
            raise Unreadable(f"a task of several pictures, {keys}; keep the one that was labelled")
        return pictures[own[0]]
    if not pictures and len(values) != 1:
        raise Unreadable("a task that names no picture")
    return next(iter((pictures or values).values()))


def refuse_several(results: Sequence[Any]) -> None:
    """Refuse regions that lie on several pictures of a task, or on later pages of one.

    None of them says by a picture's name which one it means.
    """
    drawn = [one for one in results if one.get("original_width") is not None]
    pages = any(one.get("item_index") for one in drawn)
    if pages or len({one.get("to_name") for one in drawn}) > 1:
        raise Unreadable("regions on several pictures of one task; make a task of each picture")


def chosen(annotations: list[Any], name: str, dropped: Dropped) -> Any:
    """Return the one annotation of a task that holds; None where there is none."""
    kept = [one for one in annotations if not one.get("was_cancelled")]
    for _ in range(len(annotations) - len(kept)):
        # Where nothing else is there, nobody has said that the picture shows nothing.
        dropped.add("annotations that were cancelled", name, hides=not kept)
    for _ in range(len(kept) - 1):
        why = "further annotations of one task, of which the latest is taken"
        dropped.add(why, name, hides=False)
    rank = [(bool(one.get("ground_truth")), str(one.get("updated_at", ""))) for one in kept]
    return kept[max(range(len(kept)), key=lambda i: (rank[i], i))] if kept else None


def labels_of(one: Any, results: Sequence[Any]) -> list[str | None]:
    """Return the classes of a region; those of a `labels` region with the same id count too."""
    values = [one["value"].get(one.get("type"))]
    if values[0] is None and one.get("id") is not None:
        same = [other for other in results if other.get("id") == one["id"] and other is not one]
        values = [other["value"].get("labels") for other in same]
    names = [name for value in values if isinstance(value, list) for name in value]
    return list(dict.fromkeys(names)) or [None]


def shape_of(
    one: Any, size: tuple[float, float] | None, label: object, where: str, dropped: Dropped
) -> tuple[str, str, Any]:
    """Return the kind, class and geometry of a region."""
    kind, value = str(one.get("type")), one["value"]
    if kind == "choices":
        return "tag", text(label), True
    if kind == "labels":
        raise Unreadable("a label without a region")
    name = text(label)
    if size is None:
        raise Unreadable("a region that doesn't state the size of its picture")
    if number(one.get("image_rotation", 0)) % 360:
        raise Unreadable("drawn on a picture that was turned in the tool")
    width, height = size[0] / 100, size[1] / 100
    if kind.startswith("rectangle"):
        left, top = number(value["x"]) * width, number(value["y"]) * height
        right = left + number(value["width"]) * width
        bottom = top + number(value["height"]) * height
        angle = number(value.get("rotation", 0))
        if angle % 360:
            dropped.change(TURNED_BOX, where)
        box = box_of(turned(corners([left, top, right, bottom]), [left, top], angle))
        return "box", name, box
    if kind.startswith("polygon"):
        outline = [[x * width, y * height] for x, y in places(value["points"])]
        return "polygon", name, polygon([[outline]])
    if kind.startswith("ellipse"):
        centre = [number(value["x"]) * width, number(value["y"]) * height]
        radii = [number(value["radiusX"]) * width, number(value["radiusY"]) * height]
        return "polygon", name, polygon([[ellipse(centre, radii, number(value["rotation"]))]])
    if kind.startswith("keypoint"):
        return "click", name, [number(value["x"]) * width, number(value["y"]) * height]
    if kind.startswith("brush") and value.get("format") == "rle":
        return "brush", name, mask_geometry(brush_pixels(value["rle"], *size))
    raise Unreadable(f"a region of the type {kind[:40]}, which is no label here")


# ---- writing


def write(records: Sequence[PictureRecord], path: Path, classes: Classes, dropped: Dropped) -> None:
    """Write tasks for a project whose labels are named `label`.

    What a model drew, which has scores, goes among the predictions of a task, to be corrected;
    what people drew among its annotations.
    """
    tasks = []
    for record in records:
        results, written = [], []
        for place, shape in enumerate(record.shapes):
            with dropped.unless_read(record.name):
                results.append(region(shape, record, f"{place}", dropped))
                written.append(shape)
        annotation: dict[str, Any] = {"result": results}
        if record.seconds is not None:
            annotation["lead_time"] = record.seconds
        note = note_of(record, written)
        empty = not results and not record.complete
        scores = [one["score"] for one in results if "score" in one]
        kind = "predictions" if scores else "annotations"
        if scores:
            annotation["score"] = sum(scores) / len(scores)
        task: dict[str, Any] = {"data": {"image": record.name}, "annotations": []}
        task |= {} if note is None else {"meta": as_key(note)}
        tasks.append(task | {kind: [] if empty else [annotation]})
    if not all(map(is_task, tasks)):
        raise UserError(f"{path}: no picture to write")
    write_json(path, tasks)


def region(shape: Shape, record: PictureRecord, number: str, dropped: Dropped) -> dict[str, Any]:
    """Return the region of one shape."""
    if shape.label is None:
        raise Unreadable("a shape of no class")
    if shape.kind == "tag" and not shape.geometry:
        raise Unreadable("a tag that says that a class is not there")
    size = picture_size(record)
    across, down = 100 / size[0], 100 / size[1]
    value: dict[str, Any]
    outline = single_outline(shape)
    if shape.kind == "tag":
        kind, value = "choices", {}
    elif shape.kind == "box":
        left, top, right, bottom = shape.geometry
        kind, value = "rectanglelabels", {"x": left * across, "y": top * down, "rotation": 0}
        value |= {"width": (right - left) * across, "height": (bottom - top) * down}
    elif shape.kind == "click":
        x, y = shape.geometry
        kind, value = "keypointlabels", {"x": x * across, "y": y * down, "width": 0.5}
    elif outline:
        kind, value = "polygonlabels", {"points": [[x * across, y * down] for x, y in outline]}
    elif shape.kind not in AREAS:
        raise Unreadable(f"a {shape.kind}, which Label Studio has no word for")
    else:
        if shape.kind != "brush":
            dropped.change(f"a {shape.kind}, written as a brush", record.name)
        code = brush_code(area_pixels(shape, size))
        kind, value = "brushlabels", {"format": "rle", "rle": code}
    told: dict[str, Any] = {"original_width": size[0], "original_height": size[1]}
    told |= {"image_rotation": 0}
    told |= {} if shape.score is None else {"score": shape.score}
    names = {"from_name": "choice" if kind == "choices" else "label", "to_name": "image"}
    return {"id": number, **names, "type": kind, **told, "value": {**value, kind: [shape.label]}}
