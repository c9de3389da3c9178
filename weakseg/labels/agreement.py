"""Whether the labels of one image agree with one another."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from weakseg.common import IGNORE
from weakseg.labels.formats.geometry import box_of, in_one_place, twofold
from weakseg.labels.formats.records import Shape

SLACK = 0.02  # share of the picture's longer side by which a mark may miss its box
WHOLE = 0.98  # share of the picture from which on a frame is all of it
SAME_PATH = 0.5  # share of the pixels of a stroke from which on its path is another's
VOID = 0.5  # share of a frame that is void from which on its object may be
SLIP = 0.01  # share of it by which a mark may miss its class in a mask
FRAMES = {"boxes": "box", "outlines": "outline"}  # lists of what is around an object


def refuse_contradictions(
    labels: Mapping[str, Any], class_names: Sequence[str], has_background: bool
) -> None:
    """Raise `ValueError` where one label of an image says what another one denies.

    labels: checked, those that a run needs, with "size" and the names of "complete" lists. A mark
    is a click or a stroke, a frame a box or a coarse outline.
    """
    absent = set(labels.get("tags", {}).get("absent", ()))
    marks = [(name, number) for name, number, _ in marked(labels)]
    for kind, word in FRAMES.items():
        marks += [(f"{word} {i}", number) for i, (number, _) in enumerate(framed(labels, kind), 1)]
    for name, number in marks:
        if number != IGNORE and class_names[number] in absent:
            raise ValueError(
                f"tags: {class_names[number]} is absent, but {name} shows it; mend one of them"
            )
    refuse_two_classes(labels, class_names)
    for kind in FRAMES:
        lacking = unframed_tag(labels, kind, class_names[int(has_background) :], class_names)
        if lacking:
            raise ValueError(
                f"tags: {lacking} is present, but the list of {kind}, which is complete, has none "
                f"of it; add it, or take {kind} off 'complete'"
            )
        stray = outside_frames(labels, kind) if has_background else None
        if stray:
            name, number = stray
            raise ValueError(
                f"{name} of {class_names[number]} lies outside of all its {kind}, whose list is "
                f"complete; add its object, or take {kind} off 'complete'"
            )


def refuse_two_classes(labels: Mapping[str, Any], class_names: Sequence[str]) -> None:
    """Raise `ValueError` where two labels name one thing differently.

    They may be frames, strokes, or a click and an answer; clicks are compared where they are read.
    """
    for kind, word in FRAMES.items():
        numbers = [number for number, _ in classed(labels, kind)]
        pair = two_classes(labels, kind)
        if pair:
            i, j = pair
            raise ValueError(
                f"{word} {i + 1} of {class_names[numbers[i]]} and {word} {j + 1} of "
                f"{class_names[numbers[j]]} lie in one place; keep one"
            )
    strokes = one_path(labels.get("scribbles", ()))
    if strokes:
        (i, first), (j, second) = strokes
        raise ValueError(
            f"stroke {i} of {class_names[first]} and stroke {j} of {class_names[second]} have one "
            "path; keep one"
        )
    answers = {
        (int(one["x"]), int(one["y"])): (i, int(one["class"]))
        for i, one in enumerate(labels.get("pixels", ()), 1)
    }
    for i, (x, y, label) in enumerate(labels.get("points", ()), 1):
        j, answer = answers.get((int(x), int(y)), (0, IGNORE))
        if IGNORE not in (answer, label) and answer != label:
            raise ValueError(
                f"click {i} of {class_names[int(label)]} and answer {j} of {class_names[answer]} "
                "lie in one pixel; keep one"
            )


def two_classes(labels: Mapping[str, Any], kind: str) -> tuple[int, int] | None:
    """Return the places of the first two frames of different classes around one thing, if any.

    Several things may well fill the whole picture.
    """
    frames, size = [*classed(labels, kind)], labels["size"]
    around = [box for _, box in framed(labels, kind)]
    for i, j in in_one_place(around):
        left, top, right, bottom = around[i]
        is_whole = (right - left) * (bottom - top) >= WHOLE * size[0] * size[1]
        if frames[i][0] == frames[j][0] or is_whole:
            continue
        if kind == "boxes" or twofold([outlined(frames[k]) for k in (i, j)], tuple(size)):
            return i, j
    return None


def one_path(
    strokes: Sequence[Mapping[str, Any]],
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return ((number, class), (number, class)) of the first strokes of two classes on one path.

    That is where most pixels of the middle of one are those of the other, whichever way it was
    drawn. Strokes that only cross are a slip.
    """
    classes = [int(stroke["class"]) for stroke in strokes]
    if len({*classes} - {IGNORE}) < 2:
        return None
    passed: dict[tuple[int, int], list[int]] = defaultdict(list)
    lengths = []
    for i, stroke in enumerate(strokes):
        pixels = passed_pixels(stroke["path"])
        lengths.append(len(pixels))
        shared = Counter(
            j
            for pixel in pixels
            for j in passed[pixel]
            if classes[i] != classes[j] and IGNORE not in (classes[i], classes[j])
        )
        for j, number in shared.items():
            if number > SAME_PATH * min(lengths[i], lengths[j]):
                return (j + 1, classes[j]), (i + 1, classes[i])
        for pixel in pixels:
            passed[pixel].append(i)
    return None


def passed_pixels(path: Sequence[Sequence[float]]) -> set[tuple[int, int]]:
    """Return the pixels (column, row) that a path [[x, y], ...] passes, as many as it is long."""
    places = np.array(path, float).reshape(-1, 2)
    parts = [places[-1:]]
    for start, end in pairwise(places):
        steps = max(1, math.ceil(np.abs(end - start).max()))
        parts.append(start + (end - start) * (np.arange(steps) / steps)[:, None])
    return {*map(tuple, np.floor(np.concatenate(parts)).astype(int).tolist())}


def outlined(frame: tuple[int, Any]) -> Shape:
    """Return a coarse outline (class, frame) as an area."""
    return Shape("polygon", str(frame[0]), [[frame[1]["polygon"]]])


def unframed_tag(
    labels: Mapping[str, Any], kind: str, objects: Sequence[str], class_names: Sequence[str]
) -> str | None:
    """Return a tag that is present, of which a complete list of frames has none; else None.

    objects: names of the classes but the background; other tags need no frame
    """
    if kind not in labels or kind not in labels["complete"]:
        return None
    shown = {class_names[number] for number, _ in classed(labels, kind)}
    present = labels.get("tags", {}).get("present", ())
    return next((tag for tag in present if tag in objects and tag not in shown), None)


def gainsaid(labels: Mapping[str, Any], mask: np.ndarray) -> list[str]:
    """Return the names of labels of another class than a mask [H, W] shows there.

    A click or an answer is gainsaid where nothing near it is of its class, a stroke where most of
    its path is of others, a box or outline where nothing in it is of its own. What is not labelled
    there gainsays nothing: an object may be void, but few frames are filled by a void rim.
    """
    slip = max(2, round(SLIP * max(labels["size"])))
    found = []
    for name, (x, y), label in pointed(labels):
        near = mask[max(0, y - slip) : y + slip + 1, max(0, x - slip) : x + slip + 1]
        if label != IGNORE and not ((near == label) | (near == IGNORE)).any():
            found.append(name)
    height, width = mask.shape
    for i, stroke in enumerate(labels.get("scribbles", ()), 1):
        path = [(y, x) for x, y in passed_pixels(stroke["path"]) if x < width and y < height]
        under = mask[tuple(zip(*path, strict=True))] if path else np.array([IGNORE])
        others = (under != stroke["class"]) & (under != IGNORE)
        if stroke["class"] != IGNORE and others.sum() > SAME_PATH * under.size:
            found.append(f"stroke {i}")
    for kind, word in FRAMES.items():
        for i, (label, frame) in enumerate(framed(labels, kind), 1):
            left, top, right, bottom = (max(0, round(value)) for value in frame)
            within = mask[top : max(top + 1, bottom), left : max(left + 1, right)]
            if not (within == label).any() and (within == IGNORE).mean() < VOID:
                found.append(f"{word} {i}")
    return found


def struck(labels: Mapping[str, Any]) -> list[str]:
    """Return the names of clicks and answers in the middle of a stroke of another class."""
    marks = [*pointed(labels)]
    found = []
    for i, stroke in enumerate(labels.get("scribbles", ()), 1):
        label = int(stroke["class"])
        denied = [one for one in marks if IGNORE not in (label, one[2]) and one[2] != label]
        passed = passed_pixels(stroke["path"]) if denied else set()
        found += [f"{name} on stroke {i}" for name, place, _ in denied if place in passed]
    return found


def pointed(labels: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, int], int]]:
    """Yield (name, its pixel (column, row), class) of clicks and answers."""
    for i, (x, y, label) in enumerate(labels.get("points", ()), 1):
        yield f"click {i}", (int(x), int(y)), int(label)
    for i, one in enumerate(labels.get("pixels", ()), 1):
        yield f"answer {i}", (int(one["x"]), int(one["y"])), int(one["class"])


def classed(labels: Mapping[str, Any], kind: str) -> Iterator[tuple[int, Any]]:
    """Yield (class, box or outline) of a list of frames."""
    for frame in labels.get(kind, ()):
        yield int(frame[4] if kind == "boxes" else frame["class"]), frame


def marked(labels: Mapping[str, Any]) -> Iterator[tuple[str, int, list[list[float]]]]:
    """Yield (name, class, places [x, y]) of clicks and strokes."""
    for i, click in enumerate(labels.get("points", ()), 1):
        yield f"click {i}", int(click[2]), [click[:2]]
    for i, stroke in enumerate(labels.get("scribbles", ()), 1):
        yield f"stroke {i}", int(stroke["class"]), stroke["path"]


def framed(labels: Mapping[str, Any], kind: str) -> Iterator[tuple[int, list[float]]]:
    """Yield (class, [left, top, right, bottom]) of the boxes, or of what is around outlines."""
    for number, frame in classed(labels, kind):
        yield number, [*frame[:4]] if kind == "boxes" else box_of(frame["polygon"])


def lacking(
    labels: Mapping[str, Any], kind: str, class_names: Sequence[str], has_background: bool
) -> str | None:
    """Return which object a complete list of frames lacks, in words; None where it lacks none."""
    stray = outside_frames(labels, kind) if has_background and "size" in labels else None
    if stray:
        return f"{stray[0]} of {class_names[stray[1]]}"
    tag = unframed_tag(labels, kind, class_names[int(has_background) :], class_names)
    return f"the tag {tag}" if tag else None


def outside_frames(labels: Mapping[str, Any], kind: str) -> tuple[str, int] | None:
    """Return (name, class) of the first mark on an object that lies in no frame of its class.

    kind: of the frames. None where each mark lies in one, or their list is not complete. Classes of
    objects count from 1, behind the background.
    """
    if kind not in labels or kind not in labels["complete"]:
        return None
    slack = SLACK * max(labels["size"])
    frames = [*framed(labels, kind)]
    for name, number, path in marked(labels):
        own = [frame for label, frame in frames if label == number]
        inside = any(
            left - slack <= x <= right + slack and top - slack <= y <= bottom + slack
            for left, top, right, bottom in own
            for x, y in path
        )
        if number not in (0, IGNORE) and not inside:
            return name, number
    return None
