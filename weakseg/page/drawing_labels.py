"""Labels of a session's store as a fit takes them, by the classes that the page has at present."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from weakseg.data.base import SegmentationDataset
from weakseg.labels.carried import Carried, label_record, merged
from weakseg.labels.formats.painting import mask_of
from weakseg.labels.formats.records import Classes
from weakseg.labels.signals import SIGNALS, is_labelled
from weakseg.labels.store import Given
from weakseg.labels.training_labels import TrainingLabels
from weakseg.page.drawing_checks import checked_record, tag_names


def as_on_page(dataset: SegmentationDataset, classes: Classes) -> SegmentationDataset:
    """Return a data set with the classes of the page, which may have more than it began with."""
    one, tags = copy.copy(dataset), tag_names(dataset, classes)
    one.class_names, one.tag_names = [*classes.names], [*tags]
    return one


@dataclass
class DrawnLabels:
    """Labels of pictures, which a probe learns from; pictures without any are left out.

    dataset  with the classes of the page
    records  {id: labels, as `TrainingLabels` has them}
    carried  {id: the shapes behind them}
    faults   {id: why its labels can't be learned from}
    """

    dataset: SegmentationDataset
    classes: Classes
    records: dict[str, Any] = field(default_factory=dict)
    carried: dict[str, Carried] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, sources: Mapping[str, Given]) -> None:
        """Take in what sources say of a picture."""
        size, tags = self.dataset.image_size(name), self.dataset.tag_names
        carried = merged(sources)
        try:
            record = label_record(carried, self.classes.names, tags, self.classes.has_background)
            record = checked_record(record, size, self.classes, tags)
        except ValueError as error:
            self.faults[name] = str(error)
            return
        if any(is_labelled(record, signal) for signal in SIGNALS):
            self.records[name], self.carried[name] = record, carried

    @property
    def signals(self) -> tuple[str, ...]:
        """The kinds of label that say where something is; tags do beside others."""
        rows = self.records.values()
        kinds = [signal for signal in SIGNALS if any(is_labelled(one, signal) for one in rows)]
        return tuple(kinds) if {*kinds} != {"tags"} else ()

    def of_training(self) -> TrainingLabels:
        """Return them as labels of a run."""
        return TrainingLabels(
            images=self.records,
            train_ids=[*self.records],
            val_ids=[],
            signals=self.signals,
            selected_with=(),
            classes=len(self.classes.objects),
            has_background=self.classes.has_background,
        )

    def mask(self, name: str) -> np.ndarray:
        """Return the mask [H, W] uint8 that the areas of a picture make."""
        carried, size = self.carried[name], self.dataset.image_size(name)
        return mask_of(carried.shapes, size, self.classes, "full" in carried.complete)
