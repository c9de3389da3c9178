"""Lists of classes that other tools write beside masks, where they deny those that are learnt.

A mask holds numbers, and what they mean is what the list says that they were made by.
"""

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weakseg.common import IGNORE, UserError, evenly
from weakseg.data.class_list import is_background, is_void, letters_of
from weakseg.data.lists import is_comment, read_lines
from weakseg.data.mask_values import MaskValues
from weakseg.data.palettes import colours_of, palette_of
from weakseg.validation import shorten

LOOKED = 5  # masks at most whose palettes are read
FOLDERS = 20  # at most that lists are looked for in
MOST = 1 << 20  # bytes of a list; what is longer is none
ITEM = re.compile(r"item\s*\{([^}]*)\}")  # of TensorFlow's label maps
PLAIN = ("class_names.txt", "classes.txt")  # of a name a line, beside a data set of known classes
NUMBERED = re.compile(r"\d+\s*[\s:=,;]\s*")  # what may stand in front of a name


@dataclass(frozen=True)
class ClassList:
    """Names in the order of their numbers, and {colour 0xrrggbb: name} where the list has some."""

    names: Sequence[str]
    colours: Mapping[int, str] = field(default_factory=dict)

    @property
    def order(self) -> list[str]:
        """The names as they are compared, without the background and what nobody is to label."""
        return order_of(self.names)


def order_of(names: Iterable[str]) -> list[str]:
    """Return the letters of names, but for those of the background and of no class."""
    return [letters_of(name) for name in names if not (is_background(name) or is_void(name))]


# ---- what the tools write; a `ValueError`, or another of `FAULTS`, for what is no such list


def read_labelmap(text: str) -> ClassList:
    """Read CVAT's `name:red,green,blue:parts:actions` a line."""
    lines = [line.split(":") for line in text.split("\n") if line.strip() and not is_comment(line)]
    return coloured((name, *colour.split(",")) for name, colour, *_ in lines)


def read_colours(text: str) -> ClassList:
    """Read a table of the columns name, r, g, b."""
    heading, *rows = csv.reader(text.split("\n"), skipinitialspace=True)
    if [cell.strip().casefold() for cell in heading] != ["name", "r", "g", "b"]:
        raise ValueError("another heading")
    return coloured(row for row in rows if any(row))


def coloured(rows: Iterable[Sequence[str]]) -> ClassList:
    """Return the list of rows of a name, red, green and blue."""
    table = {}
    for name, red, green, blue in rows:
        table[name.strip()] = int.from_bytes(bytes(map(int, (red, green, blue))), "big")
    return ClassList([*table], {colour: name for name, colour in table.items()})


def read_yolo(text: str) -> ClassList:
    """Read the `names` of YOLO's settings, a list or a table of numbers."""
    import yaml

    from weakseg.plain_yaml import read_plain_yaml

    try:
        names = read_plain_yaml(text)["names"]
    except yaml.YAMLError as error:
        raise ValueError("no YAML") from error
    return numbered(names if isinstance(names, dict) else dict(enumerate(names)))


def read_nnunet(text: str) -> ClassList:
    """Read the `labels` of nnU-Net, {name: number} or, of its first version, {number: name}."""
    labels = json.loads(text)["labels"]
    if all(isinstance(value, str) for value in labels.values()):
        return numbered(labels)
    return numbered({n: name for name, n in labels.items() if isinstance(n, int)})


def read_id2label(text: str) -> ClassList:
    """Read {number: name}, as Hugging Face's models have it."""
    return numbered(json.loads(text))


def numbered(names: Mapping[Any, Any]) -> ClassList:
    """Return the list of {number: name}."""
    return ClassList([str(names[key]) for key in sorted(names, key=int)])


def read_items(text: str) -> ClassList:
    """Read TensorFlow's `item { id: 1 name: 'cat' }`."""
    names = {}
    for item in ITEM.findall(text):
        number, name = re.search(r"\bid\s*:\s*(\d+)", item), re.search(r"\bname\s*:\s*(.+)", item)
        if not (number and name):
            raise ValueError("an item without number or name")
        names[number[1]] = name[1].strip().strip(",'\" ")
    return numbered(names)


def read_plain(text: str) -> ClassList:
    """Read a name a line, numbers in front of it or not."""
    lines = [line.strip() for line in text.split("\n") if line.strip() and not is_comment(line)]
    if all(map(NUMBERED.match, lines)):
        lines = [NUMBERED.sub("", line, count=1) for line in lines]
    return ClassList(lines)


FAULTS = (ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error)
READERS: dict[str, Callable[[str], ClassList]] = {
    "labelmap.txt": read_labelmap,
    "class_dict.csv": read_colours,
    "data.yaml": read_yolo,
    "data.yml": read_yolo,
    "dataset.yaml": read_yolo,
    "dataset.json": read_nnunet,
    "id2label.json": read_id2label,
    "label_map.pbtxt": read_items,
    "labelmap.pbtxt": read_items,
    "obj.names": read_plain,
    "labels.txt": read_plain,
    "class_names.txt": read_plain,
}


def lists_in(folders: Iterable[Path]) -> dict[Path, ClassList]:
    """Return {file: what it says} of the lists of other tools in some folders."""
    found = {}
    for path in (folder / name for folder in folders for name in READERS):
        try:
            if path.is_file() and path.stat().st_size <= MOST:
                one = READERS[path.name]("\n".join(read_lines(path)))
                if one.names:
                    found[path] = one
        except (UserError, *FAULTS):  # it is of something else
            continue
    return found


# ---- beside the classes that are learnt


def denied_notes(
    lists: Mapping[Path, ClassList],
    where: Path,
    names: Sequence[str],
    masks: Collection[Path],
    values: MaskValues | None,
) -> list[str]:
    """Return a line on lists that number the classes otherwise than they are learnt, if any.

    Where palettes of masks agree with such a list, it is a `UserError`.

    names: of the classes, in the order of their numbers; where: they are listed; masks: files;
    values: what somebody says of the values in these, which then holds
    """
    if not lists or not masks:
        return []
    if values:
        return [*colour_notes(lists, names, values)]
    agreed = agreed_by_palettes(lists, where, names, masks)
    ours = order_of(names)
    other = [
        path
        for path, one in lists.items()
        if path not in agreed and one.order != ours and sorted(one.order) == sorted(ours)
    ]
    if not other:
        return []
    more = f" (as have {shorten(', '.join(path.name for path in other[1:]), 80)})" * (
        len(other) > 1
    )
    return [
        f"{other[0]}: has the classes in the order {shorten(', '.join(lists[other[0]].names), 80)}"
        f"{more}, {where} in another; if masks were made by the former, restore its order"
    ]


def colour_notes(
    lists: Mapping[Path, ClassList], names: Sequence[str], values: MaskValues
) -> Iterator[str]:
    """Yield a line on a list that calls a colour otherwise than the flags do, if any."""
    known = {letters_of(name) for name in names}
    for path, one in lists.items() if values.are_colours else ():
        for colour, name in one.colours.items():
            label = values.meaning.get(colour, len(names))
            if label >= len(names) or letters_of(name) not in known:
                continue
            if letters_of(name) != letters_of(names[label]):
                yield (
                    f"{path}: calls #{colour:06x} {name}, {values.flag} {names[label]}; mend the "
                    "one that is wrong"
                )
                return


def agreed_by_palettes(
    lists: Mapping[Path, ClassList],
    where: Path | str,
    names: Sequence[str],
    masks: Collection[Path],
    are_fixed: bool = False,
) -> set[Path]:
    """Return the lists whose colours are, in the palettes of masks, those of the same classes.

    One by whose colours the palettes number a class otherwise is a `UserError`. are_fixed: whether
    nobody can have given the classes other names, so that an unknown name is another class too
    """
    known = {letters_of(name): number for number, name in enumerate(names)}
    agreed = set()
    tables = [(path, table) for path in evenly([*masks], LOOKED) if (table := table_of(path))]
    way_out = "restore the order of the classes"
    if are_fixed:
        way_out = "lay the data out as images/, masks/ and classes.txt"
    for path, one in lists.items():
        for mask, table in tables:
            shown = shown_names(one, table, len(names))
            places = {number: known.get(letters_of(name)) for number, name in shown.items()}
            is_other = are_fixed and not {*places.values()} - {None}  # none of its names is ours
            for number, place in places.items():
                if is_other or place not in (None, number):
                    raise UserError(
                        f"{path}: says that masks show {shown[number]} in the colour that is "
                        f"{number} in {mask}, but {where} calls that {names[number]}; {way_out}, "
                        f"or remove {path.name} if it is of other masks"
                    )
            if shown:
                agreed.add(path)
    return agreed


def refuse_other_names(
    folders: Iterable[Path], known_as: str, names: Sequence[str], shown: Iterable[Iterable[int]]
) -> None:
    """Refuse a list of classes that nobody reads, if it numbers those of the masks otherwise.

    It does where it names one of ours at another place, or none of ours. One of other masks, which
    hold numbers that it has no name for, says nothing; nor does one of as many names, all unknown.

    known_as, names: of a data set whose classes are known; shown: numbers that each mask holds
    """
    places = {letters_of(name): number for number, name in enumerate(names)}
    for path in (folder / name for folder in folders for name in PLAIN):
        called = numbers_called(path)
        ours = {n: places.get(letters_of(name)) for n, name in called.items() if n < len(names)}
        moved = [n for n, place in ours.items() if place not in (None, n)]
        if not {*ours.values()} - {None} and len(called) + 1 != len(names):
            moved = [*ours]
        held = {number for numbers in shown for number in numbers} - {0, IGNORE} if moved else set()
        if held and max(held) <= max(called):
            number = moved[0]
            raise UserError(
                f"{path}: calls number {number} in masks {called[number]}, but {known_as} calls "
                f"that {names[number]}; lay the data out as images/, masks/ and classes.txt, or "
                f"remove {path.name} if it is of other masks"
            )


def numbers_called(path: Path) -> dict[int, str]:
    """Return {number: name} of a plain list; the background is 0, listed or not; {} of no list."""
    try:
        lines = read_lines(path) if path.is_file() and path.stat().st_size <= MOST else []
    except UserError:  # it is of something else
        return {}
    listed = list(read_plain("\n".join(lines)).names)
    if listed and is_void(listed[0]):
        listed = listed[1:]
    begin = 0 if listed and is_background(listed[0]) else 1
    return {n: name for n, name in enumerate(listed, begin) if n and not is_void(name)}


def shown_names(one: ClassList, table: list[int], count: int) -> dict[int, str]:
    """Return {number: what a list calls its colour in a palette} of `count` numbers."""
    colours = colours_of(table, range(count))
    named = {n: one.colours[colour] for n, colour in colours.items() if colour in one.colours}
    return {n: name for n, name in named.items() if order_of([name])}


def table_of(mask: Path) -> list[int] | None:
    """Return the palette of a mask; None without one, or where it can't be read."""
    try:
        return palette_of(mask)
    except UserError:  # which is told where it is used
        return None
