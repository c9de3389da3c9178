"""Weight files: read without running any code that they may hold, and fitted to an encoder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from weakseg.common import UserError, reason

# What an EfficientNet of the `efficientnet_pytorch` lineage has behind the encoder.
CLASSIFIER = ("_conv_head", "_bn1", "_fc")


def read_tensors(path: str | Path, flag: str) -> Any:
    """Return what a checkpoint or state dict (.pth, .pt, .safetensors) holds, on the CPU.

    Only plain values and tensors are read: a file with anything else in it, code that would run
    when it is loaded for instance, is a `UserError`, and so is a missing or damaged one.

    flag: where the path comes from, for the message
    """
    import pickle

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if Path(path).suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    # A file that is no checkpoint at all derails the unpickler in any of these ways.
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        AttributeError,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        raise UserError(f"{flag}: cannot read weights from {path} ({reason(error)})") from error


def load_encoder(encoder: nn.Module, path: str | Path, flag: str) -> None:
    """Load an encoder's weights from a file; other tensors in it are ignored.

    path: .pth, .pt or .safetensors, a state dict by itself or under "state_dict". Names may lack
    the "model." that smp puts before timm's, or be those of `efficientnet_pytorch`.
    flag: where the path comes from, for the message

    Raises `UserError` where a tensor is missing or differs in shape.
    """
    content = read_tensors(path, flag)
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    expected = encoder.state_dict()
    if "_conv_stem.weight" in state:
        state = with_timm_names(state, expected)
    loaded = {
        name: state[candidate]
        for name in expected
        for candidate in (name, name.removeprefix("model."))
        if candidate in state
    }
    misfits = [
        name
        for name, tensor in expected.items()
        if name not in loaded or loaded[name].shape != tensor.shape
    ]
    if misfits:
        raise UserError(
            f"{flag}: {path} does not fit the encoder: {len(misfits)} of {len(expected)} tensors "
            f"are missing or differ in shape, the first is {misfits[0]}"
        )
    encoder.load_state_dict(loaded)


def with_timm_names(
    state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Rename an EfficientNet's state dict, of the `efficientnet_pytorch` lineage, to timm's names.

    Both list the same layers in the same order, so a tensor's position and the last part of its
    name identify it.
    """
    old_names = [name for name in state if not name.startswith(CLASSIFIER)]
    return {
        new: state[old]
        for new, old in zip(expected, old_names, strict=False)
        if new.rsplit(".", 1)[-1] == old.rsplit(".", 1)[-1]
    }
