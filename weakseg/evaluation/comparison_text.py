"""An analysis in words and tables: what the numbers of analysis.py say, and that they say nothing
where they don't.
"""

from weakseg.evaluation.error_modes import DISTANCES, MODES
from weakseg.reporting.tables import markdown, p_value, percent

NONE = "no evidence"
FEW_SEEDS = 3  # below it the measured coverage of the interval falls under its nominal 95 %
NOTES = (
    "Numbers are in percent, differences in points. Intervals are of 95 %, over seeds and test images where each group "
    "has several seeds, else over images alone; none is corrected for the number of rows.",
    "Covered: the share of an object's pixels that got any object class, each object counting 1. Distances are from "
    "the nearest click of its class that the simulated annotator would have made, in square roots of the object's "
    "area. Errors are shares of all labelled pixels and add up to the pixels in error.",
)


def evidence(found):
    """Return 1 where B has more, -1 where it has less, 0 where the interval includes zero or there
    is none.
    """
    if not found or found["low"] is None or found["low"] <= 0 <= found["high"]:
        return 0
    return 1 if found["difference"] > 0 else -1


def bins():
    """Return the names of the bins of distance."""
    ends = [f"{end:g}" for end in DISTANCES[:-1]]
    return [
        *(f"{low} to {high}" for low, high in zip(["0", *ends], ends, strict=False)),
        f"over {ends[-1]}",
    ]


def rows(found):
    """Return [(section, name, estimate)] of everything that was compared, in the order of the
    table.
    """
    whole, classes = found["overall"], found["classes"]
    table = [("overall", "mIoU", whole["miou"])]
    table += [
        ("class", f"IoU {name}", value) for name, value in zip(classes, whole["iou"], strict=True)
    ]
    table += [("completeness", "object covered", whole["covered"])]
    table += [
        ("completeness", f"covered at {name}", value)
        for name, value in zip(bins(), whole["covered_by_distance"], strict=True)
    ]
    consistency = {"right": "object pixels right", "background": "given to background"}
    if len(classes) > 2:
        consistency |= {"other": "given to another object", "mixed": "objects of mixed classes"}
    table += [("class consistency", label, whole[key]) for key, label in consistency.items()]
    table += [("failure modes", "all errors", whole["errors"])]
    table += [
        ("failure modes", f"errors: {mode}", v)
        for mode, v in zip(MODES, whole["modes"], strict=True)
    ]
    for kind, section, label in (
        ("by_size", "size", "{name} objects"),
        ("by_tag", "tag", "{name}"),
    ):
        for part in found[kind]:
            table.append(
                (
                    section,
                    f"mIoU {label.format(name=part['name'])} ({part['images']})",
                    part["miou"],
                )
            )
    return [row for row in table if row[2] is not None]


def cells(estimate):
    """Return the texts of an estimate: A, B, difference, interval, p."""
    low, high = estimate["low"], estimate["high"]
    interval = "-" if low is None else f"{percent(low, '+')} to {percent(high, '+')}"
    return [
        percent(estimate["a"]),
        percent(estimate["b"]),
        percent(estimate["difference"], "+"),
        interval,
        p_value(estimate["p"]),
    ]


def table(found):
    """Return the Markdown table of an analysis."""
    head = ["", found["a"]["title"], found["b"]["title"], "difference", "95 % interval", "p"]
    lines = [[name, *cells(value)] for _, name, value in rows(found)]
    head, *lines = [[cell.replace("|", r"\|") for cell in line] for line in (head, *lines)]
    return markdown(head, lines)


def change(found):
    """Return '+1.2 points (+0.3 to +2.1)'."""
    _, _, difference, interval, _ = cells(found)
    return f"{difference} points" + ("" if interval == "-" else f" ({interval})")


def verdict(found):
    """Return one paragraph: did B help, is it more complete, are classes more consistent, which
    errors changed.
    """
    one, two = subjects(found)
    sentences = [
        _headline(found, one, two),
        _completeness(found, two),
        _consistency(found, two),
        _modes(found, one),
        _caveats(found, two),
    ]
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def subjects(found):
    """Return what sentences about A and B speak of: the supervision, or the runs where one seed
    says no more.
    """
    groups = [found[key] for key in "ab"]
    if min(len(group["runs"]) for group in groups) > 1:
        return [group["title"] for group in groups]
    return [_these_runs(**group) for group in groups]


def _these_runs(name, title, runs, **others):
    number = "run" if len(runs) == 1 else f"group of {len(runs)} runs"
    return f"the {number} {name}" if title == name else f"this {number} of {title}"


def _headline(found, one, two):
    seeds = [len(found[key]["runs"]) for key in "ab"]
    many = (
        f"{seeds[0]} seed{'s' * (seeds[0] > 1)} each"
        if len(set(seeds)) == 1
        else f"{seeds[0]} and {seeds[1]} seeds"
    )
    value = found["overall"]["miou"]
    says = {
        1: f"{two} is better than {one}",
        -1: f"{two} is worse than {one}",
        0: f"There is {NONE} of a difference between {two} and {one}",
    }[evidence(value)]
    return f"{says}: test mIoU changes by {change(value)} on {found['images']} images, {many}."


def _completeness(found, two):
    value, far = found["overall"]["covered"], found["overall"]["covered_by_distance"]
    if value is None:
        return "Completeness can't be measured: the annotator clicks on no object."
    says = {
        1: f"{two} covers objects more completely",
        -1: f"{two} covers objects less completely",
        0: f"There is {NONE} that {two} covers objects more or less completely",
    }[evidence(value)]
    apart = [
        f"{change(v)} at {place} object sizes from the click"
        for place, v in zip(bins(), far, strict=True)
        if evidence(v)
    ]
    return f"{says}: {'; '.join([change(value), *apart])}."


def _consistency(found, two):
    value = found["overall"]["confused"]
    if len(found["classes"]) < 3:
        return "With one object class there are no classes to confuse."
    if value is None:
        return "Class confusion can't be measured: some run finds no object."
    says = {
        1: f"{two} confuses object classes more",
        -1: f"{two} confuses object classes less",
        0: f"There is {NONE} that {two} confuses object classes more or less",
    }[evidence(value)]
    return f"{says}: {change(value)} of the object pixels found."


def _modes(found, one):
    values = dict(zip(MODES, found["overall"]["modes"], strict=True))
    shares = [s["a"] if s else 0 for s in found["overall"]["shares"]]
    changed = {mode: value for mode, value in values.items() if evidence(value)}
    if not any(shares):
        return f"{one} makes no error."
    largest = max(zip(shares, MODES, strict=True))
    start = f"The largest kind of error of {one} is {largest[1]} ({percent(largest[0])} %)"
    if not changed:
        return f"{start}; there is {NONE} that any kind became rarer or more frequent."
    return f"{start}; what changed, in shares of all pixels: {', '.join(f'{m} {change(v)}' for m, v in changed.items())}."


def _caveats(found, two):
    ranks, least = found["signed_rank"], min(len(found[key]["runs"]) for key in "ab")
    text = (
        f"Image by image, {two} is better on {ranks['better']} and worse on {ranks['worse']} of {ranks['images']} "
        f"(signed-rank p {p_value(ranks['p'])}, which speaks of these trained networks, not of other seeds)."
    )
    if least == 1:
        return f"{text} One seed says nothing of other seeds, so nothing of the supervision: intervals are over images."
    return text + (
        " Two seeds are few: the intervals may be too narrow." if least < FEW_SEEDS else ""
    )
