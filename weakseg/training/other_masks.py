"""What the masks that are learned from say of those to test and to validate on.

Nothing is chosen by it, and no score is told unless masks look wrong: a person looks at these.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from weakseg.common import UserError, evenly, stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.labels.training_labels import TrainingLabels
from weakseg.training.agreement import (
    FEW,
    Agreed,
    Agreement,
    beyond_classes,
    is_clearly_less,
    means,
    percent,
    worst,
)
from weakseg.training.cross_validation import head_of, some_of, table_of
from weakseg.training.pixel_sample import LabelledPixels, merged
from weakseg.training.probe_evidence import (
    Evidence,
    FeaturesOf,
    FitSettings,
    labelled,
    pixels_of,
    pixels_per_image,
)
from weakseg.training.probe_fit import rows_of

SPLITS = {"test": "masks to test on", "val": "masks to validate on"}
MOST = 40  # photographs of each split that are looked at
ENOUGH = 4  # of them, and of those to train on, from which on they are compared
# Photographs of other places may be harder: up to 0.14 less, and eight standard errors, of right
# masks that were learned from one film, or from the first of a list by names.
LESS, ERRORS = 0.15, 4.0
FAR = 3  # standard deviations of those to train on, below which some are told


def other_tables(
    run: FitSettings,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    features: FeaturesOf,
    evidence: Evidence,
) -> dict[str, tuple[Agreed, ...]]:
    """Return {split: how far its masks agree with those learned from}, to test and to validate.

    evidence: of the training images; without masks among them there are no tables
    """
    if "full" not in run.signals or not any("full" in labels[name] for name in labels.train_ids):
        return {}
    num_classes = len(dataset.class_names)
    rows, _ = rows_of(evidence, evidence.first, num_classes)
    learnt = some_of(len(rows), run.seed)
    head = head_of(evidence.standard(rows.features), rows, learnt, num_classes)
    tables = {}
    for split in SPLITS:
        pixels, names = pixels_of_masks(run, dataset, labels, features, evidence, split)
        pixels = pixels.part(np.isin(pixels.classes, rows.classes[learnt]))
        x = torch.from_numpy(evidence.standard(pixels.features))
        found = head.logits(x).argmax(1).numpy()
        tables[split] = table_of(pixels, found, names, dataset.class_names)
    return tables


def lines_on_other_masks(
    tables: Mapping[str, Sequence[Agreed]], labels: TrainingLabels, agreement: Agreement
) -> list[str]:
    """Return lines on masks to test and to validate on that look wrong beside those learned from.

    tables: of `other_tables`; agreement: of the training images
    """
    usual = [row for row in agreement.rows if "full" in labels[row.image]]
    return [
        line
        for split, table in tables.items()
        for line in lines_of_split(SPLITS[split], table, usual)
    ]


def pixels_of_masks(
    run: FitSettings,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    features: FeaturesOf,
    evidence: Evidence,
    split: str,
) -> tuple[LabelledPixels, list[str]]:
    """Return pixels of masks of a split that no training image has, and the images they number."""
    count = pixels_per_image(run.probe.pixels, len(labels.train_ids))
    names = [*evenly(unlearnt(dataset, labels, split), MOST)]
    parts = []
    for number, name in enumerate(names):
        rng = np.random.default_rng(stable_seed(run.seed, "pixels", name))
        with contextlib.suppress(UserError):  # whoever needs the mask says what is wrong
            maps = features(dataset.photograph(name))
            drawn = pixels_of(dataset.mask(name), maps.size, count, rng)
            parts.append(labelled(drawn, maps, number))
    return merged(parts, evidence.pool[0]), names


def unlearnt(dataset: SegmentationDataset, labels: TrainingLabels, split: str) -> list[str]:
    """Return the images of a split that have a mask, and that nothing is learned from."""
    learnt = {*labels.train_ids}
    return dataset.masked([name for name in dataset.ids(split) if name not in learnt])


def lines_of_split(words: str, table: Sequence[Agreed], usual: Sequence[Agreed]) -> Iterator[str]:
    """Yield lines on masks of a split that agree little with those to train on.

    words: what the masks are; usual: the rows of those to train on, of the same classes or others
    """
    shares, trained = (means([(row.image, row.agreed) for row in one]) for one in (table, usual))
    beyond = beyond_classes(table, usual), beyond_classes(usual, usual)
    if min(len(shares), len(trained), len(beyond[0])) < ENOUGH:
        return
    values, rest = shares_of(shares), shares_of(trained)
    start, limits = "cross-validation: the masks to train on agree with", (LESS, ERRORS)
    pairs = (values, rest), (shares_of(beyond[0]), shares_of(beyond[1]))
    if all(is_clearly_less(own, others, *limits) for own, others in pairs):
        yield (
            f"{start} {percent(values.mean())} of the {words}, but with {percent(rest.mean())} of "
            f"each other; those {words.removeprefix('masks ')} may be wrong, or those to train on, "
            f"or the photographs others: least with {worst(shares)}"
        )
        return
    least = min(FEW, rest.mean() - FAR * rest.std())
    little = {name: share for name, share in shares.items() if share < least}
    if little:
        yield (
            f"{start} less than {percent(FEW)} in {len(little)} of {len(shares)} {words}: "
            f"{worst(little)}; look at {'it' if len(little) == 1 else 'them'}"
        )


def shares_of(images: Mapping[str, float]) -> np.ndarray:
    """Return the shares [N] of {image: share}."""
    return np.array([*images.values()])
