"""Groups of flags as frozen dataclasses: a field is a flag, with its default and its help."""

import argparse
from dataclasses import field, fields
from typing import Any


def option(default: Any, text: str, **flag: Any) -> Any:
    """Return a dataclass field with a help text and what argparse needs to know of its flag."""
    return field(default=default, metadata={"help": text, "flag": flag})


def add_options(group: argparse._ArgumentGroup, options: type) -> None:
    """Add a flag for each field of a dataclass whose fields are `option`s."""
    for one in fields(options):
        known = "" if one.default is None else " (default: %(default)s)"
        text = one.metadata["help"] + known
        group.add_argument(f"--{one.name}", default=one.default, help=text, **one.metadata["flag"])
