"""A folder of one's own: which files are pictures, how names are compared, what is said of gaps."""

import json
import shutil
import unicodedata

import numpy as np
import pytest
from conftest import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_folders import mask, opened, picture, write
from PIL import Image

import analyze
import evaluate
import train
import weak_label_generator
from weakseg.common import UserError
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.data.doubts.pairs import differ
from weakseg.data.folder_files import compared, files_below, is_picture
from weakseg.data.smaller_copy import copy_folder
from weakseg.labels.training_labels import read_training_labels


@pytest.fixture
def folder(tmp_path):
    """Ten pictures of one's own, of two classes, without lists."""
    root = tmp_path / "data"
    write(root / "classes.txt", "background", "fox", "owl")
    for k in range(10):
        paths = root / "images" / f"p{k:02d}.jpg", root / "masks" / f"p{k:02d}.png"
        picture(paths[0])
        mask(paths[1], [0, 1 + k % 2])
        for path in paths:
            path.write_bytes(path.read_bytes() + bytes(k))  # no two files are equal
    return root


def test_files_that_are_no_pictures_are_left_out_and_counted(folder):
    images = folder / "images"
    for name in ("Thumbs.db", "p01.TFW", "p01.jpg.aux.xml", "p01.ovr", "p01.xmp"):  # no news
        (images / name).write_bytes(b"\xd0\xcf\x11\xe0 thumbs")
    (images / ".DS_Store").write_bytes(b"store")
    (images / "p01.json").write_text('{"shapes": []}')
    (images / "p02.xml").write_text("<annotation/>")
    (images / "notes.txt").write_text("hello")
    Image.new("RGB", (8, 6)).save(images / "scan", format="PNG")  # known by its content
    dataset = opened(folder)
    assert dataset.files.keys() == {*(f"p{k:02d}" for k in range(10)), "scan"}
    (note,) = (line for line in dataset.notes() if "no pictures" in line)
    assert note == f"{images}: 3 files are no pictures and are left out, the first is notes.txt"
    assert is_picture(images / "scan") and not is_picture(images / "p01.json")


@pytest.mark.parametrize("place", ["", "cam/"])
@pytest.mark.parametrize("has_masks", [False, True])
def test_pictures_may_lie_beside_their_lists(has_masks, place, folder):
    if not has_masks:
        shutil.rmtree(folder / "masks")
    ids = {f"{place}p{k:02d}" for k in range(10)}
    (folder / place).mkdir(exist_ok=True)
    for path in (folder / "images").iterdir():
        path.rename(folder / place / path.name)
    (folder / "images").rmdir()
    write(folder / "groups.txt", f"{place}p00, a", f"{place}p01.jpg, a", f"{place}p02, b")
    if has_masks and place:
        with pytest.raises(UserError, match="images: no image is there"):
            opened(folder)
        return
    data = opened(folder)
    assert {*data.files} == ids and data.picture_folder == folder
    assert len(data.masks) == (10 if has_masks else 0)
    assert data.group(f"{place}p00") == data.group(f"{place}p01") == "a"
    assert not [line for line in data.notes() if "no pictures" in line]


def test_a_folder_of_other_files_alone_says_so(folder):
    for path in (folder / "images").iterdir():
        path.unlink()
    (folder / "images" / "IMG_1.HEIC").write_bytes(b"....ftypheic")
    with pytest.raises(UserError, match=r"no image is there; the first of 1 other files .*HEIC"):
        opened(folder)


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("listed", ["NFC", "NFD"])
def test_names_are_compared_composed_and_suffixes_in_any_case(on_disk, listed, folder):
    name = "Dübendorf é"
    there, said = (unicodedata.normalize(form, name) for form in (on_disk, listed))
    for k in range(10):
        (folder / "images" / f"p{k:02d}.jpg").unlink()
    picture(folder / "images" / f"{there} 1.JPG")
    picture(folder / "images" / "sub" / f"{there} 2.Png")
    picture(folder / "images" / "p01.jpeg")
    picture(folder / "images" / "p02.jpg")
    mask(folder / "masks" / f"{unicodedata.normalize('NFD', name)} 1.PNG", [0, 1])
    mask(folder / "masks" / "sub" / f"{unicodedata.normalize('NFC', name)} 2.png", [0, 2])
    write(folder / "test.txt", f"{said} 1.jpg", "p01.JPEG")
    write(folder / "trainval.txt", f"sub/{said} 2", "p02")
    dataset = opened(folder)
    assert dataset.absent == 0
    composed = unicodedata.normalize("NFC", name)
    assert dataset.ids("test") == sorted([f"{composed} 1", "p01"])
    assert dataset.ids("trainval") == sorted([f"sub/{composed} 2", "p02"])
    assert dataset.tags(f"sub/{composed} 2") == ("owl",)
    assert {*np.unique(dataset.mask(f"{composed} 1"))} == {0, 1}
    assert compared(f"{said}.JPG") == compared(f"{there}.jpg") == f"{composed}.jpg"


def test_two_files_of_one_composed_name_are_refused(folder):
    for form in ("NFC", "NFD"):
        picture(folder / "images" / f"{unicodedata.normalize(form, 'é')}.jpg")
    if len([*(folder / "images").iterdir()]) == 12:  # a Mac keeps them apart no more than we do
        with pytest.raises(UserError, match="two images share the name é"):
            opened(folder)


def test_masks_that_belong_to_no_image_are_said(folder):
    mask(folder / "masks" / "p01_mask.png", [0, 1])
    (note,) = (line for line in opened(folder).notes() if "have the name of no image" in line)
    assert note.startswith(f"{folder / 'masks'}: 1 of 11 masks have the name of no image, the")


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (["__ignore__", "_background_", "fox", "owl"], ["background", "fox", "owl"]),
        (["_background_", "fox", "owl"], ["background", "fox", "owl"]),
        (["_backdrop_", "fox", "owl"], ["_backdrop_", "fox", "owl"]),
    ],
)
def test_lists_of_labelme_are_recognised(lines, names, folder):
    write(folder / "classes.txt", *lines)
    dataset = opened(folder)
    assert dataset.class_names == names
    assert dataset.tags("p01") == ("owl",)


def test_classes_that_no_mask_shows_are_said(folder):
    write(folder / "classes.txt", "background", "fox", "owl", "wolf", "bear")
    assert opened(folder).notes() == [f"{folder}: none of 10 masks shows wolf, bear"]
    assert opened(folder, classes=["fox", "wolf"]).notes() == [
        f"{folder}: none of 10 masks shows wolf"
    ]


@pytest.mark.parametrize("spread", [0, 1])
def test_classes_on_one_side_of_the_split_alone_are_said(spread, folder):
    write(folder / "trainval.txt", *(f"p{k:02d}" for k in (0, 2, 4, 6, 8, *[1] * spread)))
    write(folder / "test.txt", *(f"p{k:02d}" for k in (3, 5, 7, 9)))
    told = [line for line in opened(folder).notes() if "; divide the images" in line]
    parts = [line.partition(": ")[2].split(",")[0] for line in told]
    trained, tested = (f"none of {n} masks to {what}" for n, what in ((5, "train"), (4, "test")))
    expected = [f"{trained} on shows owl", f"{tested} on shows fox"]
    assert parts == expected[spread:]
    for k in range(0, 10, 2):
        (folder / f"masks/p{k:02d}.png").unlink()  # labels of other kinds may show them
    told = [line for line in opened(folder).notes() if "; divide the images" in line]
    assert told == []


def test_a_choice_of_classes_keeps_images_without_a_mask(folder):
    for k in (2, 3):
        (folder / "masks" / f"p{k:02d}.png").unlink()
    write(folder / "test.txt", "p00", "p01")
    write(folder / "trainval.txt", *(f"p{k:02d}" for k in range(2, 10)))
    dataset = opened(folder, classes=["fox"])
    assert dataset.ids("trainval") == ["p02", "p03", "p04", "p06", "p08"]
    assert dataset.ids("test") == ["p00"]


def test_every_command_says_how_many_listed_images_are_absent(tmp_path, capsys):
    root, cache = tmp_path / "data", ["--cache_dir", tmp_path / "cache"]
    write(root / "classes.txt", "background", "fox")
    for k in range(10):
        noise = np.random.default_rng(k).integers(0, 99, (40, 40, 3)).astype(np.uint8)
        shown = np.zeros((40, 40), np.uint8)
        shown[5:25, 5:25] = 1
        noise[shown == 1] += 120
        for kind, array in (("images", noise), ("masks", shown)):
            (root / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(root / kind / f"p{k}.png")
    write(root / "test.txt", "p8", "p9", "gone1")
    write(root / "trainval.txt", *(f"p{k}" for k in range(8)), "gone2")
    labels, line = tmp_path / "labels.pkl", f"{root}: 2 listed images are absent; the split"
    data = ["--data_dir", root, *cache]
    run(weak_label_generator, *data, "--output_file", labels, "--jobs", 1)
    assert capsys.readouterr().out.count(line) == 1
    tiny = ["--learner", "probe", "--img_size", 64, "--rounds", 0, "--device", "cpu"]
    where = ["--weak_label_path", labels, "--checkpoint_dir", tmp_path / "runs"]
    for name in ("a", "b"):
        run(train, *data, *where, *tiny, "--supervision_mode", "points", "--run_name", name)
        assert capsys.readouterr().out.count(line) == 1
    results = ["--results_dir", tmp_path / "results"]
    run(evaluate, "--checkpoint_dir", tmp_path / "runs", *results, "--device", "cpu")
    assert capsys.readouterr().out.count(line) == 1  # of both runs
    run(analyze, "--a", "a", "--b", "b", *results, "--resamples", 100, "--examples", 0)
    assert capsys.readouterr().out.count(line) == 1
    assert json.loads((tmp_path / "results" / "a.json").read_text())["images"].keys() == {
        "p8",
        "p9",
    }


def test_part_of_a_folder_finds_its_masks_in_another_process(folder):
    import pickle

    dataset = open_dataset(DataOptions(str(folder), cache_dir=str(folder / "cache")))
    part = pickle.loads(pickle.dumps(dataset.part(["p01"])))
    assert np.array_equal(part.mask("p01"), dataset.mask("p01"))
    assert part.masks.keys() == {"p01"}


def test_two_pictures_are_one_to_train_on_and_one_to_test_on(folder, tmp_path):
    for k in range(2, 10):
        for kind, suffix in (("images", "jpg"), ("masks", "png")):
            (folder / kind / f"p{k:02d}.{suffix}").unlink()
    dataset = opened(folder)
    assert [len(dataset.ids(split)) for split in ("train", "val", "test")] == [1, 0, 1]
    labels = tmp_path / "labels.pkl"
    where = ["--data_dir", folder, "--cache_dir", tmp_path / "cache"]
    run(weak_label_generator, *where, "--output_file", labels, "--jobs", 1)
    assert read_training_labels(labels, dataset, dataset.ids("train"), ("points",), "last", "d")
    with pytest.raises(UserError, match="--select_by val_loss: no image is left for validation"):
        read_training_labels(labels, dataset, dataset.ids("train"), ("points",), "val_loss", "d")


def test_a_background_that_no_mask_shows_is_said(folder):
    for k, path in enumerate(sorted((folder / "masks").iterdir())):
        mask(path, [1, 2])
        path.write_bytes(path.read_bytes() + bytes(k))
    assert opened(folder).notes() == [f"{folder}: none of 10 masks shows background"]
    assert opened(folder, classes=["fox"]).notes() == [
        f"{folder}: none of 10 masks shows background"
    ]
    none, like = opened(folder, no_background=True).notes()
    assert none == f"{folder}: none of 10 masks shows background"
    assert like.startswith(f"{folder / 'classes.txt'}: background is a class like any other, as")
    write(folder / "classes.txt", "# no background", "sky", "fox", "owl")
    assert opened(folder, classes=["fox", "owl"]).notes() == []


def test_masks_that_are_copies_of_one_another_are_said(folder):
    masks = folder / "masks"
    for k in (3, 7):
        (masks / f"p{k:02d}.png").write_bytes((masks / "p00.png").read_bytes())
    line = (
        f"{folder}: 2 masks are copies of the mask of another picture, the first masks/p03.png of "
        "masks/p00.png"
    )
    assert opened(folder).notes() == [line]
    picture_file = (folder / "images" / "p00.jpg").read_bytes()
    for k in (3, 7):  # equal pictures have equal masks
        (folder / "images" / f"p{k:02d}.jpg").write_bytes(picture_file)
    assert line not in opened(folder).notes()
    for k in (3, 7):
        mask(masks / f"p{k:02d}.png", [0])  # nothing is there
    told, denied = opened(folder).notes()
    assert "2 images to train on are copies of another one, the first images/p03.jpg of" in told
    assert "2 of these have masks that deny one another, the first images/p03.jpg" in denied


@given(
    first=st.lists(st.sampled_from([0, 1, 255]), min_size=64, max_size=64),
    changes=st.sets(st.integers(0, 63), max_size=12),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_masks_of_one_photograph_may_differ_at_borders_only(folder, first, changes):
    second = [
        1 - value if k in changes and value != 255 else value for k, value in enumerate(first)
    ]
    for name, values in (("p00", first), ("p01", second)):
        Image.fromarray(np.array(values, np.uint8).reshape(8, 8)).save(folder / f"masks/{name}.png")
        Image.new("RGB", (8, 8)).save(folder / f"images/{name}.jpg")
    labelled = [k for k, value in enumerate(first) if value != 255]
    parted = sum(first[k] != second[k] for k in labelled) > 0.1 * len(labelled)
    shown = [{*values} - {255} for values in (first, second)]
    assert differ(opened(folder), "p00", "p01") == (parted or shown[0] != shown[1])


def test_masks_that_are_no_png_are_said(folder):
    for k in (2, 5):
        path = folder / "masks" / f"p{k:02d}.png"
        Image.open(path).save(path.with_suffix(".TIF"))
        path.unlink()
    (folder / "masks" / "notes.txt").write_text("hello")
    (line,) = opened(folder).notes()
    assert line == (
        f"{folder / 'masks'}: 2 files are no PNG and are left out, the first is p02.TIF; save them "
        "as PNG"
    )


def test_lists_may_name_pictures_by_their_path(folder):
    write(folder / "trainval.txt", *(f"images/p{k:02d}.jpg" for k in range(6)))
    write(folder / "test.txt", "images/p06", "p07.JPG")
    dataset = opened(folder)
    assert len(dataset.ids("trainval")) == 6 and dataset.ids("test") == ["p06", "p07"]
    # A picture that really lies in a folder of that name comes first.
    for kind, suffix in (("images", "jpg"), ("masks", "png")):
        (folder / kind / "images").mkdir()
        copy = folder / kind / "images" / f"p06.{suffix}"
        copy.write_bytes((folder / kind / f"p06.{suffix}").read_bytes() + b"0")
    assert opened(folder).ids("test") == ["images/p06", "p07"]


def test_a_picture_in_both_lists_is_named(folder):
    write(folder / "trainval.txt", *(f"p{k:02d}" for k in range(6)))
    write(folder / "test.txt", "p03", "p07")
    with pytest.raises(UserError, match="p03 is listed for training and for the test; mend the li"):
        opened(folder)


def test_linked_folders_are_walked_without_an_end(tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    (mine / "cam1").mkdir(parents=True)
    (theirs / "inner").mkdir(parents=True)
    for path in (mine / "cam1" / "a.png", theirs / "b.png", theirs / "inner" / "c.png"):
        Image.new("RGB", (4, 4)).save(path)
    for name, target in {
        "cam2": theirs,
        "again": theirs,
        "loop": mine,
        "up": tmp_path,
        "cam1/in": mine / "cam1",
        "gone": tmp_path / "gone",
    }.items():
        (mine / name).symlink_to(target)
    (theirs / "round").symlink_to(theirs)
    (theirs / "back").symlink_to(mine)
    found = [path.relative_to(mine).as_posix() for path in files_below(mine)]
    linked = [f"{name}/{file}" for name in ("again", "cam2") for file in ("b.png", "inner/c.png")]
    assert found == [*linked[:2], "cam1/a.png", *linked[2:], "gone"]
    assert files_below(tmp_path / "nowhere") == []


def test_what_predict_wrote_below_the_photographs_is_none(folder):
    pictures = sorted((folder / "images").iterdir())
    for place in (folder / "images", folder / "images" / "out"):
        for part in ("masks", "overlays/deep"):
            (place / part).mkdir(parents=True)
            shutil.copy(pictures[0], place / part / "a.jpg")
        (place / "predictions.json").write_text("{}")
    shutil.copy(pictures[0], folder / "images" / "out" / "kept.jpg")
    dataset = opened(folder)
    assert dataset.files.keys() == {*(path.stem for path in pictures), "out/kept"}
    assert f"{folder / 'images'}: 4 files that predict.py wrote are left out" in dataset.notes()


def test_pictures_called_as_those_beside_them_may_be_masks(folder):
    (folder / "images" / "mask").mkdir()
    (folder / "images" / "cam" / "mask").mkdir(parents=True)
    shutil.copy(folder / "masks" / "p00.png", folder / "images" / "mask" / "p00.png")
    shutil.copy(folder / "masks" / "p01.png", folder / "images" / "cam" / "p77.png")
    assert [line for line in opened(folder).notes() if "move them to" in line] == [
        f"{folder / 'images' / 'mask'}: its 1 pictures are called as those beside it and count as "
        f"photographs; if they are masks, move them to {folder / 'masks'}"
    ]
    shutil.copy(folder / "masks" / "p01.png", folder / "images" / "mask" / "other.png")
    assert not [line for line in opened(folder).notes() if "move them to" in line]


@pytest.mark.parametrize("name", ["train.txt", "Val.TXT", "Groups.txt", "TRAINVAL.txt"])
def test_lists_that_nobody_reads_are_said(name, folder):
    (folder / name).write_text("obj_train_data/p00.jpg\n")  # as another tool lists it
    (folder / "readme.txt").write_text("p00\n")
    (line,) = opened(folder).notes()
    assert line.startswith(f"{folder}: {name} is not read; lists are called trainval.txt, test.txt")
    write(folder / name, "p00")
    write(folder / "test.txt", "p09")
    for first in (1, 0):
        write(folder / "trainval.txt", *(f"p{k:02d}" for k in range(first, 9)))
        is_told = any("is not read" in line for line in opened(folder).notes())
        assert is_told == (
            (first == 1 and name in ("train.txt", "Val.TXT")) or name == "Groups.txt"
        )


@pytest.mark.parametrize("others", [(), ("val.txt",), ("valid.txt", "validation.txt")])
def test_lists_of_parts_are_the_one_to_train_on_while_that_is_missing(others, folder):
    names = [f"p{k:02d}" for k in range(9)]
    for k, name in enumerate(parts := ["train.txt", *others]):
        write(folder / name, *names[k :: len(parts)])
    write(folder / "test.txt", "p09")
    data, said = opened(folder), " and ".join(parts)
    assert data.ids("trainval") == names and data.ids("test") == ["p09"]
    (line,) = (line for line in data.notes() if "list what" in line or "not read" in line)
    assert line.startswith(f"{folder}: {said} list what is to train on, as trainval.txt is missing")
    copy = folder.parent / "copy"
    copy_folder(folder, copy, 4096)
    assert line.replace(str(folder), str(copy)) in opened(copy).notes()
    write(folder / "trainval.txt", *names[:-1])
    assert opened(folder).ids("trainval") == names[:-1]
    (folder / "trainval.txt").unlink()
    (folder / "test.txt").unlink()
    # Without it nothing is trained on but what train.txt lists, and all others are to test on.
    listed, copy = names[:: len(parts)], folder.parent / "other"
    copy_folder(folder, copy, 4096)
    for root in (folder, copy):
        data = opened(root)
        assert data.ids("trainval") == listed
        assert {*data.ids("test")} == ({*names} - {*listed} if others else {"p09"})
        (line,) = (line for line in data.notes() if "lists what" in line or "not read" in line)
        assert (" and ".join(others) or "all 1 others") in line and "as test.txt is missing" in line
    for name in others:
        (folder / name).unlink()
    for name in {*data.ids("test"), "p09"}:
        (folder / "masks" / f"{name}.png").unlink()
    assert opened(folder).ids("trainval") == listed and not opened(folder).ids("test")
    assert any("list some in test.txt instead" in line for line in opened(folder).notes())


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("groups.txt.txt", "call it groups.txt"),
        ("Trainval.txt.TXT", "call it trainval.txt"),
        ("split.csv", "write trainval.txt and test.txt"),
        ("Patients.xlsx", "write groups.txt, of lines 'picture, group'"),
        ("lists/trainval.txt", "move it here"),
        ("ImageSets/Segmentation/test.txt", "move it here"),
    ],
)
def test_lists_of_other_names_and_places_are_said_while_the_right_ones_lack(name, remedy, folder):
    write(folder / name, "p00")
    (line,) = opened(folder).notes()
    assert line.startswith(f"{folder}: {name} ({remedy}) is not read; lists are called")
    write(folder / "test.txt", "p00")
    write(folder / "trainval.txt", *(f"p{k:02d}" for k in range(1, 10)))
    write(folder / "groups.txt", *(f"p{k:02d}, {k // 2}" for k in range(1, 10)))
    assert not [line for line in opened(folder).notes() if "not read" in line]


def test_a_list_of_classes_that_is_not_read_is_why_no_data_set_is_there(folder):
    (folder / "classes.txt").rename(folder / "classes.txt.txt")
    with pytest.raises(
        UserError, match=r"is there, and classes.txt.txt \(call it classes.txt\) not"
    ):
        opened(folder)


def test_a_heading_above_a_list_is_said_to_be_one_unless_a_picture_is_so_called(folder):
    write(folder / "test.txt", "p00")
    write(folder / "trainval.txt", "Name", *(f"p{k:02d}" for k in range(1, 10)))
    line = f"{folder / 'trainval.txt'}: 'Name', which stands first, is a heading and no picture"
    assert line in "\n".join(opened(folder).notes())
    picture(folder / "images" / "Name.jpg")
    assert "is a heading" not in "\n".join(opened(folder).notes())


@pytest.mark.parametrize("count", [2, 3])
def test_masks_to_test_on_of_the_background_alone_are_said_before_those_of_all(count, folder):
    tested = [f"p{k:02d}" for k in range(5)]
    write(folder / "test.txt", *tested)
    write(folder / "trainval.txt", *(f"p{k:02d}" for k in range(5, 10)))
    for name in tested[:count]:
        mask(folder / f"masks/{name}.png", [0])
    lines = [line for line in opened(folder).notes() if "background alone" in line]
    assert [f"{count} of 5 masks to test on, the first p00.png" in line for line in lines] == (
        [True] if count == 3 else []
    )


@pytest.mark.parametrize("count", [4, 5])
def test_masks_of_the_background_alone_spare_pictures_and_odd_lists_are_said(count, folder):
    for k in range(count):
        mask(folder / "masks" / f"p{k:02d}.png", [0])
    told = any("show background alone" in line for line in opened(folder).notes())
    assert told == (count == 5)
    write(folder / "trainval.txt", *(f"p{k:02d}" for k in range(7)))
    write(folder / "test.txt", "p08", "p09")
    write(folder / "groups.csv", "p00,1")
    write(folder / "classes.txt", "fox", "owl", "void", "Owl", "owls")
    notes = "\n".join(opened(folder).notes())
    assert "owl and Owl differ in capitals" in notes and "owl and owls differ by a plural" in notes
    assert "1 of 10 pictures are in neither list, the first is p07" in notes
    assert "groups.csv is not read" in notes and "fox is the background" in notes
    assert "void is a class like any other" in notes and "--mask_ignore 2" in notes
