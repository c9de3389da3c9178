"""Whether labels agree with those of other photographs: wrong ones come first, right ones don't."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import train
from tests.conftest import run
from tests.training.test_probe_runs import TINY
from weakseg.common import IGNORE
from weakseg.training.agreement import EXCHANGED, HEAD, NAME
from weakseg.training.cross_validation import LEAST, cross_validated
from weakseg.training.pixel_sample import LabelledPixels
from weakseg.training.probe_evidence import Evidence

CLASSES = ["background", "cat", "dog"]
EACH = 8  # pixels of each class in a photograph
SEEDS = st.integers(0, 2**32 - 1)
NUMBERS = st.integers(LEAST, 20)


def evidence_of(labels, looks, groups=None, seed=0):
    """Return evidence of photographs: the classes [I, P] of pixels that look like others [I, P]."""
    rng, number = np.random.default_rng(seed), len(labels)
    features = rng.normal(0, 0.2, (labels.size, len(CLASSES)))
    features[np.arange(labels.size), looks.reshape(-1)] += 3
    images, weights = np.repeat(np.arange(number), labels.shape[1]), np.ones(labels.size)
    marks = LabelledPixels(features.astype(np.float16), labels.reshape(-1), weights, images)
    nothing, yes = marks.part(images < 0), np.ones(number, bool)
    pool = marks.features.reshape(number, labels.shape[1], -1)
    first = np.full(labels.shape, IGNORE, np.uint8)
    groups = np.arange(number) if groups is None else groups
    return Evidence(marks, nothing, nothing, pool, pool, first, yes, 0.0, yes, yes, groups)


def looks_of(number, classes=3):
    return np.tile(np.repeat(np.arange(classes), EACH), (number, 1))


def names_of(number):
    return [f"p{i:02}" for i in range(number)]


@given(seed=SEEDS, number=NUMBERS, data=st.data())
def test_the_photographs_whose_classes_are_swapped_come_first(seed, number, data):
    looks = looks_of(number)
    swapped = data.draw(st.sets(st.integers(0, number - 1), max_size=number // 5))
    labels = looks.copy()
    for image in swapped:
        labels[image] = np.array([0, 2, 1])[looks[image]]
    found = cross_validated(evidence_of(labels, looks, seed=seed), names_of(number), CLASSES)
    shares = found.of_images()
    assert {*[*shares][: len(swapped)]} == {f"p{i:02}" for i in swapped}
    for name, share in shares.items():
        assert share == pytest.approx(1 / 3 if int(name[1:]) in swapped else 1)
    wrong = {(row.label, row.instead) for row in found.rows if row.instead}
    assert wrong == ({("cat", "dog"), ("dog", "cat")} if swapped else set())
    assert len(found.exchanged_lines()) == (len(swapped) >= EXCHANGED)
    for line in found.exchanged_lines():
        assert "cat and dog seem to have each other's names" in line
        assert f"in {len(swapped)} of the {number} photographs that show both" in line
        assert f": {', '.join([f'p{i:02}' for i in sorted(swapped)][:3])};" in line
    assert all(row.pixels == EACH for row in found.rows) and len(found.rows) == 3 * number


@given(seed=SEEDS, number=NUMBERS)
def test_answers_at_random_agree_as_often_as_a_guess(seed, number):
    looks = looks_of(number, 2)
    labels = np.random.default_rng(seed).permuted(looks, axis=1)
    found = cross_validated(evidence_of(labels, looks, seed=seed), names_of(number), CLASSES[:2])
    share = np.mean([*found.of_classes().values()])
    assert abs(share - 0.5) < 5 * 0.5 / (2 * EACH * number) ** 0.5


@given(seed=SEEDS, number=st.integers(2 * LEAST, 20))
def test_photographs_of_one_group_do_not_vouch_for_each_other(seed, number):
    """Those of one patient are all swapped: they would agree among themselves."""
    looks = np.concatenate([looks_of(number, 2), looks_of(3, 2)])
    labels = np.concatenate([looks[:number], 1 - looks[number:]])
    groups = np.array([*range(number), *[number] * 3])
    found = cross_validated(
        evidence_of(labels, looks, groups, seed), names_of(number + 3), CLASSES[:2]
    )
    first = [*found.of_images().items()][:4]
    assert {int(name[1:]) for name, _ in first[:3]} == {number, number + 1, number + 2}
    assert first[2][1] < 0.1 and first[3][1] > 0.8


@given(seed=SEEDS, groups=st.integers(1, 2))
def test_photographs_of_fewer_groups_than_folds_are_compared_one_by_one(seed, groups):
    looks = looks_of(12)
    labels = looks.copy()
    labels[5] = np.array([0, 2, 1])[looks[5]]
    evidence = evidence_of(labels, looks, np.arange(12) % groups, seed)
    found = cross_validated(evidence, names_of(12), CLASSES)
    assert next(iter(found.of_images())) == "p05" and len(found.of_images()) == 12


@given(seed=SEEDS)
def test_what_nothing_can_be_compared_with_is_not_judged(seed):
    few, many = looks_of(LEAST - 1), looks_of(LEAST)
    assert cross_validated(evidence_of(few, few), names_of(len(few)), CLASSES) is None
    alone = np.zeros_like(many)
    assert cross_validated(evidence_of(alone, many), names_of(len(many)), CLASSES) is None
    one = many.copy()
    one[one == 2] = 1
    one[0] = many[0]  # the only photograph that shows dogs
    found = cross_validated(evidence_of(one, many, seed=seed), names_of(len(many)), CLASSES)
    assert {row.label for row in found.rows} == {"background", "cat"}


def test_the_line_names_the_worst_and_the_table_has_all(tmp_path):
    looks = looks_of(20, 2)
    labels = looks.copy()
    labels[7] = 1 - labels[7]
    found = cross_validated(evidence_of(labels, looks), names_of(20), CLASSES[:2])
    line = found.in_words(tmp_path / NAME)
    assert "agrees with 95 % of the labels, a guess would with 50 %" in line
    little = "with less than 25 % in 1 of 20"
    assert f"of photographs least with p07 (0 %), p00 (100 %), p01 (100 %), {little}:" in line
    assert line.endswith(str(tmp_path / NAME))
    found.write(tmp_path / NAME)
    with (tmp_path / NAME).open(newline="") as file:
        head, *rows = csv.reader(file)
    assert tuple(head) == HEAD and len(rows) == 40
    assert [row[0] for row in rows[:3]] == ["p07", "p07", "p00"] and rows[0][3] == "0.000"


@pytest.mark.parametrize("learner", ["probe", "unet"])
def test_training_says_it_and_keeps_the_table(learner, pets_dir, pets_labels, tmp_path, capsys):
    given_ = ["--data_dir", pets_dir, "--weak_label_path", pets_labels, "--cache_dir", tmp_path]
    few = ["--train_limit", 10, "--rounds", 0] if learner == "probe" else ["--train_limit", 10]
    flags = ["--learner", learner, "--supervision_mode", "points", *few, *given_]
    folder = tmp_path / "runs" / "r"
    tiny = TINY if learner == "probe" else ["--img_size", 64, "--epochs", 1, "--batch_size", 5]
    run(train, *flags, *tiny, "--checkpoint_dir", folder.parent, "--run_name", "r")
    said = capsys.readouterr().out
    assert said.count("cross-validation: ") == 1 and str(folder / NAME) in said
    with (folder / NAME).open(newline="") as file:
        assert len({row["image"] for row in csv.DictReader(file)}) == 10
    written = (folder / NAME).read_bytes()
    run(train, *flags, *tiny, "--checkpoint_dir", folder.parent, "--run_name", "r", "--resume")
    assert "cross-validation" not in capsys.readouterr().out
    assert (folder / NAME).read_bytes() == written
