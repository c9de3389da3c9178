"""Features of more and more pictures: what the disk lacks is not the photograph's fault."""

import errno
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from weakseg.common import UserError
from weakseg.data.cache import NotKept
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.page.answer_log import AnswerLog
from weakseg.page.asker import Asker
from weakseg.page.growing_pool import GrowingPool

FAULTS = {"b": UserError("b.png: is damaged")}


class Photographs:
    """Three photographs."""

    names, sizes = ("a", "b", "c"), [(20, 10)] * 3

    def __len__(self):
        return 3


class Ones:
    """Features that are one everywhere."""

    def at(self, places):
        return np.ones((len(places), 4))


def test_a_full_disk_stops_the_features_and_damages_no_picture(tmp_path):
    asked, is_full = [], True

    def features_of(name):
        asked.append(name)
        if name == "c" and is_full:
            raise NotKept("c.npy: cannot be written (No space left on device)")
        if name in FAULTS:
            raise FAULTS[name]
        return Ones()

    pool = GrowingPool(Photographs(), features_of, 4, tmp_path, "key", 0)
    with pytest.raises(NotKept):
        pool.compute(threading.Event(), lambda: None)
    assert pool.ready == 2 and [*pool.unusable] == [1]
    is_full = False
    pool.compute(threading.Event(), lambda: None)
    assert pool.ready == 3 and [*pool.unusable] == [1] and asked == ["a", "b", "c", "c"]


@pytest.mark.parametrize("is_there", [False, True])
def test_a_mapped_file_has_its_room_before_it_is_written(tmp_path, monkeypatch, is_there):
    """A process that writes to a mapped file on a full disk would be killed."""
    if is_there:
        GrowingPool(Photographs(), None, 4, tmp_path, "key", 0)
        (stored,) = tmp_path.iterdir()
        assert stored.stat().st_blocks * 512 >= stored.stat().st_size

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(UserError, match=r"No space left.*--cache_dir"):
        GrowingPool(Photographs(), None, 4, tmp_path, "key", 0)


def test_where_room_cant_be_promised_the_file_is_taken_as_it_is(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr("os.posix_fallocate", unknown)
    assert not GrowingPool(Photographs(), None, 4, tmp_path, "key", 0).features.any()


@pytest.mark.parametrize("change", [{"red": 90}, {"channels": (1,)}])
def test_other_photographs_of_the_same_names_have_features_of_their_own(tmp_path, change):
    """Cameras number the photographs of each folder from 1."""
    kept = []
    for own in ({}, {}, change):
        Image.new("RGB", (20, 10), (own.get("red", 80), 0, 0)).save(tmp_path / "1.bmp")
        data = DataOptions(str(tmp_path), class_names=("none", "red"), channels=own.get("channels"))
        encoder = SimpleNamespace(channels=[4])
        features = SimpleNamespace(encoder=encoder, folder=tmp_path / "encoder")
        log = AnswerLog.read(tmp_path / "labels", "")
        Asker(open_dataset(data), features, log, tmp_path / "cache")
        kept.append(len([*(tmp_path / "cache" / "pools").iterdir()]))
    assert kept == [1, 1, 2]
