"""Answers to random pixels: where they lie, what they say and count, and how they are read."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import run
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

import weak_label_generator
from weakseg.common import IGNORE, UserError
from weakseg.labels.annotators import Options, Scene
from weakseg.labels.answers import (
    annotate_pixels,
    count_answers,
    last_answers,
    pixels_of_answers,
)
from weakseg.labels.checks import Picture, check_answers
from weakseg.labels.label_file import load_labels
from weakseg.labels.person import Faults, Person, faults_of

places = st.tuples(st.integers(0, 3), st.integers(0, 3))
answers = st.lists(
    st.builds(
        lambda place, label: {
            "x": place[0] + 0.5,
            "y": place[1] + 0.5,
            "class": label,
            "drawn": "random",
            "fit": 0,
        },
        places,
        st.sampled_from([0, 1, 2, IGNORE]),
    ),
    max_size=10,
)


def scene(mask, count=4, **options):
    return Scene(mask, options=Options(pixels_per_image=count, **options), name="a", num_classes=3)


def squares(height=30, width=40):
    mask = np.zeros((height, width), np.uint8)
    mask[5:20, 5:25], mask[20:25, 5:25] = 1, IGNORE
    return mask


def test_the_pixels_are_drawn_uniformly_from_the_whole_picture():
    drawn = annotate_pixels(scene(np.zeros((5, 8), np.uint8), 8000), np.random.default_rng(0))
    numbers = np.histogram2d(*np.array([[one["x"], one["y"]] for one in drawn]).T, (8, 5))[0]
    assert chisquare(numbers.ravel()).pvalue > 1e-4
    assert {one["x"] % 1 for one in drawn} == {one["y"] % 1 for one in drawn} == {0.5}
    assert {(one["drawn"], one["fit"]) for one in drawn} == {("random", 0)}


@given(st.integers(0, 100))
def test_an_answer_is_that_of_the_person_whoever_else_is_asked(seed):
    mask = squares()
    drawn = annotate_pixels(replace(scene(mask, 20), seed=5), np.random.default_rng(seed))
    person = Person(5, num_classes=3)
    for one in drawn:
        assert one["class"] == person.answer("a", mask, (one["x"], one["y"]))
    assert check_answers(drawn, Picture((40, 30), "abc", ())) == drawn


def test_without_faults_answers_say_what_the_mask_does():
    mask = squares()
    drawn = annotate_pixels(scene(mask, 300, faults=Faults(0, 0, 0)), np.random.default_rng(0))
    assert len(drawn) == 300
    for one in drawn:
        assert one["class"] == mask[int(one["y"]), int(one["x"])]


@given(answers)
def test_of_answers_to_one_pixel_the_last_holds(some):
    last = {(one["x"], one["y"]): one["class"] for one in some}
    assert {(one["x"], one["y"]): one["class"] for one in last_answers(some)} == last
    found = pixels_of_answers(some)
    told = {place: label for place, label in last.items() if label != IGNORE}
    assert dict(zip(map(tuple, found.places), found.classes, strict=True)) == told
    assert (found.weights == 1).all() and len(found.classes) == len(told)


@given(answers, st.integers(1, 30))
def test_a_pixel_counts_once_and_classes_tell_the_action(some, num_classes):
    counts = count_answers(some, num_classes)
    assert counts.pop("absent") == 0 and counts.pop("image") == bool(some)
    ((action, number),) = counts.items()
    assert action == ("answer_of_many" if num_classes > 10 else "answer")
    assert number == len({(one["x"], one["y"]) for one in some})


@given(answers)
def test_what_people_can_have_said_passes(some):
    assert check_answers(some, Picture((4, 4), "abc", (), is_simulated=True)) == some


@pytest.mark.parametrize("factors", [[2], [0, 1, 2.5]])
def test_a_flag_gives_one_factor_or_three(factors):
    found = faults_of(factors, "--faults")
    assert [found.cannot_tell, found.border, found.slip] == (factors * 3)[:3]


@pytest.mark.parametrize("factors", [[], [1, 2], [1] * 4, [-1], [1, float("nan"), 1]])
def test_other_factors_get_one_line(factors):
    with pytest.raises(UserError, match=r"^--faults: ") as caught:
        faults_of(factors, "--faults")
    assert "\n" not in str(caught.value)


def test_the_generator_asks_as_its_flags_say(pets_dir, tmp_path):
    flags = ["--data_dir", pets_dir, "--jobs", 1]
    paths = [tmp_path / name for name in ("usual.pkl", "many.pkl")]
    run(weak_label_generator, *flags, "--output_file", paths[0])
    run(
        weak_label_generator,
        *flags,
        *("--output_file", paths[1], "--pixels_per_image", 30, "--faults", 0, 0, 0),
    )
    usual, many = map(load_labels, paths)
    assert usual["options"]["faults"] == {"cannot_tell": 1.0, "border": 1.0, "slip": 1.0}
    assert many["options"]["faults"] == {"cannot_tell": 0.0, "border": 0.0, "slip": 0.0}
    for name, labels in usual["images"].items():
        assert len(labels["pixels"]) == 4 and len(many["images"][name]["pixels"]) == 30
        # All other labels stay as they are, whatever is asked.
        rest, same = (
            {key: value for key, value in one.items() if key != "pixels"}
            for one in (labels, many["images"][name])
        )
        assert rest == same
