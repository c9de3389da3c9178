"""What an annotation may say: each place, class, name and number is checked where labels are read.

A check takes one image's annotation of one kind and the `Picture` that it is of. It returns the
annotation as all other code expects it, or raises `ValueError` with one line: what is wrong with
it, and what to do. Corners of boxes come in any order, and what lies beyond the edge of the picture
by half a pixel at most, as rounding makes it, is moved to the edge.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import cv2
import numpy as np
from pydantic import ValidationError

from weakseg.common import IGNORE, suggestion
from weakseg.labels.answers import AnswerModel
from weakseg.validation import first_fault, shorten

EDGE = 0.5  # pixels: as far beyond the picture a place may lie, and as long a box's side must be
INSIDE = 0.01  # pixels: as far from the right and lower edge a place is moved

Annotation = Any
Check = Callable[[Annotation, "Picture"], Annotation]


@dataclass(frozen=True)
class Picture:
    """What the annotations of an image must fit.

    size          (width, height), original pixels
    class_names, tag_names, has_background   of the data set
    is_simulated  whether a program drew the annotations, which knows what pixels are
    in_pixels     whether they were brought to the picture's pixels, as those of a store are
    """

    size: tuple[int, int]
    class_names: Sequence[str]
    tag_names: Sequence[str]
    has_background: bool = True
    is_simulated: bool = False
    in_pixels: bool = False


def check_objects(annotation: Annotation, picture: Picture) -> dict[str, int]:
    """Return what a person outlines who draws the mask: {"objects", and perhaps "classes"}.

    "accepted" is the number of a model's masks that nobody outlined, "corrections" that of strokes
    that corrected those.
    """
    keys = ("objects", "classes", "accepted", "corrections")
    counts = table(annotation, keys, '{"objects": number, "classes": number}')
    if "objects" not in counts:
        raise ValueError("has no 'objects', the number of outlines in the mask; add it")
    width, height = picture.size
    most = dict.fromkeys(keys, width * height) | {"classes": len(picture.class_names)}
    checked = {key: whole(value, f"'{key}'") for key, value in counts.items()}
    for key, number in checked.items():
        if not 0 <= number <= most[key]:
            raise ValueError(f"'{key}' is {shown(number)}; it must lie between 0 and {most[key]}")
    shown_objects = checked["objects"] + checked.get("accepted", 0)
    if checked.get("classes", 0) > shown_objects:
        raise ValueError(f"has {checked['classes']} classes in {shown_objects} objects")
    return checked


def check_tags(annotation: Annotation, picture: Picture) -> dict[str, list[str]]:
    """Return {"present": names, "absent": names}; tags in neither list are not known."""
    lists = table(annotation, ("present", "absent"), '{"present": names, "absent": names}')
    answers = {key: rows(lists.get(key, []), f"'{key}'") for key in ("present", "absent")}
    for name in [*answers["present"], *answers["absent"]]:
        if name not in picture.tag_names:
            hint = nearest(name, picture.tag_names)
            raise ValueError(f"{shown(name)} is no tag of the data set; {hint}")
    twice = [name for name in answers["present"] if name in answers["absent"]]
    if twice:
        raise ValueError(f"{shown(twice[0])} is both present and absent; keep one")
    return {key: list(dict.fromkeys(names)) for key, names in answers.items()}


def check_points(annotation: Annotation, picture: Picture) -> list[list[float]]:
    """Return clicks [[x, y, class], ...]."""
    clicks = []
    for number, click in enumerate(rows(annotation, "the list of clicks"), 1):
        x, y, label = row(click, 3, f"click {number}", "[x, y, class]")
        place = inside(x, y, picture, f"click {number}")
        clicks.append([*place, class_of(label, picture, f"click {number}")])
    if not at_corners([click[:2] for click in clicks]):
        refuse_shares([click[:2] for click in clicks], picture)
    pixels: list[tuple[float, ...]] = [(int(x), int(y)) for x, y, _ in clicks]
    refuse_two_classes("click", pixels, [int(click[2]) for click in clicks], picture)
    return clicks


def check_strokes(annotation: Annotation, picture: Picture) -> list[dict[str, Any]]:
    """Return strokes [{"class", "width", "path": [[x, y], ...]}, ...]; the pen fits the picture."""
    strokes: list[dict[str, Any]] = []
    for number, stroke in enumerate(rows(annotation, "the list of strokes"), 1):
        name, form = f"stroke {number}", '{"class": class, "width": pixels, "path": [[x, y], ...]}'
        if not isinstance(stroke, Mapping) or not {"class", "width", "path"} <= stroke.keys():
            raise ValueError(f"{name} is {shown(stroke)}; write {form}")
        path = []
        for i, vertex in enumerate(rows(stroke["path"], f"the path of {name}"), 1):
            x, y = row(vertex, 2, f"{name}, vertex {i}", "[x, y]")
            path.append(inside(x, y, picture, f"{name}, vertex {i}"))
        if not path:
            raise ValueError(f"{name} has no vertex; leave it out")
        width, widest = finite(stroke["width"], f"the width of {name}"), min(picture.size)
        if not 0 <= width <= widest:
            raise ValueError(
                f"the width of {name} is {shown(width)} pixels; it must lie between 0 and {widest}"
            )
        label = class_of(stroke["class"], picture, name)
        strokes.append({**stroke, "class": label, "width": width, "path": path})
    refuse_shares([vertex for stroke in strokes for vertex in stroke["path"]], picture)
    return strokes


def check_boxes(annotation: Annotation, picture: Picture) -> list[list[float]]:
    """Return boxes [[left, top, right, bottom, class], ...] around objects."""
    boxes = []
    for number, box in enumerate(rows(annotation, "the list of boxes"), 1):
        name = f"box {number}"
        x0, y0, x1, y1, label = row(box, 5, name, "[left, top, right, bottom, class]")
        corners = [inside(x0, y0, picture, name, 0), inside(x1, y1, picture, name, 0)]
        (left, right), (top, bottom) = (sorted(axis) for axis in zip(*corners, strict=True))
        if min(right - left, bottom - top) < EDGE:
            raise ValueError(f"{name} is empty, {shown(box)}; leave it out, or draw it anew")
        boxes.append([left, top, right, bottom, class_of_object(label, picture, name)])
    refuse_shares([corner for box in boxes for corner in (box[:2], box[2:4])], picture)
    sides: list[tuple[float, ...]] = [
        (left, top, right, bottom) for left, top, right, bottom, _ in boxes
    ]
    refuse_two_classes("box", sides, [int(box[4]) for box in boxes], picture)
    return boxes


def check_outlines(annotation: Annotation, picture: Picture) -> list[dict[str, Any]]:
    """Return outlines [{"class", "polygon": [[x, y], ...]}, ...] around objects."""
    outlines: list[dict[str, Any]] = []
    for number, outline in enumerate(rows(annotation, "the list of outlines"), 1):
        name, form = f"outline {number}", '{"class": class, "polygon": [[x, y], ...]}'
        if not isinstance(outline, Mapping) or not {"class", "polygon"} <= outline.keys():
            raise ValueError(f"{name} is {shown(outline)}; write {form}")
        polygon = []
        for i, vertex in enumerate(rows(outline["polygon"], f"the polygon of {name}"), 1):
            x, y = row(vertex, 2, f"{name}, vertex {i}", "[x, y]")
            polygon.append(inside(x, y, picture, f"{name}, vertex {i}", 0))
        if len(polygon) < 3 or hull_area(polygon) < EDGE**2:
            raise ValueError(f"{name} encloses nothing; leave it out, or draw it anew")
        label = class_of_object(outline["class"], picture, name)
        outlines.append({**outline, "class": label, "polygon": polygon})
    refuse_shares([vertex for one in outlines for vertex in one["polygon"]], picture)
    return outlines


def check_answers(annotation: Annotation, picture: Picture) -> list[dict[str, Any]]:
    """Return answers, see `weakseg.labels.answers`: places are strictly within the picture."""
    answers = rows(annotation, "the list of answers")
    for number, answer in enumerate(answers, 1):
        try:
            one = AnswerModel.model_validate(answer)
        except ValidationError as error:
            raise ValueError(f"answer {number}: {first_fault(error, AnswerModel)}") from error
        if one.x >= picture.size[0] or one.y >= picture.size[1]:
            refuse_outside(one.x, one.y, picture, f"answer {number}")
        class_of(one.label, picture, f"answer {number}")
    middles = all(answer["x"] == answer["y"] == 0.5 for answer in answers)
    if not middles:
        refuse_shares([[answer["x"], answer["y"]] for answer in answers], picture)
    return answers


# ---- parts of them


def rows(value: object, name: str) -> list[Any]:
    """Return a list, which may be written as a tuple."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} is {shown(value)}; write a list")
    return list(value)


def row(value: object, length: int, name: str, form: str) -> Sequence[Any]:
    """Return a list of a length; form: of it, in words."""
    if not isinstance(value, list | tuple) or len(value) != length:
        raise ValueError(f"{name} is {shown(value)}; write {form}")
    return value


def table(value: object, keys: Sequence[str], form: str) -> Mapping[str, Any]:
    """Return a table that has no other than these keys, and at least one of them."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"is {shown(value)}; write {form}")
    for key in value:
        if key not in keys:
            raise ValueError(f"has the unknown key {shown(key)}; {nearest(key, keys)}")
    return value


def finite(value: object, name: str) -> float:
    """Return a finite number, whole or not."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{name} is {shown(value)}; write a finite number")
    return value  # type: ignore[return-value]


def whole(value: object, name: str) -> int:
    """Return a whole number, which may be written as 1.0."""
    number = finite(value, name)
    if number != int(number):
        raise ValueError(f"{name} is {shown(value)}; write a whole number")
    return int(number)


def class_of(value: object, picture: Picture, name: str) -> int:
    """Return the number of a class, or 255 where the person can't tell."""
    names = picture.class_names
    if isinstance(value, str):
        known = value in names
        way_out = f"write its number, {names.index(value)}" if known else "write its number"
        raise ValueError(f"the class of {name} is the text {shown(value)}; {way_out}")
    number = whole(value, f"the class of {name}")
    if number != IGNORE and not 0 <= number < len(names):
        listed = shorten(", ".join(f"{i} {text}" for i, text in enumerate(names)), 120)
        raise ValueError(f"the class of {name} is {shown(number)}; classes are {listed}")
    return number


def class_of_object(value: object, picture: Picture, name: str) -> int:
    """Return the number of the class of something that is drawn around an object."""
    number = class_of(value, picture, name)
    if number == 0 and picture.has_background:
        raise ValueError(
            f"{name} is of class 0, {picture.class_names[0]}, which is what no object covers; "
            "number objects from 1"
        )
    if number == IGNORE:
        raise ValueError(f"{name} is of class {IGNORE}, which no object has; leave it out")
    return number


def hull_area(places: Sequence[Sequence[float]]) -> float:
    """Return the area of the convex hull of places [[x, y], ...], in square pixels."""
    hull = cv2.convexHull(np.array(places, np.float32).reshape(-1, 1, 2))
    return float(cv2.contourArea(hull))


def inside(
    x: object, y: object, picture: Picture, name: str, margin: float = INSIDE
) -> list[float]:
    """Return a place [x, y] of the picture, moved to its edge from half a pixel beyond at most.

    margin: pixels that it then keeps from the right and lower edge, which no pixel covers
    """
    place = []
    for value, length in zip((x, y), picture.size, strict=True):
        number = finite(value, f"a coordinate of {name}")
        if not -EDGE <= number <= length + EDGE:
            refuse_outside(x, y, picture, name)
        if number < 0:
            number = 0
        elif number >= length:
            number = length - margin
        place.append(number)
    return place


def refuse_outside(x: object, y: object, picture: Picture, name: str) -> NoReturn:
    """Refuse a place outside of the picture."""
    width, height = picture.size
    raise ValueError(
        f"{name} lies at ({shown(x)}, {shown(y)}), outside of the picture of {width}x{height} "
        "pixels; clip it, or leave it out"
    )


def refuse_shares(places: Sequence[Sequence[float]], picture: Picture) -> None:
    """Refuse places that a person gave in shares of the picture's sides."""
    known = picture.is_simulated or picture.in_pixels
    if not known and are_shares(places, picture.size):
        raise ValueError(
            "all coordinates lie between 0 and 1, in shares of the picture; multiply them by its "
            f"width and height, {picture.size[0]} and {picture.size[1]}"
        )


def refuse_two_classes(
    kind: str, places: Sequence[tuple[float, ...]], classes: Sequence[int], picture: Picture
) -> None:
    """Refuse two labels of people in one place that name different classes."""
    if picture.is_simulated:
        return
    told: dict[tuple[float, ...], tuple[int, int]] = {}
    for number, (place, label) in enumerate(zip(places, classes, strict=True), 1):
        first, other = told.setdefault(place, (number, label))
        if label != other and IGNORE not in (label, other):
            raise ValueError(
                f"{kind} {first} and {kind} {number} lie in one place, ({numbers(place)}), but are "
                f"of {picture.class_names[other]} and {picture.class_names[label]}; keep one"
            )


def numbers(values: Iterable[float]) -> str:
    """Return numbers for a line of an error."""
    return ", ".join(f"{value:g}" for value in values)


def are_shares(places: Sequence[Sequence[float]], size: Sequence[float]) -> bool:
    """Return whether places of a picture of a size are shares of its sides: all within 0..1."""
    inside = bool(places) and all(0 <= value <= 1 for place in places for value in place)
    return inside and max(size) > 2


def at_corners(clicks: Sequence[Sequence[float]]) -> bool:
    """Return whether all clicks lie at whole numbers, which shares of 0 and 1 alone would be."""
    return all(value == int(value) for place in clicks for value in place)


def nearest(word: object, known: Sequence[str]) -> str:
    """Return a way out of a misspelt word: the nearest known one, or all."""
    among = f"known are {shorten(', '.join(known), 120)}"
    lower = {name.casefold(): name for name in known}
    same = lower.get(str(word).casefold().strip())
    return f"did you mean {same}?" if same else suggestion(word, known) or among


def shown(value: object) -> str:
    """Return a value for a line of an error, short."""
    return shorten(repr(value))
