"""Labels in another position than their photographs' are told; right ones and guesses are not."""

import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.labels.targets import View
from weakseg.labels.training_labels import TrainingLabels
from weakseg.learners.features import FeatureMaps
from weakseg.training.other_positions import (
    FEWEST,
    PLACES,
    POSITIONS,
    SLIGHT,
    Position,
    draw_cores,
    position_lines,
)

SIZE = (160, 120)  # width and height of the photographs
CELL = 4  # pixels of a cell of their features
CLASSES = ["background", "cat", "dog"]
SEEDS = st.integers(0, 2**32 - 1)


def scenes(number, seed):
    """Return class maps [rows, columns] of photographs that each show a cat and a dog."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((number, SIZE[1] // CELL, SIZE[0] // CELL), int)
    for one in maps:
        for label in (1, 2):
            top, left = rng.integers(0, 18), rng.integers(0, 26)
            one[top : top + rng.integers(7, 12), left : left + rng.integers(8, 14)] = label
    return maps


def line_of(maps, places, classes, signals=("points",), are_told=True):
    """Return what is said of clicks, in shares of the sides, on photographs that look like maps."""
    names = [f"p{i:02}" for i in range(len(maps))]
    looks = np.eye(3, dtype=np.float16)[maps].transpose(0, 3, 1, 2)
    features = {
        name: FeatureMaps((look,), (CELL,), SIZE, SIZE)
        for name, look in zip(names, looks, strict=True)
    }
    images = {}
    for name, where, kind in zip(names, places, classes, strict=True):
        told = np.column_stack([where * SIZE, kind]).tolist()
        images[name] = {"size": [*SIZE], "points": [[x, y, int(label)] for x, y, label in told]}
    labels = TrainingLabels(images, tuple(names), (), signals, (), 2, True)
    dataset = SimpleNamespace(photograph=str, class_names=CLASSES, has_background=True)
    run = SimpleNamespace(signals=signals, seed=0)
    return "".join(position_lines(run, dataset, labels, features.__getitem__, are_told))


def clicks(maps, seed, each=24):
    """Return places in shares of the sides [N, 2] of each photograph, and their classes [N]."""
    rng = np.random.default_rng(seed)
    places = rng.random((len(maps), each, 2))
    rows, columns = (places[..., axis] * maps.shape[2 - axis] for axis in (1, 0))
    classes = maps[np.arange(len(maps))[:, None], rows.astype(int), columns.astype(int)]
    return [*places], [*classes]


def undone(position, places):
    """Return where places come from that a position moves: it is affine."""
    shape = SIZE[0] / SIZE[1]
    origin, *axes = position.move(np.array([[0, 0], [1, 0], [0, 1]], float), shape)
    return (places - origin) @ np.linalg.inv(np.array(axes) - origin)


@given(seed=SEEDS, number=st.integers(FEWEST, 50))
@settings(max_examples=8)
def test_right_labels_are_left_in_peace(seed, number):
    maps = scenes(number, seed)
    assert line_of(maps, *clicks(maps, seed)) == ""


@pytest.mark.parametrize("position", POSITIONS, ids=lambda one: one.words)
def test_labels_in_each_position_are_told_by_its_name(position):
    maps = scenes(40, 1)
    places, classes = clicks(maps, 2)
    if position.step:
        places, classes = (
            [told[(place - position.step) % 40] for place in range(40)]
            for told in (places, classes)
        )
    wrong, kept = [], []
    for where, kind in zip(places, classes, strict=True):
        come = undone(position, where)
        inside = ((come >= 0) & (come < 1)).all(1)
        wrong.append(come[inside])
        kept.append(kind[inside])
    slight = position in SLIGHT  # marks may well lie to one side, areas don't
    assert not slight or "4 %" not in line_of(maps, wrong, kept)
    line = line_of(maps, wrong, kept, ("points", "boxes") if slight else ("points",))
    assert line.startswith(f"cross-validation: the labels seem to be {position.words}; ")


@pytest.mark.parametrize("position", POSITIONS[:7], ids=lambda one: one.words)
def test_some_photographs_in_another_position_are_told_by_name(position):
    maps, wrong = scenes(36, 1), range(0, 36, 3)
    places, classes = clicks(maps, 2, 30)
    for one in wrong:
        come = undone(position, places[one])
        inside = ((come >= 0) & (come < 1)).all(1)
        places[one], classes[one] = come[inside], classes[one][inside]
    line = line_of(maps, places, classes)
    number, first = re.search(
        r"labels of (\d+) of 36 photographs.*: first (.*); look", line
    ).groups()
    assert f"seem to be {position.words}, of others not" in line
    assert abs(int(number) - len(wrong)) <= 3
    assert {*first.split(", ")} <= {f"p{one:02}" for one in wrong}
    assert not line_of(maps, places, classes, are_told=False)


@pytest.mark.parametrize("seed", range(4))  # of guesses, one in some hundred is told by chance
def test_of_guesses_no_position_is_better(seed):
    maps = scenes(30, seed)
    places, classes = clicks(maps, seed)
    mixed = [np.random.default_rng(seed).permutation(kind) for kind in classes]
    line = line_of(maps, places, mixed)
    assert line == "" or "seem to fit other places in them better: first p" in line


def test_few_photographs_and_labels_without_places_say_nothing():
    maps = scenes(30, 1)
    places, classes = clicks(maps, 1)
    mirrored = [one * [-1, 1] + [1, 0] for one in places]
    assert line_of(maps, mirrored, classes)
    few = FEWEST - 1
    assert line_of(maps[:few], mirrored[:few], classes[:few]) == ""
    with warnings.catch_warnings(action="error"):
        assert line_of(maps, mirrored, [0 * kind for kind in classes]) == ""
    assert "tags" not in PLACES and line_of(maps, mirrored, classes, ("tags",)) == ""


def test_only_the_middle_of_a_box_is_object():
    drawn = draw_cores([[0, 0, 100, 100, 1]], View(200, 200, 100), 0)
    assert drawn[25, 25] == 1 and drawn[5, 5] == 255 and drawn[75, 75] == 0
    assert {*np.unique(drawn)} == {0, 1, 255}
    assert set(np.unique(draw_cores([[0, 0, 100, 100, 1]], View(200, 200, 100), 255))) == {1, 255}


def test_a_position_is_a_name_and_a_move():
    assert Position("as it is").move(np.array([[0.2, 0.3]]), 1.5).tolist() == [[0.2, 0.3]]
