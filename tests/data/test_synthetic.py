"""Laws of the drawn data set: it depends on seed, size and name alone, and is worth solving."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from weakseg.common import UserError
from weakseg.data import synthetic

NAMES = st.builds("{}_{}".format, st.sampled_from(list(synthetic.BREEDS)), st.integers(1, 999))
PET, BACKGROUND, BORDER = 1, 2, 3


def files(root):
    """Return {relative path: bytes} of everything below `root`."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def rows(root, split):
    lines = (root / "annotations" / f"{split}.txt").read_text().splitlines()
    return [line.split() for line in lines if not line.startswith("#")]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    root = tmp_path_factory.mktemp("small")
    synthetic.draw_shapes(root, 8, 4, 64, 0)
    return root


@settings(max_examples=12)
@given(NAMES, st.integers(48, 140), st.integers(0, 9))
def test_a_drawing_is_its_name_size_and_seed(name, size, seed):
    first, again = synthetic.draw(name, size, seed), synthetic.draw(name, size, seed)
    assert np.array_equal(first.image, again.image) and np.array_equal(first.trimap, again.trimap)
    assert not np.array_equal(first.image, synthetic.draw(name, size, seed + 1).image)
    assert max(first.trimap.shape) == size and first.image.shape == (*first.trimap.shape, 3)
    assert size * 0.6 < min(first.trimap.shape)


@settings(max_examples=25)
@given(NAMES, st.integers(48, 200))
def test_one_to_three_animals_inside_a_border(name, size):
    drawing = synthetic.draw(name, size, 0)
    assert set(np.unique(drawing.trimap)) == {PET, BACKGROUND, BORDER}
    around_pet = cv2.dilate((drawing.trimap == PET).astype(np.uint8), np.ones((3, 3), np.uint8))
    assert not (around_pet.astype(bool) & (drawing.trimap == BACKGROUND)).any()
    regions = cv2.connectedComponentsWithStats((drawing.trimap != BACKGROUND).astype(np.uint8))[2][
        1:
    ]
    assert 1 <= drawing.figures <= 3
    assert 1 <= (regions[:, cv2.CC_STAT_AREA] > 0.01 * drawing.trimap.size).sum() <= drawing.figures
    assert 0.08 < (drawing.trimap != BACKGROUND).mean() < 0.6


def test_all_kinds_of_scene_come_up():
    drawings = [
        synthetic.draw(f"{breed}_{k}", 96, 0) for breed in synthetic.BREEDS for k in range(1, 13)
    ]
    assert {drawing.figures for drawing in drawings} == {1, 2, 3}
    assert 0.15 < np.mean([(drawing.trimap == PET).mean() for drawing in drawings]) < 0.35
    assert len({drawing.trimap.shape for drawing in drawings}) > 12
    # A curled tail or a gap between legs: background that the animal encloses.
    enclosed = [
        cv2.connectedComponents((d.trimap == BACKGROUND).astype(np.uint8), connectivity=4)[0] > 2
        for d in drawings
    ]
    assert np.mean(enclosed) > 0.1


def channels(image):
    """Return [7, N]: red, green, blue, hue, saturation, value, grey."""
    hsv, grey = cv2.cvtColor(image, cv2.COLOR_RGB2HSV), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.concatenate([image.reshape(-1, 3).T, hsv.reshape(-1, 3).T, grey.reshape(1, -1)])


def best_threshold_iou(values, pet):
    """Return the IoU of the best threshold on one channel, in either direction.

    values: uint8 [N]
    pet: bool [N], whether a pixel shows a pet
    """
    hits = np.cumsum(np.bincount(values[pet], minlength=256))
    marked = np.cumsum(np.bincount(values, minlength=256))
    below = hits / np.maximum(marked + pet.sum() - hits, 1)
    hits, marked = pet.sum() - hits, len(pet) - marked
    return max(below.max(), (hits / np.maximum(marked + pet.sum() - hits, 1)).max())


def test_no_threshold_solves_it():
    single, together = [], []
    for k, breed in enumerate(list(synthetic.BREEDS) * 8):
        drawing = synthetic.draw(f"{breed}_{k + 1}", 96, 0)
        known = drawing.trimap.ravel() != BORDER
        values, pet = channels(drawing.image)[:, known], drawing.trimap.ravel()[known] == PET
        single.append(max(best_threshold_iou(channel, pet) for channel in values))
        together.append((values, pet))
    pets = np.concatenate([pet for _, pet in together])
    overall = max(
        best_threshold_iou(np.concatenate([values[c] for values, _ in together]), pets)
        for c in range(7)
    )
    assert overall < 0.35  # "everything is a pet" has about 0.25
    assert (
        np.mean(single) < 0.6
    )  # even where the mask itself chooses channel and threshold for every image


def test_layout_and_lists(small):
    trainval, test, everything = (rows(small, split) for split in ("trainval", "test", "list"))
    assert len(trainval) == 8 and len(test) == 4
    assert sorted(trainval + test) == sorted(everything)
    assert not {row[0] for row in trainval} & {row[0] for row in test}
    assert synthetic.is_drawn(small)
    for name, class_id, species, breed_id in everything:
        breed = synthetic.BREEDS[name.rsplit("_", 1)[0]]
        assert (int(class_id), int(species), int(breed_id)) == breed
        assert name[0].isupper() == (species == "1")  # as in Pet: cats are capitalised
        with Image.open(small / "images" / f"{name}.jpg") as image:
            image_size = image.size
        with Image.open(small / "annotations" / "trimaps" / f"{name}.png") as mask:
            assert mask.mode == "L" and mask.size == image_size
    for split in (trainval, test):
        assert {row[2] for row in split} == {"1", "2"}


def test_a_bigger_set_contains_the_smaller(small, tmp_path):
    synthetic.draw_shapes(tmp_path, 13, 6, 64, 0)
    bigger = files(tmp_path)
    for path, content in files(small).items():
        assert path.endswith(".txt") or bigger[path] == content
    assert {row[0] for row in rows(small, "trainval")} < {
        row[0] for row in rows(tmp_path, "trainval")
    }
    assert {row[0] for row in rows(small, "test")} < {row[0] for row in rows(tmp_path, "test")}


def test_worker_processes_draw_the_same(small, tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "MANY", 1)
    synthetic.draw_shapes(tmp_path, 8, 4, 64, 0)
    assert files(tmp_path) == files(small)


def test_drawing_again_keeps_what_is_whole_and_mends_the_rest(tmp_path):
    assert synthetic.draw_shapes(tmp_path, 4, 4, 64, 0) == 8
    before = files(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert synthetic.draw_shapes(tmp_path, 4, 4, 64, 0) == 0
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    first, second = sorted((tmp_path / "images").iterdir())[:2]
    first.write_bytes(first.read_bytes()[:300])
    second.unlink()
    assert synthetic.draw_shapes(tmp_path, 4, 4, 64, 0) == 2
    assert files(tmp_path) == before
    assert synthetic.draw_shapes(tmp_path, 4, 4, 64, 1) == 8  # another seed replaces the pictures
    assert synthetic.draw_shapes(tmp_path, 4, 4, 64, 0) == 8
    assert files(tmp_path) == before


def test_an_interrupted_drawing_has_no_lists_and_is_taken_up(small, tmp_path, monkeypatch):
    write, calls = synthetic.write, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 5:
            raise KeyboardInterrupt
        write(*args)

    monkeypatch.setattr(synthetic, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        synthetic.draw_shapes(tmp_path, 8, 4, 64, 0)
    assert not list(tmp_path.rglob("*.txt"))
    monkeypatch.setattr(synthetic, "write", write)
    assert synthetic.draw_shapes(tmp_path, 8, 4, 64, 0) == 8  # of 12, four were whole
    assert files(tmp_path) == files(small)


def test_a_folder_of_an_older_drawing_is_drawn_anew_with_a_line(
    small, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(synthetic, "DRAWING", synthetic.DRAWING - 1)
    monkeypatch.setattr(synthetic, "INK", synthetic.INK + 20)
    synthetic.draw_shapes(tmp_path, 8, 4, 64, 0)
    assert capsys.readouterr().out == ""
    monkeypatch.undo()
    assert synthetic.draw_shapes(tmp_path, 8, 4, 64, 0) == 12
    assert f"{tmp_path}: an older version drew what is here" in capsys.readouterr().out
    assert files(tmp_path) == files(small)
    synthetic.draw_shapes(tmp_path, 8, 4, 64, 0)
    assert capsys.readouterr().out == ""


def test_another_data_set_is_never_overwritten(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "list.txt").write_text(
        "#Image CLASS-ID SPECIES BREED ID\nAbyssinian_1 1 1 1\n"
    )
    before = files(tmp_path)
    with pytest.raises(UserError, match=r"list\.txt"):
        synthetic.draw_shapes(tmp_path, 4, 4, 64, 0)
    assert files(tmp_path) == before
