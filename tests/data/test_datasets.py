"""Laws of splits, classes, tags and layouts, and the line that each bad input gets."""

import shutil
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_folders import mask, opened, picture, write
from PIL import Image

from weakseg.common import UserError
from weakseg.data.datasets import (
    DATASETS,
    DataOptions,
    Voc,
    add_data_arguments,
    detect,
    open_dataset,
)
from weakseg.data.groups import hold_out

LAWS = settings(max_examples=60)


@pytest.fixture
def pets(tmp_path, pets_dir):
    """A copy of the tiny Pet data set that may be spoilt; images and masks as links."""
    shutil.copytree(pets_dir, tmp_path / "pets", copy_function=lambda a, b: shutil.os.link(a, b))
    for split in ("trainval", "test"):
        path = tmp_path / "pets" / "annotations" / f"{split}.txt"
        text = path.read_text()
        path.unlink()
        path.write_text(text)
    return tmp_path / "pets"


VOC = {"cats": [0, 8, 255], "dogs": [0, 12], "both": [8, 0, 12], "bird": [3, 0], "none": [0, 15]}


@pytest.fixture
def voc(tmp_path):
    """A tiny VOC tree: five kinds of images, eight of each to train and two to test."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    lists = {
        "train": [f"{kind}{i}" for kind in VOC for i in range(8)],
        "val": [f"{kind}{i}" for kind in VOC for i in (8, 9)],
    }
    for split, names in lists.items():
        write(root / "ImageSets" / "Segmentation" / f"{split}.txt", *names)
        for name in names:
            picture(root / "JPEGImages" / f"{name}.jpg")
            mask(root / "SegmentationClass" / f"{name}.png", VOC[name[:-1]])
    return tmp_path


@pytest.fixture
def folder(tmp_path):
    """Forty pictures of one's own in several formats, without lists."""
    write(tmp_path / "classes.txt", "background", "red fox", "owl")
    for i in range(40):
        picture(tmp_path / "images" / f"my picture {i}{'.png' if i % 2 else '.jpg'}")
        mask(tmp_path / "masks" / f"my picture {i}.png", [0, 1 + i % 2, 255])
    return tmp_path


@LAWS
@given(
    st.dictionaries(
        st.text(max_size=6), st.tuples(st.sampled_from("ab"), st.integers(0, 4)), max_size=60
    ),
    st.floats(0.01, 0.9),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_hold_out_takes_its_share_of_every_stratum_whatever_the_order(
    strata, fraction, seed, random
):
    held = hold_out(strata, fraction, seed)
    shuffled = list(strata.items())
    random.shuffle(shuffled)
    assert hold_out(dict(shuffled), fraction, seed) == held
    assert held <= set(strata)
    if not strata:
        return
    assert len(held) == max(1, int(fraction * len(strata) + 0.5))
    for part in (lambda label: label, lambda label: label[0]):
        sizes, taken = (Counter(part(strata[name]) for name in names) for names in (strata, held))
        if len(held) > 1:
            assert all(
                abs(taken[label] - fraction * size) < 1 + 1e-9 for label, size in sizes.items()
            )


def test_another_seed_holds_others():
    strata = {f"image{i}": i % 3 for i in range(100)}
    held = [hold_out(strata, 0.2, seed) for seed in (0, 1)]
    assert len(held[0] & held[1]) < 12


@pytest.mark.parametrize("layout", ["pets_dir", "voc", "folder"])
def test_splits_are_disjoint_deterministic_and_keep_the_official_test(layout, request):
    root = request.getfixturevalue(layout)
    one, other = (opened(root, val_fraction=0.25) for _ in range(2))
    splits = {split: one.ids(split) for split in ("train", "val", "test")}
    assert all(splits[split] == other.ids(split) == sorted(splits[split]) for split in splits)
    assert (
        sum(map(len, splits.values()))
        == len(set().union(*splits.values()))
        == sum(map(len, splits.values()))
    )
    assert one.ids("trainval") == sorted(splits["train"] + splits["val"])
    assert one.fingerprint() == other.fingerprint()
    reseeded = opened(root, val_fraction=0.25, split_seed=7)
    assert reseeded.ids("val") != splits["val"]
    assert reseeded.fingerprint() != one.fingerprint()
    if layout != "folder":
        lists = [p for p in root.rglob("*.txt") if p.stem in ("test", "val")]
        assert splits["test"] == sorted(
            line.split()[0] for line in lists[0].read_text().splitlines()
        )
        assert reseeded.ids("test") == splits["test"]


def test_the_split_of_pets_does_not_depend_on_list_order_or_on_what_is_there(pets):
    whole = opened(pets)
    assert {whole.tags(name)[0] for name in whole.ids("val")} == {"cat", "dog"}
    path = pets / "annotations" / "trainval.txt"
    write(path, *reversed(path.read_text().splitlines()))
    gone = whole.ids("train")[::3] + whole.ids("val")[:1] + whole.ids("test")[:2]
    for name in gone:
        whole.image_path(name).unlink()
    partial = opened(pets)
    assert partial.absent == len(gone)
    for split in ("train", "val", "test"):
        assert partial.ids(split) == [name for name in whole.ids(split) if name not in gone]


def test_images_that_come_later_do_not_move_others_between_train_and_test(folder):
    before = opened(folder)
    assert 2 <= len(before.ids("test")) <= 16
    for i in range(40, 60):
        picture(folder / "images" / f"new {i}.jpg")
        mask(folder / "masks" / f"new {i}.png", [0, 1])
    after = opened(folder)
    assert set(before.ids("test")) <= set(after.ids("test"))
    assert set(before.ids("trainval")) <= set(after.ids("trainval"))


def test_the_fingerprint_sees_classes_and_changed_files(pets):
    before = opened(pets).fingerprint()
    assert opened(pets, classes=["species"]).fingerprint() != before
    assert opened(pets, tag_set="breed").fingerprint() != before
    path = opened(pets).image_path(opened(pets).ids("test")[0])
    path.unlink()
    picture(path)
    assert opened(pets).fingerprint() != before


def test_pets_come_as_binary_species_and_breed(pets_dir):
    binary, species, breed = (
        opened(pets_dir),
        opened(pets_dir, classes=["species"]),
        opened(pets_dir, tag_set="breed"),
    )
    assert binary.class_names == breed.class_names == ["background", "pet"]
    assert species.class_names == ["background", "cat", "dog"]
    assert binary.tag_names == species.tag_names == ["cat", "dog"]
    assert (binary.tag_class, species.tag_class, breed.tag_class) == ([1, 1], [1, 2], [1, 1, 1, 1])
    assert len(breed.tag_names) == 4
    for name in binary.ids("trainval"):
        trimap = np.asarray(Image.open(pets_dir / "annotations" / "trimaps" / f"{name}.png"))
        image, shown = binary.load(name)
        assert image.shape == (*trimap.shape, 3)
        assert ((shown == 1) == (trimap == 1)).all()
        assert ((shown == 0) == (trimap == 2)).all()
        assert ((shown == 255) == (trimap == 3)).all()
        (tag,) = species.tags(name)
        assert tag == ("cat" if name[0].isupper() else "dog")
        label = species.tag_class[species.tag_names.index(tag)]
        assert np.array_equal(np.where(shown == 1, label, shown), species.mask(name))
        assert breed.tags(name) == (name.rsplit("_", 1)[0],)


def test_voc_has_its_official_classes_and_tags_from_masks(voc):
    full = opened(voc)
    assert full.class_names == list(Voc.all_classes)
    assert len(full.class_names) == 21
    assert full.tags("both0") == ("cat", "dog")
    assert full.tags("cats0") == ("cat",)
    assert len(full.ids("trainval")) == 40
    assert set(np.unique(full.mask("cats0"))) == {0, 8, 255}
    assert [full.class_names[label] for label in full.tag_class] == full.tag_names


def test_a_subset_of_voc_keeps_images_that_show_it_and_others_are_background(voc):
    subset = opened(voc, classes=["dog", "bird"])
    assert subset.class_names == ["background", "dog", "bird"]
    assert {name[:-1] for name in subset.ids("trainval") + subset.ids("test")} == {
        "dogs",
        "both",
        "bird",
    }
    assert set(np.unique(subset.mask("both0"))) == {0, 1}
    assert set(np.unique(subset.mask("bird8"))) == {0, 2}
    assert subset.tags("both0") == ("dog",)


def test_merged_classes_share_a_number_and_keep_their_tags(voc):
    merged = opened(voc, classes=["pet=cat+dog", "person"])
    assert merged.class_names == ["background", "pet", "person"]
    assert merged.tag_names == ["cat", "dog", "person"]
    assert merged.tag_class == [1, 1, 2]
    assert np.array_equal(merged.mask("both0") == 1, np.isin(opened(voc).mask("both0"), (8, 12)))
    assert merged.tags("both0") == ("cat", "dog")
    assert set(np.unique(merged.mask("cats0"))) == {0, 1, 255}


def test_voc_prefers_the_augmented_list_and_is_found_at_any_depth(voc):
    root = voc / "VOCdevkit" / "VOC2012"
    write(root / "ImageSets" / "Segmentation" / "train_aug.txt", "cats0", "dogs0", "cats1", "dogs1")
    for data_dir in (voc, voc / "VOCdevkit", root):
        assert opened(data_dir, cache_dir=voc / ".cache").ids("trainval") == [
            "cats0",
            "cats1",
            "dogs0",
            "dogs1",
        ]


def test_a_folder_takes_any_image_format_names_with_spaces_and_lists(folder):
    plain = opened(folder)
    assert plain.class_names == ["background", "red fox", "owl"]
    assert plain.tags("my picture 0") == ("red fox",)
    assert opened(folder, classes=["red fox"]).class_names == ["background", "red fox"]
    write(folder / "test.txt", "# held out", "my picture 3", "", "my picture 4.jpg")
    write(folder / "trainval.txt", *(f"my picture {i}" for i in range(10, 30)))
    listed = opened(folder)
    assert listed.ids("test") == ["my picture 3", "my picture 4"]
    assert len(listed.ids("trainval")) == 20


def test_a_folder_may_lack_masks_for_training_only(folder):
    for i in range(0, 40, 2):
        (folder / "masks" / f"my picture {i}.png").unlink()
    dataset = opened(folder)
    assert len(dataset.ids("trainval")) + len(dataset.ids("test")) == 40
    assert all(dataset.mask_path(name).exists() for name in dataset.ids("test"))
    unmasked = dataset.ids("trainval")[0]
    assert dataset.tags(unmasked) == ()
    with pytest.raises(UserError, match=f"{unmasked}.png: no such file"):
        dataset.mask(unmasked)


def test_lists_written_on_windows_are_read(folder):
    (folder / "classes.txt").write_bytes(b"\xef\xbb\xbfbackground\r\nfox\r\nowl\r\n")
    assert opened(folder).class_names == ["background", "fox", "owl"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"classes": ["dgo"]},
            r"--classes 'dgo': did you mean dog\? choose from aeroplane, .*, tvmonitor",
        ),
        ({"classes": ["pet=cat+dgo"]}, r"--classes 'dgo': did you mean dog\?"),
        ({"classes": ["pet=cat+"]}, "--classes '': choose from"),
        ({"classes": ["=cat"]}, "--classes =cat: write NAME, or NAME=MEMBER"),
        ({"classes": ["background"]}, "--classes 'background': choose from"),
        ({"classes": ["background=cat"]}, "--classes: the class 'background' occurs twice"),
        ({"classes": ["cat", "cat"]}, "--classes: the class 'cat' occurs twice"),
        ({"classes": ["pet=cat+dog", "dog"]}, "--classes: the member 'dog' occurs twice"),
        ({"classes": ["sheep"]}, "no image is left for the train split"),
        ({"tag_set": "breed"}, "--tag_set 'breed': choose from default"),
        ({"val_fraction": 0}, "--val_fraction 0: must lie between 0 and 1"),
        ({"val_fraction": float("nan")}, "--val_fraction nan"),
        ({"val_fraction": 1.0}, "--val_fraction 1.0"),
        ({"val_fraction": 0.99}, "no image is left for the train split"),
        (
            {"dataset": "pets"},
            r"annotations/trainval\.txt: cannot be read .* run python download_data",
        ),
        ({"dataset": "folder"}, r"classes\.txt: cannot be read"),
    ],
)
def test_bad_flags_are_named(voc, changes, message):
    with pytest.raises(UserError, match=message):
        opened(voc, **changes)


@pytest.mark.parametrize(
    "changes", [{"classes": ["breed"]}, {"tag_set": "breeds"}, {"classes": ["species", "cat"]}]
)
def test_bad_flags_of_pets_are_named(pets_dir, changes):
    with pytest.raises(
        UserError,
        match=r"--(classes|tag_set) '(breed|breeds|cat)': (did you mean breed|choose from)",
    ):
        opened(pets_dir, **changes)


def test_a_folder_without_data_says_what_to_run(tmp_path):
    for data_dir in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            UserError,
            match=r"no data set is there; run python download_data\.py --data_dir .*shapes",
        ):
            detect(data_dir)


BAD_LISTS = {
    "empty": (b"", r"trainval\.txt: lists nothing"),
    "comments": (b"# nothing\n\n", r"trainval\.txt: lists nothing"),
    "latin-1": (b"caf\xe9_1 1 1 1\n", r"trainval\.txt: cannot be read \('utf-8' codec"),
    "short line": (
        b"cat_1 1\n",
        r"trainval\.txt, line 1: 'cat_1 1' is not 'name class species breed'",
    ),
    "bad species": (b"cat_1 1 3 1\n", r"'cat_1 1 3 1' is not"),
    "nothing there": (
        b"a_1 1 1 1\nb_1 1 2 1\n",
        r"of 1 images of the train split none is there, the first .*/images/\w_1\.jpg",
    ),
    "one image": (b"a_1 1 1 1\n", "of 1 images of the train split none is there"),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_bad_lists_are_named(pets, case):
    content, message = BAD_LISTS[case]
    (pets / "annotations" / "trainval.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        opened(pets)


def test_a_missing_list_is_named(pets):
    (pets / "annotations" / "test.txt").unlink()
    with pytest.raises(
        UserError, match=r"annotations/test\.txt: cannot be read .*run python download_data\.py"
    ):
        opened(pets)


def test_an_image_listed_twice_is_named(pets):
    lists = [pets / "annotations" / f"{split}.txt" for split in ("trainval", "test")]
    line = lists[1].read_text().splitlines()[0]
    write(lists[0], *lists[0].read_text().splitlines(), line)
    with pytest.raises(
        UserError, match=f"{line.split()[0]} is listed for training and for the test"
    ):
        opened(pets)
    text = lists[1].read_text().splitlines()
    write(lists[0], *(x for x in lists[0].read_text().splitlines() if x != line))
    write(lists[1], *text, text[0])  # twice in one list does no harm
    assert len(opened(pets).ids("test")) == 6


def test_bad_masks_are_named(pets):
    dataset = opened(pets)
    name = dataset.ids("train")[0]
    path = dataset.mask_path(name)
    width, height = dataset.image_size(name)
    path.unlink()
    with pytest.raises(UserError, match=f"{name}.png: no such file"):
        dataset.load(name)
    mask(path, [1, 2, 9], (width, height))
    with pytest.raises(UserError, match=f"{name}.png: holds the number 9, which is no class"):
        dataset.load(name)
    Image.new("RGB", (width, height), "#010203").save(path)
    with pytest.raises(
        UserError, match=f"{name}.png: a mask must be an 8-bit grey or palette image"
    ):
        dataset.load(name)
    mask(path, [1, 2], (height, width))
    for read in (dataset.load, dataset.mask, dataset.check_mask_size):
        with pytest.raises(
            UserError, match=f"{name}.png: the mask is {height}x{width} but .* is {width}x{height}"
        ):
            read(name)


def test_bad_folders_are_named(folder):
    write(folder / "test.txt", "my picture 1")
    with pytest.raises(UserError, match=r"test\.txt: the other list is missing"):
        opened(folder)
    (folder / "test.txt").unlink()
    picture(folder / "images" / "my picture 0.webp")
    with pytest.raises(
        UserError, match=r"my picture 0\.webp: two images share the name my picture 0"
    ):
        opened(folder)
    (folder / "images" / "my picture 0.webp").unlink()
    for names, message in (
        (["sky"], "names 1 classes; write 2 to 255"),
        (map(str, range(256)), "names 256 classes"),
        (["sky", "owl", "owl"], "the class 'owl' occurs twice"),
    ):
        write(folder / "classes.txt", *names)
        with pytest.raises(UserError, match=f"classes.txt.*{message}"):
            opened(folder)
    write(folder / "classes.txt", "sky", "owl")  # masks hold a 2 as well
    data, message = opened(folder), r"holds the number 2, which is no class .*--mask_values"
    assert any("masks can't be used" in line for line in data.notes())
    with pytest.raises(UserError, match=message):
        data.check_masks([*data.ids("trainval"), *data.ids("test")], "own")
    shutil.rmtree(folder / "images")
    with pytest.raises(UserError, match="images: no image is there"):
        opened(folder)


def test_a_listed_voc_mask_that_is_missing_is_named(voc):
    (voc / "VOCdevkit/VOC2012/SegmentationClass/dogs3.png").unlink()
    with pytest.raises(
        UserError, match=r"dogs3\.png: cannot be read .*run python download_data\.py"
    ):
        opened(voc)


def test_every_data_set_can_be_chosen_on_the_command_line(pets_dir):
    import argparse

    parser = argparse.ArgumentParser()
    add_data_arguments(parser)
    args = parser.parse_args(["--data_dir", str(pets_dir)])
    assert open_dataset(DataOptions.of(vars(args))).name == "pets"
    for name in ("auto", *DATASETS):
        assert parser.parse_args(["--dataset", name]).dataset == name


# ---- without a background, and with instances


@pytest.mark.parametrize(
    "line", ["# no background", "#No Background", "  #  NO   background ", None]
)
def test_a_line_or_a_flag_says_that_there_is_no_background(folder, line):
    write(folder / "classes.txt", *([line] if line else []), "background", "red fox", "owl")
    dataset = opened(folder, no_background=line is None)
    assert not dataset.has_background
    assert dataset.class_names == dataset.tag_names == ["background", "red fox", "owl"]
    assert dataset.tag_class == [0, 1, 2]
    name = dataset.ids("train")[0]
    assert set(np.unique(dataset.mask(name))) == {0, 255, *dataset.tag_class} & {
        *np.unique(np.asarray(Image.open(dataset.mask_path(name))))
    }
    assert "background" in dataset.tags(name)
    assert dataset.flags == ([] if line else ["--no_background"])
    write(folder / "classes.txt", "background", "red fox", "owl")
    with_one = opened(folder)
    assert with_one.has_background and with_one.tag_names == ["red fox", "owl"]
    assert with_one.fingerprint() != dataset.fingerprint()
    assert with_one.test_fingerprint() != dataset.test_fingerprint()


def test_classes_that_are_left_out_are_the_background(folder):
    write(folder / "classes.txt", "# no background", "sky", "red fox", "owl")
    part = opened(folder, classes=["owl"])
    assert part.has_background and part.class_names == ["background", "owl"]
    assert part.tag_class == [1] and part.lookup("")[:3].tolist() == [0, 0, 1]
    whole = opened(folder, classes=["animal=owl+red fox", "sky"])
    assert not whole.has_background and whole.class_names == ["animal", "sky"]
    assert whole.lookup("")[:3].tolist() == [1, 0, 0]
    assert len(whole.ids("trainval")) > len(part.ids("trainval"))
    with pytest.raises(UserError, match="is one class that covers all, with no background"):
        opened(folder, classes=["all=owl+red fox+sky"])
    write(folder / "classes.txt", "# no background", "background", "red fox", "owl")
    assert opened(folder, classes=["owl"]).class_names == ["other", "owl"]


def test_a_data_set_that_has_a_background_refuses_the_flag(pets_dir, voc):
    for data_dir, name in ((pets_dir, "pets"), (voc, "voc")):
        with pytest.raises(UserError, match=f"--no_background: .* is {name}, which has"):
            opened(data_dir, no_background=True)


def test_instances_are_read_where_they_are(folder):
    dataset = opened(folder)
    name = dataset.ids("train")[0]
    path = folder / "instances" / f"{name}.png"
    assert dataset.instances(name) is None and dataset.instances_path(name) == path
    path.parent.mkdir()
    Image.fromarray(np.full((6, 8), 60000, np.uint16)).save(path)
    numbers = dataset.instances(name)
    assert numbers.dtype == np.uint16 and numbers.shape == (6, 8) and (numbers == 60000).all()
    Image.fromarray(np.full((8, 6), 1, np.uint16)).save(path)
    with pytest.raises(UserError, match=rf"{path}: the mask is 6x8 but the upright image is 8x6"):
        dataset.instances(name)
    picture(path)
    with pytest.raises(UserError, match=rf"{path}: must be a grey image, of 8 or 16 bits"):
        dataset.instances(name)


def test_a_pet_has_no_instances(pets_dir):
    dataset = opened(pets_dir)
    assert dataset.has_background and dataset.instances(dataset.ids("train")[0]) is None
