"""The file of a trained model, a run's `best.pt` or `last.pt`: read, and refused where unfit.

It holds plain values and tensors only, so reading one runs no code.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from weakseg.common import UserError
from weakseg.data.datasets import faults_of_options
from weakseg.data.ids import are_names, is_folder_name
from weakseg.learners.probe import Probe
from weakseg.learners.weights import read_tensors
from weakseg.validation import shorten

CONTENT = {
    "model",
    "args",
    "task",
    "cost",
    "selection",
    "fingerprint",
    "test_fingerprint",
    "labels",
}
# What best.pt has as well where there is such a thing: the weights of a frozen encoder, which
# images the run saw, what their files hold and those to test on, of which earlier versions have
# sizes, a hash of these, or nothing, how a few of them look, and what masks to test on held.
OPTIONAL = {"encoder", "seen", "files", "images", "contents", "test_contents", "mask_contents"}
OPTIONAL |= {"looks", "tested"}
# Settings without which nobody knows how a learner sees photographs, and of what kind they are.
OF_ALL: dict[str, Any] = {"run_name": str}
OF_UNETS: dict[str, Any] = {"encoder": str, "img_size": int}
OF_PROBES: dict[str, Any] = {
    "encoder": str,
    "encoder_weights": str,
    "img_size": int,
    "scale": int | float | None,
    "finest_stride": int,
    "views": int,
}
# Parts of a U-Net's last.pt that hold tensors; best.pt has the first.
STATES = ("model", "criterion", "optimizer", "teacher")


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint written by train.py; any other file is a `UserError`.

    So is one of other code, which lacks a tensor or a setting, and one that is damaged. Whether the
    tensors of a U-Net fit its network is for `networks.refuse_unfit` to say.
    """
    if not Path(path).exists():
        raise UserError(
            f"{path}: no such checkpoint; train the run first, or wait for an epoch that can be "
            "selected"
        )
    content = read_tensors(path, "checkpoint")
    tables = ("model", "args", "task")
    if (
        not isinstance(content, dict)
        or not CONTENT <= content.keys()
        or not all(isinstance(content[name], dict) for name in tables)
        or not isinstance(content["task"].get("classes"), list | tuple)
    ):
        raise UserError(f"{path}: not a checkpoint of train.py")
    if not are_names(content["task"]["classes"]):
        raise damaged(path, "a name of a class is no text, or has a control character")
    if not are_names(content.get("seen", [])):
        raise damaged(path, "an id among the images that it saw is no text")
    files = content.get("files", {})
    if not isinstance(files, dict) or not are_names(files):
        raise damaged(path, "what it says of the files that it saw is no table of ids")
    if not is_folder_name(content["args"].get("run_name", "run")):
        raise damaged(path, "the name of its run is no name of a folder")
    refuse_faults(path, [], faults_of_options(content["args"]))
    refuse_faults(path, *faults_of_settings(content["args"], OF_ALL))
    if content["args"].get("learner") == "probe":
        refuse_unfit_probe(path, content)
    else:
        refuse_faults(path, *faults_of_settings(content["args"], OF_UNETS))
        refuse_faults(path, [], faults_of_numbers(content))
    return content


def refuse_unfit_probe(path: str | Path, content: Mapping[str, Any]) -> None:
    """Refuse the checkpoint of a probe that lacks a tensor or a setting, or has a damaged one."""
    classes = content["task"]["classes"]
    lacking, damage = faults_of_settings(content["args"], OF_PROBES)
    try:
        probe = Probe.of_state(content["model"])
        if probe.num_classes != len(classes):
            damage.append(f"the tensor bias is not of {len(classes)} classes")
    except KeyError as error:
        lacking.append(f"the tensor {error.args[0]}")
    except ValueError as error:
        damage.append(str(error))
    refuse_faults(path, lacking, damage)


def faults_of_settings(
    args: Mapping[str, Any], kinds: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Return, in words, which settings of {name: kind} are lacking, and which are damaged."""
    lacking = [f"the setting {name}" for name in kinds if name not in args]
    damage = [
        f"the setting {name} is {shorten(repr(args[name]))}"
        for name, kind in kinds.items()
        if name in args and not is_setting(args[name], kind)
    ]
    return lacking, damage


def faults_of_numbers(content: Mapping[str, Any]) -> list[str]:
    """Return, in words, which tensors of a U-Net's checkpoint hold what is no finite number."""
    faults = [
        f"the tensor {name} holds something that is no finite number"
        for part in STATES
        for name, tensor in leaves(content.get(part, {}))
        if torch.is_tensor(tensor) and not tensor.isfinite().all()
    ]
    strangers = [name for name, tensor in content["model"].items() if not torch.is_tensor(tensor)]
    return [*(f"the tensor {name} is none" for name in strangers), *faults]


def leaves(table: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of all that nested tables hold; a name says where, with dots."""
    if isinstance(table, Mapping):
        for key, value in table.items():
            yield from leaves(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, table


def refuse_faults(path: str | Path, lacking: Sequence[str], damage: Sequence[str]) -> None:
    """Refuse a checkpoint that lacks something or is damaged; both are told in words."""
    if lacking:
        raise incomplete(path, " and ".join(lacking))
    if damage:
        raise damaged(path, damage[0])


def incomplete(path: str | Path, parts: str) -> UserError:
    """Return the error of a checkpoint that lacks parts, told in words."""
    return UserError(
        f"{path}: lacks {parts}, so other code wrote it; train the run again with --overwrite"
    )


def damaged(path: str | Path, fault: str) -> UserError:
    """Return the error of a checkpoint with a fault, told in words."""
    return UserError(
        f"{path}: is damaged, {fault}; restore the file, or train the run again with --overwrite"
    )


def is_setting(value: object, kind: Any) -> bool:
    """Return whether a setting is of its kind, and above 0 and finite if it is a number."""
    is_number = isinstance(value, int | float)
    return isinstance(value, kind) and (
        not is_number or (not isinstance(value, bool) and 0 < value < math.inf)
    )


def refuse_other_encoder(checkpoint: Mapping[str, Any], digest: str) -> None:
    """Refuse to predict by a probe from the features of another encoder than it learnt from.

    digest: of the weights of the encoder that is there now
    """
    if checkpoint.get("encoder", digest) != digest:
        args = checkpoint["args"]
        raise UserError(
            f"run {args['run_name']}: learnt from other weights of {args['encoder']} than "
            f"--encoder_weights {args['encoder_weights']} gives; restore them, or train it again"
        )
