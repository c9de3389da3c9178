"""Clicks of people are scaled, mapped to classes, counted where they miss, and simulated."""

import json
from collections import Counter

import numpy as np
import pytest
from conftest import run

import weak_label_generator
from weakseg.common import UserError
from weakseg.data.datasets import DataOptions, Voc
from weakseg.labels.annotators import Scene
from weakseg.labels.human_clicks import HumanClicks, simulate_like
from weakseg.labels.label_file import load_labels


class Photographs:
    """Images of 40 x 20 pixels with VOC's numbers; cats and dogs are asked for, as one class."""

    has_background = True

    def lookup(self, name):
        table = np.full(256, -1, np.int16)
        table[:21], table[255] = 0, 255
        table[Voc.all_classes.index("cat")] = table[Voc.all_classes.index("dog")] = 1
        return table

    def image_size(self, name):
        return 40, 20


def clicks(tmp_path, **images):
    path = tmp_path / "clicks.json"
    path.write_text(json.dumps(images))
    return HumanClicks(path)


def at(x, y, cls):
    return {"x": x, "y": y, "cls": cls, "rank": 1}


def test_clicks_are_scaled_mapped_and_counted(tmp_path):
    entry = {
        "size": [80, 40],
        "points": [
            at(10, 30, 8),
            at(79, 39, 12),
            at(5, 5, 15),
            at(81, 5, 8),
        ],  # two pets, a person, one beside it
        "background": [at(0, 0, 0), at(40, 40, 0)],
    }
    people = clicks(tmp_path, a=entry)
    assert people.points(Photographs(), "a") == [[5, 15, 1], [39.5, 19.5, 1], [0, 0, 0]]
    assert people.outside == 2


@pytest.mark.parametrize(
    "number, label, words", [(8, 1, ""), (8, 2, "2 of 2 clicks"), (99, 1, "1 clicks of classes")]
)
def test_clicks_that_masks_deny_or_cannot_show_are_told(number, label, words, tmp_path):
    class Masked(Photographs):
        def mask(self, name):
            return np.full((20, 40), label, np.uint8)

    entry = {"size": [40, 20], "points": [at(10, 10, number), at(20, 10, 8)], "background": []}
    people = clicks(tmp_path, a=entry)
    lines = [*people.lines(Masked(), {"a": people.points(Masked(), "a")})]
    assert [words in line for line in lines] == [True] * bool(words)


def test_images_without_a_click_are_counted(tmp_path):
    empty, other = ({"size": [40, 20], "points": p, "background": []} for p in ([], [at(1, 1, 15)]))
    people = clicks(tmp_path, a=empty, b=other)  # of a person, for which nobody asks
    (line,) = people.lines(Photographs(), {k: people.points(Photographs(), k) for k in "ab"})
    assert line == f"{tmp_path / 'clicks.json'}: 2 of 2 images have no click, the first is a"


def test_without_a_background_class_0_is_clicked_and_nothing_is_behind(tmp_path):
    class Streets(Photographs):
        has_background = False

        def lookup(self, name):
            return np.where(np.arange(256) < 3, np.arange(256), -1)

    points = [at(1, 2, 0), at(3, 4, 2), at(5, 5, 9)]
    entry = {"size": [40, 20], "points": points, "background": [at(0, 0, 0)]}
    people = clicks(tmp_path, a=entry).points(Streets(), "a")
    assert people == [[1, 2, 0], [3, 4, 2]]
    mask = np.zeros((20, 40), np.uint8)
    scene = Scene(mask, has_background=False)
    like = simulate_like(people, scene, np.random.default_rng(0))
    assert [point[2] for point in like] == [0]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (None, "has no 'a' for the image a"),
        ({"size": [4, 4], "points": []}, "has no 'background'"),
        (
            {"size": [4, 4], "points": [{"x": "no", "y": 1, "cls": 8}], "background": []},
            "not of the documented form",
        ),
        (
            {"size": [4, 4], "points": [at(1, 1, 999)], "background": []},
            "not of the documented form",
        ),
        *(
            ({"size": size, "points": [at(1, 1, number)], "background": []}, "not of the docum")
            for size, number in (
                ([4, 4], -248),
                ([4, 4], 1.5),
                ([4, 4], "8"),
                ([4, 4], None),
                ([0, 4], 8),
                ([4], 8),
                ("4x4", 8),
            )
        ),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, entry, words):
    people = clicks(tmp_path, **({"a": entry} if entry else {"b": {}}))
    with pytest.raises(UserError, match=words):
        people.points(Photographs(), "a")


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"../a": {}}'])
def test_a_file_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    for path in (tmp_path / "x.json", tmp_path / "absent.json"):
        with pytest.raises(UserError, match="--clicks"):
            HumanClicks(path)


def test_simulated_clicks_are_as_many_and_true(tmp_path):
    rng, mask = np.random.default_rng(0), np.zeros((40, 60), np.uint8)
    mask[5:15, 5:20], mask[20:36, 30:50], mask[2:6, 50:58] = 1, 1, 2
    for counts in ({1: 1, 0: 2}, {1: 3, 2: 1, 0: 1}, {1: 5, 2: 4}, {}):
        points = [[1.0, 1.0, label] for label, count in counts.items() for _ in range(count)]
        found = simulate_like(points, Scene(mask), rng)
        assert Counter(p[2] for p in found) == Counter(counts)
        assert all(mask[int(y), int(x)] == label for x, y, label in found)
    first, second = (p for p in simulate_like([[0, 0, 1]] * 2, Scene(mask), rng))
    assert first[0] > 30 > second[0]  # each object its own, the larger one first
    assert simulate_like([[0, 0, 3]], Scene(mask), rng) == []


def test_the_generator_writes_them(pets_dir, tmp_path):
    import argparse

    from weakseg.data.datasets import add_data_arguments, open_dataset

    parser = argparse.ArgumentParser()
    add_data_arguments(parser)
    dataset = open_dataset(DataOptions.of(vars(parser.parse_args(["--data_dir", str(pets_dir)]))))
    # Pet's masks hold 1 for the pet and 2 for the background, whatever the species.
    entry = {
        name: {
            "size": list(dataset.image_size(name)),
            "points": [at(3, 3, 1), at(9, 9, 1)],
            "background": [at(1, 1, 2)],
        }
        for name in dataset.ids("trainval")
    }
    (tmp_path / "clicks.json").write_text(json.dumps(entry))
    common = ["--data_dir", pets_dir, "--jobs", 1, "--clicks", tmp_path / "clicks.json"]
    run(weak_label_generator, *common, "--output_file", tmp_path / "people.pkl")
    run(
        weak_label_generator,
        *common,
        "--output_file",
        tmp_path / "simulated.pkl",
        "--simulated_clicks",
    )
    people, simulated = (
        load_labels(str(tmp_path / f"{name}.pkl")) for name in ("people", "simulated")
    )
    assert people["options"]["clicks"] == simulated["options"]["clicks"]
    assert not people["options"]["simulated_clicks"] and simulated["options"]["simulated_clicks"]
    for name in entry:
        points = people["images"][name]["points"]
        assert [p[:2] for p in points] == [[3, 3], [9, 9], [1, 1]] and points[2][2] == 0
        ours = simulated["images"][name]["points"]
        assert Counter(p[2] for p in ours) == Counter(p[2] for p in points)
        mask = dataset.mask(name)
        assert all(mask[int(y), int(x)] == label for x, y, label in ours)


def test_simulated_clicks_need_a_file(pets_dir, tmp_path):
    with pytest.raises(UserError, match="--simulated_clicks: needs --clicks"):
        run(
            weak_label_generator,
            "--data_dir",
            pets_dir,
            "--simulated_clicks",
            "--output_file",
            tmp_path / "x.pkl",
        )
