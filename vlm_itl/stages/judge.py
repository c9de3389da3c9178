"""The stage `judge`: a verdict on each predicted mask of the pool; accepted ones become labels.

This is where the judge meets the truth: it is handed predictions and bought masks from here, and
what it answers is compared with the truth here (`vlm_itl.judging` does the rest, without any).
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from torch import nn
from tqdm import tqdm

from vlm_itl import judging
from vlm_itl.judges.base import Case, Example, Judge, Verdict
from vlm_itl.judges.metrics import total_usage
from vlm_itl.pseudo_labels import PseudoLabels, write_pseudo_label
from vlm_itl.run import Run
from weakseg.metrics import image_iou
from weakseg.planning.oracle import as_judged


def judge_pool(run: Run, judge: Judge, number: int) -> dict[str, Any]:
    """Judge the pool's predicted masks -> the ledger's line: verdicts, calibration and metrics.

    The threshold is chosen before any mask is routed, from the audit's truth and the pool's scores.
    The pseudo-labels are on the disk before the line is in the ledger.
    """
    section = run.settings.vlm_itl
    networks = run.networks(number)
    earlier = run.networks(number - 1) if section.pairwise and number else None
    usage: list[dict[str, int]] = []

    # 1. The judge learns from masks that were bought, but for those of the audit.
    audit = sorted(run.bought(number, "audit"))
    judge.fit(examples(run, number, without=set(audit)))

    # 2. It judges the audit, whose truth was bought.
    scores: list[float] = []
    good: list[bool] = []
    for judged in judged_masks(run, judge, number, networks, earlier, audit):
        usage.append(judged.usage)
        iou = image_iou(judged.case.mask, bought_mask(run, judged.case.id))
        if judged.verdict.score is not None and not math.isnan(iou):
            scores.append(judged.verdict.score)
            good.append(iou >= section.iou_bar)

    # 3. It judges the pool, or a random part of it. The true IoU is for the report alone.
    verdicts: dict[str, Verdict] = {}
    true_iou: dict[str, float] = {}
    older: set[str] = set()
    seed = run.seed(number, "candidates")
    names = judging.draw_candidates(run.free(), section.max_candidates, seed)
    for judged in judged_masks(run, judge, number, networks, earlier, names):
        usage.append(judged.usage)
        name = judged.case.id
        verdicts[name] = judged.verdict
        if judged.is_older:
            older.add(name)
        if section.examine:
            true_iou[name] = run.examiner.iou(name, judged.case.mask)

    # 4. Audit and pool give the threshold, and the threshold the routes.
    pool_scores = [v.score for v in verdicts.values() if v.score is not None]
    rule = judging.make_rule(section, scores, good, pool_scores)
    routed = judging.route_masks(rule, verdicts)

    # 5. Accepted masks are predicted once more and become pseudo-labels.
    accepted = judging.accepted(routed)
    newer = [name for name in accepted if name not in older]
    write_pseudo_labels(run, judge, number, run.cases(networks, newer))
    if earlier:
        again = sorted(older & set(accepted))
        write_pseudo_labels(run, judge, number, run.cases(earlier, again))

    metrics = measure(run, routed, true_iou) if section.examine else {}
    calibration = {
        "threshold": rule.threshold,
        "audit_masks": len(scores),
        "usage": total_usage(usage),
        "older_masks": len(older),
    }
    return {
        "seed": run.seed(number, "judge"),
        "verdicts": routed,
        "pseudo": PseudoLabels(run.round_folder(number) / "pseudo", accepted).digest,
        "metrics": metrics | calibration,
    }


def judged_masks(
    run: Run,
    judge: Judge,
    number: int,
    networks: Sequence[nn.Module],
    earlier: Sequence[nn.Module] | None,
    names: Sequence[str],
) -> Iterator[judging.JudgedMask]:
    """Yield the judge's verdict on the predicted mask of each image, with a progress bar.

    earlier: the networks of the round before, where the judge first compares their masks
    """
    olds = run.cases(earlier, names) if earlier else [None] * len(names)
    predictions = (
        judging.Prediction(case, older)
        for case, older in zip(run.cases(networks, names), olds, strict=True)
    )
    at_once = judging.masks_at_once(len(run.dataset.class_names), run.cache.size)
    handler, title = run.settings.vlm_itl.vlm_handler, f"round {number} judging"
    with tqdm(desc=title, total=len(names), unit="mask", disable=not names) as bar:
        yield from judging.judge_masks(judge, predictions, at_once, handler, bar)


def examples(run: Run, number: int, without: set[str]) -> Iterator[Example]:
    """Yield `Example`s of bought masks, each predicted before it was trained on, where one was.

    without: images that none may be of, nor of their groups

    A later purchase is predicted by the network of the round before it, which can have seen the
    image as a pseudo-label but not its truth; the first by this round's, which knows it.
    """
    held = {*map(run.dataset.group, without)}

    def is_free(name: str) -> bool:
        return run.has_mask(name) and run.dataset.group(name) not in held

    for earlier in range(number + 1):
        bought = run.bought(earlier, "audit") | run.bought(earlier + 1, "buy")
        if names := sorted(filter(is_free, bought)):
            yield from with_truth(run, run.cases(run.networks(earlier), names), unseen=True)
    first = sorted(filter(is_free, run.bought(0, "buy")))
    yield from with_truth(run, run.cases(run.networks(number), first), unseen=False)


def with_truth(run: Run, cases: Iterable[Case], unseen: bool) -> Iterator[Example]:
    """Yield predictions with the masks that were bought for their images."""
    for case in cases:
        yield Example(case, bought_mask(run, case.id), unseen)


def bought_mask(run: Run, name: str) -> np.ndarray:
    """Return the mask [S, S] uint8 that was bought for an image, as judges know it."""
    return as_judged(run.oracle.mask(name), run.dataset.has_background)


def write_pseudo_labels(run: Run, judge: Judge, number: int, cases: Iterable[Case]) -> None:
    """Write accepted masks into the round's folder `pseudo`."""
    section, folder = run.settings.vlm_itl, run.round_folder(number) / "pseudo"
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        disputed = judge.doubts(case) if section.ignore_disputed else None
        write_pseudo_label(folder, case, section.pseudo_confidence, disputed)


def measure(
    run: Run, routed: dict[str, dict[str, Any]], true_iou: dict[str, float]
) -> dict[str, Any]:
    """Return the judge's metrics against masks that nobody bought: for the report only."""
    seconds = {
        name: run.examiner.seconds(name, run.signals, run.annotator)
        for name in judging.accepted(routed)
    }
    return judging.measure(routed, true_iou, seconds, run.settings.vlm_itl.iou_bar)
