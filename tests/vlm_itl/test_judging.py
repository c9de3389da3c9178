"""From verdicts to routes: failures wait, a bound without an audit accepts nothing, pseudo-labels
survive the disk.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vlm_itl.config import ActiveLearning, Config, Data, VlmItl
from vlm_itl.judges.base import DECISIONS, Case, Verdict
from vlm_itl.judging import (
    CHUNK,
    CHUNK_BYTES,
    Rule,
    candidates,
    check_settings,
    chunk_size,
    chunks,
    make_rule,
    measure,
    pseudo_labels,
    save_pseudo,
)
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


def test_a_promise_needs_an_audit():
    for promise in ({"risk": 0.2, "calibration": "none"}, {"risk": None, "calibration": "platt"}):
        with pytest.raises(UserError, match=r"vlm_itl.audit_share 0: .*vlm_itl.risk: null"):
            check_settings(Config(vlm_itl=VlmItl(audit_share=0.0, **promise)))
        check_settings(Config(vlm_itl=VlmItl(audit_share=0.1, **promise)))
    check_settings(Config(vlm_itl=VlmItl(audit_share=0.0, risk=None, calibration="none")))


def test_a_judge_that_compares_networks_needs_several():
    agreement = VlmItl(vlm_handler="confidence", vlm_options={"measure": "agreement"})
    with pytest.raises(UserError, match=r"active_learning.ensemble_size 1"):
        check_settings(Config(vlm_itl=agreement))
    check_settings(Config(vlm_itl=agreement, active_learning=ActiveLearning(ensemble_size=2)))


# ---- candidates, chunks, pseudo-labels


@LAWS
@given(count=st.integers(0, 100), size=st.integers(1, 40))
def test_chunks_keep_all_cases_in_order(count, size):
    parts = list(chunks(iter(range(count)), size))
    assert [case for part in parts for case in part] == list(range(count))
    assert all(len(part) == size for part in parts[:-1]) and all(
        0 < len(part) <= size for part in parts
    )


@LAWS
@given(classes=st.integers(2, 200), side=st.integers(2, 64))
def test_a_chunk_of_cases_fits_into_memory(classes, side):
    data = SimpleNamespace(data=SimpleNamespace(image_size=32 * side))
    size = chunk_size(
        SimpleNamespace(settings=data, dataset=SimpleNamespace(class_names=["x"] * classes))
    )
    assert 1 <= size <= CHUNK and (
        size == 1 or size * 4 * classes * (32 * side) ** 2 <= CHUNK_BYTES
    )


def choosing(names, most, seed=0):
    """What `candidates` asks of a run."""
    return SimpleNamespace(
        free=lambda: list(names),
        settings=SimpleNamespace(vlm_itl=VlmItl(max_candidates=most)),
        seed=lambda *what: stable_seed(seed, *what),
    )


@LAWS
@given(count=st.integers(0, 40), most=st.none() | st.integers(1, 50), number=st.integers(0, 3))
def test_candidates_are_limited_and_the_same_each_time(count, most, number):
    names = [f"image{i:02}" for i in range(count)]
    found = candidates(choosing(names, most), number)
    assert found == candidates(choosing(names, most), number)
    assert len(found) == (count if most is None else min(count, most))
    assert found == sorted(set(found)) and set(found) <= set(names)
    assert all(type(name) is str for name in found)


def test_candidates_differ_by_round_and_seed():
    names = [f"image{i:02}" for i in range(40)]
    first = candidates(choosing(names, 10), 0)
    assert first != candidates(choosing(names, 10), 1) and first != candidates(
        choosing(names, 10, seed=1), 0
    )


@LAWS
@given(
    foreground=arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=32)),
    threshold=SHARES,
    disputed=arrays(bool, (6, 7)),
)
def test_pseudo_labels_come_back_from_the_disk_as_they_were(
    tmp_path_factory, foreground, threshold, disputed
):
    folder = tmp_path_factory.mktemp("run")
    probabilities = np.stack([1 - foreground, foreground])
    mask = probabilities.argmax(0).astype(np.uint8)
    routes = {"accepted": "accept", "bought": "accept", "rejected": "reject"}
    for name in routes:
        save_pseudo(
            folder / "pseudo" / f"{name}.png",
            Case(name, None, mask, (), probabilities),
            threshold,
            disputed,
        )
    line = {"verdicts": {name: {"route": route} for name, route in routes.items()}}
    run = SimpleNamespace(
        round_folder=lambda number: folder, oracle=SimpleNamespace(labels={"bought": None})
    )
    found = pseudo_labels(run, 0, line)
    assert found.keys() == {"accepted"} and found["accepted"].dtype == np.uint8
    assert np.array_equal(
        found["accepted"], np.where((probabilities.max(0) >= threshold) & ~disputed, mask, 255)
    )


# ---- metrics


def test_failures_are_kept_out_of_the_metrics(pets_dir, tmp_path):
    data = Data(source=str(pets_dir), image_size=64, cache_dir=str(tmp_path))
    dataset = open_images(data)
    names, cache = splits_of(dataset, data)["pool"][:4], ResizedCache(tmp_path, 64)
    settings = Config(data=data, vlm_itl=VlmItl(iou_bar=0.7))
    run = SimpleNamespace(
        settings=settings, signals=("full", "boxes"), examiner=Examiner(dataset, cache)
    )
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
    found = measure(run, verdicts, dict(zip(names, (0.9, 0.5, 0.2, 0.95), strict=True)))
    assert (found["masks"], found["failures"], found["coverage"]) == (4, 1, pytest.approx(2 / 3))
    assert (
        found["purity"] == 0.5
        and found["agreement"] == pytest.approx(2 / 3)
        and found["spearman"] == 1
    )
    assert found["accepted_bad"] == pytest.approx(1 / 3)
    prices = [Oracle(dataset, names, cache, 0).buy(name, run.signals).seconds for name in names[:2]]
    assert found["seconds_saved"] == pytest.approx(sum(prices))

    nothing = measure(run, {names[3]: verdicts[names[3]]}, {names[3]: 0.95})
    assert (nothing["masks"], nothing["failures"], nothing["purity"]) == (1, 1, None)
