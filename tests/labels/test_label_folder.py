"""Weak labels in a folder: the same as in a file, whole after any interruption, in flat memory."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pyarrow.parquet
import pytest
import torch
from conftest import ROOT, run
from hypothesis import given, settings
from hypothesis import strategies as st
from test_label_file import HEAD, ids, opened

import weak_label_generator
from weakseg.common import UserError
from weakseg.labels import label_folder, label_summary, parquet_shard
from weakseg.labels.annotators import Options
from weakseg.labels.label_file import load_labels, save_labels
from weakseg.labels.label_folder import INDEX, NAME, shards_in, sole_writer, write_folder
from weakseg.labels.parquet_shard import encode
from weakseg.labels.signals import SIGNALS
from weakseg.labels.simulate import annotate_many
from weakseg.labels.training_labels import labels_digest

as_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def write(folder, images, shards, source=lambda name: 0, head=HEAD, drawn=None):
    """Write {id: labels} as shards, noting in `drawn` which were drawn -> how many were kept."""

    def draw(names, count):
        for name in names:
            if drawn is not None:
                drawn.append(name)
            yield encode(name, images[name])

    return write_folder(folder, head, list(images), shards, source, draw)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def shard_files(folder):
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


@pytest.fixture
def labels():
    return {
        f"image {i}": {"size": [4, 4], "tags": [i, None, 0.5], "text": "x" * 200} for i in range(10)
    }


@pytest.fixture
def folder(tmp_path, labels):
    write(tmp_path / "labels", labels, 3)
    return tmp_path / "labels"


# ---- either form is the same


@settings(max_examples=25)
@given(st.dictionaries(ids, as_json, min_size=1, max_size=12), st.integers(1, 14))
def test_either_form_reads_equal(tmp_path_factory, images, shards):
    """Any ids, any labels that JSON knows, and more shards than images too."""
    root = tmp_path_factory.mktemp("labels")
    images = dict(sorted(images.items()))
    write(root / "shards", images, shards)
    save_labels(root / "single.pkl", HEAD, len(images), images.items())
    found = load_labels(root / "shards")
    assert found == load_labels(root / "single.pkl")
    assert repr(dict(found["images"])) == repr(images)  # 1, 1.0 and True are equal, but not alike
    assert list(found["images"]) == sorted(images) and all(
        name in found["images"] for name in images
    )
    assert len(shard_files(root / "shards")) == shards == shards_in(root / "shards")
    assert "no such image/" not in found["images"] and found["images"].get("no such image/") is None


def test_shards_can_be_read_with_pyarrow_and_json_alone(folder, labels):
    found = {}
    for number, path in enumerate(shard_files(folder)):
        table = pyarrow.parquet.read_table(path)
        head = json.loads(table.schema.metadata[b"weak_labels"])
        assert {key: head[key] for key in HEAD} == HEAD
        assert (head["count"], head["shard"], head["shards"]) == (len(table), number, 3)
        found |= {row["id"]: json.loads(row["labels"]) for row in table.to_pylist()}
    assert found == labels


@pytest.mark.parametrize("labels", [{"a": (1, 2)}, {1: 2}, [{2}], b"x", np.float64(1), {"a": [1j]}])
def test_what_json_would_change_is_not_written(labels):
    with pytest.raises(TypeError, match=r"image 1: labels hold .*, which JSON would change"):
        encode("image 1", labels)


@pytest.mark.parametrize("names", [["b", "a"], ["a", "a"]])
def test_ids_that_are_not_sorted_or_occur_twice_are_not_written(names, tmp_path):
    with pytest.raises(ValueError, match="a: ids must be sorted and all different"):
        write_folder(tmp_path, HEAD, names, 1, lambda name: 0, lambda names, count: iter(()))


@pytest.mark.parametrize(
    ("drawn", "fault"),
    [
        (["a", "c", "b"], "labels of c were drawn"),
        (["a", "b"], "fewer labels were drawn"),
        (["a", "b", "c", "d"], "more labels were drawn"),
    ],
)
def test_labels_of_other_images_are_not_written(drawn, fault, tmp_path):
    def draw(names, count):
        yield from (encode(name, 1) for name in drawn)

    with pytest.raises(RuntimeError, match=fault):
        write_folder(tmp_path, HEAD, ["a", "b", "c"], 1, lambda name: 0, draw)
    assert not (tmp_path / INDEX).exists()


def test_the_digest_of_labels_is_the_same_from_either_form(pets_dir, pets_labels, tmp_path):
    flags = ["--data_dir", pets_dir, "--jobs", 1, "--noise", 0.1]
    for name, more in ("single.pkl", []), ("folder", ["--shards", 3]):
        run(weak_label_generator, *flags, "--output_file", tmp_path / name, *more)
    one, other = (load_labels(tmp_path / name)["images"] for name in ("single.pkl", "folder"))
    assert labels_digest(one, [*one], tuple(SIGNALS)) == labels_digest(
        other, [*one], tuple(SIGNALS)
    )


@pytest.mark.parametrize("shards", [1, 5, 40])
def test_the_generator_draws_the_same_into_shards(shards, pets_dir, pets_labels, tmp_path, capsys):
    flags = ["--data_dir", pets_dir, "--jobs", 1, "--preview", 3]
    run(weak_label_generator, *flags, "--output_file", tmp_path / "single.pkl")
    single = capsys.readouterr().out.splitlines()
    run(
        weak_label_generator, *flags, "--output_file", f"{tmp_path / 'shards'}/", "--shards", shards
    )
    assert load_labels(tmp_path / "shards") == load_labels(pets_labels)
    assert capsys.readouterr().out.splitlines()[:-2] == single[:-2]
    assert (tmp_path / "shards_preview.png").read_bytes() == (
        tmp_path / "single_preview.png"
    ).read_bytes()


def test_what_is_printed_of_many_images_comes_from_a_sample(
    pets_dir, pets_labels, tmp_path, monkeypatch
):
    dataset, images = opened(pets_dir, tmp_path), load_labels(pets_labels)["images"]
    exact = label_summary.LabelSummary(dataset, list(images), 0)
    monkeypatch.setattr(label_summary, "SAMPLE", 7)
    sampled = label_summary.LabelSummary(dataset, list(images), 2)
    first, *_, last = images
    assert (
        len(exact.wanted()) == len(images) and len(sampled.wanted()) == 7
    )  # 6, and the last for the preview
    for summary, names in (exact, images), (sampled, sampled.wanted()):
        for name in names:
            assert summary.add(name, images[name]) == (name, images[name])
    assert list(sampled.previews) == [first, last]
    lines = sampled.lines()
    assert [line.split()[0] for line in lines] == list(SIGNALS)
    for line, other in zip(lines, exact.lines(), strict=True):
        hours, true = (float(text.split()[-4]) for text in (line, other))
        assert hours == pytest.approx(true, rel=0.3)


def test_a_run_learns_the_same_from_shards(pets_dir, pets_labels, tmp_path):
    import train

    path = tmp_path / "shards"
    run(
        weak_label_generator,
        "--data_dir",
        pets_dir,
        "--output_file",
        path,
        "--shards",
        4,
        "--jobs",
        1,
    )
    flags = [
        "--img_size",
        64,
        "--batch_size",
        8,
        "--encoder_weights",
        "none",
        "--device",
        "cpu",
        "--epochs",
        1,
        "--data_dir",
        pets_dir,
        "--cache_dir",
        tmp_path / "cache",
        "--checkpoint_dir",
        tmp_path / "runs",
        "--supervision_modes",
        "tags",
        "scribbles",
        "boxes",
        "--augment",
    ]
    run(train, *flags, "--run_name", "single", "--weak_label_path", pets_labels)
    run(train, *flags, "--run_name", "shards", "--weak_label_path", path)
    one, other = (
        torch.load(tmp_path / "runs" / name / "last.pt", weights_only=True)
        for name in ("single", "shards")
    )
    assert all(torch.equal(value, other["model"][key]) for key, value in one["model"].items())
    assert one["cost"] == other["cost"] and one["labels"] == other["labels"]


def test_the_annotator_of_shards_is_found(folder, labels):
    from weakseg.evaluation.comparison import Annotator

    write(folder, labels, 3, head=HEAD | {"seed": 5, "options": {"noise": 0.25}})
    annotator = Annotator.of({"args": {"weak_label_path": str(folder)}})
    assert (annotator.source, annotator.seed, annotator.options.noise) == (str(folder), 5, 0.25)


# ---- memory


class Numbered:
    """The ids '0000000', '0000001', ... that are made when asked for."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return f"{i:07d}"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images(tmp_path):
    """But for the list of a shard's groups of rows: four bytes an image of the shard at most."""

    def peak(function, *arguments):
        tracemalloc.start()
        function(*arguments)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    def draw(names, count):
        for name in names:
            yield encode(name, {"size": [4, 4], "path": [[float(i), 0.5] for i in range(20)]})

    def generate(count):
        shutil.rmtree(tmp_path / str(count), ignore_errors=True)
        write_folder(tmp_path / str(count), HEAD, Numbered(count), 4, lambda name: 0, draw)

    def read(count):
        images = load_labels(tmp_path / str(count))["images"]
        assert (
            len({images[Numbered(count)[i]]["size"][0] for i in range(0, count, count // 100)}) == 1
        )

    generate(100), read(100)  # what is imported or compiled once is no part of it
    shutil.rmtree(tmp_path / "100")
    for function in (generate, read):
        few = peak(function, 1_000)
        # Threads that other tests have left may add to a peak, but not to each.
        many = min(peak(function, 20_000) for _ in range(2))
        assert many < 1.1 * few + 4 * 20_000 / 4


def test_only_the_images_that_are_asked_for_are_read(folder, labels, monkeypatch):
    images, asked = load_labels(folder)["images"], []
    monkeypatch.setattr(
        label_folder, "decode", lambda name, text: asked.append(name) or json.loads(text)
    )
    assert images["image 3"] == labels["image 3"] and "image 4" in images and len(images) == 10
    assert asked == ["image 3"]


def test_only_the_rows_around_an_image_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_shard, "GROUP", 4)
    labels = {f"image {i:02}": i for i in range(20)}
    write(tmp_path, labels, 2)
    images = load_labels(tmp_path)["images"]
    assert [images[name] for name in sorted(labels, reverse=True)] == [*range(19, -1, -1)]
    assert images["image 07"] == 7 and images.opened[1].ids == [
        f"image {i:02}" for i in (4, 5, 6, 7)
    ]
    assert (
        "image 07." not in images
        and "image" not in images
        and "z" not in images
        and 7 not in images
    )


def test_a_task_grows_with_its_own_images_alone(pets_dir, tmp_path):
    """What is sent to another process draws the same labels and doesn't know the other images."""
    dataset = opened(pets_dir, tmp_path)
    names = dataset.ids("trainval")
    part = pickle.loads(pickle.dumps(dataset.part(names[:2])))
    options = Options()
    assert annotate_many(part, dict.fromkeys(names[:2]), options, 0) == (
        annotate_many(dataset, dict.fromkeys(names[:2]), options, 0)
    )
    assert not any(name.encode() in pickle.dumps(part) for name in names[2:])
    assert names == dataset.ids("trainval")


# ---- interruptions


def test_a_stopped_generation_goes_on_and_keeps_what_is_finished(tmp_path, labels):
    class Stop(Exception):
        pass

    def stopping(names, count):
        for number, name in enumerate(names):
            if number == 7:
                raise Stop
            yield encode(name, labels[name])

    folder, drawn = tmp_path / "labels", []
    with pytest.raises(Stop):
        write_folder(folder, HEAD, list(labels), 5, lambda name: 0, stopping)
    assert len(shard_files(folder)) == 3 and not (folder / INDEX).exists()
    with pytest.raises(
        UserError, match=r"index\.json: missing.*finished shards are kept; generate it anew"
    ):
        load_labels(folder)
    assert write(folder, labels, 5, drawn=drawn) == 6
    assert drawn == list(labels)[6:] and dict(load_labels(folder)["images"]) == labels
    assert write(folder, labels, 5, drawn=drawn) == 10 and len(drawn) == 4


SLOW = """
import sys, time
import weak_label_generator as generator
from weakseg.labels import simulate
annotate, simulate.CHUNK = simulate.annotate, 1
simulate.annotate = lambda *arguments, **others: time.sleep(0.05) or annotate(*arguments, **others)
generator.main(generator.parse_args())
"""


def test_a_killed_generator_goes_on_to_the_same_labels(pets_dir, pets_labels, tmp_path):
    folder = tmp_path / "labels"
    flags = ["--data_dir", pets_dir, "--output_file", folder, "--shards", 6, "--jobs", 1]
    killed = subprocess.Popen(
        [sys.executable, "-c", SLOW, *map(str, flags)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    while not (folder.is_dir() and shard_files(folder)) and killed.poll() is None:
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    kept = {path: path.stat().st_mtime_ns for path in shard_files(folder)}
    assert 1 <= len(kept) < 6 and not (folder / INDEX).exists()
    run(weak_label_generator, *flags)
    assert load_labels(folder) == load_labels(pets_labels)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert (
        len(list(folder.iterdir())) == 6 + 2
    )  # the index and the lock; what was half written is gone


def test_only_shards_of_what_changed_are_drawn_again(folder, labels):
    drawn = []
    write(folder, labels, 3, source=lambda name: name == "image 4", drawn=drawn)
    assert drawn == list(labels)  # the source of all of them was 0 before, now it is False
    drawn.clear()
    write(folder, labels, 3, source=lambda name: name == "image 9", drawn=drawn)
    assert drawn == [f"image {i}" for i in range(3, 10)]
    assert len(shard_files(folder)) == 3


def test_other_labels_replace_the_old_ones_only_when_they_are_whole(folder, labels):
    def failing(names, count):
        yield encode(next(names), {})
        yield encode(next(names), {})
        raise UserError("a mask is spoilt")

    before = files(folder)
    with pytest.raises(UserError, match="spoilt"):
        write_folder(folder, HEAD | {"seed": 1}, list(labels), 7, lambda name: 0, failing)
    assert dict(load_labels(folder)["images"]) == labels
    assert before.items() <= files(folder).items()
    write(folder, labels, 2, head=HEAD | {"seed": 1})
    assert load_labels(folder)["seed"] == 1 and len(shard_files(folder)) == 2


def test_a_changed_mask_changes_its_shard(pets_dir, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(pets_dir, data)
    flags = ["--data_dir", data, "--output_file", tmp_path / "labels", "--shards", 4, "--jobs", 1]
    run(weak_label_generator, *flags)
    old = files(tmp_path / "labels")
    trimap = (
        data
        / "annotations"
        / "trimaps"
        / f"{opened(data, tmp_path / 'cache').ids('trainval')[0]}.png"
    )
    os.utime(trimap, ns=(0, 0))
    run(weak_label_generator, *flags)
    assert files(tmp_path / "labels") == old  # it holds what it did
    trimap.write_bytes(trimap.read_bytes() + b"0")
    run(weak_label_generator, *flags)
    assert len(old.keys() - files(tmp_path / "labels").keys()) == 1


def test_two_generators_do_not_write_at_once(folder, labels):
    with (
        sole_writer(folder),
        pytest.raises(UserError, match="another process is writing"),
    ):
        write(folder, labels, 3)
