"""Numbers and Markdown tables, written the same way by every command."""

import csv
import statistics
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from weakseg.common import atomic_path


def percent(value: float | None, sign: str = "") -> str:
    """Return a fraction in percent, None as a dash; sign: "+" to show it."""
    return "-" if value is None else f"{100 * value:{sign}.1f}"


def p_value(value: float | None) -> str:
    """Return a p-value in words, None as a dash."""
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def mean_std(values: Sequence[float], digits: int = 1) -> str:
    """Return the mean of values ± their standard deviation, which one value lacks; "-" for none."""
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def markdown(
    head: Sequence[str], rows: Sequence[Sequence[str]], words: Collection[int] = (0,)
) -> str:
    """Return a Markdown table whose columns `words` are left-aligned, the others right-aligned."""
    rows = [head, *rows]
    widths = [max(3, *(len(row[index]) for row in rows)) for index in range(len(head))]
    columns = list(enumerate(widths))

    def line(row: Sequence[str]) -> str:
        cells = (row[i].ljust(w) if i in words else row[i].rjust(w) for i, w in columns)
        return "| " + " | ".join(cells) + " |"

    rule = ["-" * width if i in words else "-" * (width - 1) + ":" for i, width in columns]
    return "\n".join([line(head), line(rule), *map(line, rows[1:])])


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table as CSV, atomically."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(head)
        table.writerows(rows)
