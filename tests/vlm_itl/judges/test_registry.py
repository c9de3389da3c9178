"""The simulated judge errs at its rates, confidence is its formula, errors are named."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, kstest, norm

from vlm_itl.judges.base import Case
from vlm_itl.judges.baselines import error_types
from vlm_itl.judges.registry import make_judge
from vlm_itl.loop_sections import VlmItl
from vlm_itl.sections import Data
from vlm_itl.training.data import open_images, splits_of
from weakseg.common import UserError
from weakseg.data.cache import ResizedCache
from weakseg.planning.oracle import Examiner

SIZE = 64
IMAGE = np.zeros((SIZE, SIZE, 3), np.uint8)
NAMES = ("background", "pet")


@pytest.fixture(scope="module")
def pets(pets_dir, tmp_path_factory):
    """(Examiner, {id: true mask}) of the tiny Pet data set."""
    data = Data(
        source=str(pets_dir), image_size=SIZE, cache_dir=str(tmp_path_factory.mktemp("cache"))
    )
    dataset = open_images(data)
    examiner = Examiner(dataset, ResizedCache(data.cache_dir, SIZE))
    return examiner, {name: examiner.truth(name) for name in splits_of(dataset, data)["pool"]}


def with_iou(truth, iou, rng):
    """A mask whose IoU with `truth` is about `iou`: random pixels of the object are missing."""
    pixels = np.flatnonzero(truth == 1)
    mask = np.zeros(truth.size, np.uint8)
    mask[rng.choice(pixels, round(iou * len(pixels)), replace=False)] = 1
    return mask.reshape(truth.shape)


def cases_of(truths, ious, seed=0):
    rng, names = np.random.default_rng(seed), list(truths)
    return [
        Case(names[i % len(names)], IMAGE, with_iou(truths[names[i % len(names)]], iou, rng), NAMES)
        for i, iou in enumerate(ious)
    ]


def mock(examiner, bar=0.7, seed=0, **options):
    return make_judge(VlmItl(vlm_handler="mock", vlm_options=options, iou_bar=bar), seed, examiner)


# ---- the simulated judge


@pytest.mark.parametrize(("hit", "false_alarm"), [(0.9, 0.1), (0.6, 0.3), (1.0, 0.5)])
def test_the_mock_accepts_at_its_rates(pets, hit, false_alarm):
    examiner, truths = pets
    for iou, rate, count in ((0.9, hit, 250), (0.4, false_alarm, 251)):
        cases = cases_of(truths, [iou] * count, seed=count)
        assert len({(case.id, case.mask_hash) for case in cases}) == count
        judge = mock(examiner, true_positive_rate=hit, false_positive_rate=false_alarm)
        verdicts = judge.judge(cases)
        accepted = sum(verdict.decision == "accept" for verdict in verdicts)
        low, high = binom.interval(1 - 1e-6, count, rate)
        assert low <= accepted <= high
        for verdict in verdicts:  # Bayes' rule with as many good as bad
            likely = (
                (hit, false_alarm) if verdict.decision == "accept" else (1 - hit, 1 - false_alarm)
            )
            assert verdict.probability == pytest.approx(likely[0] / sum(likely))
            assert verdict.iou is None and not verdict.failure


def test_a_mock_that_never_errs_is_the_truth(pets):
    examiner, truths = pets
    cases = cases_of(truths, np.linspace(0.4, 1, 80))
    for case, verdict in zip(
        cases, mock(examiner, true_positive_rate=1, false_positive_rate=0).judge(cases), strict=True
    ):
        good = examiner.iou(case.id, case.mask) >= 0.7
        assert verdict.decision == ("accept" if good else "reject")
        assert verdict.probability == good
        assert bool(verdict.errors) == (not good)


@pytest.mark.parametrize("options", [{}, {"iou_noise": 0.1}])
def test_the_mock_is_keyed_by_seed_image_and_mask_alone(pets, options):
    examiner, truths = pets
    cases = cases_of(truths, [0.75, 0.5] * 30)
    expected = mock(examiner, **options).judge(cases)
    judge = mock(examiner, **options)
    assert [judge.judge([case])[0] for case in reversed(cases)] == expected[::-1]
    assert mock(examiner, seed=1, **options).judge(cases) != expected
    name, mask = cases[0].id, cases[0].mask
    alike = [judge.judge([Case(name, IMAGE, mask, NAMES)])[0] for _ in range(5)]
    assert alike == [expected[0]] * 5
    fresh = judge.judge(cases_of({name: truths[name]}, [0.75] * 60))
    assert len({(verdict.decision, verdict.probability) for verdict in fresh}) > 1


ELSEWHERE = """
import json, sys
import numpy as np
from types import SimpleNamespace
from vlm_itl.loop_sections import VlmItl
from vlm_itl.judges.base import Case
from vlm_itl.judges.registry import make_judge
content = np.load(sys.argv[1])
truth = SimpleNamespace(truth=lambda name: content["truth"])
judge = make_judge(VlmItl(vlm_handler="mock", vlm_options={"iou_noise": 0.1}), 0, truth)
cases = [Case(sys.argv[2], None, mask, ("background", "pet")) for mask in content["masks"]]
print(json.dumps([verdict.as_dict() for verdict in judge.judge(cases)]))
"""


def test_the_mock_answers_alike_in_another_process(pets, tmp_path):
    examiner, truths = pets
    name = next(iter(truths))
    cases = cases_of({name: truths[name]}, [0.6, 0.7, 0.8] * 3)
    np.savez(
        tmp_path / "masks.npz", truth=truths[name], masks=np.stack([case.mask for case in cases])
    )
    command = [sys.executable, "-c", ELSEWHERE, tmp_path / "masks.npz", name]
    answers = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert answers == [verdict.as_dict() for verdict in mock(examiner, iou_noise=0.1).judge(cases)]


def test_a_noisy_estimate_has_normal_errors_and_a_calibrated_probability(pets):
    """With IoUs spread evenly, a mask judged good with probability p is good with probability p."""
    examiner, truths = pets
    bar, sigma, count = 0.5, 0.1, 1200
    cases = cases_of(truths, np.random.default_rng(1).uniform(0.05, 0.95, count))
    true = np.array([examiner.iou(case.id, case.mask) for case in cases])
    verdicts = mock(examiner, bar=bar, iou_noise=sigma).judge(cases)
    said = np.array([verdict.probability for verdict in verdicts])
    estimate = np.array([verdict.iou for verdict in verdicts])
    inside = (estimate > 0) & (estimate < 1)
    assert np.allclose(said[inside], norm.cdf((estimate[inside] - bar) / sigma))
    near = np.abs(true - bar) < 0.25  # further away the probability is rounded to 0 or 1
    assert kstest((bar + sigma * norm.ppf(said[near]) - true[near]) / sigma, "norm").pvalue > 1e-3
    assert [verdict.decision == "accept" for verdict in verdicts] == (said >= 0.5).tolist()
    for low, high in ((0.02, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 0.98)):
        part = (said >= low) & (said < high)
        error = np.sqrt((said[part] * (1 - said[part])).sum()) / part.sum()
        assert part.sum() > 30 and abs((true >= bar)[part].mean() - said[part].mean()) < 4 * error


def test_the_mock_abstains_where_nothing_is_known(pets):
    examiner = Examiner.__new__(Examiner)
    examiner.truth = lambda name: np.full((SIZE, SIZE), 255, np.uint8)
    verdict = mock(examiner).judge([Case("a", IMAGE, IMAGE[..., 0], NAMES)])[0]
    assert (verdict.decision, verdict.probability, verdict.failure) == ("abstain", None, None)


# ---- what is wrong with a mask

TRUTH = np.zeros((100, 100), np.uint8)
TRUTH[20:60, 20:60] = 1


def changed(rows, columns, value, base=TRUTH):
    mask = base.copy()
    mask[rows, columns] = value
    return mask


def dilated(pixels):
    return changed(slice(20 - pixels, 60 + pixels), slice(20 - pixels, 60 + pixels), 1)


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (TRUTH, ()),
        (changed(slice(40, 60), slice(20, 60), 0), ("missing_part",)),
        (np.zeros_like(TRUTH), ("missing_part", "boundary")),
        (changed(slice(75, 95), slice(75, 95), 1), ("extra_part",)),
        (dilated(1), ("boundary",)),
        (TRUTH * 2, ("wrong_class",)),
        (changed(slice(20, 40), slice(20, 60), 2), ("wrong_class",)),
        (changed(slice(75, 80), slice(75, 80), 1), ()),  # less than a tenth
        (dilated(8), ("extra_part", "boundary")),
    ],
)
def test_errors_have_their_names(prediction, expected):
    assert error_types(prediction, TRUTH) == expected


def test_a_line_of_pixels_around_a_large_object_is_no_error_and_ignored_pixels_count_for_nothing():
    truth = np.zeros((200, 200), np.uint8)
    truth[20:180, 20:180] = 1
    wider = np.zeros_like(truth)
    wider[19:181, 19:181] = 1
    assert error_types(wider, truth) == ()
    unknown = changed(slice(60, 100), slice(None), 255)
    assert error_types(changed(slice(60, 100), slice(None), 1), unknown) == ()
    assert error_types(np.zeros_like(TRUTH), np.zeros_like(TRUTH)) == ()
    assert error_types(TRUTH, np.zeros_like(TRUTH)) == ("extra_part",)


# ---- confidence


def confident(measure="soft_dice", bar=0.7):
    return make_judge(
        VlmItl(vlm_handler="confidence", vlm_options={"measure": measure}, iou_bar=bar), 0
    )


def soft_case(probabilities, members=None):
    return Case("a", IMAGE, probabilities.argmax(0).astype(np.uint8), NAMES, probabilities, members)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), classes=st.integers(2, 4), sharpness=st.floats(0, 8))
def test_soft_dice_by_hand(seed, classes, sharpness):
    logits = np.random.default_rng(seed).normal(size=(classes, 20, 30)) * sharpness
    exact = np.exp(logits) / np.exp(logits).sum(0)
    case = soft_case(exact.astype(np.float32))
    expected = []
    for c in range(1, classes):
        on = case.mask == c
        if on.any():  # soft intersection over soft union of p and the mask
            dice = 2 * exact[c][on].sum() / (exact[c].sum() + on.sum())
            expected.append(dice / (2 - dice))
    verdict = confident().judge([case])[0]
    assert (
        verdict.probability
        == verdict.iou
        == pytest.approx(np.mean(expected) if expected else exact[0].mean(), 1e-5)
    )
    assert verdict.decision == ("accept" if verdict.iou >= 0.7 else "reject")


def test_a_network_without_doubt_is_sure():
    truth = np.random.default_rng(0).integers(0, 3, (1, 40, 40))
    sure = soft_case((truth == np.arange(3)[:, None, None]).astype(np.float32))
    nothing = soft_case(np.stack([np.ones((9, 9), np.float32), np.zeros((9, 9), np.float32)]))
    for measure in ("soft_dice", "max_softmax"):
        assert [v.iou for v in confident(measure).judge([sure, nothing])] == [1, 1]
    half = soft_case(np.full((2, 9, 9), 0.5, np.float32))
    assert [
        confident(measure).judge([half])[0].iou for measure in ("soft_dice", "max_softmax")
    ] == [0.5, 0.5]


def test_agreement_is_the_mean_iou_with_the_other_members():
    probabilities = np.stack([TRUTH == 0, TRUTH == 1]).astype(np.float32)
    half = changed(slice(40, 60), slice(20, 60), 0)
    members = np.stack([TRUTH, half, np.zeros_like(TRUTH)])
    assert confident("agreement").judge([soft_case(probabilities, members)])[
        0
    ].iou == pytest.approx((1 + 0.5 + 0) / 3)
    for alone in (None, members[:0]):
        with pytest.raises(UserError, match=r"active_learning\.ensemble_size 1"):
            confident("agreement").judge([soft_case(probabilities, alone)])


def test_accept_all_accepts_all():
    judge = make_judge(VlmItl(vlm_handler="accept_all"), 0)
    verdicts = judge.judge([Case("a", IMAGE, IMAGE[..., 0], NAMES)] * 3)
    assert [(verdict.decision, verdict.probability) for verdict in verdicts] == [
        ("accept", 1.0)
    ] * 3


# ---- by name


@pytest.mark.parametrize(
    ("handler", "options", "message"),
    [
        ("confidance", {}, "vlm_itl.vlm_handler 'confidance': did you mean confidence"),
        ("gpt", {}, "vlm_itl.vlm_handler 'gpt': .*mock"),
        (
            "confidence",
            {"measur": "soft_dice"},
            "vlm_options.measur: did you mean vlm_itl.vlm_options.measure",
        ),
        (
            "confidence",
            {"measure": "softdice"},
            "vlm_options.measure 'softdice': did you mean soft_dice",
        ),
        ("mock", {"true_positive": 1}, "did you mean vlm_itl.vlm_options.true_positive_rate"),
        ("mock", {"true_positive_rate": 1.1}, "vlm_options.true_positive_rate: must be at most 1"),
        ("mock", {"false_positive_rate": -0.1}, "vlm_options.false_positive_rate: must not be neg"),
        ("mock", {"iou_noise": 0}, "vlm_options.iou_noise: must be more than 0"),
        ("mock", {"iou_noise": "much"}, "vlm_options.iou_noise: must be a number"),
        ("accept_all", {"rate": 1}, "unknown key vlm_itl.vlm_options.rate"),
    ],
)
def test_unknown_judges_and_options_are_refused(handler, options, message):
    with pytest.raises(UserError, match=message) as caught:
        make_judge(VlmItl(vlm_handler=handler, vlm_options=options), 0)
    assert "\n" not in str(caught.value)


def test_only_a_judge_that_simulates_gets_the_truth(pets):
    examiner, _ = pets
    assert make_judge(VlmItl(vlm_handler="mock"), 0, examiner).true_masks is examiner
    for name in ("confidence", "accept_all"):
        assert not hasattr(make_judge(VlmItl(vlm_handler=name), 0, examiner), "true_masks")
