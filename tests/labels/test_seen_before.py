"""Masks that predict.py wrote are told at an import, and so are other photographs than it saw."""

import json
import shutil

import pytest
from conftest import run
from PIL import Image

import labels
from weakseg.data.contents import content_of
from weakseg.data.datasets import Folder
from weakseg.data.folder_files import PREDICTIONS
from weakseg.data.predictions import LINES, stamp


@pytest.fixture
def predicted(tmp_path):
    """Return a folder as predict.py leaves it, of two photographs beside it."""
    folder, lines = tmp_path / "predictions", []
    for number, name in enumerate(("a", "sub/b")):
        photograph, mask = tmp_path / f"images/{name}.bmp", folder / f"masks/{name}.png"
        for path in (photograph, mask):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(photograph)
        Image.new("L", (8, 8), 1).save(mask)
        held = content_of(mask, is_whole=True)
        lines.append(json.dumps({"id": name, **stamp(photograph), "mask": held}) + "\n")
    (folder / "masks/classes.txt").write_text("background\ncat\n")
    (folder / PREDICTIONS).write_text("{}")
    (folder / LINES).write_text("".join(lines))
    return folder


def test_masks_that_nobody_changed_are_told_wherever_they_are_named(predicted, tmp_path, capsys):
    def told(path):
        words = ["--images", tmp_path / "images", "--output", tmp_path / "store"]
        run(labels, "import", path, *words)
        return capsys.readouterr().out

    as_written, seen = "masks are as predict.py wrote them", "since predict.py saw them"
    masks = predicted / "masks"
    assert f"2 {as_written}" in (words := told(masks)) and seen not in words
    shutil.copy(masks / "classes.txt", tmp_path / "classes.txt")  # beside the photographs
    assert f"1 {as_written}" in told(masks / "a.png")
    Image.new("L", (8, 8), 0).save(masks / "a.png")  # somebody mended it
    assert f"1 {as_written}" in told(masks)
    shutil.copy(tmp_path / "images/a.bmp", tmp_path / "images/sub/b.bmp")
    assert f"1 of 2 photographs changed {seen}, the first of sub/b" in told(masks)
    (predicted / PREDICTIONS).unlink()
    assert as_written not in (words := told(masks)) and seen not in words


@pytest.mark.parametrize("way", ["whole", "linked"])
def test_a_data_set_says_which_masks_a_model_made(way, predicted, tmp_path):
    data = predicted if way == "whole" else tmp_path
    if way == "whole":
        shutil.copytree(tmp_path / "images", predicted / "images")
    else:
        (data / "masks").symlink_to(predicted / "masks")
    shutil.copy(predicted / "masks/classes.txt", data / "classes.txt")

    def told():
        notes = Folder(data, cache_dir=tmp_path / ".cache").notes()
        return [line for line in notes if "as predict.py wrote them" in line]

    (line,) = told()
    assert f"{data}: 2 masks are" in line and "the first of a;" in line
    Image.new("L", (8, 8), 0).save(predicted / "masks/a.png")  # somebody mended it
    assert "1 masks are" in told()[0]
    (predicted / PREDICTIONS).unlink()
    assert told() == []
