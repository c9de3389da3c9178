"""The mean teacher: a slowly moving copy of the network that labels what nobody did."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from weakseg.learners.unet import SegmentationModel
from weakseg.losses.base import at_least_single


class Teacher:
    """An exponential moving average of a network (Tarvainen & Valpola, NeurIPS 2017)."""

    def __init__(
        self, model: SegmentationModel, decay: float, device: torch.device | None = None
    ) -> None:
        self.decay = decay
        self.average = AveragedModel(model, device, multi_avg_fn=self.blend, use_buffers=True)
        self.average.requires_grad_(False).eval()

    @property
    def network(self) -> SegmentationModel:
        """The averaged network."""
        network: Any = self.average.module
        return network

    def blend(self, averages: Any, values: Any, count: Any) -> None:
        """Move the averages towards the values: quickly at first, as in the running mean."""
        decay = min(self.decay, float(1 + count) / float(10 + count))
        get_ema_multi_avg_fn(decay)(averages, values, count)

    @torch.no_grad()
    def __call__(
        self, image: torch.Tensor, autocast: Callable[[], AbstractContextManager]
    ) -> torch.Tensor:
        """Return the softmax [B, C, H, W] of images, computed under the context `autocast()`."""
        with autocast():
            logits = self.network.segment(image)
        return at_least_single(logits).softmax(1)

    def update(self, model: nn.Module) -> None:
        """Learn from the network after a step."""
        self.average.update_parameters(model)

    def state_dict(self) -> dict[str, Any]:
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state)
