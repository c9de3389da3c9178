"""The header of labels: what the masks meant of which they were drawn."""

import pickle

import numpy as np
import pytest
from conftest import run
from PIL import Image

import weak_label_generator
from weakseg.common import UserError
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.label_file import labels_for, load_labels


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder whose masks hold 0, 1 and 2, and labels drawn from them as they are."""
    root = tmp_path_factory.mktemp("own")
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number in range(6):
        mask = np.zeros((40, 48), np.uint8)
        mask[5:20, 5:20], mask[22:38, 22:40] = 1, 2
        Image.fromarray(np.stack([mask * 90] * 3, 2)).save(root / f"images/p{number}.jpg")
        Image.fromarray(mask).save(root / f"masks/p{number}.png")
    (root / "classes.txt").write_text("background\ncat\ndog\n")
    for split, names in (("trainval", "0234"), ("test", "15")):
        (root / f"{split}.txt").write_text("".join(f"p{name}\n" for name in names))
    return root


def opened(root, **more):
    return open_dataset(DataOptions(data_dir=str(root), cache_dir=str(root / ".cache"), **more))


def drawn(root, *flags, name="labels.pkl"):
    words = ["--data_dir", root, "--cache_dir", root / ".cache", "--output_file", root / name]
    run(weak_label_generator, *words, "--jobs", 1, *flags)
    return root / name


def read(path, dataset):
    return labels_for(path, dataset, dataset.ids("train"), ("points",), "own")


def test_labels_say_what_the_masks_meant(own):
    path = drawn(own)
    assert load_labels(path)["mask_values"] == {
        "0": "background",
        "1": "cat",
        "2": "dog",
        "255": "nothing (ignored)",
    }
    assert read(path, opened(own))
    assert read(path, opened(own, mask_values=("1=cat",))), "the same in other words"


@pytest.mark.parametrize(
    "flags, line",
    [
        ({"mask_values": ("1=dog", "2=cat")}, "in which 1 means cat, but here it means dog"),
        ({"mask_values": ("0=cat", "1=background")}, "in which 0 means background, but here it"),
        ({"mask_ignore": "2"}, r"in which 2 means dog, but here it means nothing \(ignored\)"),
        ({"mask_values": ("255=cat",)}, r"in which 255 means nothing \(ignored\), but here it me"),
    ],
)
def test_labels_of_masks_that_meant_something_else_are_refused(flags, line, own):
    with pytest.raises(UserError, match=f"was drawn from masks {line}.*; give --mask_values"):
        read(drawn(own), opened(own, **flags))


def test_labels_of_colours_are_none_of_numbers(own):
    content = load_labels(drawn(own))
    content["mask_values"] = {"#000000": "background", "#ff0000": "cat"}
    (own / "colours.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match="in which #000000 means background, but here it means not"):
        read(own / "colours.pkl", opened(own))


def test_classes_that_changed_their_numbers_are_refused_behind_a_choice_of_classes(own, tmp_path):
    path = drawn(own, "--classes", "cat", name="cats.pkl")
    before = (own / "classes.txt").read_text()
    for lines, is_fine in (("cat\ndog\ncow\n", True), ("dog\ncat\n", False)):
        (own / "classes.txt").write_text(f"background\n{lines}")
        try:
            dataset = opened(own, classes=("cat",))
            if is_fine:
                assert read(path, dataset)
                continue
            with pytest.raises(UserError, match="1 means cat, but here it means dog"):
                read(path, dataset)
        finally:
            (own / "classes.txt").write_text(before)


@pytest.mark.parametrize("flags", [(), ("--shards", 2)])
def test_labels_without_the_entry_are_read(flags, own, tmp_path):
    path = drawn(own, *flags, name="shards" if flags else "old.pkl")
    assert read(path, opened(own))
    if not flags:
        content = load_labels(path)
        del content["mask_values"]
        path.write_bytes(pickle.dumps(content))
        assert read(path, opened(own, mask_values=("1=dog", "2=cat")))


def test_labels_of_people_know_nothing_of_masks(own):
    content = load_labels(drawn(own)) | {"options": {}, "mask_values": {"1": "dog"}}
    (own / "people.pkl").write_bytes(pickle.dumps(content))
    assert read(own / "people.pkl", opened(own))
