"""Encoders by name, and where their ImageNet weights come from.

An encoder is an entry of `wheels.WHEELS`, or any name that smp knows: resnet18, tu-NAME for timm's.
"""

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from weakseg.common import UserError, reason
from weakseg.hub_access import quick_download
from weakseg.learners.downloads import refuse_remote, stored_weights, untrusted
from weakseg.learners.feature_store import FeatureStore
from weakseg.learners.features import FrameSize, FrozenEncoder, weights_digest
from weakseg.learners.unet import IMAGENET, PerChannel
from weakseg.learners.weights import load_encoder
from weakseg.learners.wheels import WHEELS, no_weights, packaged_weights

TRANSFORMERS = ("vit_", "deit", "eva")  # of timm, whose sizes of images can be set

# Mean and standard deviation that put values in [0, 1] into [-1, 1].
MINUS_ONE_TO_ONE: tuple[PerChannel, PerChannel] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def normalisation(encoder: str) -> tuple[PerChannel, PerChannel]:
    """Return (mean, std) of each channel, for values in [0, 1], that ImageNet weights expect."""
    if encoder in WHEELS:
        return MINUS_ONE_TO_ONE
    if encoder.startswith(("tu-", "timm-tf_")):
        import timm

        settings = timm.models.get_pretrained_cfg(encoder.split("-", 1)[1])
        return (settings.mean, settings.std) if settings else IMAGENET
    return MINUS_ONE_TO_ONE if encoder.startswith(("inception", "xception")) else IMAGENET


# ---- frozen encoders


@dataclass(frozen=True)
class NewEncoder:
    """What makes a frozen encoder: its name, its weights, and how large it sees photographs.

    name     of `WHEELS`, or tu-NAME for any model of timm
    weights  'imagenet', 'none' for random ones, or a file
    size     of its frames
    finest   least stride, in frame pixels, of the stages that are kept
    of_run   name of the run that asks for it and may not use the network; None: the user does
    """

    name: str
    weights: str
    size: FrameSize
    finest: int = 4
    of_run: str | None = None

    def __call__(self) -> FrozenEncoder:
        """Make it; a name or weights that can't be had are a `UserError`."""
        packaged, stored = self.name in WHEELS, None
        download = self.weights == "imagenet" and not packaged
        if self.of_run is not None:
            refuse_remote(self.name, self.of_run)
            stored = stored_weights(self.name.removeprefix("tu-")) if download else None
            if download and stored is None:
                raise untrusted(
                    self.name, self.of_run, f"the weights of {self.name} are not on this machine"
                )
        network = new_stages(self.name, download, stored)
        if self.weights == "imagenet" and packaged:
            load_encoder(network, packaged_weights(self.name), self.name)
        elif self.weights not in ("imagenet", "none"):
            load_encoder(network, self.weights, "--encoder_weights")
        digest = weights_digest(network)
        mean, std = normalisation(self.name)
        return FrozenEncoder(self.name, network, mean, std, self.size, digest, self.finest)


def feature_store(
    args: Mapping[str, Any],
    cache_dir: str | Path,
    cache_limit: float | None = None,
    device: torch.device | str = "cpu",
    trusted: Collection[str] | None = None,
) -> FeatureStore:
    """Return the frozen features that a run of the probe learns from, kept in a folder of caches.

    device: that computes features; args, trusted: as `encoder_of` takes them
    """
    return FeatureStore(encoder_of(args, trusted), cache_dir, cache_limit, device)


def encoder_of(args: Mapping[str, Any], trusted: Collection[str] | None = None) -> NewEncoder:
    """Return what makes the frozen encoder of a run of the probe.

    args: the run's settings as a checkpoint records them; trusted: names of encoders that may be
    downloaded, None: the user gave the settings
    """
    scale, name = args["scale"], args["encoder"]
    size = FrameSize(args["img_size"] if scale is None else None, scale)
    of_run = None if trusted is None or name in trusted else args["run_name"]
    return NewEncoder(name, args["encoder_weights"], size, args["finest_stride"], of_run)


def new_stages(encoder: str, download: bool = False, stored: Path | None = None) -> nn.Module:
    """Return timm's network that gives an encoder's stages.

    download: with timm's ImageNet weights, from its hub, or from a file where they are stored; else
    random ones by a fixed seed
    """
    import timm
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    name = WHEELS[encoder].smp_name if encoder in WHEELS else encoder
    examples = f"{', '.join(WHEELS)}, or tu-NAME for any model of timm, such as tu-resnet18"
    if not name.startswith("tu-"):
        raise UserError(f"--encoder {encoder}: no encoder of the probe, which takes {examples}")
    name = name.removeprefix("tu-")
    # Transformers are fixed to one size of images, unless they are told.
    options: dict[str, Any] = {"dynamic_img_size": True} if name.startswith(TRANSFORMERS) else {}
    if stored:
        options["pretrained_cfg_overlay"] = {"file": str(stored)}
    try:
        from_hub = download and not stored
        quick = quick_download() if from_hub else contextlib.nullcontext()
        with quick, torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            network: nn.Module = timm.create_model(
                name, pretrained=download, features_only=True, **options
            )
    except (OSError, HfHubHTTPError, OfflineModeIsEnabled) as error:
        raise no_weights(encoder, reason(error)) from error
    except (RuntimeError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"--encoder {encoder}: timm has no stages of it ({reason(error)}); take {examples}"
        ) from error
    return network


# ---- ImageNet weights


def load_imagenet(module: nn.Module, encoder: str) -> None:
    """Load ImageNet weights into an encoder: from the installed package, else by download."""
    if encoder in WHEELS:
        load_encoder(module, packaged_weights(encoder), encoder)
    else:
        module.load_state_dict(download_imagenet(encoder))


def download_imagenet(encoder: str) -> dict[str, torch.Tensor]:
    """Return the ImageNet state dict of an encoder, downloaded (and cached) by smp or timm."""
    import segmentation_models_pytorch as smp
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        with quick_download():
            encoder_with_weights = smp.encoders.get_encoder(encoder, weights="imagenet")
        state: dict[str, torch.Tensor] = encoder_with_weights.state_dict()
    except (OSError, HfHubHTTPError, OfflineModeIsEnabled, KeyError, RuntimeError) as error:
        raise no_weights(encoder, reason(error)) from error
    return state
