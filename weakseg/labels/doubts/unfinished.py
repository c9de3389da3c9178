"""Whether pictures that are said to be empty are those that nobody has come to yet."""

import re
from collections.abc import Iterator, Mapping, Sequence

from weakseg.labels.store import Given

FEWEST, SHARE = 5, 0.2  # empty pictures at the end, and their share of all, that are no chance
BEFORE = 0.1  # share of those before that may be empty too


def unfinished_lines(sources: Mapping[str, Mapping[str, Given]]) -> Iterator[str]:
    """Yield a line for each source of which the last pictures alone are empty, if any.

    sources: {source: {id: what it says}}. Pictures called otherwise than those before, as a folder
    of negatives is, are no end.
    """
    for pictures in sources.values():
        orders = [*pictures], sorted(pictures)  # that of the file, in which people work, or by name
        tail = next(filter(None, (empty_end(names, pictures) for names in orders)), None)
        if tail:
            yield (
                f"the last {len(tail)} of {len(pictures)} pictures, from {tail[0]} on, are empty, "
                "and nearly none before; where nobody has come to them yet, leave --empty out"
            )


def empty_end(names: Sequence[str], pictures: Mapping[str, Given]) -> Sequence[str] | None:
    """Return the names at the end of a list that alone are empty, if they are no chance."""
    shown = [bool(pictures[name].shapes) for name in names]
    last = next((place for place in range(len(names), 0, -1) if shown[place - 1]), 0)
    tail, before = names[last:], shown[:last]
    is_end = len(tail) >= max(FEWEST, SHARE * len(names)) and any(before)
    is_called_alike = {stem(name) for name in tail} <= {stem(name) for name in names[:last]}
    if is_end and is_called_alike and before.count(False) <= BEFORE * len(before):
        return tail
    return None


def stem(name: str) -> str:
    """Return the name of a picture without its numbers."""
    return re.sub(r"\d+", "", name)
