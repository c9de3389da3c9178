"""What is said of the labels of a run before it learns: how far they agree, and a picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from weakseg.common import evenly
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.data.datasets import say
from weakseg.data.image_io import read_image
from weakseg.data.reading import Source
from weakseg.labels.training_labels import TrainingLabels
from weakseg.learners.encoders import NewEncoder
from weakseg.learners.features import FeatureMaps, FrameSize
from weakseg.pseudo_masks.from_features import FeatureMasks
from weakseg.training import label_picture
from weakseg.training.agreement import NAME, Agreement, means
from weakseg.training.cross_validation import cross_validated
from weakseg.training.other_masks import SPLITS, lines_on_other_masks, other_tables, unlearnt
from weakseg.training.other_positions import position_lines
from weakseg.training.probe_evidence import (
    Evidence,
    FeaturesOf,
    FitSettings,
    feature_masks,
    gather,
)

# What is looked at before a U-Net: how many photographs, by which encoder, and their longer side.
MOST, ENCODER, SIDE = 100, "efficientnet-lite0", 256


@dataclass(frozen=True)
class LabelLook:
    """What is to be told of the labels of a run, and kept in its folder.

    agreement  None where nothing can be compared
    others     {what masks are for: {image: share of its mask that agrees, None where that isn't
        known}, the least first}, of those to test and to validate on
    """

    dataset: SegmentationDataset
    labels: TrainingLabels
    agreement: Agreement | None
    others: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    @property
    def shares(self) -> Mapping[str, float]:
        """{image: share of its labels that agrees}, the least first."""
        return self.agreement.of_images() if self.agreement else {}

    def lines(self, folder: Path) -> list[str]:
        """Return what is to be told of agreement; folder: into which `keep` writes."""
        return self.agreement.lines(folder / NAME) if self.agreement else []

    def keep(self, folder: Path) -> None:
        """Write the table and the picture, each atomically, and ask to look at the picture."""
        if self.agreement:
            self.agreement.write(folder / NAME)
        picture = folder / label_picture.NAME
        label_picture.draw_labels(picture, self.dataset, self.labels, self.shares, self.others)
        say([label_picture.picture_line(picture, self.shares)])


def of_a_probe(
    run: FitSettings,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    features: FeaturesOf,
    evidence: Evidence,
    with_other_masks: bool = True,
) -> LabelLook:
    """Return what is to be told of the labels that a probe is to learn from.

    evidence: of these labels
    with_other_masks: whether masks to test and to validate on may be looked at as well
    """
    names, classes = labels.train_ids, dataset.class_names
    agreement = cross_validated(evidence, names, classes, run.seed, labels.sources)
    tables, others = {}, dict[str, Mapping[str, float | None]]()
    if with_other_masks:
        tables = other_tables(run, dataset, labels, features, evidence)
        for split, words in SPLITS.items():
            shares = means([(row.image, row.agreed) for row in tables.get(split, ())])
            others[words] = shares or dict.fromkeys(unlearnt(dataset, labels, split))
    if agreement:
        are_told = not agreement.no_better_than_a_guess()
        notes = [*position_lines(run, dataset, labels, features, are_told)]
        notes += lines_on_other_masks(tables, labels, agreement)
        agreement = replace(agreement, notes=tuple(notes))
    return LabelLook(dataset, labels, agreement, others)


def of_a_network(
    run: FitSettings,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    squares: ResizedCache,
    with_other_masks: bool = True,
) -> LabelLook:
    """Return what is to be told of labels that a network is to learn from, by the probe's features.

    At most `MOST` photographs are looked at, which are taken from all over the list.

    run: its settings, as a probe has them; squares: of the photographs, of any size
    with_other_masks: as `of_a_probe` takes it
    """
    some = replace(labels, train_ids=tuple(evenly(labels.train_ids, MOST)))
    encoder = NewEncoder(ENCODER, "imagenet", FrameSize(SIDE))()

    @cache
    def features(photograph: Source) -> FeatureMaps:
        return encoder(read_image(photograph))

    masks = FeatureMasks(dataset, run.signals, squares)
    masks = feature_masks(run, dataset, some, features, masks)
    evidence = gather(run, dataset, some, features, masks)
    return of_a_probe(run, dataset, some, features, evidence, with_other_masks)
