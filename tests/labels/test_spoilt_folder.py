"""Label folders that are damaged, mixed or hostile: one line, nothing is run, nothing is lost."""

import json
import pickle
import shutil
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from conftest import run
from pyarrow import parquet
from test_label_file import HEAD, Boobytrap, opened
from test_label_folder import files, shard_files, write

import weak_label_generator
from weakseg.common import UserError
from weakseg.labels.label_file import labels_for, load_labels
from weakseg.labels.label_folder import INDEX

LABELS = {f"image {i}": {"size": [4, 4], "text": "x" * 200} for i in range(10)}


@pytest.fixture
def folder(tmp_path):
    """Ten images in three shards: image 3 is the first of the second one."""
    write(tmp_path / "labels", LABELS, 3)
    return tmp_path / "labels"


def refused(folder, name="image 3"):
    """Return the line with which a folder, or an image in it, is refused."""
    with pytest.raises(UserError) as caught:
        load_labels(folder)["images"][name]
    line = str(caught.value)
    assert line.isprintable() and "weak_label_generator.py" in line
    return line


def damage_file(path, damage, tmp_path):
    """Spoil a shard in the way that `damage` says."""
    whole = path.read_bytes()
    trap = pickle.dumps(Boobytrap(tmp_path / "boom"))
    labels = parquet.read_metadata(path).row_group(0).column(1)
    end = labels.data_page_offset + labels.total_compressed_size
    if damage == "gone":
        path.unlink()
    elif damage == "of a stranger":
        write(tmp_path / "other", {"image 4": 1, "image 5": 2}, 1)
        shutil.copy(shard_files(tmp_path / "other")[0], path)
    else:
        path.write_bytes(
            {
                "cut": whole[:-3],
                "longer": whole + b"x",
                "other bytes": whole[: end - 4] + bytes(4) + whole[end:],
                "no Parquet": bytes(len(whole)),
                "a trap": trap.ljust(len(whole), b"x"),
                "no footer": whole[:-100] + bytes(92) + whole[-8:],
                "huge footer": whole[:-8] + b"\xff\xff\xff\x7f" + whole[-4:],
                "other labels": whole.replace(b'"dataset": "pets"', b'"dataset": "cats"'),
            }[damage]
        )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("gone", "missing"),
        ("cut", "bytes, but the index says"),
        ("longer", "bytes, but the index says"),
        ("of a stranger", "bytes, but the index says"),
        ("no Parquet", "damaged, or not a shard of these labels"),
        ("a trap", "damaged, or not a shard of these labels"),
        ("other bytes", "damaged, or not a shard of these labels"),
        ("no footer", "damaged, or not a shard of these labels"),
        ("huge footer", "damaged, or not a shard of these labels"),
        ("other labels", "its header says that it is another shard, or of other labels"),
    ],
)
def test_a_spoilt_shard_gives_one_line_and_runs_nothing(damage, message, folder, tmp_path):
    path = shard_files(folder)[1]
    damage_file(path, damage, tmp_path)
    before = files(folder)
    line = refused(folder)
    assert line.startswith(f"{path}: ") and message in line
    assert not (tmp_path / "boom").exists() and files(folder) == before


def forge(folder, columns, metadata=None):
    """Put a Parquet file of these columns in the place of the second shard, and mend the index."""
    path = shard_files(folder)[1]
    metadata = {**parquet.read_schema(path).metadata, **(metadata or {})}
    parquet.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    change(folder, lambda index: index["shards"][1].update(bytes=path.stat().st_size))


def change(folder, edit):
    """Change the index."""
    index = json.loads((folder / INDEX).read_text())
    edit(index)
    (folder / INDEX).write_text(json.dumps(index))


IDS = [f"image {i}" for i in (3, 4, 5)]
FORGERIES = {
    "other columns": ({"id": IDS, "labels": [1, 2, 3]}, {}, "other columns"),
    "one more column": ({"id": IDS, "labels": IDS, "more": IDS}, {}, "other columns"),
    "no labels": ({"id": IDS, "labels": pa.array([None] * 3, pa.string())}, {}, "rows without an"),
    "no JSON": ({"id": IDS, "labels": ["{"] * 3}, {}, "the labels of image 3 are no JSON"),
    "code": ({"id": IDS, "labels": ["__import__('os')"] * 3}, {}, "image 3 are no JSON"),
    "deep": ({"id": IDS, "labels": ["[" * 10**5] * 3}, {}, "image 3 are no JSON"),
    "endless number": ({"id": IDS, "labels": ["1" * 10**5] * 3}, {}, "image 3 are no JSON"),
    "no text": (
        {"id": IDS, "labels": pa.array([b"\xff"] * 3).view(pa.string())},
        {},
        "damaged, or not a shard",
    ),
    "no header": ({"id": IDS, "labels": IDS}, {b"weak_labels": b""}, "damaged, or not a shard"),
    "no JSON header": ({"id": IDS, "labels": IDS}, {b"weak_labels": b"{"}, "damaged, or not a"),
    "a list": ({"id": IDS, "labels": IDS}, {b"weak_labels": b"[]"}, "says that it is another"),
    "one more group": ({"id": IDS, "labels": IDS}, {b"first_ids": b'["", "a"]'}, "images lie"),
    "other first id": ({"id": IDS, "labels": IDS}, {b"first_ids": b'["image 2"]'}, "images lie"),
    "a number for an id": ({"id": IDS, "labels": IDS}, {b"first_ids": b"[1]"}, "images lie"),
    "no ids": ({"id": IDS, "labels": IDS}, {b"first_ids": b"3"}, "images lie"),
}


def test_damaged_bytes_never_give_other_labels(folder):
    """A bit may turn anywhere in a file; what is read all the same is right."""
    rng, path = np.random.default_rng(0), shard_files(folder)[1]
    whole, outcomes = path.read_bytes(), Counter()
    for _ in range(500):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(damaged), rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            images = load_labels(folder)["images"]
            assert [images[name] for name in IDS] == [LABELS[name] for name in IDS]
            outcomes["read"] += 1
        except (UserError, KeyError) as error:
            assert str(error).isprintable()
            outcomes["refused"] += 1
    assert outcomes["refused"] > 300


@pytest.mark.parametrize("case", FORGERIES)
def test_a_parquet_file_of_a_stranger_gives_one_line(case, folder):
    columns, metadata, message = FORGERIES[case]
    forge(folder, columns, metadata)
    line = refused(folder)
    assert line.startswith(f"{shard_files(folder)[1]}: ") and message in line
    assert len(line) < len(str(folder)) + 350


def test_an_id_that_leads_out_of_its_folder_is_refused(tmp_path):
    write(tmp_path / "labels", {"../image": {"size": [4, 4]}}, 1)
    assert "'../image' can't be a name, it leads out" in refused(tmp_path / "labels", "../image")


def test_shards_in_each_others_place_are_refused(folder):
    first, second, _ = shard_files(folder)
    contents = first.read_bytes(), second.read_bytes()
    second.write_bytes(contents[0]), first.write_bytes(contents[1])
    sizes = [path.stat().st_size for path in (first, second)]
    for number in (0, 1):
        change(folder, lambda index, n=number: index["shards"][n].update(bytes=sizes[n]))
    assert "its header says that it is another shard" in refused(folder)


INDEX_FAULTS = {
    "outside": (lambda i: i["shards"][0].update(file="../" + i["shards"][0]["file"]), "file:"),
    "a path": (lambda i: i["shards"][0].update(file="/etc/passwd"), "shards.0.file:"),
    "no number": (lambda i: i["shards"][0].update(bytes="many"), "shards.0.bytes: must be a whole"),
    "below zero": (lambda i: i["shards"][0].update(count=-1), "shards.0.count: must not be"),
    "one less": (lambda i: i["shards"].pop(0), "names shards that cannot be"),
    "swapped": (lambda i: i["shards"].reverse(), "names shards that cannot be"),
    "none": (lambda i: i.update(shards=[], count=0), "names shards that cannot be"),
    "other count": (lambda i: i.update(count=11), "names shards that cannot be"),
    "not sorted": (lambda i: i["shards"][2].update(first="image 1"), "names shards that cannot be"),
    "no shards": (lambda i: i.pop("shards"), "not an index of weak labels (has no 'shards')"),
    "no seed": (lambda i: i.pop("seed"), "not an index of weak labels (has no 'seed')"),
    "other version": (lambda i: i.update(version=2), "(version: must be 1, not 2)"),
    "endless noise": (lambda i: i.update(options={"noise": float("inf")}), "options.noise"),
    "other labels": (lambda i: i.update(seed=9), "of other labels"),
}


@pytest.mark.parametrize("fault", INDEX_FAULTS)
def test_an_index_that_does_not_fit_gives_one_line(fault, folder):
    edit, message = INDEX_FAULTS[fault]
    change(folder, edit)
    line = refused(folder)
    assert line.startswith(f"{folder}/") and message in line


@pytest.mark.parametrize("content", [b"", b"no index", b"\xff", b"[]", b"[" * 10**5, b"7"])
def test_an_index_that_is_none_gives_one_line(content, folder):
    (folder / INDEX).write_bytes(content)
    assert refused(folder).startswith(f"{folder / INDEX}: not an index of weak labels (")


def test_the_index_may_name_an_image_that_a_shard_does_not_have(folder):
    change(folder, lambda index: index["shards"][1].update(first="image 2."))
    images = load_labels(folder)["images"]
    assert "image 2.5" not in images and "image 3" in images


def test_labels_that_do_not_fit_name_the_command_with_the_shards(pets_dir, folder, tmp_path):
    dataset = opened(pets_dir, tmp_path / "cache")
    write(folder, LABELS, 3, head=HEAD | {"options": {"noise": 0.1}})
    with pytest.raises(
        UserError, match=rf"made for classes .*--output_file {folder} --shards 3 --noise 0.1$"
    ):
        labels_for(folder, dataset, ["image 1"], ["points"], "data")


@pytest.mark.parametrize("damage", ["cut", "longer", "other bytes", "gone", "of a stranger"])
def test_a_damaged_shard_is_drawn_again(damage, folder, tmp_path):
    path, whole, drawn = shard_files(folder)[1], files(folder), []
    damage_file(path, damage, tmp_path)
    (folder / INDEX).unlink()
    assert write(folder, LABELS, 3, drawn=drawn) == 7 and drawn == list(LABELS)[3:6]
    assert files(folder) == whole
    assert dict(load_labels(folder)["images"]) == LABELS


def test_labels_that_are_no_json_are_drawn_again(folder):
    forge(folder, {"id": IDS, "labels": ["{"] * 3})
    drawn = []
    assert write(folder, LABELS, 3, drawn=drawn) == 7 and drawn == IDS


def pickles_of_an_earlier_version(folder):
    """Write a folder as it was before Parquet."""
    folder.mkdir()
    for number in range(2):
        name = f"{number:05d}-of-00002-{'0' * 16}.pkl"
        (folder / name).write_bytes(pickle.dumps({**HEAD, "count": 1, "shard": number}))
    (folder / "index.sqlite").write_bytes(b"SQLite format 3\0")
    return folder


def test_pickles_of_an_earlier_version_are_refused_with_the_way_out(pets_dir, tmp_path):
    old = pickles_of_an_earlier_version(tmp_path / "old")
    before = files(old)
    with pytest.raises(UserError) as caught:
        labels_for(old, opened(pets_dir, tmp_path / "cache"), ["a"], ["points"], "data")
    assert str(caught.value) == (
        f"{old}: holds pickles of an earlier version, which are no longer read; delete the folder, "
        f"then run python weak_label_generator.py --data_dir data --output_file {old} --shards 2"
    )
    with pytest.raises(UserError, match=r"holds pickles of an earlier version.*delete the folder"):
        run(weak_label_generator, "--data_dir", pets_dir, "--output_file", old, "--shards", 2)
    assert files(old) == before


def test_the_two_forms_never_overwrite_each_other_nor_strangers(
    pets_dir, pets_labels, folder, tmp_path
):
    single, photos = tmp_path / "single.pkl", tmp_path / "photos"
    shutil.copy(pets_labels, single)
    photos.mkdir()
    (photos / "cat.jpg").write_bytes(b"a photograph")
    people = tmp_path / "people"
    write(people, {"a": {}}, 1)  # labels drawn by people have no options
    for argv, message in [
        (["--output_file", single, "--shards", 2], "single.pkl: is a file; name a folder"),
        (["--output_file", folder], "holds labels in shards; add --shards 3, or name a file"),
        (["--output_file", photos, "--shards", 2], "photos: was not written by this script"),
        (["--output_file", people, "--shards", 2], "people: was not written by this script"),
        (["--output_file", tmp_path / "new", "--shards", -1], "--shards -1: must lie between"),
        (
            ["--output_file", tmp_path / "new", "--shards", 2, "--cluster", "tcp://a:1"],
            "has no use for --backend loky",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            run(weak_label_generator, "--data_dir", pets_dir, *argv)
    assert single.read_bytes() == pets_labels.read_bytes() and list(photos.iterdir()) == [
        photos / "cat.jpg"
    ]
    assert not (tmp_path / "new").exists()
