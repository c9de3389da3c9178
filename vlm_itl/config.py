"""The configuration of an experiment: its sections, their keys, and what they mean together.

How it is read, and what a wrong one is told, stands in `vlm_itl.settings`.
"""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field

from vlm_itl.settings import Section, build, read_settings
from weakseg.common import UserError
from weakseg.labels.annotators import MATCH, Options

Unit = Literal["percent", "images", "seconds", "hours"]
UNITS: tuple[str, ...] = get_args(Unit)


class Data(Section):
    """Section `data`: which images, and how they are split."""

    source: str = Field(
        default="shapes",
        description=(
            "'shapes' (drawn), a folder (VOC, Oxford-IIIT Pet, your own), or a hub id (owner/name)"
        ),
    )
    hub_image: str = Field(default="image", description="hub: the column of photographs")
    hub_mask: str = Field(
        default="mask", description="hub: the column of masks (class numbers, or VOC's colours)"
    )
    hub_test: str = Field(
        default="validation", description="hub: the split to test on; all others are trained on"
    )
    classes: tuple[str, ...] = Field(
        default=(), description="a subset of the classes, 'cat' or merged 'pet=cat+dog'; empty: all"
    )
    no_background: bool = Field(
        default=False,
        description="your own folder: line 1 of classes.txt is a class like any other",
    )
    image_size: int = Field(
        default=128,
        ge=64,
        multiple_of=32,
        description="side of the square that the network sees, pixels",
    )
    shapes_train: int = Field(
        default=240, ge=4, description="shapes: images to draw for training and validation"
    )
    shapes_test: int = Field(default=60, ge=2, description="shapes: images to draw for the test")
    pool_limit: int | None = Field(
        default=None,
        ge=1,
        description="use only so many training images (chosen by a hash); null: all",
    )
    val_limit: int | None = Field(
        default=None, ge=1, description="use only so many validation images; null: all"
    )
    val_fraction: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="share of the training list that is held for validation",
    )
    split_seed: int = Field(default=0, description="seed of that split")
    data_dir: str = Field(default="./data", description="where drawn and downloaded data is kept")
    cache_dir: str = Field(
        default="./data/.cache", description="where decoded, resized images are kept"
    )
    cache_limit: float | None = Field(
        default=None, ge=0, description="most gigabytes that cache_dir may hold; null: no limit"
    )


class Model(Section):
    """Section `model`: the network."""

    network: Literal["auto", "probe"] = Field(
        default="auto",
        description=(
            "'auto': U-Net or SegFormer, as `name` says; 'probe': a pixel classifier on the frozen "
            "features of the encoder `name`, fitted in seconds"
        ),
    )
    name: str = Field(
        default="efficientnet-lite0",
        description="an encoder, 'segformer-tiny', a SegFormer's hub id, or its folder",
    )
    weights: str = Field(
        default="imagenet",
        description=(
            "'imagenet' (SegFormer: the hub's), 'none', or a file with an encoder's weights"
        ),
    )
    dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="before the last layer, in training and for MC dropout; the probe has its own",
    )
    head: Literal["auto", "linear", "small"] = Field(
        default="auto",
        description=(
            "the probe's: 'linear', or 'small' for one hidden layer; 'auto': small where all "
            "labels are masks"
        ),
    )


class Training(Section):
    """Section `training`: one schedule for every round and every arm."""

    steps: int = Field(
        default=60, ge=1, description="optimiser steps a round, whatever the number of labels"
    )
    batch_size: int = Field(default=16, ge=1, description="images a step")
    learning_rate: float = Field(default=3e-4, gt=0, description="peak rate of the encoder")
    decoder_lr_scale: float = Field(
        default=3.0, gt=0, description="decoder and heads: learning_rate times this"
    )
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's")
    warmup: float = Field(
        default=0.05, ge=0, lt=1, description="share of the steps with a rising rate"
    )
    augment: bool = Field(default=True, description="crop, flip and recolour")
    select: Literal["last", "best"] = Field(
        default="last", description="weights to keep: 'last', or 'best' by val mIoU"
    )
    eval_steps: int | None = Field(
        default=None,
        ge=1,
        description="steps between validations and checkpoints; null: only at the end",
    )
    num_workers: int = Field(default=0, ge=0, description="loader processes")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="where to compute"
    )
    mixed_precision: bool | None = Field(
        default=None, description="half precision; null: on CUDA only"
    )


class ActiveLearning(Section):
    """Section `active_learning`: what is bought, in which order, and how much of it."""

    label: str = Field(
        default="mask",
        description=(
            "'mask', or any weak label: tags, points, scribbles, boxes, pixels, hybrid_points_boxes"
        ),
    )
    strategy: str = Field(default="entropy", description="the acquisition strategy")
    initial_strategy: Literal["random", "typiclust"] = Field(
        default="random", description="the strategy of the first purchase: 'random' or 'typiclust'"
    )
    initial_percentage: float = Field(
        default=5.0, gt=0, le=100, description="labelled before the first round, % of the pool"
    )
    increment_percentage: float = Field(
        default=5.0, gt=0, le=100, description="bought after each round, % of the pool"
    )
    max_percentage: float = Field(
        default=30.0, gt=0, le=100, description="the last budget, % of the pool"
    )
    budgets: tuple[float, ...] = Field(
        default=(), description="rising budgets, one a round, instead of the three percentages"
    )
    budget_unit: Unit = Field(
        default="percent", description="unit of `budgets`; seconds and hours are an annotator's"
    )
    first_round_from: str | None = Field(
        default=None,
        description=(
            "folder of a run whose first round this one takes over: same data, model, training, "
            "label and seed"
        ),
    )
    restart: Literal["cold", "warm"] = Field(
        default="cold",
        description="each round starts from the pretrained weights, or goes on: 'cold' or 'warm'",
    )
    ensemble_size: int = Field(
        default=1,
        ge=1,
        description=(
            "networks trained a round; only strategies and judges that compare them need more"
        ),
    )
    dropout_passes: int = Field(default=10, ge=2, description="passes of MC dropout")
    points_per_object: int = Field(
        default=1, ge=1, description="clicks on each object, for label: points"
    )
    background_points: int = Field(
        default=1,
        ge=MATCH,
        description="clicks on the background, for label: points; -1: as many as on objects",
    )


class VlmItl(Section):
    """Section `vlm_itl`: who judges the predicted masks, and what follows from it."""

    enabled: bool | None = Field(
        default=None,
        description=(
            "True: for train_vlm_itl.py only; False: for train_active_learning.py only; left out: "
            "either script may run"
        ),
    )
    vlm_handler: str = Field(default="mock", description="the judge")
    vlm_options: dict[str, Any] = Field(default_factory=dict, description="options of that judge")
    iou_bar: float = Field(
        default=0.7, gt=0, le=1, description="IoU from which a mask is good enough"
    )
    calibration: Literal["platt", "isotonic", "shrunken", "none"] = Field(
        default="platt", description="of the judge's probability, on the audit"
    )
    risk: float | None = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="largest share of accepted masks under the bar; null: the judge's own decision",
    )
    control: Literal["ltt", "crc"] = Field(
        default="ltt",
        description="how the risk is controlled: Learn-then-Test, or conformal risk control",
    )
    confidence: float = Field(
        default=0.9, gt=0, lt=1, description="with which that share is kept (ltt)"
    )
    audit_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of each purchase that is drawn at random, for calibration",
    )
    reject_below: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="probability under which a mask goes to the human; between: it waits",
    )
    max_candidates: int | None = Field(
        default=None,
        ge=1,
        description="masks to be judged a round, at random; null: the whole pool",
    )
    mirror: bool = Field(
        default=True,
        description=(
            "judge the mean prediction for the image and its mirror image, and learn from that"
        ),
    )
    pairwise: bool = Field(
        default=False,
        description=(
            "first let the judge choose between this round's mask and the round before's, and "
            "judge the better"
        ),
    )
    pseudo_share: float = Field(
        default=0.5,
        gt=0,
        le=8,
        description="pseudo-labelled images that join each batch, for one bought",
    )
    pseudo_confidence: float = Field(
        default=0.8,
        ge=0,
        lt=1,
        description="pixels of a pseudo-label below this softmax value are ignored",
    )
    ignore_disputed: bool = Field(
        default=True,
        description="pixels of a pseudo-label whose class the judge disputes are ignored (learned)",
    )
    pseudo_augment: Literal["strong", "usual"] = Field(
        default="strong",
        description=(
            "of pseudo-labelled images: 'usual', as training.augment says, or with more colour, "
            "grey and blur, 'strong'"
        ),
    )
    examine: bool = Field(
        default=True,
        description=(
            "measure the judge against masks nobody bought: for the report only, in a simulation"
        ),
    )


class Config(Section):
    """A whole experiment."""

    output_dir: str | None = Field(default=None, description="folder of a single run (baseline)")
    output_dir_prefix: str | None = Field(
        default=None, description="folder below which each run gets its own (active learning)"
    )
    run_name: str | None = Field(
        default=None,
        description="name of that folder; null: made of strategy or judge, label and seed",
    )
    seed: int = Field(default=0, ge=0, description="of everything random but the split")
    log_with: Literal["none", "wandb", "tensorboard"] = Field(
        default="none", description="tracker; log.jsonl is always written"
    )
    project: str = Field(default="vlm-itl", description="project name in the tracker")
    data: Data = Data()
    model: Model = Model()
    training: Training = Training()
    active_learning: ActiveLearning = ActiveLearning()
    vlm_itl: VlmItl = VlmItl()


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> tuple[Config, dict[str, Any]]:
    """Read a YAML file and apply `overrides` ("section.key=value").

    Returns the `Config`, and the nested dict of the keys that were set.
    """
    content = read_settings(path, overrides)
    try:
        config = build(Config, content)
    except UserError as error:
        raise UserError(f"--config {path}: {error}") from error
    return config, content


def budgets(settings: ActiveLearning) -> list[tuple[float, str]]:
    """Return the budget of each round, rising: (amount, unit)."""
    if not settings.budgets:
        return [(percent, "percent") for percent in percentages(settings)]
    for before, after in zip((0.0, *settings.budgets), settings.budgets, strict=False):
        if after <= before:
            raise UserError(
                f"active_learning.budgets {list(settings.budgets)}: must rise from one round "
                "to the next"
            )
    if settings.budget_unit == "percent" and settings.budgets[-1] > 100:
        raise UserError(f"active_learning.budgets {list(settings.budgets)}: more than 100 percent")
    return [(amount, settings.budget_unit) for amount in settings.budgets]


def percentages(settings: ActiveLearning) -> list[float]:
    """Return initial_percentage, then steps of increment_percentage, up to max_percentage."""
    first, step, last = (
        settings.initial_percentage,
        settings.increment_percentage,
        settings.max_percentage,
    )
    if last < first:
        raise UserError(
            f"active_learning.max_percentage {last:g}: is less than initial_percentage {first:g}"
        )
    rounds = math.floor((last - first) / step + 1e-9) + 1
    steps = [first + step * number for number in range(rounds)]
    return steps if last - steps[-1] < 1e-6 else [*steps, last]


def annotator(settings: Config) -> Options:
    """Return the `annotators.Options` of a config."""
    section = settings.active_learning
    return Options(
        points_per_object=section.points_per_object, background_points=section.background_points
    )


def check_probe(settings: Config, needs: Collection[str]) -> None:
    """Refuse what a probe cannot do; needs: the scores that the strategy needs."""
    if settings.model.network != "probe":
        return
    if settings.active_learning.restart == "warm":
        raise UserError(
            "active_learning.restart warm: the fit of a probe ends alike wherever it starts; "
            "set it to cold"
        )
    if settings.training.select == "best":
        raise UserError(
            "training.select best: a probe has no checkpoints to choose from; set it to last"
        )
    if "bald" in needs and settings.model.head != "small":
        raise UserError(
            f"model.head {settings.model.head}: the strategy bald needs dropout, which only the "
            "small head is trained with; set it to small, or choose another strategy"
        )


def check_judging(settings: Config) -> None:
    """Refuse settings that can't work together where a judge takes part."""
    section = settings.vlm_itl
    if section.audit_share == 0 and (section.risk is not None or section.calibration != "none"):
        raise UserError(
            "vlm_itl.audit_share 0: calibration and the risk bound need an audit; raise it, or set "
            "vlm_itl.calibration: none and vlm_itl.risk: null"
        )
    if (
        section.vlm_options.get("measure") == "agreement"
        and settings.active_learning.ensemble_size < 2
    ):
        raise UserError(
            "active_learning.ensemble_size 1: the measure agreement compares networks; "
            "set 2 or more"
        )
