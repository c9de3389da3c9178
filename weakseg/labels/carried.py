"""What a picture carries when all its sources are put together, and the label record it makes.

The rule: the shapes of all sources hold together, and the same thing said twice counts once: equal
shapes, and boxes of one class that overlap by `SAME_BOX`, of which the latest stays. A list is
complete where one source says so, unless it calls the picture empty where another shows an object.
The latest answer to a tag holds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weakseg.common import IGNORE, suggestion
from weakseg.data.class_list import is_background
from weakseg.labels.agreement import FRAMES, lacking
from weakseg.labels.formats.geometry import overlap
from weakseg.labels.formats.records import AREAS, SIGNAL, Shape
from weakseg.labels.signals import LISTS
from weakseg.labels.store import Given

SAME_BOX = 0.8  # IoU from which on two boxes of a class are one


@dataclass(frozen=True)
class Carried:
    """What a picture carries.

    shapes    of all sources, the latest last
    complete  kinds of label whose list holds all objects; "full": what no area covers is background
    seconds   of all sources together; None where none was measured
    sources   their number
    same      number of shapes that another source had too
    disputed  whether one source calls the picture empty and another shows something there
    """

    size: tuple[int, int] | None
    shapes: tuple[Shape, ...]
    complete: tuple[str, ...]
    seconds: float | None
    sources: int
    same: int
    disputed: bool

    @property
    def signals(self) -> list[str]:
        """The kinds of label that it has, lists that are known to be empty included."""
        shown = {SIGNAL.get(shape.kind, shape.kind) for shape in self.shapes}
        return sorted(shown | set(self.complete))


def merged(sources: Mapping[str, Given]) -> Carried:
    """Return what a picture carries; sources: in the order in which they came."""
    kept: dict[str, Shape] = {}
    same = 0
    for given in sources.values():
        # Only other sources say things twice: one that draws two equal boxes means two objects.
        before, mine = dict(kept), {}
        for place, shape in enumerate(given.shapes.values()):
            twins = [key for key, other in before.items() if is_same(other, shape)]
            for key in twins:
                before.pop(key)
                kept.pop(key)
            same += len(twins)
            mine[f"{len(kept)} {id(given)} {place}"] = shape
        kept |= mine
    seconds = [given.seconds for given in sources.values() if given.seconds is not None]
    placed = [given for given in sources.values() if given.placed]  # tags fit each size
    sizes = [given.size for given in placed or sources.values() if given.size]
    empty = [not given.shapes and bool(given.complete) for given in sources.values()]
    return Carried(
        size=sizes[-1] if sizes else None,
        shapes=tuple(kept.values()),
        complete=complete_lists(sources.values(), kept.values()),
        seconds=sum(seconds) if seconds else None,
        sources=len(sources),
        same=same,
        disputed=any(empty) and bool(kept),
    )


def complete_lists(told: Iterable[Given], shapes: Iterable[Shape]) -> tuple[str, ...]:
    """Return the kinds of label whose list holds all objects, in all that is told of a picture.

    What calls it empty doesn't count where a shape shows an object.
    """
    shows = any(shows_object(shape) for shape in shapes)
    return tuple(sorted({kind for one in told if one.shapes or not shows for kind in one.complete}))


def shows_object(shape: Shape) -> bool:
    """Return whether a shape shows an object, of some class other than the background."""
    is_denied = shape.kind == "tag" and not shape.geometry
    return shape.label is not None and not is_background(shape.label) and not is_denied


def is_same(one: Shape, other: Shape) -> bool:
    """Return whether two shapes of two sources mean the same thing."""
    if (one.kind, one.label) != (other.kind, other.label):
        return False
    if one.kind == "tag":
        return True
    return (
        overlap(one.geometry, other.geometry) >= SAME_BOX
        if one.kind == "box"
        else (one.geometry == other.geometry)
    )


# ---- the record that training reads


def label_record(
    carried: Carried, classes: Sequence[str], tag_names: Sequence[str], has_background: bool
) -> dict[str, Any]:
    """Return the labels of an image as a label file holds them, see `label_record.read_record`.

    Kinds that the picture doesn't have are missing. A class that is none of the data set's is a
    `ValueError`.
    """
    record: dict[str, Any] = {"complete": [name for name in LISTS if name in carried.complete]}
    if carried.size:
        record["size"] = list(carried.size)
    for signal in record["complete"]:
        record[signal] = []
    numbers = {name: number for number, name in enumerate(classes)}
    for shape in carried.shapes:
        if shape.kind == "tag":
            known(shape.label, tag_names)
            tags = record.setdefault("tags", {"present": [], "absent": []})
            tags["present" if shape.geometry else "absent"].append(shape.label)
            continue
        number = IGNORE if shape.label is None else numbers[known(shape.label, classes)]
        if shape.kind == "click":
            record.setdefault("points", []).append([*shape.geometry, number])
        elif shape.kind == "stroke":
            record.setdefault("scribbles", []).append({"class": number, **shape.geometry})
        elif shape.kind == "answer":
            record.setdefault("pixels", []).append({**shape.geometry, "class": number})
        elif shape.kind in FRAMES.values():
            add_frame(record, shape, number, has_background)
    for kind in FRAMES:  # one source may have missed an object that another one marked
        if lacking(record, kind, classes, has_background):
            record["complete"].remove(kind)
    areas = [shape for shape in carried.shapes if shape.kind in AREAS]
    if areas or ("full" in carried.complete and has_background):
        record["full"] = outlined(areas, classes, has_background)
    return record


def add_frame(record: dict[str, Any], shape: Shape, number: int, has_background: bool) -> None:
    """Add a box or a coarse outline to a record; one of the background is a `ValueError`.

    number: of its class; of one of no class nobody can tell what is in it, so not all that no other
    frame shows is background
    """
    signal = SIGNAL[shape.kind]
    if number == IGNORE:
        record["complete"] = [name for name in record["complete"] if name != signal]
        return
    if number == 0 and has_background:
        raise ValueError(
            f"a {shape.kind} is of {shape.label}, which is what no object covers; import with "
            f"--map {shape.label}=CLASS, or {shape.label}=- to leave it out"
        )
    box = [*shape.geometry, number]
    outline = {"class": number, "polygon": shape.geometry}
    record.setdefault(signal, []).append(box if shape.kind == "box" else outline)


def outlined(
    areas: Iterable[Shape], classes: Sequence[str], has_background: bool
) -> dict[str, int]:
    """Return {"objects", "classes"}: what the person who drew these areas outlined.

    Where there are masks of a model that the person accepted, {"accepted"} is their number, and
    {"corrections"} that of the strokes that corrected them; an area of the background is one too.
    """
    background = classes[0] if has_background else None
    shown = [shape for shape in areas if shape.label not in (None, background)]
    accepted = [shape for shape in shown if shape.is_of_model]
    labels = {shape.label for shape in shown}
    told = {"objects": len(shown) - len(accepted), "classes": len(labels)}
    if not accepted:
        return told
    strokes = sum(shape.geometry.get("corrections", 0) for shape in accepted)
    strokes += sum(shape.label == background for shape in areas if background)
    return told | {"accepted": len(accepted)} | ({"corrections": strokes} if strokes else {})


def known(name: str | None, names: Sequence[str]) -> str:
    """Return the name of a class; one that the data set doesn't have is a `ValueError`."""
    if name not in names:
        hint = suggestion(name, names, "; did you mean {}?") or ";"
        raise ValueError(
            f"the class {name!r} is none of {', '.join(names)}{hint} import with --map "
            f"{name}=CLASS, or {name}=- to leave it out"
        )
    return str(name)
