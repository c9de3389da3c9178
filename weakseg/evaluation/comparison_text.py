"""A comparison in words and tables; where the numbers show nothing, the words say so."""

from collections.abc import Mapping
from typing import Any

from weakseg.evaluation.error_modes import DISTANCES, MODES
from weakseg.reporting.tables import markdown, p_value, percent

Analysis = Mapping[str, Any]  # the content of analysis.json
Estimate = Mapping[str, Any]  # "a", "b", "difference", "low", "high", "p"
Row = tuple[str, str, Estimate]  # section, name, estimate

NO_EVIDENCE = "no evidence"
FEW_SEEDS = 3  # below it the measured coverage of the interval falls under its nominal 95 %
NOTES = (
    "Numbers are in percent, differences in points. Intervals are of 95 %, over seeds and test "
    "images where each group has several seeds, else over images alone; none is corrected for the "
    "number of rows.",
    "Covered: the share of an object's pixels that got any object class (where there is no "
    "background: its own), each object counting 1. "
    "Distances are from the nearest click of its class that the simulated annotator would have "
    "made, in square roots of the object's area. Errors are shares of all labelled pixels and add "
    "up to the pixels in error.",
)


def direction(estimate: Estimate | None) -> int:
    """Return 1 where B has more, -1 where it has less, 0 where the interval includes zero."""
    if not estimate or estimate["low"] is None or estimate["low"] <= 0 <= estimate["high"]:
        return 0
    return 1 if estimate["difference"] > 0 else -1


def distance_names() -> list[str]:
    """Return the names of the bins of distance from the clicks."""
    ends = [f"{end:g}" for end in DISTANCES[:-1]]
    between = [f"{low} to {high}" for low, high in zip(["0", *ends], ends, strict=False)]
    return [*between, f"over {ends[-1]}"]


def object_classes(analysis: Analysis) -> int:
    """Return the number of classes besides the background."""
    return len(analysis["classes"]) - int(analysis.get("has_background", True))


def table_rows(analysis: Analysis) -> list[Row]:
    """Return everything that was compared, in the order of the table."""
    whole, classes = analysis["overall"], analysis["classes"]
    consistency = {"right": "object pixels right", "background": "given to background"}
    if object_classes(analysis) > 1:
        consistency |= {"other": "given to another object", "mixed": "objects of mixed classes"}
    ious = zip(classes, whole["iou"], strict=True)
    distances = zip(distance_names(), whole["covered_by_distance"], strict=True)
    modes = zip(MODES, whole["modes"], strict=True)

    rows = [("overall", "mIoU", whole["miou"])]
    rows += [("class", f"IoU {name}", value) for name, value in ious]
    rows += [("completeness", "object covered", whole["covered"])]
    rows += [("completeness", f"covered at {name}", value) for name, value in distances]
    rows += [("class consistency", words, whole[key]) for key, words in consistency.items()]
    rows += [("failure modes", "all errors", whole["errors"])]
    rows += [("failure modes", f"errors: {mode}", value) for mode, value in modes]
    for part in analysis["by_size"]:
        rows.append(("size", f"mIoU {part['name']} objects ({part['images']})", part["miou"]))
    for part in analysis["by_tag"]:
        rows.append(("tag", f"mIoU {part['name']} ({part['images']})", part["miou"]))
    return [row for row in rows if row[2] is not None]


def estimate_cells(estimate: Estimate) -> list[str]:
    """Return the texts of an estimate: A, B, difference, interval, p."""
    low, high = estimate["low"], estimate["high"]
    return [
        percent(estimate["a"]),
        percent(estimate["b"]),
        percent(estimate["difference"], "+"),
        "-" if low is None else f"{percent(low, '+')} to {percent(high, '+')}",
        p_value(estimate["p"]),
    ]


def comparison_table(analysis: Analysis) -> str:
    """Return the Markdown table of an analysis."""
    titles = [analysis[key]["title"] for key in "ab"]
    lines = [["", *titles, "difference", "95 % interval", "p"]]
    lines += [[name, *estimate_cells(estimate)] for _, name, estimate in table_rows(analysis)]
    head, *rows = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    return markdown(head, rows)


def change(estimate: Estimate) -> str:
    """Return a difference in words: '+1.2 points (+0.3 to +2.1)'."""
    _, _, difference, interval, _ = estimate_cells(estimate)
    return f"{difference} points" + ("" if interval == "-" else f" ({interval})")


def verdict(analysis: Analysis) -> str:
    """Return one paragraph: is B better, more complete, more consistent, which errors changed."""
    one, two = subjects(analysis)
    sentences = [
        _headline(analysis, one, two),
        _completeness(analysis, two),
        _consistency(analysis, two),
        _modes(analysis, one),
        _caveats(analysis, two),
    ]
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def subjects(analysis: Analysis) -> tuple[str, str]:
    """Return what sentences call A and B.

    It is the supervision where both have several seeds, else the runs: one seed says no more.
    """
    titles = [analysis[key]["title"] for key in "ab"]
    one, two = (title[0].lower() + title[1:] for title in titles)
    counts = [len(analysis[key]["runs"]) for key in "ab"]
    if min(counts) > 1:
        return one, two
    words = ["run" if count == 1 else f"group of {count} runs" for count in counts]
    return f"this {words[0]} of {one}", f"this {words[1]} of {two}"


def _headline(analysis: Analysis, one: str, two: str) -> str:
    seeds = [len(analysis[key]["runs"]) for key in "ab"]
    each = f"{seeds[0]} seed{'s' * (seeds[0] > 1)} each"
    many = each if seeds[0] == seeds[1] else f"{seeds[0]} and {seeds[1]} seeds"
    value = analysis["overall"]["miou"]
    result = {
        1: f"{two} is better than {one}",
        -1: f"{two} is worse than {one}",
        0: f"There is {NO_EVIDENCE} of a difference between {two} and {one}",
    }[direction(value)]
    return f"{result}: test mIoU changes by {change(value)} on {analysis['images']} images, {many}."


def _completeness(analysis: Analysis, two: str) -> str:
    value = analysis["overall"]["covered"]
    if value is None:
        return "Completeness can't be measured: the annotator clicks on no object."
    result = {
        1: f"{two} covers objects more completely",
        -1: f"{two} covers objects less completely",
        0: f"There is {NO_EVIDENCE} that {two} covers objects more or less completely",
    }[direction(value)]
    distances = zip(distance_names(), analysis["overall"]["covered_by_distance"], strict=True)
    apart = [
        f"{change(estimate)} at {place} object sizes from the click"
        for place, estimate in distances
        if direction(estimate)
    ]
    return f"{result}: {'; '.join([change(value), *apart])}."


def _consistency(analysis: Analysis, two: str) -> str:
    value = analysis["overall"]["confused"]
    if object_classes(analysis) < 2:
        return "With one object class there are no classes to confuse."
    if value is None:
        return "Class confusion can't be measured: some run finds no object."
    result = {
        1: f"{two} confuses object classes more",
        -1: f"{two} confuses object classes less",
        0: f"There is {NO_EVIDENCE} that {two} confuses object classes more or less",
    }[direction(value)]
    return f"{result}: {change(value)} of the object pixels found."


def _modes(analysis: Analysis, one: str) -> str:
    whole = analysis["overall"]
    shares = [share["a"] if share else 0 for share in whole["shares"]]
    if not any(shares):
        return f"{one} makes no error."
    share, largest = max(zip(shares, MODES, strict=True))
    start = f"The largest kind of error of {one} is {largest} ({percent(share)} %)"
    changed = [
        f"{mode} {change(estimate)}"
        for mode, estimate in zip(MODES, whole["modes"], strict=True)
        if direction(estimate)
    ]
    if not changed:
        return f"{start}; there is {NO_EVIDENCE} that any kind became rarer or more frequent."
    return f"{start}; what changed, in shares of all pixels: {', '.join(changed)}."


def _caveats(analysis: Analysis, two: str) -> str:
    ranks, seeds = analysis["signed_rank"], min(len(analysis[key]["runs"]) for key in "ab")
    text = (
        f"Image by image, {two} is better on {ranks['better']} and worse on {ranks['worse']} of "
        f"{ranks['images']} (signed-rank p {p_value(ranks['p'])}, which speaks of these trained "
        "networks, not of other seeds)."
    )
    if seeds == 1:
        return (
            f"{text} One seed says nothing of other seeds, so nothing of the supervision: "
            "intervals are over images."
        )
    few = " Two seeds are few: the intervals may be too narrow."
    return text + (few if seeds < FEW_SEEDS else "")
