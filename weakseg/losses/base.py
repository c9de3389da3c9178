"""What all losses return, and how they check the shapes of their inputs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True, eq=False)
class Mean:
    """A sum over `count` labelled items, or of each of several groups that weigh the same.

    total   scalar tensor, or [G]; differentiable
    count   scalar tensor, or [G]; no gradient
    """

    total: torch.Tensor
    count: torch.Tensor

    @property
    def value(self) -> torch.Tensor:
        """The mean over the items, or over the groups' means; 0 where nothing is labelled."""
        known = self.count > 0
        means = torch.where(known, self.total / torch.where(known, self.count, 1), 0)
        return means.sum() / known.sum().clamp(min=1)


def at_least_single(values: torch.Tensor) -> torch.Tensor:
    """Lift half precision to float32, for sums over many pixels; double precision stays."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def expect_shape(name: str, tensor: torch.Tensor, shape: Sequence[int]) -> None:
    """Raise ValueError unless the tensor has this shape."""
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(
            f"{name} has the shape {tuple(tensor.shape)}, the probabilities call for {tuple(shape)}"
        )


class BaseCriterion(nn.Module, ABC):
    """What the training loop asks of the losses; `losses.Criterion` is the one that is used.

    Called with (outputs, targets, cam) it returns {term: Mean} of the labels.

    weights    {term: weight} of the terms that count
    cam_scale  by which images are enlarged for activation maps
    """

    weights: dict[str, float]
    cam_scale: float

    @property
    @abstractmethod
    def blind(self) -> bool:
        """Whether tags are the only labels: no loss looks at pixels before there are CAMs."""

    @abstractmethod
    def extras(
        self,
        outputs: Mapping[str, torch.Tensor],
        batch: Mapping[str, Any],
        teacher: torch.Tensor | None,
        progress: float,
    ) -> dict[str, Mean]:
        """Return {term: Mean} of what the recipe adds, after a share `progress` of the training."""

    @abstractmethod
    def of_masks(self, outputs: Mapping[str, torch.Tensor], mask: torch.Tensor) -> Mean:
        """Return the loss on ground truth [B, H, W], which validation looks at."""

    @abstractmethod
    def combine(
        self,
        values: Mapping[str, torch.Tensor],
        outputs: Mapping[str, torch.Tensor],
        labelled: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return the loss to minimise, a scalar."""

    @abstractmethod
    def weighted(self, values: Mapping[str, float]) -> float:
        """Return the weighted sum of plain numbers."""
