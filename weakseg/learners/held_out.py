"""What heads say of rows that they did not learn from: those of their own fold."""

import numpy as np
import torch

from weakseg.learners.logistic import TOLERANCE, fit_linear


def held_out_chances(
    x: np.ndarray,
    classes: np.ndarray,
    weights: np.ndarray,
    folds: np.ndarray,
    num_classes: int,
    penalty: float,
    tolerance: float = TOLERANCE,
    learnt: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the class probabilities [N, C] float32 of rows, by a linear head of the other folds.

    They are NaN where the other folds show one class alone. The second array [N] bool says which
    rows are of a class that the other folds show.

    x [N, D]: standardised features; classes, weights, folds [N]: of the rows, as `fit_linear` takes
    them; learnt [N] bool: which rows heads may learn from, None: all
    """
    chances = np.full((len(x), num_classes), np.nan, np.float32)
    known = np.zeros(len(x), bool)
    for fold in np.unique(folds):
        others, own = folds != fold, folds == fold
        if learnt is not None:
            others &= learnt
        shown = np.unique(classes[others])
        if len(shown) > 1:
            taught = x[others], classes[others], weights[others]
            head = fit_linear(*taught, penalty, num_classes, tolerance=tolerance)
            chances[own] = head.logits(torch.from_numpy(x[own])).softmax(1).numpy()
            known[own] = np.isin(classes[own], shown)
    return chances, known
