"""Verdicts refuse nonsense and survive JSON; two masks are compared fairly; IoU is one IoU."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vlm_itl.judges.base import DECISIONS, ERRORS, Case, Judge, Preference, Verdict
from weakseg.metrics import confusion_matrix, image_iou, scores

LAWS = settings(max_examples=60)
SHARES = st.none() | st.floats(0, 1)
OUTSIDE = [-0.01, 1.01, math.nan, math.inf]
IMAGE = np.zeros((4, 4, 3), np.uint8)


@LAWS
@given(
    decision=st.sampled_from(DECISIONS),
    probability=SHARES,
    iou=SHARES,
    failure=st.none() | st.text(min_size=1),
    errors=st.lists(st.sampled_from(ERRORS)),
    usage=st.dictionaries(st.text(), st.integers()),
)
def test_a_verdict_survives_json(decision, probability, iou, failure, errors, usage):
    decision = "abstain" if failure else decision
    verdict = Verdict(decision, probability, iou, errors, usage, failure)
    assert Verdict(**json.loads(json.dumps(verdict.as_dict(), allow_nan=False))) == verdict


@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_a_failure_is_an_abstention(decision):
    with pytest.raises(ValueError, match="abstention"):
        Verdict(decision, failure="timeout")
    assert Verdict("abstain", failure="timeout").failure == "timeout"


@pytest.mark.parametrize("value", OUTSIDE)
def test_values_outside_0_to_1_are_refused(value):
    for make in (
        lambda: Verdict("accept", probability=value),
        lambda: Verdict("accept", iou=value),
        lambda: Preference(0, value),
    ):
        with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
            make()


def test_unknown_words_are_refused():
    with pytest.raises(ValueError, match="decision 'maybe'"):
        Verdict("maybe")
    with pytest.raises(ValueError, match=r"unknown error types .*'hole'"):
        Verdict("reject", errors=("boundary", "hole"))
    with pytest.raises(ValueError, match="better 2"):
        Preference(2)
    with pytest.raises(ValueError, match="prefers nothing"):
        Preference(1, failure="timeout")


class ByTable(Judge):
    """Answers from a table {id: Verdict}."""

    def judge(self, cases):
        return [self.options[case.id] for case in cases]


def compare(*verdicts):
    """Return the Preference between masks with these verdicts, and that the other way round."""
    judge = ByTable(0.7, 0, dict(zip("ab", verdicts, strict=True)))
    one, two = (Case(name, IMAGE, IMAGE[..., 0], ("background", "pet")) for name in "ab")
    return judge.compare([(one, two), (two, one)])


@LAWS
@given(
    ious=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    calls=st.tuples(st.integers(0, 5), st.integers(0, 5)),
)
def test_comparing_by_iou_is_antisymmetric(ious, calls):
    verdicts = [
        Verdict("accept", 0.5, iou, usage={"calls": n}) for iou, n in zip(ious, calls, strict=True)
    ]
    forth, back = compare(*verdicts)
    assert forth.failure is back.failure is None
    assert forth.probability + back.probability == pytest.approx(1)
    assert forth.usage == back.usage == {"calls": sum(calls)}
    if ious[0] == ious[1]:
        assert forth.better is back.better is None and forth.probability == 0.5
    else:
        assert forth.better == 1 - back.better == int(np.argmax(ious))


def test_comparing_without_ious_goes_by_probability_and_passes_failures_on():
    assert compare(Verdict("accept", 0.9), Verdict("accept", 0.6))[0].better == 0
    failed = Verdict("abstain", failure="429", usage={"calls": 3})
    for other in (Verdict("accept", 0.9, 0.9, usage={"calls": 1}), failed):
        for preference in compare(failed, other):
            assert preference.better is None and preference.failure == "429"
            assert preference.usage["calls"] == 3 + other.usage["calls"]
    late = Verdict("abstain", 0.9, 0.9, failure="truncated")
    assert compare(late, Verdict("accept", 0.2, 0.2))[0].failure == "truncated"
    assert compare(Verdict("accept"), Verdict("accept", 0.5))[0] == Preference(
        None, failure="no estimate"
    )


MASKS = arrays(np.uint8, (5, 6), elements=st.integers(0, 3))
TRUTHS = arrays(np.uint8, (5, 6), elements=st.sampled_from([0, 1, 2, 3, 255]))


@LAWS
@given(prediction=MASKS, truth=TRUTHS)
def test_image_iou_is_the_metrics_mean_over_foreground_classes(prediction, truth):
    iou = scores(confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(truth), 4))["iou"][
        1:
    ]
    seen = truth != 255
    if not seen.any():
        assert math.isnan(image_iou(prediction, truth))
    elif iou.isnan().all():
        assert image_iou(prediction, truth) == 1
    else:
        assert image_iou(prediction, truth) == pytest.approx(float(iou.nanmean()))


def test_hashes_know_pixels_whatever_their_layout():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    mask = image[..., 0]  # a strided view
    case = Case("a", image, mask, ("background", "pet"))
    same = Case("b", image.copy(order="F"), mask.copy(), ("background", "pet"))
    other = Case("a", image + 1, mask + 1, ("background", "pet"))
    assert (case.mask_hash, case.image_hash) == (same.mask_hash, same.image_hash)
    assert case.mask_hash != other.mask_hash and case.image_hash != other.image_hash
