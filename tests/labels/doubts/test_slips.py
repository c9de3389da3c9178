"""What an import takes over and tells: rectangles as masks, numbers of objects, scores, voids."""

import json

import numpy as np
import pytest
from conftest import run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import labels
from weakseg.labels.doubts.rectangles import is_rectangle
from weakseg.labels.doubts.slips import Slips
from weakseg.labels.doubts.store_check import MUCH, OTHERS, TINY, tiny_lines
from weakseg.labels.doubts.upper_left import PICTURES, SHARE, UpperLeft, places_in
from weakseg.labels.formats.geometry import corners, ellipse, turned
from weakseg.labels.formats.records import Classes, Dropped, PictureRecord, Shape
from weakseg.labels.formats.runs import mask_geometry
from weakseg.labels.formats.table import FORMATS
from weakseg.labels.importing import carried_in
from weakseg.labels.naming import renamed_to, renames
from weakseg.labels.store import opened_store


@pytest.fixture
def bring(tmp_path, capsys):
    """Return a function that imports rows of our table -> (lines, what picture a carries)."""
    (tmp_path / "images").mkdir()
    for name in "ab":
        Image.new("RGB", (60, 40), ord(name)).save(tmp_path / f"images/{name}.png")

    def read(*rows, words=()):
        path = tmp_path / "rows.csv"
        path.write_text("\n".join(["image,kind,class,x,y", *rows]))
        command = ["import", path, "--images", tmp_path / "images", "--output", tmp_path / "s"]
        run(labels, *command, *words)
        with opened_store(tmp_path / "s") as store:
            return capsys.readouterr().out, dict(carried_in(store.given()))["a"]

    return read


boxes = st.tuples(*[st.integers(0, 200)] * 2, *[st.integers(10, 200)] * 2)


@given(boxes, st.floats(0, 360), st.integers(0, 3), st.booleans())
def test_rectangles_are_rectangles_however_they_are_turned(box, angle, first, is_closed):
    left, top, width, height = box
    ring = turned(corners([left, top, left + width, top + height]), [left, top], angle)
    ring = ring[first:] + ring[:first]
    drawn = [*ring, ring[0]] if is_closed else ring
    assert is_rectangle(Shape("polygon", "cat", [[drawn]]))
    inward = [own + 0.2 * (other - own) for own, other in zip(ring[0], ring[2], strict=True)]
    assert not is_rectangle(Shape("polygon", "cat", [[[inward, *ring[1:]]]]))
    assert not is_rectangle(Shape("polygon", "cat", [[ellipse([9, 9], [width, height], angle)]]))
    pixels = np.ones((height, width), bool)
    assert is_rectangle(Shape("mask", "cat", mask_geometry(pixels)))
    pixels[height // 2 :, 1:] = False
    assert not is_rectangle(Shape("mask", "cat", mask_geometry(pixels)))


@given(st.integers(0, 9), st.integers(0, 9))
def test_rectangles_are_told_where_nearly_all_areas_are_some(rectangles, others):
    slips = Slips()
    for k in range(rectangles + others):
        ring = corners([0, 0, 20, 10]) if k < rectangles else [[0, 0], [9, 0], [9, 9]]
        slips.add(Shape("polygon", "cat", [[ring]]), "a", is_exact=True, size=(500, 500))
        slips.add(Shape("box", "cat", [0, 0, 20, 10]), "a", is_exact=True, size=(500, 500))
    told = [*slips.lines(["cat"], [])]
    assert len(told) == (rectangles > 0 and rectangles >= 4 * others)
    assert not told or told[0].startswith(f"{rectangles} of {rectangles + others} polygons")


@given(st.integers(4, 60), st.integers(4, 60), st.booleans())
def test_one_class_all_over_a_picture_is_no_box(width, height, is_mask):
    slips, size = Slips(), (width, height)
    area = mask_geometry(np.ones((height, width), bool))
    ring = corners([0, 0, *size])
    whole = Shape("mask", "cat", area) if is_mask else Shape("polygon", "cat", [[ring]])
    slips.add(whole, "a", is_exact=True, size=size)
    assert not [*slips.lines(["cat"], [])]
    slips.add(whole, "a", is_exact=True, size=(2 * width, height))
    assert len([*slips.lines(["cat"], [])]) == 1


@pytest.mark.parametrize("corners_cut", [[], [[5, 0]], [[0, 12], [5, 0]]])
def test_turned_boxes_are_told_though_the_edge_of_the_picture_cut_some(corners_cut, bring):
    ring = turned(corners([20, 5, 40, 15]), [30, 10], 30)
    rows = [ring, [*ring[:2], ring[2], ring[3]], [*corners_cut, *ring[len(corners_cut) :]]]
    told, _ = bring(
        *(f"a.png,polygon,cat,{','.join(f'{v:.2f}' for p in r for v in p)}" for r in rows)
    )
    assert "polygons and masks are rectangles" in told
    cut = [f"a.png,polygon,cat,{x},0,{x + 9},0,{x + 7},8,{x + 3},9" for x in range(0, 50, 9)]
    told, _ = bring(*cut, "a.png,polygon,cat,5,15,25,15,25,30,5,30")
    assert "rectangles" not in told  # of one alone nobody can tell


def test_boxes_drawn_as_polygons_are_told_and_become_boxes(bring):
    row = "a.png,polygon,cat,5,5,25,5,25,30,5,30"
    told, _ = bring(row)
    assert "1 of 1 polygons and masks are rectangles" in told and "--as boxes" in told
    told, carried = bring(row, words=["--as", "boxes"])
    assert "rectangles" not in told and [one.kind for one in carried.shapes] == ["box"]
    told, _ = bring("a.png,polygon,cat,5,5,25,5,25,30")
    assert "rectangles" not in told


@pytest.mark.parametrize("sign", ["-", "_", " ", "-0", ""])
def test_numbers_of_objects_are_told_and_joined_by_the_map_that_is_told(sign, bring):
    rows = [f"a.png,box,cat{sign}{k},{9 * k},1,{9 * k + 8},9" for k in (1, 2, 3)]
    told, _ = bring(*rows)
    assert "differ by a number" in told
    flag = told.split("--map '")[1].split("'")[0]
    told, carried = bring(*rows, words=["--map", flag])
    assert "differ" not in told and {one.label for one in carried.shapes} == {"cat"}
    told, _ = bring(*rows, words=["--classes", "bg", *(f"cat{sign}{k}" for k in (1, 2, 3))])
    assert "differ" not in told  # somebody means them


@pytest.mark.parametrize(
    "other", ["c\u0430t", "\u0441\u0430t", "cats", "bg"]
)  # with Cyrillic letters
def test_two_names_of_one_class_are_told_and_joined_by_the_map_that_is_told(other, bring):
    rows = ["a.png,click,cat,5,5", f"a.png,click,{other},25,5", "a.png,click,dog,45,5"]
    told, _ = bring(*rows)
    flag = told.split("--map '")[1].split("'")[0]
    told, carried = bring(*rows, words=["--map", flag])
    assert "--map" not in told
    names = {one.label for one in carried.shapes}
    assert names == {"cat", "dog", *(["background"] if other == "bg" else [])}
    if other != "bg":
        words = ["--classes", "background", "cat", other, "dog", "--source", "another"]
        told, _ = bring(*rows, words=words)
        assert "--map" not in told  # somebody means them


@pytest.mark.parametrize(
    "names", [("background", "cat"), ("glas", "glass"), ("кот", "cat"), ("known", "unknown van")]
)
def test_names_that_are_only_near_to_such_are_classes(names):
    assert not [*Slips().lines(names, [])]


@pytest.mark.parametrize("names", [("cat", "dog"), ("F-16", "dog"), ("p53", "p21"), ("1", "2")])
def test_names_that_differ_by_more_are_classes(names):
    assert not [*Slips().lines(names, [])]


@pytest.mark.parametrize(
    "name",
    [
        "void",
        "#NAME?",
        "nan",
        "Ignore",
        "un-labelled",
        "don't care",
        "__ignore__",
        "?",
        "unknown",
        "TODO",
        "not sure",
        "cat?",
        "maybe dog",
    ],
)
@pytest.mark.parametrize("kind, places", [("polygon", "5,5,25,5,25,30"), ("click", "5,5")])
def test_what_nobody_is_to_label_is_told_and_left_unlabelled(name, kind, places, bring):
    rows = ["a.png,click,cat,50,35", f"a.png,{kind},{name},{places}"]
    told, carried = bring(*rows)
    assert f"{name} is a class like any other" in told and carried.shapes[1].label == name
    flag = told.split("--map '", 1)[1].split("' leaves")[0]
    told, carried = bring(*rows, words=["--map", flag])
    assert "like any other" not in told and [one.label for one in carried.shapes] == ["cat", None]


def test_boxes_of_what_nobody_is_to_label_leave_no_list_complete(bring):
    rows = ["a.png,box,cat,1,1,9,9", "a.png,box,void,20,1,30,9", "a.png,tag,void"]
    words = ["--complete", "boxes", "--map", "void=?"]
    _, carried = bring(*rows, words=words)
    assert [one.label for one in carried.shapes] == ["cat"] and not carried.complete


@given(st.sampled_from(["cat-1", "cat", "a*", "(cat-1)"]), st.sampled_from(["x", "-", "?"]))
def test_a_map_names_one_class_or_all_that_fit(name, new):
    assert renamed_to(name, renames([f"{name}={new}"])) == new
    assert renamed_to("cat-12", renames([f"cat-*={new},cat-12=own"])) == "own"
    assert renamed_to("cat-12", renames([f"cat-*={new}"])) == new
    assert renamed_to("dog-12", renames([f"cat-*={new}"])) is None


@pytest.mark.parametrize("form", ["yolo", "coco", "labelme"])
def test_what_a_model_drew_is_told(form, bring, tmp_path, capsys):
    if form == "yolo":
        folder = tmp_path / "export"
        folder.mkdir()
        (folder / "classes.txt").write_text("cat\n")
        (folder / "a.txt").write_text("0 0.5 0.5 0.2 0.2 0.87\n")
    elif form == "labelme":  # as predict.py writes it, and LabelMe keeps it
        folder, dropped = tmp_path / "export", Dropped()
        drawn = (Shape("polygon", "cat", [[[[1, 1], [9, 1], [9, 9]]]], 0.00005),)
        record = PictureRecord("a.png", (60, 40), drawn)
        FORMATS[form].write([record], folder, Classes(("background", "cat")), dropped)
    else:
        folder = tmp_path / "export.json"
        one = {"image_id": 1, "category_id": 1, "bbox": [5, 5, 9, 9], "score": 0.9, "id": 1}
        image = {"id": 1, "file_name": "a.png", "width": 60, "height": 40}
        categories = [{"id": 1, "name": "cat"}]
        content = {"images": [image], "annotations": [one], "categories": categories}
        folder.write_text(json.dumps(content))
    run(labels, "import", folder, "--images", tmp_path / "images", "--output", tmp_path / "s")
    assert "1 shapes have a model's score, the first of" in capsys.readouterr().out
    told, _ = bring("a.png,box,cat,1,1,9,9")
    assert "score" not in told


@pytest.mark.parametrize("marks", [(), ("nnCreated",), ("nnCreated", "nnUpdated")])
@pytest.mark.parametrize("value", [None, 0.62, "62", "low"])
def test_what_a_network_drew_in_supervisely_is_told(marks, value, bring, tmp_path, capsys):
    tags = [] if value is None else [{"name": "confidence", "value": value}]
    corner = {"exterior": [[1, 1], [9, 1], [9, 9]], "interior": []}
    one = {"classTitle": "cat", "geometryType": "polygon", "points": corner, "tags": tags}
    one |= dict.fromkeys(("nnCreated", "nnUpdated"), False) | dict.fromkeys(marks, True)
    content = {"size": {"width": 60, "height": 40}, "tags": [], "objects": [one]}
    path = tmp_path / "ann/a.png.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    run(labels, "import", path, "--images", tmp_path / "images", "--output", tmp_path / "s")
    told = capsys.readouterr().out
    has_score = value in (0.62, "62")
    assert ("have a model's score" in told) == has_score
    assert ("a model's shapes that nobody changed" in told) == (len(marks) == 2 and not has_score)


def test_classes_of_tags_alone_are_told_until_a_map_leaves_them_out(bring):
    rows = ["a.png,box,cat,1,1,9,9", "a.png,tag,cat", "a.png,tag,blurry"]
    told = "only tags show blurry, which a model learns as classes of pixels"
    assert told in bring(*rows)[0]
    assert "only tags" not in bring(*rows, words=("--map", "blurry=-"))[0]
    assert "only tags" not in bring("a.png,tag,blurry")[0]  # what tags are for


@given(st.integers(1, 20), st.floats(0.1, 1), st.floats(0.1, 1))
def test_labels_in_the_upper_left_alone_are_told(pictures, across, down):
    size, slips, corner = (200, 100), Slips(), UpperLeft()
    for key in map(str, range(pictures)):
        corner_of = [200 * across, 100 * down]
        slips.place(Shape("box", "cat", [2, 2, *corner_of]), key, size)
        slips.place(Shape("tag", "cat", True), key, size)
        corner.add(key, places_in({"boxes": [[2, 2, *corner_of, 1]]}), size)
    is_told = pictures >= PICTURES and max(across, down) <= SHARE
    assert len([*slips.lines(["cat"], ["cat"])]) == len([*corner.lines()]) == is_told


def imported(tmp_path, capsys, content, suffix, *words):
    """Import a text of a tool's -> what is told; the store is at tmp_path / "s"."""
    path = tmp_path / f"export{suffix}"
    path.write_text(content)
    command = ["import", path, "--images", tmp_path / "images", "--output", tmp_path / "s"]
    run(labels, *command, *words)
    return capsys.readouterr().out


@pytest.mark.parametrize("mark", ['source="manual"', 'source="auto"', "ignored"])
def test_what_cvat_marks_is_told(mark, bring, tmp_path, capsys):
    note = '<attribute name="Ignore">true</attribute>' if mark == "ignored" else ""
    box = f'<box label="cat" xtl="1" ytl="1" xbr="9" ybr="9" {mark * (not note)}>{note}</box>'
    image = f'<image id="0" name="a.png" width="60" height="40">{box}</image>'
    told = imported(tmp_path, capsys, f"<annotations>{image}</annotations>", ".xml")
    assert ("a model's shapes that nobody changed" in told) == ("auto" in mark)
    assert ("marked 'ignore'" in told) == bool(note)


def around(number):
    """Return places around the middle of the picture, in their order."""
    return ellipse([30, 20], [12, 9])[:: len(ellipse([30, 20], [12, 9])) // number]


@pytest.mark.parametrize(
    ("name", "word"),
    [("Hole", "a hole in others"), ("negative", "what no object covers"), ("pothole", None)],
)
def test_names_of_what_is_no_object_are_told(name, word):
    told = [*Slips().lines([name, "cat"], [])]
    assert [word in line for line in told] == ([True] if word else [])
    assert not [*Slips().lines([name, "cat"], [name])]  # somebody listed it


@given(st.lists(st.integers(1, 99), min_size=1, max_size=9), st.integers(0, 5))
def test_tiny_boxes_are_told_where_most_are_far_larger(sides, tiny):
    shapes = [Shape("box", "cat", [5.0, 5.0, 5.0 + side, 300.0]) for side in sides + [2] * tiny]
    told = [*tiny_lines({"a": (shapes, (400, 300))})]
    number = sum(side < TINY for side in sides) + tiny
    assert len(told) == (number >= 3 and np.percentile(sides + [2] * tiny, OTHERS) >= MUCH * TINY)
    assert all(line.startswith(f"{number} of {len(shapes)} boxes") for line in told)


@given(st.integers(0, 6), st.integers(0, 6), st.booleans())
def test_strokes_that_end_where_they_began_are_told_where_most_do(closed, others, is_near):
    slips, ring = Slips(), around(12)
    paths = [[*ring, *([] if is_near else ring[:1])]] * closed
    paths += [[*ring[:7], *ring[:6][::-1]], ring[:8], ring[:1]][: others % 4] + [ring[:9]] * others
    for k, path in enumerate(paths):
        for label in ("cat", "background"):
            slips.place(Shape("stroke", label, {"width": 1, "path": path}), f"{k}", (60, 40))
    told = [*slips.lines(["cat"], ["cat"])]
    assert len(told) == (closed >= max(3, len(paths) / 2))
    assert all(f"{closed} of {len(paths)} strokes on objects" in line for line in told)


@pytest.mark.parametrize("form", ["points", "polyline"])
def test_outlines_that_cvat_has_as_points_or_lines_are_told(form, bring, tmp_path, capsys):
    ring = ";".join(f"{x:.1f},{y:.1f}" for x, y in around(16))
    shuffled = ";".join(sorted(ring.split(";")))
    for points, is_told in ((ring, True), (shuffled, False)):
        shapes = f'<{form} label="cat" points="{points}"/>' * 3
        image = f'<image id="0" name="a.png" width="60" height="40">{shapes}</image>'
        told = imported(tmp_path, capsys, f"<annotations>{image}</annotations>", ".xml")
        assert ("call them polygons in the file" in told) == is_told


def test_tasks_that_nobody_submitted_are_not_empty(bring, tmp_path, capsys):
    value = {"points": [[1, 1], [9, 1], [9, 9]], "closed": False, "polygonlabels": ["cat"]}
    one = {"type": "polygonlabels", "original_width": 60, "original_height": 40, "value": value}
    drawn = [{"result": [one | {"origin": "prediction"}]}]
    tasks = [
        {"data": {"image": f"{k}.png"}, "annotations": a}
        for k, a in zip("ab", [drawn, []], strict=True)
    ]
    told = imported(tmp_path, capsys, json.dumps(tasks), ".json", "--empty", "background")
    for words in ("submits them in Label Studio", "nobody changed", "polygons that were left open"):
        assert words in told
    with opened_store(tmp_path / "s") as store:
        assert not dict(carried_in(store.given()))["b"].complete


def test_shapes_that_are_there_twice_count_once(bring):
    rows = ["a.png,click,cat,5,5", "a.png,click,cat,5.001,5", "a.png,click,dog,5,5"]
    told, carried = bring(*rows, "a.png,tag,cat", "a.png,tag,cat")
    assert "1 dropped, there twice" in told and len(carried.shapes) == 3
    assert "classes: dog 1, cat 2\n" in told


@pytest.mark.parametrize("both", [True, False])
def test_tasks_that_label_one_picture_are_told_and_it_counts_once(both, bring, tmp_path, capsys):
    box = '<box label="cat" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    images = "".join(
        f'<image id="{task}" name="a.png" task_id="{task}" width="60" height="40">'
        f"{box if task == 7 or both else ''}</image>"
        for task in (7, 8)
    )
    meta = "<meta><project><id>3</id></project></meta>"
    told = imported(tmp_path, capsys, f"<annotations>{meta}{images}</annotations>", ".xml")
    line = "1 pictures have labels of several tasks, the first is a of cvat task 7 and cvat task 8"
    assert (line in told) == both and "1 of 1 pictures changed" in told


@pytest.mark.parametrize("name", ["no dog", "No_Dog", "without dog", "dog absent", "kein-dog"])
def test_a_tag_that_denies_a_class_is_told_and_left_out(name, bring):
    rows = ["a.png,tag,cat", "b.png,tag,dog", f"a.png,tag,{name}"]
    told, _ = bring(*rows)
    assert f"the tags {name} are learnt as classes" in told
    told, carried = bring(*rows, words=["--map", f"{name}=-"])
    assert "learnt as" not in told and [one.label for one in carried.shapes] == ["cat"]
    told, _ = bring(*rows, words=["--classes", "background", "cat", "dog", name])
    assert "learnt as" not in told  # somebody means it
    told, _ = bring(*rows[:2], f"a.png,box,{name},1,1,9,9")
    assert "learnt as" not in told  # a head without a helmet


@pytest.mark.parametrize(
    "name, is_told",
    [
        ("cat; outdoor", True),
        ("dog|cat", True),
        ("dog, cat", True),
        ("cat, domestic", True),
        ("tench, Tinca tinca", False),
        ("no entry", False),
        ("black and white", False),
    ],
)
def test_several_tags_in_one_cell_are_told(name, is_told, bring):
    told, _ = bring("b.png,tag,cat", "b.png,tag,white", f'a.png,tag,"{name}"')
    assert (f"{name!r} look like several classes in one" in told) == is_told
    assert "learnt as" in told or not is_told


@pytest.mark.parametrize("name", ["backround", "Backgroud", "bakcground", "backgrond"])
def test_a_misspelt_background_is_told_however_often_it_is_there(name, bring):
    rows = [f"a.png,click,{name},{x},5" for x in range(5, 50, 9)]
    told, _ = bring("a.png,click,cat,5,30", *rows)
    assert f"the classes background and {name} differ by a letter, and are of 0 and 5" in told
    told, carried = bring("a.png,click,cat,5,30", *rows, words=["--map", f"{name}=background"])
    assert "differ" not in told and {one.label for one in carried.shapes} == {"cat", "background"}
