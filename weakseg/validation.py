"""What pydantic refuses, told to a person on one line: the key, what is wrong, the nearest key."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from weakseg.common import printable, suggestion

# Type of a pydantic error -> how we put it. {key} is the place in the file, {value} what stands
# there; what pydantic adds (`ctx`) can be named too. Other types keep pydantic's own words.
WORDS = {
    "missing": "has no '{key}'",
    "literal_error": "{key}: must be {choices}, not {value}",
    "model_type": "{key}: must be a table, not {value}",
    "dict_type": "{key}: must be a table, not {value}",
    "list_type": "{key}: must be a list, not {value}",
    "string_type": "{key}: must be text, not {value}",
    "int_type": "{key}: must be a whole number, not {value}",
    "float_type": "{key}: must be a number, not {value}",
    "finite_number": "{key}: must be a number, not {value}",
    "tuple_type": "{key}: must be a list, not {value}",
    "bool_type": "{key}: must be True or False, not {value}",
    "not_negative": "{key}: must not be negative, but is {value}",
    "greater_than_equal": "{key}: must be at least {ge:g}, not {value}",
    "less_than_equal": "{key}: must be at most {le:g}, not {value}",
    "greater_than": "{key}: must be more than {gt:g}, not {value}",
    "less_than": "{key}: must be less than {lt:g}, not {value}",
    "string_pattern_mismatch": "{key}: must be of the form {pattern}, not {value}",
    "multiple_of": "{key}: must be a multiple of {multiple_of:g}, not {value}",
}
UNKNOWN = ("extra_forbidden", "invalid_key")


def first_fault(error: ValidationError, model: type[BaseModel]) -> str:
    """Return what is wrong with a file's content, on one line: the first thing that was found.

    model: the one that refused the content
    """
    fault = error.errors()[0]
    *path, last = [str(part) for part in fault["loc"] if part != "[key]"] or [""]
    if fault["type"] in UNKNOWN:
        known = known_keys(model, path)
        hint = suggestion(last, known, "; did you mean {}?") or f"; known: {', '.join(known)}"
        return f"{'.'.join(path)}{': ' * bool(path)}unknown key '{shorten(last)}'{hint}"
    return explain(fault, ".".join([*path, last]))


def explain(fault: Mapping[str, Any], key: str) -> str:
    """Return what is wrong with a key's value, on one line; fault: one of pydantic's errors."""
    context: dict[str, Any] = dict(fault.get("ctx", {}))
    hint = ""
    if "expected" in context:  # "'a', 'b' or 'c'"
        choices = context["expected"].replace("'", "").replace(" or ", ", ")
        context["choices"] = f"one of {choices}" if ", " in choices else choices
        hint = suggestion(fault["input"], choices.split(", "), "; did you mean {}?")
    words = WORDS.get("not_negative" if context.get("ge") == 0 else fault["type"])
    if words is None:  # our own validators name what they mean themselves
        return f"{key}{': ' * bool(key)}{shorten(fault['msg'], 200)}"
    return words.format(key=shorten(key), value=shorten(repr(fault["input"])), **context) + hint


def known_keys(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys that a model knows at a place in it."""
    for part in path:
        inner = model.model_fields[part].annotation
        assert isinstance(inner, type) and issubclass(inner, BaseModel), part
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def shorten(value: object, length: int = 60) -> str:
    """Return a value's text on one line, at most `length` characters."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = printable(text[: length + 1])
    return text if len(text) <= length else text[: length - 3] + "..."
