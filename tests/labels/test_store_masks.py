"""Masks of a store beside those of a data set: one meaning of numbers, no export that is stale."""

import shutil

import numpy as np
import pytest
from conftest import run
from PIL import Image

import labels
from weakseg.common import UserError
from weakseg.data.datasets import Folder
from weakseg.evaluation.data_of_run import left_exports
from weakseg.labels.exporting import write_labels
from weakseg.labels.formats.records import Classes, PictureRecord, Shape
from weakseg.labels.formats.runs import mask_geometry
from weakseg.labels.label_file import labels_for

SIZE = (60, 40)
POLYGON = "5,5,30,5,30,30,5,30"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of photographs without masks, of which the last is the test image."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my/images").mkdir(parents=True)
    for number, name in enumerate("abc"):
        pixels = np.random.default_rng(number).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"my/images/{name}.png")
    (tmp_path / "my/classes.txt").write_text("background\ncat\ndog\n")
    (tmp_path / "my/trainval.txt").write_text("a\nb\n")
    (tmp_path / "my/test.txt").write_text("c\n")
    return tmp_path


def bring(label="cat", place=POLYGON, names="abc", **flags):
    """Import a polygon of each picture."""
    rows = [f"{name}.png,polygon,{label},{place}" for name in names]
    with open("l.csv", "w") as file:
        file.write("\n".join(["image,kind,class,x,y", *rows]))
    words = [word for key, value in flags.items() for word in (f"--{key}", *value.split())]
    run(labels, "import", "l.csv", "--images", "my/images", "--output", "mine", *words)


def export(*more, to="my/masks"):
    run(labels, "export", "--labels", "mine", "--format", "masks", "--output", to, *more)


def read(*classes):
    """Return (data set, labels of the training images) with the masks of the store."""
    dataset = Folder("my", classes=classes)
    return dataset, labels_for("mine", dataset, dataset.ids("trainval"), ["full"], "my")


def test_chosen_classes_keep_their_pixels(data):
    bring("dog")
    whole, part = read()[0].mask("a"), read("dog")[0].mask("a")
    assert {*whole.flat} == {0, 2} and ((part == 1) == (whole == 2)).all()


def test_an_export_of_labels_that_were_corrected_is_refused(data):
    bring()
    export()
    assert read()[1].notes == []
    bring("dog")
    with pytest.raises(UserError, match=r"masks/a.png: was exported of other labels than mine has"):
        read()
    export()
    assert read()[1].notes == [] and read()[0].mask("a").max() == 2


def test_an_exported_mask_of_a_test_image_is_not_stale_either(data):
    bring()
    export()
    bring("dog", names="c")
    with pytest.raises(UserError, match=r"masks/c.png: was exported"):
        read()


def test_an_evaluation_says_which_masks_are_of_earlier_labels(data):
    bring()
    export()
    learnt = {"args": {"weak_label_path": "mine"}}
    assert left_exports(Folder("my"), learnt) == []
    bring("dog", names="c")
    (line,) = left_exports(Folder("my"), learnt)
    assert "1 masks to test on were exported of other labels than mine has now" in line
    assert left_exports(Folder("my"), {"args": {"weak_label_path": "gone"}}) == []
    export()
    assert left_exports(Folder("my"), learnt) == []


def test_a_mask_that_a_person_mended_holds_and_is_told(data):
    bring()
    export()
    mask = np.asarray(Image.open("my/masks/b.png")).copy()
    mask[:3, :3] = 2
    Image.fromarray(mask).save("my/masks/b.png")
    dataset, read_labels = read()
    assert (dataset.mask("b") == mask).all()
    (note,) = read_labels.notes
    assert "its masks of 1 pictures differ from those of my, which are learnt from" in note
    assert note.endswith("the first b.png")


def test_an_export_that_may_lose_the_work_of_a_person_counts_it(data, capsys):
    bring()
    export()
    for name in "bc":
        Image.fromarray(np.full(SIZE[::-1], 2, np.uint8)).save(f"my/masks/{name}.png")
    capsys.readouterr()
    for is_lost in (True, False):
        export("--overwrite")
        line = "2 masks that were drawn or mended by hand were replaced, the first b.png"
        assert (line in capsys.readouterr().out) == is_lost


def test_an_export_replaces_those_before_it_and_no_work_of_a_person(data):
    bring()
    export()
    mended = {}
    for name in "bc":
        mended[name] = np.asarray(Image.open(f"my/masks/{name}.png")).copy()
        mended[name][:3, :3] = 2
        Image.fromarray(mended[name]).save(f"my/masks/{name}.png")
    before = (data / "my/masks/a.png").read_bytes()
    bring("dog")
    line = r"b.png: is there already.* 2 masks were .*mended by hand \(b.png, c.png\); .*would lose"
    with pytest.raises(UserError, match=line):
        export()
    assert (data / "my/masks/a.png").read_bytes() == before
    for name in mended:
        shutil.move(f"my/masks/{name}.png", f"my/{name}.png")
    export()
    for name in mended:
        shutil.move(f"my/{name}.png", f"my/masks/{name}.png")
    assert all((read()[0].mask(name) == mask).all() for name, mask in mended.items())
    assert read()[0].mask("a").max() == 2


def test_a_mask_that_a_person_mended_as_the_labels_were_is_replaced(data):
    bring("dog", names="a")
    export(to="right")
    right = np.asarray(Image.open("right/a.png"))
    bring()
    export()
    Image.fromarray(right).save("my/masks/a.png")  # without a mark
    bring("dog", names="a")
    export()
    assert (read()[0].mask("a") == right).all()


def test_a_class_that_comes_later_is_listed_after_those_of_an_export(data):
    (data / "my/classes.txt").unlink()
    bring()
    export(to="out")
    bring("dog", names="c")
    export(to="out")
    assert np.asarray(Image.open("out/c.png")).max() == 2
    assert (data / "out/classes.txt").read_text().split() == ["background", "cat", "dog"]


def test_an_export_has_the_numbers_of_the_list_beside_it(data):
    bring("dog", classes="background dog cat")
    export()
    assert {*read()[0].mask("a").flat} == {0, 2}
    (data / "my/classes.txt").write_text("background\ndog\ncat\n")
    with pytest.raises(UserError, match=r"masks/classes.txt: says that masks show cat as 1, but"):
        Folder("my")
    (data / "my/classes.txt").write_text("background\ncat\nhound\n")  # another name, no other order
    assert Folder("my").class_names[2] == "hound"


def test_a_class_that_the_list_beside_an_export_lacks_is_refused(data):
    bring("dog")
    (data / "my/classes.txt").write_text("background\ncat\n")
    with pytest.raises(UserError, match=r"my/classes.txt: lacks the class dog; add it"):
        export()
    assert not (data / "my/masks").exists()


def test_exported_masks_say_themselves_what_their_numbers_mean(data):
    bring("dog", classes="background dog cat")
    export(to="out/masks")
    shutil.rmtree("mine")
    words = ["--images", "my/images", "--output", "mine", "--classes", "background", "cat", "dog"]
    run(labels, "import", "out/masks", *words)
    assert {*read()[0].mask("a").flat} == {0, 2}


def test_areas_of_two_classes_on_the_same_pixels_are_refused(data, capsys):
    bring()
    bring("dog", "5,5,30,5,30,30.5,5,30", source="other")
    line = "a polygon of cat and a polygon of dog cover the same pixels; remove one"
    with pytest.raises(UserError, match=f"mine: a: a mask can't be drawn .{line}"):
        read()
    with pytest.raises(UserError, match=f"a: {line}"):
        export()
    run(labels, "check", "--labels", "mine")
    assert (
        "3 polygons or masks of two classes on the same pixels: a, b, c" in capsys.readouterr().out
    )
    bring("dog", "5,5,30,5,30,29,5,20", source="other")  # an object on another
    assert {*read()[0].mask("a").flat} == {0, 1, 2}


def test_clicks_that_masks_gainsay_are_told(data):
    (data / "my/masks").mkdir()
    for name in "abc":
        Image.fromarray(np.ones(SIZE[::-1], np.uint8)).save(data / f"my/masks/{name}.png")
    with open("l.csv", "w") as file:
        file.write("image,kind,class,x,y\na.png,click,dog,9,9\nb.png,click,cat,9,9\n")
    run(labels, "import", "l.csv", "--images", "my/images", "--output", "mine")
    dataset = Folder("my")
    both = labels_for("mine", dataset, ["a", "b"], ["points", "full"], "my")
    line = "1 labels lie where a mask shows another class, the first is click 1 of a"
    assert both.notes == [f"mine: {line}; mend one of the two"]


@pytest.mark.parametrize("kind", ["mask", "accepted"])
def test_an_export_tells_of_masks_that_a_model_drew(kind, tmp_path):
    area = mask_geometry(np.ones((4, 6), bool)) | ({"model": "probe"} if kind == "accepted" else {})
    record = PictureRecord("a", (6, 4), (Shape(kind, "cat", area),), ("full",))
    dropped = write_labels("masks", [record], tmp_path / "m", Classes(("background", "cat")), False)
    told = [line for line in dropped.lines() if "hold what a model drew" in line]
    assert len(told) == (kind == "accepted")
