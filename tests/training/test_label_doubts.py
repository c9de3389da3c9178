"""Labels that are probably wrong: flipped ones come first, and what can't be judged is refused."""

import csv

import numpy as np
import pytest
from conftest import run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import labels
from weakseg.common import UserError
from weakseg.labels.carried import Carried
from weakseg.labels.formats.records import Classes, Shape
from weakseg.training.label_doubts import label_doubts, places_in, things_of

CLASSES = Classes(("background", "cat", "dog"))
COLOURS = {"background": (30, 120, 40), "cat": (200, 60, 40), "dog": (40, 60, 200)}


class Maps:
    """Features of a picture of three stripes, a class each: its colour, and noise."""

    size = (90, 40)

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def at(self, places):
        stripes = (np.asarray(places)[:, 0] // 30).astype(int)
        means = np.array([*COLOURS.values()], float)[stripes]
        return means + self.rng.normal(size=means.shape) * 20


def box(label, stripe):
    return Shape("box", label, [30.0 * stripe + 5, 5.0, 30.0 * stripe + 25, 35.0])


def pictures(number, wrong=()):
    """Labels of pictures of three stripes; `wrong`: those whose cat is called a dog."""
    found = {}
    for i in range(number):
        cat = "dog" if i in wrong else "cat"
        shapes = (
            Shape("click", "background", [10.0 + i % 5, 20.0]),
            Shape("click", cat, [45.0, 20.0]),
            box("dog", 2),
            Shape("tag", "cat", True),
        )
        found[f"p{i}"] = Carried((90, 40), shapes, (), None, 1, 0, False)
    return found


@settings(max_examples=5)
@given(st.sets(st.integers(0, 29), min_size=1, max_size=2))
def test_what_was_flipped_comes_first(wrong):
    doubts = label_doubts(pictures(30, wrong), CLASSES, lambda key: Maps(int(key[1:])))
    first = doubts[: len(wrong) ** 2]  # two can vouch for each other a little
    flipped = {one.picture for one in first if (one.shape.label, one.likelier) == ("dog", "cat")}
    assert flipped == {f"p{i}" for i in wrong}
    assert all(one.number == 1 for one in first if one.picture in flipped)
    chances = [one.chance for one in doubts]
    assert chances == sorted(chances) and 0 <= chances[0] and chances[-1] <= 1
    assert len(doubts) == 90  # tags name no place


def test_the_ranking_hangs_on_the_seed_alone():
    runs = [label_doubts(pictures(8), CLASSES, lambda key: Maps(int(key[1:])), s) for s in (1, 1)]
    assert runs[0] == runs[1]


def test_places_of_all_kinds_lie_in_their_shapes():
    rng = np.random.default_rng(0)
    ring = [[5.0, 5.0], [25.0, 5.0], [25.0, 30.0]]
    for shape in (box("cat", 0), Shape("outline", "cat", ring), Shape("polygon", "cat", [[ring]])):
        x, y = places_in(shape, (90, 40), rng).T
        assert (x >= 5).all() and (x <= 25).all() and (y >= 5).all() and (y <= 35).all()


def test_only_where_all_objects_are_shown_the_rest_is_background():
    rng, numbers = np.random.default_rng(0), {"background": 0, "cat": 1, "dog": 2}
    for complete, number in (((), 1), (("boxes",), 2), (("points",), 1)):
        one = Carried((90, 40), (box("dog", 2),), complete, None, 1, 0, False)
        things = things_of(one, numbers, (90, 40), CLASSES, rng)
        assert len(things) == number
        if number == 2:
            places, label, shape = things[1]
            x, y = places.T
            inside = (x > 65) & (x < 85) & (y > 5) & (y < 35)
            assert (label, shape) == (0, -1) and not inside.any()


@pytest.mark.parametrize("number, message", [(0, "no label names"), (1, "leave nothing")])
def test_too_few_labels_are_refused(number, message):
    with pytest.raises(UserError, match=message):
        label_doubts(pictures(number), CLASSES, lambda key: Maps(0))


def test_the_command_lists_and_draws_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my/images").mkdir(parents=True)
    rng, rows = np.random.default_rng(0), ["image,kind,class,x,y"]
    for i in range(12):
        stripes = np.repeat(np.array([*COLOURS.values()], float), 32, 0)[None].repeat(64, 0)
        noisy = (stripes + rng.normal(size=stripes.shape) * 10).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(tmp_path / f"my/images/p{i:02}.png")
        for label, x in (("background", 16), ("dog" if i == 7 else "cat", 48), ("dog", 80)):
            rows.append(f"p{i:02}.png,click,{label},{x},30")
    (tmp_path / "my/classes.txt").write_text("background\ncat\ndog\n")
    (tmp_path / "clicks.csv").write_text("\n".join(rows))
    run(labels, "import", "clicks.csv", "--images", "my/images", "--output", "mine")
    check = ["check", "--labels", "mine", "--images", "my/images", "--cache_dir", "cache"]
    for _ in range(2):  # it replaces its own files
        run(labels, *check, "--wrong", 2, "--img_size", 96)
    assert "p07.png: click of dog" in capsys.readouterr().out
    lines = [*csv.reader((tmp_path / "mine/wrong.csv").open())]
    assert lines[0] == ["picture", "kind", "class", "likelier", "chance"] and len(lines) == 37
    assert lines[1][:4] == ["p07.png", "click", "dog", "cat"]
    assert (tmp_path / "mine/wrong.png").stat().st_size > 5000


def test_a_persons_file_is_not_replaced(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my/images").mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(tmp_path / "my/images/a.png")
    (tmp_path / "c.csv").write_text("image,kind,class,x,y\na.png,click,cat,3,3\n")
    run(labels, "import", "c.csv", "--images", "my/images", "--output", "mine")
    for words, message in (
        (["--wrong", 2], "--wrong 2: takes a number from 1, and --images"),
        (["--wrong", 0, "--images", "my/images"], "--wrong 0: takes a number from 1"),
    ):
        with pytest.raises(UserError, match=message):
            run(labels, "check", "--labels", "mine", *words)
