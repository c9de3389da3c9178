"""Tables of pictures with patients or splits are told, since nobody reads them."""

import json

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


def write_table(path, columns):
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    sign = {".tsv": "\t", ".CSV": ";"}.get(path.suffix, ",")
    lines = [sign.join(columns), *(sign.join(row.values()) for row in rows)]
    write(path, *(map(json.dumps, rows) if path.suffix == ".jsonl" else lines))


def told(folder):
    return [line for line in opened(folder).notes() if "is not read" in line]


@pytest.mark.parametrize("picture_of", ["p{}", "p{}.jpg", "images/cam/p{}.JPG", "x\\p{}.jpg"])
@pytest.mark.parametrize(
    ("place", "heading"),
    [
        ("metadata.csv", "Patient ID"),
        ("images/cam/metadata.jsonl", "video"),
        ("images/list.tsv", "scene_id"),
        ("a.CSV", "CaseID"),
    ],
)
def test_groups_and_splits_in_tables_are_told(place, heading, picture_of, folder):
    names = [picture_of.format(number) for number in range(6)]
    columns = {"age": [*"123456"], "file_name": names, heading: [*"aabbcc"], "Split": SPLITS}
    write_table(folder / place, columns)
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
    assert told(folder) == []
