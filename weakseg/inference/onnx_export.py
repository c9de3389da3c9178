"""A trained model as an ONNX file, for programs that have no PyTorch."""

import json
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from weakseg.common import UserError, atomic_path
from weakseg.inference.trained import TrainedModel, TrainedProbe, TrainedUnet
from weakseg.learners.features import stages_of
from weakseg.learners.probe_unet import ProbeHead
from weakseg.own_files import refuse_to_replace

NEEDED = "onnx", "onnxscript"
SIDE = 512  # of the frames of a probe that sees pictures at a scale of their own


class ProbeGraph(nn.Module):
    """A probe and its encoder: frame [1, 3, H, W] uint8 -> class probabilities [1, C, H, W].

    H and W are multiples of the encoder's largest stride.
    """

    mean: torch.Tensor  # [1, 3, 1, 1], of values in [0, 255], as is std
    std: torch.Tensor

    def __init__(self, model: TrainedProbe) -> None:
        super().__init__()
        self.encoder, self.kept = model.encoder.network, model.encoder.kept
        self.has_mirror = model.has_mirror
        self.register_buffer("mean", model.encoder.mean)
        self.register_buffer("std", model.encoder.std)
        self.head = ProbeHead.of_probe(model.probe, model.encoder.channels)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        chances = self.chances(image)
        return (chances + self.chances(image.flip(3)).flip(3)) / 2 if self.has_mirror else chances

    def chances(self, image: torch.Tensor) -> torch.Tensor:
        """Return what the probe says of one view of a picture."""
        stages = stages_of(self.encoder, (image.float() - self.mean) / self.std)
        logits: torch.Tensor = self.head([stages[number] for number in self.kept], image.shape[-2:])
        return logits.softmax(1)


class UnetGraph(nn.Module):
    """A U-Net as it is: square [1, 3, S, S] uint8 -> class probabilities [1, C, S, S]."""

    def __init__(self, model: TrainedUnet) -> None:
        super().__init__()
        self.network = model.network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        probabilities: torch.Tensor = self.network.segment(image).softmax(1)
        return probabilities


def is_export(path: Path) -> bool:
    """Return whether a file is a network that `export` wrote."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        content = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError):
        return False
    return any(entry.key == "run" for entry in content.metadata_props)


def graph_of(model: TrainedModel) -> tuple[nn.Module, tuple[int, int]]:
    """Return a model's network, and the (height, width) of the pictures that it is exported for."""
    if isinstance(model, TrainedProbe):
        multiple, size = model.encoder.multiple, model.encoder.size
        side = -(-(size.side or SIDE) // multiple) * multiple
        return ProbeGraph(model).eval(), (side, side)
    assert isinstance(model, TrainedUnet)
    return UnetGraph(model).eval(), (model.size, model.size)


def export(model: TrainedModel, path: Path) -> tuple[int, int]:
    """Write a model as ONNX, atomically -> the (height, width) of the pictures that it takes.

    Its input is `image`, uint8 [1, 3, H, W], its output `probabilities`, float32 [1, C, H, W]. The
    names of the classes are in its metadata as JSON. The file has no further parts.
    """
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        raise UserError(f"--export: needs {' and '.join(lacking)}; pip install {' '.join(NEEDED)}")

    import onnx

    if path.exists() and not is_export(path):
        refuse_to_replace(path.parent, [path.name], "predict.py", "name another --export")
    network, shape = graph_of(model)
    program = torch.onnx.export(
        network.cpu(),
        (torch.zeros(1, 3, *shape, dtype=torch.uint8),),
        input_names=["image"],
        output_names=["probabilities"],
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    content = program.model_proto
    facts = {"classes": model.classes, "has_background": model.has_background, "run": model.name}
    for key, value in facts.items():
        content.metadata_props.add(key=key, value=json.dumps(value))
    onnx.checker.check_model(content)
    with atomic_path(path) as temporary:
        onnx.save(content, temporary)
    return shape
