"""A finished run is scored on data that have changed since, where the change is none of its own."""

import json
import shutil

import numpy as np
import pytest
import tifffile
from conftest import run
from hypothesis import given
from hypothesis import strategies as st
from outcomes import assert_refused, outcome
from PIL import Image

import analyze
import evaluate
import predict
import train
import weak_label_generator
from weakseg.common import UserError
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.data.folder import Folder
from weakseg.evaluation.encoded_anew import are_encoded_anew, looks_of

CLASSES = ["background", "blob", "stripe"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of 16 pictures, and a run of the probe on its clicks: {"data", "runs"}."""
    root = tmp_path_factory.mktemp("finished")
    data, chance = root / "data", np.random.default_rng(0)
    for part in ("images", "masks"):
        (data / part).mkdir(parents=True)
    for number in range(16):
        mask = np.zeros((40, 48), np.uint8)
        mask[8:24, 6:22], mask[28:36, 24:46] = 1, 2
        image = chance.normal(90, 15, (40, 48, 3)) + 40 * (mask == 1)[..., None]
        image[mask == 2] += (0, 50, -50)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(data / f"images/p{number:02}.png")
        Image.fromarray(mask).save(data / f"masks/p{number:02}.png")
    (data / "classes.txt").write_text("\n".join(CLASSES))
    where = ["--data_dir", data, "--cache_dir", root / "cache"]
    run(weak_label_generator, *where, "--output_file", root / "labels.pkl", "--jobs", 1)
    words = ["--learner", "probe", "--img_size", 64, "--rounds", 0, "--supervision_mode", "points"]
    words += ["--weak_label_path", root / "labels.pkl", "--run_name", "r", "--device", "cpu"]
    run(train, *where, *words, "--checkpoint_dir", root / "runs")
    return {"data": data, "runs": root / "runs"}


@pytest.fixture
def copy(made, tmp_path):
    """A copy of the data, to be changed: (the data set as it was, words for evaluate.py)."""
    data = tmp_path / "data"
    shutil.copytree(made["data"], data)
    words = ["--checkpoint_dir", made["runs"], "--results_dir", tmp_path / "results"]
    words += ["--data_dir", data, "--cache_dir", tmp_path / "cache", "--device", "cpu"]
    return open_dataset(DataOptions(str(data), cache_dir=str(tmp_path / "cache"))), words


def scored(words, capsys):
    """Evaluate, and return (result, what was printed)."""
    capsys.readouterr()
    run(evaluate, *words)
    folder = words[words.index("--results_dir") + 1]
    return json.loads((folder / "r.json").read_text()), capsys.readouterr().out


def rename(data):
    (data.root / "classes.txt").write_text("background\nBlob\nstripe\n")


def append(data):
    (data.root / "classes.txt").write_text("\n".join([*CLASSES, "car"]))


def append_and_show(data):
    append(data)
    path = data.mask_path(data.ids("test")[0])
    mask = np.array(Image.open(path))
    mask[:4] = 3
    Image.fromarray(mask).save(path)


def delete(data):
    data.image_path(data.ids("train")[0]).unlink()


def delete_both(data):
    delete(data)
    data.mask_path(data.ids("train")[0]).unlink()


def save_anew(data):
    path = data.image_path(data.ids("train")[0])
    Image.open(path).rotate(180).save(path)


def stray(data):
    path = data.mask_path(data.ids("train")[0])
    mask = np.array(Image.open(path))
    mask[0, 0] = 7
    Image.fromarray(mask).save(path)


def damage(data):
    data.mask_path(data.ids("train")[0]).write_bytes(b"no picture")


def add_one(data):
    Image.new("RGB", (40, 40)).save(data.root / "images" / "later.png")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (rename, "the run knows Blob as blob"),
        (append, "the run doesn't know car; their pixels don't count"),
        (append_and_show, "the run doesn't know car; their pixels don't count"),
        (delete, ""),
        (delete_both, ""),
        (save_anew, ""),
        (stray, "1 of 16 masks can't be used, the first: "),
        (damage, "1 of 16 masks can't be used, the first: "),
        (add_one, ""),
    ],
)
def test_what_a_run_has_no_need_of_may_change(change, line, copy, made, tmp_path, capsys):
    data, words = copy
    before, _ = scored(words, capsys)
    change(data)
    after, said = scored(words, capsys)
    assert line in said
    assert after["images"].keys() == before["images"].keys()
    same = {**before["aggregate"]} if change != append_and_show else None
    assert same is None or after["aggregate"] == same
    known = open_dataset(DataOptions(str(data.root), cache_dir=str(tmp_path / "cache"))).class_names
    assert after["task"]["classes"] == known[:3]
    compare = ["--a", "r", "--b", "r", "--resamples", 100, "--output_dir", tmp_path / "analysis"]
    run(analyze, "--results_dir", tmp_path / "results", *compare, *words[4:8])
    ahead = ["--run_name", "r", "--images", data.root / "images", "--checkpoint_dir", made["runs"]]
    assert outcome(predict, [*ahead, "--output_dir", tmp_path / "masks"], capsys).code == 0


@pytest.mark.parametrize(
    "names",
    [
        ["background", "stripe", "blob"],
        ["background", "car", "blob", "stripe"],
        ["background", "blob"],
        ["background", "stripe", "car"],
    ],
)
def test_numbers_of_classes_may_not(names, copy, capsys):
    data, words = copy
    (data.root / "classes.txt").write_text("\n".join(names))
    if len(names) == 2:
        for name in (*data.ids("trainval"), *data.ids("test")):
            mask = np.array(Image.open(data.mask_path(name)))
            Image.fromarray(np.minimum(mask, 1)).save(data.mask_path(name))
    line = assert_refused(evaluate, words, capsys)
    assert "the run knows background, blob, stripe; restore the order" in line


def test_files_to_test_on_that_changed_are_told_and_later_ones_are_not(copy, capsys):
    data, words = copy
    first, *others = (data.mask_path(name) for name in data.ids("test"))
    content = first.read_bytes()
    assert "to test on changed" not in scored(words, capsys)[1]
    encode_anew(data, data.ids("test")[1:], lambda image: image.rotate(180))
    line = f"{len(others)} of {len(others) + 1} photographs to test on changed since run r"
    assert line in scored(words, capsys)[1]
    for path in others:
        mask = np.array(Image.open(path))
        Image.fromarray(np.array([0, 2, 1], np.uint8)[mask]).save(path)
    line = f"{len(others)} of {len(others) + 1} masks to test on changed since run r was trained"
    assert line in scored(words, capsys)[1]
    first.unlink()
    assert f"{len(others)} of {len(others)} masks" in scored(words, capsys)[1]
    first.write_bytes(content)
    for path in others:
        path.unlink()
    assert "masks to test on changed" not in scored(words, capsys)[1]


def test_pictures_to_test_on_that_a_run_learnt_from_by_other_names_are_told(copy, capsys):
    data, words = copy
    names = data.ids("train")[:2]
    for name in names:
        for path in (data.image_path(name), data.mask_path(name)):
            path.rename(path.with_name(f"x{path.name}"))
    tested = [*data.ids("test"), *(f"x{name}" for name in names)]
    (data.root / "test.txt").write_text("\n".join(tested))
    trained = sorted({*data.ids("trainval")} - {*names})
    (data.root / "trainval.txt").write_text("\n".join(trained))
    line = f"2 of {len(tested)} test images are files that run r was trained on under other names"
    assert line in scored(words, capsys)[1]


@pytest.mark.parametrize("moved", [0, 1, 3])
def test_pictures_that_a_run_was_trained_on_are_left_out_of_the_test_with_a_line(
    moved, copy, capsys
):
    data, words = copy
    tested = [*data.ids("test"), *data.ids("train")[:moved]]
    (data.root / "test.txt").write_text("\n".join(tested))
    (data.root / "trainval.txt").write_text("\n".join({*data.ids("trainval")} - {*tested}))
    result, said = scored(words, capsys)
    assert {*result["images"]} == {*data.ids("test")}
    line = f"{moved} of {len(tested)} test images are left out, since run r was trained on them"
    assert (line in said) == bool(moved)


def test_a_background_that_is_none_any_more_is_refused(copy, capsys):
    data, words = copy
    (data.root / "classes.txt").write_text("\n".join(["# no background", *CLASSES]))
    assert "the first class is the background" in assert_refused(evaluate, words, capsys)


def test_another_data_set_of_the_same_classes_is_refused(copy, capsys):
    data, words = copy
    for name in (*data.ids("trainval"), *data.ids("test")):
        Image.open(data.image_path(name)).rotate(180).save(data.image_path(name))
    assert "not the data that run r" in assert_refused(evaluate, words, capsys)


def encode_anew(data, names=None, how=None):
    """Save photographs with other bytes: as PNGs that are greater by far, a grey brighter."""
    for name in names or (*data.ids("trainval"), *data.ids("test")):
        path = data.image_path(name)
        image = Image.open(path).point(lambda value: min(value + 1, 255))
        (how(image) if how else image).save(path, compress_level=1)


def test_photographs_that_were_encoded_anew_are_told_and_used(copy, tmp_path, capsys):
    data, words = copy
    before, told = scored(words, capsys)
    assert "encoded anew" not in told
    encode_anew(data)
    compare = ["--a", "r", "--b", "r", "--resamples", 100, "--output_dir", tmp_path / "analysis"]
    run(analyze, "--results_dir", tmp_path / "results", *compare, *words[4:8])
    assert "encoded anew since run r" in capsys.readouterr().out
    after, told = scored(words, capsys)
    assert "to test on changed" not in told
    line = f"{data.root}: the photographs were encoded anew since run r: other files of the same"
    assert told.count(line) == 1
    assert after["images"].keys() == before["images"].keys()
    assert abs(after["aggregate"]["miou"] - before["aggregate"]["miou"]) < 0.1


def test_tiffs_of_16_bits_may_be_encoded_anew(tmp_path):
    def save(turned, **options):
        for n in range(4):
            ramp = np.add.outer(np.arange(40) * (n + 1), np.arange(48) * 100).astype(np.uint16)
            path = tmp_path / "images" / f"p{n}.tif"
            tifffile.imwrite(path, np.rot90(ramp, 2 * (n == turned)), **options)

    (tmp_path / "images").mkdir()
    (tmp_path / "classes.txt").write_text("sky\ncat\n")
    save(None)
    names = ["p0", "p1", "p2", "p3"]
    looks = looks_of(Folder(tmp_path), names)
    assert [*looks] == names
    save(None, compression="zlib")
    assert are_encoded_anew(Folder(tmp_path), looks)
    save(2)
    assert not are_encoded_anew(Folder(tmp_path), looks)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.rotate(180),
        lambda image: image.resize((96, 80)),
        lambda image: image.point(lambda value: 255 - value),
        lambda image: Image.new("RGB", image.size, (90, 90, 90)),
    ],
)
def test_other_photographs_of_the_same_names_are_refused(change, copy, capsys):
    data, words = copy
    encode_anew(data, how=change)
    for name in (*data.ids("trainval"), *data.ids("test")):  # whose masks fit
        mask = Image.open(data.mask_path(name))
        mask.resize(Image.open(data.image_path(name)).size, 0).save(data.mask_path(name))
    assert "not the data that run r" in assert_refused(evaluate, words, capsys)


def test_a_result_is_of_its_masks_whatever_its_photographs_were_encoded_as(copy, tmp_path, capsys):
    data, words = copy
    scored(words, capsys)
    encode_anew(data)
    Image.new("L", (48, 40), 1).save(data.mask_path(data.ids("test")[0]))
    compare = ["--a", "r", "--b", "r", "--resamples", 100, "--output_dir", tmp_path / "analysis"]
    words = ["--results_dir", tmp_path / "results", *compare, *words[4:8]]
    assert "not the data that run r" in assert_refused(analyze, words, capsys)


@given(
    st.lists(st.sampled_from("abcdef"), min_size=2, max_size=4, unique=True),
    st.lists(st.sampled_from("abcdef"), min_size=2, max_size=4, unique=True),
)
def test_a_class_keeps_its_number_whatever_it_is_called(made, theirs, ours):
    """Names may change; one that stands at another number than before is refused."""
    data = open_dataset(DataOptions(str(made["data"]), cache_dir=str(made["runs"])))
    data.class_names = list(ours)
    at = {name: number for number, name in enumerate(theirs)}
    moved = [n for n, name in enumerate(ours[: len(theirs)]) if at.get(name, n) != n]
    late = [name for name in ours[len(theirs) :] if name in at]
    if moved or late or len(ours) < len(theirs):
        with pytest.raises(UserError, match="restore the order"):
            data.know_as(theirs)
    else:
        data.know_as(theirs)
        assert data.class_names == ours[: len(theirs)]


@pytest.mark.parametrize(
    ("ours", "is_moved"),
    [
        (["background", "Blob", "Stripes"], False),
        (["background", "Stripe", "Blob"], True),
        (["background", "stripes", "blobs"], True),
        (["Background", "spot", "line"], False),
        (["background", "car", "stripe", "Blob"], True),
        (["background", "blob 2", "stripe", "blob 3"], False),
    ],
)
def test_a_class_that_is_written_in_another_way_is_no_other(made, ours, is_moved):
    data = open_dataset(DataOptions(str(made["data"]), cache_dir=str(made["runs"])))
    data.class_names = ours
    if is_moved:
        with pytest.raises(UserError, match="restore the order"):
            data.know_as(CLASSES)
    else:
        data.know_as(CLASSES)
        assert data.changes
