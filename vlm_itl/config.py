"""The configuration of an experiment: all its sections, and what they mean together.

How it is read, and what a wrong one is told, stands in `vlm_itl.settings`.
"""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from vlm_itl.loop_sections import ActiveLearning, VlmItl
from vlm_itl.sections import Data, Model, Training
from vlm_itl.settings import Section, build
from vlm_itl.settings_file import read_settings
from weakseg.common import UserError
from weakseg.labels.annotators import Options

MOST_ROUNDS = 1000


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
    seed: int = Field(
        default=0, ge=0, le=2**63 - 1, description="of everything random but the split"
    )
    log_with: Literal["none", "wandb", "tensorboard"] = Field(
        default="none", description="tracker; log.jsonl is always written"
    )
    project: str = Field(
        default="vlm-itl",
        max_length=128,
        pattern=r"^[^/\\#?%:]+$",
        description="project name in the tracker",
    )
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
    if (last - first) / step > MOST_ROUNDS:
        raise UserError(
            f"active_learning.increment_percentage {step:g}: would give more than {MOST_ROUNDS} "
            "rounds; raise it"
        )
    rounds = math.floor((last - first) / step + 1e-9) + 1
    steps = [first + step * number for number in range(rounds)]
    return steps if last - steps[-1] < 1e-6 else [*steps, last]


def annotator(settings: Config) -> Options:
    """Return the `annotators.Options` of a config."""
    section = settings.active_learning
    return Options(
        points_per_object=section.points_per_object,
        background_points=section.background_points,
        pixels_per_image=section.pixels_per_image,
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
