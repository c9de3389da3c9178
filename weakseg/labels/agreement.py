"""Whether the labels of one image agree with one another."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weakseg.common import IGNORE

SLACK = 0.02  # share of the picture's longer side by which a mark may miss its box


def refuse_contradictions(
    labels: Mapping[str, Any], class_names: Sequence[str], has_background: bool
) -> None:
    """Raise `ValueError` where one label of an image says what another one denies.

    labels: checked, those that a run needs, with "size" and the names of "complete" lists. A mark is a click or a
    stroke.
    """
    marks = [*marked(labels)]
    absent = set(labels.get("tags", {}).get("absent", ()))
    boxed = [(f"box {i}", int(box[4])) for i, box in enumerate(labels.get("boxes", ()), 1)]
    for name, number in [*((name, number) for name, number, _ in marks), *boxed]:
        if number != IGNORE and class_names[number] in absent:
            raise ValueError(
                f"tags: {class_names[number]} is absent, but {name} shows it; mend one of them"
            )
    if has_background and "boxes" in labels and "boxes" in labels["complete"]:
        stray = outside_boxes(labels)
        if stray:
            name, number = stray
            raise ValueError(
                f"{name} of {class_names[number]} lies outside of all its boxes, whose list is "
                "complete; box its object, or take boxes off 'complete'"
            )


def marked(labels: Mapping[str, Any]) -> Iterator[tuple[str, int, list[list[float]]]]:
    """Yield (name, class, places [x, y]) of clicks and strokes."""
    for i, click in enumerate(labels.get("points", ()), 1):
        yield f"click {i}", int(click[2]), [click[:2]]
    for i, stroke in enumerate(labels.get("scribbles", ()), 1):
        yield f"stroke {i}", int(stroke["class"]), stroke["path"]


def outside_boxes(labels: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return (name, class) of the first mark on an object that lies outside all boxes of its class.

    None where each lies in one. Classes count from 1, behind the background.
    """
    slack = SLACK * max(labels["size"])
    boxes = labels.get("boxes", ())
    for name, number, path in marked(labels):
        own = [box for box in boxes if int(box[4]) == number]
        inside = any(
            box[0] - slack <= x <= box[2] + slack and box[1] - slack <= y <= box[3] + slack
            for box in own
            for x, y in path
        )
        if number not in (0, IGNORE) and not inside:
            return name, number
    return None
