"""Completeness, class consistency and failure modes: hand-made masks with hand-made numbers, and
what always holds.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weakseg.evaluation.error_modes import DISTANCES, MODES, Truth, tally
from weakseg.evaluation.measures import measures

SQUARE = np.s_[30:70, 30:70]


def truth_with(*objects, size=100, clicks=(), classes=3):
    """A background with (slices, class) painted on it; the band is 2 % of its diagonal, 2.83
    pixels.
    """
    mask = np.zeros((size, size), np.uint8)
    for place, label in objects:
        mask[place] = label
    return Truth(mask, list(clicks), classes)


def modes_of(prediction, truth):
    return dict(zip(MODES, tally(prediction, truth)["modes"].sum(1), strict=True))


def only(**counts):
    return dict.fromkeys(MODES, 0.0) | counts


def painted(*objects, size=100):
    return truth_with(*objects, size=size).mask


def test_each_mode_by_hand():
    truth = truth_with((SQUARE, 1))
    assert modes_of(truth.mask, truth) == only()
    assert modes_of(np.zeros_like(truth.mask), truth) == only(missed=1600)
    assert modes_of(painted((SQUARE, 2)), truth) == only(swap=1600)
    assert modes_of(painted((SQUARE, 1), (np.s_[45:55, 45:55], 0)), truth) == only(interior=100)
    assert modes_of(painted((SQUARE, 1), (np.s_[0:10, 0:10], 2)), truth) == only(hallucinated=100)
    # Two pixels more on every side, and two fewer, lie within the band.
    assert modes_of(painted((np.s_[28:72, 28:72], 1)), truth) == only(boundary=44**2 - 40**2)
    assert modes_of(painted((np.s_[32:68, 32:68], 1)), truth) == only(boundary=40**2 - 36**2)
    # An arm of ten pixels to the right: its first two columns lie within 2.83 pixels of the edge.
    assert modes_of(painted((np.s_[30:70, 30:80], 1)), truth) == only(boundary=80, spill=320)


def test_an_object_counts_as_found_from_a_tenth_of_it():
    truth = truth_with((SQUARE, 1))
    assert modes_of(painted((np.s_[30:33, 30:70], 1)), truth)["missed"] == 1600 - 120
    assert modes_of(painted((np.s_[30:34, 30:70], 1)), truth)["missed"] == 0


def test_errors_belong_to_the_true_class_or_else_to_the_predicted_one():
    truth = truth_with((SQUARE, 1))
    by_class = tally(painted((SQUARE, 2), (np.s_[0:10, 0:10], 2)), truth)["modes"]
    assert by_class[list(MODES).index("swap")].tolist() == [0, 1600, 0]
    assert by_class[list(MODES).index("hallucinated")].tolist() == [0, 0, 100]


def test_ignored_pixels_are_no_errors_and_hide_the_edge_in_their_middle():
    truth = truth_with((np.s_[28:72, 28:72], 255), (SQUARE, 1))
    assert modes_of(painted((np.s_[28:72, 28:72], 1)), truth) == only()
    # The edge runs one pixel outside the labelled square, so only its outermost pixel is within
    # 2.83.
    assert modes_of(painted((np.s_[32:68, 32:68], 1)), truth) == only(
        boundary=40**2 - 38**2, interior=38**2 - 36**2
    )


def test_completeness_by_distance_by_hand():
    """One object of 4 x 4 with a click at the centre of its first pixel; its size is 4."""
    truth = truth_with((np.s_[0:4, 0:4], 1), size=20, clicks=[[0.5, 0.5, 1], [9.5, 9.5, 0]])
    rows, columns = np.mgrid[0:4, 0:4]
    bins = np.searchsorted(DISTANCES, np.hypot(rows, columns) / 4)
    left = tally(painted((np.s_[0:4, 0:2], 2), size=20), truth)["complete"]
    for index in range(len(DISTANCES)):
        assert left[index, 0] == pytest.approx((bins == index).sum() / 16)
        assert left[index, 1] == pytest.approx((bins[:, :2] == index).sum() / 16)
    assert left.sum(0) == pytest.approx([1, 0.5])


def test_objects_that_nobody_clicked_have_no_distance():
    assert not tally(
        painted((SQUARE, 1)), truth_with((SQUARE, 1), clicks=[[1, 1, 0], [40, 40, 2]])
    )["complete"].any()


def test_an_object_is_mixed_from_a_tenth_of_its_second_class():
    truth = truth_with((SQUARE, 1))
    assert tally(painted((SQUARE, 1), (np.s_[30:33, 30:70], 2)), truth)["mixed"].tolist() == [1, 0]
    assert tally(painted((SQUARE, 1), (np.s_[30:34, 30:70], 2)), truth)["mixed"].tolist() == [1, 1]
    assert tally(painted(), truth)["mixed"].tolist() == [0, 0]


shapes = st.tuples(st.integers(1, 24), st.integers(1, 24))
pairs = shapes.flatmap(
    lambda shape: st.tuples(
        arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 255])),
        arrays(np.uint8, shape, elements=st.integers(0, 2)),
    )
)


@settings(max_examples=150)
@given(pairs)
def test_the_modes_share_out_all_errors(pair):
    mask, prediction = pair
    found = tally(prediction, Truth(mask, [], 3))
    wrong = int(((mask != prediction) & (mask != 255)).sum())
    assert found["modes"].sum() == wrong == found["confusion"].sum() - np.trace(found["confusion"])
    assert (found["modes"] >= 0).all() and found["confusion"].sum() == (mask != 255).sum()


@settings(max_examples=100)
@given(pairs)
def test_a_perfect_prediction_makes_no_error_and_covers_everything(pair):
    mask, _ = pair
    clicks = [[0.5, 0.5, 1], [0.5, 0.5, 2]]
    found = tally(np.where(mask == 255, 0, mask).astype(np.uint8), Truth(mask, clicks, 3))
    assert not found["modes"].any() and found["mixed"][1] == 0
    assert np.array_equal(found["complete"][:, 0], found["complete"][:, 1])


@settings(max_examples=100)
@given(pairs)
def test_names_of_classes_don_t_matter(pair):
    mask, prediction = (
        np.where(pair[0] == 255, 0, pair[0]),
        pair[1],
    )  # a tie in an ignored band goes to the lower class
    swapped = np.array([0, 2, 1, *range(3, 256)], np.uint8)
    one, two = (
        tally(prediction, Truth(mask, [], 3)),
        tally(swapped[prediction], Truth(swapped[mask], [], 3)),
    )
    assert np.array_equal(one["modes"][:, [0, 2, 1]], two["modes"])


@settings(max_examples=100)
@given(pairs)
def test_without_a_background_class_0_errs_and_is_covered_like_any_other(pair):
    mask, prediction = pair
    clicks = [[0.5, 0.5, label] for label in range(3)]
    found = tally(prediction, Truth(mask, clicks, 3, has_background=False))
    counts = dict(zip(MODES, found["modes"].sum(1), strict=True))
    wrong = ((mask != prediction) & (mask != 255)).sum()
    assert counts["boundary"] + counts["interior"] + counts["missed"] == wrong
    assert found["modes"].sum() == wrong
    # The names of classes don't matter, that of class 0 included.
    turned = np.array([1, 2, 0, *range(3, 256)], np.uint8)
    whole = np.where(mask == 255, 0, mask).astype(np.uint8)
    one = tally(prediction, Truth(whole, clicks, 3, has_background=False))
    moved = [[x, y, turned[label]] for x, y, label in clicks]
    two = tally(turned[prediction], Truth(turned[whole], moved, 3, has_background=False))
    assert np.array_equal(one["modes"][:, [2, 0, 1]], two["modes"])
    assert np.allclose(one["complete"], two["complete"])
    # What is read off them knows no background either.
    sums = {name: values[None, None] for name, values in one.items()}
    read = measures(sums, has_background=False)
    right = (whole == prediction).mean()
    assert read["right"].item() == pytest.approx(right)
    assert read["other"].item() == pytest.approx(1 - right)
    assert np.isnan(read["background"]).all()


def test_known_instances_are_the_objects():
    mask, instances = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint16)
    mask[5:15, 5:15] = 1
    instances[5:15, 5:10], instances[5:15, 10:15] = 1, 2
    half = np.where(instances == 1, 1, 0).astype(np.uint8)
    clicks = [[7.5, 7.5, 1], [12.5, 7.5, 1]]
    as_one, as_two = (tally(half, Truth(mask, clicks, 2, known)) for known in (None, instances))
    assert as_one["complete"].sum(0) == pytest.approx([1, 0.5])
    assert as_two["complete"].sum(0) == pytest.approx([2, 1])
    missed = list(MODES).index("missed")
    assert not as_one["modes"][missed].any() and as_two["modes"][missed].sum() == 50
