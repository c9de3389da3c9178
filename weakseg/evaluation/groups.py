"""Runs that differ in nothing but their seed: found among results, loaded, and named for people."""

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from weakseg.common import UserError
from weakseg.evaluation.results import (
    Folders,
    Result,
    data_sets,
    load_result,
    refuse_other_images,
    refuse_other_windows,
    test_sets,
)
from weakseg.labels.costs import hours
from weakseg.training.run import FREE, LATER

Group = list[Result]  # seeds of one run, by rising seed

MAY_DIFFER = FREE | {"seed", "run_name", "amp"}  # settings, within a group
BUDGET = 1.2  # factor by which the hours of seeds may differ that share a budget of hours
WORDS = {"full": "masks"}  # other signals are named as people name them


def seed_of(result: Result) -> int:
    """Return the seed of a run."""
    return result["args"].get("seed", 0)


def seed_groups(results: Sequence[Result]) -> list[Group]:
    """Return the results in groups of seeds, in the order of the first run of each group.

    The same seed once more, under another name, belongs to another group: it is no further seed.
    """
    groups: dict[tuple[str, int], Group] = {}
    times: Counter[tuple[str, int]] = Counter()
    for result, *data in zip(results, data_sets(results), test_sets(results), strict=True):
        key, seed = f"{_settings(result)} {data}", seed_of(result)
        times[key, seed] += 1
        groups.setdefault((key, times[key, seed]), []).append(result)
    return [sorted(group, key=seed_of) for group in groups.values()]


def _settings(result: Result) -> str:
    """Return all that the runs of one group share besides their data, as text.

    A setting without a value counts as one that is not there, as in results of another version.
    """
    args = {
        key: value
        for key, value in result["args"].items()
        if key not in MAY_DIFFER and value not in (None, LATER.get(key))
    }
    same = (result.get(key) for key in ("tile", "epochs_done"))
    return json.dumps([args, *same], sort_keys=True)


def load_group(words: Sequence[str], folders: Folders, flag: str) -> Group:
    """Return the results that `words` name; they must be seeds of one run on one test set.

    The seeds of an equal-budget study may label different numbers of images, for about the same
    hours. flag: the one that the words come from, for messages
    """
    results = sorted((load_result(word, folders) for word in words), key=seed_of)
    for before, other in itertools.pairwise(results):
        if seed_of(before) == seed_of(other):
            raise UserError(
                f"{flag}: {before['run']} and {other['run']} both have seed {seed_of(other)}; "
                "name one"
            )
        _refuse_other_settings(results[0], other, flag)
    for other in results:
        refuse_other_images(results[0], other)
        refuse_other_windows(results[0], other)
    return results


def _refuse_other_settings(first: Result, other: Result, flag: str) -> None:
    """Raise `UserError` where two runs differ in more than their seed."""
    one, two = first["args"], other["args"]
    free = MAY_DIFFER | ({"train_limit"} if same_budget(first, other) else set())
    # A flag that one of them doesn't know yet, or no longer, was not used.
    one, two = LATER | one, LATER | two
    unlike = [key for key in (one | two) if key not in free and one.get(key) != two.get(key)]
    if unlike:
        raise UserError(
            f"{flag}: {first['run']} and {other['run']} differ in {unlike[0]}, but a group is one "
            "run with several seeds; compare them as --a and --b"
        )


def same_budget(first: Result, other: Result) -> bool:
    """Return whether the labels of two runs took about the same time."""
    low, high = sorted(hours(result["cost"]) for result in (first, other))
    return high <= BUDGET * low


def group_name(group: Sequence[dict[str, Any]]) -> str:
    """Return a name for a group that a folder can have: what the names of its runs begin with.

    Where they have nothing in common it is the first name and how many follow. Windows are added:
    the same runs can be compared in windows and whole.
    """
    names = [result["run"] for result in group]
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    begin = "".join(letters[0] for letters in alike).rstrip("_-. ")
    begin = begin.removesuffix("seed").rstrip("_-. ")
    name = names[0] if len(names) == 1 else begin or f"{names[0]}_and_{len(names) - 1}_more"
    tile = group[0].get("tile")
    return f"{name}_tile{tile['pixels']}_overlap{tile['overlap']:g}" if tile else name


def signal_words(signals: Sequence[str]) -> str:
    """Return what figures call a mix of labels: "Masks", "Tags + points"."""
    words = " + ".join(WORDS.get(signal, signal) for signal in signals)
    return words[:1].upper() + words[1:]


def supervision_words(result: Result) -> str:
    """Return what a run learnt from, for people: "Masks", "Boxes, strong", "Tags, probe".

    Of masks of another model nobody knows: it is their name.
    """
    signals = signal_words(result["supervision"]) or result["run"]
    if result["args"].get("learner") == "probe":
        return f"{signals}, probe"
    recipe = result["args"].get("recipe", "plain")
    # For masks the recipes are the same.
    is_plain = recipe == "plain" or result["supervision"] in (["full"], [])
    return signals if is_plain else f"{signals}, {recipe}"


def title(group: Group, groups: Sequence[Group]) -> str:
    """Return what figures and tables call a group: what it learnt from.

    Where other groups learnt from the same, the name of its run is added.
    """
    words = supervision_words(group[0])
    alike = sum(supervision_words(other[0]) == words for other in groups)
    return words if alike == 1 else f"{words} ({group_name(group)})"
