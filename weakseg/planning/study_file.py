"""The content of study.json, as far as a plan reads it: each field with its type and range."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from weakseg.common import UserError, read_json
from weakseg.validation import first_fault

Hours = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Spent = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class Row(BaseModel):
    """One finished run: its mode, what was spent on it, and its test mIoU in percent."""

    model_config = ConfigDict(strict=True, extra="allow")

    mode: str
    run: str
    budget: Spent
    hours: Spent
    miou: Percent


class StudyModel(BaseModel):
    """A study: its finished runs, and what the labels of each mode cost."""

    model_config = ConfigDict(strict=True, extra="allow")

    budgets: list[Spent] = Field(min_length=1)
    all_hours: dict[str, Hours]
    image_hours: dict[str, Hours]
    rows: list[Row] = Field(min_length=1)

    @model_validator(mode="after")
    def price_every_mode(self) -> "StudyModel":
        """Refuse rows of a mode without prices."""
        for row in self.rows:
            if not {row.mode} <= self.all_hours.keys() & self.image_hours.keys():
                raise PydanticCustomError("no_hours", "rows: no hours of a mode in all_hours")
        return self


def read_study(path: str | Path) -> dict[str, Any]:
    """Return the content of study.json; a `UserError` names the file and the field otherwise."""
    study = read_json(path)
    if not isinstance(study, dict) or not study.get("rows"):
        raise UserError(f"{path}: holds no finished runs of study.py; run that first")
    try:
        StudyModel.model_validate(study)
    except ValidationError as error:
        fault = first_fault(error, StudyModel)
        raise UserError(
            f"{path}: {fault}; run the same study.py again, it trains nothing"
        ) from error
    return study
