"""Pictures of a round for its tracker's run: predictions beside the truth, and what was judged."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlm_itl.predictions import full_masks
from vlm_itl.run import Run
from weakseg.reporting.pictures import comparison_figure

MOST = 4  # images of a picture
OF_EACH_ROUTE = 2  # judged masks
ROUTES = ("accept", "reject", "abstain")


def draw_predictions(run: Run, number: int) -> dict[str, Path]:
    """Draw test images with their true and their predicted masks -> {name: file}."""
    names = spread(run.test, MOST)
    network = run.networks(number)[0]
    rows: list[dict[str, Any]] = []
    for name, mask, truth in full_masks(network, run.inputs, names, run.settings.data):
        image = np.asarray(run.dataset.image(name))
        rows.append({"label": name, "image": image, "masks": [truth, mask], "notes": [None, None]})
    path = run.round_folder(number) / "predictions.png"
    titles, dataset = ("photograph", "truth", "prediction"), run.dataset
    comparison_figure(path, titles, rows, dataset.class_names, dataset.has_background)
    return {"predictions": path}


def draw_verdicts(run: Run, number: int, verdicts: Mapping[str, Any]) -> dict[str, Path]:
    """Draw some accepted, rejected and abstained masks -> {name: file}; nothing without any.

    verdicts: {id: routed verdict}
    """
    names: list[str] = []
    for route in ROUTES:
        routed = sorted(name for name in verdicts if verdicts[name]["route"] == route)
        names += spread(routed, OF_EACH_ROUTE)
    if not names:
        return {}
    rows: list[dict[str, Any]] = []
    classes: tuple[str, ...] = ()
    for case in run.cases(run.networks(number), names):
        verdict, classes = verdicts[case.id], case.class_names
        share = verdict["calibrated"]
        note = verdict["route"] + ("" if share is None else f" {share:.2f}")
        image = case.photograph()
        rows.append({"label": case.id, "image": image, "masks": [case.mask], "notes": [note]})
    path = run.round_folder(number) / "verdicts.png"
    comparison_figure(path, ("photograph", "judged mask"), rows, classes)
    return {"verdicts": path}


def verdict_numbers(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a judged round for a tracker; line: the ledger's."""
    routes = [verdict["route"] for verdict in line["verdicts"].values()]
    counts = {f"judge/{route}ed": routes.count(route) for route in ROUTES}
    metrics = {key: value for key, value in line["metrics"].items() if key != "usage"}
    values = metrics | line["metrics"].get("usage", {})
    return counts | {f"judge/{key}": value for key, value in values.items()}


def spread(names: Sequence[str], most: int) -> list[str]:
    """Return at most so many names, spread evenly over the list."""
    count = min(most, len(names))
    return [names[index * len(names) // count] for index in range(count)]
