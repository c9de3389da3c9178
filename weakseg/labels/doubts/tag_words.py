"""Tags that are no names of classes: several in one cell, or one that says what isn't there."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from weakseg.validation import shorten

ALWAYS = re.compile(r"\s*[;|]\s*")  # marks that stand between words of a list, and in no name
OFTEN = re.compile(r"\s*,\s*")  # one that stands in names too
NOT = "no|not|non|without|kein|keine|ohne|sans|pas de|sin"
DENIED = re.compile(rf"(?:{NOT})[\s_-]+(.+)|(.+)[\s_-]+(?:absent|missing)", re.IGNORECASE)


def several_in_one(names: Sequence[str]) -> dict[str, list[str]]:
    """Return {name: the words in it} of names that are lists of some.

    Commas stand in names too: they count where a part is a name, or is in two such lists.
    """
    found = {name: parts for name in names if len(parts := words_in(ALWAYS, name)) > 1}
    told = {name: parts for name in names if len(parts := words_in(OFTEN, name)) > 1}
    shared = Counter(part for parts in told.values() for part in {*parts})
    for name, parts in told.items():
        if any(part in names or shared[part] > 1 for part in parts):
            found.setdefault(name, parts)
    return found


def words_in(marks: re.Pattern[str], name: str) -> list[str]:
    """Return the words of a name between marks."""
    return [word for word in marks.split(name.strip()) if word]


def denials(names: Sequence[str], classes: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, class) of names that say that a class isn't there, as "no cat" does."""
    known = {name.casefold(): name for name in classes}
    for name in names:
        match = DENIED.fullmatch(name.strip())
        other = match and known.get((match[1] or match[2]).casefold())
        if other:
            yield name, other


def tag_lines(tags: Sequence[str], classes: Sequence[str], known: Collection[str]) -> Iterator[str]:
    """Yield lines on names that are none of one class, with the way out.

    tags: names that only tags have; classes: all names, these included; known: those that somebody
    listed, and so means
    """
    several = {name: words for name, words in several_in_one(classes).items() if name not in known}
    if several:
        name, words = next(iter(several.items()))
        way_out = "" if "," in name else f", or --map '{name}={words[0]}'"
        yield (
            f"{shorten(', '.join(map(repr, several)), 60)} look like several classes in one, and "
            f"are learnt as classes of their own; write each word on a line of its own{way_out}"
        )
    denied = [name for name, _ in denials(tags, classes) if name not in known]
    if denied:
        yield (
            f"the tags {shorten(', '.join(denied), 60)} are learnt as classes of their own; where "
            f"they say what isn't there, --map '{denied[0]}=-' leaves one out"
        )
