"""A command replaces what it wrote itself, and nothing of a person's."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.common import UserError, atomic_path
from weakseg.own_files import MARK, has_mark, is_record, refuse_to_replace, take

NAMES = st.lists(st.sampled_from(["a.md", "b.png", "masks"]), unique=True)


def lay(folder, names):
    for name in names:
        if name == "masks":
            (folder / name).mkdir()
        (folder / name / "p.png" if name == "masks" else folder / name).write_text("mine")


@given(NAMES, NAMES)
def test_a_folder_is_taken_unless_a_file_would_be_replaced(tmp_path_factory, there, wanted):
    folder = tmp_path_factory.mktemp("folder")
    lay(folder, there)
    if {*there} & {*wanted}:
        with pytest.raises(UserError, match=r"is there, and it\.py did not write it; move it"):
            take(folder, wanted, "it.py", "move it")
        assert not (folder / MARK).exists()
        take(folder, wanted, "it.py", "move it", is_ours=True)
    else:
        take(folder, wanted, "it.py", "move it")
    assert has_mark(folder, "it.py") and not has_mark(folder, "other.py")
    lay(folder, {*wanted} - {*there})  # a killed command's, which goes on
    take(folder, wanted, "it.py", "move it")


def test_empty_folders_and_absent_ones_are_anybodys(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / ".DS_Store").write_text("")
    refuse_to_replace(tmp_path, ["masks", "a.md"], "it.py", "move it")
    refuse_to_replace(tmp_path / "gone", ["masks"], "it.py", "move it")
    take(tmp_path / "gone", ["masks"], "it.py", "move it")
    assert has_mark(tmp_path / "gone", "it.py")


def test_two_commands_share_a_folder(tmp_path):
    take(tmp_path, ["a.md"], "it.py", "move it")
    take(tmp_path, ["b.png"], "other.py", "move it")
    assert has_mark(tmp_path, "it.py") and has_mark(tmp_path, "other.py")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"rows"', "\xff"])
def test_a_record_is_a_table_with_its_key(tmp_path, text):
    path = tmp_path / "record.json"
    assert not is_record(path, "rows")
    path.write_text(text)
    assert not is_record(path, "rows")
    path.write_text(json.dumps({"rows": []}))
    assert is_record(path, "rows") and not is_record(path, "pairs")


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "device"])
def test_only_a_file_is_replaced(tmp_path, kind):
    path, aim = tmp_path / "file.txt", tmp_path / "aim.txt"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = type(path)("/dev/null")
    else:
        path.symlink_to(aim)
    if kind == "link":
        aim.write_text("kept")
    with (
        pytest.raises(UserError, match=r"is a (link|pipe), .*name"),
        atomic_path(path) as temporary,
    ):
        temporary.write_text("anew")
    there = {"link": [aim, path], "dangling": [path], "pipe": [path], "device": []}[kind]
    assert sorted(tmp_path.iterdir()) == there
    assert path.is_symlink() == (kind in ("link", "dangling"))
    assert kind != "link" or aim.read_text() == "kept"
