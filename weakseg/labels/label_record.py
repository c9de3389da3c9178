"""The labels of one image as a file holds them: a table of its size and its annotations, checked.

    {"size": [width, height], "points": ..., "boxes": ..., "complete": ["boxes"]}

"complete" names the lists that hold all objects; what lies outside of other lists is unlabelled.
Labels that people drew may lack kinds, and images: what is missing is unlabelled. They may name an
image by its file, with folders of their own above it, and in either Unicode form.
"""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from weakseg.common import suggestion
from weakseg.data.folder_files import PICTURES
from weakseg.labels.agreement import refuse_contradictions
from weakseg.labels.checks import Picture, nearest, rows, shown
from weakseg.labels.signals import LISTS, SIGNALS, is_complete, is_labelled

KEYS = ("size", "complete", *SIGNALS)
MEANT = {  # what people may call a kind of label -> its key
    "clicks": "points",
    "strokes": "scribbles",
    "bbox": "boxes",
    "polygons": "outlines",
    "mask": "full",
    "masks": "full",
    "labels": "tags",
}
PLACED = (*LISTS, "pixels")  # signals that name places of a picture of a certain size


def read_record(
    record: Any,
    picture: Picture,
    signals: Collection[str],
    complete: Collection[str] = LISTS,
    may_lack: bool | None = None,
) -> dict[str, Any]:
    """Return the labels of an image, of which those that `signals` need are checked.

    A kind that it lacks is unlabelled: it is as if nobody had said anything, and a mask is missing.

    record: {} of an image without labels
    complete: names of the lists that are complete where the record doesn't say it. The labels have
        the key "complete" where not all of them are.
    may_lack: whether kinds may be missing; None: those that people drew

    Raises `ValueError` with one line for what makes no sense or doesn't fit the picture.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"its labels are {shown(record)}; write a table of them")
    for key in record:
        hint = f"did you mean {MEANT[key]}?" if key in MEANT else suggestion(key, KEYS)
        if key not in KEYS and hint:
            raise ValueError(f"has the unknown key {shown(key)}; {hint}")
    width, height = picture.size
    needs_size = picture.is_simulated or any(record.get(signal) for signal in PLACED)
    size = record.get("size", None if needs_size else [width, height])
    if size is None:
        raise ValueError("has no 'size'; write the [width, height] that it was labelled at")
    if size != [width, height] and size != (width, height):
        raise ValueError(
            f"was labelled at size {shown(size)}, but the upright picture has {width}x{height} "
            "pixels; label it as it is"
        )
    known = complete_lists(record["complete"]) if "complete" in record else [*complete]
    labels = dict(record) | {"size": [width, height]}
    for signal in signals:
        if signal in record:
            try:
                labels[signal] = SIGNALS[signal].check(record[signal], picture)
            except ValueError as error:
                raise ValueError(f"{signal}: {error}") from error
        elif picture.is_simulated if may_lack is None else not may_lack:
            price = ", the price of its masks (not needed with --select_by weak_val_loss)"
            raise ValueError(f"has no {signal}{price if signal == 'full' else ''}")
        else:
            known = [name for name in known if name != signal]
            if SIGNALS[signal].nothing is not None:
                labels[signal] = SIGNALS[signal].nothing
    if not picture.is_simulated:
        checked = {signal: labels[signal] for signal in signals if signal in labels}
        told = {**checked, "size": labels["size"], "complete": known}
        refuse_contradictions(told, picture.class_names, picture.has_background)
    labels.pop("complete", None)
    return labels if {*known} >= {*LISTS} else labels | {"complete": known}


def complete_lists(value: object) -> list[str]:
    """Return the names of complete lists, all for True; others are a `ValueError`."""
    if isinstance(value, bool):
        return [*LISTS] if value else []
    for name in rows(value, "'complete'"):
        if name not in LISTS:
            raise ValueError(f"'complete' names {shown(name)}; {nearest(name, LISTS)}")
    return [name for name in LISTS if name in rows(value, "'complete'")]


def by_image(images: Mapping[str, Any], known: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """Return ({id: record} of the known images that people labelled, names that are of none).

    Two records of one image are a `ValueError`.
    """
    records: dict[str, Any] = {}
    strays: list[str] = []
    for name, record in images.items():
        found = next((one for one in names_of(name) if one in known), None)
        if found in records:
            raise ValueError(f"{found} is labelled twice, also as {shown(name)}; keep one")
        if found is None:
            strays.append(name)
        else:
            records[found] = record
    return records, strays


def names_of(name: str) -> Iterator[str]:
    """Yield the ids that a name may mean: itself, that of its file, and those below its folders."""
    composed = unicodedata.normalize("NFC", name)
    yield from (name, composed)
    path = PurePosixPath(composed.replace("\\", "/"))
    file = path.with_suffix("") if path.suffix.casefold() in PICTURES else path
    for first in range(len(file.parts)):
        yield "/".join(file.parts[first:])


class LabelTally:
    """What the labels of many images have, of some signals.

    images      their number
    labelled    {signal: number of images that have such an annotation}
    without     number of images of which no signal says anything, not even that nothing is there
    classes     that tags, lists and answers show; None where masks may show any
    objects     number of images that show an object
    background  whether any label shows the background, as the outside of all boxes, or outlines,
        does, and what a tag's image shows besides it
    tag_class   {tag: the class that it shows}
    """

    def __init__(
        self, signals: Sequence[str], has_background: bool, tag_class: Mapping[str, int]
    ) -> None:
        self.signals, self.has_background = signals, has_background
        self.tag_class = tag_class
        self.images, self.without, self.objects = 0, 0, 0
        self.labelled: Counter[str] = Counter()
        self.classes: set[int] | None = set()
        self.background = False

    def add(self, labels: Mapping[str, Any]) -> None:
        """Take in the labels of an image, as `read_record` returns them."""
        have = [
            name
            for name in self.signals
            if name in labels and labels[name] != SIGNALS[name].nothing
        ]
        self.images += 1
        self.without += not any(is_labelled(labels, signal) for signal in self.signals)
        self.labelled.update(have)
        rows = {signal: SIGNALS[signal] for signal in have}
        self.objects += any(
            row.count_shown(labels[signal], self.has_background) for signal, row in rows.items()
        )
        for signal, row in rows.items():
            classes = row.shown(labels[signal])
            if signal == "tags":
                classes = {self.tag_class[name] for name in labels[signal]["present"]}
            if self.classes is not None:
                self.classes = None if isinstance(classes, int) else self.classes | classes
        drawn = [kind for kind in ("boxes", "outlines") if kind in self.signals]
        outside = "tags" in have or any(is_complete(labels, kind) for kind in drawn)
        self.background |= outside or self.classes is None or 0 in self.classes
