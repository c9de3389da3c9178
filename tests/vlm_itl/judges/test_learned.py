"""The learned judge: ranks masks by their true IoU, sees no truth, and is the same in any order."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from vlm_itl.judges.base import ERRORS, Case, Example
from vlm_itl.judges.corruptions import CORRUPTIONS, corrupt, fill_ignored
from vlm_itl.judges.learned import LearnedJudge, LearnedOptions
from vlm_itl.judges.mask_features import describe, likely_errors, soft_iou
from vlm_itl.judges.registry import make_judge
from vlm_itl.loop_sections import VlmItl
from weakseg.common import IGNORE, UserError
from weakseg.metrics import image_iou

SIZE = 64
NAMES = ("background", "round", "square")
# A randomly initialised encoder is enough for drawn shapes and needs no file.
OPTIONS = {
    "encoder_weights": "none",
    "encoder_size": 128,
    "corruptions": 160,
    "ridge": 0.002,
    "folds": 3,
}


def draw(index):
    """Return an image with one or two shapes of a colour of their class on noise, and its mask."""
    rng = np.random.default_rng(index)
    image = rng.integers(60, 120, (SIZE, SIZE, 3)).astype(np.uint8)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    ys, xs = np.mgrid[:SIZE, :SIZE]
    for label, colour in rng.permutation([(1, 220), (2, 10)])[: rng.integers(1, 3)]:
        y, x, r = rng.uniform(14, SIZE - 14), rng.uniform(14, SIZE - 14), rng.uniform(7, 16)
        far = (
            (xs - x) ** 2 + (ys - y) ** 2
            if label == 1
            else np.maximum((xs - x) ** 2, (ys - y) ** 2)
        )
        mask[far < r**2], image[far < r**2] = label, (colour, 255 - colour, 40)
    return image, mask


def predicted(index, name=None):
    """Return (Case, truth) of a drawn image with a corrupted mask and a softmax that blurs it."""
    image, truth = draw(index)
    rng = np.random.default_rng((index, 7))
    soft = np.stack([truth == c for c in range(3)]) * 0.9 + 0.1 / 3
    mask = (
        corrupt(truth, soft.astype(np.float32), [draw(index + 1)[1]], rng)
        if index % 4
        else truth.copy()
    )
    own = np.stack([mask == c for c in range(3)]).astype(np.float32) * 0.8 + 0.2 / 3
    return Case(name or f"image{index}", image, mask, NAMES, own), truth


def fitted(indices, unseen=lambda index: index % 2 == 0, **options):
    judge = LearnedJudge(0.7, 0, LearnedOptions(**(OPTIONS | options)))
    judge.fit([Example(*predicted(index), unseen(index)) for index in indices])
    return judge


@pytest.fixture(scope="module")
def judge():
    return fitted(range(24))


def test_the_estimate_ranks_new_masks_by_their_true_iou(judge):
    pairs = [predicted(index) for index in range(100, 160)]
    verdicts = judge.judge([case for case, _ in pairs])
    ious = np.array([image_iou(case.mask, truth) for case, truth in pairs])
    assert spearmanr([v.iou for v in verdicts], ious)[0] > 0.7
    assert spearmanr([v.probability for v in verdicts], ious)[0] > 0.7
    assert (
        np.mean(
            [
                (v.decision == "accept") == (iou >= 0.7)
                for v, iou in zip(verdicts, ious, strict=True)
            ]
        )
        > 0.75
    )
    assert all(
        (v.decision == "accept") == (v.probability >= 0.5) == (v.iou >= 0.7) for v in verdicts
    )


def test_disputed_pixels_are_the_wrong_ones_more_often(judge):
    disputed, other = [], []
    for index in range(100, 160):
        case, truth = predicted(index)
        doubts = judge.doubts(case)
        assert doubts.shape == truth.shape and doubts.dtype == bool
        disputed.append(case.mask[doubts] != truth[doubts])
        other.append(case.mask[~doubts] != truth[~doubts])
    disputed, other = np.concatenate(disputed), np.concatenate(other)
    assert disputed.mean() > 3 * other.mean() and len(disputed) < len(other)


def test_what_is_disputed_changes_with_the_mask_alone(judge):
    case, _ = predicted(100)
    opinion = [
        judge.doubts(replace(case, mask=np.full_like(case.mask, label))) for label in range(3)
    ]
    assert (
        np.sum(opinion, 0) == 2
    ).all()  # each pixel agrees with one class: that of the second opinion


def test_order_and_batch_change_nothing(judge):
    cases = [predicted(index)[0] for index in range(200, 205)]
    together = judge.judge(cases)
    assert judge.judge(cases[::-1])[::-1] == together
    assert [judge.judge([case])[0] for case in cases] == together


def test_fits_alike_in_any_order_and_leaves_the_random_streams_alone(judge):
    torch.manual_seed(3)
    np.random.seed(3)
    again = fitted(range(24)[::-1])
    after = torch.rand(()), np.random.random()
    torch.manual_seed(3)
    np.random.seed(3)
    assert after == (torch.rand(()), np.random.random())
    cases = [predicted(index)[0] for index in range(200, 203)]
    assert again.judge(cases) == judge.judge(cases)


def test_nothing_of_a_truth_is_read_after_fitting():
    examples = [Example(*predicted(index), True) for index in range(6)]
    judge = LearnedJudge(0.7, 0, LearnedOptions(**(OPTIONS | {"corruptions": 12})))
    judge.fit(examples)
    cases = [examples[0].case, predicted(60)[0]]
    before = judge.judge(cases)
    for example in examples:
        example.truth[:] = 2
    assert judge.judge(cases) == before


def test_extreme_masks_are_judged(judge):
    image, truth = draw(300)
    empty, full = np.zeros_like(truth), np.full_like(truth, 2)
    for softmax in (None, np.full((3, SIZE, SIZE), 1 / 3, np.float16)):
        cases = [Case("x", image, mask, NAMES, softmax) for mask in (empty, full, truth)]
        verdicts = judge.judge(cases)
        assert [v.decision for v in verdicts[:2]] == ["reject", "reject"]
        assert verdicts[2].iou > max(v.iou for v in verdicts[:2])
        assert verdicts[0].errors == ("missing_part",)
        assert "extra_part" in verdicts[1].errors
    assert judge.compare([(cases[0], cases[2])])[0].better == 1


@pytest.mark.parametrize("unseen", [True, False])
def test_learns_from_few_images_and_from_ignored_borders(unseen):
    examples = []
    for index in range(10):
        case, truth = predicted(index)
        truth[:4] = IGNORE
        examples.append(Example(case, truth, unseen))
    nothing = Example(predicted(11)[0], np.full((SIZE, SIZE), IGNORE, np.uint8), unseen)
    judge = LearnedJudge(0.7, 0, LearnedOptions(**(OPTIONS | {"corruptions": 20})))
    judge.fit([*examples, nothing])
    assert all(
        0 <= v.iou <= 1 and v.failure is None
        for v in judge.judge([predicted(i)[0] for i in (50, 51)])
    )


def test_without_bought_masks_it_abstains_and_wrong_options_are_named():
    judge = LearnedJudge(0.7, 0, LearnedOptions(**OPTIONS))
    judge.fit([])
    verdict = judge.judge([predicted(0)[0]])[0]
    assert (verdict.decision, verdict.iou) == (
        "abstain",
        None,
    ) and "two bought masks" in verdict.failure
    for name, value in (("encoder_size", 100), ("folds", 1), ("ridge", -0.1)):
        with pytest.raises(UserError, match=f"vlm_options.{name}: .*{value}"):
            make_judge(VlmItl(vlm_handler="learned", vlm_options=OPTIONS | {name: value}), 0)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from(CORRUPTIONS), st.integers(2, 21))
def test_corruptions_keep_shape_and_classes_and_spare_their_input(index, corruption, classes):
    rng = np.random.default_rng(index)
    mask = np.minimum(draw(index)[1], classes - 1) * bool(index % 5)
    before, soft = mask.copy(), rng.dirichlet(np.ones(classes), (SIZE, SIZE)).transpose(2, 0, 1)
    result = corruption(mask, soft, [draw(index + 1)[1] * 0], rng)
    assert (result.shape, result.dtype) == (mask.shape, np.uint8) and result.max() < classes
    assert np.array_equal(mask, before)
    values = describe(draw(index)[0], result, soft.astype(np.float32))
    assert np.isfinite(values).all()


@given(st.integers(0, 10**6))
def test_soft_iou_of_a_certain_opinion_is_the_iou(index):
    first, second = draw(index)[1], draw(index + 1)[1]
    certain = np.stack([second == c for c in range(3)]).astype(np.float32)
    assert soft_iou(first, certain) == pytest.approx(image_iou(first, second), abs=1e-3)


def test_errors_name_what_is_wrong():
    truth = np.zeros((SIZE, SIZE), np.uint8)
    truth[10:40, 10:40] = 1
    certain = np.stack([truth == c for c in range(3)]).astype(np.float32)
    half, more, edge = truth.copy(), truth.copy(), truth.copy()
    half[25:], more[45:60, 10:40], edge[39] = 0, 1, 0
    seen = [likely_errors(mask, certain) for mask in (half, more, edge, truth * 2)]
    assert seen == [("missing_part",), ("extra_part",), ("boundary",), ("wrong_class",)]
    assert {name for names in seen for name in names} == set(ERRORS)


def test_ignored_pixels_take_the_nearest_class():
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:], mask[:, 3] = 1, IGNORE
    mask[:, 5] = IGNORE
    filled = fill_ignored(mask)
    assert (filled[:, 4:] == 1).all() and (filled[:, :3] == 0).all() and filled.max() == 1
    assert not fill_ignored(np.full((8, 8), IGNORE, np.uint8)).any()
