"""Which images and labels a run learns from, and what they cost."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from weakseg.common import IGNORE, UserError, stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.labels.costs import Counts, add_counts, price_labels
from weakseg.labels.doubts.extreme_points import ExtremePoints
from weakseg.labels.doubts.from_corner import FromCorner
from weakseg.labels.doubts.letterbox import Letterbox
from weakseg.labels.doubts.lost_origin import LostOrigin
from weakseg.labels.doubts.one_size import OneSize
from weakseg.labels.doubts.percents import Percents
from weakseg.labels.doubts.tangled import Tangled, rings_of
from weakseg.labels.doubts.thousandths import Thousandths
from weakseg.labels.doubts.upper_left import UpperLeft, places_in
from weakseg.labels.formats.records import Shape
from weakseg.labels.label_file import labels_for, of_kinds
from weakseg.labels.label_record import LabelTally
from weakseg.labels.signals import (
    LISTS,
    SIGNALS,
    count_actions,
    is_complete,
    is_labelled,
    was_looked_at,
)

Annotations = Mapping[str, Any]  # of one image: {"size": [width, height], signal: annotation, ...}
NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class TrainingLabels:
    """The labels that one run learns from, and those that choose its checkpoint.

    images          {id: annotations} of the images to train on and of the validation images
    signals         that the run learns from
    selected_with   signals of the validation images that choose the checkpoint
    classes         number of classes that an annotator looks for, the background not counted
    has_background  whether class 0 is one
    notes           lines for people: what the labels lack
    masks           {id: what changes with its mask} of the masks that the run looks at
    helped          {id: kinds of label that a model helped with}
    behind          {id: counts} of the labels that these rest on, see `weakseg.labels.behind`
    sources         {id: who labelled it}, of labels that people drew and a store holds
    """

    images: Mapping[str, Annotations]
    train_ids: Sequence[str]
    val_ids: Sequence[str]
    signals: tuple[str, ...]
    selected_with: tuple[str, ...]
    classes: int
    has_background: bool = True
    notes: tuple[str, ...] = ()
    masks: Mapping[str, str] = field(default_factory=dict)
    helped: Mapping[str, Collection[str]] = field(default_factory=dict)
    behind: Mapping[str, Counts] = field(default_factory=dict)
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Annotations:
        return self.images[name]

    @cached_property
    def all_masks(self) -> bool:
        """Whether every training image has a mask that the run learns from."""
        return all_masked(self.images, self.train_ids, self.signals)

    @cached_property
    def labelled_ids(self) -> list[str]:
        """The training images that any label says something about."""
        return [
            name
            for name in self.train_ids
            if any(is_labelled(self[name], signal) for signal in self.signals)
        ]

    @cached_property
    def cost(self) -> dict[str, Any]:
        """What a person did and needed for the labels of the training images.

        Where a model helped, that includes what it had learned from.
        """
        return self._cost(self.train_ids, self.signals, self.behind if self.is_helped else {})

    @property
    def is_helped(self) -> bool:
        """Whether the run learns from a label that a model helped with."""
        return any({*self.helped.get(name, ())} & {*self.signals} for name in self.train_ids)

    @cached_property
    def selection_cost(self) -> dict[str, Any]:
        """What a person did and needed for the labels that choose the checkpoint."""
        return self._cost(self.val_ids, self.selected_with)

    def _cost(
        self, names: Sequence[str], signals: Sequence[str], behind: Mapping[str, Counts] = NOTHING
    ) -> dict[str, Any]:
        given = self.images, names, signals, self.classes, self.has_background
        return annotation_cost(*given, behind)

    @cached_property
    def digest(self) -> str:
        """A short hash of all annotations and masks that the run learns from and is chosen by."""
        used = {*self.train_ids, *self.val_ids}
        return labels_digest(self.images, used, self.signals, self.masks)


def training_order(
    dataset: SegmentationDataset, seed: int, select_by: str | None = "val_loss"
) -> list[str]:
    """Return the ids to train on in the order in which --train_limit takes them.

    That is the training split. Where there is no image to test on and nothing is chosen by those of
    the validation split, these are trained on too.
    """
    is_whole = not dataset.ids("test") and select_by in (None, "last")
    names = dataset.ids("trainval" if is_whole else "train")
    return sorted(names, key=lambda name: stable_seed(seed, "limit", name))


def training_ids(
    dataset: SegmentationDataset,
    seed: int,
    limit: int | None = None,
    select_by: str | None = "val_loss",
) -> list[str]:
    """Return the ids to train on: all of them, or `limit`; a smaller limit is part of a larger one.

    select_by: what chooses the checkpoint; None: nothing
    Raises `UserError` where the limit exceeds the training split.
    """
    ids = training_order(dataset, seed, select_by)
    if limit and limit > len(ids):
        raise UserError(f"--train_limit {limit}: the training split has {len(ids)} images")
    return sorted(ids[:limit])


def selection_signals(signals: Sequence[str], select_by: str | None) -> tuple[str, ...]:
    """Return the signals whose labels of the validation images choose the checkpoint.

    select_by: a name of `weakseg.training.run.SELECTION`; None where nothing is chosen
    """
    if select_by in (None, "last"):
        return ()
    return tuple(signals) if select_by == "weak_val_loss" else ("full",)


def read_training_labels(
    path: str | Path,
    dataset: SegmentationDataset,
    train_ids: Sequence[str],
    signals: Sequence[str] | None,
    select_by: str | None,
    data_dir: str | Path,
) -> TrainingLabels:
    """Read the labels of a run from a weak-label file, checked against the data set.

    signals: that the run learns from; None: all that any of its images has. Masks that lie in the
        data set are among them where only some images have one
    data_dir: as the user gave it, for the command that a mistake's message proposes
    """
    takes_any = signals is None
    # A data set whose masks are all there has them to simulate or to test, not as labels.
    some_masks = not takes_any or len(dataset.masked(train_ids)) < len(train_ids)
    labels = labels_for(
        path, dataset, train_ids, signals or [*SIGNALS], data_dir, takes_any, some_masks
    )
    signals = tuple(signals or kinds_in(path, labels))
    selected_with = selection_signals(signals, select_by)
    val_ids = dataset.ids("val") if selected_with else []
    if selected_with and not val_ids:
        raise UserError(
            f"--select_by {select_by}: no image is left for validation; take last, or add images"
        )
    if select_by != "weak_val_loss" and val_ids:
        val_ids = dataset.masked(val_ids)
        if not val_ids:
            raise UserError(
                f"--select_by {select_by}: no validation image has a mask; take last, or "
                "weak_val_loss, which looks at their labels"
            )
    counted = tally(labels, signals, dataset)
    notes = check_tally(path, dataset, counted, "training", needs_all=not takes_any)
    if not labels.is_simulated:
        drawn = {name: of_kinds(labels[name], signals) for name in labels}
        notes += [f"{path}: {line}" for line in lines_on_places(drawn)]
    notes += labels.notes
    if labels.strays:
        notes.append(
            f"{path}: {len(labels.strays)} labelled images are not in the data set, the first is "
            f"{labels.strays[0]}"
        )
    masked = [name for name in train_ids if "full" in signals and "full" in labels[name]]
    if masked:
        notes += dataset.check_masks(masked, "training")
    if val_ids:
        needed = tuple(dict.fromkeys((*signals, *selected_with)))
        by_masks = select_by != "weak_val_loss"
        of_val = labels_for(path, dataset, val_ids, needed, data_dir, takes_any, may_miss=by_masks)
        if not by_masks:
            counted = tally(of_val, signals, dataset)
            check_tally(path, dataset, counted, "validation", needs_all=False)
        labels |= of_val
        notes += of_val.notes
        if "full" in selected_with:
            notes += dataset.check_masks(val_ids, "validation")
    return TrainingLabels(
        images=labels,
        train_ids=train_ids,
        val_ids=val_ids,
        signals=tuple(signals),
        selected_with=selected_with,
        classes=len(dataset.object_names),
        has_background=dataset.has_background,
        notes=tuple(notes),
        masks=masks_used(dataset, labels, train_ids, signals)
        | masks_used(dataset, labels, val_ids, selected_with),
        helped=labels.helped,
        behind=labels.behind,
        sources=labels.sources,
    )


def kinds_in(path: str | Path, labels: Mapping[str, Annotations]) -> tuple[str, ...]:
    """Return the kinds of label that any of the images has; none at all is a `UserError`."""
    kinds = {signal for one in labels.values() for signal in SIGNALS if is_labelled(one, signal)}
    if not kinds:
        raise UserError(
            f"{path}: none of the {len(labels)} training images has a label; label some"
        )
    return tuple(signal for signal in SIGNALS if signal in kinds)


def all_masked(
    labels: Mapping[str, Annotations], names: Iterable[str], signals: Collection[str]
) -> bool:
    """Return whether each of the images has a mask that a run of these signals learns from."""
    return "full" in signals and all("full" in labels[name] for name in names)


def masks_used(
    dataset: SegmentationDataset,
    labels: Mapping[str, Annotations],
    names: Iterable[str],
    signals: Collection[str],
) -> dict[str, str]:
    """Return {id: what changes with its mask} of the masks that are labels, by the signals."""
    used = "full" in signals
    return {n: dataset.mask_identity(n) for n in names if used and "full" in labels[n]}


def lines_on_places(labels: Mapping[str, Annotations]) -> list[str]:
    """Return lines where labels lie as on a copy of pictures, or are of no objects' shape."""
    found, outlines = (UpperLeft(), Letterbox(), Thousandths(), Percents()), Tangled()
    sized, drawn = (OneSize(), LostOrigin()), (ExtremePoints(), FromCorner())
    for name, record in labels.items():
        for one in found:
            one.add(name, places_in(record), record["size"])
        for shape in shapes_in(record):
            outlines.add(rings_of(shape), name)
            for tally in sized:
                tally.add(shape, name, record["size"])
            for other in drawn:
                other.add(shape, name)
    return [line for one in (*found, outlines, *sized, *drawn) for line in one.lines()]


def shapes_in(record: Annotations) -> Iterator[Shape]:
    """Yield the boxes, strokes and outlines of an image, see `label_record`; of no class."""
    for box in record.get("boxes", ()):
        yield Shape("box", None, box[:4])
    for stroke in record.get("scribbles", ()):
        yield Shape("stroke", None, {"path": stroke["path"]})
    for one in record.get("outlines", ()):
        yield Shape("outline", None, one["polygon"])


def tally(
    labels: Mapping[str, Annotations], signals: Sequence[str], dataset: SegmentationDataset
) -> LabelTally:
    """Return what labels have of some signals."""
    tag_class = dict(zip(dataset.tag_names, dataset.tag_class, strict=True))
    counted = LabelTally(signals, dataset.has_background, tag_class)
    for annotations in labels.values():
        counted.add(annotations)
    return counted


def check_tally(
    path: str | Path,
    dataset: SegmentationDataset,
    counted: LabelTally,
    split: str,
    needs_all: bool = True,
) -> list[str]:
    """Return lines on what the labels of a split lack; `UserError` where nothing can be learnt.

    path: of the labels
    needs_all: whether each kind of label must be there; few validation images of a mix may lack
        some by chance
    """
    images = f"{counted.images} {split} images"
    lacking = [signal for signal in counted.signals if not counted.labelled[signal]]
    if lacking == [*counted.signals] and not needs_all:
        raise UserError(
            f"{path}: the lists of the {images} are complete and hold nothing "
            f"({', '.join(lacking)}); label what some of them show"
        )
    if lacking and needs_all:
        raise UserError(
            f"{path}: none of the {images} has {lacking[0]}; label some, or take another "
            "--supervision_mode"
        )
    # The first answers of a session may well be about the background alone.
    if not counted.objects and "pixels" not in counted.signals:
        raise UserError(
            f"{path}: the labels of the {images} show no object ({', '.join(counted.signals)}); "
            "label some, or mend their classes"
        )
    notes = []
    if counted.without:
        notes.append(f"{path}: {counted.without} of {images} have no label")
    names = [*enumerate(dataset.class_names)][int(dataset.has_background) :]
    unseen = [name for label, name in names if label not in (counted.classes or ())]
    if unseen and counted.classes is not None:
        notes.append(f"{path}: no label shows {', '.join(unseen)}, so no prediction will")
    if dataset.has_background and not counted.background:
        notes.append(
            f"{path}: no label shows {dataset.class_names[0]}, so a model may see objects "
            "everywhere; click on it too, or say which lists are complete"
        )
    return notes


def refuse_one_class(
    path: str | Path, dataset: SegmentationDataset, labels: TrainingLabels
) -> None:
    """Refuse labels that say of every place that it is of one class, since nothing is beside it.

    Boxes, outlines and tags say something of what is outside too, and first answers may well be of
    one class. path: of the labels
    """
    signals, names = labels.signals, labels.train_ids
    if not {*signals} <= {"full", "points", "scribbles"}:
        return
    marks = [signal for signal in signals if signal != "full"]
    shown = {*(tally({name: labels[name] for name in names}, marks, dataset).classes or ())}
    masked = [name for name in names if "full" in signals and "full" in labels[name]]
    for name, numbers in dataset.mask_numbers(masked).items():
        shown |= {int(label) for label in dataset.lookup(name)[numbers] if label != IGNORE}
    if len(shown) == 1:
        raise UserError(
            f"{path}: the labels of the {len(names)} training images show "
            f"{dataset.class_names[shown.pop()]} alone ({', '.join(signals)}), so that nothing can "
            "be learnt; label what is beside it too"
        )


def annotation_cost(
    labels: Mapping[str, Annotations],
    names: Collection[str],
    signals: Sequence[str],
    classes: int,
    has_background: bool = True,
    behind: Mapping[str, Counts] = NOTHING,
) -> dict[str, Any]:
    """Return what a person did and needed for the labels of `names`, as a result file states it.

    classes: number of classes that the person looks for in each image, the background not counted
    has_background: whether class 0 is one
    behind: {id: counts} of further labels that must have been there; kinds of an image that are
        among `signals` count once
    """
    own = {n: count_actions(labels[n], signals, classes, has_background) for n in names}
    counts = [{**behind.get(n, {}), **own.get(n, {})} for n in {**behind, **own}]
    return price_labels(add_counts(counts), sum(map(was_looked_at, counts)))


def labels_digest(
    labels: Mapping[str, Annotations],
    names: Iterable[str],
    signals: Sequence[str],
    masks: Mapping[str, str] | None = None,
) -> str:
    """Return a short hash of the annotations of `names`, and of their `masks_used`."""
    digest, before = hashlib.sha256(b"["), ""
    for name in sorted(names):
        annotations = labels[name]
        content: tuple[Any, ...] = name, [annotations.get(s) for s in signals]
        some = [s for s in signals if s in LISTS and not is_complete(annotations, s)]
        content += (some,) if some else ()
        content += (masks[name],) if masks and name in masks else ()
        digest.update(f"{before}{content!r}".encode())
        before = ", "
    digest.update(b"]")
    return digest.hexdigest()[:16]
