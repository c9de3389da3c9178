"""A second opinion about an image: a linear classifier of cells on frozen features."""

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from vlm_itl.judges.frozen_features import GRID

MAX_CELLS = 30_000
# L-BFGS stops here, mostly before it has converged: a classifier of cells that is stopped early
# agrees with new images better, and costs a fifth.
MAX_ITERATIONS = 20
PRIOR_WEIGHT = 1e-3  # of one average cell a class, against 1 for a cell of a bought mask


class SecondOpinion:
    """Softmax regression from features of cells to classes (multinomial, L2-penalised)."""

    def __init__(
        self, features: Sequence[np.ndarray], shares: Sequence[np.ndarray], weight_decay: float
    ) -> None:
        """Learn from images.

        features: [GRID * GRID, F] float32 of each; shares: [GRID * GRID, C] float32 of each, how
        much of a cell each class covers. The loss is the mean cross-entropy of the labelled share
        plus `weight_decay` times the squared norm of the weights of all classes.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        # Neighbouring cells tell much the same, so many images need not all be read in full.
        step = -(-len(features) * GRID**2 // MAX_CELLS)
        cells = np.concatenate([rows[i % step :: step] for i, rows in enumerate(features)])
        target = np.concatenate([rows[i % step :: step] for i, rows in enumerate(shares)])
        self.scaler = StandardScaler().fit(cells)
        classes = target.shape[1]
        # A cell with several classes is several samples, each weighted by its share. One average
        # cell a class lets classes without any pixel keep their column, at a probability near 0.
        index, labels = np.nonzero(target)
        samples = np.concatenate(
            [
                self.scaler.transform(cells)[index],
                np.zeros((classes, cells.shape[1]), cells.dtype),
            ]
        )
        weights = np.append(target[index, labels], np.full(classes, PRIOR_WEIGHT))
        labels = np.append(labels, np.arange(classes))
        # scikit-learn's C weighs the summed loss against half the squared norm. Of two classes it
        # fits the difference alone, whose squared norm is twice that of the two.
        norms = 1 if classes == 2 else 2
        penalty = norms * weight_decay * float(target.sum())
        self.classifier = LogisticRegression(
            C=1 / penalty if penalty else math.inf, max_iter=MAX_ITERATIONS
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.classifier.fit(samples, labels, weights)

    def __call__(self, features: np.ndarray, size: int) -> np.ndarray:
        """Return class probabilities [C, size, size] float32 for features [GRID * GRID, F]."""
        import torch
        import torch.nn.functional as F

        cells = self.classifier.predict_proba(self.scaler.transform(features))
        grid = torch.from_numpy(cells.astype(np.float32)).T.reshape(1, -1, GRID, GRID)
        return F.interpolate(grid, size=(size, size), mode="bilinear", align_corners=False)[
            0
        ].numpy()


def held_out_opinions(
    features: Mapping[str, np.ndarray],
    shares: Mapping[str, np.ndarray],
    fold_of: Mapping[str, int],
    size_of: Mapping[str, int],
    weight_decay: float,
) -> dict[str, np.ndarray]:
    """Return {id: opinion [C, S, S]} of classifiers that have not learned from the image.

    features, shares: of `SecondOpinion`, by image; fold_of: the part of the images that each
    belongs to, there must be two or more; size_of: S of each image
    """
    opinions = {}
    for fold in sorted(set(fold_of.values())):
        rest = [name for name in features if fold_of[name] != fold]
        classifier = SecondOpinion(
            [features[name] for name in rest], [shares[name] for name in rest], weight_decay
        )
        for name in features:
            if fold_of[name] == fold:
                opinions[name] = classifier(features[name], size_of[name])
    return opinions
