"""What settings are: sections of keys, checked by pydantic, told in one line if wrong.

A key that is unknown, mistyped or of the wrong type is a `UserError` that names it and the nearest
known one. How a file of them is read stands in `vlm_itl.settings_file`.
"""

from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from weakseg.common import UserError, suggestion
from weakseg.validation import UNKNOWN, explain, known_keys, shorten


class Section(BaseModel):
    """A section of settings: typed keys with defaults, which don't change once they are read.

    A subclass writes each key as a pydantic `Field`, with its default, its limits and, as
    `description`, what it means.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def read_as_written(cls, value: Any, info: ValidationInfo) -> Any:
        """Take YAML's own types for those that are wanted, where nothing can be meant but that."""
        assert info.field_name is not None
        return as_wanted(value, cls.model_fields[info.field_name].annotation)


SectionT = TypeVar("SectionT", bound=Section)


def as_wanted(value: Any, wanted: Any) -> Any:
    """Return what YAML read, in the type of its key where only the spelling stands between.

    A number is text where text is wanted (a run's name may be 5), a word is a number where one is
    wanted and the word is one (YAML 1.1 reads 3e-4 as a word), a single value is a list of one,
    and an empty section is a section of defaults. Anything else is left for pydantic to refuse.
    """
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return {} if value is None else value
    if get_origin(wanted) is tuple:
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(as_wanted(item, get_args(wanted)[0]) for item in items)
    kinds = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    if str in kinds and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if float in kinds and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def build(cls: type[SectionT], content: Any, prefix: str = "") -> SectionT:
    """Return the section `cls` with the values of a dict; the other keys keep their defaults.

    prefix  what its keys' names begin with in the whole configuration, such as "training."
    """
    try:
        return cls.model_validate({} if content is None else content)
    except ValidationError as error:
        raise UserError(first_fault(error, cls, prefix)) from error


def first_fault(error: ValidationError, model: type[BaseModel], prefix: str) -> str:
    """Return what pydantic refused first, on one line, by the key's whole name."""
    fault = error.errors()[0]
    path = [str(part) for part in fault["loc"] if not isinstance(part, int) and part != "[key]"]
    name = prefix + ".".join(path)
    if fault["type"] not in UNKNOWN:
        return explain(fault, name.rstrip(".") or "the file")
    siblings = known_keys(model, path[:-1])
    before = name.removesuffix(path[-1])
    hint = suggestion(path[-1], siblings, f"did you mean {before}{{}}?")
    return f"unknown key {shorten(name)}: {hint or 'known: ' + ', '.join(siblings)}"


def as_plain(section: BaseModel) -> dict[str, Any]:
    """Return a section as nested plain values (dict, list, str, ...), as JSON would hold it."""
    return section.model_dump(mode="json")


def describe_keys(cls: type[BaseModel], indent: str = "") -> str:
    """Return the list of all keys with their defaults and meanings, for a script's help."""
    lines = []
    for name, field in cls.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            lines.append(f"\n{name}:\n{describe_keys(kind, indent + '  ')}")
            continue
        default = field.get_default(call_default_factory=True)
        shown = list(default) if isinstance(default, tuple) else default
        words = f"{indent}{name}: {'null' if shown is None else shown}"
        lines.append(f"{words:<36}# {field.description}")
    return "\n".join(lines)
