"""Folders that are called as the parts of a split are its lists, or a line says why not."""

import shutil

import pytest
from made_folders import mask, opened, picture, write

from weakseg.common import UserError


@pytest.fixture
def folder(tmp_path):
    """Ten pictures in each of three folders, of two classes, without lists."""
    root = tmp_path / "data"
    write(root / "classes.txt", "background", "fox", "owl")
    for number in range(30):
        name = f"{('a', 'b', 'c')[number // 10]}/p{number:02d}"
        picture(root / "images" / f"{name}.jpg", (8 + number, 6))
        mask(root / "masks" / f"{name}.png", [0, 1 + number % 2], (8 + number, 6))
    return root


def renamed(root, **names):
    """Give the folders of the pictures, and those of the masks, other names."""
    for old, new in names.items():
        for part in ("images", "masks"):
            (root / part / old).rename(root / part / new)


def told(dataset):
    return [line for line in dataset.notes() if "are to test on" in line]


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "more", "TESTING")])
def test_folders_so_called_are_the_lists_and_lists_come_first(names, folder):
    plain = opened(folder)
    assert told(plain) == []
    renamed(folder, **dict(zip("abc", names, strict=True)))
    dataset = opened(folder)
    (line,) = told(dataset)
    assert f"the 10 pictures in {names[2]} are to test on" in line
    assert {name.split("/")[0] for name in dataset.ids("test")} == {names[2]}
    assert len(dataset.ids("trainval")) == 20
    write(folder / "groups.txt", f"{names[0]}/p01, one", f"{names[2]}/p21, one")
    with pytest.raises(UserError, match="the folder to test on and in others; move all of them"):
        opened(folder)
    (folder / "groups.txt").unlink()
    write(folder / "test.txt", f"{names[0]}/p01")
    write(folder / "trainval.txt", f"{names[0]}/p02", f"{names[2]}/p22")
    assert opened(folder).ids("test") == [f"{names[0]}/p01"] and told(opened(folder)) == []


def test_without_a_folder_to_test_on_or_its_masks_a_hash_chooses_and_a_line_says_so(folder):
    renamed(folder, a="train", b="val")
    (line,) = told(opened(folder))
    assert "no folder is called test, so" in line and "call one so, or write trainval.txt" in line
    renamed(folder, c="test")
    shutil.rmtree(folder / "masks" / "test")
    (line,) = told(opened(folder))
    assert "no picture in test has a mask, so" in line
    assert {name.split("/")[0] for name in opened(folder).ids("test")} <= {"train", "val"}
    shutil.rmtree(folder / "masks")  # with none at all, labels come from elsewhere
    assert len(opened(folder).ids("test")) == 10
