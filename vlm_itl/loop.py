"""The loop: buy labels, train, evaluate and, with a judge, take some predictions as labels.

A round is a row of stages, each written to the ledger once it is complete:

    buy       labels up to the round's budget, in the order of the strategy
    train     the network (or the ensemble), on the bought labels and the pseudo-labels that the
              round before accepted
    evaluate  on the validation and the test images
    audit     with a judge: labels of images drawn at random, part of the next purchase, to
              calibrate it
    judge     with a judge: a verdict on every predicted mask; accepted masks become pseudo-labels

The baseline is one round that buys everything. Whoever labels is the only difference between the
pipelines.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from vlm_itl import judging
from vlm_itl.results import report
from vlm_itl.results.round_pictures import draw_predictions, draw_verdicts, verdict_numbers
from vlm_itl.run import Run
from vlm_itl.stages.buy import audit, buy
from vlm_itl.stages.judge import judge_pool
from vlm_itl.stages.train import evaluate, train
from vlm_itl.training.segformer import SegFormer
from weakseg.common import read_json, write_json


def run_rounds(run: Run) -> dict[str, Any]:
    """Run all rounds, or those that are left of a stopped run -> the content of results.json."""
    try:
        run.start()
        once, last = run.ledger.once, len(run.targets) - 1
        for number in range(last + 1):
            once(number, "buy", partial(buy, run, number))
            once(number, "train", partial(train, run, number))
            once(number, "evaluate", partial(evaluate, run, number))
            track_round(run, number)
            print(report.round_summary(run.ledger, number, last + 1, len(run.pool)), flush=True)
            if run.judge and number < last:
                once(number, "audit", partial(audit, run, number))
                line = once(number, "judge", partial(judge_pool, run, run.judge, number))
                track_verdicts(run, number, line)
                print(judging.verdicts_line(line), flush=True)
        return finish(run)
    finally:
        run.close()


def track_round(run: Run, number: int) -> None:
    """Tell the tracker what a round's labels cost and what its first network reached."""
    point = report.curve_point(run.ledger, number, len(run.pool))
    draw = partial(draw_predictions, run, number)
    run.tracker.stage(number, "evaluate", point, run.settings.training.steps, draw)


def track_verdicts(run: Run, number: int, line: Mapping[str, Any]) -> None:
    """Tell the tracker what the judge said; line: the ledger's."""
    draw = partial(draw_verdicts, run, number, line["verdicts"])
    steps = run.settings.training.steps
    run.tracker.stage(number, "judge", verdict_numbers(line), steps, draw)


def finish(run: Run) -> dict[str, Any]:
    """Write the figures; results.json, the tracker's summary and a SegFormer for others, once."""
    results = report.results(
        run.ledger,
        arm=run.arm,
        rounds=len(run.targets),
        pool=len(run.pool),
        classes=run.dataset.class_names,
        test_fingerprint=run.dataset.test_fingerprint(),
        test_contents=run.dataset.test_contents(),
    )
    # Only Learn-then-Test bounds the share of bad masks among the accepted ones.
    section = run.settings.vlm_itl
    risk = section.risk if section.control == "ltt" else None
    figures = report.draw_figures(run.folder, results, risk)
    path = run.folder / "results.json"
    if not path.exists() or read_json(path) != results:
        run.tracker.summarise(results, figures)
        network = run.networks(len(run.targets) - 1)[0]
        if isinstance(network, SegFormer):
            network.save_pretrained(run.folder / "final")
        write_json(path, results)
    return results
