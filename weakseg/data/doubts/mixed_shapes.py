"""Masks of which a part show a class by outlines, by boxes or all over, the others by its shapes.

Some may be drafts, or come from boxes or from tags. A class of which nearly all are so, such as
windows, may just have that form. What is cut into tiles is all over in some, and nearly so in
others.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import cv2
import numpy as np

RINGS, BOXES, WHOLE = "thin rings", "upright rectangles", "one class"
FEWEST, SHARE = 3, 0.1  # masks that are so, and their share, from which on it is no chance
MOST = {RINGS: 0.6, BOXES: 0.6, WHOLE: 0.34}  # of the masks of a class; more are just its form
THICKER = 2  # times as thick as its rings is a class that is no line in its other masks
LINES = " alone, and the others lines as thin"
NEAR = 0.85  # of a picture that one class covers, which may as well cover a bit more
ENDS = {
    RINGS: " alone, and the others don't; if they are outlines, fill them, or what lies within "
    "counts as background",
    BOXES: " alone, and the others don't; if they are boxes around objects, draw their shapes, or "
    "take these masks out",
    WHOLE: " all over, and no other nearly so; if nobody drew objects there, draw them, or take "
    "these masks out",
}


@dataclass
class MixedShapes:
    """How masks of each class show it.

    seen: {class: masks that show it}; so: {what they show: {class: masks that show it so}}
    thick: {class: {mask: the largest distance of its pixels from others}}
    largest: share of a mask that one class has at most, but for those that have all
    """

    seen: dict[int, list[str]] = field(default_factory=dict)
    so: dict[str, dict[int, list[str]]] = field(default_factory=lambda: {form: {} for form in ENDS})
    thick: dict[int, dict[str, float]] = field(default_factory=dict)
    largest: float = 0

    def add(self, mask: np.ndarray, name: str, forms: dict[int, set[str]]) -> None:
        """Take in a mask [H, W] uint8, and for each class in it what it is shown by alone."""
        counts = np.bincount(mask.ravel(), minlength=1)
        for number, shown in forms.items():
            if counts[number] == mask.size:
                shown = {WHOLE}
            else:
                self.largest = max(self.largest, float(counts[number] / mask.size))
            depth = cv2.distanceTransform((mask == number).astype(np.uint8), cv2.DIST_L2, 3)
            self.thick.setdefault(number, {})[name] = float(depth.max())
            self.seen.setdefault(number, []).append(name)
            for form in shown:
                self.so[form].setdefault(number, []).append(name)

    def lines(self, where: object = "", tells_boxes: bool = True) -> list[str]:
        """Return a line where some masks are so and others aren't; see `ShapeTally.lines`."""
        head = f"{where}: " if where else ""
        for form, end in ENDS.items():
            if (form == BOXES and not tells_boxes) or (form == WHOLE and self.largest >= NEAR):
                continue
            mixed = {
                number: names
                for number, names in self.so[form].items()
                if len(names) < MOST[form] * len(self.seen[number])
                and (form != BOXES or is_no_chance(names, self.seen[number]))  # signs are some
            }
            names = [*dict.fromkeys(name for names in mixed.values() for name in names)]
            every = {name for number in mixed for name in self.seen[number]}
            if is_no_chance(names, every):
                if form == RINGS and not any(self.are_thicker(*one) for one in mixed.items()):
                    end = f"{LINES}{end[end.index(';') :]}"
                return [
                    f"{head}{len(names)} of {len(every)} masks of objects, the first "
                    f"{names[0]}, show {form}{end}"
                ]
        return []

    def are_thicker(self, number: int, names: list[str]) -> bool:
        """Return whether a class is thicker in its other masks than in these, where it is rings.

        Else it is a line in all, which an edge of the picture may open, or another one cross.
        """
        thick = self.thick[number]
        rings, others = [thick[name] for name in names], [*(thick.keys() - {*names})]
        return bool(
            others and np.median([thick[one] for one in others]) > THICKER * np.median(rings)
        )


def is_no_chance(names: Collection[str], every: Collection[str]) -> bool:
    """Return whether so many of all masks are no chance."""
    return len(names) >= max(FEWEST, SHARE * len(every))
