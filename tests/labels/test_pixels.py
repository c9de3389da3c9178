"""Labels as weighted pixels: strata undone, strokes spread by their length, clicks as they are."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from weakseg.common import IGNORE
from weakseg.labels import pixels
from weakseg.labels.pixels import (
    BORDER,
    STROKE_PIXELS,
    along,
    joined,
    pixels_of_mask,
    pixels_of_points,
    pixels_of_scribbles,
    random_places,
    strata_of,
)

LAWS = settings(max_examples=40)
SIDES = st.tuples(st.integers(1, 12), st.integers(1, 12))
CLASSES = st.sampled_from([0, 1, 2, 20, 254, IGNORE])
MASKS = hnp.arrays(np.uint8, SIDES, elements=CLASSES) | hnp.arrays(
    np.uint8, SIDES, elements=CLASSES, fill=CLASSES
)
COORDINATES = st.floats(-50, 50).map(lambda value: round(value, 2))
PATHS = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=1, max_size=6).map(np.array)


def cells(found):
    """Return the (row, column) of each place, which must be the centre of a pixel."""
    corners = found.places - 0.5
    assert np.array_equal(corners, np.round(corners))
    columns, rows = corners.astype(int).T
    return rows, columns


# ---- masks


@LAWS
@given(mask=MASKS, seed=st.integers(0, 2**32 - 1))
def test_on_average_every_labelled_pixel_weighs_the_same(mask, seed):
    """So the expectation of any weighted sum is the mean over the labelled pixels."""
    count = 20_000
    found = pixels_of_mask(mask, count, np.random.default_rng(seed))
    labelled = mask != IGNORE
    total = labelled.sum()
    if not total:
        assert not len(found.places) and not len(found.weights)
        return
    sums = np.zeros(mask.shape)
    np.add.at(sums, cells(found), found.weights)
    assert (sums[~labelled] == 0).all()
    # A pixel of a stratum of `area` is drawn with a chance of 1 / area, `each` times.
    strata = strata_of(mask)
    area = np.bincount(strata.ravel())[strata]
    each = count / np.unique(strata[labelled]).size
    deviation = np.sqrt(np.maximum(area - 1, 0) / each) / total
    assert (np.abs(sums - 1 / total) <= 6 * deviation + 1e-9)[labelled].all()


def test_few_pixels_have_the_right_mean_over_many_draws():
    mask = np.zeros((24, 30), np.uint8)
    mask[5:12, 8:20], mask[15:17, 20:23], mask[:2] = 1, 2, IGNORE
    values = np.random.default_rng(0).normal(size=mask.shape)
    sums = []
    for seed in range(4000):
        found = pixels_of_mask(mask, 5, np.random.default_rng(seed))
        sums.append(found.weights @ values[cells(found)])
    expected = values[mask != IGNORE].mean()
    assert abs(np.mean(sums) - expected) < 5 * np.std(sums) / np.sqrt(len(sums))


@LAWS
@given(mask=MASKS, count=st.integers(1, 60), seed=st.integers(0, 99))
def test_every_stratum_is_there_as_often_as_the_others_and_all_weigh_1(mask, count, seed):
    found = pixels_of_mask(mask, count, np.random.default_rng(seed))
    strata, labelled = strata_of(mask), mask != IGNORE
    assert (mask[cells(found)] == found.classes).all()
    assert found.places.shape == (len(found.classes), 2)
    assert found.classes.dtype == np.int64 and (found.classes != IGNORE).all()
    if not labelled.any():
        assert not len(found.classes)
        return
    there, times = np.unique(strata[cells(found)], return_counts=True)
    assert np.array_equal(there, np.unique(strata[labelled]))
    assert set(times) == {max(1, round(count / len(there)))}
    assert len(found.classes) <= 1.5 * max(count, len(there))
    assert found.weights.sum() == pytest.approx(1) and (found.weights > 0).all()
    again = pixels_of_mask(mask, count, np.random.default_rng(seed))
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


@LAWS
@given(mask=MASKS)
def test_a_border_is_where_another_labelled_class_is_near(mask):
    height, width = mask.shape
    side = 2 * BORDER + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)) > 0
    around = np.pad(mask, BORDER, constant_values=IGNORE)
    on_border = np.zeros(mask.shape, bool)
    for row in range(height):
        for column in range(width):
            near = around[row : row + side, column : column + side][disc]
            on_border[row, column] = np.setdiff1d(near, [mask[row, column], IGNORE]).size > 0
    strata = strata_of(mask)
    labelled = mask != IGNORE
    assert np.array_equal(strata[labelled] // 2, mask[labelled])
    assert np.array_equal(strata[labelled] % 2 == 1, on_border[labelled])


# ---- strokes and clicks


@LAWS
@given(path=PATHS)
def test_strokes_are_spread_evenly_by_their_length(path):
    places = along(path)
    assert places.shape == (STROKE_PIXELS, 2) and np.isfinite(places).all()
    # Where the pen stops on its way changes nothing.
    halves = (path[:-1] + path[1:]) / 2
    finer = np.insert(path, np.arange(1, len(path)), halves, axis=0)
    np.testing.assert_allclose(along(finer), places, atol=1e-6)
    np.testing.assert_allclose(along(path[::-1]), places[::-1], atol=1e-6)
    # No two places are further apart than along the path.
    length = np.hypot(*np.diff(path, axis=0).T).sum()
    apart = np.hypot(*np.diff(places, axis=0).T)
    assert (apart <= length / STROKE_PIXELS + 1e-6).all()


def test_a_straight_stroke_has_places_at_equal_distances():
    places = along(np.array([[2.0, 1.0], [2.0, 5.0], [2.0, 41.0]]))
    np.testing.assert_allclose(places[:, 0], 2)
    np.testing.assert_allclose(places[:, 1], 1 + 40 * (np.arange(STROKE_PIXELS) + 0.5) / 20)


def test_a_stroke_weighs_1_and_one_of_a_single_point_stays_there():
    strokes = [{"class": 3, "path": [[4, 5]]}, {"class": 0, "path": [[0, 0], [9, 0], [9, 9]]}]
    found = pixels_of_scribbles(strokes)
    assert (found.places[:STROKE_PIXELS] == (4, 5)).all()
    assert found.classes.tolist() == [3] * STROKE_PIXELS + [0] * STROKE_PIXELS
    for label in (0, 3):
        assert found.weights[found.classes == label].sum() == pytest.approx(1)
    assert not len(pixels_of_scribbles([]).places)


@LAWS
@given(classes=st.lists(st.sampled_from([0, 1, 254, IGNORE]), max_size=5))
def test_marks_of_class_255_say_nothing(classes):
    kept = [label for label in classes if label != IGNORE]
    clicks = pixels_of_points([[4, 5, label] for label in classes])
    assert clicks.classes.tolist() == kept and clicks.places.shape == (len(kept), 2)
    strokes = pixels_of_scribbles([{"class": label, "path": [[4, 5]]} for label in classes])
    assert strokes.classes.tolist() == list(np.repeat(kept, STROKE_PIXELS))


def test_a_stroke_without_a_path_has_no_pixels():
    drawn = {"class": 1, "path": [[4, 5]]}
    found = pixels_of_scribbles([{"class": 2, "path": []}, drawn])
    assert found.classes.tolist() == [1] * STROKE_PIXELS


@given(
    points=st.lists(
        st.tuples(st.floats(0, 99), st.floats(0, 99), st.integers(0, 254)).map(list), max_size=5
    )
)
def test_clicks_are_taken_as_they_are(points):
    found = pixels_of_points(points)
    assert [[*place, label] for place, label in zip(*found[:2], strict=True)] == points
    assert (found.weights == 1).all() and found.classes.dtype == np.int64


# ---- all of them


def test_parts_are_joined_in_their_order():
    parts = [pixels_of_points([[1, 2, 3]]), pixels.NOTHING, pixels_of_points([[4, 5, 0]])]
    found = joined(parts)
    assert found.places.tolist() == [[1, 2], [4, 5]] and found.classes.tolist() == [3, 0]
    assert joined([]).places.shape == (0, 2)


@given(width=st.integers(1, 50), height=st.integers(1, 50), seed=st.integers(0, 99))
def test_random_places_are_centres_of_pixels_of_the_image(width, height, seed):
    places = random_places((width, height), 40, np.random.default_rng(seed))
    assert places.shape == (40, 2) and (places % 1 == 0.5).all()
    assert ((places > 0) & (places < (width, height))).all()
