"""Weight files, read without running any code that they may hold."""

from pathlib import Path

import torch

from weakseg.common import UserError


def load_encoder(module, path, flag):
    """Load every tensor of an encoder from a .pth or .safetensors file; extra entries, a classifier
    say, are left.
    """
    state = read_tensors(path, flag)
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    wanted = module.state_dict()
    if "_conv_stem.weight" in state:
        state = from_lukemelas(state, wanted)
    renamed = {
        key: state[k] for key in wanted for k in (key, key.removeprefix("model.")) if k in state
    }
    wrong = [k for k, v in wanted.items() if k not in renamed or renamed[k].shape != v.shape]
    if wrong:
        raise UserError(
            f"{flag}: {path} does not fit the encoder: {len(wrong)} of {len(wanted)} tensors are missing or differ in "
            f"shape, the first is {wrong[0]}"
        )
    module.load_state_dict(renamed)


def from_lukemelas(state, wanted):
    """Rename an EfficientNet state dict of the `efficientnet_pytorch` lineage to timm's names.

    Both list the same layers in the same order, so position and the last part of the name identify
    each tensor.
    """
    pairs = list(
        zip(
            wanted,
            (k for k in state if not k.startswith(("_conv_head", "_bn1", "_fc"))),
            strict=False,
        )
    )
    return {
        new: state[old] for new, old in pairs if new.rsplit(".", 1)[-1] == old.rsplit(".", 1)[-1]
    }


def read_tensors(path, flag):
    """Read a checkpoint or state dict (.pth, .pt, .safetensors) without running any code from the
    file.
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
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise UserError(f"{flag}: cannot read weights from {path} ({reason})") from error
