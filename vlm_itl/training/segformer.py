"""The two networks behind one contract: SegFormer and the EfficientNet-UNet of `model.py`.

forward(image [B, 3, S, S] uint8) -> the dict of `model.SegmentationModel`: seg, tags, cam,
features, decoded; classify(decoded, size) -> logits, random while `dropout` is in training mode.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from model import build_model
from weakseg.common import UserError
from weakseg.learners.unet import IMAGENET, TagHead, deepest, log_sum_exp_pool

# A SegFormer of 0.4 million parameters, randomly initialised: for tests and for trying things out
# without a hub.
TINY = {
    "hidden_sizes": [16, 32, 48, 64],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 2, 4],
    "decoder_hidden_size": 64,
}


class SegFormer(nn.Module):
    """SegFormer (Xie et al., NeurIPS 2021) with a tag head on its two deepest stages, as in
    `model.SegmentationModel`.

    The logits are predicted at a quarter of the image's size and enlarged bilinearly. `cam_scale`
    belongs to the contract; maps are taken at the image's own size.
    """

    cam_scale = 1.0

    def __init__(self, segformer, num_tags, dropout):
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

    def forward(self, image):
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

    def classify(self, decoded, size):
        """Return class logits [B, C, *size] of decoded features [B, D, H/4, W/4]."""
        logits = self.classifier(self.dropout(decoded))
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)

    def save_pretrained(self, folder):
        """Write the segmentation part for `SegformerForSemanticSegmentation.from_pretrained`; tags
        are left out.
        """
        head = self.segformer.decode_head
        head.classifier = self.classifier
        self.segformer.save_pretrained(folder)
        head.classifier = nn.Identity()


def is_segformer(name):
    """Whether a `model.name` means a SegFormer: the built-in tiny one, a hub id (owner/name), or a
    local folder.
    """
    return name == "segformer-tiny" or "/" in name or Path(name).is_dir()


def build_network(options, class_names, num_tags):
    """Return the network that the config's section `model` describes, on the CPU.

    options: `config.Model`. Raises `UserError` for an unknown name and for weights that can't be
    had.
    """
    if is_segformer(options.name):
        return SegFormer(load_segformer(options, class_names), num_tags, options.dropout)
    try:
        return build_model(
            options.name, len(class_names), num_tags, options.weights, options.dropout
        )
    except UserError as error:
        raise UserError(
            f"model.name {options.name}: {str(error).removeprefix(f'--encoder {options.name}: ')}"
        ) from error


def load_segformer(options, class_names):
    """Return `SegformerForSemanticSegmentation` with a head for `class_names`: a hub's, a folder's
    or the tiny one.
    """
    from transformers import AutoConfig, SegformerConfig, SegformerForSemanticSegmentation

    names = dict(enumerate(class_names))
    labels = {
        "id2label": names,
        "label2id": {name: i for i, name in names.items()},
        "num_labels": len(names),
    }
    if options.name == "segformer-tiny":
        return SegformerForSemanticSegmentation(SegformerConfig(**TINY, **labels))
    try:
        config = AutoConfig.from_pretrained(options.name, **labels)
        if (
            config.model_type != "segformer"
        ):  # upstream would only warn, and start from random weights
            raise ValueError(f"it is a {config.model_type}, not a SegFormer")
        if options.weights == "none":
            return SegformerForSemanticSegmentation(config)
        return SegformerForSemanticSegmentation.from_pretrained(
            options.name, config=config, ignore_mismatched_sizes=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"model.name {options.name}: could not be loaded ({reason}); give a folder that holds it, or use "
            "efficientnet-lite0 (its weights come with pip) or segformer-tiny (not pretrained)"
        ) from error


def parameter_groups(network):
    """Return the prefix of the encoder's parameters: they learn at `learning_rate`, the others
    faster.
    """
    return "segformer.segformer" if isinstance(network, SegFormer) else "unet.encoder"
