"""Coarse outlines: their stated overlap, what they mean as a target, and what reads them."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.common import IGNORE
from weakseg.labels.annotators import Options, Scene
from weakseg.labels.checks import Picture
from weakseg.labels.formats.geometry import area_pixels
from weakseg.labels.formats.records import Shape
from weakseg.labels.outlines import annotate_outlines, draw_outlines
from weakseg.labels.signals import SIGNALS, image_seconds
from weakseg.labels.targets import View

PICTURE = Picture((40, 30), ["background", "cat"], ["cat"])
SQUARE = [[10, 10], [30, 10], [30, 25], [10, 25]]


def overlap(polygon, mask):
    """The IoU of a polygon with a mask, by another library's rule: whose centres it holds."""
    drawn = area_pixels(Shape("polygon", "cat", [[polygon]]), mask.shape[::-1])
    return (drawn & mask).sum() / (drawn | mask).sum()


@st.composite
def blobs(draw):
    """A mask with one object: an ellipse, perhaps turned and with a bite, on a larger picture."""
    axes = draw(st.tuples(st.integers(8, 60), st.integers(8, 60)))
    mask = np.zeros((160, 200), np.uint8)
    cv2.ellipse(mask, (100, 80), axes, draw(st.integers(0, 90)), 0, 360, 1, -1)
    if draw(st.booleans()):
        cv2.circle(mask, (100 + axes[0], 80), max(2, min(axes) // 2), 0, -1)
    return mask


@given(blobs(), st.sampled_from([0.75, 0.9]), st.integers(0, 5))
def test_outlines_have_the_stated_overlap_and_few_vertices(mask, iou, seed):
    scene = Scene(mask, options=Options(outline_iou=iou))
    for outline in annotate_outlines(scene, np.random.default_rng(seed))[:1]:
        piece = np.zeros_like(mask)
        lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.fillPoly(piece, [max(lines, key=cv2.contourArea)], 1)
        assert overlap(outline["polygon"], piece.view(bool)) == pytest.approx(iou, abs=0.08)
        assert 3 <= len(outline["polygon"]) <= 30


def test_a_finer_outline_takes_more_vertices():
    mask = np.zeros((160, 200), np.uint8)
    cv2.ellipse(mask, (100, 80), (70, 50), 20, 0, 360, 1, -1)
    numbers = [
        len(annotate_outlines(Scene(mask, options=Options(outline_iou=iou)), rng)[0]["polygon"])
        for iou, rng in ((0.75, np.random.default_rng(0)), (0.98, np.random.default_rng(0)))
    ]
    assert numbers[0] < numbers[1]


def test_each_large_piece_of_an_object_has_an_outline():
    mask, instances = np.zeros((60, 90), np.uint8), np.zeros((60, 90), np.uint16)
    for left, side in ((5, 30), (50, 25), (80, 3)):
        mask[5 : 5 + side, left : left + side] = 1
    instances[mask == 1] = 1
    outlines = annotate_outlines(Scene(mask, instances=instances), np.random.default_rng(0))
    assert len(outlines) == 2
    assert SIGNALS["outlines"].seconds(outlines) == 40
    assert image_seconds({"outlines": outlines}, ["outlines"], 1) == 41.5


def test_the_core_is_the_object_the_rim_is_unlabelled_and_the_rest_background():
    view = View(200, 100, 128)
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radius = 40
    disc = np.stack([100 + radius * np.cos(angles), 50 + radius * np.sin(angles)], 1).tolist()
    target = draw_outlines([{"class": 1, "polygon": disc}], view)
    rows, columns = np.indices(target.shape) + 0.5
    distance = np.hypot(columns * 200 / 128 - 100, rows * 100 / 128 - 50)
    assert (target[distance < 0.75 * radius] == 1).all()
    assert (target[distance > 1.3 * radius] == 0).all()
    assert (target[abs(distance - radius) < 0.02 * radius] == IGNORE).all()
    open_target = draw_outlines([{"class": 1, "polygon": disc}], view, IGNORE)
    assert np.array_equal(open_target == 1, target == 1) and not (open_target == 0).any()


def test_the_edge_of_the_picture_is_no_rim():
    left = [[0, 0], [20, 0], [20, 30], [0, 30]]
    target = draw_outlines([{"class": 1, "polygon": left}], View(40, 30, 64))
    assert (target[:, :20] == 1).all() and (target[:, 44:] == 0).all()


@pytest.mark.parametrize("flip", [False, True])
def test_a_crop_shows_the_same_as_the_whole(flip):
    outlines = [{"class": 1, "polygon": SQUARE}]
    whole = draw_outlines(outlines, View(40, 30, 128))
    part = draw_outlines(outlines, View(40, 30, 128, 32, 32, 64, 64, flip))
    part = part[:, ::-1] if flip else part
    seen = whole[32:96, 32:96].repeat(2, 0).repeat(2, 1)
    assert (part != seen).mean() < 0.1  # the rim is wider by a pixel in coarser views
    assert not ((part == 1) & (seen == 0) | (part == 0) & (seen == 1)).any()


def test_small_outlines_lie_on_top_and_keep_a_pixel():
    small = [[19, 17], [20, 17], [20, 18], [19, 18]]
    outlines = [{"class": 2, "polygon": small}, {"class": 1, "polygon": SQUARE}]
    target = draw_outlines(outlines, View(40, 30, 40))
    assert (target == 2).sum() >= 1 and (target == 1).sum() > 50


@pytest.mark.parametrize(
    "outlines, message",
    [
        ([{"class": 1}], "write {"),
        ([SQUARE], "write {"),
        ([{"class": 1, "polygon": SQUARE[:2]}], "encloses nothing"),
        ([{"class": 1, "polygon": [[1, 1], [2, 2], [3, 3]]}], "encloses nothing"),
        ([{"class": 0, "polygon": SQUARE}], "class 0, background"),
        ([{"class": 255, "polygon": SQUARE}], "class 255"),
        ([{"class": "cat", "polygon": SQUARE}], "the text 'cat'"),
        ([{"class": 1, "polygon": [*SQUARE, [90, 10]]}], "outside of the picture"),
        ([{"class": 1, "polygon": [*SQUARE, [float("nan"), 10]]}], "finite"),
        ([{"class": 1, "polygon": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]}], "share"),
    ],
)
def test_what_is_no_outline_is_refused(outlines, message):
    with pytest.raises(ValueError, match=message):
        SIGNALS["outlines"].check(outlines, PICTURE)


def test_an_outline_is_read_as_it_is():
    outlines = [{"class": 1, "polygon": SQUARE}]
    assert SIGNALS["outlines"].check(outlines, PICTURE) == outlines
