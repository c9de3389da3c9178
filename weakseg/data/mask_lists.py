"""Lists that lie among masks and say what their numbers mean: ours, and Roboflow's table."""

import csv
import shlex
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from weakseg.common import IGNORE, UserError
from weakseg.data.class_list import read_classes, refuse
from weakseg.data.lists import read_lines
from weakseg.validation import shorten

LIST = "classes.txt"  # a name a line, as exports and predict.py write it
TABLE = "_classes.csv"  # of Roboflow's semantic masks; its other exports have other tables so named
HEADING = ["pixel value", "class"]


def read_table(path: Path) -> dict[int, str]:
    """Return {number in masks: class} of Roboflow's table; empty where it is none of masks.

    A line that is no number and name, or that denies another one, is a `UserError`.
    """
    rows = csv.reader(read_lines(path), skipinitialspace=True)
    cells = [[unicodedata.normalize("NFC", cell.strip()) for cell in row] for row in rows]
    if not cells or [cell.casefold() for cell in cells[0]] != HEADING:
        return {}
    numbers: dict[int, str] = {}
    for line, row in enumerate(cells[1:], 2):
        if not any(row):
            continue
        value, name = row if len(row) == 2 else ("", "")
        if not (value.isascii() and value.isdigit() and int(value) <= IGNORE and name):
            refuse(path, line, f"is no number up to {IGNORE} and class; write '1, cat'")
        if int(value) in numbers or name in numbers.values():
            refuse(path, line, f"{value} or {name!r} stands there already; keep one")
        numbers[int(value)] = name
    return numbers


def numbers_beside(folders: Iterable[Path], without_background: bool) -> dict[Path, dict[int, str]]:
    """Return {list: {number: class}} of the lists in folders of masks.

    without_background: whether number 0 is a class like any other
    """
    told = {}
    for masks in folders:
        if (masks / LIST).is_file():
            names, _ = read_classes(masks / LIST, without_background)
            told[masks / LIST] = dict(enumerate(names))
        if (masks / TABLE).is_file():
            told[masks / TABLE] = read_table(masks / TABLE)
    return told


def taken_as(folders: Sequence[Path], names: Sequence[str]) -> list[str]:
    """Return a line on what numbers in masks are taken to mean where no list says it.

    folders: of masks, the data set's own first; names: of the classes, by these numbers; of one
    object nothing can be mistaken
    """
    paths = (folder / name for folder in folders for name in (LIST, TABLE))
    if len(names) < 3 or any(path.is_file() for path in paths):
        return []
    masks = folders[0]
    order = shorten(", ".join(f"{number} {name}" for number, name in enumerate(names)), 120)
    return [
        f"{masks}: no list says what its numbers mean, so they are taken in the order of the "
        f"labels' classes: {order}; where they mean others, write {masks.parent / LIST}"
    ]


def refuse_renumbered(
    root: Path,
    told: Mapping[Path, Mapping[int, str]],
    names: Sequence[str],
    given: Collection[int],
) -> None:
    """Refuse masks whose own list of classes, which an export writes, has another order.

    root: of the data set; told: see `numbers_beside`; names: of its classes in their order;
    given: numbers in masks of which somebody says what they mean, against the list in `masks/`
    """
    known = {name: number for number, name in enumerate(names)}
    for path, numbers in told.items():
        is_of_all = path.parent == root / "masks"
        moved = {
            number: name
            for number, name in numbers.items()
            if not (is_of_all and number in given) and known.get(name, number) != number
        }
        if moved:
            number, name = next(iter(moved.items()))
            words = shlex.join(f"{value}={label}" for value, label in moved.items())
            way_out = f"say it with --mask_values {words}" if is_of_all else "remove that list"
            raise UserError(
                f"{path}: says that masks show {name} as {number}, but the classes of {root} "
                f"number it {known[name]}; restore their order, export the masks again, or "
                f"{way_out}"
            )


def merged(told: Mapping[str, Mapping[int, str]]) -> dict[int, str]:
    """Return {number: class} of lists that must agree; told: {list, for people: what it says}."""
    numbers: dict[int, str] = {}
    for where, one in told.items():
        for number, name in one.items():
            as_other = next((n for n, known in numbers.items() if known == name), number)
            if numbers.setdefault(number, name) != name or as_other != number:
                others = shorten(" and ".join(other for other in told if other != where), 120)
                raise UserError(
                    f"{where}: says that masks show {name} as {number}, which {others} denies; "
                    "remove the list that is wrong, or import each folder by itself"
                )
    return numbers
