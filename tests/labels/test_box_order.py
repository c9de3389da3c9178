"""Whether boxes may be taken for corners: in formats that state width and height they may not."""

import json

import numpy as np
import pytest
from PIL import Image

from weakseg.labels.imported import Wishes
from weakseg.labels.importing import read_labels
from weakseg.labels.matching import Pictures

WIDTH, HEIGHT = 60, 40
BOXES = [[2 + k % 3, 1 + k % 5, 20 + k, 10 + k] for k in range(12)]  # middles in the upper left


def coco(folder, boxes):
    sides = [
        {"id": k, "image_id": 1, "category_id": 1, "bbox": [x, y, right - x, bottom - y]}
        for k, (x, y, right, bottom) in enumerate(boxes)
    ]
    image = {"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}
    table = {"images": [image], "annotations": sides, "categories": [{"id": 1, "name": "cat"}]}
    (folder / "a.json").write_text(json.dumps(table))
    return folder / "a.json"


def yolo(folder, boxes):
    rows = np.array(boxes, float).reshape(-1, 2, 2) / (WIDTH, HEIGHT)
    values = np.concatenate([rows.mean(1), rows[:, 1] - rows[:, 0]], 1)
    lines = "".join(f"0 {' '.join(map(str, row))}\n" for row in values)
    (folder / "y").mkdir()
    (folder / "y/a.txt").write_text(lines)
    (folder / "y/data.yaml").write_text("names: [cat]\n")
    return folder / "y"


def table(folder, boxes):
    rows = "".join(f"a.png,box,cat,{','.join(map(str, box))}\n" for box in boxes)
    (folder / "a.csv").write_text(f"image,kind,class,x,y\n{rows}")
    return folder / "a.csv"


@pytest.mark.parametrize("write, is_told", [(coco, False), (yolo, False), (table, True)])
@pytest.mark.parametrize("scale", [1, 1.8])  # with the second, middles lie anywhere
def test_only_two_corners_may_be_a_width_and_a_height(write, is_told, scale, tmp_path):
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.png")
    boxes = (np.array(BOXES) * scale).tolist()
    found = read_labels(write(tmp_path, boxes), Pictures(tmp_path), Wishes())
    assert bool([*found.order.lines()]) == (is_told and scale == 1)
    assert found.shown["boxes"] == len(BOXES)
