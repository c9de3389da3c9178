"""The two networks behind one contract: SegFormer, and the U-Net of `weakseg.learners.unet`.

forward(image [B, 3, S, S] uint8) -> the dict of `SegmentationModel`: seg, tags, cam, features,
decoded; classify(decoded, size) -> logits, random while `dropout` is in training mode.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from model import build_model
from vlm_itl.sections import Model
from weakseg.common import UserError, reason
from weakseg.hub_access import quick_download
from weakseg.learners.unet import IMAGENET, TagHead, deepest, log_sum_exp_pool

if TYPE_CHECKING:  # transformers takes seconds to import
    from transformers import SegformerForSemanticSegmentation

# A SegFormer of 0.4 million parameters, randomly initialised: for tests and for trying things out
# without a hub.
TINY: dict[str, Any] = {
    "hidden_sizes": [16, 32, 48, 64],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 2, 4],
    "decoder_hidden_size": 64,
}


class SegFormer(nn.Module):
    """SegFormer (Xie et al., NeurIPS 2021) with a head for tags on its two deepest stages.

    The logits are predicted at a quarter of the image's size and enlarged bilinearly.
    """

    mean: torch.Tensor
    std: torch.Tensor
    cam_scale = 1.0  # activation maps are taken at the image's own size

    def __init__(
        self, segformer: "SegformerForSemanticSegmentation", num_tags: int, dropout: float
    ) -> None:
        super().__init__()
        self.classifier = segformer.decode_head.classifier
        segformer.decode_head.classifier = nn.Identity()
        segformer.decode_head.dropout = nn.Identity()
        self.segformer = segformer
        self.dropout = nn.Dropout2d(dropout)
        self.tag_head = TagHead(sum(segformer.config.hidden_sizes[-2:]), num_tags)
        mean, std = IMAGENET
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the outputs that the module's docstring names."""
        x = (image.to(self.mean.dtype) - self.mean) / self.std
        stages = self.segformer.segformer(x, output_hidden_states=True).hidden_states
        decoded = self.segformer.decode_head(stages)
        features = deepest(stages)
        maps = self.tag_head(features)
        seg = self.classify(decoded, image.shape[-2:])
        return {
            "seg": seg,
            "tags": log_sum_exp_pool(maps),
            "cam": maps,
            "features": features,
            "decoded": decoded,
        }

    def classify(self, decoded: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """Return class logits [B, C, *size] of decoded features [B, D, H/4, W/4]."""
        logits = self.classifier(self.dropout(decoded))
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)

    def save_pretrained(self, folder: Path) -> None:
        """Write the network, without its tags, as transformers' `from_pretrained` reads it."""
        head = self.segformer.decode_head
        head.classifier = self.classifier
        self.segformer.save_pretrained(folder)
        head.classifier = nn.Identity()


def is_segformer(name: str) -> bool:
    """Whether a `model.name` is a SegFormer's: the tiny one, a hub id (owner/name), or a folder."""
    return name == "segformer-tiny" or "/" in name or Path(name).is_dir()


def build_network(options: Model, class_names: Sequence[str], num_tags: int) -> nn.Module:
    """Return the network that the config's section `model` describes, on the CPU.

    Raises `UserError` for an unknown name and for weights that can't be had.
    """
    if is_segformer(options.name):
        return SegFormer(load_segformer(options, class_names), num_tags, options.dropout)
    try:
        return build_model(
            options.name, len(class_names), num_tags, options.weights, options.dropout
        )
    except UserError as error:
        reason = str(error).removeprefix(f"--encoder {options.name}: ")
        raise UserError(f"model.name {options.name}: {reason}") from error


def load_segformer(
    options: Model, class_names: Sequence[str]
) -> "SegformerForSemanticSegmentation":
    """Return a hub's SegFormer, a folder's or the tiny one, with a head for `class_names`."""
    from transformers import AutoConfig, SegformerConfig, SegformerForSemanticSegmentation

    names = dict(enumerate(class_names))
    labels: dict[str, Any] = {
        "id2label": names,
        "label2id": {name: i for i, name in names.items()},
        "num_labels": len(names),
    }
    if options.name == "segformer-tiny":
        return SegformerForSemanticSegmentation(SegformerConfig(**TINY, **labels))
    try:
        with quick_download():
            config = AutoConfig.from_pretrained(options.name, **labels)
            # Upstream would only warn, and start from random weights.
            if config.model_type != "segformer":
                raise ValueError(f"it is a {config.model_type}, not a SegFormer")
            if options.weights == "none":
                return SegformerForSemanticSegmentation(config)
            return SegformerForSemanticSegmentation.from_pretrained(
                options.name, config=config, ignore_mismatched_sizes=True
            )
    except (OSError, ValueError, RuntimeError) as error:
        why = reason(error, 120)
        raise UserError(
            f"model.name {options.name}: could not be loaded ({why}); give a folder that holds "
            "it, or use efficientnet-lite0 (its weights come with pip) or segformer-tiny (not "
            "pretrained)"
        ) from error


def encoder_prefix(network: nn.Module) -> str:
    """Return what the names of the encoder's parameters begin with; they learn more slowly."""
    return "segformer.segformer" if isinstance(network, SegFormer) else "unet.encoder"
