"""What comes in of a label file: in pixels of the picture, corners as corners, nothing in part."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import labels
from weakseg.common import UserError
from weakseg.data.looks import SIDE, are_alike
from weakseg.labels.box_order import ENOUGH, FEWEST, BoxOrder
from weakseg.labels.carried import merged
from weakseg.labels.converting import PARTS
from weakseg.labels.formats.geometry import corners
from weakseg.labels.formats.masks import Meaning
from weakseg.labels.formats.records import Classes, Dropped, PictureRecord, Shape
from weakseg.labels.formats.table import FORMATS
from weakseg.labels.imported import Wishes, distrust_empty
from weakseg.labels.importing import keep, read_labels
from weakseg.labels.matching import Pictures
from weakseg.labels.store import opened_store

SIZE = (60, 40)
CLASSES = Classes(("background", "cat", "dog"))
KNOWN = Wishes(meaning=Meaning(CLASSES), complete=("boxes", "points", "full"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name in "abcdefgh":
        Image.fromarray(np.zeros((*SIZE[::-1], 3), np.uint8)).save(folder / f"{name}.png")
    return Pictures(folder)


@pytest.fixture
def bring(pictures, tmp_path):
    """Return a function that reads rows of our table, or a COCO file of boxes."""

    def read(content, wishes=KNOWN):
        name = "a.csv" if isinstance(content, list) else "a.json"
        head = "image,kind,class,x,y"
        text = "\n".join([head, *content]) if name == "a.csv" else json.dumps(content)
        (tmp_path / name).write_text(text)
        return read_labels(tmp_path / name, pictures, wishes)

    return read


def coco(*boxes, size=SIZE):
    image = {"id": 1, "file_name": "a.png", "width": size[0], "height": size[1]}
    annotations = [
        {"id": k, "image_id": 1, "category_id": 1, "bbox": box, "iscrowd": 0}
        for k, box in enumerate(boxes)
    ]
    categories = [{"id": 1, "name": "cat"}]
    return {"images": [image], "annotations": annotations, "categories": categories}


def shapes_of(found, key="a"):
    return [shape for given in found.sources.values() for shape in given[key].shapes.values()]


def complete_of(found, key="a"):
    return [kind for given in found.sources.values() for kind in given[key].complete]


def test_of_two_pictures_of_one_name_a_file_means_the_one_in_its_folder(tmp_path):
    for folder, box in (("train", [1, 1, 8, 8]), ("valid", [5, 5, 9, 9])):
        (tmp_path / folder).mkdir()
        Image.new("RGB", SIZE, len(folder)).save(tmp_path / folder / "a.png")
        (tmp_path / folder / "_annotations.coco.json").write_text(json.dumps(coco(box)))
    found = read_labels(tmp_path, Pictures(tmp_path), KNOWN)
    assert shapes_of(found, "train/a")[0].geometry == [1, 1, 9, 9]
    assert shapes_of(found, "valid/a")[0].geometry == [5, 5, 14, 14]


# ---- shares, and other sizes


@pytest.mark.parametrize(
    "shape", ["click,cat,0.4,0.5", "box,cat,0.1,0.1,0.5,0.9", "polygon,cat,0,0,1,0,1,1"]
)
def test_shares_are_no_pixels(shape, bring):
    with pytest.raises(UserError, match=r"in shares of the picture's sides, .*; multiply them"):
        bring([f"a.png,{shape}", f"b.png,{shape}"])
    found = bring([f"a.png,{shape}", "b.png,click,cat,5,5"])
    assert found.dropped.lost == 1 and next(iter(found.sources.values())).keys() == {"b"}


@pytest.mark.parametrize("shape", ["click,cat,1,1", "click,cat,0,1"])
def test_a_click_in_a_corner_is_no_share(shape, bring):
    assert len(shapes_of(bring([f"a.png,{shape}"]))) == 1


def test_a_class_that_is_called_as_what_a_map_leaves_out_is_told(bring):
    with pytest.raises(UserError, match=r"of the class '-', which is no name \(--map '-=CLASS'\)"):
        bring(["a.png,box,-,1,1,9,9"])
    assert shapes_of(bring(["a.png,box,-,1,1,9,9"], replace(KNOWN, names={"-": "cat"})))
    assert not shapes_of(bring(["a.png,box,cow,1,1,9,9"], replace(KNOWN, names={"cow": "-"})))


def test_a_polygon_without_an_area_in_hundredths_of_a_pixel_spoils_no_store(bring, tmp_path):
    found = bring(["a.png,polygon,cat,5,5,5.004,5,5.004,9", "a.png,click,cat,5,5"])
    with opened_store(tmp_path / "s", create=True) as store:
        keep(store, found)
    with opened_store(tmp_path / "s") as store:
        (given,) = store.given()["a"].values()
    assert [one.kind for one in given.shapes.values()] == ["click"] and found.dropped.lost == 1


def test_seconds_below_0_are_left_out(bring):
    entry = {"image": "a.png", "seconds": -3, "shapes": []}
    entry["shapes"] = [{"kind": "click", "class": "cat", "geometry": [5, 5]}]
    found = bring({"format": "weakseg-labels", "version": 1, "pictures": [entry]})
    (given,) = found.sources.values()
    assert given["a"].seconds is None and [*found.dropped.counts.values()] == [1]


@pytest.mark.parametrize("there, here", [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")])
def test_accents_may_be_stored_in_two_forms(there, here, pictures, tmp_path):
    (tmp_path / "a.csv").write_text(f"image,kind,class,x,y\na.png,click,{there},3,3\n")
    words = ["import", tmp_path / "a.csv", "--images", pictures.folder, "--output", tmp_path / "s"]
    run(labels, *words, "--classes", "background", here)
    run(labels, *words, "--map", f"{here}={here}")
    with opened_store(tmp_path / "s") as store:
        assert store.classes().names == ("background", "caf\u00e9")


@pytest.mark.parametrize("scale", [0.5, 1, 2])
def test_labels_of_pictures_of_another_size_are_scaled_and_told(scale, bring):
    """Of a smaller copy they fit; nothing tells it from a part that was cut out."""
    stated = [int(side * scale) for side in SIZE]
    found = bring(coco([5, 5, 20, 10], size=stated))
    assert shapes_of(found)[0].geometry == [value / scale for value in (5, 5, 25, 15)]
    sizes = f"{SIZE[0]}x{SIZE[1]} instead of {stated[0]}x{stated[1]}: labels are scaled"
    line = f"1 pictures have another size than the file says, the first a.png {sizes}"
    assert [one.startswith(line) for one in found.dropped.told] == [True] * (scale != 1)
    assert not bring(coco(size=stated)).dropped.told  # nothing is scaled


def test_shares_are_no_pixels_in_a_file_that_states_the_size(bring):
    with pytest.raises(UserError, match="in shares of the picture's sides"):
        bring(coco([0.1, 0.1, 0.8, 0.8]))
    assert shapes_of(bring(coco([0, 0, 1, 1], [5, 5, 9, 9])))


@pytest.mark.parametrize(
    "shape",
    [
        "box,cat,5,5,900,700",
        "click,cat,500,7",
        "stroke,cat,5,5,500,7",
        "polygon,cat,1,1,99,1,99,39",
        "box,cat,-9,5,20,20",
    ],
)
def test_what_was_drawn_on_a_larger_picture_is_refused_where_nothing_states_its_size(shape, bring):
    with pytest.raises(UserError, match="reaching outside of the picture, as if drawn on a larger"):
        bring([f"a.png,{shape}"])
    small = "box,cat,1,1,9,9"  # may lie elsewhere too
    found = bring([f"a.png,{shape}", f"a.png,{small}", *(f"{name}.png,{small}" for name in "bcde")])
    assert next(iter(found.sources.values())).keys() == {*"bcde"} and found.dropped.lost == 1
    with pytest.raises(UserError, match="labels of 2 of 5 pictures reach beyond them: they were"):
        bring([*(f"{name}.png,{shape}" for name in "ab"), *(f"{n}.png,{small}" for n in "cde")])


@pytest.mark.parametrize("kind", ["click", "box", "polygon"])
@pytest.mark.parametrize("is_crossed", [True, False])
def test_rows_before_columns_are_told_where_all_lie_within_by_the_other_order(
    kind, is_crossed, bring
):
    count = {"click": 1, "box": 2, "polygon": 3}[kind]
    places = [[50, 30], [57, 39], [45, 38]][:count]  # within pictures of 60 x 40
    row = ",".join(f"{y},{x}" for x, y in places)
    rows = [f"{name}.png,{kind},cat,{row}" for name in "abcde"]
    if not is_crossed:  # which is inside as it stands alone
        rows.append("e.png,click,cat,59,5")
    cause = "with x and y swapped none does" if is_crossed else "drawn on another size"
    with pytest.raises(UserError, match=f"of 5 pictures reach beyond them: .*{cause}"):
        bring(rows)


def test_what_is_rounded_beyond_the_edge_is_moved_there(bring):
    found = bring(["a.png,box,cat,-1,5,60.6,41"])
    assert [one.geometry for one in shapes_of(found)] == [[0, 5, 60, 40]]
    assert [*found.dropped.counts] == [(False, "cut at the edge of the picture")]


def test_a_box_that_is_cut_is_counted(bring):
    found = bring(coco([5, 5, 100, 20], [5, 5, 20, 20]))
    assert [one.geometry for one in shapes_of(found)] == [[5, 5, 60, 25], [5, 5, 25, 25]]
    assert found.dropped.lines() == ["1 changed, cut at the edge of the picture; the first: a.png"]


def test_corners_are_no_widths_and_heights(bring):
    corners = [[20, 15, 45, 35], [30, 5, 50, 39], [1, 1, 9, 9], [25, 20, 40, 30], [9, 30, 55, 39]]
    with pytest.raises(
        UserError, match="4 of 5 shapes reach beyond their pictures: they were drawn"
    ):
        bring(coco(*corners))
    sizes = [[x, y, right - x, bottom - y] for x, y, right, bottom in corners]
    assert [one.geometry for one in shapes_of(bring(coco(*sizes)))] == corners


@pytest.mark.parametrize("form", ["labelme", "voc"])
@pytest.mark.parametrize(
    "named, said, taken",
    [("a", "a", "a"), ("x", "a", "a"), ("b", "a", None), ("b", "old", "b"), ("x", "old", None)],
)
def test_a_file_that_says_it_is_of_another_picture_is_counted(
    form, named, said, taken, pictures, tmp_path
):
    """Who renames pictures and their files leaves the old name in them.

    Where no picture has that name any more, the file is of the one of its own; where another one
    has it, nobody can tell.
    """
    folder = tmp_path / form
    folder.mkdir()
    shape = {"label": "cat", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}
    other = folder / f"c.{'json' if form == 'labelme' else 'xml'}"
    mine = folder / f"{named}{other.suffix}"
    for path, name in ((mine, f"{said}.png"), (other, "c.png")):
        labelme = {"shapes": [shape], "imagePath": name, "imageWidth": 60, "imageHeight": 40}
        box = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
        voc = (
            f"<annotation><filename>{name}</filename><object><name>cat</name>"
            f"<bndbox>{box}</bndbox></object></annotation>"
        )
        path.write_text(json.dumps(labelme) if form == "labelme" else voc)
    found = read_labels(folder, pictures, KNOWN)
    (given,) = found.sources.values()
    assert given.keys() == {"c"} | ({taken} - {None})
    assert found.dropped.lost == ((named, said) == ("b", "a"))
    assert len(found.absent) == ((named, said) == ("x", "old"))
    assert len(found.dropped.counts) == found.dropped.lost + (taken == "b")


def test_shapes_of_all_kinds_that_reach_beyond_are_of_another_size(bring):
    outlines = [[[40, 5, 90, 5, 90, 50]], [[9, 9, 70, 9, 70, 60]], [[1, 1, 9, 1, 9, 9]]]
    content = coco(*[None] * 5)
    for one, outline in zip(content["annotations"], (outlines * 2)[:5], strict=True):
        one |= {"segmentation": outline, "bbox": None}
    with pytest.raises(UserError, match="4 of 5 shapes reach beyond their pictures"):
        bring(content)


def test_clicks_beside_pictures_are_of_another_size(pictures, tmp_path):
    def cvat(*places):
        points = ";".join(f"{x},{y}" for x, y in places)
        inner = f'<points label="cat" points="{points}"/>'
        image = f'<image id="0" name="a.png" width="60" height="40">{inner}</image>'
        (tmp_path / "a.xml").write_text(f"<annotations>{image}</annotations>")
        return read_labels(tmp_path / "a.xml", pictures, KNOWN)

    inside = [(5, 5), (9, 9), (50, 30), (20, 30)]
    assert len(shapes_of(cvat(*inside, (90, 9)))) == 4  # a slip
    with pytest.raises(UserError, match="2 of 6 clicks lie outside of their pictures: they were"):
        cvat(*inside, (90, 9), (9, 70))


def test_two_files_of_one_folder_may_not_say_other_things_of_a_picture(pictures, tmp_path):
    folder = tmp_path / "labels"
    (folder / "old").mkdir(parents=True)

    def put(name, *rows):
        (folder / name).write_text("\n".join(["image,kind,class,x,y", *rows]))

    put("one.csv", "a.png,box,cat,5,5,30,30")
    put("old/two.csv", "a.png,box,dog,5,5,30,30", "b.png,click,cat,5,5")
    with pytest.raises(UserError, match=r"old/two.csv and one.csv have other labels of a.png; rem"):
        read_labels(folder, pictures, KNOWN)
    put("old/two.csv", "a.png,box,cat,5,5,30,30")
    found = read_labels(folder, pictures, KNOWN)
    assert len(shapes_of(found)) == 1 and (False, "the same in two files") in found.dropped.counts
    put("old/two.csv", "a.png,click,cat,5,5")  # another kind of label
    assert len(shapes_of(read_labels(folder, pictures, KNOWN))) == 2


def test_a_picture_in_another_folder_is_told_and_left_where_folders_are_named_right(tmp_path):
    for name in ("cam2/1.png", "cam2/2.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((*SIZE[::-1], 3), np.uint8)).save(tmp_path / "images" / name)
    pictures, path = Pictures(tmp_path / "images"), tmp_path / "l.csv"
    path.write_text("image,kind,class,x,y\ncam1/1.png,click,cat,5,5\n")
    found = read_labels(path, pictures, KNOWN)
    line = "in another folder than the name says; the first: cam1/1.png, taken for cam2/1.png"
    assert found.dropped.lines() == [f"1 changed, {line}"]
    path.write_text(path.read_text() + "cam2/2.png,click,cat,5,5\n")
    found = read_labels(path, pictures, KNOWN)
    assert found.absent == ["cam1/1.png"] and shapes_of(found, "cam2/2")


def test_a_plain_picture_is_not_one_with_a_pattern():
    plain, faint, marked = (
        np.tile([100.0, 100.0 + step], (SIDE, SIDE // 2)) for step in (0, 4, 50)
    )
    assert are_alike(plain, plain) and are_alike(plain, faint) and are_alike(faint, marked)
    assert not are_alike(plain, marked) and not are_alike(marked, marked.T)


def test_a_label_file_that_holds_another_picture_is_of_that_one(tmp_path):
    (tmp_path / "images").mkdir()
    for number, name in enumerate("ab"):
        pixels = np.random.default_rng(number).integers(0, 255, (4, 6, 3), np.uint8)
        Image.fromarray(pixels).resize((60, 40)).save(tmp_path / f"images/{name}.jpg")
    pictures = Pictures(tmp_path / "images")
    shape = {"label": "cat", "points": [[5, 5]], "shape_type": "point"}
    for inside, is_taken in (("a", True), ("b", False)):
        image = Image.open(tmp_path / f"images/{inside}.jpg").point(lambda value: value // 2 + 60)
        image.save(tmp_path / "brighter.png")
        data = base64.b64encode((tmp_path / "brighter.png").read_bytes()).decode()
        content = {"shapes": [shape], "imagePath": "a.jpg", "imageData": data}
        (tmp_path / "a.json").write_text(json.dumps(content))
        if is_taken:
            assert shapes_of(read_labels(tmp_path / "a.json", pictures, KNOWN))
            continue
        with pytest.raises(UserError, match="1 dropped, holds another picture than the one of its"):
            read_labels(tmp_path / "a.json", pictures, KNOWN)


def test_pictures_of_another_shape_are_called_so(bring):
    with pytest.raises(UserError) as error:
        bring(coco([5, 5, 20, 20], size=(60, 60)))
    assert "nothing of it can be taken over: 1 dropped, labelled at 60x60, but the" in str(error)


def test_a_file_that_is_lost_whole_replaces_nothing(bring):
    with pytest.raises(UserError, match=r"nothing of it .* of the class 'cow', which is unknown"):
        bring(["a.png,box,cow,1,1,9,9", "b.png,box,cow,1,1,9,9"])
    with pytest.raises(UserError, match=r"nothing of it .* a box without an area"):
        bring(["a.png,box,cat,1,1,1,9", "b.png,box,cat,9,9,9,9"])
    assert bring(["a.png,box,cow,1,1,9,9", "b.png", "c.png"]).empty == 2


POLYGON = {"segmentation": [[5, 5, 25, 5, 28, 25]]}
LOST = {"segmentation": [[5, 5, 6]]}  # no area


@given(
    st.permutations([{"a": POLYGON, "c": LOST}, {"b": {"bbox": [5, 5, 9, 9]}}, {}]), st.booleans()
)
def test_files_that_each_list_all_pictures_empty_none_that_another_shows(
    pictures, tmp_path_factory, told, are_arguments
):
    """A folder of files says of each picture what the files say as arguments of their own."""
    folder = tmp_path_factory.mktemp("coco")
    for number, shapes in enumerate(told):
        images = [{"id": k, "file_name": f"{k}.png", "width": 60, "height": 40} for k in "abcd"]
        rows = [
            {"id": k, "image_id": key, "category_id": 1, "iscrowd": 0} | shape
            for k, (key, shape) in enumerate(shapes.items())
        ]
        content = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cat"}]}
        (folder / f"{number}.json").write_text(json.dumps(content))
    wishes = replace(KNOWN, is_empty=True)
    if not are_arguments:
        found = read_labels(folder, pictures, wishes)
        assert (complete_of(found, "a"), complete_of(found, "b")) == (["full"], ["boxes"])
        assert complete_of(found, "c") == [] and "full" in complete_of(found, "d")
        assert found.empty == 1
        return
    files = [read_labels(path, pictures, wishes) for path in sorted(folder.iterdir())]
    before = sum(found.empty for found in files)
    distrust_empty(files)
    sources = {str(number): found.sources for number, found in enumerate(files)}
    said = {
        key: merged({n: given[key] for n, of in sources.items() for given in of.values()}).complete
        for key in "abcd"
    }
    assert said["a"] == ("full",) and said["b"] == ("boxes",) and "full" in said["d"]
    assert said["c"] == () and before - sum(found.empty for found in files) == 2


@pytest.mark.parametrize("form", ["masks", "cvat"])
def test_pixels_of_a_turned_picture_are_no_labels_of_it(form, pictures, tmp_path):
    """Where other tools state sizes the wrong way round, places are right; pixels are not."""
    if form == "masks":
        Image.fromarray(np.eye(60, 40, dtype=np.uint8)).save(tmp_path / "a.png")
        path = tmp_path
    else:
        path = tmp_path / "a.xml"
        mask = '<mask label="cat" rle="0, 4" left="1" top="1" width="2" height="2"/>'
        image = f'<image name="a.png" width="40" height="60">{mask}</image>'
        path.write_text(f"<annotations>{image}</annotations>")
    with pytest.raises(UserError, match="labelled at 40x60, but the upright picture has 60x40"):
        read_labels(path, pictures, KNOWN)


# ---- corners, or width and height


SIZES = [[30, 20, 10, 12], [40, 5, 9, 9], [2, 25, 20, 9], [25, 28, 30, 10], [12, 12, 14, 20]]


def test_widths_and_heights_are_no_corners(bring):
    rows = [
        f"{name}.png,box,cat,{','.join(map(str, box))}"
        for name, box in zip("abcde", SIZES, strict=True)
    ]
    with pytest.raises(UserError, match=r"look like \[x, y, width, height\]: of 5, 4 have"):
        bring(rows)
    assert len(bring(rows[:3]).sources) == 1  # too few to be sure


@given(st.integers(1, 30), st.sampled_from(["corner", "middle", "corners"]))
def test_boxes_by_their_middle_or_all_in_one_quarter_are_told(count, form):
    order = BoxOrder()
    for k in range(count):
        width, height = 10 + k % 7, 8 + k % 5
        left, top = 14 + k % 3, 9 + k % 4
        middle = [51, top + 6]
        corners = [left, top, left + width, top + height]
        own = {"corner": [left, top, width, height], "middle": [*middle, width, height]}
        order.add(own.get(form, corners), SIZE)
    assert bool(order.fault) == (count >= (5 if form == "corner" else 10) and form != "corners")
    # Corners of small things in the upper left may be meant.
    assert bool([*order.lines()]) == (count >= ENOUGH and order.fitting == count)
    whole = BoxOrder()  # those of whole pictures are the same either way
    for _ in range(count):
        whole.add([0, 0, *SIZE], SIZE)
    assert not [*whole.lines()]


boxes = st.tuples(st.floats(0, 59), st.floats(0, 39), st.floats(0, 59), st.floats(0, 39))


@given(st.lists(boxes, max_size=30))
def test_ordered_corners_are_never_taken_for_widths(drawn):
    order = BoxOrder()
    for x0, y0, x1, y1 in drawn:
        order.add([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)], SIZE)
    assert not order.fault


@given(st.lists(boxes, min_size=FEWEST, max_size=30))
def test_corners_in_any_order_are_corners_once_one_box_is_right_of_the_middle(drawn):
    order = BoxOrder()
    for box in [*drawn, [59, 30, 10, 39]]:
        order.add(box, SIZE)
    assert not order.fault


# ---- boxes around no object


@pytest.mark.parametrize("wishes", [KNOWN, Wishes(complete=("boxes",))])
@pytest.mark.parametrize("name", ["background", "_background_"])
def test_a_box_of_the_background_is_counted_and_leaves_no_list_complete(name, wishes, bring):
    found = bring(
        [f"a.png,box,{name},1,1,9,9", "a.png,box,cat,20,20,40,39", "b.png,tag,cat"], wishes
    )
    assert len(shapes_of(found)) == 1 and not complete_of(found) and found.dropped.lost == 1
    assert "a box of background, which is what no object covers" in found.dropped.lines()[0] or (
        name == "_background_"
    )
    clicks = [f"a.png,click,{name},3,3", f"a.png,stroke,{name},3,3,9,9"]
    assert len(shapes_of(bring(clicks, wishes))) == 2


def test_areas_of_the_background_become_no_boxes(bring):
    rows = ["a.png,polygon,background,1,1,9,1,9,9", "a.png,polygon,cat,20,20,40,20,40,39"]
    found = bring(rows, replace(KNOWN, areas_as="boxes"))
    assert [one.kind for one in shapes_of(found)] == ["box"] and complete_of(found) == ["boxes"]


def test_areas_become_coarse_outlines_one_for_each_part(bring):
    content = coco([5, 5, 9, 9])
    rings = [[5, 5, 14, 5, 14, 14], [20, 20, 29, 20, 29, 29]]
    content["annotations"][0]["segmentation"] = rings
    found = bring(content, replace(KNOWN, areas_as="outlines", complete=("outlines",)))
    shapes = shapes_of(found)
    assert [one.kind for one in shapes] == ["outline", "outline"]
    assert [one.geometry for one in shapes] == [
        [list(pair) for pair in zip(ring[::2], ring[1::2], strict=True)] for ring in rings
    ]
    assert complete_of(found) == ["outlines"]


@pytest.mark.parametrize("kind", ["points", "scribbles", "boxes", "outlines"])
@pytest.mark.parametrize("more", [0, 1, 12])
@pytest.mark.parametrize("flag", [None, (), "own"])
def test_marks_of_areas_are_a_complete_list_where_each_part_has_one(
    kind, more, flag, pictures, tmp_path
):
    """more: pixels of the sides of a second part, which may be but a speck."""
    boxes = [2.0, 2.0, 20.0, 20.0], [25.0, 25.0, 25.0 + more, 25.0 + more]
    area = Shape("polygon", "cat", [[corners(box)] for box in boxes[: 1 + bool(more)]])
    record = PictureRecord("a.png", SIZE, (area,), ("full",))
    FORMATS["weakseg"].write([record], tmp_path / "a.json", CLASSES, Dropped())
    wishes = replace(KNOWN, areas_as=kind, complete=(kind,) if flag == "own" else flag)
    found = read_labels(tmp_path / "a.json", pictures, wishes)
    lacks = kind in ("points", "scribbles") and more == 12 and flag != "own"
    assert complete_of(found) == ([] if lacks else [kind])
    assert (PARTS in "".join(found.dropped.lines())) == lacks


def test_a_crowd_leaves_no_list_of_boxes_complete(bring):
    content = coco([5, 5, 9, 9], [20, 20, 9, 9])
    content["annotations"][0]["iscrowd"] = 1
    found = bring(content)
    assert len(shapes_of(found)) == 1 and not complete_of(found)
    assert found.dropped.lines()[0].startswith("1 changed, a crowd, or marked 'ignore'")
    ring = [20, 20, 29, 20, 29, 29]
    content["annotations"][0]["segmentation"] = [ring]
    assert complete_of(bring(content)) == ["boxes", "full"]  # its pixels are of no class
    assert not complete_of(bring(content, replace(KNOWN, areas_as="boxes")))


# ---- names of classes


@pytest.mark.parametrize(
    "name, other",
    [("Cat", "cat"), ("big  cat", "big cat"), ("m\u00b2", "m2"), ("a_b", "a b"), ("a", "a\u200b")],
)
def test_classes_that_look_like_one_are_refused_until_a_map_joins_them(
    name, other, pictures, tmp_path
):
    rows = f"image,kind,class,x,y\na.png,click,{other},3,3\nb.png,click,{name},9,9\n"
    (tmp_path / "a.csv").write_text(rows)
    words = ["import", tmp_path / "a.csv", "--images", pictures.folder, "--output", tmp_path / "s"]
    with pytest.raises(UserError, match="look like one; give them one name with --map") as error:
        run(labels, *words)
    assert not (tmp_path / "s").exists()
    flag = str(error.value).split("--map '")[1].split("'")[0]
    run(labels, *words, "--map", flag)
    with opened_store(tmp_path / "s") as store:
        assert store.classes().names == ("background", other)


@pytest.mark.parametrize("name", ["Background", "background", "_background_"])
def test_the_background_has_one_name(name, pictures, tmp_path, capsys):
    rows = f"image,kind,class,x,y\na.png,click,cat,3,3\nb.png,click,{name},9,9\n"
    (tmp_path / "a.csv").write_text(rows)
    words = ["import", tmp_path / "a.csv", "--images", pictures.folder, "--output", tmp_path / "s"]
    if name == "Background":
        with pytest.raises(UserError, match="--map 'Background=background'"):
            run(labels, *words)
        return
    run(labels, *words)
    with opened_store(tmp_path / "s") as store:
        assert store.classes().names == ("background", "cat")
    assert "is the background" not in capsys.readouterr().out
    with pytest.raises(UserError, match=f"--classes cat {name}: {name} must stand first"):
        run(labels, *words, "--classes", "cat", name)
    run(labels, *words, "--classes", "cat", "dog")
    assert "cat is the background, since --classes names it first" in capsys.readouterr().out


def test_labels_of_no_size_are_not_taken_over_again_once_photographs_are_larger(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "a.csv").write_text("image,kind,class,x,y\na.png,click,cat,30,20")
    photograph = Image.new("RGB", (40, 30))
    photograph.save(tmp_path / "images/a.png")
    words = ["import", tmp_path / "a.csv", "--images", tmp_path / "images"]
    words += ["--output", tmp_path / "store"]
    run(labels, *words)
    photograph.resize((80, 60)).save(tmp_path / "images/a.png")
    with pytest.raises(UserError, match="a: weakseg a repeats the places of the photograph"):
        run(labels, *words)
    (tmp_path / "a.csv").write_text("image,kind,class,x,y\na.png,click,cat,60,40")
    run(labels, *words)
    with opened_store(tmp_path / "store") as store:
        assert [one.size for one in store.given()["a"].values()] == [(80, 60)]
