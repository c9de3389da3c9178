"""Tables of pictures with patients or splits are told, since nobody reads them."""

import json
import zipfile
from xml.sax.saxutils import escape

import pytest
from made_folders import mask, opened, picture, write

SPLITS = ["train", "train", "train", "val", "test", "test"]


@pytest.fixture
def folder(tmp_path):
    """Six pictures in a folder of their own, with masks."""
    write(tmp_path / "classes.txt", "background", "fox")
    for number in range(6):
        picture(tmp_path / f"images/cam/p{number}.jpg", (8 + number, 6))
        mask(tmp_path / f"masks/cam/p{number}.png", [0, 1], (8 + number, 6))
    return tmp_path


def write_table(path, columns, form=None):
    """Write a table as its suffix says; form: of JSON."""
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    sign = {".tsv": "\t", ".CSV": ";"}.get(path.suffix, ",")
    lines = [sign.join(columns), *(sign.join(row.values()) for row in rows)]
    if path.suffix == ".xlsx":
        write_sheet(path, [[*columns], *(row.values() for row in rows)])
    elif path.suffix == ".json":
        write(path, json.dumps(of_form(rows, form)))
    else:
        write(path, *(map(json.dumps, rows) if path.suffix == ".jsonl" else lines))


def of_form(rows, form):
    """Return rows as JSON holds them, in one of its forms."""
    if form == "by name":
        return {row["file_name"]: {k: row[k] for k in row if k != "file_name"} for row in rows}
    if form == "by column":
        return {key: {str(n): row[key] for n, row in enumerate(rows)} for key in rows[0]}
    return rows


def write_sheet(path, rows):
    """Write a sheet of Excel: some cells as shared texts, some in their place, some as numbers."""
    shared, lines = [], []
    for number, row in enumerate(rows, 1):
        cells = []
        for column, cell in zip("ABCDE", row, strict=False):
            if cell.isdigit():
                kind, body = "n", f"<v>{cell}</v>"
            elif number % 2:
                kind, body = "inlineStr", f"<is><t>{escape(cell)}</t></is>"
            else:
                kind, body = "s", f"<v>{len(shared)}</v>"
                shared.append(
                    f"<si><r><t>{escape(cell[:2])}</t></r><r><t>{escape(cell[2:])}</t></r></si>"
                )
            cells.append(f'<c r="{column}{number}" t="{kind}">{body}</c>')
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        sheet = f"<worksheet><sheetData>{''.join(lines)}</sheetData></worksheet>"
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
        archive.writestr("xl/sharedStrings.xml", f"<sst>{''.join(shared)}</sst>")


def told(folder):
    return [line for line in opened(folder).notes() if "is not read" in line]


@pytest.mark.parametrize(
    ("place", "heading", "picture_of"),
    [
        ("metadata.csv", "Patient ID", "p{}"),
        ("images/cam/metadata.jsonl", "video", "p{}.jpg"),
        ("images/list.tsv", "scene_id", "images/cam/p{}.JPG"),
        ("a.CSV", "CaseID", "x\\p{}.jpg"),
        ("clinical.xlsx", "Patient & ID", "x\\p{}.jpg"),
        ("images/records.json", "subject", "images/cam/p{}.JPG"),
        ("by name.json", "donor", "p{}.jpg"),
        ("by column.json", "slide", "p{}"),
    ],
)
def test_groups_and_splits_in_tables_are_told(place, heading, picture_of, folder):
    names = [picture_of.format(number) for number in range(6)]
    columns = {"age": [*"123456"], "file_name": names, heading: [*"aabbcc"], "Split": SPLITS}
    write_table(folder / place, columns, (folder / place).stem)
    (line,) = told(folder)
    assert line == (
        f"{folder / place}: is not read; if pictures of one {heading} belong together, write "
        "groups.txt, and to train and test as Split says, write trainval.txt and test.txt"
    )
    write(folder / "groups.txt", *(f"cam/p{number}, {number // 2}" for number in range(6)))
    (line,) = told(folder)
    assert "groups.txt" not in line
    write(folder / "test.txt", "cam/p5", "cam/p4")
    write(folder / "trainval.txt", *(f"cam/p{number}" for number in range(4)))
    assert told(folder) == []


@pytest.mark.parametrize(
    "columns",
    [
        {"patient": [*"abcdef"]},  # a picture of each
        {"patient": ["a"] * 6, "split": ["train"] * 6},  # all of one
        {"age": [*"112233"], "sex": [*"mfmfmf"]},
        {"split": [*"123123"]},
    ],
)
def test_tables_that_part_nothing_are_no_news(columns, folder):
    names = {"file_name": [f"p{number}.jpg" for number in range(6)]}
    write_table(folder / "metadata.csv", names | columns)
    assert told(folder) == []
    others = {"file_name": [*"uvwxyz"], "patient": [*"aabbcc"], "split": SPLITS}
    write_table(folder / "metadata.csv", others)
    (folder / "b.csv").write_bytes(b"\xff\x00patient\n\x00")
    write(folder / "c.jsonl", "[1, 2]", '{"a": 1}')
    for number, text in enumerate(("{}", "[]", "3", "[3]", '{"a": {}}', '{"a": 1}', "[" * 9999)):
        write(folder / f"d{number}.json", text)
    write(folder / "e.xlsx", "no archive")
    write_sheet(folder / "f.xlsx", [])
    assert told(folder) == []


def test_lists_of_splits_in_json_are_told_but_none_of_a_picture(folder):
    parts = {part: [f"p{k}.jpg" for k in range(6) if SPLITS[k] == part] for part in {*SPLITS}}
    write(folder / "images/cam/p0.json", json.dumps(parts))  # the labels of one picture
    assert told(folder) == []
    write(folder / "parts.json", json.dumps(parts))
    (line,) = told(folder)
    assert line.startswith(f"{folder / 'parts.json'}: is not read; to train and test as split says")
