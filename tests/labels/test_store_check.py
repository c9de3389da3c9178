"""labels.py check and show: labels beside the photographs that they are of."""

import numpy as np
import pytest
from conftest import run
from PIL import Image

import labels
from weakseg.common import UserError
from weakseg.data.datasets import Folder
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
