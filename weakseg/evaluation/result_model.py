"""The fields of a result file of evaluate.py, each with its type and range."""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from weakseg.labels.signals import SIGNALS

ROUNDED = 1e-3  # how far a mIoU may lie from that of its confusion matrix


def known_signal(word: str) -> str:
    """Return a word if it is one of `SIGNALS`; anything else is a ValueError."""
    if word not in SIGNALS:
        raise ValueError(f"{word!r} is none of {', '.join(SIGNALS)}")
    return word


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Signal = Annotated[str, AfterValidator(known_signal)]
Interval = Annotated[list[Share], Field(min_length=2, max_length=2)]


class Part(BaseModel):
    """A part of a result, whose other keys are taken as they are."""

    model_config = ConfigDict(strict=True, extra="allow")


class ImageScores(Part):
    """How good one predicted mask is; earlier results have fewer keys."""

    miou: Share | None
    confusion: list[list[Count]] | None = None
    mask: str | None = None
    tags: list[str] | None = None


class Aggregate(Part):
    """How good all predicted masks are together."""

    miou: Share
    miou_interval: Interval
    iou: list[Share | None]
    pixel_accuracy: Share
    boundary_f: Share | None


class Task(Part):
    """What there was to tell apart."""

    dataset: str
    classes: list[str] = Field(min_length=1)
    tag_names: list[str]
    has_background: bool = True


class LabelCost(Part):
    """What the labels of a run cost; runs of old counted no actions."""

    images: Count
    seconds: dict[str, Cost]
    relative: Cost | None = None
    counts: dict[str, dict[str, Count]] = {}
    schedule: str = ""


class Selection(Part):
    """What chose the checkpoint, and the cost of the labels for it."""

    by: str | None
    images: Count = 0
    seconds: dict[str, Cost]
    counts: dict[str, dict[str, Count]] = {}


class Settings(Part):
    """The settings of a run, as far as others than `DataOptions` read them."""

    run_name: str
    modes: list[Signal]
    seed: Count = 0


class Tile(Part):
    """The windows that large images were predicted in."""

    pixels: Annotated[int, Field(ge=1)]
    overlap: Share


class FactsModel(Part):
    """What a checkpoint says of its run, and a result repeats."""

    task: Task
    cost: LabelCost
    selection: Selection
    args: Settings
    fingerprint: str
    contents: str | None = None
    test_fingerprint: str
    test_contents: str | None = None
    mask_contents: str | None = None
    labels: str | None
    commit: str | None
    epoch: int


class ResultModel(Part):
    """The content of a result file."""

    run: str
    supervision: list[Signal]  # none: masks of a model of which nobody knows
    task: Task
    aggregate: Aggregate
    cost: LabelCost
    selection: Selection
    testing: LabelCost | None = None
    args: Settings
    fingerprint: str
    contents: str | None = None
    test_fingerprint: str | None = None
    test_contents: str | None = None
    mask_contents: str | None = None
    tile: Tile | None = None
    checkpoint: str | None = None
    images: dict[str, ImageScores]

    @model_validator(mode="after")
    def refuse_other_classes(self) -> "ResultModel":
        """Refuse lists that are not of the task's classes."""
        for where, length in self.lengths():
            if length != len(self.task.classes):
                raise PydanticCustomError(
                    "classes",
                    "{where} has {length} entries for {classes} classes",
                    {"where": where, "length": length, "classes": len(self.task.classes)},
                )
        return self

    @model_validator(mode="after")
    def refuse_other_scores(self) -> "ResultModel":
        """Refuse scores that are not those of the confusion matrices beside them."""
        from weakseg.metrics import scores

        matrices = {n: one.confusion for n, one in self.images.items() if one.confusion is not None}
        if not matrices:
            return self
        counts = np.array([*matrices.values()], float)
        told = [self.images[name].miou for name in matrices]
        where = [f"images.{name}.miou" for name in matrices]
        if len(matrices) == len(self.images):
            counts = np.concatenate([counts, counts.sum(0, keepdims=True)])
            told, where = [*told, self.aggregate.miou], [*where, "aggregate.miou"]
        own = scores(counts)["miou"].numpy()
        stated = np.array([np.nan if one is None else one for one in told])
        other = ~np.isclose(stated, own, rtol=0, atol=ROUNDED, equal_nan=True)
        if other.any():
            raise PydanticCustomError(
                "scores",
                "{where} is not what its confusion matrix says",
                {"where": where[int(np.argmax(other))]},
            )
        return self

    def lengths(self) -> Iterator[tuple[str, Any]]:
        """Yield (where, length) of all lists that have an entry for each class."""
        yield "aggregate.iou", len(self.aggregate.iou)
        for name, image in self.images.items():
            for row in image.confusion or ():
                yield f"images.{name}.confusion", len(row)
            if image.confusion is not None:
                yield f"images.{name}.confusion", len(image.confusion)
