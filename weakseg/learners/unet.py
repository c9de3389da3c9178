"""The network: a U-Net on an ImageNet encoder, with a second head that predicts image tags.

The U-Net is that of segmentation-models-pytorch (smp). The weights of the tag head double as class
activation maps. `model.py` knows which encoders there are and where their weights come from.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:  # smp takes seconds to import
    from segmentation_models_pytorch import Unet
    from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

PerChannel = tuple[float, ...]  # of red, green and blue
IMAGENET: tuple[PerChannel, PerChannel] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SMALLEST_TRANSPOSED = 16  # pixels a side; on smaller maps `upsampled_convolution` was slower


class TagHead(nn.Sequential):
    """Features [B, F, h, w] -> one activation map a tag, [B, T, h, w].

    Without a bias, so that only evidence counts.
    """

    def __init__(self, features: int, tags: int, hidden: int = 512) -> None:
        super().__init__(
            nn.Conv2d(features, hidden, kernel_size=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, tags, kernel_size=1, bias=False),
        )


class CoarseHead(nn.Sequential):
    """Features [B, F, h, w] -> class logits [B, C, h, w], at first all zero.

    They are added to the decoder's logits, as in FCN (Long, Shelhamer & Darrell, CVPR 2015). So
    what the encoder knows from ImageNet counts at once. Through the decoder alone that takes many
    epochs, the more the more classes there are.
    """

    def __init__(self, features: int, classes: int) -> None:
        norm = nn.BatchNorm2d(features)
        classifier = nn.Conv2d(features, classes, kernel_size=1)
        for parameter in classifier.parameters():
            nn.init.zeros_(parameter)
        super().__init__(norm, classifier)


class SegmentationModel(nn.Module):
    """U-Net with a `TagHead`, and if `coarse` a `CoarseHead`, on the encoder's two deepest stages.

    forward(image [B, 3, H, W] uint8; H and W multiples of 32) -> dict:
      seg       [B, C, H, W]        class logits
      tags      [B, T]              tag logits, pooled from the activation maps
      cam       [B, T, h, w]        class activation maps (Zhou et al., CVPR 2016), at 1/16 of the
                                    image's size; with a `cam_scale` above 1 they are finer by that
                                    factor: taken, without gradient, from an enlarged image
      features  [B, F, H/16, W/16]  what both heads see
      decoded   [B, D, H, W]        what the decoder's last layer, `classify`, sees before dropout

    mean, std: of each channel, for values in [0, 1], as the encoder's weights expect them
    dropout: chance that a channel of `decoded` is left out in training
    """

    cam_scale: float = 1.0
    mean: torch.Tensor  # [1, 3, 1, 1], of values in [0, 255], as is std
    std: torch.Tensor

    def __init__(
        self,
        unet: "Unet",
        num_classes: int,
        num_tags: int,
        mean: Sequence[float] = IMAGENET[0],
        std: Sequence[float] = IMAGENET[1],
        dropout: float = 0.0,
        coarse: bool = False,
    ) -> None:
        super().__init__()
        self.unet, self.num_tags = unet, num_tags
        self.dropout = nn.Dropout2d(dropout)
        features = sum(unet.encoder.out_channels[-2:])
        self.tag_head = TagHead(features, num_tags)
        self.coarse_head = CoarseHead(features, num_classes) if coarse else None
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.normalised(image)
        finer_maps = self.activation_maps(x) if self.cam_scale > 1 else None
        stages, coarse = self.encode_with_logits(x)
        decoded = decode(self.unet.decoder, stages)
        features = deepest(stages)
        maps = self.tag_head(features)
        return {
            "seg": self.logits(decoded, coarse, image.shape[-2:]),
            "tags": log_sum_exp_pool(maps),
            "cam": maps if finer_maps is None else finer_maps,
            "features": features,
            "decoded": decoded,
        }

    def segment(self, image: torch.Tensor) -> torch.Tensor:
        """Return the class logits [B, C, H, W] alone."""
        stages, coarse = self.encode_with_logits(self.normalised(image))
        return self.logits(decode(self.unet.decoder, stages), coarse, image.shape[-2:])

    def normalised(self, image: torch.Tensor) -> torch.Tensor:
        """Return an image [B, 3, H, W], 0 to 255, as the encoder was trained to see it: near 0."""
        x = (image.to(self.mean.dtype) - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last)

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the encoder's stages for a `normalised` image, from x itself to the deepest.

        x: [B, 3, H, W] float -> [B, F_k, H / 2^k, W / 2^k] for k from 0 to 5
        """
        stages: list[torch.Tensor] = self.unet.encoder(x)
        return stages

    def deep_features(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the heads see of a `normalised` image: its two deepest stages, joined.

        x: [B, 3, H, W] float -> [B, F, H / 16, W / 16]
        """
        return deepest(self.encode(x))

    def encode_with_logits(self, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """Return the encoder's stages and the coarse logits of a `normalised` image.

        x: [B, 3, H, W] float -> (as `encode` gives them, [B, C, H, W] enlarged bilinearly, or None)
        """
        stages = self.encode(x)
        if self.coarse_head is None:
            return stages, None
        coarse = self.coarse_head(deepest(stages))
        size = list(x.shape[-2:])
        return stages, F.interpolate(coarse, size, mode="bilinear", align_corners=False)

    def logits(
        self, decoded: torch.Tensor, coarse: torch.Tensor | None, size: Sequence[int]
    ) -> torch.Tensor:
        """Return class logits [B, C, *size]: the decoder's, plus the coarse ones if any."""
        fine = self.classify(decoded, size)
        return fine if coarse is None else fine + coarse

    def classify(self, decoded: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """Return the decoder's class logits [B, C, *size] of what it decoded, [B, D, *size].

        They are random while `dropout` is in training mode.
        """
        logits: torch.Tensor = self.unet.segmentation_head(self.dropout(decoded))
        return logits

    @torch.no_grad()
    def activation_maps(self, x: torch.Tensor) -> torch.Tensor:
        """Return the activation maps [B, T, h, w] of a `normalised` image enlarged by `cam_scale`.

        Batch norm is left alone.
        """
        training = self.training
        self.eval()
        larger = F.interpolate(x, scale_factor=self.cam_scale, mode="bilinear", align_corners=False)
        maps: torch.Tensor = self.tag_head(self.deep_features(larger))
        self.train(training)
        return maps


def deepest(stages: Sequence[torch.Tensor]) -> torch.Tensor:
    """Join the two deepest stages of an encoder, at the size of the finer one -> [B, F, h, w]."""
    fine, deep = stages[-2], stages[-1]
    enlarged = F.interpolate(deep, size=fine.shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat([fine, enlarged], dim=1)


def log_sum_exp_pool(maps: torch.Tensor, sharpness: float = 4.0) -> torch.Tensor:
    """Pool maps [B, T, h, w] -> [B, T], between their mean (sharpness 0) and maximum (infinite).

    Pinheiro & Collobert, CVPR 2015. Training with the mean alone would spread each map over
    everything that goes with the tag.
    """
    pixels = maps.flatten(2)
    return (torch.logsumexp(sharpness * pixels, dim=2) - math.log(pixels.shape[2])) / sharpness


def decode(decoder: "UnetDecoder", stages: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return what smp's U-Net decoder makes of an encoder's stages, faster on a CPU.

    stages: as `SegmentationModel.encode` gives them -> [B, D, H, W]
    """
    x: torch.Tensor = decoder.center(stages[-1])
    finer = stages[-2::-1]  # from the second deepest to the image itself, which is no skip
    for number, block in enumerate(decoder.blocks):
        skip = finer[number] if number < len(finer) - 1 else None
        convolution, norm, activation = block.conv1
        x = upsampled_convolution(convolution, x, finer[number].shape[-2:], skip)
        x = block.conv2(activation(norm(x)))
    return x


def upsampled_convolution(
    convolution: nn.Conv2d, x: torch.Tensor, size: Sequence[int], skip: torch.Tensor | None
) -> torch.Tensor:
    """Enlarge x to `size` by nearest neighbour, join the skip connection, apply a 3x3 convolution.

    x: [B, C, h, w]; skip: [B, S, *size], or None -> [B, D, *size]

    Where the size doubles, the convolution sees only 2x2 pixels of x: a transposed convolution with
    sums of the kernel gives the same for 4/9 of the multiplications. It is used on a CPU alone; on
    a GPU it isn't measured.
    """
    doubled = tuple(size) == (2 * x.shape[2], 2 * x.shape[3])
    if not doubled or min(x.shape[2:]) < SMALLEST_TRANSPOSED or x.device.type != "cpu":
        x = F.interpolate(x, size=list(size), mode="nearest")
        joined: torch.Tensor = convolution(x if skip is None else torch.cat([x, skip], dim=1))
        return joined

    channels = [x.shape[1], convolution.in_channels - x.shape[1]]
    kernel, skip_kernel = convolution.weight.split(channels, dim=1)
    # Four times the mean is the sum, to the bit; ONNX knows no other divisor.
    sums = 4 * F.avg_pool2d(kernel.flip(2, 3), 2, stride=1, padding=1)
    transposed = sums.transpose(0, 1)  # [C, D, 4, 4]
    y = F.conv_transpose2d(x, transposed, convolution.bias, stride=2, padding=1)
    if skip is None or not skip.shape[1]:
        return y
    return y + F.conv2d(skip, skip_kernel, padding=1)
