"""Names of classes in label files: those that are known, other names for them, and look-alikes."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from weakseg.common import UserError, suggestion
from weakseg.data.alike_names import alike_names, misspelt
from weakseg.data.class_list import as_seen, read_classes
from weakseg.labels.formats.records import Classes
from weakseg.validation import shorten

BACKGROUND = "_background_"  # as LabelMe calls it
NOTHING = "-"  # a class that --map leaves out
ALIKE = 3  # pairs of names that are told
UNTOLD = "?"  # one of whose pixels --map says that nobody can tell what they are: unlabelled


def classes_beside(images: str | Path) -> Classes:
    """Return the classes in the `classes.txt` in or beside a folder of photographs, if any."""
    for folder in (Path(images), Path(images).resolve().parent):
        path = folder / "classes.txt"
        if path.is_file():
            names, has_background = read_classes(path)
            return Classes(tuple(names), has_background)
    return Classes()


def refuse_alike(names: Iterable[str]) -> None:
    """Refuse names of classes that differ in capitals, blanks or invisible letters alone."""
    told: dict[str, str] = {}
    for name in names:
        plain = " ".join(re.split(r"[\s_-]+", as_seen(name).casefold())).strip()
        other = told.setdefault(plain, name)
        if other != name:
            raise UserError(
                f"the classes {other!r} and {name!r} look like one; give them one name with "
                f"--map '{name}={other}', or list all classes with --classes"
            )


def listed_together(before: Classes, listed: Mapping[str, Classes]) -> Classes:
    """Return the classes of a store and of files, the store's first, none where nobody lists any.

    listed: {file: the classes in it}; two backgrounds are a `UserError`
    """
    known = before
    for path, one in listed.items():
        if not one.names:
            continue
        if not known.names:
            known = one
        behind = [(c.names[0] if c.has_background else None) for c in (known, one)]
        if behind[0] != behind[1]:
            words = ["it has none" if name is None else f"it is {name}" for name in behind]
            raise UserError(
                f"{path}: of the background the others say: {words[0]}; this one: {words[1]}; list "
                "all classes with --classes, and other names with --map"
            )
        known = Classes(tuple(dict.fromkeys([*known.names, *one.names])), known.has_background)
    return known


def renames(words: Sequence[str]) -> dict[str, str]:
    """Return {class in the file: class here} of --map's words "Dog=dog,phone=-,cat-*=cat"."""
    names: dict[str, str] = {}
    parts = (unicodedata.normalize("NFC", part) for one in words for part in one.split(","))
    for word in filter(str.strip, parts):
        old, sign, new = (part.strip() for part in word.partition("="))
        if not (old and sign and new):
            raise UserError(
                f"--map {word.strip()}: write NAME=CLASS, NAME={NOTHING} or NAME={UNTOLD}"
            )
        if names.setdefault(old, new) != new:
            raise UserError(
                f"--map {word.strip()}: {old} has the name {names[old]} already; keep one"
            )
    return names


def renamed_to(label: str, names: Mapping[str, str]) -> str | None:
    """Return the name that `renames` give a class; None where they don't name it.

    A name in which `*` stands for any letters holds where no name is the class's own.
    """
    if label in names:
        return names[label]
    for old, new in names.items():
        if "*" in old and re.fullmatch(".*".join(map(re.escape, old.split("*"))), label):
            return new
    return None


def alike_lines(shapes: Mapping[str, int], known: Collection[str]) -> Iterator[str]:
    """Yield a line on each two classes of a store that may be one, a few at most.

    shapes: {class: number of its shapes}; known: classes that somebody listed, and so means
    """
    pairs = [*alike_names([*shapes])]
    # No other class is nearly called so, however few shapes the background has.
    behind = {"background": 10 * sum(shapes.values())}
    for name, other in misspelt({**shapes, **behind}):
        numbers = f"{shapes.get(other, 0)} and {shapes[name]} shapes"
        pairs += [(name, other, f"differ by a letter, and are of {numbers}")]
    told = [pair for pair in pairs if not {*pair[:2]} <= {*known}]
    for name, other, how in told[:ALIKE]:
        yield f"the classes {other} and {name} {how}; --map '{name}={other}' makes them one"


def renamed_lines(
    renamed: Mapping[tuple[str, str], int], names: Mapping[str, str]
) -> Iterator[str]:
    """Yield a line on shapes of which an import changed hardly more than the class, if any.

    renamed: {(class before, class now): their number}, of which those are meant that `renames` name
    """
    renamed = {pair: n for pair, n in renamed.items() if renamed_to(pair[0], names) != pair[1]}
    if renamed:
        told = (f"{old or UNTOLD} to {new or UNTOLD} {n}" for (old, new), n in renamed.items())
        old, new = next(iter(renamed))
        way_out = f"; where the old name is right, --map '{new}={old}'" if old and new else ""
        yield (
            f"{sum(renamed.values())} of them changed hardly more than their class: "
            f"{shorten(', '.join(told), 100)}{way_out}"
        )


def unused(names: Mapping[str, str], called: Collection[str]) -> Iterator[str]:
    """Yield a line for each name of `renames` that no class of the files has.

    called: the names that the files give their classes
    """
    for old, new in names.items():
        if not any(renamed_to(name, {old: new}) for name in called):
            known = f"; they have {shorten(', '.join(sorted(called)), 60)}" if called else ""
            hint = suggestion(old, called, "; did you mean {}?") or known
            yield f"--map {old}={new}: no shape of the files is of the class {old!r}{hint}"
