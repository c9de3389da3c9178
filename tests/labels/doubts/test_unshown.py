"""Classes that complete lists never show, so that they are background there."""

import json
from dataclasses import replace

import pytest
from conftest import run
from PIL import Image

import labels
from weakseg.data.datasets import Folder
from weakseg.labels.doubts.unshown import Times, unshown_in_sources
from weakseg.labels.formats.records import Classes, Shape
from weakseg.labels.importing import carried_in
from weakseg.labels.store import Given, opened_store
from weakseg.labels.store_labels import store_content

SIZE = (40, 40)
SHAPES = {
    "boxes": lambda name: Shape("box", name, [*square(name)[0], *square(name)[2]]),
    "outlines": lambda name: Shape("outline", name, square(name)),
    "full": lambda name: Shape("polygon", name, [[square(name)]]),
}


def square(name):
    """Return the corners of an object: persons stand beside their pets."""
    x = 20 if name == "person" else 2
    return [[x, 2], [x + 9, 2], [x + 9, 12], [x, 12]]


def pictures(first, last, classes, kind="full", complete=True):
    """Return pictures `first` to `last` of a source that shows `classes` in them."""
    shapes = dict(enumerate(SHAPES[kind](name) for name in classes))
    one = Given(shapes, SIZE, (kind,) if complete else ())
    return {f"p{n:02d}": one for n in range(first, last)}


def lines_after(folder, *imports):
    """Return the lines on a store after imports (source, pictures, the classes it then lists)."""
    with opened_store(folder, create=True) as store:
        for source, told, names in imports:
            store.update(source, told)
            if names:
                store.say_classes(Classes(("background", *names)))
        given = store.given()
        carried = dict(carried_in(given))
        return [*unshown_in_sources(given, carried, store.classes(), Times(store))]


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("source", ["one", "two"])
def test_a_class_that_came_later_is_background_in_the_lists_before(kind, source, tmp_path):
    pets = ("one", pictures(0, 20, ["pet"], kind), ["pet"])
    both = (source, pictures(0, 8, ["pet", "person"], kind), ["pet", "person"])
    (line,) = lines_after(tmp_path / "store", pets, both)
    assert line.startswith(f"person is in 8 of 8 pictures of {source}, and in none of 12 of one")
    assert ("labelled before it was known" in line) == (source == "one")
    mended = ("one", pictures(8, 20, ["pet"], kind, complete=False), None)
    assert not lines_after(tmp_path / "store", mended)


NAMES = ["pet", "person"]
PETS = ("one", pictures(0, 20, ["pet"]), ["pet"])


@pytest.mark.parametrize(
    "imports",
    [
        [PETS, ("two", pictures(20, 22, NAMES), NAMES)],  # too few to say
        [PETS, ("two", pictures(20, 23, NAMES) | pictures(23, 40, ["pet"]), NAMES)],  # a rare one
        [("one", pictures(0, 9, ["pet"]), ["pet"]), ("two", pictures(9, 40, NAMES), NAMES)],
        [("one", pictures(0, 20, ["pet"]) | pictures(20, 30, NAMES), NAMES)],  # in one order
        [("one", pictures(0, 30, ["dog"]), ["dog"]), ("one", pictures(0, 30, NAMES[:1]), NAMES)],
        [
            ("drawing ann", {}, NAMES),  # who knew it too
            ("drawing ann", PETS[1], None),
            ("drawing bob", pictures(20, 30, NAMES), None),
        ],
        [
            ("one", pictures(0, 20, ["pet"], complete=False), ["pet"]),
            ("two", pictures(20, 40, NAMES), NAMES),
        ],
        [
            ("one", pictures(0, 12, ["pet"]) | pictures(12, 24, ["dog"]), ["pet", "dog"]),
            ("one", pictures(12, 24, ["hound"]), ["pet", "dog", "hound"]),  # a new name
        ],
    ],
)
def test_what_may_be_chance_or_was_looked_for_is_not_told(imports, tmp_path):
    assert not lines_after(tmp_path / "store", *imports)


@pytest.mark.parametrize("people", [("ann", "bob"), ("ann", "ann"), ("", "")])
def test_a_class_that_one_annotator_of_a_source_never_shows_is_told(people, tmp_path):
    first, second = people
    drawn = {key: replace(one, annotator=first) for key, one in pictures(0, 20, ["pet"]).items()}
    drawn |= {key: replace(one, annotator=second) for key, one in pictures(20, 28, NAMES).items()}
    lines = lines_after(tmp_path / "store", ("one", drawn, NAMES))
    assert len(lines) == (first != second)
    told = "person is in 8 of 8 pictures of one by bob, and in none of 20 of one by ann, whose"
    assert all(line.startswith(told) for line in lines)


def test_import_check_and_training_tell_a_class_that_a_source_never_shows(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my/images").mkdir(parents=True)
    for n in range(14):
        Image.new("RGB", SIZE, n).save(f"my/images/p{n:02d}.png")
    (tmp_path / "my/classes.txt").write_text("background\npet\nperson\n")
    told = {"pet": range(14), "person": range(4)}
    for name, numbers in told.items():
        rows = [f"p{n:02d}.png,box,{name},{2 + len(name)},2,30,30" for n in numbers]
        (tmp_path / f"{name}.csv").write_text("\n".join(["image,kind,class,x,y", *rows]))
        words = ["--images", "my/images", "--output", "mine", "--complete", "boxes"]
        run(labels, "import", f"{name}.csv", *words)
    line = "person is in 4 of 4 pictures of weakseg person, and in none of 10 of weakseg pet"
    assert f"mine: {line}" in capsys.readouterr().out
    run(labels, "check", "--labels", "mine")
    assert f"suspicious: {line}" in capsys.readouterr().out
    assert any(line in note for note in store_content("mine", Folder("my"))["notes"])


YOLO = "0 0.3 0.3 0.2 0.2\n"
CVAT = """<annotations><meta><job><id>1</id><labels><label><name>cat</name></label><label>
<name>dog</name></label><label><name>paw</name><parent>dog</parent></label></labels></job></meta>
{}</annotations>"""
CVAT_IMAGE = """<image name="p{:02d}.png" width="40" height="40"><box label="cat" source="manual"
occluded="0" xtl="4" ytl="4" xbr="9" ybr="9"></box></image>"""


def coco_of(names):
    """Return an export whose boxes are all of the first class that groups no others."""
    entries = [{"id": n, "name": name, "supercategory": "pet"} for n, name in enumerate(names)]
    images = [{"id": n, "file_name": f"p{n:02d}.png", "width": 40, "height": 40} for n in range(14)]
    boxes = [
        {"id": n, "image_id": n, "category_id": names.index("cat"), "bbox": [2, 2, 9, 9]}
        for n in range(14)
    ]
    return json.dumps({"images": images, "annotations": boxes, "categories": entries})


@pytest.mark.parametrize(
    ("files", "is_told"),
    [
        ({"l.json": coco_of(["pet", "cat", "dog"])}, True),
        ({"l.json": coco_of(["pet", "cat"])}, False),
        ({"l.xml": CVAT.format("".join(map(CVAT_IMAGE.format, range(14))))}, True),
        ({"data.yaml": "names: [cat, dog]"} | {f"p{n:02d}.txt": YOLO for n in range(14)}, True),
    ],
)
def test_a_class_that_a_file_lists_and_no_label_shows_is_told(
    files, is_told, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for folder in ("my/images", "l"):
        (tmp_path / folder).mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / "l" / name).write_text(content)
    for n in range(14):
        Image.new("RGB", SIZE, n).save(f"my/images/p{n:02d}.png")
    words = ["l", "--images", "my/images", "--output", "mine"]
    run(labels, "import", *words, "--complete", "boxes")
    line = "no label shows dog, which l lists, and the lists of 14 pictures are complete"
    assert (line in capsys.readouterr().out) == is_told
    (tmp_path / "my/classes.txt").write_text("background\ncat\ndog\n")
    run(labels, "check", "--labels", "mine", "--images", "my/images")
    assert "no label shows dog, which the list at my/images" in capsys.readouterr().out
    notes = store_content("mine", Folder("my"))["notes"]
    assert any("no label shows dog, which my lists" in note for note in notes)
    for more in (["--complete", "none"], ["--map", "dog=-"]):
        run(labels, "import", *words, *more)
        assert "no label shows" not in capsys.readouterr().out
