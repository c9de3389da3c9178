"""Metrics of judges against scikit-learn, SciPy and numbers worked out by hand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from vlm_itl.judges.metrics import judge_metrics, risk_coverage

RANKED = {"auroc", "auprc", "aurc", "spearman", "brier", "ece", "ece_equal_mass"}


def answers(count=300, seed=0, digits=2):
    generator = np.random.default_rng(seed)
    truth = generator.random(count)
    estimate = np.clip(truth + generator.normal(0, 0.2, count), 0, 1)
    probability = np.round(1 / (1 + np.exp(-8 * (estimate - 0.7))), digits)
    return probability, estimate, probability > 0.6, truth


def test_ranks_and_probabilities_are_those_of_scikit_learn_and_scipy():
    probability, estimate, accepted, truth = answers()
    found, bad = judge_metrics(probability, estimate, accepted, truth, 0.7), truth < 0.7
    assert found["auroc"] == pytest.approx(roc_auc_score(bad, 1 - probability))
    assert found["auprc"] == pytest.approx(average_precision_score(bad, 1 - probability))
    assert found["spearman"] == pytest.approx(spearmanr(estimate, truth).statistic)
    assert found["brier"] == pytest.approx(brier_score_loss(~bad, probability))


def test_numbers_worked_out_by_hand():
    found = judge_metrics(
        probability=[0.95, 0.85, 0.85, 0.2, 0.3],
        iou_estimate=None,
        accepted=[True, True, True, False, False],
        true_iou=[0.9, 0.8, 0.4, 0.1, 0.75],
        bar=0.7,
        seconds=[10, 20, 30, 40, 50],
        usage=[{"calls": 1, "prompt_tokens": 7}, {}, {"calls": 2}],
    )
    assert found["masks"] == 5 and found["good"] == 0.6 and found["coverage"] == 0.6
    assert found["agreement"] == 0.6  # wrong on the third and the fifth
    assert found["purity"] == pytest.approx(2 / 3) and found["realised_risk"] == pytest.approx(
        1 / 3
    )
    assert found["accepted_iou"] == pytest.approx(0.7)
    assert found["seconds_saved"] == 60 and found["usage"] == {"calls": 3, "prompt_tokens": 7}
    # Bins (0.1, 0.2], (0.2, 0.3], (0.8, 0.9], (0.9, 1]: gaps 0.2, 0.7, |0.85 - 0.5|, 0.05 of 1, 1,
    # 2, 1 masks.
    assert found["ece"] == pytest.approx((0.2 + 0.7 + 2 * 0.35 + 0.05) / 5)
    # Two equal scores of which one is bad: half a bad one at each of their ranks.
    assert found["aurc"] == pytest.approx((0 + 0.5 / 2 + 1 / 3 + 1 / 4 + 2 / 5) / 5)
    assert np.allclose(found["risk_coverage"], [[0.2, 0], [0.6, 1 / 3], [0.8, 1 / 4], [1, 2 / 5]])


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 40), digits=st.integers(0, 2))
def test_order_changes_nothing_and_values_are_plain_and_in_range(seed, count, digits):
    probability, estimate, accepted, truth = answers(count, seed, digits)
    order = np.random.default_rng(seed).permutation(count)
    found = judge_metrics(probability, estimate, accepted, truth, 0.7)
    again = judge_metrics(probability[order], estimate[order], accepted[order], truth[order], 0.7)
    json.dumps(found, allow_nan=False)
    for key in (*RANKED, "agreement", "purity", "coverage", "accepted_iou"):
        assert found[key] == (None if again[key] is None else pytest.approx(again[key]))
        assert found[key] is None or -1 - 1e-9 <= found[key] <= 1 + 1e-9
    assert found["risk_coverage"] == pytest.approx(np.array(again["risk_coverage"]))
    assert sum(masks for *_, masks in found["reliability"]) == count


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 7))
def test_the_area_under_the_risk_coverage_curve_averages_over_the_orders_of_ties(seed, count):
    from itertools import permutations

    generator = np.random.default_rng(seed)
    score, good = generator.integers(0, 3, count) / 2, generator.random(count) < 0.5
    areas = []
    for order in permutations(range(count)):
        order = np.array(order)
        if (np.diff(score[order]) <= 0).all():
            areas.append(np.mean(np.cumsum(~good[order]) / np.arange(1, count + 1)))
    curve, area = risk_coverage(score, good)
    assert area == pytest.approx(np.mean(areas))
    for coverage, risk in curve:
        taken = score >= np.sort(score)[::-1][round(coverage * count) - 1]
        assert coverage == pytest.approx(taken.mean()) and risk == pytest.approx(
            (~good[taken]).mean()
        )


def test_masks_without_truth_count_only_for_what_was_saved_and_spent():
    probability, estimate, accepted, truth = answers(50)
    known = judge_metrics(probability, estimate, accepted, truth, 0.7, np.ones(50))
    more = judge_metrics(
        np.append(probability, 0.9),
        np.append(estimate, 0.9),
        np.append(accepted, True),
        np.append(truth, math.nan),
        0.7,
        np.ones(51),
    )
    assert more.pop("seconds_saved") == known.pop("seconds_saved") + 1
    assert more == known


def test_silence_is_left_out_and_a_silent_judge_is_scored_by_its_decisions_alone():
    probability, estimate, accepted, truth = answers(50)
    some = judge_metrics(
        [*probability, None], [*estimate, None], [*accepted, False], [*truth, 0.1], 0.7
    )
    all_said = judge_metrics(probability, estimate, accepted, truth, 0.7)
    assert {key: some[key] for key in RANKED} == {key: all_said[key] for key in RANKED}
    assert some["agreement"] == pytest.approx((50 * all_said["agreement"] + 1) / 51)
    silent = judge_metrics(None, None, accepted, truth, 0.7)
    assert {silent[key] for key in RANKED} == {None} and silent["agreement"] == all_said[
        "agreement"
    ]


def test_each_answer_stands_in_for_the_other_in_rankings_only():
    probability, estimate, accepted, truth = answers()
    by_iou = judge_metrics(None, estimate, accepted, truth, 0.7)
    assert (
        by_iou["auroc"] == pytest.approx(roc_auc_score(truth < 0.7, -estimate))
        and by_iou["ece"] is None
    )
    by_probability = judge_metrics(probability, None, accepted, truth, 0.7)
    assert by_probability["spearman"] == pytest.approx(spearmanr(probability, truth).statistic)


@pytest.mark.parametrize("truth", [[], [0.9, 0.9], [0.1, 0.1]])
def test_what_is_undefined_is_none(truth):
    found = judge_metrics([0.5] * len(truth), None, [False] * len(truth), truth, 0.7)
    assert {
        found[key]
        for key in ("auroc", "auprc", "spearman", "purity", "realised_risk", "accepted_iou")
    } == {None}
    assert (found["ece"] is None) == (not truth) == (found["agreement"] is None)
    json.dumps(found, allow_nan=False)


def test_calibrated_probabilities_have_a_small_error_and_shifted_ones_their_shift():
    generator = np.random.default_rng(0)
    said = generator.uniform(0.1, 0.7, 20000)
    truth = (generator.random(20000) < said).astype(float)
    calibrated, shifted = (
        judge_metrics(p, None, truth > 2, truth, 0.5) for p in (said, said + 0.25)
    )
    for key in ("ece", "ece_equal_mass"):
        assert calibrated[key] < 0.015 and shifted[key] == pytest.approx(0.25, abs=0.015)


def test_unequal_lengths_are_refused():
    for changed in ({"accepted": [True]}, {"probability": [0.1]}, {"seconds": [1]}):
        given = {
            "probability": [0.1, 0.2],
            "iou_estimate": None,
            "accepted": [True, False],
            "true_iou": [0.1, 0.2],
        }
        with pytest.raises(ValueError, match="length"):
            judge_metrics(**given | changed, bar=0.5)
