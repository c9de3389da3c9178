"""Photographs that EXIF turns: a line where the file is the same whichever way they were shown."""

import json

import numpy as np
import pytest
from PIL import Image

from weakseg.labels.exporting import write_labels
from weakseg.labels.fitting import TURNS
from weakseg.labels.formats.records import Classes, PictureRecord, Shape
from weakseg.labels.imported import Wishes
from weakseg.labels.importing import read_labels
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


def labelme(folder, sizes):
    """Write {name: size stated} with an outline each, as LabelMe and those do that follow it."""
    shape = {"label": "cat", "points": [[1, 1], [9, 1], [9, 8]], "shape_type": "polygon"}
    for name, (width, height) in sizes.items():
        content = {"imagePath": f"{name}.jpg", "imageWidth": width, "imageHeight": height}
        (folder / f"{name}.json").write_text(json.dumps(content | {"shapes": [shape]}))
    return folder


@pytest.mark.parametrize("write", [lambda folder, sizes: coco(folder / "a.json", sizes), labelme])
@pytest.mark.parametrize("states", ["upright", "stored"])
def test_the_size_of_another_photograph_tells(states, write, tmp_path):
    sizes = {"upright": photograph(tmp_path / "b.jpg", (40, 30), 6), "stored": (40, 30)}
    other = photograph(tmp_path / "a.jpg", (40, 30), 3)
    lines = told(write(tmp_path, {"a": other, "b": sizes[states]}), tmp_path)
    assert bool(lines) == (states == "stored")
    assert all("the sizes of 1 others show that labels were drawn" in line for line in lines)


@pytest.mark.parametrize("turn", [2, 3, 4])
@pytest.mark.parametrize("drawn", ["upright", "stored", "box"])
def test_the_edges_in_the_photographs_tell_on_which_of_them_masks_were_drawn(turn, drawn, tmp_path):
    rng, form = np.random.default_rng(turn), {}
    for k in range(9):
        left, top = rng.integers(2, 20, 2).tolist()
        pixels = rng.integers(0, 40, (60, 80, 3), np.uint8)
        pixels[top : top + 25, left : left + 30] += 120
        exif = Image.Exif()
        exif[0x0112] = turn
        Image.fromarray(pixels).save(tmp_path / f"{k}.png", exif=exif)
        places = np.array([[left, top], [left + 30, top], [left + 30, top + 25], [left, top + 25]])
        if drawn == "upright":
            places = np.array([TURNS[turn](x, y, 80, 60) for x, y in places])
        form[k] = [*places.min(0), *(places.max(0) - places.min(0))] if drawn == "box" else places
    table = json.loads(
        coco(tmp_path / "a.json", dict.fromkeys(map(str, form), (80, 60))).read_text()
    )
    for one, outline in zip(table["annotations"], form.values(), strict=True):
        key = "bbox" if drawn == "box" else "segmentation"
        numbers = np.array(outline).ravel().tolist()
        one["segmentation"], one[key] = [], numbers if key == "bbox" else [numbers]
    for image in table["images"]:
        image["file_name"] = f"{image['id']}.png"
    (tmp_path / "a.json").write_text(json.dumps(table))
    lines = told(tmp_path / "a.json", tmp_path)
    assert len(lines) == (drawn != "upright")
    assert all(("edges in them show" in line) == (drawn == "stored") for line in lines)


@pytest.mark.parametrize("form", ["cvat", "labelme", "labelstudio", "coco", "yolo"])
def test_tools_that_show_them_upright_and_our_own_exports_are_trusted(form, tmp_path):
    size = photograph(tmp_path / "a.jpg", (40, 30), 3)
    box = Shape("box", "cat", [1, 1, 9, 9])
    record = PictureRecord("a.jpg", size, (box,), (), noted=())
    path = tmp_path / {"cvat": "a.xml", "labelme": "lm", "yolo": "y"}.get(form, "a.json")
    write_labels(form, [record], path, Classes(("background", "cat")))
    assert bool(told(path, tmp_path)) == (form == "yolo")  # which holds no note of ours
