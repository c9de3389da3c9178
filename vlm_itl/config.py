"""Experiment configurations: YAML read into checked dataclasses.

A key that is unknown, mistyped or of the wrong type is a `UserError` that names it and the nearest
known one. `--set section.key=value` overrides a key; the value is read as YAML.
"""

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path

from weakseg.common import UserError, suggestion
from weakseg.labels.annotators import Options

UNITS = ("percent", "images", "seconds", "hours")


def key(default, text, **rules):
    """Return a dataclass field: its default, what it means, and rules (choices=, low=, high=) for
    its value.
    """
    return field(default=default, metadata={"help": text, **rules})


@dataclass(frozen=True)
class Data:
    """Section `data`: which images, and how they are split."""

    source: str = key(
        "shapes",
        "'shapes' (drawn), a folder (VOC, Oxford-IIIT Pet, your own), or a hub id (owner/name)",
    )
    hub_image: str = key("image", "hub: the column of photographs")
    hub_mask: str = key("mask", "hub: the column of masks (class numbers, or VOC's colours)")
    hub_test: str = key("validation", "hub: the split to test on; all others are trained on")
    classes: tuple[str, ...] = key(
        (), "a subset of the classes, 'cat' or merged 'pet=cat+dog'; empty: all"
    )
    image_size: int = key(
        128, "side of the square that the network sees, pixels", low=64, multiple=32
    )
    shapes_train: int = key(240, "shapes: images to draw for training and validation", low=4)
    shapes_test: int = key(60, "shapes: images to draw for the test", low=2)
    pool_limit: int | None = key(
        None, "use only so many training images (chosen by a hash); null: all", low=1
    )
    val_limit: int | None = key(None, "use only so many validation images; null: all", low=1)
    val_fraction: float = key(
        0.1, "share of the training list that is held for validation", above=0, below=1
    )
    split_seed: int = key(0, "seed of that split")
    data_dir: str = key("./data", "where drawn and downloaded data is kept")
    cache_dir: str = key("./data/.cache", "where decoded, resized images are kept")
    cache_limit: float | None = key(
        None, "most gigabytes that cache_dir may hold; null: no limit", low=0
    )


@dataclass(frozen=True)
class Model:
    """Section `model`: the network."""

    name: str = key(
        "efficientnet-lite0",
        "a U-Net's encoder, 'segformer-tiny', a SegFormer's hub id, or its folder",
    )
    weights: str = key(
        "imagenet",
        "'imagenet' (SegFormer: the hub's), 'none', or a file with a U-Net encoder's weights",
    )
    dropout: float = key(
        0.1, "before the last layer, in training and for MC dropout", low=0, below=1
    )


@dataclass(frozen=True)
class Training:
    """Section `training`: one schedule for every round and every arm."""

    steps: int = key(60, "optimiser steps a round, whatever the number of labels", low=1)
    batch_size: int = key(16, "images a step", low=1)
    learning_rate: float = key(3e-4, "peak rate of the encoder", above=0)
    decoder_lr_scale: float = key(3.0, "decoder and heads: learning_rate times this", above=0)
    weight_decay: float = key(0.01, "AdamW's", low=0)
    warmup: float = key(0.05, "share of the steps with a rising rate", low=0, below=1)
    augment: bool = key(True, "crop, flip and recolour")
    select: str = key(
        "last", "weights to keep: 'last', or 'best' by val mIoU", choices=("last", "best")
    )
    eval_steps: int | None = key(
        None, "steps between validations and checkpoints; null: only at the end", low=1
    )
    num_workers: int = key(0, "loader processes", low=0)
    device: str = key("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    mixed_precision: bool | None = key(None, "half precision; null: on CUDA only")


@dataclass(frozen=True)
class ActiveLearning:
    """Section `active_learning`: what is bought, in which order, and how much of it."""

    label: str = key(
        "mask", "'mask', or any weak label: tags, points, scribbles, boxes, hybrid_points_boxes"
    )
    strategy: str = key("entropy", "the acquisition strategy")
    initial_strategy: str = key(
        "random",
        "the strategy of the first purchase: 'random' or 'typiclust'",
        choices=("random", "typiclust"),
    )
    initial_percentage: float = key(
        5.0, "labelled before the first round, % of the pool", above=0, high=100
    )
    increment_percentage: float = key(
        5.0, "bought after each round, % of the pool", above=0, high=100
    )
    max_percentage: float = key(30.0, "the last budget, % of the pool", above=0, high=100)
    budgets: tuple[float, ...] = key(
        (), "rising budgets, one a round, instead of the three percentages"
    )
    budget_unit: str = key(
        "percent", "unit of `budgets`; seconds and hours are an annotator's", choices=UNITS
    )
    first_round_from: str | None = key(
        None,
        "folder of a run whose first round this one takes over: same data, model, training, label and seed",
    )
    restart: str = key(
        "cold",
        "each round starts from the pretrained weights, or goes on: 'cold' or 'warm'",
        choices=("cold", "warm"),
    )
    ensemble_size: int = key(
        1, "networks trained a round; only strategies and judges that compare them need more", low=1
    )
    dropout_passes: int = key(10, "passes of MC dropout", low=2)
    points_per_object: int = key(1, "clicks on each object, for label: points", low=1)
    background_points: int = key(1, "clicks on the background, for label: points", low=0)


@dataclass(frozen=True)
class VlmItl:
    """Section `vlm_itl`: who judges the predicted masks, and what follows from it."""

    enabled: bool | None = key(
        None,
        "True: for train_vlm_itl.py only; False: for train_active_learning.py only; "
        "left out: either script may run",
    )
    vlm_handler: str = key("mock", "the judge")
    vlm_options: dict = field(default_factory=dict, metadata={"help": "options of that judge"})
    iou_bar: float = key(0.7, "IoU from which a mask is good enough", above=0, high=1)
    calibration: str = key(
        "platt",
        "of the judge's probability, on the audit",
        choices=("platt", "isotonic", "shrunken", "none"),
    )
    risk: float | None = key(
        0.2,
        "largest share of accepted masks under the bar; null: the judge's own decision",
        above=0,
        below=1,
    )
    control: str = key(
        "ltt",
        "how the risk is controlled: Learn-then-Test, or conformal risk control",
        choices=("ltt", "crc"),
    )
    confidence: float = key(0.9, "with which that share is kept (ltt)", above=0, below=1)
    audit_share: float = key(
        0.5, "share of each purchase that is drawn at random, for calibration", low=0, high=1
    )
    reject_below: float = key(
        0.5, "probability under which a mask goes to the human; between: it waits", low=0, high=1
    )
    max_candidates: int | None = key(
        None, "masks to be judged a round, at random; null: the whole pool", low=1
    )
    mirror: bool = key(
        True, "judge the mean prediction for the image and its mirror image, and learn from that"
    )
    pairwise: bool = key(
        False,
        "first let the judge choose between this round's mask and the round before's, and judge the better",
    )
    pseudo_share: float = key(
        0.5, "pseudo-labelled images that join each batch, for one bought", above=0, high=8
    )
    pseudo_confidence: float = key(
        0.8, "pixels of a pseudo-label below this softmax value are ignored", low=0, below=1
    )
    ignore_disputed: bool = key(
        True, "pixels of a pseudo-label whose class the judge disputes are ignored (learned)"
    )
    pseudo_augment: str = key(
        "strong",
        "of pseudo-labelled images: 'usual', as training.augment says, or with "
        "more colour, grey and blur, 'strong'",
        choices=("strong", "usual"),
    )
    examine: bool = key(
        True, "measure the judge against masks nobody bought: for the report only, in a simulation"
    )


@dataclass(frozen=True)
class Config:
    """A whole experiment."""

    output_dir: str | None = key(None, "folder of a single run (baseline)")
    output_dir_prefix: str | None = key(
        None, "folder below which each run gets its own (active learning)"
    )
    run_name: str | None = key(
        None, "name of that folder; null: made of strategy or judge, label and seed"
    )
    seed: int = key(0, "of everything random but the split", low=0)
    log_with: str = key(
        "none", "tracker; log.jsonl is always written", choices=("none", "wandb", "tensorboard")
    )
    project: str = key("vlm-itl", "project name in the tracker")
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    active_learning: ActiveLearning = field(default_factory=ActiveLearning)
    vlm_itl: VlmItl = field(default_factory=VlmItl)


def load_config(path, overrides=()):
    """Read a YAML file and apply `overrides` ("section.key=value") -> (Config, the names of the
    keys it sets).
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--config {path}: cannot be read ({error})") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: what looks like a date but is none
        raise UserError(f"--config {path}: not YAML ({' '.join(str(error).split())})") from error
    content = {} if content is None else content
    for override in overrides:
        apply_override(content, override)
    try:
        config = build(Config, content, "")
    except UserError as error:
        raise UserError(f"--config {path}: {error}") from error
    return config, content


def apply_override(content, override):
    """Set one key, "section.key=value", in the nested dict `content`."""
    import yaml

    name, sign, text = override.partition("=")
    *sections, last = name.strip().split(".")
    if not sign or not last or not isinstance(content, dict):
        raise UserError(
            f"--set {override}: write section.key=value, for example training.steps=100"
        )
    for section in sections:
        if content.get(section) is None:
            content[section] = {}
        content = content[section]
        if not isinstance(content, dict):
            raise UserError(f"--set {override}: in the file, {section} is no table of keys")
    try:
        content[last] = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"--set {override}: {text!r} is not YAML") from error


def build(cls, content, prefix):
    """Return the dataclass `cls` with the values of the dict `content`; the rest keeps its
    defaults.
    """
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise UserError(
            f"{prefix.rstrip('.') or 'the file'}: must be a table of keys, not {content!r}"
        )
    hints = typing.get_type_hints(cls)
    values = {}
    for name, value in content.items():
        if name not in hints:
            hint = (
                suggestion(name, hints, f"did you mean {prefix}{{}}?")
                or f"known: {', '.join(hints)}"
            )
            raise UserError(f"unknown key {prefix}{name}: {hint}")
        if dataclasses.is_dataclass(hints[name]):
            values[name] = build(hints[name], value, f"{prefix}{name}.")
        else:
            values[name] = convert(value, hints[name], prefix + name)
    result = cls(**values)
    for item in dataclasses.fields(cls):
        check_rules(getattr(result, item.name), item.metadata, prefix + item.name)
    return result


def convert(value, hint, name):
    """Return `value` as the type `hint`: str, int, float, bool, dict, tuple[...], or a union of one
    with None.
    """
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    wanted = next(option for option in options if option is not type(None))
    if typing.get_origin(wanted) is tuple:
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(convert(item, typing.get_args(wanted)[0], name) for item in items)
    if wanted is float and isinstance(value, (str, int)) and not isinstance(value, bool):
        try:
            value = float(value)  # also of text: YAML 1.1 reads 3e-4 as a word
        except (ValueError, OverflowError):
            pass
    if wanted is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise UserError(f"{name}: must be {describe(wanted)}, not {value!r}")
    if wanted is float and not math.isfinite(value):
        raise UserError(f"{name}: must be a finite number, not {value!r}")
    return value


def describe(wanted):
    """Return a type's name as a user says it."""
    return {
        str: "text",
        int: "a whole number",
        float: "a number",
        bool: "True or False",
        dict: "a table",
    }[wanted]


LIMITS = {
    "low": (lambda value, limit: value >= limit, "at least"),
    "high": (lambda value, limit: value <= limit, "at most"),
    "above": (lambda value, limit: value > limit, "more than"),
    "below": (lambda value, limit: value < limit, "less than"),
    "multiple": (lambda value, limit: value % limit == 0, "a multiple of"),
    "choices": (lambda value, limit: value in limit, "one of"),
}


def check_rules(value, rules, name):
    """Refuse a value outside the rules of its key; None is never checked."""
    for rule, (holds, words) in LIMITS.items():
        if rule in rules and value is not None and not holds(value, rules[rule]):
            limit = ", ".join(rules[rule]) if rule == "choices" else rules[rule]
            hint = suggestion(value, rules[rule], "; did you mean {}?") if rule == "choices" else ""
            raise UserError(f"{name}: {value!r} must be {words} {limit}{hint}")


def as_plain(value):
    """Return a dataclass as nested plain values (dict, list, str, ...), as YAML or JSON would hold
    it.
    """
    if dataclasses.is_dataclass(value):
        return {
            item.name: as_plain(getattr(value, item.name)) for item in dataclasses.fields(value)
        }
    return list(value) if isinstance(value, tuple) else value


def describe_keys(cls=Config, prefix=""):
    """Return the list of all keys with their defaults, for a script's help."""
    lines = []
    hints = typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[item.name]):
            lines.append(f"\n{item.name}:\n{describe_keys(hints[item.name], '  ')}")
        else:
            default = {} if item.default is dataclasses.MISSING else item.default
            shown = (
                "null"
                if default is None
                else list(default)
                if isinstance(default, tuple)
                else default
            )
            lines.append(f"{prefix}{item.name}: {shown}   # {item.metadata['help']}")
    return "\n".join(lines)


def budgets(settings):
    """Return the rising budgets [(amount, unit), ...] of the config's section `active_learning`,
    one a round.
    """
    if not settings.budgets:
        return [(percent, "percent") for percent in percentages(settings)]
    for before, after in zip((0.0, *settings.budgets), settings.budgets, strict=False):
        if after <= before:
            raise UserError(
                f"active_learning.budgets {list(settings.budgets)}: must rise from one round to the next"
            )
    if settings.budget_unit == "percent" and settings.budgets[-1] > 100:
        raise UserError(f"active_learning.budgets {list(settings.budgets)}: more than 100 percent")
    return [(amount, settings.budget_unit) for amount in settings.budgets]


def percentages(settings):
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
    found = [first + step * number for number in range(rounds)]
    return found if last - found[-1] < 1e-6 else [*found, last]


def annotator(settings):
    """Return the `annotators.Options` of a config."""
    section: ActiveLearning = settings.active_learning
    return Options(
        points_per_object=section.points_per_object, background_points=section.background_points
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
