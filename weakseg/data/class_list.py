"""Lists of classes: a name a line, in the order of the numbers in masks.

A line too many or too few gives every later number another name, and nothing would tell. So what
may be meant in two ways is refused by its line.
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from weakseg.common import UserError, atomic_path
from weakseg.data.lists import NO_BACKGROUND, is_comment, numbered_lines, read_lines

BACKGROUND = {"background", "_background_", "bg"}  # in any case: what nobody lists but first
# Words of names that the background may have.
BEHIND = set(
    "bg back none other others rest nothing empty neg negative outside void unlabeled unlabelled "
    "hintergrund fond fondo sfondo achtergrond bakgrund baggrund tło фон 背景".split()
)
# What people call that which nobody is to label, or knows, by its letters.
VOID = set(
    "ignore ignored ignoreregion void unlabelled unlabeled unannotated dontcare dontknow unsure "
    "uncertain unclear notsure unknown unidentified undefined difficult todo tbd".split()
)
DOUBT = re.compile(r".*\w\W*\?|(maybe|perhaps|possibly|probably)\W.*", re.I)  # cat?, maybe dog
BLANK = {"nan", "null", "none", "na", ""}  # what programs write into a cell without a name
NUMBERED = re.compile(r"(.*\S)\s*[\s:=.,;|]\s*(\d+|#[0-9a-f]{6})", re.I)  # a name, number or colour
COUNTED = re.compile(r"\d+\s*[\s:=.,;)|-]\s*\S")  # a number in front of a name
HEADING = re.compile(
    r"((id|number|index|value)\W+)?(names?|class(es)?|class.?names?|labels?)", re.I
)
NAMES_ALONE = "write the names alone, one a line, in the order of their numbers"


def read_classes(path: Path, without_background: bool = False) -> tuple[list[str], bool]:
    """Return the names of the classes in a list, and whether the first is the background.

    It is unless a comment `# no background` stands there, or `without_background` says so. Blanks
    at the ends of lines and empty lines at the end mean nothing. Raises `UserError`, with the line,
    for what would shift the numbers.
    """
    has_background = not (without_background or says_no_background(path))
    lines = checked_lines(path, has_background)
    numbers, names = zip(*without_labelme(lines), strict=True)
    for number, name in zip(numbers[1:], names[1:], strict=True):
        if has_background and is_background(name):
            refuse(
                path,
                number,
                f"{name!r} must stand first, its number in masks is 0; where masks show it as "
                "another number, say so with --mask_values; where it is a class like any other, "
                f"write the comment '# {NO_BACKGROUND}'",
            )
    return list(names), has_background


def checked_lines(path: Path, has_background: bool = False) -> list[tuple[int, str]]:
    """Return the names in a list behind the numbers of their lines, see `read_classes`."""
    lines = [(number, unicodedata.normalize("NFC", line)) for number, line in numbered_lines(path)]
    if len(lines) > 1 and HEADING.fullmatch(lines[0][1]):
        refuse(path, lines[0][0], f"{lines[0][1]!r} is a heading, no class; {NAMES_ALONE}")
    if len(lines) > 1 and all(COUNTED.match(line) for _, line in lines):
        refuse(path, lines[0][0], f"{lines[0][1]!r} begins with a number; {NAMES_ALONE}")
    behind = [match for _, line in lines if (match := NUMBERED.fullmatch(line))]
    if len(behind) == len(lines) > 1 and len({match[1] for match in behind}) == len(lines):
        refuse(path, lines[0][0], f"{lines[0][1]!r} has a number or colour behind; {NAMES_ALONE}")
    refuse_lookalikes(path, lines)
    for number, line in lines:
        if not any(letter.isalnum() for letter in line):
            refuse(path, number, f"{line!r} is no name; {NAMES_ALONE}")
        if line[-1] in ",;" or line.startswith("- ") or (line[0] in "'\"" and line[0] == line[-1]):
            refuse(path, number, f"{line!r} has marks that are no part of a name; {NAMES_ALONE}")
    refuse_gaps(path, [number for number, _ in lines], has_background)
    return lines


def refuse_lookalikes(path: Path, lines: Sequence[tuple[int, str]]) -> None:
    """Refuse names that a reader can't tell apart, though they are stored as other letters."""
    told: dict[str, tuple[int, str]] = {}
    for number, name in lines:
        before, other = told.setdefault(as_seen(name), (number, name))
        if other != name:
            refuse(path, number, f"{name!r} looks like {other!r} of line {before}; keep one")


def as_seen(name: str) -> str:
    """Return a name in a form that two share which look the same."""
    letters = unicodedata.normalize("NFKC", name)
    shown = "".join(letter for letter in letters if unicodedata.category(letter) != "Cf")
    return " ".join(shown.split())


def write_classes(path: Path, names: Sequence[str], has_background: bool) -> None:
    """Write a list of classes that `read_classes` reads; names that it can't are a `UserError`."""
    lines = [*names, *([] if has_background else [f"# {NO_BACKGROUND}"])]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        try:
            read_classes(temporary)
        except UserError as error:
            raise UserError(str(error).replace(str(temporary), str(path))) from error


def is_background(name: str) -> bool:
    """Return whether a name is one that the background usually has."""
    return name.casefold() in BACKGROUND


def is_behind(name: str) -> bool:
    """Return whether a name may be that of what is behind all objects, in some languages."""
    words = {*re.split(r"[\W_]+", name.casefold())}
    return "background" in name.casefold() or bool(words & BEHIND)


def is_void(name: str) -> bool:
    """Return whether a name says that nobody is to label there, or knows what to."""
    return bool(DOUBT.fullmatch(name)) or letters_of(name) in VOID


def is_blank(name: str) -> bool:
    """Return whether a name is what programs write where there is none."""
    return letters_of(name) in BLANK


def letters_of(name: str) -> str:
    """Return the letters and digits of a name, small."""
    return "".join(filter(str.isalnum, name.casefold()))


def says_no_background(path: Path) -> bool:
    """Return whether a list of classes has the comment `# no background`, in any case."""
    return any(is_no_background(line) for line in read_lines(path))


def is_no_background(line: str) -> bool:
    """Return whether a line is the comment `# no background`."""
    words = line.strip().lstrip("#").casefold().split()
    return is_comment(line) and words == NO_BACKGROUND.split()


def refuse_gaps(path: Path, numbers: list[int], has_background: bool) -> None:
    """Refuse what stands between names and is none, and a background that is a comment.

    numbers: of the lines with names
    """
    for number, line in enumerate(read_lines(path)[: numbers[-1]], 1):
        if number in numbers or is_no_background(line):
            continue
        words = line.strip().lstrip("#").strip().casefold()
        if is_comment(line) and words in BACKGROUND and has_background:
            refuse(
                path,
                number,
                f"{line.strip()!r} is a comment, which names no class; write it without '#', or "
                f"'# {NO_BACKGROUND}'",
            )
        if number > numbers[0] or not is_comment(line):
            kind = "a comment" if is_comment(line) else "empty"
            refuse(path, number, f"is {kind}, which has no number; take it out, or name a class")


def without_labelme(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return the numbered lines of a list as LabelMe writes it without what is no class of a mask.

    Its first lines are `__ignore__`, 255 in masks, and `_background_`, 0.
    """
    lines = lines[1:] if lines[0][1] == "__ignore__" and len(lines) > 1 else lines
    number, name = lines[0]
    return [(number, "background" if name == "_background_" else name), *lines[1:]]


def refuse(path: Path, number: int, fault: str) -> None:
    """Raise `UserError` for a line of a list."""
    raise UserError(f"{path}, line {number}: {fault}")
