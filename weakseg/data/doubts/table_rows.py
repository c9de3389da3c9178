"""The rows of tables as other programs write them: CSV, TSV, JSON, Excel's sheets."""

import csv
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.parsers import expat

from weakseg.data.lists import text_of

READ = 1 << 20  # bytes of a text at most: its first rows suffice
WHOLE = 1 << 23  # bytes at most of a file that makes sense as a whole alone
FAULTS = (  # of what is no table
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    RuntimeError,  # as of a file with a password, or of lists in lists without end
    csv.Error,
    expat.ExpatError,
    zipfile.BadZipFile,
    zlib.error,
)
PICTURE, PART = "picture", "split"  # headings of what stands in JSON without one
SHEET, SHARED = "xl/worksheets/sheet", "xl/sharedStrings.xml"  # within an Excel file
Row = Mapping[str, str]


def rows_of(path: Path) -> Sequence[Row]:
    """Return the first rows of a table, {heading: cell}; none of what is no table."""
    try:
        return [*READERS[path.suffix.casefold()](path)]
    except FAULTS:
        return []


def lines_of(path: Path) -> list[str]:
    """Return the first lines of a text."""
    with path.open("rb") as file:
        content = file.read(READ)
    if len(content) == READ:
        content = content[: content.rfind(b"\n") + 1]
    return text_of(content).splitlines()


def read_columns(path: Path) -> list[Row]:
    """Return the rows of columns that commas, semicolons or tabs part."""
    lines = lines_of(path)
    sign = max(",;\t", key=lines[0].count) if lines else ","
    return [
        {key: cell for key, cell in row.items() if isinstance(key and cell, str)}
        for row in csv.DictReader(lines, delimiter=sign)
    ]


def read_json_lines(path: Path) -> list[Row]:
    """Return the rows of a text with a record of JSON a line."""
    return [as_row(json.loads(line)) for line in lines_of(path)]


def read_json(path: Path) -> list[Row]:
    """Return the rows of a list of records, or of records by the name of their picture.

    {"train": [names], "test": [names]}, and {heading: {row: cell}} as pandas writes it, are tables
    too.
    """
    if path.stat().st_size > WHOLE:
        return []
    table = json.loads(text_of(path.read_bytes()))
    if isinstance(table, list):
        return [as_row(record) for record in table]
    if all(isinstance(names, list) for names in table.values()):
        return [{PICTURE: str(name), PART: part} for part, names in table.items() for name in names]
    keys = next(iter(table.values())).keys()
    if len(keys) > len(table) and all(column.keys() == keys for column in table.values()):
        return [{heading: str(table[heading][key]) for heading in table} for key in keys]
    return [{PICTURE: name} | as_row(record) for name, record in table.items()]


def as_row(record: Mapping[str, Any]) -> dict[str, str]:
    """Return a record of JSON as a row."""
    return {key: str(cell) for key, cell in record.items()}


def read_sheet(path: Path) -> list[Row]:
    """Return the rows of the first sheet of an Excel file."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        sheet = min(name for name in names if name.startswith(SHEET))
        contents = [archive.open(name).read(WHOLE) for name in (sheet, SHARED) if name in names]
    shared = [text for _, text in elements(contents[1], "si")] if len(contents) > 1 else []
    rows: dict[str, dict[str, str]] = {}
    for attributes, text in elements(contents[0], "c"):
        column, row = re.findall(r"[A-Z]+|\d+", attributes["r"])
        cell = shared[int(text)] if attributes.get("t") == "s" else text
        rows.setdefault(row, {})[column] = cell
    headings, *others = rows.values()
    return [
        {headings[column]: cell for column, cell in row.items() if column in headings}
        for row in others
    ]


def elements(content: bytes, kind: str) -> Iterable[tuple[dict[str, str], str]]:
    """Return (attributes, text) of the elements of a kind in a part of an Excel file.

    A document type, which could declare entities without end, is a `ValueError`.
    """
    parts: list[tuple[dict[str, str], list[str]]] = []
    tags = [""]
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        tags.append(tag.rpartition(":")[2])
        parts.extend([(attributes, [])] if tags[-1] == kind else [])

    def end(_: str) -> None:
        tags.pop()

    def data(text: str) -> None:
        if parts and tags[-1] in ("t", "v"):
            parts[-1][1].append(text)

    def doctype(*_: object) -> None:
        raise ValueError("declares a document type")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = data, doctype
    parser.Parse(content, True)
    return [(attributes, "".join(texts)) for attributes, texts in parts]


READERS: Mapping[str, Callable[[Path], Sequence[Row]]] = {
    ".csv": read_columns,
    ".tsv": read_columns,
    ".jsonl": read_json_lines,
    ".json": read_json,
    ".xlsx": read_sheet,
    ".xlsm": read_sheet,
}
