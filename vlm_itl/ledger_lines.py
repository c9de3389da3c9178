"""What each line of a run's ledger holds, and which stage may follow which."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from weakseg.common import UserError
from weakseg.validation import first_fault

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Target = Annotated[tuple[Finite, str], Field(strict=False)]  # JSON has lists alone
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """A part of a line, whose other keys are taken as they are."""

    model_config = ConfigDict(strict=True, extra="allow")


class Start(Part):
    """What the run is: the settings, and what they are compared by."""

    settings: str
    images: str
    contents: str | None = None
    targets: list[Target] = Field(min_length=1)
    seed: int
    commit: str | None
    config: dict[str, Any]


class Bought(Part):
    """The label of one image, and what it cost."""

    annotations: dict[str, Any]
    signals: list[str]
    seconds: Seconds


class Purchase(Part):
    """The labels that the stages `buy` and `audit` bought, by image id."""

    bought: dict[str, Bought]


class Trained(Part):
    """The digests of the weights of a round's networks."""

    weights: list[str] = Field(min_length=1)
    pseudo_labels: Count


class Evaluated(Part):
    """What the first network of a round reached, and the digest of its confusion matrices."""

    val_miou: Score
    test_miou: Score
    test: str


class RoutedVerdict(Part):
    """What a judge said of a mask, and where that led."""

    route: Literal["accept", "reject", "abstain"]
    failure: str | None
    calibrated: Finite | None


class Judged(Part):
    """The verdicts of a round, by image id."""

    verdicts: dict[str, RoutedVerdict]
    metrics: dict[str, Any]


# Stage -> (what its line holds, the stages that may come after it: those of the same round, and
# those of the next).
STAGES: dict[str, tuple[type[Part], set[str], set[str]]] = {
    "start": (Start, set(), {"buy"}),
    "buy": (Purchase, {"train"}, set()),
    "train": (Trained, {"evaluate"}, set()),
    "evaluate": (Evaluated, {"audit"}, {"buy"}),
    "audit": (Purchase, {"judge"}, set()),
    "judge": (Judged, set(), {"buy"}),
}
WAY_OUT = "restore the file, or delete the run"


def check_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Raise `UserError` where a line of a ledger lacks something, or a line is missing.

    path: of the ledger, for the message
    """
    number, allowed = -1, {(-1, "start")}
    for number, line in enumerate(lines, 1):
        place = line["round"], line["stage"]
        if place not in allowed:
            expected = " or ".join(f"{stage} of round {n}" for n, stage in sorted(allowed))
            raise UserError(
                f"{path}: line {number} is {place[1]} of round {place[0]}, where {expected} "
                f"belongs: a line is missing or out of place; {WAY_OUT}"
            )
        model, same, following = STAGES[place[1]]
        try:
            model.model_validate(line)
        except ValidationError as error:
            fault = first_fault(error, model)
            raise UserError(f"{path}: line {number}: {fault}; {WAY_OUT}") from error
        allowed = {(place[0], stage) for stage in same}
        allowed |= {(place[0] + 1, stage) for stage in following}
