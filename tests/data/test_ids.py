"""Ids of images in lists and folders: what stays inside its folder is kept, all else refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from weakseg.common import UserError
from weakseg.data.datasets import Folder, Pets, Voc
from weakseg.data.ids import check_id, fault_of_id
from weakseg.data.layouts import names_in

HOSTILE = [
    "../a",
    "a/../../b",
    "..",
    "/etc/passwd",
    "a//b",
    "a/",
    "./a",
    ".",
    "",
    "a\\b",
    "..\\a",
    "C:/a",
    "C:a",
    "a\x1b[2J",
    "a\nb",
    "a\x00b",
    "a\u2028b",
    "a\udcff",
    7,
    None,
]


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_what_leads_elsewhere_or_steers_a_terminal_is_no_id(name):
    with pytest.raises(UserError, match=r"list\.txt, line 3: .* can't be a name, it") as error:
        check_id(name, "list.txt, line 3")
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "name", ["a", "sub/a", "été 1", "..a", "a..b", "写真　1", "a.b-c_d", "12:30", "-a", "~/a"]
)
def test_ordinary_names_are_ids(name):
    assert check_id(name, "list.txt") == name


@given(st.text())
def test_an_id_never_leaves_its_folder(name):
    if fault_of_id(name) is None:
        import os

        joined = os.path.normpath(os.path.join("/root/images", name))
        assert joined.startswith("/root/images/")
        assert joined == f"/root/images/{name}"


def picture(path, colour=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 6), colour, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Somebody's own pictures, one in a folder of its own."""
    for name in ("a", "b", "c", "cam 1/a", "cam 1/deep/a"):
        picture(tmp_path / "images" / f"{name}.png", 9)
        picture(tmp_path / "masks" / f"{name}.png", 1)
    picture(tmp_path / "images" / ".thumbnails" / "a.png")
    (tmp_path / "classes.txt").write_text("background\nblob\n")
    return tmp_path


def test_pictures_in_folders_keep_apart(folder):
    dataset = Folder(folder, cache_dir=folder / "cache")
    names = {name for split in ("trainval", "test") for name in dataset.ids(split)}
    assert names == {"a", "b", "c", "cam 1/a", "cam 1/deep/a"}
    image, mask = dataset.load("cam 1/a")
    assert image.shape == (4, 6, 3) and (mask == 1).all()


def test_lists_name_pictures_in_folders_with_and_without_suffix(folder):
    (folder / "trainval.txt").write_text("a\nb.png\ncam 1/a\n")
    (folder / "test.txt").write_text("cam 1/deep/a.png\nc\n")
    dataset = Folder(folder, cache_dir=folder / "cache")
    assert dataset.ids("trainval") == ["a", "b", "cam 1/a"]
    assert dataset.ids("test") == ["c", "cam 1/deep/a"]


@pytest.mark.parametrize("line", ["../a", "/a", "cam 1\\a", "x\x1b[2Jy", "cam 1//a"])
def test_a_line_that_is_no_id_is_refused_by_list_and_line(folder, line):
    (folder / "trainval.txt").write_text(f"# mine\na\n{line}\n")
    (folder / "test.txt").write_text("c\n")
    with pytest.raises(UserError, match=r"trainval\.txt, line 3: ") as error:
        Folder(folder, cache_dir=folder / "cache")
    assert str(error.value).isprintable()


def test_a_file_whose_name_is_no_id_is_refused(folder):
    picture(folder / "images" / "a\x1b[2J.png")
    with pytest.raises(UserError, match=r"it has a control character; rename the file"):
        Folder(folder, cache_dir=folder / "cache")


def test_a_class_name_with_a_control_character_is_refused(folder):
    (folder / "classes.txt").write_text("background\nblob\x07\n")
    with pytest.raises(UserError, match=r"classes\.txt, line 2: has a control character"):
        Folder(folder, cache_dir=folder / "cache")


def test_links_to_pictures_are_followed_and_lost_ones_are_absent(folder):
    (folder / "images" / "b.png").rename(folder / "far.png")
    (folder / "images" / "b.png").symlink_to(folder / "far.png")
    (folder / "images" / "lost.png").symlink_to(folder / "nowhere.png")
    dataset = Folder(folder, cache_dir=folder / "cache")
    assert "b" in dataset.ids("trainval") + dataset.ids("test")
    assert dataset.absent == 1


def test_pets_and_voc_refuse_ids_that_lead_elsewhere(tmp_path):
    lists = tmp_path / "annotations"
    lists.mkdir()
    for split in ("trainval", "test"):
        (lists / f"{split}.txt").write_text("../../a_1 1 1 1\n")
    with pytest.raises(UserError, match=r"trainval\.txt, line 1: .*leads out of its folder"):
        Pets(tmp_path)
    sets = tmp_path / "ImageSets" / "Segmentation"
    sets.mkdir(parents=True)
    for split in ("train", "val"):
        (sets / f"{split}.txt").write_text("good\n/etc/bad 1\n")
    with pytest.raises(UserError, match=r"train\.txt, line 2: .*absolute path"):
        Voc(tmp_path)
    with pytest.raises(UserError, match=r"val\.txt, line 2: .*absolute path"):
        names_in(sets / "val.txt")
