"""A picture of the labels that a run learns from, which a person looks at before trusting it.

It shows what no model can tell: that the names of two classes are exchanged in all photographs, or
that an object is missing in each.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from weakseg.common import IGNORE, UserError, spread
from weakseg.data.base import SegmentationDataset
from weakseg.labels.signals import kinds_of
from weakseg.labels.training_labels import TrainingLabels
from weakseg.reporting.pictures import label_preview, overlay, thumbnail
from weakseg.training.agreement import percent

NAME = "labels.png"  # in the folder of a run
SHOWN = 12  # photographs
WORST = 6  # of them, those that agree the least
OTHERS = 4  # masks to test on, and as many to validate on, which are shown as well
NAMED = 4  # classes above a photograph


def shown_ids(labels: TrainingLabels, shares: Mapping[str, float]) -> list[str]:
    """Return the labelled images to show: the least agreeing, then some from all over the list.

    shares: {image: share of its labels that agrees}, the least first; may lack some, or all
    """
    worst = [*shares][:WORST]
    others = [name for name in labels.labelled_ids if name not in worst]
    return worst + spread(others, SHOWN - len(worst))


def draw_labels(
    path: Path,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    shares: Mapping[str, float],
    others: Mapping[str, Mapping[str, float | None]],
) -> None:
    """Draw the labels of some images over them, and masks for other ends, as a PNG.

    shares: as `shown_ids` takes it; others: {what masks are for: {image: the share that agrees}}
    """
    tiles = [
        tile_of(dataset, name, labels[name], labels.signals, shares.get(name))
        for name in shown_ids(labels, shares)
    ]
    for words, masks in others.items():
        known = [name for name, share in masks.items() if share is not None]
        for name in known[:OTHERS] or spread([*masks], OTHERS):
            with contextlib.suppress(UserError):  # whoever needs the mask says what is wrong
                tiles.append(tile_of(dataset, name, {"full": {}}, ["full"], masks[name], words))
    label_preview(path, tiles, dataset.class_names)


def picture_line(path: Path, shares: Mapping[str, float]) -> str:
    """Return the line that asks to look at the picture; shares: as `shown_ids` takes it."""
    first = "first those that agree the least" if shares else "from all over the list"
    return f"look at what the labels of some photographs say, {first}: {path}"


def tile_of(
    dataset: SegmentationDataset,
    name: str,
    label: Mapping[str, Any],
    signals: Sequence[str],
    share: float | None,
    what: str = "",
) -> dict[str, Any]:
    """Return a tile for `label_preview`: a photograph with the labels of these signals.

    Classes are named above it, so that somebody sees names that are exchanged.
    share: of its labels that agrees, None where that isn't known; what: the photograph is
    """
    image = np.asarray(dataset.image(name))
    unnamed = {0, IGNORE} if dataset.has_background else {IGNORE}
    kinds, height, width = kinds_of(label, signals), *image.shape[:2]
    annotation = {kind: label[kind] for kind in kinds if kind != "full"}
    small, classes = thumbnail(image), classes_in(annotation)
    if "full" in kinds:
        mask = cv2.resize(dataset.mask(name), small.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        small = overlay(small, mask, has_background=dataset.has_background)
        classes |= {*np.unique(mask).tolist()}
    if "tags" not in annotation:
        named = [dataset.class_names[one] for one in sorted(classes - unnamed)]
        more = [f"{len(named) - NAMED} more"] if len(named) > NAMED else []
        annotation["tags"] = {"present": named[:NAMED] + more}
    words = [what.removeprefix("masks "), percent(share) if share is not None else "", name]
    title = "  ".join(word for word in words if word)
    return {"title": title, "image": small, "size": (height, width), "annotation": annotation}


def classes_in(annotation: Mapping[str, Any]) -> set[int]:
    """Return the numbers of the classes that labels other than masks and tags name."""
    things = (thing for kind, own in annotation.items() if kind != "tags" for thing in own)
    return {int(thing["class"] if isinstance(thing, Mapping) else thing[-1]) for thing in things}
