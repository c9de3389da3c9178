"""The small network: one hidden layer on the features of a pixel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from weakseg.learners.logistic import as_rows
from weakseg.learners.penalty import row_keys

DROPOUT = 0.3  # share of the hidden units that are left out at each step


@dataclass(frozen=True)
class SmallNetwork:
    """Logits are `relu(x @ hidden_weights + hidden_bias) @ weights + bias`.

    hidden_weights [D, H], hidden_bias [H], weights [H, C], bias [C]: float32.
    """

    hidden_weights: torch.Tensor
    hidden_bias: torch.Tensor
    weights: torch.Tensor
    bias: torch.Tensor

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits [N, C] of features [N, D]."""
        hidden = torch.addmm(self.hidden_bias, x, self.hidden_weights).relu_()
        return torch.addmm(self.bias, hidden, self.weights)


def mean_network(networks: Sequence[SmallNetwork]) -> SmallNetwork:
    """Return one network, as wide as all of them together, whose logits are the mean of theirs."""
    return SmallNetwork(
        torch.cat([network.hidden_weights for network in networks], 1),
        torch.cat([network.hidden_bias for network in networks]),
        torch.cat([network.weights for network in networks]) / len(networks),
        torch.stack([network.bias for network in networks]).mean(0),
    )


def dropped(values: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Return values with a share set to 0 at random, the rest scaled up to the same mean."""
    if not share:
        return values
    kept = torch.rand(values.shape, generator=generator) >= share
    return values * kept.to(values.dtype).div_(1 - share)


@torch.enable_grad()
def fit_small_network(
    x: Any,
    targets: Any,
    weights: Any,
    num_classes: int,
    hidden: int = 128,
    steps: int = 1500,
    batch: int = 512,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.1,
    input_dropout: float = 0.3,
    dropout: float = DROPOUT,
    seed: int = 0,
) -> SmallNetwork:
    """Train a small network on weighted rows: AdamW, learning rate up and down in one cycle.

    x, targets, weights: as `fit_linear` takes them. A batch draws rows with probability
    proportional to their weights. The seed decides everything: the order of the rows does not
    matter, and PyTorch's own random numbers are left alone.
    """
    rows = as_rows(x, targets, weights, num_classes)
    order = row_keys(rows, seed).argsort(stable=True)
    cumulated = rows.weights[order].double().cumsum(0)
    generator = torch.Generator().manual_seed(seed)

    def drawn(inputs: int, outputs: int) -> torch.Tensor:
        values = torch.randn(inputs, outputs, generator=generator) * (2 / inputs) ** 0.5
        return values.requires_grad_()

    parameters = [
        drawn(rows.x.shape[1], hidden),
        torch.zeros(hidden, requires_grad=True),
        drawn(hidden, num_classes),
        torch.zeros(num_classes, requires_grad=True),
    ]
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps)
    for _ in range(steps):
        points = torch.rand(batch, dtype=torch.float64, generator=generator) * cumulated[-1]
        chosen = order[torch.searchsorted(cumulated, points, right=True).clamp_(max=len(order) - 1)]
        inputs = dropped(rows.x[chosen].float(), input_dropout, generator)
        features = torch.addmm(parameters[1], inputs, parameters[0]).relu()
        logits = torch.addmm(parameters[3], dropped(features, dropout, generator), parameters[2])
        loss = functional.cross_entropy(logits, rows.targets[:, chosen].T.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return SmallNetwork(*(parameter.detach() for parameter in parameters))
