"""Whether the labels of each photograph agree with those of the others.

Photographs are dealt into folds. For each fold a linear head learns from the labels of all other
photographs, and says what class the labelled pixels of these are of (Stone, "Cross-validatory
choice and assessment of statistical predictions", JRSS B 1974). Labels of other photographs,
swapped classes and answers at random look right one by one; here they are gainsaid.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from weakseg.learners.held_out import held_out_chances
from weakseg.learners.logistic import LinearHead, fit_linear
from weakseg.learners.penalty import folds_of
from weakseg.training.agreement import Agreed, Agreement
from weakseg.training.pixel_sample import LabelledPixels
from weakseg.training.probe_evidence import Evidence
from weakseg.training.probe_fit import evened, rows_of

# The heads only rank photographs, so few folds and rows, and a loose fit, do: 0.3 to 0.9 seconds.
FOLDS, PENALTY, TOLERANCE, MOST_ROWS = 3, 0.3, 1e-3, 10_000
LEAST = 8  # photographs with labels, below which they say little of each other


def cross_validated(
    evidence: Evidence,
    names: Sequence[str],
    classes: Sequence[str],
    seed: int = 0,
    labelled_by: Mapping[str, Sequence[str]] | None = None,
) -> Agreement | None:
    """Return how far the labels of photographs agree; None where nothing can be compared.

    evidence: of photographs of these names; what belongs together is held out together. Boxes and
        tags count as the pixels that their first pseudo-masks label.
    labelled_by: {name: who labelled it}, as `TrainingLabels.sources`
    A class counts where the labels of others show it.
    """
    if np.count_nonzero(evidence.known) < LEAST:
        return None
    rows, _ = rows_of(evidence, evidence.first, len(classes))
    found = held_out(rows, evidence, len(classes), seed)
    known = np.flatnonzero(found >= 0)
    if not len(known):
        return None
    return Agreement(table_of(rows.part(known), found[known], names, classes), labelled_by or {})


def table_of(
    rows: LabelledPixels, found: np.ndarray, names: Sequence[str], classes: Sequence[str]
) -> tuple[Agreed, ...]:
    """Return how far the classes found [N] agree with those of rows, the least first.

    names: of the images that rows number
    """
    owners, members = np.unique(rows.images * len(classes) + rows.classes, return_inverse=True)
    totals = np.zeros((len(owners), len(classes)))
    np.add.at(totals, (members, found), rows.weights)
    own = owners % len(classes)
    totals /= totals.sum(1)[:, None]
    agreed = totals[np.arange(len(owners)), own]
    totals[np.arange(len(owners)), own] = 0
    table = [
        Agreed(
            names[owner // len(classes)],
            classes[own[i]],
            int(np.count_nonzero(members == i)),
            float(agreed[i]),
            classes[totals[i].argmax()] if totals[i].any() else "",
            float(totals[i].max()),
        )
        for i, owner in enumerate(owners)
    ]
    return tuple(sorted(table, key=lambda row: (row.agreed, row.image, row.label)))


def held_out(rows: LabelledPixels, evidence: Evidence, num_classes: int, seed: int) -> np.ndarray:
    """Return the class [N] that labels of other groups give each pixel, -1 where they show none.

    It is none, too, where they don't show the pixel's own class.
    """
    chances, known = held_out_chances(
        evidence.standard(rows.features),
        rows.classes,
        evened(rows, num_classes, 0.5),
        folds_of(groups_of(evidence)[rows.images], FOLDS, seed).numpy(),
        num_classes,
        PENALTY,
        TOLERANCE,
        some_of(len(rows), seed),
    )
    return np.where(known, chances.argmax(1), -1)


def groups_of(evidence: Evidence) -> np.ndarray:
    """Return what each photograph [I] is held out with: its group, where there are enough."""
    known = np.unique(evidence.groups[evidence.known])
    return evidence.groups if len(known) >= FOLDS else np.arange(len(evidence.groups))


def some_of(number: int, seed: int) -> np.ndarray:
    """Return which rows [number] bool a head learns from: at most `MOST_ROWS`, drawn uniformly."""
    learnt = np.zeros(number, bool)
    learnt[np.random.default_rng(seed).permutation(number)[:MOST_ROWS]] = True
    return learnt


def head_of(
    x: np.ndarray, rows: LabelledPixels, counted: np.ndarray, num_classes: int
) -> LinearHead:
    """Return the head that rows of standardised features x [N, D] give, of those counted [N]."""
    weights = evened(rows, num_classes, 0.5)[counted]
    taught = x[counted], rows.classes[counted], weights
    return fit_linear(*taught, PENALTY, num_classes, tolerance=TOLERANCE)
