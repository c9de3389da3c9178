"""Which names of encoders mean a download, and the weights that lie on this machine already.

A checkpoint may come from a stranger. What it names is never fetched from the network unless the
user gave the same name.
"""

from collections.abc import Collection
from pathlib import Path

from weakseg.common import UserError

# What weights are called on the hub, the first choice first.
HUB_FILES = [
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
]


def is_remote(encoder: str) -> bool:
    """Return whether the name of an encoder leads to a hub or a folder: "tu-hf-hub:owner/model".

    timm reads the settings of such an encoder from there, even without its weights.
    """
    return any(mark in encoder for mark in ":/\\")


def refuse_remote(encoder: str, run: str, trusted: Collection[str] = ()) -> None:
    """Refuse an encoder that a run's file names and that would be fetched from elsewhere.

    trusted: names that the user gave
    """
    if is_remote(encoder) and encoder not in trusted:
        raise untrusted(encoder, run, "it names an encoder that is no part of this code")


def untrusted(encoder: str, run: str, why: str) -> UserError:
    """Return the error of a run whose encoder is not on this machine."""
    return UserError(
        f"run {run}: {why}, and a run fetches nothing from the network by itself; if you trust "
        f"it, add --encoder {encoder}"
    )


def stored_weights(timm_name: str) -> Path | None:
    """Return the file with timm's ImageNet weights of a model, as an earlier download left it.

    None where there is none. Nothing is downloaded.
    """
    import timm
    import torch
    from huggingface_hub import try_to_load_from_cache

    settings = timm.models.get_pretrained_cfg(timm_name)
    if settings is None:
        return None
    repository, _, revision = str(settings.hf_hub_id or "").partition("@")
    names = [settings.hf_hub_filename] if settings.hf_hub_filename else HUB_FILES
    for name in names if repository else ():
        found = try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(found, str):
            return Path(found)
    file = str(settings.url or "").rsplit("/", 1)[-1]
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    return path if file and path.is_file() else None
