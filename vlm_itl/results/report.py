"""What a finished run says: results.json, its figures, and a line for each round."""

from vlm_itl.results.budget_curves import load_runs


def spent(run, number):
    """Return (images, seconds of a person's work) that a run had bought when it trained round
    `number`.
    """
    lines = [
        line["bought"]
        for line in run.ledger.lines
        if (line["stage"] == "buy" and line["round"] <= number)
        or (line["stage"] == "audit" and line["round"] < number)
    ]
    labels = [label for bought in lines for label in bought.values()]
    return len(labels), sum(label["seconds"] for label in labels)


def results(run):
    """Return the content of results.json: what was bought, what it cost, and what it gave."""
    start, pool = run.ledger.find(-1, "start"), len(run.ids["pool"])
    curve = []
    for number in range(len(run.targets)):
        images, seconds = spent(run, number)
        found, trained = run.ledger.find(number, "evaluate"), run.ledger.find(number, "train")
        curve.append(
            {
                "round": number,
                "images": images,
                "percent": 100 * images / pool,
                "seconds": seconds,
                "pseudo_labels": trained["pseudo_labels"],
                "val_miou": found["val_miou"],
                "test_miou": found["test_miou"],
                "test_file": f"{run.round_folder(number).name}/test.npz",
            }
        )
    judged = [line for line in run.ledger.lines if line["stage"] == "judge"]
    return {
        "arm": run.arm,
        "seed": run.settings.seed,
        "commit": start["commit"],
        "fingerprint": start["images"],
        "test_fingerprint": run.dataset.test_fingerprint(),
        "config": start["config"],
        "classes": run.dataset.class_names,
        "pool": pool,
        "curve": curve,
        "judge": [{"round": line["round"], **line["metrics"]} for line in judged],
    }


def summary(run, number, line):
    """Return one line about a round that was evaluated."""
    (images, seconds), pool = spent(run, number), len(run.ids["pool"])
    return (
        f"round {number + 1}/{len(run.targets)}  {images} of {pool} images bought "
        f"({100 * images / pool:.1f} %, {seconds / 3600:.2f} h)  "
        f"val mIoU {100 * line['val_miou']:.1f}  test mIoU {100 * line['test_miou']:.1f}"
    )


def draw(folder, found, risk):
    """Draw the figures of a run's results into its folder: its curve and, with a judge, how far
    that can be trusted.
    """
    from vlm_itl.results import figures

    if len(found["curve"]) > 1:
        for axis in ("percent", "seconds"):
            figures.budget_curves(folder / f"curve_{axis}.png", load_runs([folder]), axis)
    judged = {f"round {line['round'] + 1}": line for line in found["judge"] if line.get("masks")}
    if judged:
        figures.risk_coverage_figure(folder / "risk_coverage.png", judged, risk)
        figures.reliability_figure(folder / "reliability.png", judged)
