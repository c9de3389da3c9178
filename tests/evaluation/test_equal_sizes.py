"""Files that changed, but not in size, are other files; records of earlier versions stay usable."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import run
from outcomes import assert_refused
from PIL import Image

import analyze
import evaluate
import train
import weak_label_generator
from weakseg.data.datasets import DataOptions, open_dataset

LATER = ("contents", "mask_contents", "test_contents")


def save(mask, path):
    Image.fromarray(mask).save(path, compress_level=0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of 12 bitmaps and masks of one size, and a run on the masks: (data, runs)."""
    root = tmp_path_factory.mktemp("equal")
    data, chance = root / "data", np.random.default_rng(0)
    for part in ("images", "masks"):
        (data / part).mkdir(parents=True)
    for number in range(12):
        mask = np.zeros((40, 48), np.uint8)
        mask[8:24, 6:22], mask[28:36, 24:46] = 1, 2
        image = chance.normal(90, 15, (40, 48, 3)) + 40 * mask[..., None]
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(data / f"images/p{number:02}.bmp")
        save(mask, data / f"masks/p{number:02}.png")
    (data / "classes.txt").write_text("background\ncat\ndog\n")
    where = ["--data_dir", data, "--cache_dir", root / "cache"]
    run(weak_label_generator, *where, "--output_file", root / "labels.pkl", "--jobs", 1)
    run(train, *where, *words_of(root), "--run_name", "r", "--checkpoint_dir", root / "runs")
    return root


def words_of(root):
    words = ["--learner", "probe", "--img_size", 64, "--rounds", 0, "--supervision_mode", "full"]
    return [*words, "--weak_label_path", root / "labels.pkl", "--device", "cpu", "--head", "linear"]


@pytest.fixture
def copy(made, tmp_path):
    """A copy of data and run: (data set, words for train.py --resume, words for evaluate.py)."""
    for part in ("data", "runs"):
        shutil.copytree(made / part, tmp_path / part)
    where = ["--data_dir", tmp_path / "data", "--cache_dir", made / "cache"]
    runs = ["--checkpoint_dir", tmp_path / "runs", "--run_name", "r"]
    evaluation = [*where, *runs, "--results_dir", tmp_path / "results", "--device", "cpu"]
    dataset = open_dataset(DataOptions(str(tmp_path / "data"), cache_dir=str(made / "cache")))
    return dataset, [*where, *runs, *words_of(made), "--resume", "auto"], evaluation


def correct(dataset, split):
    """Swap the classes in the masks of a split, at equal size."""
    for path in map(dataset.mask_path, dataset.ids(split)):
        before = path.stat().st_size
        save(np.array([0, 2, 1], np.uint8)[np.array(Image.open(path))], path)
        assert path.stat().st_size == before


def as_of_old(*paths):
    """Take from checkpoints and results what earlier versions don't say."""
    for path in paths:
        is_result = path.suffix == ".json"
        content = json.loads(path.read_text()) if is_result else torch.load(path)
        content = {key: value for key, value in content.items() if key not in LATER}
        if is_result:
            path.write_text(json.dumps(content))
        else:
            content["files"] = dict.fromkeys(content["files"], 40 * 48 * 3 + 54)
            torch.save(content, path)


def test_masks_corrected_at_equal_size_are_learnt(copy, capsys):
    dataset, again, _ = copy
    run(train, *again)
    assert "changed" not in capsys.readouterr().out
    correct(dataset, "train")
    run(train, *again)
    assert "the labels changed since the last fit; fitting again" in capsys.readouterr().out


def test_photographs_swapped_at_equal_size_are_others(copy, capsys):
    dataset, again, evaluation = copy
    paths = [*map(dataset.image_path, dataset.ids("train"))]
    held = [path.read_bytes() for path in paths]
    for path, other in zip(paths, held[1:] + held[:1], strict=True):
        path.write_bytes(other)
    run(evaluate, *evaluation)  # its test images are as they were
    for path in map(dataset.image_path, dataset.ids("test")):
        path.write_bytes(held[0])
    assert "not the data that run r" in assert_refused(evaluate, evaluation, capsys)
    run(train, *again)
    assert "the images changed since the last fit" in capsys.readouterr().out


def test_results_on_corrected_masks_are_not_compared_with_earlier_ones(copy, tmp_path, capsys):
    dataset, _, evaluation = copy
    run(evaluate, *evaluation)
    result = tmp_path / "results" / "r.json"
    shutil.copy(result, result.with_name("before.json"))
    compare = ["--a", "before", "--b", "r", "--results_dir", tmp_path / "results"]
    compare += ["--resamples", 100, "--output_dir", tmp_path / "analysis", "--examples", 0]
    run(analyze, *compare)
    correct(dataset, "test")
    run(evaluate, *evaluation)
    said = assert_refused(analyze, compare, capsys)
    assert "tested on files that changed in between; run python evaluate.py" in said
    as_of_old(result.with_name("before.json"))
    # Of an earlier version's files nobody can tell, but the scores don't fit them.
    assert "does not score as the result says" in assert_refused(analyze, compare, capsys)


def test_runs_and_results_of_an_earlier_version_are_used(copy, tmp_path, capsys):
    _, again, evaluation = copy
    as_of_old(*(tmp_path / "runs" / "r").glob("*.pt"))
    run(train, *again)
    assert "changed" not in capsys.readouterr().out
    run(evaluate, *evaluation)
    result = json.loads((tmp_path / "results" / "r.json").read_text())
    assert result["test_contents"] and result["contents"] is None
