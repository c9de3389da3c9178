"""Our own table of labels, a shape a line, as scripts write it and spreadsheets save it.

image,kind,class,x,y             more coordinates follow in further columns
a.jpg,click,cat,120.5,80
a.jpg,box,cat,80,40,200,160      two opposite corners, or what the names of the columns say
b.jpg,polygon,dog,1,1,9,1,9,9    also of strokes, and of coarse outlines
b.jpg,tag,dog
c.jpg                            a picture that was looked at, without a shape

A column of row numbers before them, as pandas writes one, is passed over. Words stand apart by
commas, semicolons or tabs. With the last two, numbers may have decimal commas.
"""

import contextlib
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from weakseg.common import UserError, suggestion
from weakseg.labels.formats.geometry import polygon
from weakseg.labels.formats.records import (
    Dropped,
    PictureRecord,
    Shape,
    Unreadable,
    pairs,
    text,
)

FIRST = ["image", "kind", "class"]
INDEX = ("", "index", "unnamed: 0")  # names of a column of row numbers
KINDS = ("click", "box", "polygon", "outline", "stroke", "tag")
SUFFIXES = (".csv", ".tsv", ".txt")  # a spreadsheet calls its text with tabs .txt
SEPARATORS = (",", ";", "\t")
SIDES = {  # names of columns -> what of a box stands there
    "left": "left x x0 x1 xmin xtl",
    "top": "top y y0 y1 ymin ytl",
    "right": "right x1 x2 xmax xbr",
    "bottom": "bottom y1 y2 ymax ybr",
    "width": "width w",
    "height": "height h",
}
CORNERS, SIZES = ("left", "top", "right", "bottom"), ("left", "top", "width", "height")
NAMES = ("filename", "file", "image")  # of the column of pictures in tables of others
LOOKED_AT = 50  # lines of such a table
SKIPPED = re.compile(r"|#.*|sep=.", re.IGNORECASE)
PAIR = re.compile(r"x\d*,y\d*")
DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
POINT = re.compile(r"-?\d*\.\d+")
HALVES = 8  # numbers of a line from which on they may be told to be halves
STEPS, DIGITS = 5, 6  # alike from picture to picture that are no chance; of a step that count
THOUSANDS = re.compile(r"[1-9]\.\d{3}")


@dataclass(frozen=True)
class Columns:
    """What the first line of a table says.

    separator  of words
    sides      of a box in the order of the columns behind the class, of `CORNERS` or `SIZES`; ()
               where coordinates follow in pairs
    first      number of columns of row numbers, which stand before
    """

    separator: str
    sides: tuple[str, ...] = ()
    first: int = 0


def is_sheet(content: str) -> bool:
    """Return whether a text begins with the names of our first columns."""
    return first_line(content) is not None


def first_line(content: str) -> tuple[str, list[str]] | None:
    """Return (separator, names of the columns) of a table; None where a text is none of ours.

    Blank lines, comments, and the line by which spreadsheets tell the separator, may stand before.
    """
    lines = io.StringIO(content, newline=None)
    line = next((line for line in lines if not SKIPPED.fullmatch(line.strip())), "")
    for separator in SEPARATORS:
        try:
            words = next(csv.reader([line], delimiter=separator), [])
        except csv.Error:  # as of a word that is far too long
            return None
        if index_columns(words) is not None:
            return separator, [word.strip().casefold() for word in words]
    return None


def index_columns(words: Sequence[str]) -> int | None:
    """Return how many columns of row numbers precede the names of ours; None of other words."""
    names = [word.strip().casefold() for word in words[: len(FIRST) + 1]]
    if names[: len(FIRST)] == FIRST:
        return 0
    return 1 if names[1:] == FIRST and names[0] in INDEX else None


def hint_of(content: str) -> str:
    """Return the way out for a table that is none of ours, in words."""
    rows = [line.split(",") for line in content.splitlines()[:LOOKED_AT] if line.strip()]
    marks = {word.strip() for row in rows[1:] for word in row[1:]}
    if rows and rows[0][0].strip().casefold() in NAMES and marks and marks <= {"0", "1"}:
        return (
            "; it looks like a table of which classes each picture shows, as Roboflow's "
            f"_classes.csv; write {','.join(FIRST)} first, and a.jpg,tag,cat for each"
        )
    return f"; our own tables begin with {','.join(FIRST)},x,y"


def columns_of(content: str, where: str) -> Columns:
    """Return what the first line says; names that could mean something else are a `UserError`."""
    found = first_line(content)
    assert found, "whoever calls it has recognised the table"
    separator, names = found
    first = index_columns(names) or 0
    rest = names[first + len(FIRST) :]
    while rest and not rest[-1]:
        rest.pop()
    couples = [",".join(rest[place : place + 2]) for place in range(0, len(rest), 2)]
    if all(PAIR.fullmatch(couple) for couple in couples):
        return Columns(separator, first=first)
    for sides in (CORNERS, SIZES):
        order = tuple(
            side for name in rest for side in sides if name.replace("_", "") in SIDES[side].split()
        )
        if sorted(order) == sorted(sides) and len(rest) == len(sides):
            return Columns(separator, order, first)
    raise UserError(
        f"{where}: the columns behind the class are called {', '.join(rest)}; call them x and y in "
        "turn, or left, top, right, bottom, or left, top, width, height"
    )


def of_rows(content: str, where: str, dropped: Dropped) -> Iterator[PictureRecord]:
    """Yield the pictures of a table, each with all its shapes."""
    columns = columns_of(content, where)
    pictures: dict[str, list[Shape]] = {}
    rows = csv.reader(io.StringIO(content, newline=None), delimiter=columns.separator)
    try:
        lines = [[word.strip() for word in row[columns.first :]] for row in rows]
    except csv.Error as error:
        raise UserError(f"{where}: no readable table ({error}); save it anew") from error
    if columns.separator != ",":
        lines = with_points(lines, where)
    head = next(place for place, words in enumerate(lines) if index_columns(words) == 0)
    for place, words in enumerate(lines[head + 1 :], head + 2):
        while words and not words[-1]:
            words.pop()
        if not words:
            continue
        if not words[0]:
            raise UserError(
                f"{where}: line {place} has no image; merged cells of a spreadsheet? Write the "
                "name in each row"
            )
        shapes = pictures.setdefault(words[0], [])
        if len(words) > 1:
            with dropped.unless_read(words[0], f"line {place}"):
                kind, label = words[1].casefold(), text(words[2])
                shapes.append(shape_of(kind, label, words[len(FIRST) :], columns))
                if are_halved(words[len(FIRST) :]):
                    why = "read as whole numbers, though each second has one digit, as behind a "
                    dropped.change(f"{why}decimal comma", f"{words[0]}, line {place}")
    dropped.told += filled_lines(lines[head + 1 :])
    for name, shapes in pictures.items():
        yield PictureRecord(name, None, tuple(shapes))


def filled_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line where coordinates go on by one step over rows, as a sheet fills them down."""
    moves = [move_of(*pair) for pair in pairwise(row for row in rows if len(row) > len(FIRST))]
    runs = [(any(move), len([*same])) for move, same in groupby(moves)]
    filled = sum(steps + 1 for is_moved, steps in runs if is_moved and steps >= STEPS)
    if not filled:
        return []
    return [
        f"the coordinates of {filled} rows go on by the same step from picture to picture; where "
        "a spreadsheet filled them down, write the right ones"
    ]


def move_of(row: Sequence[str], following: Sequence[str]) -> tuple[float, ...]:
    """Return by how much each coordinate of the following row is larger; () of the same picture."""
    with contextlib.suppress(ValueError):
        if row[0] != following[0] and len(row) == len(following):
            now, then = (map(float, words[len(FIRST) :]) for words in (row, following))
            return tuple(round(b - a, DIGITS) for a, b in zip(now, then, strict=True))
    return ()


def with_points(lines: list[list[str]], where: str) -> list[list[str]]:
    """Return lines whose numbers have decimal points; a table that has both is a `UserError`."""
    numbers = [word for words in lines for word in words[len(FIRST) :]]
    commas = [word for word in numbers if DECIMAL_COMMA.fullmatch(word)]
    points = [word for word in numbers if POINT.fullmatch(word)]
    if points and all(map(THOUSANDS.fullmatch, points)) and any(map(str.isdigit, numbers)):
        raise UserError(
            f"{where}: {points[0]} may be {points[0].replace('.', '')} or a number with decimals; "
            "write numbers without marks of thousands"
        )
    if commas and points:
        raise UserError(
            f"{where}: has numbers with a decimal comma and others with a point, as {commas[0]} "
            f"and {points[0]}; write all of them alike"
        )
    return [
        [*words[: len(FIRST)], *(plain_number(word) for word in words[len(FIRST) :])]
        for words in lines
    ]


def are_halved(words: Sequence[str]) -> bool:
    """Return whether many numbers look like the halves of numbers with decimal commas."""
    is_whole = len(words) >= HALVES and all(map(str.isdigit, words))
    return (
        is_whole
        and all(len(word) == 1 for word in words[1::2])
        and any(len(word) > 1 for word in words[::2])
    )


def plain_number(word: str) -> str:
    """Return a number with a decimal point; other words stay."""
    return word.replace(",", ".") if DECIMAL_COMMA.fullmatch(word) else word


def shape_of(kind: str, label: str, words: Sequence[str], columns: Columns) -> Shape:
    """Return the shape of a line; words: its coordinates, in the order of the columns."""
    if kind not in KINDS:
        hint = suggestion(kind, KINDS, "did you mean {}?") or f"known are {', '.join(KINDS)}"
        raise Unreadable(f"of the kind {kind[:40]!r}; {hint}")
    if "" in words:
        raise Unreadable("a line in which a coordinate is missing")
    if columns.sides and kind == "box":
        return Shape(kind, label, box_by_sides(words, columns.sides))
    if columns.sides and (len(words) > 2 or columns.sides[:2] != ("left", "top")) and words:
        raise Unreadable(f"a {kind} in a table whose columns are the sides of boxes")
    values = numbers(words)
    if kind == "click" and len(values) == 1:
        return Shape(kind, label, values[0])
    if kind == "box" and len(values) == 2:
        return Shape(kind, label, [*values[0], *values[1]])
    if kind == "polygon":
        return Shape(kind, label, polygon([[values]]))
    if kind == "outline":
        return Shape(kind, label, polygon([[values]])[0][0])
    if kind == "stroke" and values:
        return Shape(kind, label, {"width": 1.0, "path": values})
    if kind == "tag" and not values:
        return Shape(kind, label, True)
    raise Unreadable(f"a {kind} of {2 * len(values)} numbers")


def numbers(words: Sequence[str]) -> list[list[float]]:
    """Return [[x, y], ...] of the coordinates of a line."""
    try:
        return pairs(words)
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable("a coordinate that is no number") from error


def box_by_sides(words: Sequence[str], sides: Sequence[str]) -> list[float]:
    """Return [left, top, right, bottom] of numbers that stand for the sides."""
    if len(words) != len(sides):
        raise Unreadable(f"a box of {len(words)} numbers")
    values = [value for pair in numbers(words) for value in pair]
    given = dict(zip(sides, values, strict=True))
    if "width" in given:
        if min(given["width"], given["height"]) < 0:
            raise Unreadable("a box of a negative width or height")
        given["right"] = given["left"] + given["width"]
        given["bottom"] = given["top"] + given["height"]
    return [given[side] for side in CORNERS]
