"""Photographs that EXIF turns: a line where the file is the same whichever way they were shown."""

import json

import pytest
from PIL import Image

from weakseg.labels.exporting import write_labels
from weakseg.labels.formats.records import Classes, PictureRecord, Shape
from weakseg.labels.importing import Wishes, read_labels
from weakseg.labels.matching import Pictures


def photograph(path, size, turn):
    """Save a picture of (width, height) as it is stored, and return the upright size."""
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.new("RGB", size).save(path, exif=exif)
    return size[::-1] if turn > 4 else size


def coco(path, sizes):
    """Write {name: size stated} with a box and an outline each."""
    images = [
        {"id": name, "file_name": f"{name}.jpg"}
        | ({} if size is None else {"width": size[0], "height": size[1]})
        for name, size in sizes.items()
    ]
    corner = [1, 1, 9, 1, 9, 8]
    outlines = [{"id": k, "image_id": k, "category_id": 1, "segmentation": [corner]} for k in sizes]
    table = {"images": images, "annotations": outlines, "categories": [{"id": 1, "name": "cat"}]}
    path.write_text(json.dumps(table))
    return path


def told(path, folder):
    found = read_labels(path, Pictures(folder), Wishes())
    return [line for line in found.dropped.told if line.startswith("EXIF turns")]


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("stored", [(40, 30), (40, 40)])
@pytest.mark.parametrize("states", [None, "upright", "stored"])
def test_what_would_be_the_same_file_either_way_is_told(turn, stored, states, tmp_path):
    upright = photograph(tmp_path / "a.jpg", stored, turn)
    size = {None: None, "upright": upright, "stored": stored}[states]
    lines = told(coco(tmp_path / "a.json", {"a": size}), tmp_path)
    assert bool(lines) == (turn != 1 and (states is None or upright == stored))
    assert all("1 photographs, the first a.jpg; their labels" in line for line in lines)


@pytest.mark.parametrize("states", ["upright", "stored"])
def test_the_size_of_another_photograph_tells(states, tmp_path):
    sizes = {"upright": photograph(tmp_path / "b.jpg", (40, 30), 6), "stored": (40, 30)}
    other = photograph(tmp_path / "a.jpg", (40, 30), 3)
    lines = told(coco(tmp_path / "a.json", {"a": other, "b": sizes[states]}), tmp_path)
    assert bool(lines) == (states == "stored")
    assert all("as the sizes of 1 others show that these were" in line for line in lines)


@pytest.mark.parametrize("form", ["cvat", "labelme", "labelstudio", "coco", "yolo"])
def test_tools_that_show_them_upright_and_our_own_exports_are_trusted(form, tmp_path):
    size = photograph(tmp_path / "a.jpg", (40, 30), 3)
    record = PictureRecord("a.jpg", size, (Shape("box", "cat", [1, 1, 9, 9]),), ())
    path = tmp_path / {"cvat": "a.xml", "labelme": "lm", "yolo": "y"}.get(form, "a.json")
    write_labels(form, [record], path, Classes(("background", "cat")))
    assert bool(told(path, tmp_path)) == (form == "yolo")  # which holds no note of ours
