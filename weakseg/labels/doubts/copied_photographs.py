"""One photograph under two names, whose labels say different things of it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from weakseg.data.twins import copies
from weakseg.labels.checks import Picture
from weakseg.labels.label_record import read_record
from weakseg.labels.signals import LISTS, SIGNALS, is_labelled

KINDS = [name for name in SIGNALS if name != "full"]  # what masks show lies in files of their own
Names = tuple[Sequence[str], Sequence[str], bool]  # of classes and tags; whether one is background


def copy_notes(
    where: object,
    paths: Mapping[str, Path],
    labels_of: Callable[[str], Mapping[str, Any]],
    names: Names,
) -> list[str]:
    """Return a line on equal photographs whose labels deny one another, if any.

    paths: {id: photograph} of the labelled ones; labels_of: returns the labels of an id as
    `label_record.read_record` does, or raises a `ValueError` where they make no sense
    """
    found = [*gainsaying(paths, labels_of, names)]
    if not found:
        return []
    one, other, kind = found[0]
    return [
        f"{where}: {len(found)} photographs are there under two names with labels that deny one "
        f"another, the first {one} and {other} ({kind}); keep one of the two"
    ]


def gainsaying(
    paths: Mapping[str, Path], labels_of: Callable[[str], Mapping[str, Any]], names: Names
) -> Iterator[tuple[str, str, str]]:
    """Yield (id, id, kind of label) of equal photographs whose labels deny one another."""
    named = {path: key for key, path in paths.items()}
    for path, first in copies(named):
        one, other = named[first], named[path]
        with contextlib.suppress(ValueError):  # that they make no sense is told elsewhere
            kind = denied(labels_of(one), labels_of(other), names)
            if kind:
                yield one, other, kind


def denied(one: Mapping[str, Any], other: Mapping[str, Any], names: Names) -> str | None:
    """Return the kind of label in which labels of one photograph deny those of its copy, if any.

    They do where they could not be the labels of one picture, or one says that it shows nothing.
    """
    for kind in LISTS:
        if all(is_labelled(labels, kind) for labels in (one, other)):
            first, second = (SIGNALS[kind].count_shown(t[kind], names[2]) for t in (one, other))
            if bool(first) != bool(second):
                return kind
    picture = Picture(tuple(one["size"]), *names, in_pixels=True)
    kinds = [kind for kind in KINDS if kind in one or kind in other]
    for number, kind in enumerate(kinds, 1):
        both = {name: together(name, one, other) for name in kinds[:number]}
        try:
            read_record({"size": one["size"], "complete": [], **both}, picture, [*both])
        except ValueError:
            return kind
    return None


def together(kind: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Any:
    """Return what two labels say of a kind, as if one picture had both."""
    told = [labels[kind] for labels in (one, other) if kind in labels]
    if kind == "tags":
        return {key: [name for tags in told for name in tags[key]] for key in told[0]}
    return [place for places in told for place in places]
