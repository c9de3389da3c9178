"""Labels land where they were drawn: turned by EXIF, of a smaller copy, beyond the edge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from weakseg.labels.fitting import TURNS, Fit, Seen, are_swapped
from weakseg.labels.formats.geometry import area_pixels
from weakseg.labels.formats.records import SHARES, PictureRecord, Shape, Unreadable
from weakseg.labels.formats.runs import mask_geometry


def fit(size, seen):
    return Fit.of(PictureRecord("a", size, ()), seen)


def photograph(path, turn, size=(30, 20)):
    """Write a photograph whose EXIF block says how it is turned."""
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.new("RGB", size).save(path, exif=exif)
    return path


@pytest.mark.parametrize("turn", TURNS)
@given(x=st.integers(0, 29), y=st.integers(0, 19))
def test_a_pixel_of_the_stored_picture_lands_where_exif_turns_it(turn, x, y):
    pixels = np.zeros((20, 30), np.uint8)
    pixels[y, x] = 255
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = turn
    upright = np.asarray(ImageOps.exif_transpose(image)) > 0
    (row,), (column,) = np.nonzero(upright)
    one = Fit((30, 20), turn, upright.shape[::-1])
    assert one.place(x + 0.5, y + 0.5) == [column + 0.5, row + 0.5]
    assert one.shape(Shape("click", "a", [x + 0.5, y + 0.5])).geometry == [column + 0.5, row + 0.5]
    box = one.shape(Shape("box", "a", [x, y, x + 1, y + 1])).geometry
    assert box == [column, row, column + 1, row + 1]
    mask = one.shape(Shape("mask", "a", mask_geometry(pixels > 0)))
    assert (area_pixels(mask, upright.shape[::-1]) == upright).all()


def test_a_label_file_may_be_of_the_stored_or_of_the_upright_picture(tmp_path):
    seen = Seen.of(photograph(tmp_path / "a.jpg", 6))
    assert seen == Seen((20, 30), (30, 20), 6)
    assert fit((20, 30), seen).place(3, 4) == [3, 4]
    assert fit((30, 20), seen).place(3, 4) == [16, 3]
    assert fit(None, seen).place(3, 4) == [3, 4]


@pytest.mark.parametrize(
    "places, is_swapped",
    [
        ([[3, 4], [25, 4]], True),  # beyond the width that the file says, but in the picture
        ([[3, 4], [3, 25]], False),  # beyond the picture: it was turned since
        ([[25, 4], [3, 25]], False),
        ([[3, 4]], False),  # nobody can tell
    ],
)
def test_sides_are_the_wrong_way_round_where_shapes_show_it(places, is_swapped):
    seen = Seen((30, 20), (30, 20))
    record = PictureRecord("a", (20, 30), tuple(Shape("click", "a", place) for place in places))
    assert are_swapped([(record, seen)]) == is_swapped
    assert Fit.of(record, seen, is_swapped=True).place(3, 4) == [3, 4]
    with pytest.raises(Unreadable, match=r"labelled at 20x30, .* as if it was turned since"):
        Fit.of(record, seen)


def test_a_smaller_copy_is_scaled_and_another_picture_refused():
    seen = Seen((300, 200), (300, 200))
    half = fit((150, 100), seen)
    assert half.place(3, 4) == [6, 8]
    assert half.shape(Shape("stroke", "a", {"width": 2, "path": [[1, 1]]})).geometry == {
        "width": 4,
        "path": [[2, 2]],
    }
    mask = half.shape(Shape("mask", "a", mask_geometry(np.ones((2, 3), bool), 10, 20)))
    pixels = area_pixels(mask, (300, 200))
    assert pixels[40:44, 20:26].all() and pixels.sum() == 24
    assert fit(SHARES, seen).place(0.5, 0.5) == [150, 100]
    with pytest.raises(Unreadable, match="labelled at 100x100"):
        fit((100, 100), seen)


@pytest.mark.parametrize(
    "kind, geometry, kept",
    [
        ("click", [30.3, 5], [29.99, 5]),
        ("click", [31, 5], None),
        ("box", [-5, 5, 10, 40], [0, 5, 10, 20]),
        ("box", [31, 5, 40, 10], None),
        ("box", [3, 5, 3.1, 10], None),
        ("polygon", [[[[-5, 5], [5, 5], [5, 9]]]], [[[[0, 7], [0, 5], [5, 5], [5, 9]]]]),
        ("polygon", [[[[-5, 5], [-1, 5], [-1, 10]]]], None),
        ("outline", [[-5, 5], [5, 5], [5, 9]], [[0, 7], [0, 5], [5, 5], [5, 9]]),
        ("outline", [[-5, 5], [-1, 5], [-1, 10]], None),
        ("stroke", {"width": 1, "path": [[5, 5], [50, 5]]}, {"width": 1, "path": [[5, 5]]}),
        ("stroke", {"width": 1, "path": [[50, 5]]}, None),
    ],
)
def test_what_lies_beyond_the_edge_is_cut_or_dropped(kind, geometry, kept):
    one = fit((30, 20), Seen((30, 20), (30, 20)))
    if kept is None:
        with pytest.raises(Unreadable):
            one.shape(Shape(kind, "a", geometry))
    else:
        assert one.shape(Shape(kind, "a", geometry)).geometry == kept


def test_masks_are_cut_at_the_edge():
    one = fit((30, 20), Seen((30, 20), (30, 20)))
    for left, top, count in ((-2, -1, 1), (28, 19, 2), (27, 18, 6)):
        mask = one.shape(Shape("mask", "a", mask_geometry(np.ones((2, 3), bool), left, top)))
        assert area_pixels(mask, (30, 20)).sum() == count
    with pytest.raises(Unreadable):
        one.shape(Shape("mask", "a", mask_geometry(np.ones((2, 3), bool), 30, 0)))
