"""Numbers and Markdown tables as every script prints them."""

import statistics


def percent(value, sign=""):
    """Format a fraction as percent, None as a dash."""
    return "-" if value is None else f"{100 * value:{sign}.1f}"


def p_value(value):
    """Format a p-value, None as a dash."""
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def mean_std(values, digits=1):
    """Format the mean of a list, and the standard deviation where there are several values; "-"
    where there is none.
    """
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def markdown(head, rows, words=(0,)):
    """Return a Markdown table whose columns `words` are left-aligned, the others right-aligned."""
    rows = [head, *rows]
    widths = [max(3, *(len(row[index]) for row in rows)) for index in range(len(head))]
    lines = [
        "| "
        + " | ".join(c.ljust(w) if i in words else c.rjust(w) for i, (c, w) in enumerate(cells))
        + " |"
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    rule = ["-" * w if i in words else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])
