"""The classes of one photograph: a prediction follows how much of each it seems to show."""

import numpy as np

POWER = 0.5  # of the ratio of shares; 1 trusts the probabilities, which labels in doubt distort
STEPS = 3  # further ones change nothing that can be seen
LEAST = 1e-3  # of its usual share that a class has at least in a photograph


def follow_shares(chances: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return class probabilities [C, H, W] float32 for a photograph with shares of its own.

    A photograph shows few of many classes. Its shares are the means of its probabilities; these are
    multiplied by the ratio of its shares to the usual ones, and the shares are found again, as in
    Saerens, Latinne & Decaestecker, "Adjusting the outputs of a classifier to new a priori
    probabilities" (2002), with a power of the ratio below 1. A background, which every photograph
    shows, keeps its probability: the objects share the rest.

    chances [C, H, W] float32, which sum to 1
    usual   shares in other photographs, above 0: [C], or [C - 1] where class 0 is a background
    """
    first = len(chances) - len(usual)
    rest = 1 - chances[:first].sum(0)
    objects = chances[first:]
    for _ in range(STEPS):
        shares = objects.mean((1, 2), dtype=np.float64)
        factors = ((shares + LEAST * usual) / usual) ** POWER
        objects = chances[first:] * factors.astype(np.float32)[:, None, None]
        objects *= rest / np.maximum(objects.sum(0), np.finfo(np.float32).tiny)
    return np.concatenate([chances[:first], objects])
