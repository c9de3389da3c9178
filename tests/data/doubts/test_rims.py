"""Masks that were resized by averaging are told from masks of thin things."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from weakseg.common import UserError
from weakseg.data.datasets import Folder
from weakseg.data.doubts.rims import inner, rims
from weakseg.data.mask_values import MaskValues
from weakseg.labels.formats.masks import Meaning
from weakseg.labels.formats.records import Classes
from weakseg.labels.importing import Wishes, keep, read_labels
from weakseg.labels.label_file import labels_for
from weakseg.labels.matching import Pictures
from weakseg.labels.store import opened_store

BILINEAR, NEAREST = Image.Resampling.BILINEAR, Image.Resampling.NEAREST


def drawn(number, low=0, high=2):
    """A disk of one number in another, and a stripe of the number 1 where `number` is odd."""
    y, x = np.mgrid[:80, :100]
    mask = np.where((x - 40 - number) ** 2 + (y - 35) ** 2 < 400, high, low).astype(np.uint8)
    if number % 2:
        mask[70:, :] = 1
    return mask


@given(st.integers(0, 9), st.sampled_from([(0, 2), (1, 4), (0, 20)]), st.integers(45, 70))
def test_averaging_leaves_rims_and_nearest_neighbour_none(number, ends, size):
    mask = Image.fromarray(drawn(number, *ends))
    for how in (BILINEAR, NEAREST):
        smaller = np.asarray(mask.resize((size, size), how))
        found = rims(smaller, inner(np.unique(smaller).tolist()))
        assert how == BILINEAR or not found
        if ends == (0, 2) and number % 2 == 0:
            assert found == ({1} if how == BILINEAR else set())


@given(
    st.integers(0, 9),
    st.integers(2, 9),
    st.sampled_from(["BILINEAR", "BICUBIC", "HAMMING", "blur"]),
)
def test_enlarging_and_blurring_leave_wider_rims(number, times, how):
    mask = Image.fromarray(drawn(2 * number))
    size = (100 * times, 80 * times)
    if how == "blur":
        larger = mask.resize(size, NEAREST).filter(ImageFilter.GaussianBlur(times / 2))
    else:
        larger = mask.resize(size, Image.Resampling[how])
    between = {1} & {*np.unique(larger).tolist()}  # sharp enough, it leaves none
    assert rims(np.asarray(larger), {1}) == between
    assert rims(np.asarray(mask.resize(size, NEAREST)), {1}) == set()


@given(st.integers(4, 20), st.integers(1, 12), st.integers(0, 3))
def test_what_lies_around_a_thing_is_a_class_where_it_is_not_even(radius, shift, turn):
    """As the body of a cell around its nucleus, which is nowhere in the middle."""
    y, x = np.mgrid[:80, :80] - 40
    mask = ((x**2 + y**2 < (radius + 14) ** 2) * 1).astype(np.uint8)
    mask[x**2 + (y - shift) ** 2 < radius**2] = 2
    assert rims(np.rot90(mask, turn), {1}) == set() or shift < 3


@given(st.integers(1, 3), st.permutations([0, 1, 2]))
def test_thin_things_between_lower_and_higher_numbers_alone_are_rims(width, numbers):
    """A wire before one thing is none, whatever its number is."""
    wire, ground, other = numbers
    mask = np.full((40, 60), ground, np.uint8)
    mask[:, :10] = other
    mask[20 : 20 + width, 12:] = wire
    assert rims(mask, {0, 1, 2}) == set()


@pytest.mark.parametrize("times", [0.5, 3, 5])
@pytest.mark.parametrize("how", [BILINEAR, NEAREST])
def test_an_import_of_averaged_masks_says_so_and_training_with_them_too(how, times, tmp_path):
    size = (int(100 * times), int(80 * times))
    for part in ("mine/images", "drawn"):
        (tmp_path / part).mkdir(parents=True)
    for number in range(4):
        mask = Image.fromarray(drawn(2 * number)).resize(size, how)
        mask.save(tmp_path / f"drawn/p{number}.png")
        Image.new("RGB", size, (number, 9, 9)).save(tmp_path / f"mine/images/p{number}.png")
    (tmp_path / "mine/classes.txt").write_text("background\ncat\ndog\n")
    pictures, names = Pictures(tmp_path / "mine/images"), ("background", "cat", "dog")
    found = read_labels(tmp_path / "drawn", pictures, Wishes(meaning=Meaning(Classes(names))))
    assert len(found.dropped.told) == (how == BILINEAR)
    assert all(
        "4 of 4 masks" in line and "unless it is a class" in line for line in found.dropped.told
    )
    with opened_store(tmp_path / "store", create=True) as store:
        keep(store, found)
    dataset = Folder(tmp_path / "mine", cache_dir=tmp_path / ".cache")
    ids = dataset.ids("trainval")
    notes = labels_for(tmp_path / "store", dataset, ids, ["full"], tmp_path / "mine").notes
    assert [line.startswith(f"{tmp_path / 'store'}: ") for line in notes] == [True] * (
        how == BILINEAR
    )


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_values_of_averaged_masks_are_told_as_such_unless_they_are_few(mode, tmp_path):
    mask = Image.fromarray(drawn(0, 0, 255)).convert(mode)
    words = ["255=cat"] if mode == "L" else ["#ffffff=cat", "#000000=background"]
    values = MaskValues.of_flags(words, None, ["background", "cat"])
    for times, how in ((3, BILINEAR), (0.5, BILINEAR), (3, NEAREST)):
        mask.resize((int(100 * times), int(80 * times)), how).save(tmp_path / "a.png")
        if how == NEAREST:
            assert {*values.read(tmp_path / "a.png").flat} == {0, 1}
            continue
        with pytest.raises(UserError, match=r"unless they are classes, [0-9]+ such .*by nearest"):
            values.read(tmp_path / "a.png")


@pytest.mark.parametrize("how", [BILINEAR, NEAREST])
def test_a_folder_of_averaged_masks_says_so(how, tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number in range(8):
        mask = Image.fromarray(drawn(number)).resize((50, 40), how)
        mask.save(tmp_path / f"masks/p{number}.png")
        Image.new("RGB", (50, 40), (number, 9, 9)).save(tmp_path / f"images/p{number}.png")
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n")
    notes = Folder(tmp_path, cache_dir=tmp_path / ".cache").notes()
    told = [line for line in notes if "thin rim" in line]
    assert len(told) == (how == BILINEAR)
    assert not told or told[0].startswith(f"{tmp_path}: 4 of 8 masks that were looked at")
