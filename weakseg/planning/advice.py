"""What to label with the hours at hand, in words: the best kind of label, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weakseg.common import UserError
from weakseg.planning.learning_curves import (
    Choice,
    ForecastCheck,
    NextRun,
    choose_mode,
    fit_all,
    forecasts,
    hold_out,
    next_run,
)
from weakseg.planning.study_file import read_study

# The probability from which the best mode counts as such: two equal ones reach it once in twenty
# times.
SURE = 0.975
WORTH_TELLING = 0.01  # points of mIoU


@dataclass(frozen=True)
class Advice:
    """What to do with some hours of annotation: which mode, and which run would tell more."""

    hours: float
    choice: Choice
    next_run: NextRun | None


def plan(study: Mapping[str, Any], hours: Sequence[float]) -> list[Advice]:
    """Return what a study, the content of its study.json, advises for each of `hours`.

    A mode is left out where the hours don't label one image of it; hours that label none of any
    mode get no advice.
    """
    curves = fit_all(study["rows"])
    runs = {(row["mode"], row["budget"]): row["hours"] for row in study["rows"]}
    advice = []
    for at in hours:
        affordable = {
            mode: curve for mode, curve in curves.items() if study["image_hours"][mode] <= at
        }
        if affordable:
            candidates = [
                (mode, spent) for (mode, _), spent in sorted(runs.items()) if mode in affordable
            ]
            choice = choose_mode(forecasts(affordable, at, study["all_hours"]))
            following = next_run(affordable, at, study["all_hours"], candidates)
            advice.append(Advice(at, choice, following))
    return advice


def time_words(hours: float) -> str:
    """Return hours as a person says them: '2 h', '45 min', '30 s'."""
    if hours >= 0.999:
        return f"{hours:.3g} h"
    if hours * 60 >= 0.999:
        return f"{hours * 60:.3g} min"
    return f"{hours * 3600:.3g} s"


def advice_sentence(advice: Advice) -> str:
    """Return one piece of advice in words: what, by how much, how sure, and what to run next."""
    choice, following = advice.choice, advice.next_run
    low, high = choice.interval
    text = (
        f"{time_words(advice.hours)}: {choice.mode}, "
        f"expected mIoU {choice.miou:.1f} ({low:.1f} to {high:.1f})"
    )
    if choice.lead is None:
        return f"{text}; there is no other mode"
    lead, (low, high) = choice.lead, choice.lead.interval
    evidence = "" if choice.probability >= SURE else "no evidence yet: "
    ahead = (
        f"{lead.miou:+.1f} ({low:+.1f} to {high:+.1f}) over {lead.second}, "
        f"best with probability {choice.probability:.2f}"
    )
    tell = "no single further run is expected to change that"
    if following and following.worth >= WORTH_TELLING:
        tell = (
            f"a further run of {following.mode} at {time_words(following.hours)} "
            f"would tell most (worth {following.worth:.2f} points)"
        )
    return f"{text}; {evidence}{ahead}; {tell}"


def check_sentence(check: ForecastCheck | None) -> str:
    """Return in words how good the forecasts are."""
    if check is None:
        return "forecast unchecked: no mode has two budgets below a larger one"
    right = "as it was" if check.best == check.forecast_best else f"but it was {check.best}"
    return (
        f"forecast of the {check.runs} runs at the largest budget from the smaller ones: "
        f"mean error {check.error:.1f} points of mIoU (bias {check.bias:+.1f}), "
        f"{100 * check.covered:.0f} % of them in 95 % intervals; "
        f"expected best {check.forecast_best}, {right}"
    )


def advise(path: str | Path, hours: Sequence[float] | None = None) -> list[str]:
    """Return the lines that advise on budgets: one for each of `hours`, and how good forecasts are.

    path: of study.json; hours: of annotation, None: those of the study. Raises `UserError` where
    the file holds no study, or the hours buy nothing.
    """
    study = read_study(path)
    if hours and not all(0 < at < float("inf") for at in hours):
        raise UserError("--hours: must be positive")
    advice = plan(study, hours or study["budgets"])
    if not advice:
        raise UserError("--hours: too few to label one image of any mode")
    return [*map(advice_sentence, advice), check_sentence(hold_out(study["rows"]))]
