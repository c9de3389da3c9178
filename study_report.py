"""The tables and the figure of an equal-budget study, from the content of its study.json."""

from scipy import stats

from planner import check_sentence, hold_out, plan, sentences, time_words


def summarise(rows):
    """Return one summary of the runs of a mode at a budget, over its seeds.

    {"miou", "low", "high", "hours", "other_hours", "images": range over seeds, "everything", "seeds"}; the interval is
    the 95 % t-interval of the mean over seeds, and with one seed the bootstrap interval over test images.
    """

    def mean(key):
        return sum(row[key] for row in rows) / len(rows)

    low, high, n = mean("low"), mean("high"), len(rows)
    if n > 1:
        spread = (sum((row["miou"] - mean("miou")) ** 2 for row in rows) / (n - 1) / n) ** 0.5
        half = stats.t.ppf(0.975, n - 1) * spread
        low, high = mean("miou") - half, mean("miou") + half
    images = sorted({row["images"] for row in rows})
    return {
        "miou": mean("miou"), "low": low, "high": high, "hours": mean("hours"), "other_hours": mean("other_hours"),
        "images": f"{images[0]}" if len(images) == 1 else f"{images[0]}-{images[-1]}", "seeds": n,
        "everything": all(row["everything"] for row in rows),
    }  # fmt: skip


def by_cell(study):
    """Return {mode: {budget: summary}}, with those that have a finished run."""
    found = {}
    for row in study["rows"]:
        found.setdefault(row["mode"], {}).setdefault(row["budget"], []).append(row)
    return {mode: {b: summarise(rows) for b, rows in sorted(of.items())} for mode, of in found.items()}


def markdown(head, rows):
    """Return a table in Markdown, the first column to the left."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [[row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
             for row in (head, *rows)]  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])


def cell_words(found):
    """Return one cell of the grid's table: mIoU with its interval, and the images that it took."""
    if found is None:
        return "-"
    images = f"all {found['images']}" if found["everything"] else found["images"]
    return f"{found['miou']:.1f} ({found['low']:.1f} to {found['high']:.1f}), n = {images}"


def report(study):
    """Return the study in Markdown: the grid, what to do with each budget, and how good such forecasts are."""
    cells, budgets = by_cell(study), study["budgets"]
    grid = [[mode, *(cell_words(of.get(budget)) for budget in budgets)] for mode, of in cells.items()]
    seeds = sorted({found["seeds"] for of in cells.values() for found in of.values()})
    over = (
        "one seed, 95 % bootstrap intervals over test images" if seeds == [1] else "mean over seeds, 95 % t-intervals"
    )
    parts = [
        f"Test mIoU (%) at equal annotation time by the schedule {study['schedule']}: {over}, "
        f"n images labelled; {len(study['rows'])} of {study['cells']} cells are finished.",
        markdown(["labels", *map(time_words, budgets)], grid),
    ]
    hours = {f"{h:.2f}" for h in study["selection_hours"].values()}
    took = (
        f"{hours.pop()} h"
        if len(hours) == 1
        else ", ".join(f"{m} {h:.2f} h" for m, h in study["selection_hours"].items())
    )
    parts.append(f"Not counted: the labels of the validation images, which chose checkpoints by {study['selected_by']} "
                 f"({took}).")  # fmt: skip
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
        rows.append([
            time_words(line["hours"]), line["best"], "-" if found is None else found["images"],
            f"{line['miou']:.1f} ({low:.1f} to {high:.1f})", lead, f"{line['sure']:.2f}",
        ])  # fmt: skip
    return markdown(["with", "label", "images", "expected mIoU", "lead", "probability that it is best"], rows)


def draw(path, study):
    """Draw mIoU over annotation hours, one line a mode, with intervals and the frontier."""
    from charts import budget_plot

    lines = []
    for mode, of in by_cell(study).items():
        keys = ("hours", "miou", "low", "high", "other_hours")
        lines.append({"name": mode, **{key: [found[key] for found in of.values()] for key in keys}})
    other = None if study["other_schedule"] == study["schedule"] else study["other_schedule"]
    budget_plot(path, lines, f"hours, by {study['schedule']}", other)
