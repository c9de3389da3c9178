"""The U-Net that begins as a probe: its coarse path is the probe, its decoder adds what is missing.

At first the decoder adds nothing, so the network predicts what the probe does. The encoder's batch
norms keep the statistics of ImageNet, by which the probe was fitted.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from weakseg.learners.features import stages_of
from weakseg.learners.logistic import LinearHead
from weakseg.learners.probe import Probe
from weakseg.learners.unet import SegmentationModel

PREFIX = "probe_head."  # of the head's tensors in a network's state


class ProbeHead(nn.Module):
    """A `Probe` as a part of a network: stages [B, C_k, h_k, w_k] of an encoder -> class logits.

    channels  of each stage that the probe sees, C_k; they are the last ones of the encoder
    hidden    units of a small network; 0: the probe is linear
    """

    def __init__(self, channels: Sequence[int], classes: int, hidden: int = 0) -> None:
        super().__init__()
        width = hidden or classes
        self.classes = classes
        self.project = nn.ModuleList(nn.Conv2d(each, width, 1, bias=False) for each in channels)
        self.bias = nn.Parameter(torch.zeros(width))
        self.classify = nn.Conv2d(hidden, classes, 1) if hidden else None

    def forward(self, stages: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Return class logits [B, C, *size] of all stages of an encoder, the finest first."""
        seen = stages[-len(self.project) :]
        finest = size if self.classify is None else seen[0].shape[-2:]
        x = self.bias[:, None, None]
        for project, stage in zip(self.project, seen, strict=True):
            x = x + enlarged(project(stage), finest)
        return x if self.classify is None else enlarged(self.classify(x.relu()), size)

    @classmethod
    def of_probe(cls, probe: Probe, channels: Sequence[int]) -> "ProbeHead":
        """Return the head that predicts what a probe of these stages does."""
        small = None if isinstance(probe.head, LinearHead) else probe.head
        head = cls(channels, probe.num_classes, 0 if small is None else len(small.hidden_bias))
        if isinstance(probe.head, LinearHead):
            weights, bias = probe.folded(probe.head.weights, probe.head.bias)
        else:
            weights, bias = probe.folded(probe.head.hidden_weights, probe.head.hidden_bias)
        parts = torch.split(weights, list(channels))
        state = {f"project.{number}.weight": kernel(part) for number, part in enumerate(parts)}
        state["bias"] = bias
        if small is not None:
            state |= {"classify.weight": kernel(small.weights), "classify.bias": small.bias}
        head.load_state_dict(state)
        return head

    @classmethod
    def of_state(cls, state: Mapping[str, torch.Tensor], classes: int) -> "ProbeHead":
        """Return a head, its weights not loaded, of the shape that a network's state asks for."""
        names = [name for name in state if name.startswith(f"{PREFIX}project.")]
        channels = [state[name].shape[1] for name in names]
        small = f"{PREFIX}classify.weight" in state
        return cls(channels, classes, len(state[f"{PREFIX}bias"]) if small else 0)


class ProbeUnet(SegmentationModel):
    """A `SegmentationModel` whose coarse logits are a `ProbeHead`'s, and whose decoder begins at 0.

    It takes over the parts of a model, whose encoder must be smp's around a network of timm.

    frozen: whether the encoder learns nothing; then its stages take no gradient
    edges: as of the probe, radius within which predictions follow edges, in longer sides
    """

    frozen = False
    edges: torch.Tensor  # a scalar

    def __init__(self, model: SegmentationModel, head: ProbeHead, edges: float = 0.0) -> None:
        super().__init__(model.unet, head.classes, model.num_tags)
        self.tag_head, self.mean, self.std = model.tag_head, model.mean, model.std
        self.probe_head = head
        self.register_buffer("edges", torch.tensor(edges))
        for parameter in self.unet.segmentation_head.parameters():
            nn.init.zeros_(parameter)

    def train(self, mode: bool = True) -> "ProbeUnet":
        """Set the mode of all parts but the encoder, whose batch norms stay as they are."""
        super().train(mode)
        self.unet.encoder.eval()
        return self

    def encode_with_logits(self, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """Return the decoder's stages and the probe's logits of a `normalised` image."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            groups = stages_of(self.unet.encoder.model, x)
        by_size = {group.shape[-1]: group for group in groups}  # the last one of each size
        return [x, *by_size.values()], self.probe_head(groups, x.shape[-2:])


def kernel(weights: torch.Tensor) -> torch.Tensor:
    """Return weights [D, K] of features as a kernel [K, D, 1, 1] of a convolution."""
    return weights.T[:, :, None, None]


def enlarged(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Return maps [B, C, h, w] at another size, [B, C, *size], bilinearly."""
    return F.interpolate(x, size=list(size), mode="bilinear", align_corners=False)
