"""Kinds of label that name other classes than one another, in most pictures that have both.

Each picture alone may be right: a person may sit in the box of a horse. Where most are so, two
people gave things other names, or the labels of one are of other pictures.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from weakseg.labels.agreement import FRAMES, SLACK, framed, marked

FEWEST = 3  # pictures from which on it is no chance
MOST = 0.5  # share of the pictures that have both kinds, and of the marks of one
WORDS = {"points": "clicks", "scribbles": "strokes", "pixels": "answers"}
WAY_OUT = "mend one of the two, or give its classes other names with --map"

Labels = Mapping[str, Any]  # of an image, as `label_record.read_record` returns them
# {class of marks beside frames: how many, how many of them lie in those of others alone, the first}
Within = dict[int, tuple[int, int, str]]


class Contrary:
    """What several kinds of label say of the same pictures.

    class_names: of the data set, the background first where `has_background`
    """

    def __init__(self, class_names: Sequence[str], has_background: bool) -> None:
        self.class_names = class_names
        self.objects = {*range(int(has_background), len(class_names))}
        self.around: dict[str, set[int]] = {kind: set() for kind in FRAMES}
        self.within: dict[tuple[str, str], list[tuple[str, Within]]] = defaultdict(list)
        self.tagged: list[tuple[str, set[str], dict[str, str]]] = []

    def add(self, picture: str, labels: Labels, areas: Collection[str] = ()) -> None:
        """Take in the labels of a picture; areas: classes of its polygons and masks, by name."""
        shown = dict.fromkeys(areas, "a polygon or mask")
        for kind, word in FRAMES.items():
            frames = [one for one in framed(labels, kind) if one[0] in self.objects]
            self.around[kind] |= {label for label, _ in frames}
            shown |= {self.class_names[n]: f"{word} {i}" for i, (n, _) in enumerate(frames, 1)}
            for signal in WORDS if frames else ():
                within = self.marks_within(labels, signal, frames, word)
                self.within[signal, kind] += [(picture, within)] if within else []
        for name, number, _ in named(labels):
            if number in self.objects:
                shown.setdefault(self.class_names[number], name)
        present = {*labels.get("tags", {}).get("present", ())}
        if present and shown:
            self.tagged.append((picture, present, shown))

    def marks_within(
        self, labels: Labels, signal: str, frames: Sequence[tuple[int, list[float]]], word: str
    ) -> Within:
        """Return how marks of a kind, on objects, lie to the frames of their picture."""
        slack = SLACK * max(labels["size"])
        found: Within = {}
        classes, boxes = np.array([one[0] for one in frames]), np.array([one[1] for one in frames])
        for name, number, path in named({signal: labels.get(signal, ())}):
            if number not in self.objects:
                continue
            marks, denied, case = found.get(number, (0, 0, ""))
            is_own, is_denied = classes == number, False
            if not is_own.all():
                around = are_around(boxes, path, np.where(is_own, slack, -slack))
                is_denied = bool(around.any() and not (around & is_own).any())
                if is_denied and not case:
                    i = int(around.argmax())
                    this, other = self.class_names[number], self.class_names[classes[i]]
                    case = f"{name} of {this} in {word} {i + 1} of {other}"
            found[number] = marks + 1, denied + is_denied, case
        return found

    def lines(self) -> Iterator[str]:
        """Yield a line for each two kinds that are contrary in most pictures, with the way out."""
        for (signal, kind), pictures in self.within.items():
            both, contrary = 0, []
            for picture, marks in pictures:
                # A wheel in the box of a car is no other name for it: nobody boxes wheels.
                known = [one for label, one in marks.items() if label in self.around[kind]]
                number, denied = sum(one[0] for one in known), sum(one[1] for one in known)
                both += bool(known)
                if denied > MOST * number:
                    case = next(case for _, _, case in known if case)
                    contrary.append(f"{picture} ({case})")
            if is_most(contrary, both):
                yield (
                    f"in {len(contrary)} of {both} pictures with both, {WORDS[signal]} lie in "
                    f"{kind} of other classes alone, the first is {contrary[0]}; {WAY_OUT}"
                )
        yield from self.tag_lines()

    def tag_lines(self) -> Iterator[str]:
        """Yield a line where tags name other classes than all else does in most pictures."""
        # Tags need not be classes of what is shown: they may be breeds, or say something else.
        common = {name for _, present, _ in self.tagged for name in present}
        common &= {name for _, _, shown in self.tagged for name in shown}
        both, contrary = 0, []
        for picture, present, shown in self.tagged:
            tags, places = sorted(present & common), [name for name in shown if name in common]
            both += bool(tags and places)
            if tags and places and not {*tags} & {*places}:
                first = f"tag {tags[0]}, {shown[places[0]]} of {places[0]}"
                contrary.append(f"{picture} ({first})")
        if is_most(contrary, both):
            yield (
                f"in {len(contrary)} of {both} pictures with both, tags name other classes than "
                f"the rest shows, the first is {contrary[0]}; {WAY_OUT}"
            )


def are_around(boxes: np.ndarray, path: Sequence[Sequence[float]], slack: np.ndarray) -> np.ndarray:
    """Return which boxes [N, 4] have a place [x, y] of a path in them -> bool [N].

    slack: by how much each may lie beside it, in pixels [N]
    """
    x, y = np.array(path, float).reshape(-1, 2, 1).transpose(1, 0, 2)
    left, top, right, bottom = boxes.T + np.array([-1, -1, 1, 1])[:, None] * slack
    return ((left <= x) & (x <= right) & (top <= y) & (y <= bottom)).any(0)


def is_most(some: Sequence[str], of: int) -> bool:
    """Return whether so many pictures are no chance, and most of all."""
    return len(some) >= FEWEST and len(some) > MOST * of


def named(labels: Labels) -> Iterator[tuple[str, int, Sequence[Sequence[float]]]]:
    """Yield (name, class, places [x, y]) of clicks, strokes and answers."""
    yield from marked(labels)
    for i, one in enumerate(labels.get("pixels", ()), 1):
        yield f"answer {i}", int(one["class"]), [[one["x"], one["y"]]]
