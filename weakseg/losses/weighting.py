"""Learned weights of loss terms."""

import torch
from torch import nn


class UncertaintyWeighting(nn.Module):
    """Learns a weight for each classification term (Kendall et al., CVPR 2018).

    A term becomes exp(-s) * loss + s / 2 with a learned s, the log variance; left alone, s settles
    at log(2 * loss).
    """

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.log_variance = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(())) for name in names}
        )

    def forward(
        self, name: str, value: torch.Tensor, labelled: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the weighed term, a scalar.

        labelled: whether the batch has labels for it, else its s doesn't move; None: a value of
        exactly 0 has none
        """
        s = self.log_variance[name]
        moves = value.detach() != 0 if labelled is None else labelled
        return torch.exp(-s) * value + s / 2 * moves
