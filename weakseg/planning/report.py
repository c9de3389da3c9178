"""The tables and the figure of an equal-budget study, from the content of its study.json."""

from weakseg.evaluation.statistics import seed_interval
from weakseg.planning.learning_curves import check_sentence, hold_out, plan, sentences, time_words
from weakseg.reporting.tables import markdown


def summarise(rows):
    """Return one summary of the runs of a mode at a budget, over its seeds.

    {"miou", "low", "high", "hours", "other_hours", "images": range over seeds, "everything",
    "seeds"}; the interval is the 95 % t-interval of the mean over seeds, and with one seed the
    bootstrap interval over test images.
    """

    def mean(key):
        return sum(row[key] for row in rows) / len(rows)

    low, high, n = mean("low"), mean("high"), len(rows)
    if n > 1:
        _, low, high = seed_interval([row["miou"] for row in rows])
    images = sorted({row["images"] for row in rows})
    return {
        "miou": mean("miou"),
        "low": low,
        "high": high,
        "hours": mean("hours"),
        "other_hours": mean("other_hours"),
        "images": f"{images[0]}" if len(images) == 1 else f"{images[0]}-{images[-1]}",
        "seeds": n,
        "everything": all(row["everything"] for row in rows),
    }


def by_cell(study):
    """Return {mode: {budget: summary}}, with those that have a finished run."""
    found = {}
    for row in study["rows"]:
        found.setdefault(row["mode"], {}).setdefault(row["budget"], []).append(row)
    return {
        mode: {b: summarise(rows) for b, rows in sorted(of.items())} for mode, of in found.items()
    }


def cell_words(found):
    """Return one cell of the grid's table: mIoU with its interval, and the images that it took."""
    if found is None:
        return "-"
    images = f"all {found['images']}" if found["everything"] else found["images"]
    return f"{found['miou']:.1f} ({found['low']:.1f} to {found['high']:.1f}), n = {images}"


def report(study):
    """Return the study in Markdown: the grid, what to do with each budget, and how good such
    forecasts are.
    """
    cells, budgets = by_cell(study), study["budgets"]
    grid = [
        [mode, *(cell_words(of.get(budget)) for budget in budgets)] for mode, of in cells.items()
    ]
    seeds = sorted({found["seeds"] for of in cells.values() for found in of.values()})
    over = (
        "mean over seeds, 95 % t-intervals"
        if seeds[-1] > 1
        else "one seed, 95 % bootstrap intervals over test images"
    )
    if seeds[0] == 1 < seeds[-1]:
        over += " (bootstrap intervals over test images where one seed is finished)"
    parts = [
        f"Test mIoU (%) at equal annotation time by the schedule {study['schedule']}: {over}, "
        f"n images labelled; {len(study['rows'])} of {study['cells']} cells are finished.",
        markdown(["labels", *map(time_words, budgets)], grid),
    ]
    took = [f"{hours:.2f} h" for hours in study["selection_hours"].values()]
    if len(set(took)) > 1:
        took = [
            f"{mode} {words}" for mode, words in zip(study["selection_hours"], took, strict=True)
        ]
    parts.append(
        f"Not counted: the labels of the validation images, which chose checkpoints by {study['selected_by']} "
        f"({', '.join(dict.fromkeys(took))})."
    )
    advice = plan(study, budgets)
    words = [*map(sentences, advice), check_sentence(hold_out(study["rows"]))]
    parts += [advice_table(advice, cells), "\n".join(f"- {line}" for line in words)]
    return "\n\n".join(parts)


def advice_table(advice, cells):
    """Return the table 'with these hours do this'."""
    rows = []
    for line in advice:
        found = cells[line["best"]].get(line["hours"])
        lead = "-" if line["gain"] is None else f"{line['gain']:+.1f} over {line['second']}"
        low, high = line["interval"]
        rows.append(
            [
                time_words(line["hours"]),
                line["best"],
                "-" if found is None else found["images"],
                f"{line['miou']:.1f} ({low:.1f} to {high:.1f})",
                lead,
                f"{line['sure']:.2f}",
            ]
        )
    head = ["with", "label", "images", "expected mIoU", "lead", "probability that it is best"]
    return markdown(head, rows, words=(0, 1))


def draw(path, study):
    """Draw mIoU over annotation hours, one line a mode, with intervals and the frontier."""
    from weakseg.reporting.charts import budget_plot

    lines = []
    for mode, of in by_cell(study).items():
        keys = ("hours", "miou", "low", "high", "other_hours")
        lines.append({"name": mode, **{key: [found[key] for found in of.values()] for key in keys}})
    other = None if study["other_schedule"] == study["schedule"] else study["other_schedule"]
    budget_plot(path, lines, f"hours, by {study['schedule']}", other)
