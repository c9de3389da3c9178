"""The mean teacher: a slowly moving copy of the network that labels what nobody did."""

import torch

from weakseg.losses.base import at_least_single


class Teacher:
    """An exponential moving average of a network (mean teacher: Tarvainen & Valpola, NeurIPS
    2017).
    """

    def __init__(self, model, decay, device=None):
        from torch.optim.swa_utils import AveragedModel

        self.decay = decay
        self.average = AveragedModel(model, device, multi_avg_fn=self.blend, use_buffers=True)
        self.average.requires_grad_(False).eval()

    def blend(self, averages, values, count):
        """Move the averages towards the values: quickly at first, as in the running mean."""
        from torch.optim.swa_utils import get_ema_multi_avg_fn

        get_ema_multi_avg_fn(min(self.decay, float(1 + count) / float(10 + count)))(
            averages, values, count
        )

    @torch.no_grad()
    def __call__(self, image, autocast):
        """Return the softmax [B, C, H, W] of images, computed under the context `autocast()`."""
        with autocast():
            logits = self.average.module.segment(image)
        return at_least_single(logits).softmax(1)

    def update(self, model):
        """Learn from the network after a step."""
        self.average.update_parameters(model)

    def state_dict(self):
        return self.average.state_dict()

    def load_state_dict(self, state):
        self.average.load_state_dict(state)
