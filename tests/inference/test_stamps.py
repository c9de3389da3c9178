"""A picture is predicted again where its file holds something else; a flat one is told."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from weakseg.common import UserError
from weakseg.data.image_io import read_image
from weakseg.data.predictions import stamp
from weakseg.data.reading import Photograph, Reading
from weakseg.inference.journal import open_folder
from weakseg.inference.pictures import Job, is_one_grey, is_shallow, left_over

OF_16_BITS = Reading(value_range=(100, 60_000))


def test_a_picture_that_was_swapped_at_equal_size_and_time_is_not_done(tmp_path):
    path, other = tmp_path / "a.bmp", tmp_path / "b.bmp"
    for number, file in enumerate((path, other)):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(file)
        os.utime(file, ns=(1, 10**18))
    job = Job(tmp_path, tmp_path / "best.pt", "cpu", (), Reading(), None, (), None)
    line = {"id": "a", **stamp(path)}
    assert job.is_done(line, path)
    other.replace(path)
    assert not job.is_done(line, path)
    del line["held"]  # of an earlier version
    assert job.is_done(line, path)
    path.unlink()
    assert not job.is_done(line, path)


@pytest.mark.parametrize(
    ("top", "kind", "is_grey"),
    [(4095, np.uint16, True), (50_000, np.uint16, False), (10**6, np.float32, True)],
)
def test_values_of_another_range_are_told(tmp_path, top, kind, is_grey):
    path = tmp_path / ("a.png" if kind is np.uint16 else "a.tif")
    Image.fromarray(np.linspace(0, top, 64).astype(kind).reshape(8, 8)).save(path)
    photograph = Photograph(path, OF_16_BITS)
    assert is_one_grey(photograph, np.asarray(read_image(photograph))) == is_grey
    assert not is_one_grey(Photograph(path), np.zeros((8, 8, 3), np.uint8))
    assert not is_shallow(photograph)


def test_eight_bits_have_no_range_and_are_told_where_a_run_has_one(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (9, 9)).save(path)
    assert not is_one_grey(Photograph(path, OF_16_BITS), np.zeros((9, 9, 3), np.uint8))
    assert is_shallow(Photograph(path, OF_16_BITS)) and not is_shallow(Photograph(path))


def test_a_picture_without_any_number_is_refused(tmp_path):
    values = np.full((8, 8), np.nan, np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif: holds no number"):
        read_image(Photograph(tmp_path / "a.tif", OF_16_BITS))
    values[0, 0] = 1
    Image.fromarray(values).save(tmp_path / "b.tif")
    read_image(Photograph(tmp_path / "b.tif", OF_16_BITS))


def test_pictures_that_were_moved_or_copied_are_done_and_others_refused(tmp_path):
    old, new, out = (tmp_path / name for name in ("old", "new", "out"))
    for folder in (old, out):
        folder.mkdir()
    for number, name in enumerate("ab"):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(old / f"{name}.bmp")
    there = {name: old / f"{name}.bmp" for name in "ab"}
    record = {"images": str(old), "clicks": "/old/c.pkl of 12"}
    journal = open_folder(out, record, False, there)
    for name, path in there.items():
        journal.add({"id": name, **stamp(path)})
    shutil.copytree(old, new, copy_function=shutil.copyfile)  # at another time
    moved = {name: new / f"{name}.bmp" for name in "ab"}
    for path in moved.values():
        os.utime(path, ns=(1, 10**18))
    record = {"images": str(new), "clicks": "/new/c.pkl of 12"}
    with pytest.raises(UserError, match="from other photographs"):
        open_folder(out, record, False, {"a": moved["a"]})
    with pytest.raises(UserError, match="with other clicks"):
        open_folder(out, record | {"clicks": "/old/c.pkl of 13"}, False, moved)
    journal = open_folder(out, record, False, moved)
    job = Job(out, tmp_path / "best.pt", "cpu", (), Reading(), None, (), None)
    assert left_over(job, moved, journal) == {}
    shutil.copyfile(old / "a.bmp", old / "b.bmp")
    with pytest.raises(UserError, match="from other photographs"):
        open_folder(out, record | {"images": str(old)}, False, there)
