"""Lists of classes of other tools are told, or refused, where they deny those that are learnt."""

import json

import numpy as np
import pytest
from made_folders import opened, write
from PIL import Image

from weakseg.common import UserError

COLOURS = {"background": (0, 0, 0), "cat": (128, 0, 0), "dog": (0, 128, 0), "owl": (9, 9, 9)}


def rows(names, sep=",", tail=""):
    return [f"{n}{':' if tail else sep}{sep.join(map(str, COLOURS[n]))}{tail}" for n in names]


WRITERS = {
    "labelmap.txt": lambda names: "\n".join(["# label:color_rgb:", *rows(names, ",", "::")]),
    "masks/sub/labelmap.txt": lambda names: "\n".join(rows(names, ",", "::")),
    "class_dict.csv": lambda names: "\n".join(["name,r,g,b", *rows(names)]),
    "data.yaml": lambda names: f"nc: 3\nnames: {json.dumps(names[1:])}\n",
    "dataset.yaml": lambda names: (
        "names:\n" + "".join(f"  {n}: {x}\n" for n, x in enumerate(names))
    ),
    "dataset.json": lambda names: json.dumps({"labels": {x: n for n, x in enumerate(names)}}),
    "id2label.json": lambda names: json.dumps(dict(enumerate(names))),
    "label_map.pbtxt": lambda names: "\n".join(
        f"item {{\n  id: {n}\n  name: '{x}'\n}}" for n, x in enumerate(names[1:], 1)
    ),
    "obj.names": lambda names: "\n".join(names[1:]),
    "masks/labels.txt": lambda names: "\n".join(f"{n} {x}" for n, x in enumerate(names)),
}
OURS, OTHERS = ["background", "cat", "dog"], ["background", "Dog", "cat"]
COLOURS["Dog"] = COLOURS["dog"]


@pytest.fixture
def folder(tmp_path):
    """Three pictures with masks of classes.txt's cat and dog."""
    write(tmp_path / "classes.txt", *OURS)
    values = np.uint8(np.arange(40).repeat(30).reshape(40, 30) // 15)
    for number, name in enumerate(["a", "b", "sub/c"]):
        for part in ("images", "masks"):
            (tmp_path / part / "sub").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 40), (number, 9, 9)).save(tmp_path / f"images/{name}.png")
        Image.fromarray(np.roll(values, number, 1)).save(tmp_path / f"masks/{name}.png")
    return tmp_path


def give_palettes(folder, names):
    for path in (folder / "masks").rglob("*.png"):
        image = Image.fromarray(np.asarray(Image.open(path)), "P")
        image.putpalette([value for name in names for value in COLOURS[name]])
        image.save(path)


def told(folder, **flags):
    return [line for line in opened(folder, **flags).notes() if "in the order" in line]


@pytest.mark.parametrize("name", WRITERS)
def test_another_order_is_told_with_both_files(name, folder):
    write(folder / name, WRITERS[name](OURS))
    assert told(folder) == []
    write(folder / name, WRITERS[name](OTHERS))
    (line,) = told(folder)
    assert line.startswith(f"{folder / name}: has the classes in the order ")
    assert f"{folder / 'classes.txt'} in another" in line
    assert told(folder, mask_values=["1=cat"]) == []  # somebody looked
    write(folder / name, WRITERS[name]([*OTHERS, "owl"]))  # of another set of classes
    assert told(folder) == []
    (folder / name).write_bytes(b'\xff[{"names": 1, item { id')
    assert told(folder) == []


@pytest.mark.parametrize("name", ["labelmap.txt", "class_dict.csv"])
def test_palettes_tell_which_list_is_right(name, folder):
    write(folder / name, WRITERS[name](OTHERS))
    give_palettes(folder, OURS)
    assert told(folder) == []
    give_palettes(folder, OTHERS)
    with pytest.raises(UserError, match=rf"{name}: says that masks show Dog in the .*calls that c"):
        opened(folder)
    flags = ["#000000=background", "#800000=dog", "#008000=cat"]
    (line,) = (line for line in opened(folder, mask_values=flags).notes() if "calls #" in line)
    assert line.startswith(f"{folder / name}: calls #008000 Dog, --mask_values cat; mend the one")


@pytest.fixture
def voc(folder):
    """The pictures in the layout of VOC, of whose classes the masks show the first two."""
    for old, new in (("images", "JPEGImages"), ("masks", "SegmentationClass")):
        (folder / old).rename(folder / new)
    for path in (folder / "JPEGImages").rglob("*.png"):
        path.rename(path.with_suffix(".jpg"))
    for split, name in (("train", "a"), ("val", "b")):
        write(folder / f"ImageSets/Segmentation/{split}.txt", name)
    (folder / "masks").symlink_to("SegmentationClass")
    (folder / "classes.txt").unlink()
    return folder


@pytest.mark.parametrize("name", ["class_names.txt", "classes.txt", "masks/classes.txt"])
def test_a_list_that_nobody_reads_denies_the_classes_of_voc(name, voc):
    ours = opened(voc).all_classes
    for names in (
        ours,
        ["__ignore__", "_background_", *ours[1:]],
        ours[1:3],
        ["Aeroplane", "bikes"],
        ["background", *(f"{word}er" for word in ours[1:])],  # in another language
        ["1"],  # of other masks, which show less
        ["cat"],
    ):
        write(voc / name, *names)
        assert opened(voc).name == "voc"
    for names, number in (
        (["_background_", "cat", "dog"], 1),
        (["__ignore__", "_background_", "kitty", "puppy", "hen"], 1),
        (["kitty", "puppy"], 1),
        ([f"kind {number}" for number in range(30)], 1),
        (["aeroplane", "bird"], 2),
        ([*ours[:18], "tvmonitor", "train", "sofa"], 18),
    ):
        write(voc / name, *names)
        with pytest.raises(
            UserError, match=rf"{name[-11:]}: calls number {number} in masks .* VOC call"
        ):
            opened(voc)


def test_a_list_of_cvat_denies_the_classes_of_voc(voc):
    folder = voc
    give_palettes(folder, OURS)
    write(folder / "labelmap.txt", "aeroplane:128,0,0::", "byke:0,128,0::")
    assert opened(folder).name == "voc"  # a name may be spelt otherwise
    for names in (("kitty", "puppy"), ("bird", "bicycle")):
        lines = (
            f"{name}:{colour}::" for name, colour in zip(names, ("128,0,0", "0,128,0"), strict=True)
        )
        write(folder / "labelmap.txt", *lines)
        with pytest.raises(UserError, match=rf"labelmap.txt: says that masks show {names[0]} in"):
            opened(folder)
