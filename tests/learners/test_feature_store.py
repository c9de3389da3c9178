"""Frozen features on disk: the same as fresh ones, whatever happens to files and workers."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model import NewEncoder
from weakseg.common import UserError
from weakseg.data.cache import NPY_HEADER
from weakseg.data.image_io import read_image
from weakseg.learners import feature_store
from weakseg.learners.feature_store import ATTEMPTS, FeatureStore, npy_header
from weakseg.learners.features import FrameSize
from weakseg.parallel import Workers, WorkersDied

SIZE = FrameSize(32)
LITE = NewEncoder("efficientnet-lite0", "none", SIZE)
IMAGES = 6


def photograph(path, seed):
    """Save a drawn photograph of 40 x 30 pixels, and return its path."""
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Paths of drawn photographs. Don't write there."""
    folder = tmp_path_factory.mktemp("photographs")
    return [photograph(folder / f"{number}.png", number) for number in range(IMAGES)]


@pytest.fixture(scope="module")
def fresh(photographs):
    """The features of the photographs, by their paths, straight from the encoder."""
    encoder = LITE()
    return {path: encoder(read_image(path)) for path in photographs}


@pytest.fixture
def store(tmp_path):
    return FeatureStore(LITE, tmp_path / "cache")


def same(found, expected):
    """Return whether two `FeatureMaps` are equal to the bit."""
    return (
        (found.strides, found.size, found.frame)
        == (expected.strides, expected.size, expected.frame)
        and len(found.maps) == len(expected.maps)
        and all(
            first.dtype == second.dtype == np.float16 and np.array_equal(first, second)
            for first, second in zip(found.maps, expected.maps, strict=True)
        )
    )


def files(store):
    """Return all files of a store's folder of caches."""
    return sorted(path for path in store.room.folder.rglob("*") if path.is_file())


def refuse(*_):
    raise AssertionError("computed, though it was on disk")


def test_cached_features_are_fresh_ones_to_the_bit(store, photographs, fresh, monkeypatch):
    for path in photographs:
        assert same(store(path), fresh[path])
    assert len(files(store)) == IMAGES
    again = FeatureStore(LITE, store.room.folder)
    monkeypatch.setattr(type(store.encoder), "__call__", refuse)
    for path in photographs:
        assert same(again(str(path)), fresh[path])
        assert again(path).maps[0].flags.writeable  # as tensors want it


def test_the_encoder_is_made_once(tmp_path, monkeypatch):
    stores = [FeatureStore(LITE, tmp_path / name) for name in "ab"]
    assert stores[0].encoder is stores[1].encoder
    assert pickle.loads(pickle.dumps(stores[0])).encoder is stores[0].encoder


def test_another_encoder_size_or_stride_has_files_of_its_own(tmp_path):
    others = [
        LITE,
        NewEncoder("efficientnet-lite0", "imagenet", SIZE),
        NewEncoder("efficientnet-lite0", "none", FrameSize(64)),
        NewEncoder("efficientnet-lite0", "none", FrameSize(None, 0.5)),
        NewEncoder("efficientnet-lite0", "none", SIZE, finest=8),
        NewEncoder("tu-resnet18", "none", SIZE),
    ]
    folders = {FeatureStore(other, tmp_path).folder for other in others}
    assert len(folders) == len(others)
    assert FeatureStore(LITE, tmp_path).folder in folders


def spoil(content, kind, where):
    """Return a cache file's content, spoilt in some way."""
    if kind == "truncated":
        return content[: int(where * len(content))]
    if kind == "longer":
        return content + b"more"
    if kind == "foreign":
        file = BytesIO()
        np.save(file, np.zeros(int(where * 100), np.float32))
        return file.getvalue()
    if kind == "garbage":
        return bytes(255 - byte for byte in content)
    if kind == "object":  # would run code if it were loaded as one
        file = BytesIO()
        np.save(file, np.array([refuse], object), allow_pickle=True)
        return file.getvalue()
    shape = b"(10000000000000,)"  # a header that asks for all memory
    return content.replace(content[content.index(b"(") : content.index(b"(") + len(shape)], shape)


@settings(max_examples=40)
@given(
    kind=st.sampled_from(["truncated", "longer", "foreign", "garbage", "object", "huge"]),
    where=st.floats(0, 1, exclude_max=True),
)
def test_a_spoilt_file_is_made_anew(kind, where, photographs, fresh, tmp_path_factory):
    store = FeatureStore(LITE, tmp_path_factory.mktemp("cache"))
    path = photographs[0]
    store(path)
    (stored,) = files(store)
    content = stored.read_bytes()
    stored.write_bytes(spoil(content, kind, where))
    assert same(store(path), fresh[path])
    assert stored.read_bytes() == content


@given(count=st.integers(1, 10**9))
def test_a_header_is_that_of_numpy(count):
    header = npy_header(count)
    assert len(header) == NPY_HEADER
    assert np.lib.format.read_magic(file := BytesIO(header)) == (1, 0)
    assert np.lib.format.read_array_header_1_0(file) == ((count,), False, np.dtype(np.float16))


def test_the_folder_can_be_deleted_at_any_time(store, photographs, fresh):
    for path in photographs[:2]:
        store(path)
    shutil.rmtree(store.room.folder)
    assert all(same(store(path), fresh[path]) for path in photographs)
    shutil.rmtree(store.room.folder)
    assert store.missing(photographs) == photographs
    assert sorted(store.compute(photographs, Workers("threading", jobs=1))) == photographs


def test_features_belong_to_the_content_of_a_photograph(store, photographs, fresh, tmp_path):
    path = tmp_path / "photograph.png"
    shutil.copy(photographs[0], path)
    assert same(store(path), fresh[photographs[0]])
    times = path.stat()
    shutil.copy(photographs[1], path)  # other content, same name, size and time
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert same(store(path), fresh[photographs[1]])
    path.rename(tmp_path / "renamed.png")
    held = files(store)
    assert same(store(tmp_path / "renamed.png"), fresh[photographs[1]])
    assert files(store) == held and len(held) == 2


def test_a_photograph_that_cannot_be_read_is_named(store, photographs, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photographs[0].read_bytes()[:300])
    (tmp_path / "text.jpg").write_text("no image")
    for path in (broken, tmp_path / "text.jpg", tmp_path / "missing.jpg"):
        with pytest.raises(UserError, match=path.name) as caught:
            store(path)
        assert "\n" not in str(caught.value)
        with pytest.raises(UserError, match=path.name):
            list(store.compute([photographs[0], path], Workers("threading", jobs=1)))


# ---- the limit


@settings(max_examples=15)
@given(limit=st.integers(0, 6 * IMAGES), others=st.integers(0, 2))
def test_the_limit_holds_and_says_so_once(limit, others, photographs, fresh, tmp_path_factory):
    """Also with other files in the folder, and for features that are computed ahead."""
    from contextlib import redirect_stderr
    from io import StringIO

    one = 2 * sum(stage.size for stage in fresh[photographs[0]].maps) + NPY_HEADER
    folder = tmp_path_factory.mktemp("cache")
    for number in range(others):
        (folder / f"other{number}").write_bytes(bytes(one))
    room = limit * one // 6
    fits = max(0, min(IMAGES, room // one - others))
    for ahead in (True, False):
        said = StringIO()
        with redirect_stderr(said):
            store = FeatureStore(LITE, folder, room / 1e9)
            if ahead:
                done = list(store.compute(photographs, Workers("threading", jobs=1)))
                assert sorted(done) == photographs[:fits]
            assert all(same(store(path), fresh[path]) for path in photographs)
        assert said.getvalue().count("--cache_limit") == (fits < IMAGES)
        assert len(files(store)) - others == fits
        shutil.rmtree(folder / "features", ignore_errors=True)


# ---- several at once


@pytest.mark.slow
def test_threads_and_processes_may_share_the_folder(store, photographs, fresh):
    code = (
        "import sys, pathlib\n"
        "from model import NewEncoder\n"
        "from weakseg.learners.feature_store import FeatureStore\n"
        "from weakseg.learners.features import FrameSize\n"
        "store = FeatureStore(NewEncoder('efficientnet-lite0', 'none', FrameSize(32)),"
        " sys.argv[1])\n"
        "for turn in range(3):\n"
        "    for path in sys.argv[2:]:\n"
        "        store.path(path).unlink(missing_ok=True)\n"
        "        store(path)\n"
    )
    command = [sys.executable, "-c", code, store.room.folder, *photographs]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = [subprocess.Popen(command, cwd=ROOT, env=environment) for _ in range(2)]
    wrong = []

    def look():
        for path in photographs * 10:
            if not same(store(path), fresh[path]):
                wrong.append(path)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [process.wait() for process in started] == [0, 0] and not wrong
    assert all(same(store(path), fresh[path]) for path in photographs)
    assert len(files(store)) == IMAGES  # nothing half written is left


BACKENDS = [("threading", "joblib"), ("loky", "joblib"), ("dask", "distributed"), ("ray", "ray")]


@pytest.mark.parametrize(
    ("name", "package"),
    [*BACKENDS[:2], pytest.param(*BACKENDS[2], marks=pytest.mark.slow), BACKENDS[3]],
)
def test_every_backend_computes_what_is_missing(name, package, store, photographs, fresh):
    pytest.importorskip(package)
    store(photographs[2])
    workers = Workers(name, jobs=2)
    done = list(store.compute([*photographs, *photographs[:2]], workers))
    assert sorted(done) == [path for path in photographs if path != photographs[2]]
    assert all(same(store.read(store.path(p), (40, 30)), fresh[p]) for p in photographs)
    assert list(store.compute(photographs, workers)) == []


@dataclass(frozen=True)
class Dying:
    """Makes an encoder in whose second photograph a worker dies, by SIGKILL, once in all.

    folder: of the file that tells of the death
    parent: the process that lives on
    """

    folder: Path
    parent: int

    def __call__(self):
        encoder = LITE()
        seen, shapes = [], encoder.shapes

        def counted(size):
            seen.append(size)
            died = self.folder / "died"
            if os.getpid() != self.parent and len(seen) == 2 and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return shapes(size)

        encoder.shapes = counted
        return encoder


@pytest.mark.parametrize(
    ("name", "package"),
    [BACKENDS[1], pytest.param(*BACKENDS[2], marks=pytest.mark.slow)],
)
def test_a_worker_that_is_killed_is_survived(name, package, photographs, fresh, tmp_path):
    pytest.importorskip(package)
    store = FeatureStore(Dying(tmp_path, os.getpid()), tmp_path / "cache")
    done = list(store.compute(photographs, Workers(name, jobs=2)))
    assert (tmp_path / "died").exists()
    assert sorted(done) == photographs  # each once, also those done before the death
    assert not store.missing(photographs)
    assert all(same(store(path), fresh[path]) for path in photographs)


@pytest.mark.parametrize("deaths", [1, ATTEMPTS - 1, ATTEMPTS])
def test_each_photograph_is_reported_once_however_often_workers_die(
    deaths, store, photographs, monkeypatch
):
    """Each set of workers reports a photograph, does another, and dies before it reports that."""
    tried = []

    def dying(tasks, workers, in_order):
        tried.append(workers)
        for number, (function, args, _) in enumerate(tasks):
            path = function(*args)
            if number == 1 and len(tried) <= deaths:
                raise WorkersDied("--backend loky: workers died at their task")
            yield path

    monkeypatch.setattr(feature_store, "stream", dying)
    computing, done = store.compute(photographs, Workers("threading", jobs=1)), []
    if deaths == ATTEMPTS:
        with pytest.raises(WorkersDied):
            done.extend(computing)
    done += computing
    assert len(tried) == min(deaths + 1, ATTEMPTS)
    assert done == photographs or deaths == ATTEMPTS
    assert not store.missing(photographs)


@pytest.mark.filterwarnings("ignore:.*tasks which were still being processed")
def test_a_reader_who_stops_early_loses_nothing(store, photographs, fresh):
    computing = store.compute(photographs, Workers("threading", jobs=2))
    first = next(computing)
    computing.close()
    assert first not in store.missing(photographs)
    assert all(same(store(path), fresh[path]) for path in photographs)
