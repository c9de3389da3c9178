"""Labels that were drawn from other masks or photographs than are there say so."""

import numpy as np
import pytest
from conftest import run
from PIL import Image

import weak_label_generator
from weakseg.common import UserError
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.label_file import labels_for, load_labels, save_labels


@pytest.fixture(params=[[], ["--shards", 2]], ids=["file", "folder"])
def drawn(request, tmp_path):
    """A folder of 8 pictures and its labels: (function that reads these, path, data set)."""
    data, path = tmp_path / "data", tmp_path / "labels"
    for part in ("images", "masks"):
        (data / part).mkdir(parents=True)
    for number in range(8):
        mask = np.zeros((20, 24), np.uint8)
        mask[2:9, 2 + number : 9 + number] = 1
        Image.fromarray(mask).save(data / f"masks/p{number}.png", compress_level=0)
        Image.new("RGB", (24, 20), (number, 9, 9)).save(data / f"images/p{number}.bmp")
    (data / "classes.txt").write_text("background\ncat\n")
    options = DataOptions(str(data), cache_dir=str(tmp_path / "cache"))
    where = ["--data_dir", data, "--cache_dir", tmp_path / "cache", "--jobs", 1]
    run(weak_label_generator, *where, "--output_file", path, *request.param)

    def read(signals=("points",)):
        dataset = open_dataset(options)
        return labels_for(path, dataset, dataset.ids("train"), signals, data).notes

    return read, path, open_dataset(options)


def test_files_that_changed_since_are_counted(drawn):
    read, _, dataset = drawn
    assert read() == []
    first, second, *_ = names = dataset.ids("train")
    Image.fromarray(np.eye(20, 24, dtype=np.uint8)).save(dataset.mask_path(first), compress_level=0)
    (line,) = read()
    assert f"of {len(names)} images 1 mask changed since the labels were drawn" in line
    assert f"the first of {first};" in line and "python weak_label_generator.py" in line
    one, two = dataset.image_path(first), dataset.image_path(second)
    held = one.read_bytes(), two.read_bytes()
    one.write_bytes(held[1])
    two.write_bytes(held[0])
    assert "1 mask and 2 photographs changed" in read()[0]


def test_masks_that_are_gone_are_no_others(drawn):
    read, _, dataset = drawn
    dataset.mask_path(dataset.ids("train")[0]).unlink()
    assert read() == []


def test_labels_that_do_not_say_it_are_read(drawn):
    read, path, _ = drawn
    if path.is_dir():
        return
    content = load_labels(path)
    head = {key: value for key, value in content.items() if key not in ("images", "count")}
    images = {name: dict(one) for name, one in content["images"].items()}
    for one in images.values():
        del one["files"]
    save_labels(path, head, len(images), images.items())
    assert read() == []
    for one in images.values():
        one["files"] = [1, "x"]
    save_labels(path, head, len(images), images.items())
    with pytest.raises(UserError, match="'files' are not what a mask and a photograph hold"):
        read()
