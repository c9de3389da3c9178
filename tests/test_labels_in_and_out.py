"""labels.py as a user calls it: in, checked, shown, out, and what train.py reads of it."""

import json
import os
import zipfile

import numpy as np
import pytest
from conftest import run
from PIL import Image

import labels
from weakseg.common import UserError
from weakseg.data.datasets import Folder
from weakseg.labels.label_file import labels_for
from weakseg.labels.signals import is_complete
from weakseg.labels.training_labels import read_training_labels

SIZE = (60, 40)
NAMES = ("a", "b", "c", "d", "e", "sub/a")


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of photographs without masks; two of them have the same name."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(NAMES):
        path = tmp_path / f"my/images/{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(path)
    (tmp_path / "my/classes.txt").write_text("background\ncat\ndog\n")
    (tmp_path / "my/trainval.txt").write_text("a\nb\nc\nd\nsub/a\n")
    (tmp_path / "my/test.txt").write_text("e\n")
    return tmp_path


def cvat(path, shapes, task=7):
    """Write {name: elements} as CVAT exports them."""
    images = "".join(
        f'<image id="{i}" name="{name}.jpg" width="60" height="40">{inner}</image>'
        for i, (name, inner) in enumerate(shapes.items())
    )
    meta = f"<meta><task><id>{task}</id></task></meta>"
    path.write_text(f"<annotations><version>1.1</version>{meta}{images}</annotations>")
    return path


def box(label="cat", at=5):
    return f'<box label="{label}" xtl="{at}" ytl="5" xbr="30" ybr="30"/>'


POLYGON = '<polygon label="dog" points="10,10;20,10;20,20;10,20"/>'


def bring(*files, store="labels/mine", **flags):
    words = [word for key, value in flags.items() for word in (f"--{key}", *value.split())]
    run(labels, "import", *files, "--images", "my/images", "--output", store, *words)


def records(data, signals=("boxes",), store="labels/mine", names=None):
    dataset = Folder(data / "my")
    return dataset, labels_for(store, dataset, names or dataset.ids("trainval"), signals, "my")


def test_importing_twice_is_importing_once_and_a_later_export_updates(data, capsys):
    bring(cvat(data / "one.xml", {"a": box(), "sub/a": box("dog"), "b": ""}))
    assert "2 shapes added, 0 removed, 0 as before" in capsys.readouterr().out
    bring(cvat(data / "again.xml", {"a": box(), "sub/a": box("dog"), "b": ""}))
    assert "0 shapes added, 0 removed, 2 as before; 0 of" in capsys.readouterr().out
    bring(cvat(data / "later.xml", {"a": box(at=8), "b": box()}))
    assert "2 shapes added, 1 removed, 0 as before" in capsys.readouterr().out
    _, read = records(data)
    assert read["a"]["boxes"] == [[8.0, 5.0, 30.0, 30.0, 1]]
    assert read["sub/a"]["boxes"] == [[5.0, 5.0, 30.0, 30.0, 2]] and read["b"]["boxes"]
    assert "hardly more than their class" not in capsys.readouterr().out


def test_shapes_that_a_later_export_calls_otherwise_are_told_with_both_names(data, capsys):
    path = cvat(data / "one.xml", {"a": box() + box("dog", 8), "b": box()})
    bring(path, map="cat=dog")
    assert "nothing but" not in capsys.readouterr().out
    bring(path)
    line = "  2 of them changed hardly more than their class: dog to cat 2; where the old name is"
    assert f"{line} right, --map 'cat=dog'" in capsys.readouterr().out
    bring(path, map="dog=cat")
    assert "hardly more than their class" not in capsys.readouterr().out  # somebody means it
    bring(path)
    capsys.readouterr()
    bring(cvat(data / "one.xml", {"a": box(at=9), "b": box("dog")}))
    line = "  1 of them changed hardly more than their class: cat to dog 1;"
    assert line in capsys.readouterr().out
    bring(cvat(data / "one.xml", {"a": box("dog", 10), "b": box("dog")}))  # and drawn anew
    assert line in capsys.readouterr().out


def test_a_picture_without_shapes_is_not_a_picture_without_objects(data, capsys):
    path = cvat(data / "one.xml", {"a": box(), "b": "", "c": ""})
    bring(path)
    assert "2 pictures have no shape: unlabelled" in capsys.readouterr().out
    _, read = records(data)
    assert not is_complete(read["b"], "boxes")
    bring(path, empty="background", complete="boxes")
    _, read = records(data)
    assert read["b"]["boxes"] == [] and is_complete(read["b"], "boxes")
    assert is_complete(read["a"], "boxes") and not is_complete(read["d"], "boxes")
    bring(path)  # and back again
    assert not is_complete(records(data)[1]["b"], "boxes")


def test_lists_that_are_complete_no_more_are_told_with_the_flag_to_add(data, capsys):
    shapes = {"a": box() + POLYGON, "b": box("dog"), "c": ""}
    path, line = cvat(data / "one.xml", shapes), "complete before and are not any more: "

    def told(path=path, **flags):
        bring(path, **flags)
        return capsys.readouterr().out

    assert line not in told(complete="boxes")
    out = told()  # masks are complete without a word
    assert f"{line}boxes in 2 pictures, the first is a; where they still hold all objects" in out
    assert "add --complete full boxes\n" in out
    assert line not in told()
    assert line not in told(complete="full boxes")
    assert f"{line}full in 1 pictures, the first is a" in told(complete="boxes")
    assert line not in told(complete="none")  # somebody means it
    told(complete="boxes")
    lost = box() + box("dog").replace("<box", "<cuboid")
    out = told(cvat(data / "one.xml", {"a": lost, "b": ""}), complete="boxes")
    assert line not in out and "lost shapes, so that none" in out


def test_lists_that_lost_a_shape_are_not_complete(data, capsys):
    shapes = {"a": box() + box("dogg"), "b": box() + '<polygon label="cat" points="1,1;2,2;3,3"/>'}
    bring(cvat(data / "one.xml", shapes), complete="boxes")
    out = capsys.readouterr().out
    assert (
        "of the class 'dogg', which is unknown; did you mean dog? (--map); the first: a.jpg" in out
    )
    assert "1 pictures lost shapes" in out
    _, read = records(data)
    assert not is_complete(read["a"], "boxes") and is_complete(read["b"], "boxes")


def test_classes_are_mapped_and_left_out(data):
    shapes = {"a": box("Dog") + box("phone", 8) + box("cat", 9)}
    bring(cvat(data / "one.xml", shapes), map="Dog=dog,phone=-")
    _, read = records(data)
    assert [one[4] for one in read["a"]["boxes"]] == [2, 1]


def test_a_name_of_the_map_that_no_file_has_is_told(data, capsys):
    files = [
        cvat(data / f"{name}.xml", {one: box(name)}) for name, one in (("dog", "a"), ("cat", "b"))
    ]
    for words in ("dgo=x,cat=cat", "d*=dog,c*=cat", "cow=-"):
        bring(*files, map=words)
    told = [line for line in capsys.readouterr().out.splitlines() if "--map" in line]
    assert told == [
        "--map dgo=x: no shape of the files is of the class 'dgo'; did you mean dog?",
        "--map cow=-: no shape of the files is of the class 'cow'; they have cat, dog",
    ]


def test_files_of_several_tools_make_one_store(data, capsys):
    shape = {"label": "dog", "points": [[3, 4]], "shape_type": "point"}
    click = {
        "shapes": [shape],
        "imagePath": "..\\images\\b.jpg",
        "imageWidth": 60,
        "imageHeight": 40,
        "flags": {},
    }
    (data / "me").mkdir()
    (data / "me/b.json").write_text(json.dumps(click))
    (data / "t.csv").write_text("image,kind,class,x,y\nc.jpg,stroke,cat,1,1,9,9\nz.jpg,tag,cat\n")
    with zipfile.ZipFile(data / "export.zip", "w") as archive:
        archive.write(cvat(data / "one.xml", {"a": box() + POLYGON}), "annotations.xml")
    bring(data / "export.zip", data / "me", data / "t.csv")
    out = capsys.readouterr().out
    assert "1 pictures are not there, the first is z.jpg" in out
    _, read = records(data, ("boxes", "points", "scribbles"))
    assert read["a"]["boxes"] and read["b"]["points"] == [[3.0, 4.0, 2]]
    assert read["c"]["scribbles"][0]["path"] == [[1.0, 1.0], [9.0, 9.0]]
    run(labels, "check", "--labels", "labels/mine", "--images", "my/images")
    out = capsys.readouterr().out
    assert "3 of 6 pictures of my/images have no label, the first is d" in out
    # A cat is boxed beside the dog's polygon: what that leaves is no background.
    assert "full: 1 in 1 pictures, the list of 0 complete" in out
    assert "class dog: 1 full, 1 points" in out


def test_polygons_become_masks_that_training_reads(data):
    bring(cvat(data / "one.xml", {name: POLYGON for name in NAMES if "a" not in name}))
    dataset, read = records(data, ("full",), names=["b", "c", "d"])
    mask = dataset.mask("b")
    assert mask.sum() == 2 * 100 and (mask[10:20, 10:20] == 2).all()
    assert read["b"]["full"] == {"objects": 1, "classes": 1}
    bring(cvat(data / "one.xml", {"b": POLYGON}), complete="none")
    mask = records(data, ("full",), names=["b"])[0].mask("b")
    assert (mask == 255).sum() == 2400 - 100


def test_another_mask_is_another_label_of_a_run(data):
    digests = set()
    for at in (10, 11, 10):
        polygon = f'<polygon label="dog" points="{at},10;20,10;20,20;{at},20"/>'
        bring(cvat(data / "one.xml", {name: polygon for name in "bcd"}))
        words = "labels/mine", Folder(data / "my"), ["b", "c"], ("full",), None, "my"
        digests.add(read_training_labels(*words).digest)
    assert len(digests) == 2


@pytest.mark.parametrize(
    "more, is_whole",
    [
        ('<box label="dog" xtl="9" ytl="10" xbr="20" ybr="21"/>', True),
        (box("cat"), False),
        ('<points label="dog" points="15,15"/><points label="background" points="50,3"/>', True),
        ('<points label="cat" points="50,30"/>', False),
        ('<polyline label="dog" points="12,12;40,12"/>', False),
    ],
)
def test_what_is_boxed_or_clicked_is_never_background_in_a_mask(data, more, is_whole):
    bring(cvat(data / "one.xml", {"b": POLYGON + more}))
    mask = records(data, ("full",), names=["b"])[0].mask("b")
    assert ((mask == 0).any(), (mask == 255).any()) == (is_whole, not is_whole)
    run(labels, "export", "--labels", "labels/mine", "--format", "masks", "--output", "out")
    assert (np.asarray(Image.open("out/b.png")) == mask).all()


def test_an_own_mask_comes_before_that_of_a_store(data):
    (data / "my/masks").mkdir()
    Image.fromarray(np.ones(SIZE[::-1], np.uint8)).save(data / "my/masks/b.png")
    bring(cvat(data / "one.xml", {"b": POLYGON}))
    assert (records(data, ("full",), names=["b"])[0].mask("b") == 1).all()


@pytest.mark.parametrize("wish", ["boxes", "points", "scribbles"])
def test_polygons_become_other_labels(data, wish):
    bring(cvat(data / "one.xml", {"a": POLYGON}), **{"as": wish})
    label = records(data, (wish,))[1]["a"][wish]
    if wish == "boxes":
        assert label == [[10.0, 10.0, 20.0, 20.0, 2]]
    places = [one[:2] for one in label] if wish == "points" else []
    places += [place for one in label for place in one["path"]] if wish == "scribbles" else []
    assert all(10 <= x <= 20 and 10 <= y <= 20 for x, y in places)
    assert wish == "boxes" or places


def test_the_run_counts_what_was_given(data):
    bring(cvat(data / "one.xml", {"a": box() + box("dog", 8), "b": box()}), complete="boxes")
    dataset = Folder(data / "my")
    read = read_training_labels("labels/mine", dataset, ["a", "b", "c"], ("boxes",), None, "my")
    # Two pictures were looked at; in each a class that isn't there was looked for.
    assert read.cost["images"] == 2 and read.cost["counts"]["boxes"]["box"] == 3
    assert [*read.sources] == ["a", "b"] and {*read.sources.values()} == {("cvat task 7",)}


@pytest.mark.parametrize("modes", [["points", "boxes"], ["full"]])
def test_train_learns_from_a_store(data, modes, capsys):
    import train

    if "full" in modes:
        shapes = {name: POLYGON for name in ("a", "b", "c", "d", "sub/a")}
    else:
        click = (
            '<points label="cat" points="40,30;50,35"/><points label="background" points="3,3"/>'
        )
        shapes = {"a": box() + click, "b": box("dog"), "c": click}
    bring(cvat(data / "one.xml", shapes), complete="boxes full")
    look, following = capsys.readouterr().out.splitlines()[-2:]
    assert "labels.py check --labels labels/mine --images my/images --wrong 24" in look
    assert "train.py --supervision_mode any --learner probe --labels labels/mine" in following
    words = ["--labels", "labels/mine", "--data_dir", "my", "--supervision_modes", *modes]
    words += ["--learner", "probe", "--img_size", 64, "--encoder_weights", "none", "--rounds", 0]
    words += ["--head", "linear", "--run_name", "mine", "--device", "cpu", "--jobs", 1]
    words += ["--select_by", "weak_val_loss", "--pixels", 50]
    run(train, *words)
    assert (data / "checkpoints/mine/best.pt").exists()


@pytest.mark.parametrize("form", ["weakseg", "labelme", "coco", "cvat", "yolo", "labelstudio"])
def test_what_goes_out_comes_in_again(data, form, capsys):
    runs = "0, 4" if form == "yolo" else "1, 2, 1"  # whose outlines have one part
    mask = f'<mask label="cat" rle="{runs}" left="40" top="30" width="2" height="2"/>'
    around = '<box label="dog" xtl="9" ytl="9" xbr="20" ybr="21"/>'
    shapes = {"a": box(), "sub/a": around + POLYGON + mask}
    bring(cvat(data / "one.xml", shapes), complete="boxes full")
    words = ["--labels", "labels/mine", "--output", "out/x.any", "--images", "my/images"]
    run(labels, "export", "--format", form, *words)
    assert "dropped" not in capsys.readouterr().out
    bring("out/x.any", store="labels/back", complete="boxes full", **{"as": "full"})
    masks = []
    for store in ("labels/mine", "labels/back"):
        dataset, _ = records(data, ("full",), store, ["sub/a"])
        masks.append(dataset.mask("sub/a"))
    assert (masks[0] == masks[1]).all() and {*masks[0].flat} == {0, 1, 2}
    one, other = (
        records(data, store=store, names=["a", "sub/a"])[1]
        for store in ("labels/mine", "labels/back")
    )
    for name in ("a", "sub/a"):
        assert np.allclose(one[name]["boxes"], other[name]["boxes"], atol=0.5)
        assert is_complete(one[name], "boxes") and is_complete(other[name], "boxes")


@pytest.mark.parametrize("form", ["coco", "masks"])
def test_a_pipe_is_not_replaced_by_a_file(data, form):
    bring(cvat(data / "one.xml", {"a": box() + POLYGON}))
    os.mkfifo(data / "pipe")
    words = ["--labels", "labels/mine", "--format", form, "--output", "pipe"]
    with pytest.raises(UserError, match="--output pipe: is neither a file nor a folder"):
        run(labels, "export", *words)
    assert (data / "pipe").is_fifo()


def test_masks_go_out_as_those_of_a_data_set(data):
    bring(cvat(data / "one.xml", {"a": box(), "sub/a": POLYGON}))
    run(labels, "export", "--labels", "labels/mine", "--format", "masks", "--output", "my/masks")
    assert [path.name for path in (data / "my/masks").rglob("*.png")] == ["a.png"]
    assert Folder(data / "my").mask("sub/a").sum() == 200


@pytest.mark.parametrize("form", ["coco", "labelme", "masks", "yolo"])
def test_an_export_replaces_nothing_that_is_there_unless_it_may(data, form):
    bring(cvat(data / "one.xml", {"a": box() + POLYGON}))
    words = ["--labels", "labels/mine", "--format", form, "--output", "out/place"]
    run(labels, "export", *words)
    before = {path: path.read_bytes() for path in (data / "out").rglob("*") if path.is_file()}
    run(labels, "export", *words)  # the same again is no loss
    drawn = max(before, key=lambda path: path.suffix in (".png", ".json", ".txt"))
    drawn.write_bytes(b"drawn by hand")
    with pytest.raises(UserError, match=f"--output .*{drawn.name}: is there already, with other"):
        run(labels, "export", *words)
    assert drawn.read_bytes() == b"drawn by hand"
    run(labels, "export", *words, "--overwrite")
    after = {path: path.read_bytes() for path in (data / "out").rglob("*") if path.is_file()}
    assert after == before


def test_a_sheet_takes_the_place_of_no_photograph(data):
    bring(cvat(data / "one.xml", {"a": box()}))
    images = next(path for path in data.rglob("a.*") if path.suffix in (".jpg", ".png"))
    before = images.read_bytes()
    words = ["--labels", "labels/mine", "--images", images.parent, "--output", images]
    with pytest.raises(UserError, match="is there already"):
        run(labels, "show", *words)
    assert images.read_bytes() == before


def test_suspicious_labels_are_named(data, capsys):
    shapes = (
        '<box label="dog" xtl="0" ytl="0" xbr="60" ybr="40"/><points label="cat" points="0.2,3"/>'
        '<points label="cat" points="9.1,3"/><points label="background" points="9.8,3.2"/>'
        '<box label="cat" xtl="5" ytl="5" xbr="25" ybr="25"/>'
        '<box label="dog" xtl="7" ytl="5" xbr="25" ybr="25"/>'
        '<polyline label="cat" points="1,30;30,39"/><polyline label="dog" points="1,39;30,30"/>'
        '<points label="cat" points="15.5,34.5"/>'
    )
    bring(cvat(data / "one.xml", {"a": shapes, "b": box()}))
    bring(cvat(data / "two.xml", {"b": ""}, task=8), empty="background")
    capsys.readouterr()
    run(labels, "check", "--labels", "labels/mine")
    out = capsys.readouterr().out
    assert (
        "1 boxes of the whole picture: a" in out
        and "1 clicks on the border of the picture: a" in out
    )
    assert "1 classes that appear once: background (a)" in out
    assert "1 boxes of two classes around one thing: a" in out
    assert "1 strokes of two classes that cross: a" in out
    assert "1 clicks of two classes on one pixel: a" in out
    assert "1 clicks on a stroke of another class: a" in out
    assert "1 pictures that one source calls empty and another does not: b" in out
    assert "1 pictures have several sources" in out


def test_the_contact_sheet_is_drawn(data):
    bring(
        cvat(data / "one.xml", {"a": box(), "sub/a": POLYGON, "b": '<tag label="cat"/>', "c": ""})
    )
    run(labels, "show", "--labels", "labels/mine", "--images", "my/images", "--count", 2)
    assert Image.open(data / "labels/mine/sheet.png").width > 300


@pytest.mark.parametrize(
    "words, line",
    [
        (["nowhere.xml"], "nowhere.xml: no such file or folder"),
        (["one.xml", "--map", "cat"], "--map cat: write NAME=CLASS"),
        (["one.xml", "--map", "a=b", "--map", "a=c"], "--map a=c: a has the name b already"),
        (["one.xml", "--format", "coco"], "COCO of no picture"),
        (["other.xml"], "CVAT for images of no picture in my/images; the first of 1 is zz.jpg"),
        (["twice.xml"], "x/c.jpg and c.jpg both mean c.jpg; keep one"),
        (["copies.xml"], "both mean c.jpg; export a version without augmentation"),
        (["one.xml", "--mask_values", "7=horse"], "--mask_values 7=horse"),
        (["one.xml", "same.xml"], "same.xml: is of the source cvat task 7, as one.xml is"),
    ],
)
def test_a_mistake_is_one_line(data, words, line):
    cvat(data / "one.xml", {"a": box()})
    cvat(data / "other.xml", {"zz": box()})
    cvat(data / "same.xml", {"a": POLYGON})
    cvat(data / "twice.xml", {"x/c": box(), "c": box()})
    cvat(data / "copies.xml", {f"c_jpg.rf.{digit * 32}": box() for digit in "5a"})
    with pytest.raises(UserError) as error:
        bring(*words)
    assert line in str(error.value) and "\n" not in str(error.value)
    assert not (data / "labels/mine").exists()


def test_a_class_that_the_data_lacks_is_named_where_it_is_read(data):
    (data / "my/classes.txt").rename(data / "my/names.txt")
    bring(cvat(data / "one.xml", {"a": box("kat")}))
    (data / "my/names.txt").rename(data / "my/classes.txt")
    with pytest.raises(UserError, match=r"a: the class 'kat' is none of .* did you mean cat\?"):
        records(data)


def test_labels_of_other_pictures_are_told(data):
    bring(cvat(data / "one.xml", {"e": box()}))
    (data / "my/images/e.jpg").rename(data / "my/images/f.jpg")
    (data / "my/test.txt").write_text("f\n")
    with pytest.raises(UserError, match="has labels of no picture of"):
        records(data)
