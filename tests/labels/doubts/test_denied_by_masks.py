"""Labels that the masks beside them deny are told, though nobody learns from these masks."""

import csv

import numpy as np
import pytest
from conftest import run
from PIL import Image

import labels
import weak_label_generator
from weakseg.data.datasets import Folder
from weakseg.labels.doubts.partial_frames import FEWEST, PartialFrames
from weakseg.labels.formats.geometry import corners
from weakseg.labels.label_file import labels_for, load_labels, save_labels

SIZE = (60, 40)
KINDS = ("points", "scribbles", "boxes", "outlines")


@pytest.fixture
def folder(tmp_path):
    """Six pictures, by turns with an object of class 1 and 2 that has a void rim."""
    root = tmp_path / "data"
    for number in range(6):
        mask = np.zeros(SIZE[::-1], np.uint8)
        mask[8:32, 13:47], mask[10:30, 15:45] = 255, 1 + number % 2
        for place, content in (("masks", mask), ("images", np.stack([mask + number] * 3, -1))):
            path = root / place / f"p{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(path)
    (root / "classes.txt").write_text("background\ncat\ndog\n")
    (root / "test.txt").write_text("p5\n")
    (root / "trainval.txt").write_text("p0\np1\np2\np3\np4\n")
    return root


def told(folder, path, kinds=KINDS):
    dataset = Folder(folder, cache_dir=folder.parent / "cache")
    notes = labels_for(path, dataset, dataset.ids("trainval"), kinds, folder).notes
    return [line for line in notes if "where a mask shows another class" in line]


@pytest.mark.parametrize("kind", KINDS)
def test_simulated_labels_whose_classes_somebody_changed(folder, tmp_path, kind):
    path = tmp_path / "labels.pkl"
    more = ["--data_dir", folder, "--cache_dir", tmp_path / "cache", "--jobs", 1]
    run(weak_label_generator, *more, "--output_file", path)
    assert not told(folder, path) and not told(folder, path, ("pixels",))
    content = load_labels(path)
    images = content.pop("images")

    def other(label):
        return 3 - label if label in (1, 2) else label

    for record in images.values():
        for one in record[kind]:
            if isinstance(one, dict):
                one["class"] = other(one["class"])
            else:
                one[-1] = other(one[-1])
    save_labels(path, content, len(images), images.items())
    assert len(told(folder, path)) == 1
    content["options"]["noise"] = 0.5  # of whom much is wrong
    save_labels(path, content, len(images), images.items())
    assert not told(folder, path)


def test_labels_of_people_beside_masks_of_another_numbering(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [[f"p{n}.png", "box", ("cat", "dog")[n % 2], 15, 10, 45, 30] for n in range(5)]
    with open("labels.csv", "w", newline="") as file:
        head = ["image", "kind", "class", "left", "top", "right", "bottom"]
        csv.writer(file).writerows([head, *rows])
    run(labels, "import", "labels.csv", "--images", folder / "images", "--output", "mine")
    assert not told(folder, "mine", ("boxes",))
    for path in (folder / "masks").iterdir():
        mask = np.array(Image.open(path))
        Image.fromarray(np.array([0, 2, 1, *range(3, 256)], np.uint8)[mask]).save(path)
    assert len(told(folder, "mine", ("boxes",))) == 1


@pytest.mark.parametrize("kind", ["boxes", "outlines"])
@pytest.mark.parametrize("part", [0.3, 0.9, 1.0])
@pytest.mark.parametrize("others", ["none", "far", "complete"])
def test_frames_around_parts_of_what_masks_show_are_told(kind, part, others):
    tally, mask = PartialFrames(), np.zeros((40, 60), np.uint8)
    mask[5:35, 10:40], mask[0:2, 50:60] = 1, 2
    if others != "none":  # an object without a frame, which only a complete list lacks
        mask[2:38, 42:60] = 1
    frame = [10.0, 5.0, 40.0, 5 + 30 * part]
    one = [*frame, 1] if kind == "boxes" else {"class": 1, "polygon": corners(frame)}
    labels = {"size": [60, 40], kind: [one], "complete": [kind] if others == "complete" else []}
    for number in range(FEWEST):
        assert not [*tally.lines()]
        tally.add(f"p{number}", labels, mask)
    is_partial = part == 0.3 or others == "complete"
    assert len([*tally.lines()]) == is_partial
    for number in range(FEWEST + 1):  # most are around all of their objects
        tally.add(f"q{number}", {**labels, kind: [one]}, np.where(mask == 1, 0, mask))
    assert not [*tally.lines()]
