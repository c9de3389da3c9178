"""What a run's `results.json` holds, as far as runs are compared by it."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from weakseg.data.ids import is_shown

Budget = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

# Column of the judges' table -> (key of `judge_metrics`, factor).
JUDGE_COLUMNS = {
    "Spearman": ("spearman", 1),
    "AUROC": ("auroc", 1),
    "AUPRC": ("auprc", 1),
    "ECE": ("ece", 1),
    "Brier": ("brier", 1),
    "agreement %": ("agreement", 100),
    "good %": ("good", 100),
    "accepted %": ("coverage", 100),
    "purity %": ("purity", 100),
    "accepted and bad %": ("accepted_bad", 100),
    "hours saved": ("seconds_saved", 1 / 3600),
}


def shown(name: str) -> str:
    """Return a name that can stand in a table; ValueError for one that is empty or odd."""
    if not name.strip() or not is_shown(name):
        raise ValueError("is no name that can be shown")
    return name


def metrics_of(line: dict[str, Any]) -> dict[str, Any]:
    """Return a judge's metrics, of which those that tables show are numbers or missing."""
    for key, _ in JUDGE_COLUMNS.values():
        value = line.get(key)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not (is_number and -1e15 < value < 1e15):
            raise ValueError(f"{key} must be a number")
    return line


class Part(BaseModel):
    """A part of the file, whose other keys are taken as they are."""

    model_config = ConfigDict(strict=True, extra="allow")


class Point(Part):
    """One round of the curve."""

    round: int = Field(ge=0, le=10**6)
    percent: Budget
    seconds: Budget
    test_miou: Share
    test_file: str


class RunResults(Part):
    """A finished run: its arm and seed, its curve, and what a judge's masks were worth."""

    arm: Annotated[str, AfterValidator(shown)]
    seed: int = Field(ge=0, le=2**63 - 1)
    test_fingerprint: str
    test_contents: str | None = None
    curve: list[Point] = Field(min_length=1)
    judge: list[Annotated[dict[str, Any], AfterValidator(metrics_of)]] = []
    config: dict[str, Any] | None = None
    commit: str | None = None
