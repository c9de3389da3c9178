"""What files hold is told from what other files of the same size hold."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.common import UserError
from weakseg.data import contents
from weakseg.data.contents import ABSENT, BLOCK, Contents, content_of

BYTES = st.binary(max_size=200)


@given(BYTES, BYTES, st.booleans())
def test_files_of_other_bytes_are_told_apart(tmp_path_factory, one, other, is_whole):
    path, second = tmp_path_factory.mktemp("two") / "a", tmp_path_factory.mktemp("two") / "b"
    path.write_bytes(one)
    second.write_bytes(other)
    assert (content_of(path, is_whole) == content_of(second, is_whole)) == (one == other)


@given(st.integers(0, 40_000), st.integers(0, 40_000))
def test_a_large_photograph_is_known_by_its_size_and_three_blocks(tmp_path_factory, size, place):
    path = tmp_path_factory.mktemp("large") / "a"
    path.write_bytes(bytes(size))
    before, longer = content_of(path, False), content_of(path, True)
    path.write_bytes(bytes(size + 1))
    assert content_of(path, False) != before and content_of(path, True) != longer
    if place < size:
        path.write_bytes(bytes(place) + b"1" + bytes(size - place - 1))
        middle = (size - BLOCK) // 2
        is_read = any(at <= place < at + BLOCK for at in (0, middle, size - BLOCK))
        assert (content_of(path, False) != before) == is_read
        assert content_of(path, True) != longer


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three files of one size and time of writing, and what holds their contents."""
    monkeypatch.setattr(contents, "FEW", 0)
    paths = [tmp_path / name for name in "abc"]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 9)
        os.utime(path, ns=(1, 10**18))
    return paths, lambda: Contents(tmp_path / "cache", tmp_path)


def test_a_file_is_read_once_until_it_changes(files, monkeypatch):
    paths, opened = files
    once = opened().of(paths, True)
    assert len({*once}) == 3
    read = []
    monkeypatch.setattr(contents, "content_of", lambda *given: read.append(given) or "x")
    assert opened().of(paths, True) == once and not read
    assert opened().of(paths, False) == ["x"] * 3


def test_files_that_were_swapped_are_read_anew(files, tmp_path):
    paths, opened = files
    first, second, third = opened().of(paths, True)
    paths[0].rename(tmp_path / "x")
    paths[1].rename(paths[0])
    (tmp_path / "x").rename(paths[1])
    assert opened().of(paths, True) == [second, first, third]
    paths[2].unlink()
    assert opened().of(paths, True) == [second, first, ABSENT]


@pytest.mark.parametrize("damage", ["[", "[1]", '{"a": 1}', "[" * 99999])
def test_what_is_remembered_may_be_damaged(files, damage):
    paths, opened = files
    right = opened().of(paths, True)
    opened().store.write_text(damage)
    assert opened().of(paths, True) == right


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"folder: cannot be read"):
        Contents(tmp_path, tmp_path).of([make(tmp_path / "folder")], True)


def make(folder):
    folder.mkdir()
    return folder
