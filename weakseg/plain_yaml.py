"""YAML of which nothing is lost: a key that stands twice in a table is refused."""

from collections.abc import Hashable
from typing import Any

import yaml

MERGE = "tag:yaml.org,2002:merge"


class Loader(yaml.SafeLoader):
    """Plain values of YAML. Of two equal keys, YAML itself takes the later without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a table; what it merges may be overridden."""
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if key.tag == MERGE or not isinstance(key.value, str):
                continue
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r:.60} stands twice", key.start_mark
                )
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def read_plain_yaml(text: str) -> Any:
    """Return the value that a text holds; what is no YAML is a `yaml.YAMLError`."""
    return yaml.load(text, Loader)
