"""Whether the labels of one image agree with one another."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weakseg.common import IGNORE

SLACK = 0.02  # share of the picture's longer side by which a mark may miss its box


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
    for kind in FRAMES:
        stray = outside_frames(labels, kind) if has_background else None
        if stray:
            name, number = stray
            raise ValueError(
                f"{name} of {class_names[number]} lies outside of all its {kind}, whose list is "
                f"complete; add its object, or take {kind} off 'complete'"
            )


def marked(labels: Mapping[str, Any]) -> Iterator[tuple[str, int, list[list[float]]]]:
    """Yield (name, class, places [x, y]) of clicks and strokes."""
    for i, click in enumerate(labels.get("points", ()), 1):
        yield f"click {i}", int(click[2]), [click[:2]]
    for i, stroke in enumerate(labels.get("scribbles", ()), 1):
        yield f"stroke {i}", int(stroke["class"]), stroke["path"]


def framed(labels: Mapping[str, Any], kind: str) -> Iterator[tuple[int, list[float]]]:
    """Yield (class, [left, top, right, bottom]) of the boxes, or of what is around outlines."""
    for frame in labels.get(kind, ()):
        if kind == "boxes":
            yield int(frame[4]), frame[:4]
        else:
            columns, rows = zip(*frame["polygon"], strict=True)
            yield int(frame["class"]), [min(columns), min(rows), max(columns), max(rows)]


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
