"""The header of weak labels: which data set they fit, and how they were drawn."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from weakseg.data.base import SegmentationDataset

FORMAT, VERSION = "weak-labels", 1

Finite = Annotated[float, Field(allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FaultsModel(BaseModel):
    """The factors of `weakseg.labels.person.Faults`."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    cannot_tell: Factor
    border: Factor
    slip: Factor


class LabelHeader(BaseModel):
    """What every weak-label file and folder says before its labels.

    dataset, classes, tag_names   what the labels fit
    seed, options                 of the simulated annotators; people's labels have no options
    count                         number of images
    complete                      names of the lists that hold all objects, or whether all do, of
                                  images that don't say it; by default those of simulated annotators
    mask_values                   {value: what it means} in the masks that simulated annotators saw
    """

    model_config = ConfigDict(strict=True, frozen=True)

    format: Literal["weak-labels"]
    version: Literal[1]
    dataset: str
    classes: list[str]
    tag_names: list[str]
    seed: int
    options: dict[str, bool | int | Finite | str | FaultsModel]
    count: Annotated[int, Field(ge=0)]
    complete: bool | list[str] = True
    mask_values: dict[str, str] | None = None


def header(dataset: SegmentationDataset, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """Return the header of labels for a data set, without their count."""
    masks = {"mask_values": dataset.mask_meaning} if dataset.mask_meaning else {}
    return {
        "format": FORMAT,
        "version": VERSION,
        "dataset": dataset.name,
        "classes": list(dataset.class_names),
        "tag_names": list(dataset.tag_names),
        "seed": seed,
        "options": options,
        **masks,
    }
