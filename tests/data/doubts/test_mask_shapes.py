"""Masks of outlines, boxes, dots or strokes alone are told, and those of objects are not."""

import cv2
import numpy as np
import pytest
from PIL import Image

from weakseg.data.class_list import write_classes
from weakseg.data.datasets import Folder
from weakseg.data.doubts.mask_shapes import ShapeTally
from weakseg.labels.imported import Wishes
from weakseg.labels.importing import read_labels
from weakseg.labels.matching import Pictures


def blobs(number, draw):
    """Draw some blobs of one class, each by its contour, [96, 96] uint8."""
    rng, mask = np.random.default_rng(number), np.zeros((96, 96), np.uint8)
    for corner in ((4, 4), (52, 6), (8, 52)):
        blob = np.zeros_like(mask)
        middle = np.array(corner) + rng.integers(16, 22, 2)
        axes = rng.integers(9, 15, 2).tolist()
        cv2.ellipse(blob, middle.tolist(), axes, int(rng.integers(180)), 0, 360, 1, -1)
        (contour,), _ = cv2.findContours(blob, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        draw(mask, contour)
    return mask


def filled(mask, contour):
    cv2.drawContours(mask, [contour], -1, 1, -1)


def outline(mask, contour):
    cv2.drawContours(mask, [contour], -1, 1, 2)


def box(mask, contour):
    left, top, wide, high = cv2.boundingRect(contour)
    mask[top : top + high, left : left + wide] = 1


def dot(mask, contour):
    cv2.circle(mask, np.mean(contour[:, 0], 0).astype(int).tolist(), 4, 1, -1)


def stroke(mask, contour):
    cv2.line(mask, contour[0, 0].tolist(), contour[len(contour) // 2, 0].tolist(), 1, 3)


def told(masks):
    tally = ShapeTally()
    for number, mask in enumerate(masks):
        tally.add(mask, f"{number}.png")
    return tally.lines()


@pytest.mark.parametrize(
    ("draw", "word"),
    [
        (filled, ""),
        (stroke, "strokes of one width"),
        (outline, "thin rings"),
        (box, "rectangles"),
        (dot, "of one size"),
    ],
)
def test_what_is_no_shape_of_objects_is_told_where_most_masks_show_it(draw, word):
    so, right = [blobs(k, draw) for k in range(6)], [blobs(k, filled) for k in range(6)]
    lines = told([*so, np.zeros((9, 9), np.uint8)])
    assert [word in line for line in lines] == [True] * bool(word)
    few = 4 if word != "of one size" else 1
    assert told([*so[:few]]) == told([*so[:2], *right, *right]) == []
    part = ["and the others don't" in line for line in told([*so, *right, *right])]
    assert part == [True] * (draw in (outline, box))  # the others aren't enough
    windows = [2 * mask for mask in so]  # a class that always has that form
    assert told([*windows, *right, *right]) == []
    striped = [np.repeat([0, 1, 0], 32).astype(np.uint8)[None].repeat(96, 0)] * 9
    assert told(striped) == []  # a road, or what else goes from edge to edge


def test_lines_that_an_edge_cuts_are_lines_and_borders_of_another_class_no_outlines():
    rings = [blobs(k, outline) for k in range(12)]
    cut = [
        np.ascontiguousarray(mask[24:, 24:70]) if k % 3 else mask for k, mask in enumerate(rings)
    ]
    tally = ShapeTally()
    for number, mask in enumerate(cut):
        tally.add(mask, f"{number}.png")
    (line,) = tally.mixed.lines()
    assert "4 of 12 masks" in line and "thin rings alone, and the others lines as thin; if" in line
    inner = [np.maximum(2 * blobs(k, filled), mask) for k, mask in enumerate(rings)]
    border = [
        np.where(ring, 1, mask).astype(np.uint8) for ring, mask in zip(rings, inner, strict=True)
    ]
    assert told(border) == []


@pytest.mark.parametrize("count", [2, 3, 6, 12])
def test_masks_of_one_class_all_over_are_told_among_those_of_objects(count):
    right, whole = [blobs(k, filled) for k in range(14)], [np.ones((96, 96), np.uint8)] * count
    lines = told([*right, *whole])
    assert [
        f"{count} of {14 + count} masks of objects, the first 14.png, show one class" in line
        for line in lines
    ] == [True] * (count in (3, 6))
    near = np.ones((96, 96), np.uint8)
    near[:9] = 0
    assert told([*right, *whole, near]) == []  # tiles, or photographs from nearby
    assert told([*right, *(2 * mask for mask in whole)]) == []  # a class that has no shape
    assert told(whole) == []


@pytest.mark.parametrize("width", [3, 5, 11])
def test_strokes_are_told_by_their_one_width_whatever_their_way(width):
    def scribble(number, brush):
        rng, mask = np.random.default_rng(number), np.zeros((192, 192), np.uint8)
        for label in (1, 2):  # that may cross themselves and one another
            turn = rng.normal(0, 0.4, 30).cumsum() + rng.uniform(0, 6)
            path = 4 * np.stack([np.cos(turn), np.sin(turn)], 1).cumsum(0)
            path += 96 - path.mean(0) + rng.integers(-30, 30, 2)
            cv2.polylines(mask, [path.round().astype(np.int32)], False, label, brush)
        return mask

    masks = [scribble(number, width) for number in range(9)]
    (line,) = told(masks)
    assert "9 of 9 masks of objects, the first 0.png" in line and "--as scribbles" in line
    assert told(masks[:4]) == []
    assert told([scribble(number, width + number) for number in range(9)]) == []  # poles, by depth
    objects = [np.kron(blobs(number, filled), np.ones((2, 2), np.uint8)) for number in range(9)]
    assert told([np.maximum(*pair) for pair in zip(masks, objects, strict=True)]) == []


@pytest.mark.parametrize("draw", [outline, box, dot, stroke])
def test_a_folder_and_an_import_say_so_unless_the_import_takes_them_as_other_labels(draw, tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number in range(6):
        Image.fromarray(blobs(number, draw)).save(tmp_path / f"masks/{number}.png")
        Image.new("RGB", (96, 96), number).save(tmp_path / f"images/{number}.png")
    for folder in (tmp_path, tmp_path / "masks"):
        write_classes(folder / "classes.txt", ["background", "blob"], True)
    assert "objects, not their shapes" in "\n".join(Folder(tmp_path).notes()) or draw is outline
    for kind in (None, "boxes"):
        wishes = Wishes(areas_as=kind)
        lines = read_labels(tmp_path / "masks", Pictures(tmp_path / "images"), wishes).dropped.told
        assert any("; if they are" in line for line in lines) == (kind is None and draw is not box)


@pytest.mark.parametrize("classes", [1, 4])
def test_some_upright_rectangles_of_each_of_many_classes_are_no_boxes(classes):
    """Signs and windows are rectangles by themselves: of one class they are told, of each not."""
    tally = ShapeTally()
    for number in range(24):
        mask, boxed = np.zeros((60, 140), np.uint8), 1 + number % classes
        for label in range(1, classes + 1):
            if number >= 4 or label != boxed:
                cv2.circle(mask, (26 * label, 45), 5 + number % 6, label, -1)
        if number < 4:
            mask[10:30, 15:40] = boxed
        tally.add(mask, f"p{number:02}")
    assert ("4 of 24 masks" in " ".join(tally.lines())) == (classes == 1)
