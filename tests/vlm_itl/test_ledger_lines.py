"""A ledger is taken as a whole: each line in its place, with all that it holds."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm_itl.ledger_lines import check_lines
from weakseg.common import UserError

BOUGHT = {"cat": {"annotations": {"size": [1, 1]}, "signals": ["full"], "seconds": 79.0}}
START = {"settings": "a", "images": "b", "targets": [[10.0, "percent"]], "seed": 0}
LEDGER = [
    {"round": -1, "stage": "start", **START, "commit": None, "config": {}},
    {"round": 0, "stage": "buy", "seed": 1, "bought": BOUGHT},
    {"round": 0, "stage": "train", "seed": 1, "weights": ["d"], "pseudo_labels": 0},
    {"round": 0, "stage": "evaluate", "val_miou": 0.5, "test_miou": 0.5, "test": "d"},
    {"round": 0, "stage": "audit", "seed": 1, "bought": {}},
    {
        "round": 0,
        "stage": "judge",
        "verdicts": {"dog": {"route": "accept", "failure": None, "calibrated": 0.5}},
        "metrics": {"threshold": 0.5},
    },
    {"round": 1, "stage": "buy", "seed": 1, "bought": {}},
    {"round": 1, "stage": "train", "seed": 1, "weights": ["d"], "pseudo_labels": 3},
    {"round": 1, "stage": "evaluate", "val_miou": 0.5, "test_miou": 0.5, "test": "d"},
]


@pytest.mark.parametrize("count", range(len(LEDGER) + 1))
def test_a_run_may_have_stopped_after_any_stage(count, tmp_path):
    check_lines(tmp_path, LEDGER[:count])
    without_judge = LEDGER[:4] + LEDGER[6:]
    check_lines(tmp_path, without_judge[:count])


@pytest.mark.parametrize("missing", range(len(LEDGER) - 1))
def test_a_missing_line_is_refused(missing, tmp_path):
    with pytest.raises(UserError, match=f"line {missing + 1} is .* a line is missing") as caught:
        check_lines(tmp_path, LEDGER[:missing] + LEDGER[missing + 1 :])
    assert "\n" not in str(caught.value)


def test_a_line_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="line 3 is buy of round 0, where train of round 0"):
        check_lines(tmp_path, LEDGER[:2] + LEDGER[1:])


NEEDED = [
    (number, key)
    for number, line in enumerate(LEDGER)
    for key in line
    if key not in ("round", "stage", "seed") or (number == 0 and key == "seed")
]


@pytest.mark.parametrize(("number", "key"), NEEDED)
def test_a_missing_key_is_refused(number, key, tmp_path):
    lines = copy.deepcopy(LEDGER)
    del lines[number][key]
    with pytest.raises(UserError, match=f"line {number + 1}: has no '{key}'; restore"):
        check_lines(tmp_path, lines)


@given(st.sampled_from(NEEDED), st.sampled_from([5, -1.5, "text", [], {}, [1], {"a": 1}, True]))
def test_a_value_of_another_kind_is_refused_or_taken_but_never_a_traceback(place, value):
    number, key = place
    lines = copy.deepcopy(LEDGER)
    lines[number][key] = value
    try:
        check_lines("ledger.jsonl", lines)
    except UserError as error:
        assert f"line {number + 1}: " in str(error) and "\n" not in str(error)
