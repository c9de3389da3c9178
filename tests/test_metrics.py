"""Laws of the metrics: agreement with torchmetrics, scikit-learn, SciPy and a brute-force boundary
score.
"""

import math
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from weakseg import metrics
from weakseg.evaluation import statistics

LAWS = settings(max_examples=40)


@st.composite
def labelled_pairs(draw, most_classes=6, side=12):
    """Draw (prediction, target, num_classes): uint8 masks that may lack classes, 255 only in the
    target.
    """
    count = draw(st.integers(2, most_classes))
    shape = draw(st.tuples(st.integers(1, side), st.integers(1, side)))
    seen = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=count))
    prediction = draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from(seen)))
    target = draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([*seen, 255])))
    return prediction, target, count


def matrix(prediction, target, count):
    return metrics.confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(target), count)


@LAWS
@given(labelled_pairs())
def test_confusion_matrix_equals_torchmetrics_and_sklearn(pair):
    from sklearn.metrics import confusion_matrix as sklearn_matrix
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    prediction, target, count = pair
    own = matrix(prediction, target, count)
    peer = multiclass_confusion_matrix(
        *map(torch.from_numpy, (prediction, target)), count, ignore_index=255
    )
    assert own.dtype == torch.int64
    assert torch.equal(own, peer)
    kept = target != 255
    if kept.any():
        assert np.array_equal(
            own, sklearn_matrix(target[kept], prediction[kept], labels=range(count))
        )


@LAWS
@given(labelled_pairs(), st.integers(1, 20))
def test_masks_are_counted_in_parts_as_at_once(pair, pixels):
    with patch.object(metrics, "COUNTED_PIXELS", pixels):
        parts = matrix(*pair)
    assert torch.equal(parts, matrix(*pair))


@LAWS
@given(
    hnp.arrays(
        np.float32,
        st.tuples(*[st.integers(1, 5)] * 3),
        elements=st.sampled_from([-1, 0, 2, np.inf, np.nan]),
    )
)
def test_the_largest_class_is_that_of_argmax(logits):
    logits = torch.from_numpy(logits)
    for dim in range(3):
        assert torch.equal(metrics.largest(logits, dim), logits.argmax(dim))


@LAWS
@given(labelled_pairs())
def test_scores_agree_with_torchmetrics(pair):
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

    prediction, target, count = pair
    assume((target != 255).any())
    own = metrics.scores(matrix(prediction, target, count))
    tensors = torch.from_numpy(prediction), torch.from_numpy(target)
    jaccard = multiclass_jaccard_index(*tensors, count, average="macro", ignore_index=255)
    accuracy = multiclass_accuracy(*tensors, count, average="micro", ignore_index=255)
    assert own["miou"].dtype == torch.float64
    assert float(own["miou"]) == pytest.approx(float(jaccard), abs=1e-6)
    assert float(own["pixel_accuracy"]) == pytest.approx(float(accuracy), abs=1e-6)


@LAWS
@given(hnp.arrays(np.int64, (2, 3, 4, 4), elements=st.integers(0, 5)))
def test_scores_of_a_stack_are_the_stacked_scores(confusions):
    stacked = metrics.scores(confusions)
    assert {key: value.shape for key, value in stacked.items()} == {
        "iou": (2, 3, 4),
        "miou": (2, 3),
        "pixel_accuracy": (2, 3),
    }
    single = metrics.scores(torch.from_numpy(confusions[1, 2]))
    for key, value in single.items():
        assert torch.equal(stacked[key][1, 2].nan_to_num(-1), value.nan_to_num(-1))


def test_absent_classes_are_nan_and_left_out_of_the_mean():
    own = metrics.scores([[6, 2, 0], [0, 4, 0], [0, 0, 0]])
    assert own["iou"][:2].tolist() == [6 / 8, 4 / 6] and own["iou"][2].isnan()
    assert float(own["miou"]) == pytest.approx((6 / 8 + 4 / 6) / 2)


def test_a_wholly_ignored_target_counts_nothing():
    target = np.full((3, 4), 255, np.uint8)
    counted = matrix(np.zeros((3, 4), np.uint8), target, 3)
    assert not counted.any()
    assert all(value.isnan().all() for value in metrics.scores(counted).values())
    assert np.isnan(metrics.boundary_f(np.zeros((3, 4), np.uint8), target, 3)).all()


@pytest.mark.parametrize(
    ("prediction", "target"), [([[3, 0]], [[0, 0]]), ([[0, 0]], [[7, 0]]), ([[0]], [[0, 0]])]
)
def test_confusion_matrix_refuses_what_it_would_miscount(prediction, target):
    with pytest.raises(ValueError, match=r"outside the 3 classes|differ in shape"):
        matrix(np.array(prediction, np.uint8), np.array(target, np.uint8), 3)


def nearest(points, others):
    """Squared distance from each of `points` [N, 2] to the nearest of `others` [M, 2]."""
    return (
        ((points[:, None] - others[None]) ** 2).sum(-1).min(1)
        if len(others)
        else np.full(len(points), np.inf)
    )


def brute_boundary_f(prediction, target, count, tolerance):
    """Boundary F by pairwise distances and loops, straight from the definition."""
    if (target == 255).all():
        return np.full(count, np.nan)
    ignored = np.argwhere(target == 255)
    per_class = np.stack([nearest(ignored, np.argwhere(target == label)) for label in range(count)])
    target = target.copy()
    target[tuple(ignored.T)] = per_class.argmin(0)
    radius = max(1, math.ceil(tolerance * math.hypot(*target.shape)))

    def edge(mask):
        height, width = mask.shape
        steps = ((0, 1), (1, 0), (0, -1), (-1, 0))
        return np.array(
            [
                (y, x)
                for y, x in np.argwhere(mask)
                if any(
                    0 <= y + i < height and 0 <= x + j < width and not mask[y + i, x + j]
                    for i, j in steps
                )
            ]
        ).reshape(-1, 2)

    def f_measure(found, wanted):
        if not found.any() or not wanted.any():
            return np.nan if found.any() == wanted.any() else 0.0
        found, wanted = edge(found), edge(wanted)
        if not len(found) or not len(wanted):
            return float(len(found) == len(wanted))
        precision, recall = (
            np.mean(nearest(*ends) <= radius**2) for ends in ((found, wanted), (wanted, found))
        )
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    return np.array([f_measure(prediction == label, target == label) for label in range(count)])


@LAWS
@given(labelled_pairs(most_classes=4), st.sampled_from([0.0075, 0.1, 0.25]))
def test_boundary_f_equals_brute_force(pair, tolerance):
    prediction, target, count = pair
    expected = brute_boundary_f(prediction, target, count, tolerance)
    np.testing.assert_allclose(metrics.boundary_f(prediction, target, count, tolerance), expected)


def test_wide_tolerances_take_the_distance_transform_and_agree():
    generator = np.random.default_rng(0)
    prediction, target = (generator.random((2, 70, 60)) < 0.002).astype(np.uint8)
    tolerance = (metrics.LARGEST_DISC + 1) / 93
    expected = brute_boundary_f(prediction, target, 2, tolerance)
    assert 0 < expected[1] < 1
    np.testing.assert_allclose(metrics.boundary_f(prediction, target, 2, tolerance), expected)


@LAWS
@given(labelled_pairs())
def test_boundary_f_does_not_depend_on_orientation_or_order(pair):
    prediction, target, count = pair
    first = metrics.boundary_f(prediction, target, count)
    for turn in (np.transpose, np.flipud, np.fliplr):
        np.testing.assert_allclose(metrics.boundary_f(turn(prediction), turn(target), count), first)
    if not (target == 255).any():
        np.testing.assert_allclose(metrics.boundary_f(target, prediction, count), first)
        perfect = metrics.boundary_f(target, target, count)
        assert set(perfect[~np.isnan(perfect)]) == {1.0}


def square(corner, shape=(120, 160), side=40):
    mask = np.zeros(shape, np.uint8)
    mask[corner[0] : corner[0] + side, corner[1] : corner[1] + side] = 1
    return mask


def test_boundary_f_forgives_a_shift_up_to_the_tolerance():
    # The diagonal is 200 px: a tolerance of 0.015 is 3 px.
    target = square((30, 30))
    assert metrics.boundary_f(square((33, 30)), target, 2, 0.015).tolist() == [1.0, 1.0]
    assert metrics.boundary_f(square((36, 30)), target, 2, 0.015).max() < 1.0
    assert metrics.boundary_f(square((75, 90)), target, 2, 0.015).tolist() == [0.0, 0.0]


def test_an_ignored_band_puts_the_boundary_on_its_midline():
    target = square((40, 40))
    target[square((35, 35), side=50) == 1] = 255
    target[square((45, 45), side=30) == 1] = 1
    # Only at the corners does the midline leave the square, by less than the tolerance of 2 px.
    assert metrics.boundary_f(square((40, 40)), target, 2, 0.0075).tolist() == [1.0, 1.0]
    assert metrics.boundary_f(square((45, 45), side=30), target, 2, 0.0075).tolist() == [0.0, 0.0]


def test_a_class_that_fills_one_mask_only_scores_zero():
    ones, zeros = np.ones((1, 5), np.uint8), np.zeros((1, 5), np.uint8)
    np.testing.assert_array_equal(metrics.boundary_f(ones, zeros, 3), [0, 0, np.nan])
    np.testing.assert_array_equal(metrics.boundary_f(ones, ones, 3), [np.nan, 1, np.nan])


def test_boundary_f_refuses_unequal_shapes():
    with pytest.raises(ValueError, match="differ in shape"):
        metrics.boundary_f(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 2)


def images(count, generator):
    """Confusion matrices [count, 2, 2] of images with hits of varying difficulty; population mIoU
    is 2 / 3.
    """
    correct = (generator.beta(4, 1, size=(count, 2)) * 1000).astype(int)
    wrong = 1000 - correct
    return np.stack(
        [np.stack([correct[:, 0], wrong[:, 0]], 1), np.stack([wrong[:, 1], correct[:, 1]], 1)], 1
    )


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    ends = [
        statistics.bootstrap_miou(images(60, generator), level=0.9, resamples=200)
        for _ in range(150)
    ]
    covered = np.mean([low <= 2 / 3 <= high for low, high in ends])
    assert 0.8 < covered < 0.97


def test_bootstrap_agrees_with_scipy():
    from scipy.stats import bootstrap

    sample = images(30, np.random.default_rng(2))

    def statistic(index):
        return float(metrics.scores(sample[index].sum(0))["miou"])

    peer = bootstrap(
        (np.arange(30),), statistic, vectorized=False, n_resamples=2000, method="percentile", rng=0
    )
    assert statistics.bootstrap_miou(sample, resamples=4000) == pytest.approx(
        tuple(peer.confidence_interval), abs=0.006
    )


def test_bootstrap_width_shrinks_with_the_root_of_the_images():
    generator = np.random.default_rng(3)

    def width(count):
        return np.mean(
            [
                np.diff(statistics.bootstrap_miou(images(count, generator), resamples=300))
                for _ in range(8)
            ]
        )

    assert width(25) / width(400) == pytest.approx(4, rel=0.25)


def test_bootstrap_is_deterministic_whatever_the_block_size(monkeypatch):
    sample = images(20, np.random.default_rng(4))
    first = statistics.bootstrap_miou(sample, seed=5)
    assert (
        first
        == statistics.bootstrap_miou(torch.from_numpy(sample), seed=5)
        != statistics.bootstrap_miou(sample, seed=6)
    )
    monkeypatch.setattr(statistics, "BOOTSTRAP_CELLS", 130)
    assert statistics.bootstrap_miou(sample, seed=5) == first


def test_bootstrap_of_one_image_is_its_value():
    sample = images(1, np.random.default_rng(0))
    value = float(metrics.scores(sample[0])["miou"])
    assert statistics.bootstrap_miou(sample) == (value, value)
    assert np.isnan(statistics.bootstrap_miou(np.zeros((3, 2, 2)))).all()
    with pytest.raises(ValueError, match="needs an image"):
        statistics.bootstrap_miou(np.zeros((0, 2, 2)))
