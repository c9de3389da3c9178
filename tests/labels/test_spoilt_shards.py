"""Shards that are damaged, mixed or hostile: one clear line, nothing is run, nothing is lost."""

import pickle
import shutil
import sqlite3
from contextlib import closing

import pytest
from conftest import run
from test_label_file import Boobytrap, opened
from test_label_shards import files, shard_files, write

import weak_label_generator
from weakseg.common import UserError
from weakseg.labels.label_file import labels_for, load_labels
from weakseg.labels.label_shards import INDEX, ShardedLabels

LABELS = {f"image {i}": {"size": [4, 4], "text": "x" * 200} for i in range(10)}


@pytest.fixture
def folder(tmp_path):
    """Ten images in three shards: image 3 is the first of the second one."""
    write(tmp_path / "labels", LABELS, 3)
    return tmp_path / "labels"


def change(folder, command):
    """Change the index."""
    with closing(sqlite3.connect(folder / INDEX)) as index:
        index.execute(command)
        index.commit()


def damage_file(path, damage, tmp_path):
    """Spoil a shard in the way that `damage` says."""
    whole = path.read_bytes()
    with path.open("rb") as file:
        pickle.load(file)
        head = whole[: file.tell()]
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
                "other bytes": head + bytes(len(whole) - len(head)),
                "no header": bytes(len(whole)),
                "a trap": (trap := pickle.dumps(Boobytrap(tmp_path / "boom")))
                + bytes(len(whole) - len(trap)),
                "trap in a record": head + (trap + bytes(len(whole)))[: len(whole) - len(head)],
                "other options": whole.replace(b"\x8c\x04pets", b"\x8c\x04cats"),
            }[damage]
        )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("gone", "missing"),
        ("cut", "has .* bytes, but the index says"),
        ("longer", "has .* bytes, but the index says"),
        ("of a stranger", "has .* bytes, but the index says"),
        ("no header", "not a shard of weak labels"),
        ("a trap", "not a shard of weak labels.*asks for posix.system"),
        ("other options", "belongs to other labels than the first shard"),
        ("other bytes", "damaged, or not what the index was made for"),
        (
            "trap in a record",
            "damaged, or not what the index was made for .it asks for posix.system",
        ),
    ],
)
def test_a_spoilt_shard_gives_one_line_and_runs_nothing(damage, message, folder, tmp_path):
    path = shard_files(folder)[1]
    damage_file(path, damage, tmp_path)
    before = files(folder)
    with pytest.raises(UserError, match=message) as caught:
        load_labels(folder)["images"]["image 3"]
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and line.isprintable() and "weak_label_generator.py" in line
    assert not (tmp_path / "boom").exists() and files(folder) == before


def test_shards_in_each_others_place_are_refused(folder):
    first, second = shard_files(folder)[:2]
    contents = first.read_bytes(), second.read_bytes()
    for path, content in zip((second, first), contents, strict=True):
        path.write_bytes(content.ljust(9999, b"x"))
    change(
        folder, f"update shards set bytes = 9999 where file in ('{first.name}', '{second.name}')"
    )
    with pytest.raises(UserError, match="its header says that it is another shard"):
        ShardedLabels(folder, "remedy")


INDEX_FAULTS = {
    "update shards set file = '../' || file": "names shards that cannot be",
    "update shards set bytes = 'many'": "names shards that cannot be",
    "delete from shards where shard = 0": "names shards that cannot be",
    "delete from shards": "names no shards",
    "drop table images": "not an index of weak labels .no such table",
    "update images set offset = offset + 1": "damaged, or not what the index was made for",
    "update images set offset = -1": "puts image 3 where nothing can be",
    "update images set offset = 'x'": "puts image 3 where nothing can be",
    "update images set shard = 3": "puts image 3 where nothing can be",
    "update images set length = 1 << 60": "puts image 3 beyond the end of",
    "update images set shard = 0": "damaged, or not what|beyond the end",
}


@pytest.mark.parametrize("fault", INDEX_FAULTS)
def test_an_index_that_does_not_fit_gives_one_line(fault, folder):
    change(folder, fault)
    with pytest.raises(UserError, match=INDEX_FAULTS[fault]) as caught:
        load_labels(folder)["images"]["image 3"]
    assert str(caught.value).startswith(f"{folder}/") and "weak_label_generator.py" in str(
        caught.value
    )


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(4000)])
def test_an_index_that_is_none_gives_one_line(content, folder):
    (folder / INDEX).write_bytes(content)
    with pytest.raises(UserError, match=r"index\.sqlite: not an index of weak labels") as caught:
        load_labels(folder)
    assert str(caught.value).isprintable()


def test_labels_that_do_not_fit_name_the_command_with_the_shards(pets_dir, folder, tmp_path):
    dataset = opened(pets_dir, tmp_path / "cache")
    with pytest.raises(UserError, match=rf"made for classes .*--output_file {folder} --shards 3$"):
        labels_for(folder, dataset, ["image 1"], ["points"], "data")


@pytest.mark.parametrize("damage", ["cut", "longer", "other bytes", "gone", "of a stranger"])
def test_a_damaged_shard_is_drawn_again(damage, folder, tmp_path):
    path, whole, drawn = shard_files(folder)[1], files(folder), []
    damage_file(path, damage, tmp_path)
    (folder / INDEX).unlink()
    assert write(folder, LABELS, 3, drawn=drawn) == 7 and drawn == list(LABELS)[3:6]
    assert {name: data for name, data in files(folder).items() if name != INDEX} == (
        {name: data for name, data in whole.items() if name != INDEX}
    )
    assert dict(load_labels(folder)["images"]) == LABELS


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
