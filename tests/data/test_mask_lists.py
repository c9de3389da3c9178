"""Lists among masks say what their numbers mean, to a folder and to an import."""

import json
import shlex

import numpy as np
import pytest
from conftest import run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import labels
from weakseg.common import UserError
from weakseg.data.class_list import write_classes
from weakseg.data.datasets import Folder
from weakseg.data.mask_lists import LIST, TABLE, read_table
from weakseg.labels.imported import Wishes
from weakseg.labels.importing import read_labels
from weakseg.labels.matching import Pictures
from weakseg.labels.store import opened_store

NAMES = ["background", "cat", "dog"]


def table(numbers):
    """Roboflow's table of {number: class}."""
    return "Pixel Value, Class\n" + "".join(f"{n}, {name}\n" for n, name in numbers.items())


def shown(masks):
    """What an import takes from a folder of masks: {class: width of its object}."""
    found = read_labels(masks, Pictures(masks.parent / "images"), Wishes())
    (told,) = found.sources.values()
    return {one.label: one.geometry["width"] for one in told["a"].shapes.values()}


@pytest.mark.parametrize("numbers", [(0, 1, 2), (0, 2, 1), (0, 1, 7), (0, 255, 2)])
def test_roboflows_table_says_what_numbers_are(numbers, tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    mask = np.full((20, 30), numbers[0], np.uint8)
    mask[:9, :9], mask[:9, 12:16] = numbers[1], numbers[2]
    for name in "abc":
        Image.fromarray(mask).save(tmp_path / f"masks/{name}.png")
        Image.new("RGB", (30, 20), ord(name)).save(tmp_path / f"images/{name}.png")
    write_classes(tmp_path / LIST, NAMES, True)
    (tmp_path / "masks" / TABLE).write_text(table(dict(zip(numbers, NAMES, strict=True))))
    assert {"cat": 9, "dog": 4}.items() <= shown(tmp_path / "masks").items()
    words = []
    if numbers != (0, 1, 2):
        with pytest.raises(UserError, match=f"{TABLE}: says that masks show") as told:
            Folder(tmp_path)
        words = shlex.split(str(told.value).split("--mask_values ")[1])
    data = Folder(tmp_path, mask_values=words)
    assert ((data.mask("a") == 1) == (mask == numbers[1])).all()
    write_classes(tmp_path / "masks" / LIST, NAMES, True)
    if words:
        with pytest.raises(UserError, match="denies; remove the list that is wrong"):
            shown(tmp_path / "masks")
    else:
        assert shown(tmp_path / "masks")["cat"] == 9


@given(st.permutations(range(4)), st.sampled_from(["\n", "\r\n"]))
def test_a_table_is_read_in_any_order(tmp_path_factory, order, ending):
    path = tmp_path_factory.mktemp("table") / TABLE
    numbers = dict(zip(order, [*NAMES, "a, b"], strict=True))
    quoted = {n: f'"{name}"' for n, name in numbers.items()}
    path.write_bytes(table(quoted).replace("\n", ending).encode("utf-8-sig"))
    assert read_table(path) == numbers


@pytest.mark.parametrize("line", ["dog", "1, dog", "2, cat", "-1, dog", "256, dog", "2, dog, x"])
def test_a_line_that_makes_no_sense_is_named(line, tmp_path):
    path = tmp_path / TABLE
    path.write_text(table({0: "background", 1: "cat"}) + line)
    with pytest.raises(UserError, match=rf"{TABLE}, line 4: "):
        read_table(path)
    path.write_text("filename, cat, dog\na.jpg, 1, 0\n")  # of pictures, not of masks
    assert read_table(path) == {}


@pytest.mark.parametrize("told_by", ["nobody", LIST, TABLE, "masks/" + LIST])
def test_numbers_that_no_list_explains_are_in_the_order_of_the_labels_file(told_by, tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for name in "abc":
        Image.new("RGB", (30, 20), ord(name)).save(tmp_path / f"images/{name}.png")
        Image.new("L", (30, 20), 2).save(tmp_path / f"masks/{name}.png")
    categories = [{"id": 2, "name": "cat"}, {"id": 1, "name": "dog"}]
    boxes = [  # the first is of the last class
        {"id": n, "image_id": 1, "category_id": n, "bbox": [n, n, 9, 9]} for n in (2, 1)
    ]
    image = {"id": 1, "file_name": "a.png", "width": 30, "height": 20}
    content = {"images": [image], "annotations": boxes, "categories": categories}
    (tmp_path / "l.json").write_text(json.dumps(content))
    words = [tmp_path / "l.json", "--images", tmp_path / "images", "--output", tmp_path / "s"]
    run(labels, "import", *words)
    with opened_store(tmp_path / "s") as store:
        names = [*store.classes().names]
    assert names == ["background", "dog", "cat"]
    if told_by.endswith(LIST):
        write_classes(tmp_path / told_by, names, True)
    elif told_by == TABLE:
        (tmp_path / "masks" / TABLE).write_text(table(dict(enumerate(names))))
    notes = [line for line in Folder(tmp_path, named=names).notes() if "no list says" in line]
    assert len(notes) == (told_by == "nobody")
    assert all("0 background, 1 dog, 2 cat; where they mean others" in line for line in notes)


def test_lists_of_folders_below_are_of_these_alone(tmp_path):
    mask = np.full((20, 30), 0, np.uint8)
    mask[:9, :9], mask[:9, 12:16] = 1, 2
    for job in ("job1", "job2"):
        for part in ("images", "masks"):
            (tmp_path / part / job).mkdir(parents=True)
        Image.fromarray(mask).save(tmp_path / f"masks/{job}/{job}.png")
        Image.new("RGB", (30, 20)).save(tmp_path / f"images/{job}/{job}.png")
    write_classes(tmp_path / LIST, NAMES, True)
    write_classes(tmp_path / "masks/job1" / LIST, NAMES, True)
    write_classes(tmp_path / "masks/job2" / LIST, NAMES, True)
    assert Folder(tmp_path).files
    pictures = Pictures(tmp_path / "images")
    assert read_labels(tmp_path / "masks", pictures, Wishes()).pictures == 2
    write_classes(tmp_path / "masks/job2" / LIST, ["background", "dog", "cat"], True)
    for words in ((), ("1=cat",)):  # which is of all masks, and so not of these
        with pytest.raises(
            UserError, match=r"job2.classes.txt: says that masks show dog as 1.*rem"
        ):
            Folder(tmp_path, mask_values=words)
    with pytest.raises(UserError, match=r"denies; .*import each folder by itself"):
        read_labels(tmp_path / "masks", pictures, Wishes())
    for job, name in (("job1", "cat"), ("job2", "dog")):
        (told,) = read_labels(tmp_path / f"masks/{job}", pictures, Wishes()).sources.values()
        widths = {one.label: one.geometry["width"] for one in told[f"{job}/{job}"].shapes.values()}
        assert widths[name] == 9
