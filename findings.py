"""An analysis in words and tables: what the numbers of analysis.py say, and that they say nothing where they don't."""

from failures import DISTANCES, MODES
from tables import markdown, p_value, percent

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
    """Return 1 where B has more, -1 where it has less, 0 where the interval includes zero or there is none."""
    if not found or found["low"] is None or found["low"] <= 0 <= found["high"]:
        return 0
    return 1 if found["difference"] > 0 else -1


def bins():
    """Return the names of the bins of distance."""
    ends = [f"{end:g}" for end in DISTANCES[:-1]]
    return [*(f"{low} to {high}" for low, high in zip(["0", *ends], ends, strict=False)), f"over {ends[-1]}"]


def rows(found):
    """Return [(section, name, estimate)] of everything that was compared, in the order of the table."""
    whole, classes = found["overall"], found["classes"]
    table = [("overall", "mIoU", whole["miou"])]
    table += [("class", f"IoU {name}", value) for name, value in zip(classes, whole["iou"], strict=True)]
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
    table += [("failure modes", f"errors: {mode}", v) for mode, v in zip(MODES, whole["modes"], strict=True)]
    for kind, section, label in (("by_size", "size", "{name} objects"), ("by_tag", "tag", "{name}")):
        for part in found[kind]:
            table.append((section, f"mIoU {label.format(name=part['name'])} ({part['images']})", part["miou"]))
    return [row for row in table if row[2] is not None]


def cells(estimate):
    """Return the texts of an estimate: A, B, difference, interval, p."""
    low, high = estimate["low"], estimate["high"]
    interval = "-" if low is None else f"{percent(low, '+')} to {percent(high, '+')}"
    return [percent(estimate["a"]), percent(estimate["b"]), percent(estimate["difference"], "+"), interval,
            p_value(estimate["p"])]  # fmt: skip


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
    """Return one paragraph: did B help, is it more complete, are classes more consistent, which errors changed."""
    sentences = [_headline(found), _completeness(found), _consistency(found), _modes(found), _caveats(found)]
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _headline(found):
    seeds = [len(found[key]["runs"]) for key in "ab"]
    many = f"{seeds[0]} seed{'s' * (seeds[0] > 1)} each" if len(set(seeds)) == 1 else f"{seeds[0]} and {seeds[1]} seeds"
    one, two = found["a"]["title"], found["b"]["title"]
    if min(seeds) == 1:  # the interval knows nothing of other seeds, so nothing is claimed of the supervision
        one, two = f"that of {one}", f"this run of {two}"
    value = found["overall"]["miou"]
    says = {1: f"{two} is better than {one}", -1: f"{two} is worse than {one}",
            0: f"There is {NONE} of a difference between {two} and {one}"}[evidence(value)]  # fmt: skip
    return f"{says}: test mIoU changes by {change(value)} on {found['images']} images, {many}."


def _completeness(found):
    value, far = found["overall"]["covered"], found["overall"]["covered_by_distance"]
    if value is None:
        return "Completeness can't be measured: the annotator clicks on no object."
    name = found["b"]["title"]
    says = {1: f"{name} covers objects more completely", -1: f"{name} covers objects less completely",
            0: f"There is {NONE} that {name} covers objects more or less completely"}[evidence(value)]  # fmt: skip
    apart = [f"{change(v)} at {place} object sizes from the click"
             for place, v in zip(bins(), far, strict=True) if evidence(v)]  # fmt: skip
    return f"{says}: {'; '.join([change(value), *apart])}."


def _consistency(found):
    value, name = found["overall"]["confused"], found["b"]["title"]
    if len(found["classes"]) < 3:
        return "With one object class there are no classes to confuse."
    if value is None:
        return "Class confusion can't be measured: some run finds no object."
    says = {1: f"{name} confuses object classes more", -1: f"{name} confuses object classes less",
            0: f"There is {NONE} that {name} confuses object classes more or less"}[evidence(value)]  # fmt: skip
    return f"{says}: {change(value)} of the object pixels found."


def _modes(found):
    values = dict(zip(MODES, found["overall"]["modes"], strict=True))
    shares = [s["a"] if s else 0 for s in found["overall"]["shares"]]
    changed = {mode: value for mode, value in values.items() if evidence(value)}
    if not any(shares):
        return f"{found['a']['title']} makes no error."
    largest = max(zip(shares, MODES, strict=True))
    start = f"The largest kind of error of {found['a']['title']} is {largest[1]} ({percent(largest[0])} %)"
    if not changed:
        return f"{start}; there is {NONE} that any kind became rarer or more frequent."
    return (
        f"{start}; what changed, in shares of all pixels: {', '.join(f'{m} {change(v)}' for m, v in changed.items())}."
    )


def _caveats(found):
    ranks, least = found["signed_rank"], min(len(found[key]["runs"]) for key in "ab")
    text = (
        f"Image by image, it is better on {ranks['better']} and worse on {ranks['worse']} of {ranks['images']} "
        f"(signed-rank p {p_value(ranks['p'])}, which speaks of these trained networks, not of other seeds)."
    )
    if least == 1:
        return f"{text} One seed says nothing of other seeds: the intervals are over test images alone."
    return text + (" Two seeds are few: the intervals may be too narrow." if least < FEW_SEEDS else "")
