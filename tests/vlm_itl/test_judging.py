"""From verdicts to routes: failures wait, no audit accepts nothing, no truth is in reach."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tqdm import tqdm

from vlm_itl import judging
from vlm_itl.judges.base import DECISIONS, Case, Judge, Preference, Verdict
from vlm_itl.judging import (
    MOST_BYTES,
    MOST_MASKS,
    Prediction,
    Rule,
    accepted,
    draw_candidates,
    judge_masks,
    make_rule,
    masks_at_once,
    measure,
    parts,
    route_masks,
)
from vlm_itl.loop_sections import VlmItl
from vlm_itl.sections import Data
from vlm_itl.training.data import open_images, splits_of
from weakseg.common import UserError, stable_seed
from weakseg.data.cache import ResizedCache
from weakseg.planning.oracle import Examiner, Oracle

LAWS = settings(max_examples=30)
SHARES = st.floats(0, 1)
ANSWERS = st.builds(Verdict, st.sampled_from(DECISIONS), st.none() | SHARES)


@st.composite
def rules(draw, own_decision=None):
    own = draw(st.booleans()) if own_decision is None else own_decision
    power = draw(st.sampled_from([0.5, 1, 2]))
    return Rule(draw(st.none() | SHARES), lambda scores: scores**power, draw(SHARES), own)


def test_the_judges_code_cannot_reach_what_knows_the_truth():
    """It imports neither the run nor the oracle, and so on through every module of its own."""
    folder = Path(judging.__file__).parent
    closed = {"run", "loop", "stages", "networks", "start", "oracle", "ledger"}
    for path in (folder / "judging.py", *(folder / "judges").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith(("vlm_itl", "weakseg")):
                names = {*node.module.split("."), *(alias.name for alias in node.names)}
                assert not names & closed, (path, names & closed)


# ---- the rule


@LAWS
@given(rule=rules(), probability=st.none() | SHARES)
def test_a_failure_always_waits(rule, probability):
    assert rule.route(Verdict("abstain", probability, failure="503")) == ("abstain", None)


@LAWS
@given(rule=rules(own_decision=False), verdict=ANSWERS)
def test_a_bound_accepts_from_the_threshold_and_rejects_what_is_improbable(rule, verdict):
    route, probability = rule.route(verdict)
    if verdict.probability is None:
        assert (route, probability) == ("abstain", None)
        return
    assert probability == pytest.approx(float(rule.calibrate(np.array([verdict.probability]))[0]))
    accepted = rule.threshold is not None and verdict.probability >= rule.threshold
    assert (route == "accept") == accepted
    assert (route == "reject") == (not accepted and probability < rule.reject_below)


@LAWS
@given(rule=rules(own_decision=True), verdict=ANSWERS)
def test_without_a_bound_the_judge_decides(rule, verdict):
    route, probability = rule.route(verdict)
    assert route == verdict.decision and (probability is None) == (verdict.probability is None)


@pytest.mark.parametrize("control", ["ltt", "crc"])
@pytest.mark.parametrize("calibration", ["platt", "isotonic", "shrunken", "none"])
def test_an_empty_audit_accepts_nothing(control, calibration):
    rule = make_rule(
        VlmItl(control=control, calibration=calibration), np.array([]), np.array([], bool)
    )
    assert rule.threshold is None and not rule.own_decision
    assert {rule.route(Verdict("accept", p))[0] for p in (0.0, 0.4, 0.6, 1.0)} <= {
        "reject",
        "abstain",
    }


def test_a_good_audit_opens_the_gate_and_no_bound_leaves_it_to_the_judge():
    said = np.linspace(0, 1, 200)
    rule = make_rule(VlmItl(risk=0.2, calibration="platt"), said, said > 0.5)
    assert 0.3 < rule.threshold < 0.7
    assert (
        rule.route(Verdict("reject", 0.95))[0] == "accept"
        and rule.route(Verdict("accept", 0.05))[0] == "reject"
    )
    free = make_rule(VlmItl(risk=None, calibration="none"), said, said > 0.5)
    assert free.route(Verdict("reject", 0.95)) == ("reject", 0.95) and free.route(
        Verdict("accept")
    ) == ("accept", None)


# ---- verdicts


def case(name, mask=0):
    """A case whose mask says which one it is."""
    return Case(name, np.zeros((2, 2, 3), np.uint8), np.full((2, 2), mask, np.uint8), ("a", "b"))


class LargerIsBetter(Judge):
    """Accepts masks by their number, and prefers the larger one; answers nothing on `broken`."""

    def __init__(self, broken=()):
        super().__init__(0.7, 0, Judge.Options())
        self.broken = broken

    def judge(self, cases):
        verdicts = [Verdict("accept", c.mask[0, 0] / 255, usage={"calls": 1}) for c in cases]
        failed = Verdict("abstain", failure="no answer", usage={"calls": 1})
        return [failed if c.id in self.broken else v for c, v in zip(cases, verdicts, strict=True)]

    def compare(self, pairs):
        values = [(int(first.mask[0, 0]), int(second.mask[0, 0])) for first, second in pairs]
        return [Preference(None if a == b else int(b > a), usage={"calls": 2}) for a, b in values]


def judged(judge, predictions, at_once=3):
    bar = tqdm(total=len(predictions), disable=True)
    return list(judge_masks(judge, iter(predictions), at_once, "larger", bar))


@LAWS
@given(masks=st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9)), max_size=9))
def test_the_judge_sees_the_mask_it_prefers_and_of_equal_ones_the_newer(masks):
    predictions = [
        Prediction(case(f"image{i}", new), None if old is None else case(f"image{i}", old))
        for i, (new, old) in enumerate(masks)
    ]
    answers = judged(LargerIsBetter(), predictions)
    assert [a.case.id for a in answers] == [p.case.id for p in predictions]
    for answer, (new, old) in zip(answers, masks, strict=True):
        assert answer.is_older == (old is not None and old > new)
        assert answer.case.mask[0, 0] == (old if answer.is_older else new)
        assert answer.verdict.probability == answer.case.mask[0, 0] / 255
        assert answer.usage == {"calls": 1 if old is None else 3}


def test_a_judge_that_answers_nothing_at_first_stops_the_run():
    predictions = [Prediction(case(f"image{i}")) for i in range(9)]
    broken = {f"image{i}" for i in range(3)}
    with pytest.raises(
        UserError, match=r"vlm_handler larger: none of the first 3 masks .*no answer"
    ):
        judged(LargerIsBetter(broken), predictions)
    assert len(judged(LargerIsBetter(broken - {"image1"}), predictions)) == 9
    late = {f"image{i}" for i in range(3, 9)}
    failures = [answer.verdict.failure for answer in judged(LargerIsBetter(late), predictions)]
    assert failures == [None] * 3 + ["no answer"] * 6


def test_routes_stand_beside_the_verdicts():
    verdicts = {
        "good": Verdict("reject", 0.9),
        "bad": Verdict("accept", 0.1),
        "lost": Verdict("abstain", failure="503"),
        "later": Verdict("accept", 0.95),
    }
    routed = route_masks(Rule(0.8, np.asarray, 0.5, False), verdicts)
    assert {name: v["route"] for name, v in routed.items()} == {
        "good": "accept",
        "bad": "reject",
        "lost": "abstain",
        "later": "accept",
    }
    assert [v["calibrated"] for v in routed.values()] == [0.9, 0.1, None, 0.95]
    assert routed["bad"]["decision"] == "accept" and routed["lost"]["failure"] == "503"
    assert accepted(routed) == ["good", "later"]
    assert accepted(routed, bought={"later": None}) == ["good"]


# ---- candidates and parts


@LAWS
@given(count=st.integers(0, 100), size=st.integers(1, 40))
def test_parts_keep_all_cases_in_order(count, size):
    found = list(parts(iter(range(count)), size))
    assert [item for part in found for item in part] == list(range(count))
    assert all(len(part) == size for part in found[:-1]) and all(
        0 < len(part) <= size for part in found
    )


@LAWS
@given(classes=st.integers(2, 200), side=st.integers(2, 64))
def test_the_masks_judged_at_once_fit_into_memory(classes, side):
    size = masks_at_once(classes, 32 * side)
    assert 1 <= size <= MOST_MASKS and (
        size == 1 or size * 4 * classes * (32 * side) ** 2 <= MOST_BYTES
    )


@LAWS
@given(count=st.integers(0, 40), most=st.none() | st.integers(1, 50), number=st.integers(0, 3))
def test_candidates_are_limited_and_the_same_each_time(count, most, number):
    names = [f"image{i:02}" for i in range(count)]
    found = draw_candidates(names, most, stable_seed(0, number))
    assert found == draw_candidates(names, most, stable_seed(0, number))
    assert len(found) == (count if most is None else min(count, most))
    assert found == sorted(set(found)) and set(found) <= set(names)
    assert all(type(name) is str for name in found)


def test_candidates_differ_by_seed():
    names = [f"image{i:02}" for i in range(40)]
    drawn = [draw_candidates(names, 10, seed) for seed in range(3)]
    assert drawn[0] != drawn[1] and drawn[0] != drawn[2]


# ---- metrics


def test_failures_are_kept_out_of_the_metrics(pets_dir, tmp_path):
    data = Data(source=str(pets_dir), image_size=64, cache_dir=str(tmp_path))
    dataset = open_images(data)
    names, cache = splits_of(dataset, data)["pool"][:4], ResizedCache(tmp_path, 64)
    signals, examiner = ("full", "boxes"), Examiner(dataset, cache)
    answers = {
        names[0]: ("accept", Verdict("accept", 0.9, 0.8, usage={"calls": 1})),
        names[1]: ("accept", Verdict("accept", 0.8, 0.7, usage={"calls": 1})),
        names[2]: ("reject", Verdict("reject", 0.2, 0.3, usage={"calls": 2})),
        names[3]: ("abstain", Verdict("abstain", usage={"calls": 5}, failure="timeout")),
    }
    verdicts = {
        name: {"route": route, "calibrated": verdict.probability, **verdict.as_dict()}
        for name, (route, verdict) in answers.items()
    }
    seconds = {name: examiner.seconds(name, signals) for name in names[:2]}
    ious = dict(zip(names, (0.9, 0.5, 0.2, 0.95), strict=True))
    found = measure(verdicts, ious, seconds, iou_bar=0.7)
    assert (found["masks"], found["failures"], found["coverage"]) == (4, 1, pytest.approx(2 / 3))
    assert (
        found["purity"] == 0.5
        and found["agreement"] == pytest.approx(2 / 3)
        and found["spearman"] == 1
    )
    assert found["accepted_bad"] == pytest.approx(1 / 3)
    prices = [Oracle(dataset, names, cache, 0).buy(name, signals).seconds for name in names[:2]]
    assert found["seconds_saved"] == pytest.approx(sum(prices))

    nothing = measure({names[3]: verdicts[names[3]]}, {names[3]: 0.95}, {}, iou_bar=0.7)
    assert (nothing["masks"], nothing["failures"], nothing["purity"]) == (1, 1, None)
