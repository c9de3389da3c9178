"""What a run reports: results.json, its figures, and a line of text for each round."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlm_itl.results.finished_runs import FinishedRun
from weakseg.planning.ledger import Ledger


def spent(ledger: Ledger, number: int) -> tuple[int, float]:
    """Return (images, seconds of a person's work) bought before round `number` was trained."""
    lines = [
        line["bought"]
        for line in ledger.lines
        if (line["stage"] == "buy" and line["round"] <= number)
        or (line["stage"] == "audit" and line["round"] < number)
    ]
    labels = [label for bought in lines for label in bought.values()]
    return len(labels), sum(label["seconds"] for label in labels)


def results(
    ledger: Ledger,
    *,
    arm: str,
    rounds: int,
    pool: int,
    classes: Sequence[str],
    test_fingerprint: str,
    test_contents: str,
) -> dict[str, Any]:
    """Return the content of results.json: what was bought, what it cost, and what it gave.

    rounds: how many there are, all in the ledger; pool: how many images could be bought
    """
    start = stage(ledger, -1, "start")
    return {
        "arm": arm,
        "seed": start["seed"],
        "commit": start["commit"],
        "fingerprint": start["images"],
        "test_fingerprint": test_fingerprint,
        "test_contents": test_contents,
        "config": start["config"],
        "classes": classes,
        "pool": pool,
        "curve": [curve_point(ledger, number, pool) for number in range(rounds)],
        "judge": [
            {"round": line["round"], **line["metrics"]}
            for line in ledger.lines
            if line["stage"] == "judge"
        ],
    }


def curve_point(ledger: Ledger, number: int, pool: int) -> dict[str, Any]:
    """Return one round's point of the budget curve."""
    images, seconds = spent(ledger, number)
    evaluated = stage(ledger, number, "evaluate")
    return {
        "round": number,
        "images": images,
        "percent": 100 * images / pool,
        "seconds": seconds,
        "pseudo_labels": stage(ledger, number, "train")["pseudo_labels"],
        "val_miou": evaluated["val_miou"],
        "test_miou": evaluated["test_miou"],
        "test_file": f"round_{number:02d}/test.npz",
    }


def stage(ledger: Ledger, number: int, name: str) -> dict[str, Any]:
    """Return the line of a stage that is complete."""
    line = ledger.find(number, name)
    if line is None:
        raise ValueError(f"round {number} has no stage {name!r} in its ledger yet")
    return line


def round_summary(ledger: Ledger, number: int, rounds: int, pool: int) -> str:
    """Return one line of text about a round that was evaluated."""
    images, seconds = spent(ledger, number)
    evaluated = stage(ledger, number, "evaluate")
    return (
        f"round {number + 1}/{rounds}  {images} of {pool} images bought "
        f"({100 * images / pool:.1f} %, {seconds / 3600:.2f} h)  "
        f"val mIoU {100 * evaluated['val_miou']:.1f}  test mIoU {100 * evaluated['test_miou']:.1f}"
    )


def draw_figures(folder: Path, run_results: dict[str, Any], risk: float | None) -> dict[str, Path]:
    """Draw a run's budget curves and, with a judge, how far its probabilities can be trusted.

    risk: the share of bad masks among the accepted that was promised, drawn as a line; None: none
    Returns {name: file} of what was drawn.
    """
    from vlm_itl.results import figures

    drawn: dict[str, Path] = {}

    def file(name: str) -> Path:
        return drawn.setdefault(name, folder / f"{name}.png")

    if len(run_results["curve"]) > 1:
        run = FinishedRun(folder, run_results)
        for axis in ("percent", "seconds"):
            figures.budget_curves(file(f"curve_{axis}"), [run], axis)
    judged = {
        f"round {line['round'] + 1}": line for line in run_results["judge"] if line.get("masks")
    }
    if judged:
        figures.risk_coverage_figure(file("risk_coverage"), judged, risk)
        figures.reliability_figure(file("reliability"), judged)
    return drawn
