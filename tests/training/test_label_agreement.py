"""What is said of labels that agree little: by classes, sources, and masks of other splits."""

import csv
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from tests.training.test_cross_validation import CLASSES, evidence_of, looks_of, names_of
from weakseg.common import UserError
from weakseg.training.agreement import (
    ENOUGH,
    FEW,
    HEAD,
    LESS,
    MOST_CLASSES,
    NAME,
    Agreed,
    Agreement,
    is_clearly_less,
)
from weakseg.training.cross_validation import cross_validated
from weakseg.training.other_masks import (
    MOST,
    SPLITS,
    lines_of_split,
    lines_on_other_masks,
    other_tables,
)

SEEDS = st.integers(0, 2**32 - 1)
NUMBERS = st.integers(10, 24)


def agreement_of(shares, sources=None):
    """Return that of {class: share of each photograph}."""
    rows = [
        Agreed(f"p{i:02}", label, 8, float(share), "")
        for label, own in shares.items()
        for i, share in enumerate(own)
    ]
    return Agreement(tuple(sorted(rows, key=lambda row: row.agreed)), sources or {})


@given(seed=SEEDS, number=NUMBERS, classes=st.integers(2, 21), data=st.data())
def test_classes_no_better_than_a_guess_stand_first(seed, number, classes, data):
    rng, guess = np.random.default_rng(seed), 1 / classes
    wrong = data.draw(st.sets(st.integers(0, classes - 1), max_size=classes))
    shares = {
        f"c{i:02}": rng.uniform(0, 2 * guess, number).clip(0, 1) * 0.95
        if i in wrong
        else rng.uniform(0.7, 1, number)
        for i in range(classes)
    }
    found = agreement_of(shares)
    told, line = found.no_better_than_a_guess(), found.in_words(NAME)
    low = {
        label
        for label, own in shares.items()
        if own.mean() <= 1.1 * guess
        and own.mean() + 2 * own.std(ddof=1) / number**0.5 < (1 + guess) / 2
    }
    assert {*told} == low
    assert ("no better than a guess" in line) == bool(low)
    assert not low or "is no better than a guess with " + next(iter(told)) in line
    assert f"a guess would with {100 * guess:.0f} %" in line
    if classes <= MOST_CLASSES:
        assert all(
            f"{label} ({100 * share:.0f} %)" in line for label, share in found.of_classes().items()
        )


@given(number=st.integers(1, ENOUGH - 1))
def test_a_class_that_few_photographs_show_is_not_judged(number):
    shares = {"background": np.ones(12), "cat": np.zeros(number)}
    assert not agreement_of(shares).no_better_than_a_guess()


@given(low=st.integers(0, 10))
def test_three_photographs_are_named_however_few_agree_little(low):
    found = agreement_of({"cat": [0.1] * low + [0.9] * (12 - low), "dog": [0.2] * 12})
    line, names = found.in_words(NAME), [*found.of_images()][:3]
    assert all(f"{name} (" in line for name in names)
    assert (f"less than {100 * FEW:.0f} % in {low} of 12" in line) == bool(low)


@settings(max_examples=3)
@given(seed=SEEDS, number=NUMBERS)
def test_a_source_that_swaps_classes_is_named_and_has_a_column(seed, number):
    looks = looks_of(3 * number)
    labels = looks.copy()
    labels[::3] = np.array([0, 2, 1])[looks[::3]]
    names = names_of(3 * number)
    sources = {name: ("bad",) if i % 3 == 0 else ("good", "fine") for i, name in enumerate(names)}
    found = cross_validated(evidence_of(labels, looks, seed=seed), names, CLASSES, 0, sources)
    (line,) = found.source_lines()
    assert "agrees with 33 % of the labels of bad, but with 100 % of all others" in line
    right = cross_validated(evidence_of(looks, looks, seed=seed), names, CLASSES, 0, sources)
    assert not right.source_lines() and len(right.lines(NAME)) == 1


@given(seed=SEEDS, number=st.integers(ENOUGH, 30), less=st.floats(0, 0.5))
def test_a_difference_is_told_by_students_t(seed, number, less):
    """Student's t of equal variances, by scipy; photographs that hardly differ count as if."""
    rng = np.random.default_rng(seed)
    own, others = rng.uniform(0, 0.5, number), rng.uniform(less, less + 0.5, 2 * number)
    t, difference = -ttest_ind(own, others).statistic, others.mean() - own.mean()
    assert is_clearly_less(own, others, LESS, 3.5) == (difference >= LESS and t >= 3.5)
    assert not is_clearly_less(own, own + LESS / 2, LESS, 0)
    assert is_clearly_less(np.zeros(number), np.ones(number), LESS, 3.5)


def test_a_class_that_one_source_labels_and_that_is_hard_is_not_its_fault():
    """All of its photographs show it, and in them it agrees as everywhere."""
    easy, hard = [0.95] * 20, [None] * 5 + [0.2] * 15
    rows = [Agreed(f"p{i:02}", "easy", 8, share, "") for i, share in enumerate(easy)]
    rows += [Agreed(f"p{i:02}", "hard", 8, share, "") for i, share in enumerate(hard) if share]
    sources = {f"p{i:02}": ("a",) if i < 5 else ("b",) for i in range(20)}
    assert not Agreement(tuple(rows), sources).source_lines()


@pytest.mark.parametrize("several", [True, False])
def test_several_sources_have_a_column(several, tmp_path):
    sources = {"p00": ("a", "b") if several else ("a",), "p01": ("a",)}
    agreement_of({"cat": [0.1, 0.9, 1.0]}, sources).write(tmp_path / NAME)
    with (tmp_path / NAME).open(newline="") as file:
        head, *rows = csv.reader(file)
    assert tuple(head) == HEAD + ("source",) * several
    assert [row[5:] for row in rows] == ([["a; b"], ["a"], [""]] if several else [[], [], []])


class Maps:
    """Features of a photograph of 24x1 pixels, each of which looks like a class."""

    size = (24, 1)

    def __init__(self, looks, seed):
        self.features = np.random.default_rng(seed).normal(0, 0.2, (24, 3))
        self.features[np.arange(24), looks] += 3

    def at(self, places):
        return self.features[np.asarray(places)[:, 0].astype(int)]


class Labels(dict):
    train_ids = names_of(12)


def lines_of(masks, signals=("full",), unreadable=()):
    """Return the lines on masks [N, 24] to test on beside right ones, and the photographs read.

    All photographs look alike; the only one to validate on is trained on.
    """
    looks, tests = looks_of(12), [f"t{i:02}" for i in range(len(masks))]

    def mask(name):
        if name in unreadable:
            raise UserError(name)
        return masks[int(name[1:])][None].astype(np.uint8)

    def features(name):
        read.append(name)
        return Maps(looks[0], int(name[1:]))

    read: list[str] = []
    splits = {"test": tests, "val": Labels.train_ids[:1]}
    dataset = SimpleNamespace(
        class_names=CLASSES, ids=splits.get, masked=list, mask=mask, photograph=str
    )
    labels = Labels({name: {"full": {}} for name in Labels.train_ids})
    run = SimpleNamespace(signals=signals, seed=0, probe=SimpleNamespace(pixels=24))
    found = evidence_of(looks, looks)
    agreement = cross_validated(found, labels.train_ids, CLASSES)
    tables = other_tables(run, dataset, labels, features, found)
    return lines_on_other_masks(tables, labels, agreement), read


@settings(max_examples=20)
@given(number=st.integers(0, 60), data=st.data())
def test_masks_to_test_on_that_look_wrong_are_told(number, data):
    """All, most, or single ones; at most 40 are looked at, and those that can't be read are not."""
    wrong = data.draw(st.sets(st.integers(0, max(number - 1, 0)), max_size=number))
    masks = np.tile(looks_of(1), (number, 1))
    for image in wrong:
        masks[image] = (masks[image] + 1) % 3
    lines, read = lines_of(masks, unreadable=["t03"])
    assert len(read) == len({*read}) <= MOST and {name[0] for name in read} <= {"t"}
    seen = {*read} - {"t03"}
    low = {name for name in seen if int(name[1:]) in wrong}
    told = " ".join(lines)
    if len(seen) < ENOUGH or not low:
        assert not lines
    elif low == seen:
        assert f"of the {SPLITS['test']}, but with" in told
        assert "or the photographs others: least with " in told
    elif "may be wrong" not in told:  # some of them are
        assert f"less than 25 % in {len(low)} of {len(seen)} {SPLITS['test']}: " in told
    assert len(lines) <= 1 and all(name in low for name in re.findall(r"t\d\d", told)[: len(low)])


def test_labels_that_are_no_masks_say_nothing_of_masks():
    assert lines_of(1 + np.zeros((8, 24), int), signals=("points",)) == ([], [])


@given(seed=SEEDS, number=st.integers(ENOUGH, MOST), classes=st.integers(2, 12))
def test_right_masks_of_hard_classes_are_not_told(seed, number, classes):
    """Each photograph shows some classes, and each class is as hard in all splits."""
    rng, means = np.random.default_rng(seed), np.random.default_rng(seed).uniform(0, 1, classes)

    def rows(photographs):
        return [
            Agreed(f"p{i}", str(k), 8, float((means[k] + rng.uniform(-0.1, 0.1)).clip(0, 1)), "")
            for i in range(photographs)
            for k in rng.permutation(classes)[:2]
        ]

    lines = lines_of_split(SPLITS["test"], rows(number), rows(40))
    assert not any("may be wrong" in line for line in lines)
