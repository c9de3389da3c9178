"""Labels drawn by workers of which one dies: the same as from one process, nothing doubled."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial

import pytest
from conftest import run

import weak_label_generator
from weakseg import parallel
from weakseg.common import UserError
from weakseg.labels import simulate
from weakseg.labels.label_file import load_labels
from weakseg.labels.parquet_shard import encode
from weakseg.parallel import Workers, backend, stream

encode_many, annotate_many = simulate.encode_many, simulate.annotate_many


@pytest.fixture(scope="module")
def many(pets_dir, tmp_path_factory):
    """A data set of 96 images: those of the tiny one under several names. Don't write here."""
    folder = tmp_path_factory.mktemp("many")
    for part in ("images", "annotations/trimaps"):
        (folder / part).mkdir(parents=True)
    lines = (pets_dir / "annotations" / "trainval.txt").read_text().splitlines()
    listed = []
    for copy in range(4):
        for name, *facts in map(str.split, lines):
            breed, _, number = name.rpartition("_")
            twin = f"{breed}_{copy}{number}"
            listed.append(" ".join([twin, *facts]))
            os.link(pets_dir / "images" / f"{name}.jpg", folder / "images" / f"{twin}.jpg")
            os.link(
                *(
                    d / "annotations" / "trimaps" / f"{n}.png"
                    for d, n in ((pets_dir, name), (folder, twin))
                )
            )
    (folder / "annotations" / "trainval.txt").write_text("\n".join(listed) + "\n")
    shutil.copy(pets_dir / "annotations" / "test.txt", folder / "annotations")
    for line in (folder / "annotations" / "test.txt").read_text().splitlines():
        os.link(
            pets_dir / "images" / f"{line.split()[0]}.jpg",
            folder / "images" / f"{line.split()[0]}.jpg",
        )
    return folder


@pytest.fixture(scope="module")
def serial(many, tmp_path_factory):
    """What one process draws."""
    path = tmp_path_factory.mktemp("serial") / "labels.pkl"
    run(weak_label_generator, "--data_dir", many, "--output_file", path, "--jobs", 1)
    return load_labels(path)


def dying(function, log, dataset, points, options, seed):
    """Draw a chunk and note its images.

    The first process that comes to the 40th image dies with its work done.
    """
    done = function(dataset, points, options, seed)
    with open(log, "a") as file:
        file.write("".join(f"{name}\n" for name in points))
    if fortieth(log) in points and not os.path.exists(f"{log}.died"):
        open(f"{log}.died", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return done


def fortieth(log):
    with open(f"{log}.fortieth") as file:
        return file.read()


@pytest.fixture
def log(tmp_path, serial):
    """The file in which `dying` notes images."""
    (tmp_path / "log.fortieth").write_text(list(serial["images"])[40])
    return tmp_path / "log"


@pytest.mark.parametrize("shards", [pytest.param(0, marks=pytest.mark.slow), 5])
def test_a_dask_worker_that_is_killed_loses_and_doubles_nothing(
    shards, many, serial, log, tmp_path, monkeypatch
):
    distributed = pytest.importorskip("distributed")
    path, function = tmp_path / "labels", "encode_many" if shards else "annotate_many"
    monkeypatch.setattr(simulate, "CHUNK", 4)
    monkeypatch.setattr(simulate, function, partial(dying, getattr(simulate, function), log))
    local = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**local) as cluster:
        run(
            weak_label_generator,
            "--data_dir",
            many,
            "--output_file",
            path,
            "--shards",
            shards,
            "--backend",
            "dask",
            "--cluster",
            cluster.scheduler_address,
        )
    drawn = Counter(log.read_text().split())
    assert (tmp_path / "log.died").exists() and drawn.keys() == serial["images"].keys()
    assert max(drawn.values()) > 1  # the dead worker's chunk was drawn again
    assert load_labels(path) == serial and list(load_labels(path)["images"]) == list(
        serial["images"]
    )


@pytest.mark.parametrize(
    ("name", "package"), [("loky", "joblib"), ("dask", "distributed"), ("ray", "ray")]
)
def test_every_backend_draws_the_same_shards(name, package, many, serial, tmp_path, monkeypatch):
    pytest.importorskip(package)
    monkeypatch.setattr(simulate, "CHUNK", 8)
    run(
        weak_label_generator,
        "--data_dir",
        many,
        "--output_file",
        tmp_path / "labels",
        "--shards",
        3,
        "--jobs",
        2,
        "--backend",
        name,
    )
    assert load_labels(tmp_path / "labels") == serial


def test_workers_need_not_be_started_in_the_project(many, serial, tmp_path, monkeypatch):
    """A scheduler and a worker of two threads, started by hand in some other folder."""
    pytest.importorskip("distributed")
    monkeypatch.setattr(simulate, "CHUNK", 8)
    flags = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    place, dask = tmp_path / "scheduler.json", [sys.executable, "-m", "dask"]
    started = [
        subprocess.Popen(
            [*dask, "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", place],
            **flags,
        ),
        subprocess.Popen(
            [*dask, "worker", "--nthreads", "2", "--no-dashboard", "--scheduler-file", place],
            **flags,
        ),
    ]
    try:
        while not (place.exists() and place.read_text().rstrip().endswith("}")):
            assert started[0].poll() is None
            time.sleep(0.1)
        address = json.loads(place.read_text())["address"]
        run(
            weak_label_generator,
            "--data_dir",
            many,
            "--output_file",
            tmp_path / "labels",
            "--shards",
            2,
            "--backend",
            "dask",
            "--cluster",
            address,
        )
    finally:
        for process in started[::-1]:
            process.terminate()
            process.wait()
    assert load_labels(tmp_path / "labels") == serial


def test_a_cluster_that_is_not_there_gets_one_line(many, tmp_path):
    pytest.importorskip("distributed")
    for address in ("nonsense://a:1", "tcp://127.0.0.1:1"):
        with pytest.raises(UserError, match=f"--cluster {address}: cannot be used") as caught:
            import dask

            with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
                run(
                    weak_label_generator,
                    "--data_dir",
                    many,
                    "--output_file",
                    tmp_path / "labels",
                    "--backend",
                    "dask",
                    "--cluster",
                    address,
                )
        assert "\n" not in str(caught.value)


def missing(number):
    """Stand for a task whose module a worker doesn't have."""
    raise ModuleNotFoundError("No module named 'weak_labels'")


def fatal(number):
    """Stand for a task that kills every worker."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("name", ["loky", pytest.param("dask", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (missing, "cannot import .*weak_labels.*install requirements"),
        (fatal, "workers died at their task"),
    ],
)
def test_what_workers_cannot_do_ends_with_one_line(name, function, message):
    """Also where Dask gives a task up, of which joblib alone would never hear."""
    from joblib import delayed

    pytest.importorskip("distributed")
    workers = Workers(name, jobs=2)
    with (
        pytest.raises(UserError, match=f"--backend {name}: .*{message}") as caught,
        backend(workers),
    ):
        list(stream((delayed(function)(i) for i in range(3)), workers))
    assert str(caught.value).isprintable()


def test_workers_of_dask_that_come_no_more_are_not_awaited(monkeypatch):
    """As those of its tasks that die faster than their nannies see them start."""
    from joblib import delayed

    nanny = pytest.importorskip("distributed.nanny").Nanny

    async def give_up(self, exitcode):
        pass

    monkeypatch.setattr(nanny, "_on_worker_exit", give_up)
    monkeypatch.setattr(parallel, "RETURN", 1)
    workers = Workers("dask", jobs=2)
    with (
        pytest.raises(UserError, match="--backend dask: workers died at their task"),
        backend(workers),
    ):
        list(stream((delayed(fatal)(i) for i in range(3)), workers))


def test_a_slow_reader_is_not_flooded():
    """Of endless tasks only a block is taken ahead of the reader."""
    from joblib import delayed

    taken = []
    tasks = (delayed(encode)(str(taken.append(i)), i) for i in range(10**6))
    workers = Workers("threading", jobs=2)
    with backend(workers):
        results = stream(tasks, workers)
        assert next(results) == encode("None", 0)
        assert len(taken) == 128
        results.close()
