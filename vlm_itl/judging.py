"""How predicted masks are judged: a verdict on each, a threshold, and where each mask goes.

No ground truth can be reached from here. A judge gets predictions and, to learn from, masks that
were bought; the threshold is chosen from an *audit*, masks drawn at random, of which this module is
told only whether each is good.
"""

import itertools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from tqdm import tqdm

from vlm_itl.judges.base import Case, Judge, Verdict
from vlm_itl.judges.calibration import fit_calibrator
from vlm_itl.judges.metrics import judge_metrics, total_usage
from vlm_itl.judges.thresholds import choose_threshold
from vlm_itl.loop_sections import VlmItl
from weakseg.common import UserError

Item = TypeVar("Item")

# Masks handed to the judge at once: a remote one answers them side by side. All their softmax
# values are in memory together.
MOST_MASKS = 64
MOST_BYTES = 2**28


class Prediction(NamedTuple):
    """The predicted mask of an image and, for a comparison, what the round before predicted."""

    case: Case
    older: Case | None = None


class JudgedMask(NamedTuple):
    """One mask with its verdict.

    is_older  whether it is the round before's, which the judge preferred to this round's
    usage     what the comparison and the verdict cost; see `Verdict`
    """

    case: Case
    is_older: bool
    verdict: Verdict
    usage: dict[str, int]


def masks_at_once(num_classes: int, side: int) -> int:
    """Return how many masks of `side` x `side` pixels are handed to the judge at once."""
    return max(1, min(MOST_MASKS, MOST_BYTES // (4 * num_classes * side**2)))


def judge_masks(
    judge: Judge,
    predictions: Iterable[Prediction],
    at_once: int,
    handler: str,
    bar: tqdm,
) -> Iterator[JudgedMask]:
    """Yield the judge's verdict on each predicted mask, in order.

    A first part of which no mask is answered means that the judge doesn't work at all: a
    `UserError`, before anything is written to the ledger. Answers that are kept in a cache are not
    asked for again.

    handler  the judge's name in the configuration, for that message
    bar      a progress bar, moved on by each part that is answered
    """
    answered = False
    for part in parts(predictions, at_once):
        chosen = choose_masks(judge, part)
        verdicts = judge.judge([case for case, _, _ in chosen])
        failures = [verdict.failure for verdict in verdicts if verdict.failure]
        answered = answered or len(failures) < len(part)
        if not answered:
            raise UserError(
                f"vlm_itl.vlm_handler {handler}: none of the first {len(part)} masks was answered "
                f"({failures[0]}); mend that and give the same command again"
            )
        for (case, is_older, usage), verdict in zip(chosen, verdicts, strict=True):
            yield JudgedMask(case, is_older, verdict, total_usage([usage, verdict.usage]))
        bar.update(len(part))


def choose_masks(
    judge: Judge, predictions: Sequence[Prediction]
) -> list[tuple[Case, bool, dict[str, int]]]:
    """Return (mask to be judged, whether it is the older one, usage) of each prediction.

    Where there are two masks, the judge compares them; of equal ones this round's is taken.
    """
    pairs = [(case, older) for case, older in predictions if older is not None]
    preferences = iter(judge.compare(pairs) if pairs else ())
    chosen: list[tuple[Case, bool, dict[str, int]]] = []
    for case, older in predictions:
        if older is None:
            chosen.append((case, False, {}))
            continue
        preference = next(preferences)
        is_older = preference.better == 1
        chosen.append((older if is_older else case, is_older, preference.usage))
    return chosen


def parts(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of at most `size` items."""
    items = iter(items)
    while part := list(itertools.islice(items, size)):
        yield part


def draw_candidates(names: list[str], most: int | None, seed: int) -> list[str]:
    """Return the images whose masks are judged: all of `names`, or `most` of them at random."""
    if most is None or most >= len(names):
        return names
    return sorted(np.random.default_rng(seed).choice(names, most, replace=False).tolist())


@dataclass(frozen=True)
class Rule:
    """Where a mask goes: accepted, rejected (a person labels it), or left to wait (abstain).

    threshold     the score from which a mask is accepted; None accepts none
    calibrate     scores [N] -> probabilities [N] that the mask is good
    reject_below  the probability under which a mask is rejected
    own_decision  whether the judge's own decision holds instead
    """

    threshold: float | None
    calibrate: Callable[[np.ndarray], np.ndarray]
    reject_below: float
    own_decision: bool

    def route(self, verdict: Verdict) -> tuple[str, float | None]:
        """Return (accept, reject or abstain; calibrated probability or None).

        A failure waits, whatever the rule. So does an answer without a probability, unless the
        judge decides itself.
        """
        if verdict.failure:
            return "abstain", None
        if verdict.probability is None:
            return verdict.decision if self.own_decision else "abstain", None
        probability = float(self.calibrate(np.array([verdict.probability]))[0])
        if self.own_decision:
            return verdict.decision, probability
        if self.threshold is not None and verdict.probability >= self.threshold:
            return "accept", probability
        return "reject" if probability < self.reject_below else "abstain", probability


def make_rule(
    settings: VlmItl,
    scores: Sequence[float] | np.ndarray,
    good: Sequence[bool] | np.ndarray,
    pool_scores: Sequence[float] | np.ndarray | None = None,
) -> Rule:
    """Return the `Rule` that the settings ask for, calibrated on the audit.

    scores [N], good [N]: the judge's probability for each audited mask, and whether it is good
    pool_scores [M]: the probabilities of the masks to be routed
    """
    scores, good = np.array(scores, float), np.array(good, bool)
    calibrate: Callable[[np.ndarray], np.ndarray] = np.asarray
    if settings.calibration != "none":
        calibrate = fit_calibrator(scores, good, settings.calibration)
    threshold = None
    if settings.risk is not None:
        pool = None if pool_scores is None else np.array(pool_scores, float)
        delta = 1 - settings.confidence
        threshold = choose_threshold(scores, good, settings.risk, delta, settings.control, pool)
    return Rule(threshold, calibrate, settings.reject_below, settings.risk is None)


def route_masks(rule: Rule, verdicts: Mapping[str, Verdict]) -> dict[str, dict[str, Any]]:
    """Return {id: the verdict as plain values, with its `route` and `calibrated` probability}."""
    routed = {}
    for name, verdict in verdicts.items():
        route, probability = rule.route(verdict)
        routed[name] = {"route": route, "calibrated": probability, **verdict.as_dict()}
    return routed


def accepted(
    routed: Mapping[str, Mapping[str, Any]], bought: Container[str] = frozenset()
) -> list[str]:
    """Return the ids of the accepted masks, without images that were `bought` since."""
    names = [name for name, verdict in routed.items() if verdict["route"] == "accept"]
    return [name for name in names if name not in bought]


def measure(
    routed: Mapping[str, Mapping[str, Any]],
    ious: Mapping[str, float],
    seconds: Mapping[str, float],
    iou_bar: float,
) -> dict[str, Any]:
    """Return the judge's metrics against masks nobody bought: for a simulation's report only.

    ious     {id: the mask's true IoU}
    seconds  {id: what a person would have needed to label it} of the accepted masks; the others
             saved nothing
    """
    answered = [name for name, verdict in routed.items() if not verdict["failure"]]
    metrics = judge_metrics(
        [routed[name]["calibrated"] for name in answered],
        [routed[name]["iou"] for name in answered],
        [routed[name]["route"] == "accept" for name in answered],
        [ious[name] for name in answered],
        iou_bar,
        [seconds.get(name, 0.0) for name in answered],
    )
    return metrics | {"failures": len(routed) - len(answered), "masks": len(routed)}


def verdicts_line(line: Mapping[str, Any]) -> str:
    """Return one line of text about a judged round; line: the ledger's."""
    verdicts, metrics = line["verdicts"].values(), line["metrics"]
    routes = [verdict["route"] for verdict in verdicts]
    counts = ", ".join(
        f"{routes.count(route)} {route}ed" for route in ("accept", "reject", "abstain")
    )
    failures = sum(1 for verdict in verdicts if verdict["failure"])
    failed = f" ({failures} failed)" if failures else ""
    note = ""
    if metrics["threshold"] is None and "accept" not in routes:
        audit = metrics["audit_masks"]
        note = f"  (an audit of {audit} masks allows no threshold at this risk)"
    elif metrics.get("purity") is not None:
        note = f"  purity {100 * metrics['purity']:.1f} %"
    return f"  judge: {len(routes)} masks, {counts}{failed}{note}"
