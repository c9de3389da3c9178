"""Weight files: read without running any code that they may hold, and fitted to an encoder."""

import re
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
    import struct

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
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        struct.error,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        raise UserError(f"{flag}: cannot read weights from {path} ({reason(error)})") from error


def load_encoder(encoder: nn.Module, path: str | Path, flag: str) -> None:
    """Load an encoder's weights from a file; other tensors in it are ignored.

    path: .pth, .pt or .safetensors, a state dict by itself or under "state_dict". Names may be
    those of timm, of smp or of `efficientnet_pytorch`.
    flag: where the path comes from, for the message

    Raises `UserError` where a tensor is missing or differs in shape, or where the file has further
    weights in a part that the encoder has too, as a larger encoder of the same family.
    """
    content = read_tensors(path, flag)
    content = content.get("state_dict", content) if isinstance(content, dict) else None
    entries = content.items() if isinstance(content, dict) else ()
    state = {name: t for name, t in entries if isinstance(name, str) and torch.is_tensor(t)}
    expected = encoder.state_dict()
    if "_conv_stem.weight" in state:
        state = with_timm_names(state, expected)
    plain = {plain_name(name): tensor for name, tensor in state.items()}
    loaded = {name: plain[plain_name(name)] for name in expected if plain_name(name) in plain}
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
    own = {plain_name(name) for name in expected}
    parts = {first_part(name) for name in own}
    extra = [
        name
        for name in plain
        if name not in own and first_part(name) in parts and name.endswith((".weight", ".bias"))
    ]
    if extra:
        raise UserError(
            f"{flag}: {path} does not fit the encoder, which lacks {len(extra)} of its tensors, "
            f"the first is {extra[0]}"
        )
    encoder.load_state_dict(loaded)


def plain_name(name: str) -> str:
    """Return what timm calls a tensor in a whole model.

    smp puts "model." before the name, and where a model gives stages "stages.0" is "stages_0".
    """
    return re.sub(r"^(\w+)_(\d+)\.", r"\1.\2.", name.removeprefix("model."))


def first_part(name: str) -> str:
    """Return the part of a network that a tensor is in, such as `layer1`."""
    return name.split(".")[0]


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
