"""A file of settings: YAML, of which nothing is lost or taken for something else.

`--set section.key=value` overrides a key; the value is read as YAML.
"""

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from weakseg import plain_yaml
from weakseg.common import UserError

LONGEST = 1_000_000  # letters; a file of settings has thousands


class Loader(plain_yaml.Loader):
    """Plain values of YAML. A key that is no word is refused, and 010 is ten, not eight."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a table whose keys are words."""
        for key, _ in node.value:
            if key.tag not in (WORD, plain_yaml.MERGE) or not isinstance(key.value, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r:.60} is no word", key.start_mark
                )
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int:
        """Return a whole number, in decimal digits."""
        return int(str(self.construct_scalar(node)).replace("_", ""))


WORD, NUMBER = "tag:yaml.org,2002:str", "tag:yaml.org,2002:int"
# YAML 1.1 also takes 1:30 for ninety.
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != NUMBER]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(NUMBER, re.compile(r"[-+]?[0-9][0-9_]*$"), list("-+0123456789"))
Loader.add_constructor(NUMBER, Loader.construct_number)


def read_settings(path: Path | str, overrides: Sequence[str] = ()) -> Any:
    """Return the content of a YAML file with `overrides` ("section.key=value") written into it."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--config {path}: cannot be read ({error})") from error
    if len(text) > LONGEST:
        raise UserError(f"--config {path}: is no file of settings, it has {len(text)} letters")
    content = read_yaml(text, f"--config {path}: not YAML")
    content = {} if content is None else content
    for override in overrides:
        apply_override(content, override)
    return content


def read_yaml(text: str, fault: str) -> Any:
    """Return the value that a text of YAML holds; fault: begins the message where it is none."""
    try:
        value = yaml.load(text, Loader)
        refuse_loops(value)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: what looks like a date but is none
        raise UserError(f"{fault} ({' '.join(str(error).split())})") from error
    except RecursionError as error:
        raise UserError(f"{fault} (its brackets are too deep)") from error
    return value


def refuse_loops(value: Any) -> None:
    """Raise ValueError where a list or table is a part of itself, as an alias can make it."""
    above: set[int] = set()
    whole: set[int] = set()

    def visit(part: Any) -> None:
        if not isinstance(part, (list, dict)) or id(part) in whole:
            return
        if id(part) in above:
            raise ValueError("a value is a part of itself")
        above.add(id(part))
        for inner in part.values() if isinstance(part, dict) else part:
            visit(inner)
        above.remove(id(part))
        whole.add(id(part))

    visit(value)


def apply_override(content: Any, override: str) -> None:
    """Set one key, "section.key=value", in the nested dict `content`."""
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
    content[last] = read_yaml(text, f"--set {override}: {text!r} is not YAML")
