"""Networks: a new U-Net around any encoder, and the trained one of a checkpoint."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from weakseg.common import UserError, reason
from weakseg.learners.checkpoint_file import damaged, incomplete
from weakseg.learners.downloads import refuse_remote
from weakseg.learners.encoders import load_imagenet, normalisation
from weakseg.learners.probe_unet import ProbeHead, ProbeUnet
from weakseg.learners.unet import SegmentationModel
from weakseg.learners.weights import load_encoder
from weakseg.learners.wheels import WHEELS

if TYPE_CHECKING:  # smp takes seconds to import
    from segmentation_models_pytorch import Unet

# Channels of the decoder's levels: smp's usual ones, and those of a U-Net that starts from a probe,
# whose decoder only adds to what the probe knows.
DECODER, NARROW = (256, 128, 64, 32, 16), (64, 32, 24, 16, 8)

SAMPLE = 64  # pixels a side of an image that shows whether a probe fits the stages of an encoder


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
