"""labels.py check and show: labels beside the photographs that they are of."""

import numpy as np
import pytest
from conftest import run
from PIL import Image

import labels
from weakseg.common import UserError
from weakseg.data.datasets import Folder
from weakseg.labels.doubts.copied_shapes import copied, copied_lines
from weakseg.labels.formats.records import Shape
from weakseg.labels.label_file import labels_for
from weakseg.labels.training_labels import read_training_labels

SIZE = (60, 40)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A folder of three labelled photographs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my/images").mkdir(parents=True)
    rows = ["image,kind,class,x,y"]
    for number, name in enumerate("abc"):
        pixels = np.random.default_rng(number).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"my/images/{name}.png")
        rows += [f"{name}.png,click,{label},{x},9" for label, x in (("cat", 9), ("background", 40))]
    (tmp_path / "my/classes.txt").write_text("background\ncat\n")
    (tmp_path / "l.csv").write_text("\n".join(rows))
    run(labels, "import", "l.csv", "--images", "my/images", "--output", "mine")
    return tmp_path / "my/images"


def test_labels_of_photographs_that_were_renamed_are_told(images, capsys):
    (images / "a.png").rename(images / "z.png")
    dataset = Folder("my")
    assert labels_for("mine", dataset, dataset.ids("trainval"), ["points"], "my").strays == ["a"]
    read = read_training_labels("mine", dataset, dataset.ids("train"), ("points",), None, "my")
    assert "mine: 1 labelled images are not in the data set, the first is a" in read.notes
    run(labels, "check", "--labels", "mine", "--images", "my/images")
    out = capsys.readouterr().out
    assert "1 labelled pictures are not in my/images, the first is a" in out
    assert "1 of 3 pictures of my/images have no label, the first is z" in out


def test_photographs_that_changed_their_size_are_told_and_not_shown(images, capsys):
    Image.open(images / "b.png").resize((120, 80)).save(images / "b.png")
    run(labels, "check", "--labels", "mine", "--images", "my/images")
    line = "1 pictures of my/images have another size than they were labelled at, the first is b"
    assert line in capsys.readouterr().out
    run(labels, "show", "--labels", "mine", "--images", "my/images")
    assert "mine/sheet.png: 2 of 2 pictures" in capsys.readouterr().out
    for name in "ac":
        Image.open(images / f"{name}.png").resize((30, 20)).save(images / f"{name}.png")
    with pytest.raises(UserError, match="no picture of mine is there, at the size that it"):
        run(labels, "show", "--labels", "mine", "--images", "my/images")


def test_an_export_beside_photographs_that_changed_says_so(images, capsys):
    export = ["export", "--labels", "mine", "--format", "coco", "--output", "out.json"]
    export += ["--overwrite", "--images", "my/images"]
    run(labels, *export)
    assert "changed since" not in capsys.readouterr().out
    image = Image.open(images / "a.png")
    image.transpose(Image.Transpose.ROTATE_180).save(images / "a.png")
    Image.open(images / "b.png").resize((120, 80)).save(images / "b.png")
    run(labels, *export)
    out = capsys.readouterr().out
    assert "1 pictures of my/images have another size than they were labelled at" in out
    assert "2 photographs changed since the labels of" in out


def test_files_of_another_format_in_a_folder_are_told(images, tmp_path, capsys):
    folder = tmp_path / "both"
    folder.mkdir()
    (tmp_path / "l.csv").rename(folder / "l.csv")
    shape = '{"label": "cat", "points": [[3, 4]], "shape_type": "point"}'
    (folder / "a.json").write_text(f'{{"shapes": [{shape}], "imagePath": "a.png"}}')
    run(labels, "import", folder, "--images", "my/images", "--output", "both-labels")
    out = capsys.readouterr().out
    assert "1 files of another format are left out, the first is l.csv (our own); import" in out
    run(labels, "import", folder / "l.csv", "--images", "my/images", "--output", "both-labels")
    assert "another format" not in capsys.readouterr().out


# ---- shapes that lie oddly, or in several pictures at the very same place

FORM = Shape("polygon", "cat", [[[[3, 3], [20, 5], [9, 30]]]])
BOXES_OF = {
    "one box moved": ([[1, 1, 9, 9]], [[2, 1, 9, 9]], None),
    "one box": ([[1, 1, 9, 9]], [[1, 1, 9, 9]], None),
    "one box in three": ([[1, 1, 9, 9]], [[1, 1, 9, 9]], [[1, 1, 9, 9]]),
    "two of a few pixels": ([[1, 1, 4, 4], [9, 9, 12, 11]],) * 2 + (None,),
    "from edge to edge": ([[0, 0, 60, 20]], [[0, 0, 60, 20]], [[0, 0, 60, 20]]),
    "two of three": (
        [[1, 1, 9, 9], [5, 5, 30, 20]],
        [[1, 1, 9, 9], [5, 5, 30, 20], [7, 1, 9, 9]],
        [],
    ),
}


@pytest.mark.parametrize("case", BOXES_OF)
def test_boxes_that_were_pasted_are_told_and_chance_is_not(case):
    told = zip("abc", BOXES_OF[case], strict=True)
    drawn = {key: ([Shape("box", "cat", box) for box in boxes or ()], SIZE) for key, boxes in told}
    pairs = {"one box in three": ["b", "c"], "two of three": ["b"]}.get(case, [])
    assert [*copied(drawn)] == [(key, "a") for key in pairs]


@pytest.mark.parametrize("kind", ["polygon", "click"])
def test_one_form_or_three_clicks_in_two_pictures_are_told_unless_those_are_one(kind, images):
    clicks = [Shape("click", "cat", [float(x), 9.0]) for x in (5, 20, 33)]
    shapes = [FORM] if kind == "polygon" else clicks
    drawn = {key: (shapes, SIZE) for key in "ab"}
    files = {key: images / f"{key}.png" for key in "ab"}
    (line,) = copied_lines(drawn, files)
    assert "1 pictures have shapes exactly where another one has them, the first b as a" in line
    assert not [*copied_lines(drawn | {"b": (shapes[1:], SIZE)}, files)]
    assert not [*copied_lines(drawn, files | {"b": files["a"]})]


def test_an_import_tells_BOXES_OF_whole_pictures_clicks_on_borders_and_masks_of_others(
    images, tmp_path, capsys
):
    def told(name, *rows):
        (tmp_path / f"{name}.csv").write_text("\n".join(["image,kind,class,x,y", *rows]))
        run(labels, "import", f"{name}.csv", "--images", "my/images", "--output", name)
        return capsys.readouterr().out

    whole = [f"{key}.png,box,cat,0,0,60,40" for key in "abc"]
    assert "3 boxes of the whole picture, of 3 in all" in told("whole", *whole)
    several = [
        f"{key}.png,box,cat,{x},2,{x + 7},9" for key in "abc" for x in range(ord(key) % 7, 40, 9)
    ]
    assert "of the whole picture" not in told("few", *whole, *several)
    clicks = [
        f"{key}.png,click,cat,{x},{x}" for key, x in zip("aabbcc", (0, 9, 0, 7, 0, 8), strict=True)
    ]
    assert "3 clicks on the border of the picture, of 6 in all" in told("clicks", *clicks)
    (tmp_path / "drawn").mkdir()
    for key, place in zip("abc", (1, 1, 5), strict=True):
        Image.fromarray(np.pad(np.tri(9, dtype=np.uint8), ((place, 31 - place), (3, 48)))).save(
            tmp_path / f"drawn/{key}.png"
        )
    run(labels, "import", "drawn", "--images", "my/images", "--output", "masks")
    run(labels, "check", "--labels", "masks")
    assert capsys.readouterr().out.count("1 pictures have shapes exactly where") == 2
