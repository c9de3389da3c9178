"""EfficientNet-UNet (segmentation-models-pytorch) with a tag head whose weights double as class
activation maps.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class TagHead(nn.Sequential):
    """Features [B, F, h, w] -> one activation map a tag [B, T, h, w]; without a bias, so that only
    evidence counts.
    """

    def __init__(self, features, tags, hidden=512):
        super().__init__(
            nn.Conv2d(features, hidden, kernel_size=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, tags, kernel_size=1, bias=False),
        )


class CoarseHead(nn.Sequential):
    """Features [B, F, h, w] -> class logits [B, C, h, w], at first all zero.

    Added to the decoder's logits, as in FCN (Long, Shelhamer & Darrell, CVPR 2015), they say at
    once what the encoder knows from ImageNet; by the decoder alone it takes many epochs to get
    through, the more the more classes there are.
    """

    def __init__(self, features, classes):
        super().__init__(nn.BatchNorm2d(features), nn.Conv2d(features, classes, kernel_size=1))
        nn.init.zeros_(self[1].weight)
        nn.init.zeros_(self[1].bias)


def log_sum_exp_pool(maps, sharpness=4.0):
    """Pool maps [B, T, h, w] -> [B, T], between their mean (sharpness 0) and maximum (Pinheiro &
    Collobert, CVPR 2015).

    Training with the mean alone would spread each map over everything that goes with the tag.
    """
    pixels = maps.flatten(2)
    return (torch.logsumexp(sharpness * pixels, dim=2) - math.log(pixels.shape[2])) / sharpness


class SegmentationModel(nn.Module):
    """U-Net with a multi-label tag head, and if `coarse` a `CoarseHead`, on the encoder's two
    deepest stages.

    forward(image [B, 3, H, W] uint8; H and W multiples of 32) -> dict:
      seg       [B, C, H, W]        class logits
      tags      [B, T]              tag logits, pooled from the activation maps
      cam       [B, T, h, w]        class activation maps (Zhou et al., CVPR 2016), 1/16 of the image times `cam_scale`;
                                    above 1 they are finer: taken, without gradient, from an
                                    enlarged image
      features  [B, F, H/16, W/16]  what these heads see
      decoded   [B, D, H, W]        what the decoder's last layer, `classify`, sees before its dropout
    """

    cam_scale = 1.0

    def __init__(
        self,
        unet,
        num_classes,
        num_tags,
        mean=IMAGENET[0],
        std=IMAGENET[1],
        dropout=0.0,
        coarse=False,
    ):
        super().__init__()
        self.unet = unet
        self.dropout = nn.Dropout2d(dropout)
        features = sum(self.unet.encoder.out_channels[-2:])
        self.tag_head = TagHead(features, num_tags)
        self.coarse_head = CoarseHead(features, num_classes) if coarse else None
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def normalised(self, image):
        """Return what the encoder was trained to see: an image [B, 3, H, W] uint8 as floats around
        zero.
        """
        x = (image.to(self.mean.dtype) - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last)

    def forward(self, image):
        x = self.normalised(image)
        finer = self.activation_maps(x) if self.cam_scale > 1 else None
        stages = self.unet.encoder(x)
        decoded = decode(self.unet.decoder, stages)
        features = deepest(stages)
        maps = self.tag_head(features)
        cam = maps if finer is None else finer
        seg = self.logits(decoded, features, image.shape[-2:])
        return {
            "seg": seg,
            "tags": log_sum_exp_pool(maps),
            "cam": cam,
            "features": features,
            "decoded": decoded,
        }

    def segment(self, image):
        """Return the class logits [B, C, H, W] alone."""
        stages = self.unet.encoder(self.normalised(image))
        return self.logits(decode(self.unet.decoder, stages), deepest(stages), image.shape[-2:])

    def logits(self, decoded, features, size):
        """Return class logits [B, C, *size]: the decoder's, and those of the coarse head enlarged
        bilinearly.
        """
        seg = self.classify(decoded, size)
        if self.coarse_head is None:
            return seg
        return seg + F.interpolate(
            self.coarse_head(features), size=size, mode="bilinear", align_corners=False
        )

    def classify(self, decoded, size):
        """Return the decoder's class logits [B, C, *size]; random while `dropout` is in training
        mode.
        """
        return self.unet.segmentation_head(self.dropout(decoded))

    @torch.no_grad()
    def activation_maps(self, x):
        """Return the maps [B, T, h, w] of x [B, 3, H, W] enlarged `cam_scale` times; batch norm is
        left alone.
        """
        training = self.training
        self.eval()
        larger = F.interpolate(x, scale_factor=self.cam_scale, mode="bilinear", align_corners=False)
        maps = self.tag_head(deepest(self.unet.encoder(larger)))
        self.train(training)
        return maps


def deepest(stages):
    """Join the two deepest stages at the finer one's size -> [B, F, h, w]."""
    upper = F.interpolate(
        stages[-1], size=stages[-2].shape[-2:], mode="bilinear", align_corners=False
    )
    return torch.cat([stages[-2], upper], dim=1)


def decode(decoder, stages):
    """Return what smp's U-Net decoder makes of the encoder's stages -> [B, D, H, W], faster on a
    CPU.
    """
    x = decoder.center(stages[-1])
    finer = stages[-2::-1]
    for number, block in enumerate(decoder.blocks):
        skip = (
            finer[number] if number < len(finer) - 1 else None
        )  # the finest stage is the image itself
        convolution, norm, activation = block.conv1
        x = block.conv2(
            activation(norm(upsampled_convolution(convolution, x, finer[number].shape[-2:], skip)))
        )
    return x


def upsampled_convolution(convolution, x, size, skip):
    """Apply a 3x3 convolution to x [B, C, h, w], enlarged to `size` by nearest neighbour, with skip
    [B, S, *size].

    Where the size doubles, a pixel sees only 2x2 pixels of x: a transposed convolution with sums of
    the kernel gives the same for 4/9 of the multiplications. On maps smaller than 16 pixels it was
    slower; on a GPU it isn't measured.
    """
    doubled = tuple(size) == (2 * x.shape[2], 2 * x.shape[3])
    if not doubled or min(x.shape[2:]) < 16 or x.device.type != "cpu":
        x = F.interpolate(x, size=size, mode="nearest")
        return convolution(x if skip is None else torch.cat([x, skip], dim=1))
    own, others = convolution.weight.split(
        [x.shape[1], convolution.in_channels - x.shape[1]], dim=1
    )
    sums = F.avg_pool2d(own.flip(2, 3), 2, stride=1, padding=1, divisor_override=1)  # [D, C, 4, 4]
    y = F.conv_transpose2d(x, sums.transpose(0, 1), convolution.bias, stride=2, padding=1)
    return y if skip is None or not skip.shape[1] else y + F.conv2d(skip, others, padding=1)
