"""How strongly the linear head is held back: its penalty by cross-validation over images.

Pixels of one image are alike, so whole images are held out. The labels at hand are all it needs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from weakseg.learners.logistic import Axes, LinearHead, Rows, as_rows, axes_of, fit_rows

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
MOST_ROWS = 20_000
TOLERANCE = 2e-4  # of the fits; held-out losses then differ by less than the penalties make them


@dataclass(frozen=True)
class Choice:
    """The penalty of the least held-out loss, and the loss of each penalty that was tried.

    axes: of the rows, for fits on the same features.
    """

    penalty: float
    losses: dict[float, float]
    axes: Axes | None = None


def row_keys(rows: Rows, seed: int) -> torch.Tensor:
    """Return a number [N] for each row, random by the seed, that features and targets decide.

    Sorting by it shuffles rows alike whatever order they come in.
    """
    generator = torch.Generator().manual_seed(seed)
    keys = torch.zeros(len(rows.x), dtype=torch.int64)
    for column in (rows.x, rows.targets.T):
        factors = torch.randint(-(2**62), 2**62, column.shape[1:], generator=generator) * 2 + 1
        for first in range(0, len(keys), 4096):
            bits = column[first : first + 4096].float().contiguous().view(torch.int32).long()
            keys[first : first + 4096] += (bits * factors).sum(1)
    return (keys ^ (keys >> 29)) * -4658895280553007687  # low bits reach the high ones


def folds_of(groups: Any, folds: int, seed: int) -> torch.Tensor:
    """Return the fold [N] of each row: groups are dealt out in an order that the seed decides."""
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    folds = min(folds, len(names))
    dealt = np.empty(len(names), dtype=np.int64)
    dealt[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % folds
    return torch.as_tensor(dealt[members.reshape(-1)])


def choose_penalty(
    x: Any,
    targets: Any,
    weights: Any,
    groups: Any,
    num_classes: int,
    penalties: tuple[float, ...] = PENALTIES,
    folds: int = 3,
    seed: int = 0,
) -> Choice:
    """Return the penalty with the least cross-entropy on held-out groups.

    x, targets, weights: as `fit_linear` takes them; groups [N]: the image of each row, by number
    or name. At most MOST_ROWS rows are used, drawn by the seed. Penalties are tried from the
    largest; once two in a row are worse than the best, smaller ones are not tried. A class that
    other folds lack does not count. With one group nothing can be held out: the middle penalty.
    """
    penalties = tuple(sorted(penalties, reverse=True))
    groups, weighty = np.asarray(groups), np.asarray(weights) > 0
    if groups.shape != weighty.shape:
        raise ValueError(f"groups of shape {groups.shape} for weights of shape {weighty.shape}")
    rows = as_rows(x, targets, weights, num_classes)
    members = folds_of(groups[weighty], folds, seed)
    if len(members) > MOST_ROWS:
        kept = row_keys(rows, seed).argsort(stable=True)[:MOST_ROWS]
        rows, members = part(rows, kept), members[kept]
    axes = axes_of(rows.x, rows.weights)
    splits = [(members != fold, members == fold) for fold in members.unique()]
    if len(splits) == 1:
        return Choice(penalties[len(penalties) // 2], {}, axes)
    heads: list[LinearHead | None] = [None] * len(splits)
    losses: dict[float, float] = {}
    best, worse = penalties[0], 0
    for penalty in penalties:
        losses[penalty] = 0.0
        for number, (known, held) in enumerate(splits):
            learned = part(rows, known)
            heads[number] = head = fit_rows(learned, penalty, heads[number], axes, TOLERANCE)
            losses[penalty] += held_out_loss(head, learned, rows, held)
        best = min(losses, key=losses.__getitem__)
        worse = worse + 1 if penalty != best else 0
        if worse == 2:
            break
    return Choice(best, losses, axes)


def part(rows: Rows, chosen: torch.Tensor) -> Rows:
    """Return some rows, by number or by mask, with weights that sum to 1 again."""
    weights = rows.weights[chosen]
    return Rows(rows.x[chosen], rows.targets[:, chosen], weights / weights.sum())


def held_out_loss(head: LinearHead, learned: Rows, rows: Rows, held: torch.Tensor) -> float:
    """Return the summed weighted cross-entropy of held rows, of classes with a learned example."""
    log_p = head.logits(rows.x[held]).log_softmax(1).T
    log_p[learned.targets.sum(1) == 0] = 0.0
    losses = (rows.targets[:, held] * log_p).sum(0)
    return -float(losses.double() @ rows.weights[held].double())
