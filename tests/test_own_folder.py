"""Somebody's own pictures, from the folder to the table."""

import json

import numpy as np
import pytest
from conftest import run
from PIL import Image

import evaluate
import train
import weak_label_generator
from weakseg.common import UserError
from weakseg.data.datasets import Folder
from weakseg.labels.label_file import load_labels, save_labels
from weakseg.labels.label_header import header


def own_folder(pets_dir, root):
    """Lay out 20 drawn pictures as images/, masks/ and classes.txt, two image formats among
    them.
    """
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    (root / "classes.txt").write_text("background\nanimal\n")
    for k, path in enumerate(sorted((pets_dir / "images").glob("*.jpg"))[:20]):
        suffix = "png" if k % 2 else "jpg"
        Image.open(path).save(root / "images" / f"{path.stem}.{suffix}")
        trimap = np.array(Image.open(pets_dir / "annotations" / "trimaps" / f"{path.stem}.png"))
        mask = np.choose(trimap, [0, 1, 0, 255]).astype(np.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{path.stem}.png")
    return root


def test_from_own_pictures_to_the_table(pets_dir, tmp_path):
    data = [
        "--data_dir",
        own_folder(pets_dir, tmp_path / "mine"),
        "--cache_dir",
        tmp_path / "cache",
    ]
    labels = tmp_path / "mine.pkl"
    run(weak_label_generator, *data, "--output_file", labels, "--jobs", 1, "--preview", 2)
    assert Image.open(tmp_path / "mine_preview.png").width > 100
    assert load_labels(labels)["classes"] == ["background", "animal"]
    run(
        train,
        "--supervision_modes",
        "points",
        "boxes",
        "--run_name",
        "mix",
        "--epochs",
        1,
        "--img_size",
        64,
        "--weak_label_path",
        labels,
        "--checkpoint_dir",
        tmp_path / "runs",
        "--device",
        "cpu",
        *data,
    )
    run(
        evaluate,
        "--checkpoint_dir",
        tmp_path / "runs",
        "--results_dir",
        tmp_path / "results",
        "--device",
        "cpu",
    )
    result = json.loads((tmp_path / "results" / "mix.json").read_text())
    assert result["supervision"] == ["points", "boxes"]
    assert list(result["images"]) == Folder(tmp_path / "mine", cache_dir=tmp_path / "cache").ids(
        "test"
    )
    assert result["cost"]["seconds"].keys() == {"points", "boxes"}


def test_simulated_labels_need_every_mask_and_never_replace_drawn_ones(pets_dir, tmp_path):
    root = own_folder(pets_dir, tmp_path / "mine")
    drawn = tmp_path / "drawn.pkl"
    save_labels(
        drawn,
        header(Folder(root, cache_dir=tmp_path / "cache"), 0, {}),
        1,
        [("a", {"size": [4, 4]})],
    )
    before = drawn.read_bytes()
    with pytest.raises(UserError, match="not written by this script"):
        run(weak_label_generator, "--data_dir", root, "--output_file", drawn)
    assert drawn.read_bytes() == before
    name = Folder(root, cache_dir=tmp_path / "cache").ids("train")[0]
    (root / "masks" / f"{name}.png").unlink()
    assert name in Folder(root, cache_dir=tmp_path / "cache").ids("train")
    with pytest.raises(UserError, match=f"{name}.*simulated from masks"):
        run(weak_label_generator, "--data_dir", root, "--output_file", tmp_path / "new.pkl")
