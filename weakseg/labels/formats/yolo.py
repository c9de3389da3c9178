"""YOLO's text files, one for each picture: boxes, outlines and keypoints in shares of its sides.

A line is `class x y width height`, or `class x y x y x y ...` of an outline; classes count from 0,
which is an object like any other. Their names stand in data.yaml, or a line each in classes.txt or
obj.names. A file without a line says that its picture shows nothing.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from weakseg.common import UserError, atomic_path
from weakseg.common import reason as reason_of
from weakseg.data.class_list import checked_lines, is_background
from weakseg.labels.formats.complete import unnoted_lines
from weakseg.labels.formats.files import Files, lines_of
from weakseg.labels.formats.geometry import outlines, picture_size, polygon, ring_area
from weakseg.labels.formats.records import (
    AREAS,
    HIDDEN,
    MALFORMED,
    SHARES,
    Classes,
    Dropped,
    PictureRecord,
    Shape,
    Unreadable,
    least_seen,
    number,
    pairs,
    text,
    whole,
)
from weakseg.plain_yaml import read_plain_yaml

NAMES = ("classes.txt", "obj.names", "labels.txt", "predefined_classes.txt")
LISTS = ("train.txt", "val.txt", "valid.txt", "test.txt", "trainval.txt")
OTHERS = ("labelmap.txt",)
LABEL_STUDIO = "notes.json"  # which it writes beside classes.txt
NOTES = ("readme", "licen", "changelog", "autosplit_")  # beginnings of names that exports add
TRACKED = 3  # lines from which on a whole number at the end of all of them is no chance
OUTLINES = 10  # lines from which on it can be told that none is an outline
THIN = 0.02  # shares: a line that is shorter is a slip of the mouse
ROUNDING = 0.01  # shares: as far outside of its box a keypoint may be written
BESIDE = 0.5  # share of outlines, at least, that look like one
BEYOND = 0.5  # shares: as far beyond the picture a number may be

Points = tuple[int, int]  # how many keypoints an object has, and of how many values each


def recognise(files: Files, name: str) -> bool:
    """Return whether a file is of this format: each line begins with a number, and has five."""
    if not is_label_file(files, name):
        return False
    lines = lines_of(files.text(name))
    try:
        return all(len(line.split()) > 4 and [*map(float, line.split())] for line in lines)
    except ValueError:
        return False


def is_label_file(files: Files, name: str) -> bool:
    """Return whether a file is named as labels are, and is no list or text that comes with them."""
    last = PurePosixPath(name).name.casefold()
    if not last.endswith(".txt") or last in (*NAMES, *LISTS, *OTHERS):
        return False
    return not last.startswith(NOTES) or has_numbers(files.text(name))


def has_numbers(content: str) -> bool:
    """Return whether any line of a text has four numbers behind its first word, as a box has."""
    for line in lines_of(content):
        with contextlib.suppress(ValueError):
            if len([float(word) for word in line.split()[1:5]]) == 4:
                return True
    return False


def read(files: Files, dropped: Dropped) -> Iterator[PictureRecord]:
    """Yield what each file says of its picture."""
    classes, points = description(files)
    refuse_from_1(files, classes)
    contents = [files.text(file) for file in files.names if is_label_file(files, file)]
    seen = least_seen(marks_in(contents, points))
    is_tracked = points is None and has_track_ids(contents)
    if points is None:
        refuse_unnamed_joints(files, contents)
    for file in filter(partial(is_label_file, files), files.names):
        name = PurePosixPath(file).with_suffix("").as_posix()
        name = "/".join("images" if part == "labels" else part for part in name.split("/"))
        shapes: list[Shape] = []
        for place, line in enumerate(lines_of(files.text(file)), 1):
            with dropped.unless_read(name, f"line {place}"):
                words, score = line.split(), None
                if is_tracked and could_be_tracked(words):
                    *words, score, _ = words
                own = shapes_of(words, classes, points, seen)
                shapes += [replace(one, score=number(score)) for one in own] if score else own
                for _ in range(sum(0 < mark < seen for mark in marks_in([line], points))):
                    dropped.add(HIDDEN, name, f"line {place}", hides=False)
        yield PictureRecord(name, SHARES, tuple(shapes))


def description(files: Files) -> tuple[dict[int, str], Points | None]:
    """Return {number: class}, and how many keypoints of how many values an object has, if any.

    Several descriptions that name a number differently are a `UserError`: nobody tells which of
    them a picture's file means.
    """
    classes: dict[int, str] = {}
    points: Points | None = None
    named_in: dict[int, str] = {}
    yamls = files.with_suffix(".yaml", ".yml")
    for name in [*yamls, *files.names]:
        names, shape = described(files, name)
        if classes and is_background(names.get(0, "")):
            continue  # of masks, as a data set has it: YOLO counts objects
        for number_, label in names.items():
            if classes.setdefault(number_, label) != label:
                raise UserError(
                    f"{files.where(name)}: calls the class {number_} {label}, but "
                    f"{files.where(named_in[number_])} {classes[number_]}; import the folders one "
                    "by one, or keep one list"
                )
            named_in.setdefault(number_, name)
        points = points or shape
    if not classes:
        raise UserError(
            f"{files.path}: looks like YOLO, but names no classes; add data.yaml or classes.txt"
        )
    return classes, points


def names_in(files: Files) -> list[str]:
    """Return the classes that the description lists."""
    return [*description(files)[0].values()]


def described(files: Files, name: str) -> tuple[dict[int, str], Points | None]:
    """Return what one file says of classes and keypoints, see `description`; ({}, None): nothing.

    A description in YAML whose number of classes is not that of its names is a `UserError`.
    """
    if PurePosixPath(name).name.casefold() in NAMES:
        return dict(enumerate(listed(files, name))), None
    if PurePosixPath(name).name == LABEL_STUDIO:
        return categories(files.text(name)), None
    if not name.casefold().endswith((".yaml", ".yml")) or "names" not in files.text(name):
        return {}, None
    try:
        content = read_plain_yaml(files.text(name))
        names = content.get("names") if isinstance(content, dict) else None
        if not names:
            return {}, None
        named = names if isinstance(names, dict) else dict(enumerate(names))
        classes = {whole(key): text(str(value)) for key, value in named.items()}
        shape, count = content.get("kpt_shape"), content.get("nc")
        points = (whole(shape[0]), whole(shape[1])) if shape else None
        is_short = count is not None and whole(count) != len(classes)
    except (yaml.YAMLError, RecursionError, *MALFORMED) as error:
        raise UserError(
            f"{files.where(name)}: no readable description of YOLO ({reason_of(error)})"
        ) from error
    if is_short:
        raise UserError(
            f"{files.where(name)}: says nc: {count}, but names {len(classes)} classes; mend it"
        )
    return classes, points


def categories(content: str) -> dict[int, str]:
    """Return {number: class} of a file that Label Studio writes; none of what is another's."""
    with contextlib.suppress(ValueError, RecursionError, *MALFORMED):
        rows = json.loads(content)["categories"]
        return {whole(row["id"]): text(row["name"]) for row in rows}
    return {}


def listed(files: Files, name: str) -> list[str]:
    """Return the classes in a list; a line that would shift their numbers is a `UserError`."""
    with files.on_disk(name) as path:
        try:
            return [label for _, label in checked_lines(path)]
        except UserError as error:
            raise UserError(str(error).replace(str(path), files.where(name))) from error


def refuse_from_1(files: Files, classes: dict[int, str]) -> None:
    """Refuse lines that count classes from 1: all names would be shifted by one."""
    last = max(classes, default=0)
    contents = (files.text(file) for file in files.names if is_label_file(files, file))
    used = {line.split()[0] for content in contents for line in lines_of(content)}
    if 0 in classes and str(last + 1) in used and "0" not in used:
        raise UserError(
            f"{files.path}: its lines count classes from 1 to {last + 1}, but YOLO counts from 0; "
            "number them anew, or give the names numbers from 1 in data.yaml"
        )


def refuse_unnamed_joints(files: Files, contents: Iterable[str]) -> None:
    """Refuse boxes with keypoints of which no description says how many: they look like outlines.

    All lines have as many numbers, and the first four are a box that holds all that follows.
    """
    lines = [line.split()[1:] for content in contents for line in lines_of(content)]
    counts = {len(words) for words in lines}
    if len(lines) < OUTLINES or len(counts) != 1 or not (count := counts.pop() - 4) > 1:
        return
    try:
        values = np.array(lines, float)
    except ValueError:
        return
    for width in (2, 3):
        joints = values[:, 4:].reshape(len(lines), -1, width) if count % width == 0 else None
        if joints is not None and are_in_boxes(values[:, :4].reshape(-1, 2, 2), joints):
            raise UserError(
                f"{files.path}: its lines look like boxes with {count // width} keypoints, not "
                f"outlines; add kpt_shape: [{count // width}, {width}] to data.yaml"
            )


def are_in_boxes(boxes: np.ndarray, joints: np.ndarray) -> bool:
    """Return whether the places of each line lie in its box, and are no outline with its numbers.

    The second vertex of an outline would lie beside the others, and the first not amid them.
    boxes [N, 2, 2]: middle and size; joints [N, K, 2 or 3], the third whether it can be seen
    """
    marks = joints[..., 2:]
    if not np.isin(marks, (0, 1, 2)).all():
        return False
    middles, sizes = boxes[:, :1], boxes[:, 1:]
    unseen = (joints[..., :2] == 0).all(-1, keepdims=True)
    places = np.where(unseen, middles, joints[..., :2])
    are_inside = (np.abs(places - middles) <= sizes / 2 + ROUNDING).all()
    are_shown = (np.abs(middles - 0.5) + sizes / 2 <= 0.5 + ROUNDING).all()
    least, most = places.min(1, keepdims=True), places.max(1, keepdims=True)
    quarter = (most - least) / 4
    is_beside = ((sizes >= least - quarter) & (sizes <= most + quarter)).all((1, 2))
    is_amid = ((middles >= least + quarter) & (middles <= most - quarter)).all((1, 2))
    return bool(are_inside and are_shown and (is_beside & ~is_amid).mean() < BESIDE)


def could_be_tracked(words: Sequence[str]) -> bool:
    """Return whether a line may end in how sure a model is and in the number of a track.

    With that number it has as many as an outline has.
    """
    return len(words) >= 7 and len(words) % 2 == 1 and words[-1].isdecimal() and words[-1] != "0"


def has_track_ids(contents: Sequence[str]) -> bool:
    """Return whether lines end in the number of a track, as those of a model on a video do.

    One number above 1 shows it, or several lines of which none ends in a share.
    """
    lines = (line.split() for content in contents for line in lines_of(content))
    some = [words for words in lines if len(words) >= 7 and len(words) % 2 == 1]
    numbers = [words[-1] for words in some if could_be_tracked(words)]
    return len(numbers) == len(some) and (len(some) >= TRACKED or any(n != "1" for n in numbers))


def joints_of(words: Sequence[str], points: Points | None) -> list[list[float]]:
    """Return the keypoints of a line: [x, y], or [x, y, whether it can be seen]; else nothing."""
    if not points or len(words) != 5 + points[0] * points[1]:
        return []
    values = [number(word) for word in words[5:]]
    return [values[i : i + points[1]] for i in range(0, len(values), points[1])]


def marks_in(contents: Iterable[str], points: Points | None) -> Iterator[float]:
    """Yield whether each keypoint of files can be seen: 2, or 1 where something hides it.

    A line that makes no sense is told where its shapes are read.
    """
    lines = (line.split() for content in contents for line in lines_of(content))
    for words in lines:
        with contextlib.suppress(ValueError):
            yield from (joint[2] for joint in joints_of(words, points) if len(joint) > 2)


def score_of(joint: Sequence[float]) -> float | None:
    """Return how sure a model is of a keypoint, where that stands in the place of its mark."""
    return joint[2] if len(joint) > 2 and 0 < joint[2] < 1 else None


def shapes_of(
    words: Sequence[str], classes: dict[int, str], points: Points | None, seen: int
) -> list[Shape]:
    """Return the shapes of one line, in shares; seen: of `least_seen`."""
    label, values = whole(words[0]), [number(word) for word in words[1:]]
    if label not in classes:
        raise Unreadable(f"of the class {label}, which has no name")
    name, clicks = text(classes[label]), []
    if points is None and not all(-BEYOND <= value <= 1 + BEYOND for value in values):
        raise Unreadable("of numbers that are no shares of the picture's sides")
    joints = joints_of(words, points)
    if joints:
        placed = [one for one in joints if (one[2] > seen - 1 if len(one) > 2 else any(one))]
        clicks = [Shape("click", name, one[:2], score_of(one)) for one in placed]
        values = values[:4]
    if len(values) in (4, 5):  # the fifth is how sure a model is
        x, y, width, height = values[:4]
        score = values[4] if len(values) == 5 else None
        box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        return [Shape("box", name, box, score), *clicks]
    if len(values) < 6:
        raise Unreadable("a line of too few numbers")
    if len(values) == 6 and "." in words[-2] and could_be_tracked(words):
        raise Unreadable("three corners, or a box with the number of a track: nobody can tell")
    return [Shape("polygon", name, polygon([[pairs(values)]], slip=THIN))]


# ---- writing


def write(records: Sequence[PictureRecord], path: Path, classes: Classes, dropped: Dropped) -> None:
    """Write `labels/` with a file for each picture, and `data.yaml`, into a folder."""
    names = classes.to_write(records)
    numbers = {name: place for place, name in enumerate(names)}
    for record in records:
        lines: list[str] = []
        for shape in record.shapes:
            with dropped.unless_read(record.name):
                lines.append(line_of(shape, record, numbers, dropped))
        with atomic_path((path / "labels" / record.name).with_suffix(".txt")) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    content: dict[str, Any] = {"path": ".", "train": "images", "val": "images"}
    content["names"] = dict(enumerate(names))
    with atomic_path(path / "data.yaml") as temporary:
        words = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
        temporary.write_text(words, encoding="utf-8")
    dropped.told += unnoted_lines(records, "YOLO")


def line_of(shape: Shape, record: PictureRecord, numbers: dict[str, int], dropped: Dropped) -> str:
    """Return the line of one shape."""
    if shape.label is None:
        raise Unreadable("a shape of no class")
    width, height = picture_size(record)
    if shape.kind == "box":
        left, top, right, bottom = shape.geometry
        places = [[(left + right) / 2, (top + bottom) / 2], [right - left, bottom - top]]
    elif shape.kind in AREAS:
        parts = sorted(outlines(shape), key=lambda part: -ring_area(part[0]))
        if len(parts) > 1:
            dropped.change(
                "an object of several parts, of which the largest is written", record.name
            )
        if len(parts[0]) > 1:
            dropped.change("holes, which YOLO has no word for", record.name)
        places = parts[0][0]
    else:
        raise Unreadable(f"a {shape.kind}, which YOLO has no word for")
    shares = [f"{x / width:.6f} {y / height:.6f}" for x, y in places]
    return f"{numbers[shape.label]} {' '.join(shares)}"
