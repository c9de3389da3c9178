"""Masks with palettes: a number must mean one thing in all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outcomes import assert_refused, outcome
from PIL import Image

import labels
import weak_label_generator
from weakseg.common import UserError
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.data.palettes import GREY, Palettes, colours_of

COLOURS = {0: (0, 0, 0), 1: (255, 0, 0), 2: (0, 255, 0), 3: (0, 0, 255)}


def masked(path, numbers, table=None):
    """Write a mask of these numbers, with a palette or grey."""
    image = Image.fromarray(np.repeat(np.array(numbers, np.uint8), 8).reshape(-1, 8))
    if table is not None:
        image = image.convert("P")
        image.putpalette([value for colour in table for value in colour])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@given(st.permutations(range(4)), st.permutations(range(4)), st.lists(st.integers(0, 3)))
def test_masks_go_together_where_no_number_changes_its_colour(tmp_path_factory, one, two, shown):
    folder, palettes = tmp_path_factory.mktemp("masks"), Palettes()
    paths = [
        masked(folder / f"{name}.png", [0, 1, 2, 3], [COLOURS[n] for n in order])
        for name, order in (("one", one), ("two", two))
    ]
    palettes.add(paths[0], shown)
    if any(one[number] != two[number] for number in shown):
        with pytest.raises(UserError, match=r"two\.png: shows .*one\.png as #.*--mask_values '#"):
            palettes.add(paths[1], shown)
    else:
        palettes.add(paths[1], shown)
    palettes.add(masked(folder / "grey.png", [0, 1, 2, 3]), shown)


def test_a_palette_that_repeats_the_numbers_says_nothing():
    grey = [value for number in range(256) for value in (number, number, number)]
    assert colours_of(grey, range(256)) == {}
    assert colours_of([9, 9, 9, *grey[3:]], [0, 1]) == {0: 9 * GREY, 1: GREY}
    assert colours_of([1, 2, 3], [0, 7, 255]) == {0: 0x010203}  # a short palette


@pytest.fixture
def folder(tmp_path):
    """Eight pictures; the palettes of their masks number the same two colours by turns."""
    root = tmp_path / "mine"
    for number in range(8):
        swapped = number % 2
        order = [COLOURS[n] for n in ((0, 2, 1) if swapped else (0, 1, 2))]
        path = root / "images" / f"p{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((24, 8, 3), 40 * swapped, np.uint8)).save(path)
        masked(root / "masks" / f"p{number}.png", np.repeat([0, 1, 2], 8), order)
    (root / "classes.txt").write_text("background\nred\ngreen\n")
    return root


def test_masks_that_number_their_colours_anew_are_refused_by_every_reader(folder, tmp_path, capsys):
    draw = ["--data_dir", folder, "--cache_dir", tmp_path / "cache", "--jobs", 1]
    draw += ["--output_file", tmp_path / "labels.pkl"]
    line = assert_refused(weak_label_generator, draw, capsys)
    assert "p0.png" in line + "p1.png" and "shows 1 as #" in line and "--mask_values" in line
    take = ["import", folder / "masks", "--images", folder / "images"]
    take += ["--output", tmp_path / "store"]
    assert "shows 1 as #" in assert_refused(labels, take, capsys)
    meant = ["--mask_values", "#000000=background", "#ff0000=red", "#00ff00=green"]
    assert outcome(weak_label_generator, [*draw, *meant], capsys).code == 0
    assert outcome(labels, [*take, *meant], capsys).code == 0
    data = open_dataset(DataOptions(str(folder), mask_values=tuple(meant[1:])))
    data.check_masks(data.ids("trainval"), "training")
    assert (data.mask("p0")[8:16] == 1).all() and (data.mask("p1")[8:16] == 2).all()


def test_numbers_that_are_given_a_meaning_are_compared_as_they_are_in_the_files(folder, tmp_path):
    options = DataOptions(str(folder), cache_dir=str(tmp_path), mask_values=("1=green", "2=red"))
    data = open_dataset(options)
    with pytest.raises(UserError, match="shows 1 as #"):
        data.check_masks(data.ids("trainval"), "training")
