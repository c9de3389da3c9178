"""Names of label files find their pictures: by path, by name, without what an upload adds."""

import pytest
from PIL import Image

from weakseg.common import UserError
from weakseg.labels.matching import Pictures


@pytest.fixture
def folder(tmp_path):
    for name in (
        "a.jpg",
        "x/b.jpg",
        "y/b.jpg",
        "x/Café 1.JPG",
        "0a1b2c3d-real.png",
        "c.tar.jpg",
        "why?.jpg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    return Pictures(tmp_path)


@pytest.mark.parametrize(
    "name, found",
    [
        ("a.jpg", "a"),
        ("a", "a"),
        ("A.JPG", "a"),
        ("a.png", "a"),  # converted for the tool
        ("./a.jpg", "a"),
        ("C:\\Users\\me\\pictures\\a.jpg", "a"),
        ("/home/me/data/x/b.jpg", "x/b"),
        ("images/y/b.jpg", "y/b"),
        ("/data/local-files/?d=set/y/b.jpg", "y/b"),
        ("/data/upload/3/0a1b2c3d-a.jpg", "a"),
        ("https://host.example/files/a.jpg?token=1", "a"),
        ("0a1b2c3d-real.png", "0a1b2c3d-real"),
        ("/data/upload/1/x/Caf%C3%A9%201.jpg", "x/Café 1"),
        ("Cafe\u0301 1.jpg", "x/Café 1"),
        ("c.tar.jpg", "c.tar"),
        ("c.tar", "c.tar"),
        ("a.jpg?token=1", "a"),
        ("local-files/?d=set/y/b.jpg", "y/b"),
        ("files?version=2&d=set%2Fy%2Fb.jpg", "y/b"),
        ("why?.jpg", "why?"),
        ("why?.jpg?token=1", None),
        ("d.jpg", None),
        ("d.jpg?d=e.jpg", None),
        ("http://[a.jpg", None),  # no address
        ("//[x]y/a.jpg", "a"),
        ("", None),
    ],
)
def test_a_name_finds_its_picture(folder, name, found):
    match = folder.find(name)
    assert (match.key if match else None) == found


@pytest.mark.parametrize(
    "name",
    ["b.jpg", "b", "z/b.jpg", "C:\\b.jpg", "b.jpg?token=1", "?d=b.jpg", f"b_jpg.rf.{'0' * 24}.jpg"],
)
def test_two_candidates_are_an_error_that_shows_both(folder, name):
    with pytest.raises(UserError, match=r"may be x/b\.jpg and y/b\.jpg"):
        folder.find(name)


@pytest.mark.parametrize(
    "name, found",
    [
        ("/data/upload/3/0a1b2c3d-photo_1_at_12.05.jpeg", "photo (1) at 12.05"),  # Label Studio
        ("photo-1-at-12-05_jpeg.rf.0123456789abcdef0123456789abcdef.jpg", "photo (1) at 12.05"),
        ("b_jpg.rf.0123456789abcdef0123456789abcdef.jpg", "b"),
        ("0a1b2c3d-b_1.jpg", "b_1"),  # not the one of which it might have been made
        ("photo_1_at_12.05.jpeg", None),  # nobody uploaded this
    ],
)
def test_names_that_an_upload_changed_find_their_pictures(tmp_path, name, found):
    for picture in ("photo (1) at 12.05.jpeg", "b.jpg", "b_1.jpg", "b 1.jpg"):
        Image.new("L", (4, 4)).save(tmp_path / picture)
    match = Pictures(tmp_path).find(name)
    assert (match.key if match else None) == found


def test_of_two_candidates_the_one_in_the_folder_of_its_label_file_is_meant(folder):
    match = folder.find("b.jpg", beside="labels/y/b")
    assert match.key == "y/b" and not match.is_elsewhere
    with pytest.raises(UserError, match=r"may be x/b\.jpg and y/b\.jpg"):
        folder.find("b.jpg", beside="labels/z/b")


def test_a_path_that_is_a_pictures_own_is_not_ambiguous(tmp_path):
    for name in ("a.jpg", "x/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    pictures = Pictures(tmp_path)
    found = pictures.find("a.jpg"), pictures.find("x/a.jpg")
    assert [match.key for match in found if match] == ["a", "x/a"]


def test_a_folder_without_pictures_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no picture is there"):
        Pictures(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        Pictures(tmp_path / "none")
