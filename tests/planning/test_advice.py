"""Advice on simulated studies: the better mode where the runs show one, else no evidence."""

import json

import numpy as np
import pytest
from conftest import run
from planning.simulated import BUDGETS, power, simulate, study_of

import study as study_command
from weakseg.common import UserError
from weakseg.planning.advice import SURE, Advice, advice_sentence, plan, time_words
from weakseg.planning.learning_curves import choose_mode


def test_the_better_mode_is_found_where_the_runs_say_so():
    laws = {"points": (70, 10, 0.5), "boxes": (80, 10, 0.5), "full": (74, 16, 0.5)}
    for advice in plan(study_of(simulate(laws, seed=1)), BUDGETS):
        assert advice.choice.mode == "boxes" and advice.choice.probability > SURE
        at = {mode: float(power(*law)(advice.hours)) for mode, law in laws.items()}
        low, high = advice.choice.lead.interval
        assert low < at["boxes"] - at[advice.choice.lead.second] < high
        assert "no evidence" not in advice_sentence(advice)


def test_equal_modes_are_no_evidence_at_the_nominal_rate():
    alarms = 0
    for seed in range(40):
        rows = simulate({"points": (75, 10, 0.5), "boxes": (75, 10, 0.5)}, seed=100 + seed)
        advice = plan(study_of(rows), [2])[0]
        sure = advice.choice.probability >= SURE
        alarms += sure
        assert ("no evidence" in advice_sentence(advice)) != sure
    assert alarms <= 6  # 5 % of 40 are 2; more than 6 has a chance of 0.3 %


def test_curves_that_cross_change_the_advice_with_the_hours():
    rows = simulate({"points": (66, 4, 0.8), "full": (84, 26, 0.7)}, noise=0.8)
    early, late = plan(study_of(rows), [0.5, 4])
    assert (early.choice.mode, late.choice.mode) == ("points", "full")


def test_a_mode_that_the_hours_can_not_pay_is_no_advice():
    rows = simulate({"points": (60, 10, 0.5), "full": (90, 10, 0.5)})
    study = study_of(rows, image_hours={"points": 0.01, "full": 1.0})
    assert [advice.choice.mode for advice in plan(study, [0.5, 1])] == ["points", "full"]
    assert plan(study, [0.001]) == []


def test_a_sure_choice_needs_no_further_run():
    rows = simulate({"points": (90, 5, 0.5), "tags": (40, 10, 0.5)}, noise=0.3)
    (advice,) = plan(study_of(rows), [4])
    assert "no single further run" in advice_sentence(advice)


def test_one_mode_alone_is_advised_without_a_rival():
    choice = choose_mode({"points": np.array([60.0, 61, 62])})
    assert "no other mode" in advice_sentence(Advice(1, choice, None))


def test_hours_are_said_in_a_unit_that_fits():
    assert [time_words(h) for h in (2, 1, 0.75, 1 / 60, 0.005)] == [
        "2 h",
        "1 h",
        "45 min",
        "1 min",
        "18 s",
    ]


def test_the_script_answers_and_refuses(tmp_path, capsys):
    path = tmp_path / "study.json"
    path.write_text(
        json.dumps(study_of(simulate({"points": (75, 10, 0.5), "boxes": (60, 10, 0.5)})))
    )
    run(study_command, "--plan", path, "--hours", 0.75, 3)
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].startswith("45 min: points")
        and lines[1].startswith("3 h: points")
        and "forecast" in lines[2]
    )
    for hours in ("-1", "nan", "0.001"):
        with pytest.raises(UserError, match="--hours"):
            run(study_command, "--plan", path, "--hours", hours)
    path.write_text("{}")
    with pytest.raises(UserError, match=r"study\.json.*study\.py"):
        run(study_command, "--plan", path)
