"""Groups of pictures that belong together: no split, fold or held-out part parts them."""

from pathlib import Path

import numpy as np
import pytest
from conftest import run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import train
import weak_label_generator
from weakseg.common import UserError
from weakseg.data.datasets import Folder, Pets
from weakseg.data.groups import group_notes, group_numbers, hold_out, read_groups
from weakseg.learners.probe import Standard
from weakseg.planning.answer_model import AnswerModel

NAMES = st.integers(0, 60).map(str)
GROUPED = st.dictionaries(NAMES, st.integers(0, 8).map(str), min_size=1)


@given(GROUPED, st.floats(0.01, 0.9), st.integers(0, 5), st.randoms(use_true_random=False))
def test_groups_are_held_out_as_a_whole(groups, fraction, seed, random):
    strata = {name: (str(int(name) % 3),) for name in groups}
    held = hold_out(strata, fraction, seed, groups.__getitem__)
    assert held and {groups[name] for name in held}.isdisjoint(
        groups[name] for name in strata.keys() - held
    )
    shuffled = [*strata.items()]
    random.shuffle(shuffled)
    assert hold_out(dict(shuffled), fraction, seed, groups.__getitem__) == held


@given(st.integers(20, 60), st.integers(0, 9))
def test_about_the_share_is_held_out(number, seed):
    """Of groups of up to three, so that one more or less is one group at most."""
    names = [str(i) for i in range(number)]
    held = hold_out({name: () for name in names}, 0.2, seed, lambda name: str(int(name) // 3))
    assert abs(len(held) - 0.2 * number) <= 2


# ---- the file


def test_a_list_of_groups_names_pictures_as_other_lists_do(tmp_path):
    files = {name: tmp_path / f"{name}.jpg" for name in ("a", "b", "sub/a", "c,d")}
    path = tmp_path / "groups.txt"
    path.write_text("# slides\na, 1\nb.JPG,2\nsub/a\tpatient 7\nc,d, 3\nnobody, 4\n")
    assert read_groups(path, files) == {"a": "1", "b": "2", "sub/a": "patient 7", "c,d": "3"}
    assert read_groups(tmp_path / "none.txt", files) == {}


def test_pictures_without_a_line_and_groups_of_one_are_said(tmp_path):
    files = {name: tmp_path / f"{name}.jpg" for name in "abcdefghijk"}
    path = tmp_path / "groups.txt"
    for count in (9, 10):
        path.write_text("".join(f"{name},{name}\n" for name in [*files][:count]))
        lacking, *alone = group_notes(path, files)
        assert (
            f"{11 - count} of 11 pictures have no line, the first is {[*files][count]}" in lacking
        )
        assert ["no two pictures" in line for line in alone] == [True] * (count == 10)
    path.write_text("".join(f"{name},1\n" for name in files))
    assert not group_notes(path, files)


def test_names_of_no_picture_and_groups_with_several_spellings_are_said(tmp_path):
    files = {name: tmp_path / f"{name}.jpg" for name in "ab"}
    path = tmp_path / "groups.txt"
    path.write_text("a, Patient 7\nb, patient  7\nc, 8\n")
    strays, spellings = group_notes(path, files)
    assert strays == f"{path}: 1 of 3 names are of no picture, the first is c"
    assert "1 groups have several spellings, the first is Patient 7" in spellings
    for name, is_told in (
        ("nan", True),
        ("N/A", True),
        ("Unknown", True),
        ("?", True),
        ("7", False),
    ):
        path.write_text(f"a, {name}\nb, {name}\n")
        start = f"{path}: 2 pictures are of the group {name}; if that means that nobody knows"
        assert [line.startswith(start) for line in group_notes(path, files)] == [True] * is_told
    path.write_text("a, nan\nb, 2\n")
    assert not group_notes(path, files)  # a group of its own as it is
    path.write_text("a, 1\nb, 2\n")
    assert group_notes(path, files) == group_notes(tmp_path / "none.txt", files) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n", "line 1: 'a' is not 'picture, group'"),
        ("a,\n", "line 1: 'a,' is not 'picture, group'"),
        ("a,1\n\na.jpg,2\n", "line 3: a.jpg has the group 1 already"),
        ("z,1\n", "names none of the 1 pictures"),
        ("../a,1\n", "line 1"),
    ],
)
def test_a_mistake_in_it_is_one_line(text, message, tmp_path):
    path = tmp_path / "groups.txt"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_groups(path, {"a": tmp_path / "a.jpg"})
    assert message in str(caught.value) and "\n" not in str(caught.value)


# ---- data sets


def slides(root, number=30, each=3, masks=True):
    """Lay out pictures of `each` a slide, whose first ones alone have masks if `masks` is None."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("background\ncell\n")
    for k in range(number):
        pixels = np.random.default_rng(k).integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"images/{k:02}.png")
        mask = np.zeros((64, 64), np.uint8)
        mask[8 : 24 + k, 8:40] = 1
        if masks or k % each == 0:
            Image.fromarray(mask).save(root / f"masks/{k:02}.png")
    lines = [f"{k:02}.png, slide {k // each}" for k in range(number)]
    (root / "groups.txt").write_text("\n".join(lines))
    return root


@pytest.mark.parametrize("masks", [True, None])
def test_no_split_of_a_folder_parts_a_slide(masks, tmp_path):
    root = slides(tmp_path / "slides", masks=masks)
    for seed in range(4):
        dataset = Folder(root, cache_dir=tmp_path / "cache", val_fraction=0.3, split_seed=seed)
        parts = [{*map(dataset.group, dataset.ids(split))} for split in ("train", "val", "test")]
        assert all(parts) and sum(map(len, parts)) == len(set().union(*parts)) == 10


def test_one_slide_alone_leaves_no_split_and_the_list_is_named(tmp_path):
    root = slides(tmp_path / "slides", 3)
    with pytest.raises(UserError, match=r"no image is left for the train split; .*groups\.txt"):
        Folder(root, cache_dir=tmp_path / "cache")


def test_lists_that_part_a_slide_are_refused(tmp_path):
    root = slides(tmp_path / "slides", 6)
    (root / "trainval.txt").write_text("00\n01\n02\n03\n")
    (root / "test.txt").write_text("04\n05\n")
    with pytest.raises(UserError, match=r"groups\.txt: pictures of the group slide 1 are in"):
        Folder(root, cache_dir=tmp_path / "cache")
    (root / "groups.txt").write_text("\n".join(f"0{k}, one" for k in range(4)))
    dataset = Folder(root, cache_dir=tmp_path / "cache")  # all of one are trained on
    assert len(dataset.ids("train")) == 4 and dataset.ids("val") == []


def test_data_sets_with_lists_of_their_own_have_groups_too(pets_dir, tmp_path):
    (tmp_path / "pets").symlink_to(pets_dir)
    root = tmp_path / "pets"
    names = Pets(root, cache_dir=tmp_path / "cache").ids("trainval")
    assert all(Pets(root, cache_dir=tmp_path / "cache").group(name) == name for name in names)


def test_penalties_are_chosen_between_slides(tmp_path, monkeypatch):
    """All of a slide is held out of the fits together, whatever its pictures."""
    from weakseg.training import probe_fit

    root, seen = slides(tmp_path / "slides", 12), []
    data = ["--data_dir", root, "--cache_dir", tmp_path / "cache"]
    labels = tmp_path / "labels.pkl"
    run(weak_label_generator, *data, "--output_file", labels, "--jobs", 1)
    choose = probe_fit.choose_penalty

    def spy(x, targets, weights, groups, *others, **more):
        seen.append({*np.asarray(groups).tolist()})
        return choose(x, targets, weights, groups, *others, **more)

    monkeypatch.setattr(probe_fit, "choose_penalty", spy)
    words = ["--learner", "probe", "--head", "linear", "--rounds", 0, "--encoder_weights", "none"]
    words += ["--supervision_mode", "points", "--img_size", 64, "--device", "cpu"]
    run(train, *data, "--weak_label_path", labels, "--checkpoint_dir", tmp_path, *words)
    dataset = Folder(root, cache_dir=tmp_path / "cache")
    assert len(seen[0]) == len({*map(dataset.group, dataset.ids("train"))}) < 10


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9))
def test_a_group_has_the_number_of_its_first_picture(groups):
    numbers = group_numbers(range(len(groups)), groups.__getitem__)
    assert [groups[number] for number in numbers] == groups
    assert all(number == groups.index(group) for number, group in zip(numbers, groups, strict=True))


def test_questions_are_held_out_by_slide():
    """The out-of-fold predictions of a session, and its penalties, never learn from the slide."""
    standard = Standard(np.zeros(2, np.float32), np.ones(2, np.float32))
    model = AnswerModel(standard, 2, 0, groups=np.array([0, 0, 2, 2]))
    assert model.groups_of(np.array([1, 3, 0])).tolist() == [0, 2, 0]


# ---- frames of a drive

CAMVID = Path(__file__).parents[3] / "shared" / "data" / "camvid"


@pytest.mark.skipif(not CAMVID.is_dir(), reason="needs ../shared/data/camvid")
def test_no_frame_of_a_drive_of_camvid_is_validated_on_when_others_are_trained_on(tmp_path):
    """Its own lists part drives, which neighbouring frames make look easy; groups do not."""
    for name in ("images", "masks", "classes.txt"):
        (tmp_path / name).symlink_to(CAMVID / name)
    frames = [path.stem for path in (CAMVID / "images").glob("*.jpg")]
    drives = {name: name.split("_")[0] for name in frames}
    (tmp_path / "groups.txt").write_text("\n".join(f"{name}, {drives[name]}" for name in frames))
    dataset = Folder(tmp_path, cache_dir=tmp_path / "cache", val_fraction=0.2)
    parts = [{drives[name] for name in dataset.ids(split)} for split in ("train", "val", "test")]
    assert all(parts) and sum(map(len, parts)) == len({*drives.values()})
    without = Folder(CAMVID, cache_dir=tmp_path / "cache", val_fraction=0.2)
    assert {drives[n] for n in without.ids("train")} & {drives[n] for n in without.ids("val")}
