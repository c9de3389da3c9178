"""Traps of formats: each file is written here as the format's documentation has it."""

import base64
import io
import json
import zipfile
import zlib

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from weakseg.common import UserError
from weakseg.labels.formats.coco import rings_in
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.geometry import area_pixels, box_of
from weakseg.labels.formats.masks import Meaning
from weakseg.labels.formats.painting import painted
from weakseg.labels.formats.records import IGNORED, Classes, Dropped, Unreadable
from weakseg.labels.formats.runs import mask_pixels
from weakseg.labels.formats.table import FORMATS, reader, recognise

MEANING = Meaning(Classes(("background", "cat", "dog")))


def read(path):
    """Return ({name: record}, dropped) of an export, whose format is recognised."""
    files, dropped = Files(path), Dropped()
    records = list(reader(recognise(files), MEANING)(files, dropped))
    return {record.name: record for record in records}, dropped


def only(path):
    """Return (the shapes of the only picture, dropped)."""
    records, dropped = read(path)
    (record,) = records.values()
    return record.shapes, dropped


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def reasons(dropped):
    return sorted(reason for _, reason in dropped.counts)


# ---- CVAT


def cvat(shapes, name="a.jpg", meta="<task><id>7</id></task>", more=""):
    return (
        f'<?xml version="1.0"?><annotations><version>1.1</version><meta>{meta}</meta>'
        f'<image id="0" name="{name}" width="200" height="100" {more}>{shapes}</image>'
        "</annotations>"
    )


def test_cvat_turns_a_box_about_its_centre(tmp_path):
    box = '<box label="cat" xtl="80" ytl="40" xbr="120" ybr="60" rotation="90.0"/>'
    (shape,), dropped = only(put(tmp_path / "a.xml", cvat(box)))
    assert np.allclose(shape.geometry, [90, 30, 110, 70])
    assert reasons(dropped) == ["turned boxes, taken as the box around them"] and not dropped.lost


def test_cvat_masks_run_row_by_row_from_their_own_corner(tmp_path):
    mask = '<mask label="cat" rle="1, 2, 3" left="10" top="20" width="3" height="2"/>'
    (shape,), _ = only(put(tmp_path / "a.xml", cvat(mask)))
    pixels, left, top = mask_pixels(shape.geometry)
    assert pixels.tolist() == [[False, True, True], [False] * 3] and (left, top) == (10, 20)


@pytest.mark.parametrize("name", ["Species", "ignore", "Ignore", "a b"])
@pytest.mark.parametrize("values", [("cat", "dog"), ("cat", "cat"), ("", "dog"), ("cat", None)])
def test_attributes_of_cvat_that_differ_are_told(tmp_path, name, values):
    """A label may be 'animal', and an attribute say which; what is the same everywhere may not."""
    shapes = [
        '<points label="cat" points="1,2">'
        + ("" if value is None else f'<attribute name="{name}">{value}</attribute>')
        + "</points>"
        for value in values
    ]
    _, dropped = only(put(tmp_path / "a.xml", cvat("".join(shapes))))
    is_told = name.casefold() != "ignore" and None not in values and len({*values}) > 1
    line = f"attributes, which are left out: {name} in 2 shapes, the first of a.jpg; "
    assert [one.startswith(line) for one in dropped.told] == [True] * is_told


def test_cvat_has_many_clicks_in_one_element_and_layers(tmp_path):
    shapes = (
        '<polyline label="cat" points="1,1;5,5" z_order="1"/>'
        '<points label="dog" points="1.50,2.00;3.00,4.00" z_order="0"/>'
        '<tag label="cat"/><ellipse label="cat" cx="50" cy="50" rx="10" ry="5" z_order="2"/>'
        '<cuboid label="cat" xtl1="1"/><polygon label="cat" points="1,1;2,2" z_order="3"/>'
        '<box label="cat" xtl="x" ytl="1" xbr="2" ybr="3"/><box xtl="1" ytl="1" xbr="2" ybr="3"/>'
    )
    found, dropped = only(put(tmp_path / "a.xml", cvat(shapes)))
    assert [one.kind for one in found] == ["click", "click", "tag", "stroke", "polygon"]
    assert dropped.lost == 4 and "a cuboid, which is no label here" in reasons(dropped)


@pytest.mark.parametrize("below, above", [(0, 1), (1, 0), (0, 0)])
def test_cvat_has_larger_areas_over_smaller_ones_where_layers_say_so(tmp_path, below, above):
    """What an export shows is what comes in again, whatever the shapes' order."""
    shapes = (
        f'<polygon label="dog" points="0,0;40,0;40,10;0,10" z_order="{below}"/>'
        f'<polygon label="cat" points="20,0;80,0;80,90;20,90" z_order="{above}"/>'
    )
    records, dropped = read(put(tmp_path / "a.xml", cvat(shapes)))
    is_hidden = above > below
    names = MEANING.classes.names
    masks = [painted(records["a.jpg"].shapes, (200, 100), names, 0)]
    assert masks[0][5].tolist() == [2] * 20 + [1 if is_hidden else 2] * 20 + [1] * 40 + [0] * 120
    assert dropped.lost == 0 and bool(dropped.counts) == is_hidden
    FORMATS["cvat"].write([*records.values()], tmp_path / "b.xml", MEANING.classes, Dropped())
    masks.append(painted(read(tmp_path / "b.xml")[0]["a.jpg"].shapes, (200, 100), names, 0))
    assert (masks[0] == masks[1]).all()


def test_cvat_names_the_task_of_a_picture_in_a_projects_export_too(tmp_path):
    of_task, _ = read(put(tmp_path / "a.xml", cvat("")))
    path = put(
        tmp_path / "b.xml", cvat("", meta="<project><id>3</id></project>", more='task_id="7"')
    )
    of_project, _ = read(path)
    assert of_task["a.jpg"].project == of_project["a.jpg"].project == "task 7"
    assert of_task["a.jpg"].complete is None  # nobody may have opened it


def test_cvat_for_video_is_told_apart(tmp_path):
    path = put(tmp_path / "a.xml", "<annotations><track id='0'/></annotations>")
    with pytest.raises(UserError, match="export the task as 'CVAT for images'"):
        read(path)


# A box of 100 x 40 pixels at (150, 130) that was turned in CVAT, as each format of its says so.
TURNED = {
    "a.xml": "<annotations><image name='a.jpg' width='400' height='300'><box label='cat' xtl='150' "
    "ytl='130' xbr='250' ybr='170' rotation='{turn}'/></image></annotations>",
    "a.json": '{{"images": [{{"id": 1, "file_name": "a.jpg", "width": 400, "height": 300}}], '
    '"categories": [{{"id": 1, "name": "cat"}}], "annotations": [{{"id": 1, "image_id": 1, '
    '"category_id": 1, "bbox": [150, 130, 100, 40], "attributes": {{"rotation": {turn}}}}}]}}',
    "voc/a.xml": "<annotation><filename>a.jpg</filename><object><name>cat</name><bndbox><xmin>151"
    "</xmin><ymin>131</ymin><xmax>250</xmax><ymax>170</ymax></bndbox><attributes><attribute><name>"
    "rotation</name><value>{turn}</value></attribute></attributes></object></annotation>",
}


@pytest.mark.parametrize("turn, box", [(0.0, [150, 130, 250, 170]), (90.0, [180, 100, 220, 200])])
@pytest.mark.parametrize("name", TURNED)
def test_cvat_turns_a_box_about_its_centre_in_each_of_its_formats(tmp_path, name, turn, box):
    (shape,), dropped = only(put(tmp_path / name, TURNED[name].format(turn=turn)))
    assert np.allclose(shape.geometry, box)
    assert ("taken as the box around them" in "".join(reasons(dropped))) == bool(turn)


TURNED_OTHERWISE = {
    "a.xml": "<annotation><filename>a.jpg</filename><object><name>cat</name><type>robndbox</type>"
    "<robndbox><cx>200</cx><cy>150</cy><w>100</w><h>40</h><angle>1.5707963</angle></robndbox>"
    "</object></annotation>",
    "a.json": '{"imagePath": "a.jpg", "shapes": [{"label": "cat", "shape_type": "rotation", '
    '"points": [[180, 100], [220, 100], [220, 200], [180, 200]], "direction": 1.57}]}',
}


@pytest.mark.parametrize("name", TURNED_OTHERWISE)
def test_turned_boxes_of_other_tools_are_taken_as_those_around_them(tmp_path, name):
    (shape,), dropped = only(put(tmp_path / name, TURNED_OTHERWISE[name]))
    assert shape.kind == "box" and np.allclose(shape.geometry, [180, 100, 220, 200], atol=1e-4)
    assert reasons(dropped) == ["turned boxes, taken as the box around them"] and not dropped.lost


@pytest.mark.parametrize("name", ["a.json", "voc/a.xml"])
def test_an_attribute_of_a_persons_own_turns_no_box(tmp_path, name):
    word = '"left"' if name.endswith("json") else "left"
    (shape,), dropped = only(put(tmp_path / name, TURNED[name].format(turn=word)))
    assert np.allclose(shape.geometry, [150, 130, 250, 170]) and not reasons(dropped)


# ---- Label Studio


def task(*results, **more):
    sizes = {"original_width": 200, "original_height": 100, "image_rotation": 0}
    annotation = {"id": 1, "result": [sizes | one for one in results], "lead_time": 12.5}
    return {
        "id": 1,
        "project": 3,
        "data": {"image": "/data/upload/3/0a1b2c3d-a.jpg"},
        "annotations": [annotation | more],
    }


def rectangle(**value):
    value = {"x": 10, "y": 20, "width": 20, "height": 20, "rectanglelabels": ["cat"]} | value
    return {"type": "rectanglelabels", "value": value}


def test_label_studio_turns_a_box_about_its_corner_in_pixels(tmp_path):
    (shape,), _ = only(put(tmp_path / "a.json", [task(rectangle(rotation=90))]))
    # 40 x 20 pixels at (20, 20): turned clockwise about the corner it lies to the left of it.
    assert np.allclose(shape.geometry, [0, 20, 20, 60])


def test_label_studio_takes_the_latest_annotation_that_was_not_cancelled(tmp_path):
    one = task(rectangle())
    one["annotations"] += [
        {"result": [], "was_cancelled": True, "updated_at": "2026-03-01"},
        {
            "result": one["annotations"][0]["result"] * 2,
            "updated_at": "2026-02-01",
            "completed_by": {"email": "ann"},
            "lead_time": 3,
        },
    ]
    records, dropped = read(put(tmp_path / "a.json", [one]))
    (record,) = records.values()
    assert len(record.shapes) == 2 and (record.annotator, record.seconds) == ("ann", 3)
    assert record.project == "project 3" and len(reasons(dropped)) == 2
    assert not dropped.hidden  # the one that holds shows the whole picture


def test_label_studio_that_was_only_cancelled_hides_what_is_there(tmp_path):
    records, dropped = read(put(tmp_path / "a.json", [task(was_cancelled=True)]))
    assert dropped.hidden == records.keys()


def test_label_studio_has_notes_that_hide_no_object(tmp_path):
    place = {"x": 10, "y": 20, "width": 20, "height": 20}
    results = [
        rectangle() | {"id": "z"},
        {"type": "choices", "id": "z", "value": place | {"choices": ["blurred"]}},
        {"type": "textarea", "id": "z", "value": place | {"text": ["hello"]}},
        {"type": "rating", "id": "y", "value": {"rating": 4}},
    ]
    records, dropped = read(put(tmp_path / "a.json", [task(*results)]))
    (record,) = records.values()
    assert [one.kind for one in record.shapes] == ["box"]
    assert dropped.lost == 3 and not dropped.hidden


def test_label_studio_in_its_small_form_is_told_how_to_export(tmp_path):
    path = put(tmp_path / "a.json", [{"id": 1, "annotation_id": 2, "image": "a.jpg", "label": []}])
    with pytest.raises(UserError, match="export the project as 'JSON'"):
        read(path)


def test_label_studio_with_several_pictures_in_a_task_has_labels_of_one(tmp_path):
    """Each region says which tag of the project's layout it lies on, and no picture's name."""
    first, other = (rectangle() | {"to_name": name} for name in ("left", "right"))
    both = {"left": "a.jpg", "right": "b.jpg"}
    for results, data, name in [
        ([first, other], both, None),
        ([other], both, "b.jpg"),
        ([other], {"overlay": "b.jpg", "image": "a.jpg"}, "a.jpg"),
        ([other], {"one": "b.jpg", "two": "a.jpg"}, None),
        ([other], {"one": "a.jpg", "two": "a.jpg"}, "a.jpg"),
        ([first | {"item_index": 0}], {"image": "a.jpg"}, "a.jpg"),
        ([first | {"item_index": 1}], {"image": "a.jpg"}, None),
    ]:
        records, dropped = read(put(tmp_path / "a.json", [task(*results) | {"data": data}]))
        assert [*records] == ([name] if name else []) and dropped.lost == (name is None)


def test_label_studio_with_a_rejected_annotation_is_told(tmp_path):
    for reviews, told in [([], 0), ([False], 1), ([False, True], 0), ([True, False], 1)]:
        one = task(rectangle(), reviews=[{"accepted": word} for word in reviews])
        shapes, dropped = only(put(tmp_path / "a.json", [one]))
        assert len(shapes) == 1 and sum(dropped.counts.values()) == told


def test_label_studio_without_an_annotation_is_not_looked_at(tmp_path):
    one = task() | {"annotations": [], "predictions": [{"result": [rectangle()]}]}
    (record,) = read(put(tmp_path / "a.json", [one]))[0].values()
    assert record.shapes == () and record.seconds is None


def test_label_studio_that_lost_a_region_has_no_complete_list(tmp_path):
    records, dropped = read(put(tmp_path / "a.json", [task(rectangle(rectanglelabels=[]))]))
    assert dropped.hidden == records.keys() and dropped.lost == 1


def test_label_studio_has_further_kinds(tmp_path):
    results = [
        {"type": "keypointlabels", "value": {"x": 50, "y": 50, "keypointlabels": ["dog"]}},
        {"type": "choices", "value": {"choices": ["cat", "dog"]}},
        {"type": "rectangle", "id": "z", "value": {"x": 0, "y": 0, "width": 10, "height": 10}},
        {"type": "labels", "id": "z", "value": {"x": 0, "y": 0, "labels": ["cat"]}},
        {"type": "textarea", "value": {"text": ["hello"]}},
        {**rectangle(), "image_rotation": 90},
    ]
    shapes, dropped = only(put(tmp_path / "a.json", [task(*results)]))
    assert [(one.kind, one.label) for one in shapes] == [
        ("click", "dog"),
        ("tag", "cat"),
        ("tag", "dog"),
        ("box", "cat"),
    ]
    assert shapes[0].geometry == [100, 50] and dropped.lost == 2


# ---- LabelMe


def labelme(*shapes, **more):
    return {
        "version": "5.4.1",
        "flags": {},
        "shapes": list(shapes),
        "imageData": None,
        "imagePath": "a.jpg",
        "imageWidth": 200,
        "imageHeight": 100,
    } | more


def drawn(kind, points, label="cat", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None} | more


def test_labelme_has_corners_in_any_order_and_groups_and_flags(tmp_path):
    content = labelme(
        drawn("rectangle", [[50, 40], [10, 20]]),
        drawn("polygon", [[0, 0], [9, 0], [9, 9]], group_id=4),
        drawn("polygon", [[20, 0], [29, 0], [29, 9]], group_id=4),
        drawn("polygon", [[20, 0], [29, 0], [29, 9]], group_id=4, label="dog"),
        drawn("circle", [[50, 50], [60, 50]]),
        drawn("polygon", [[1, 1], [2, 2], [3, 3]]),
        flags={"cat": True, "dog": False},
    )
    shapes, dropped = only(put(tmp_path / "a.json", content))
    assert [one.kind for one in shapes] == ["box", "polygon", "polygon", "polygon", "tag"]
    assert shapes[0].geometry == [50, 40, 10, 20] and len(shapes[1].geometry) == 2
    area = area_pixels(shapes[3], (200, 100)).sum()
    assert abs(area - np.pi * 100) < 5
    assert reasons(dropped) == ["a polygon without an area"] and not dropped.hidden


@pytest.mark.parametrize("length", [8, 12])
@pytest.mark.parametrize("form", ["labelme", "coco", "csv", "yolo"])
def test_a_line_hides_an_object_in_every_format_unless_it_is_a_slip(form, length, tmp_path):
    places = [[20.5, 10.5], [20.5 + length / 2, 10.5], [20.5 + length, 10.5]]
    flat = [value for place in places for value in place]
    if form == "labelme":
        path = put(tmp_path / "a.json", labelme(drawn("polygon", places)))
    elif form == "coco":
        path = put(tmp_path / "a.json", coco({"segmentation": [flat]}))
    elif form == "csv":
        row = ",".join(map(str, flat))
        path = put(tmp_path / "a.csv", f"image,kind,class,x,y\na.jpg,polygon,cat,{row}")
    else:
        (tmp_path / "y").mkdir()
        put(tmp_path / "y/data.yaml", "names: [cat]")
        row = " ".join(f"{value / 512}" for value in [*flat, *flat[2:4]])
        path = put(tmp_path / "y/a.txt", f"0 {row}\n").parent
    shapes, dropped = only(path)
    assert not shapes and reasons(dropped) == ["a polygon without an area"]
    assert bool(dropped.hidden) == (length > 10)


def test_labelme_groups_have_no_holes_which_is_told(tmp_path):
    rings = {"around": [[0, 0], [30, 0], [30, 30]], "within": [[20, 5], [25, 5], [25, 10]]}
    rings["beside"] = [[50, 0], [59, 0], [59, 9]]
    for number, (names, group, told) in enumerate(
        [
            (("around", "within"), 4, 1),
            (("within", "beside", "around"), 4, 1),
            (("around", "beside"), 4, 0),
            (("around", "within"), None, 0),
        ]
    ):
        shapes = [drawn("polygon", rings[name], group_id=group) for name in names]
        _, dropped = only(put(tmp_path / f"{number}/a.json", labelme(*shapes)))
        assert sum("makes no hole" in why for why in reasons(dropped)) == told


def test_labelme_has_scores_of_a_model(tmp_path):
    shape = {"label": "cat", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}
    shapes = [shape | more for more in ({}, {"score": None}, {"score": 0.5}, {"score": ""})]
    content = {"shapes": shapes, "imagePath": "a.jpg", "imageWidth": 20, "imageHeight": 20}
    drawn, _ = only(put(tmp_path / "a.json", content))
    assert [one.score for one in drawn] == [None, None, 0.5, None]


def test_labelme_masks_have_inclusive_corners(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 255], [255, 255]], np.uint8)).save(buffer, "PNG")
    mask = base64.b64encode(buffer.getvalue()).decode()
    content = labelme(
        drawn("mask", [[5, 6], [6, 7]], mask=mask), drawn("mask", [[5, 6], [6, 7]], mask="AAAA")
    )
    (shape,), dropped = only(put(tmp_path / "a.json", content))
    assert area_pixels(shape, (20, 20)).sum() == 3 and area_pixels(shape, (20, 20))[7, 5]
    assert dropped.lost == 1


def test_labelme_ignores_what_its_list_calls_so(tmp_path):
    (shape,), _ = only(put(tmp_path / "a.json", labelme(drawn("point", [[1, 1]], "__ignore__"))))
    assert shape.label is None


# ---- COCO


COMPRESSED = ";280Y5"  # of the runs 11, 2, 8, 2, 177


def coco(*annotations, **more):
    return {
        "images": [{"id": 0, "file_name": "a.jpg", "width": 20, "height": 10}],
        "categories": [{"id": 0, "name": "cat"}, {"id": 90, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": 0, "category_id": 0} | one for i, one in enumerate(annotations)
        ],
    } | more


@given(st.sampled_from([str, float]), st.sampled_from(["image_id", "category_id", "id"]))
def test_an_id_of_coco_is_a_number_or_its_text(tmp_path_factory, kind, key):
    content = coco({"bbox": [1, 2, 3, 4]}, {"bbox": [1, 2, 3, 4], "category_id": 90})
    tables = ["images", "categories"] if key == "id" else ["annotations"]
    for one in (one for table in tables for one in content[table]):
        one[key] = kind(one[key])
    shapes, dropped = only(put(tmp_path_factory.mktemp("ids") / "a.json", content))
    assert [one.label for one in shapes] == ["cat", "dog"] and not dropped.counts


@pytest.mark.parametrize("told", [{"annotation_id": 3}, {"lead_time": 1.5}, {"annotator": 1}])
def test_label_studios_short_json_is_named(tmp_path, told):
    content = [{"image": "a.jpg", "id": 1, "label": [{"x": 1}], **told}]
    with pytest.raises(UserError, match="is 'JSON-MIN'; export the project as 'JSON'"):
        read(put(tmp_path / "a.json", content))


def test_coco_has_category_0_and_gaps_and_both_kinds_of_runs(tmp_path):
    square = np.zeros((10, 20), bool)
    square[1:3, 1:3] = True
    content = coco(
        {"segmentation": {"size": [10, 20], "counts": [11, 2, 8, 2, 177]}},
        {"segmentation": {"size": [10, 20], "counts": COMPRESSED}, "category_id": 90},
        {"segmentation": {"size": [20, 10], "counts": [11, 2, 8, 2, 177]}},
        {"segmentation": [[0, 0, 4, 0, 4, 4], [6, 0, 9, 0, 9, 4]], "iscrowd": 0},
        {"segmentation": {"size": [10, 20], "counts": [0, 200]}, "iscrowd": 1},
        {"bbox": [1, 2, 3, 4]},
        {"bbox": [1, 2, 0, 4]},
        {"bbox": [1, 2, 3, 4], "category_id": 7},
        {"segmentation": {"size": [10, 20], "counts": [1, 2]}},
        {"keypoints": [3, 4, 2, 0, 0, 0], "num_keypoints": 1},
    )
    shapes, dropped = only(put(tmp_path / "a.json", content))
    kinds = [(one.kind, one.label) for one in shapes]
    assert kinds == [
        ("mask", "cat"),
        ("mask", "dog"),
        ("polygon", "cat"),
        ("mask", None),
        ("box", "cat"),
        ("click", "cat"),
    ]
    assert all((area_pixels(shapes[i], (20, 10)) == square).all() for i in (0, 1))
    assert len(shapes[2].geometry) == 2  # one object of two parts
    assert shapes[5].geometry == [3.5, 4.5] and dropped.lost == 4
    assert "runs of a picture of another size than its own" in reasons(dropped)


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), min_size=3, max_size=9))
def test_coco_of_one_ring_or_of_places_is_read_as_what_it_can_only_mean(ring):
    places, flat = [[*place] for place in ring], [v for place in ring for v in place]
    for outline in ([flat], [places], places, flat):
        assert rings_in(outline) == [places]
    assert rings_in([flat, flat[::-1]]) == [places, [place[::-1] for place in places[::-1]]]
    with pytest.raises(Unreadable):
        rings_in(flat[1:])


def test_coco_with_an_object_that_only_its_box_shows_hides_it(tmp_path):
    line = {"segmentation": [[1, 1, 9, 1]], "bbox": [1, 1, 8, 5]}
    shapes, dropped = only(put(tmp_path / "a.json", coco(line)))
    assert not shapes and dropped.hidden == {"a.jpg"}
    _, dropped = only(put(tmp_path / "a.json", coco(line | {"bbox": [1, 1, 8, 0]})))
    assert not dropped.hidden and dropped.lost == 1


def test_coco_panoptic_is_told_apart(tmp_path):
    told = {"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 5, "category_id": 1}]}
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [told], "categories": []}
    with pytest.raises(UserError, match=r"is 'COCO panoptic'.*; export 'COCO instances'"):
        read(put(tmp_path / "a.json", content))


def test_coco_whose_runs_alone_state_a_size_is_of_that_size(tmp_path):
    runs = {"size": [20, 30], "counts": [0, 600]}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": runs}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    records, _ = read(put(tmp_path / "a.json", content))
    assert records["a.jpg"].size == (30, 20)
    content["annotations"].append({**content["annotations"][0], "segmentation": {"size": [9, 9]}})
    assert read(put(tmp_path / "a.json", content))[1].lost == 1


@pytest.mark.parametrize(
    "box, differs",
    [([1, 1, 8, 8], False), ([2, 2, 7, 7], False), ([10, 1, 8, 8], True), ([], False)],
)
def test_coco_with_boxes_elsewhere_than_outlines_is_counted(tmp_path, box, differs):
    """As it is where outlines were scaled and boxes were forgotten."""
    outline = {"segmentation": [[1, 1, 9, 1, 9, 9, 1, 9]], "bbox": box}
    (shape,), dropped = only(put(tmp_path / "a.json", coco(outline)))
    assert shape.kind == "polygon"
    assert reasons(dropped) == (
        ["outlines that lie elsewhere than their boxes, of which the outlines are taken"] * differs
    )


@pytest.mark.parametrize(
    "key, second",
    [
        ("categories", {"name": "dog"}),
        ("images", {"file_name": "b.jpg"}),
        ("images", {"width": 300}),
    ],
)
def test_coco_with_an_id_of_two_things_is_refused(tmp_path, key, second):
    content = coco({"bbox": [1, 2, 3, 4]})
    content[key] = [content[key][0], dict(content[key][0])]
    assert len(only(put(tmp_path / "a.json", content))[0]) == 1
    content[key][1] |= second
    with pytest.raises(UserError, match=rf"its {key} .* and .* have one id, 0; give each its own"):
        read(put(tmp_path / "a.json", content))


NUMBERINGS = {  # of the annotations of two files that were put together
    "kept": lambda one: one["place"],
    "of each image": lambda one: one["nth"],
    "none": lambda one: None,
    "equal": lambda one: 0,
    "of images": lambda one: one["image_id"],
    "of categories": lambda one: one["category_id"],
    "new": lambda one: one["place"] + 1000 * one["of"],
}


@pytest.mark.parametrize("numbering", NUMBERINGS)
@pytest.mark.parametrize("shift", [0, 3])
def test_coco_of_files_put_together_without_new_numbers_is_told(numbering, shift, tmp_path):
    """shift: by how much the second file's images were numbered anew; its annotations by none."""
    annotations = [
        {"bbox": [8 * nth, 20 * of, 5, 5], "category_id": nth % 2, "image_id": image + of * shift}
        | {"place": 3 * image + nth, "nth": nth, "of": of}
        for of in range(2)
        for image in range(3)
        for nth in range(2 + image % 2)
    ]
    annotations = [one | {"id": NUMBERINGS[numbering](one)} for one in annotations]
    content = coco(*annotations)
    content["images"] = [
        content["images"][0] | {"id": k, "file_name": f"{k}.jpg"} for k in range(6)
    ]
    content["categories"] = [{"id": k, "name": f"c{k}"} for k in range(2)]
    _, dropped = read(put(tmp_path / "a.json", content))
    is_told = not shift and numbering in ("kept", "of each image")
    told = "annotations of 3 images have ids that others of the file have, the first of 0.jpg;"
    assert [told in line for line in dropped.told] == [True] * is_told
    content["images"][5]["file_name"] = "1.jpg"
    _, dropped = read(put(tmp_path / "a.json", content))
    assert "1 images are listed under several ids, the first 1.jpg;" in dropped.told[0]


@pytest.mark.parametrize("listed", [(1, 2, 3), (0, 1, 2), (7, 8, 90)])
@pytest.mark.parametrize("by", [-1, 0, 1])
@pytest.mark.parametrize("kind", [int, str])
def test_coco_whose_annotations_count_from_another_number_is_refused(tmp_path, listed, by, kind):
    used = [key + by for key in listed if key + by >= 0]
    content = coco(*({"bbox": [1, 2, 3, 4], "category_id": kind(key)} for key in used))
    content["categories"] = [{"id": key, "name": f"c{key}"} for key in listed]
    path = put(tmp_path / "a.json", content)
    if {*used} - {*listed}:
        with pytest.raises(UserError, match="each class may be taken for the next; count"):
            read(path)
    else:
        assert only(path)


def test_coco_with_a_few_annotations_of_no_category_is_no_shift(tmp_path):
    keys = [0, *[1, 2] * 5]
    content = coco(*({"bbox": [1, 2, 3, 4], "category_id": key} for key in keys))
    content["categories"] = [{"id": key, "name": f"c{key}"} for key in (1, 2, 3)]
    assert len(only(put(tmp_path / "a.json", content))[0]) == 10


def test_coco_without_its_tables_is_one_line(tmp_path):
    path = put(tmp_path / "a.json", coco() | {"images": [{"file_name": "a.jpg"}]})
    with pytest.raises(UserError, match="not of COCO's form"):
        read(path)


@given(marks=st.lists(st.integers(0, 2), min_size=1, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_keypoints_that_something_hides_are_no_clicks(tmp_path, marks):
    """Their pixels show what hides them. A tool that never writes 2 marks what it placed by 1."""
    flat = [value for i, mark in enumerate(marks) for value in (i + 1, 3, mark)]
    shares = " ".join(f"{x / 20} {y / 10} {v}" for x, y, v in zip(*[iter(flat)] * 3, strict=True))
    box = {"bbox": [1, 2, 10, 6]}
    coco_file = put(tmp_path / "a.json", coco({"keypoints": flat}, {"keypoints": flat, **box}))
    put(tmp_path / "y/data.yaml", f"names: [cat]\nkpt_shape: [{len(marks)}, 3]\n")
    put(tmp_path / "y/a.txt", f"0 .5 .5 .3 .4 {shares}\n")
    least = 2 if 2 in marks else 1
    seen, hidden = (
        [i for i, v in enumerate(marks) if test(v)]
        for test in (lambda v: v >= least, lambda v: 0 < v < least)
    )
    for path, alone, shift in ((coco_file, 1, 0.5), (tmp_path / "y", 0, 0)):
        shapes, dropped = only(path)
        clicks = [one for one in shapes if one.kind == "click"]
        width = 1 if alone else 20
        places = [i + 1 + shift for i in seen] * (1 + alone)
        assert np.allclose([one.geometry[0] * width for one in clicks], places)
        lost = len(hidden) * (1 + alone) + alone * (not seen)
        assert dropped.lost == lost and sum(one.kind == "box" for one in shapes) == 1


# ---- Pascal VOC, YOLO, Supervisely


def test_voc_counts_from_1_with_both_corners_inside(tmp_path):
    content = (
        "<annotation><filename>a.jpg</filename><size><width>0</width><height>0</height></size>"
        "<object><name> cat </name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>1</ymin>"
        "<xmax>10</xmax><ymax>5</ymax></bndbox></object><object><name>cat</name></object></annotation>"
    )
    records, dropped = read(put(tmp_path / "a.xml", content))
    record = records["a.jpg"]
    assert record.size is None and record.shapes[0].geometry == [0, 0, 10, 5]
    assert record.shapes[0].label == "cat" and dropped.lost == 1


def test_the_first_labelme_and_cvats_have_polygons_and_boxes(tmp_path):
    ring = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in [(2, 1), (12, 1), (12, 6), (2, 6)])
    objects = (
        f"<object><name>cat</name><deleted>0</deleted><polygon>{ring}</polygon></object>"
        f"<object><name>cat</name><deleted>1</deleted><polygon>{ring}</polygon></object>"
        f"<object><name>dog</name><type>bounding_box</type><polygon>{ring}</polygon></object>"
        "<object><name>dog</name><segm><mask>a_1.png</mask></segm></object>"
        "<object><name>dog</name><polygon><pt><x>1</x></pt></polygon></object>"
    )
    size = "<imagesize><nrows>10</nrows><ncols>20</ncols></imagesize>"
    content = f"<annotation><filename>a.jpg</filename>{objects}{size}</annotation>"
    records, dropped = read(put(tmp_path / "a.xml", content))
    record = records["a.jpg"]
    assert record.size == (20, 10) and dropped.lost == 2 and dropped.hidden == {"a.jpg"}
    assert [(one.kind, one.label) for one in record.shapes] == [("polygon", "cat"), ("box", "dog")]
    assert area_pixels(record.shapes[0], (20, 10)).sum() == 50
    assert record.shapes[1].geometry == [2, 1, 12, 6]


@pytest.mark.parametrize("ignored", [{"iscrowd": 1}, {"ignore": 1}])
def test_coco_fills_what_no_area_shows_to_be_a_hole(tmp_path, ignored):
    outer, inner = [2, 2, 12, 2, 12, 12, 2, 12], [4, 4, 8, 4, 8, 8, 4, 8]
    told = "outlines within another one of their object, which COCO fills"
    for area, pixels in ((84, 84), (100, 100), (None, 100)):
        one = {"segmentation": [outer, inner], "area": area, "category_id": 1, "image_id": 1}
        image = {"id": 1, "file_name": "a.jpg", "width": 20, "height": 20}
        content = {"images": [image], "categories": [{"id": 1, "name": "cat"}]}
        content["annotations"] = [one, one | ignored]
        shapes, dropped = only(put(tmp_path / "a.json", content))
        assert area_pixels(shapes[0], (20, 20)).sum() == pixels
        assert [shape.label for shape in shapes] == ["cat", None]
        assert any(told in line for line in dropped.lines()) == (pixels == 100)


@pytest.mark.parametrize("order", [(2, 3, 9, 7), (9, 7, 2, 3), (2, 7, 9, 3)])
def test_voc_has_corners_in_any_order_and_none_in_shares(tmp_path, order):
    content = (
        "<annotation><filename>a.jpg</filename><object><name>cat</name><bndbox><xmin>{}</xmin>"
        "<ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object></annotation>"
    )
    (shape,), _ = only(put(tmp_path / "a.xml", content.format(*order)))
    assert box_of([shape.geometry[:2], shape.geometry[2:]]) == [1, 2, 9, 7]
    (shape,), _ = only(put(tmp_path / "a.xml", content.format(1, 1, 1, 1)))  # the first pixel
    shapes, dropped = only(put(tmp_path / "a.xml", content.format(0.1, 0.1, 0.9, 0.9)))
    assert shape.geometry == [0, 0, 1, 1] and not shapes and dropped.hidden == {"a.jpg"}


def test_yolo_that_counts_classes_from_1_is_refused(tmp_path):
    put(tmp_path / "y/data.yaml", "names: [cat, dog]\n")
    put(tmp_path / "y/a.txt", "2 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n")
    with pytest.raises(UserError, match="its lines count classes from 1 to 2, but YOLO counts"):
        read(tmp_path / "y")
    put(tmp_path / "y/b.txt", "0 0.5 0.5 0.1 0.1\n")  # then 2 is a slip
    assert read(tmp_path / "y")[1].lost == 1
    put(tmp_path / "y/data.yaml", "names: {1: cat, 2: dog}\n")
    records, dropped = read(tmp_path / "y")
    assert [one.label for one in records["a"].shapes] == ["dog", "cat"] and dropped.lost == 1


@pytest.mark.parametrize(
    "line", ["0 50 40 20 10", "0 1 1 5 1 5 9", "0 .5 .5 .1 .1 .5 .5 2 .4 .4 2"]
)
def test_yolo_in_pixels_or_of_unnamed_keypoints_is_counted(tmp_path, line):
    put(tmp_path / "y/data.yaml", "names: [cat, dog]\n")
    put(tmp_path / "y/a.txt", f"{line}\n")
    shapes, dropped = only(tmp_path / "y")
    assert not shapes and reasons(dropped) == [
        "of numbers that are no shares of the picture's sides"
    ]


@given(
    tracks=st.lists(st.integers(1, 50), min_size=1, max_size=6),
    score=st.floats(0.01, 0.99),
    is_box=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_yolo_of_a_video_has_boxes_and_outlines_with_scores(tmp_path, tracks, score, is_box):
    """A line ends in how sure a model is and in the number of a track; a box is no triangle."""
    places = "0.5 0.5 0.2 0.1" if is_box else "0.1 0.1 0.9 0.2 0.5 0.7 0.3 0.6"
    put(tmp_path / "y/data.yaml", "names: [cat, dog]\n")
    put(tmp_path / "y/a.txt", "".join(f"1 {places} {score:.6f} {n}\n" for n in tracks))
    shapes, dropped = only(tmp_path / "y")
    if len(tracks) > 2 or {*tracks} != {1}:
        assert [one.kind for one in shapes] == ["box" if is_box else "polygon"] * len(tracks)
        assert {one.score for one in shapes} == {float(f"{score:.6f}")}
        assert all(len(one.geometry) == 4 for one in shapes if one.kind == "box")
    elif is_box:
        assert not shapes and dropped.hidden == {"a"}


def test_yolo_outlines_may_end_at_the_lower_edge(tmp_path):
    put(tmp_path / "y/data.yaml", "names: [cat, dog]\n")
    put(tmp_path / "y/a.txt", "1 .1 .1 .9 .1 .5 1\n0 .1 .1 .9 .1 .5 .7\n1 .1 .1 .9 .1 .5 1 .2 .9\n")
    shapes, dropped = only(tmp_path / "y")
    assert [one.kind for one in shapes] == ["polygon", "polygon"] and dropped.lost == 1


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("keypoints", [1, 2, 5])
def test_yolo_boxes_with_keypoints_are_no_outlines(tmp_path, width, keypoints):
    """Outlines of as many numbers are some, however small they are and wherever they lie."""
    random = np.random.default_rng(0)
    sizes = random.uniform(0.05, 0.5, (10, 2))
    middles = random.uniform(sizes / 2, 1 - sizes / 2)
    places = middles[:, None] + sizes[:, None] * random.uniform(-0.5, 0.5, (10, keypoints, 2))
    joints = np.concatenate([places, random.integers(0, 3, (10, keypoints, 1))], 2)[..., :width]
    angles = np.linspace(0, 6, 2 + keypoints) + random.uniform(0, 6, (10, 1))
    circles = np.stack([np.cos(angles), np.sin(angles)], -1)
    outlines = middles[:, None] + 0.2 * sizes[:, None] * circles
    put(tmp_path / "y/classes.txt", "cat\n")

    def lines(*numbers):
        rows = np.concatenate([one.reshape(10, -1) for one in numbers], 1)
        return "".join(f"0 {' '.join(map(str, row))}\n" for row in rows)

    put(tmp_path / "y/a.txt", lines(outlines))
    assert {shape.kind for shape in only(tmp_path / "y")[0]} <= {"polygon"}
    put(tmp_path / "y/a.txt", lines(middles, sizes, joints))
    if keypoints * width > 1 and (keypoints > 1 or width == 2):
        with pytest.raises(UserError, match=rf"add kpt_shape: \[{keypoints}, {width}\] to data.y"):
            read(tmp_path / "y")


@pytest.mark.parametrize(
    "names, fault",
    [
        ("cat\n\ndog\nbird\n", "classes.txt, line 2: is empty, which has no number"),
        ("cat\n# small ones\ndog\n", "classes.txt, line 2: is a comment"),
        ("0 cat\n1 dog\n", "classes.txt, line 1: '0 cat' begins with a number"),
        ("1: cat\n2: dog\n3: bird\n", "classes.txt, line 1: '1: cat' begins with a number"),
    ],
)
def test_yolo_has_a_list_that_counts_as_its_lines_do(tmp_path, names, fault):
    put(tmp_path / "y/a.txt", "1 0.5 0.5 0.1 0.1\n")
    put(tmp_path / "y/classes.txt", names)
    with pytest.raises(UserError, match=fault):
        read(tmp_path / "y")
    for fine in ("cat\ndog\n\n", "# ours\ncat\ndog", "__ignore__\ndog\n"):
        put(tmp_path / "y/classes.txt", fine)
        assert only(tmp_path / "y")[0][0].label == "dog"


def test_yolo_counts_objects_from_0_in_shares(tmp_path):
    put(tmp_path / "y/data.yaml", "names: {0: cat, 2: dog}\n")
    lines = "0 0.5 0.5 1.01 1\r\n2 0 0 1 0 1 1\r\n1 0.5 0.5 1 1\r\n0 1 1\r\n0 0.5 0.5 1 x\r\n"
    put(tmp_path / "y/labels/sub/a.txt", b"\xef\xbb\xbf" + lines.encode())
    put(tmp_path / "y/labels/b.txt", "")
    records, dropped = read(tmp_path / "y")
    a, b = records["images/sub/a"], records["images/b"]
    assert [(one.kind, one.label) for one in a.shapes] == [("box", "cat"), ("polygon", "dog")]
    assert np.allclose(a.shapes[0].geometry, [-0.005, 0, 1.005, 1]) and b.shapes == ()
    assert dropped.lost == 3 and dropped.hidden == {"images/sub/a"}


@pytest.mark.parametrize("name", ["README.dataset.txt", "readme.txt", "LICENSE.txt"])
def test_texts_that_come_with_yolo_are_no_labels_unless_they_hold_boxes(tmp_path, name):
    put(tmp_path / "y/data.yaml", "names: [cat]\n")
    put(tmp_path / "y/a.txt", "0 .5 .5 .1 .1\n")
    put(tmp_path / f"y/{name}", "\npets - v1 2024-05-01 10:00am\n====\n\n24 images, 2 of cats.\n")
    records, dropped = read(tmp_path / "y")
    assert [*records] == ["a"] and not dropped.lines()
    put(tmp_path / f"y/{name}", "0 .5 .5 .1 .1\n")
    assert len(read(tmp_path / "y")[0]) == 2


def test_yolo_without_names_says_so(tmp_path):
    put(tmp_path / "y/a.txt", "0 0.5 0.5 1 1\n")
    with pytest.raises(UserError, match="names no classes"):
        read(tmp_path / "y")


LABEL_STUDIO = '{"categories": [{"id": 1, "name": "dog"}, {"id": 0, "name": "cat"}]}'


@pytest.mark.parametrize(
    "one, other",
    [
        ("a/classes.txt:cat\ndog\n", "b/classes.txt:dog\ncat\n"),
        ("a/data.yaml:names: [cat, dog]\n", "b/data.yaml:names: [dog, cat]\n"),
        ("data.yaml:names: [cat, dog]\n", "classes.txt:cat\nhound\n"),
        (f"notes.json:{LABEL_STUDIO}", "classes.txt:cat\nhound\n"),
    ],
)
def test_yolo_whose_lists_contradict_each_other_is_refused(one, other, tmp_path):
    for file in (one, other, "a/p.txt:0 .5 .5 .1 .1\n", "b/q.txt:1 .5 .5 .1 .1\n"):
        name, content = file.split(":", 1)
        put(tmp_path / "y" / name, content)
    with pytest.raises(UserError, match=r"calls the class \d \w+, but .* \w+; import the folders"):
        read(tmp_path / "y")
    (tmp_path / "y" / other.split(":")[0]).write_text(one.split(":", 1)[1])  # the same list twice
    if other.startswith("classes.txt"):
        (tmp_path / "y/classes.txt").write_text("cat\ndog\n")
    assert read(tmp_path / "y")[0]["a/p"].shapes[0].label == "cat"


def test_yolo_beside_a_data_sets_own_list_has_its_own(tmp_path):
    put(tmp_path / "y/data.yaml", "names: [cat, dog]\nnc: 2\n")
    put(tmp_path / "y/classes.txt", "background\ncat\ndog\n")
    put(tmp_path / "y/a.txt", "1 .5 .5 .1 .1\n")
    assert only(tmp_path / "y")[0][0].label == "dog"
    put(tmp_path / "y/data.yaml", "names: [cat, dog]\nnc: 3\n")
    with pytest.raises(UserError, match="says nc: 3, but names 2 classes; mend it"):
        read(tmp_path / "y")


def test_supervisely_has_notes_that_say_not_what_is_there(tmp_path):
    tags = ["cat", {"name": "dog", "value": None}, {"name": "split", "value": "train"}]
    content = {"size": {"width": 9, "height": 9}, "objects": [], "tags": tags}
    records, dropped = read(put(tmp_path / "ann/a.jpg.json", content))
    assert [one.label for one in records["a.jpg"].shapes] == ["cat", "dog"]
    assert dropped.lost == 1 and not dropped.hidden


def test_supervisely_has_bitmaps_and_holes(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.array([[255, 0]], np.uint8)).save(buffer, "PNG")
    data = base64.b64encode(zlib.compress(buffer.getvalue())).decode()
    bomb = base64.b64encode(zlib.compress(b"\0" * 2**24)).decode()
    ring = [[0, 0], [9, 0], [9, 9], [0, 9]]
    hole = [[2, 2], [6, 2], [6, 6], [2, 6]]
    objects = [
        {
            "classTitle": "cat",
            "geometryType": "bitmap",
            "bitmap": {"data": data, "origin": [3, 4]},
            "tags": [{"name": "Ignore", "value": None}, "ignore"],
        },
        {"classTitle": "cat", "geometryType": "bitmap", "bitmap": {"data": bomb, "origin": [3, 4]}},
        {
            "classTitle": "dog",
            "geometryType": "polygon",
            "points": {"exterior": ring, "interior": [hole]},
        },
        {
            "classTitle": "dog",
            "geometryType": "rectangle",
            "points": {"exterior": [[0, 0], [9, 4]], "interior": []},
            "tags": [{"name": "ignore", "value": "no"}, {"name": "ignored by nobody"}],
        },
    ]
    content = {"size": {"width": 20, "height": 10}, "tags": [{"name": "cat"}], "objects": objects}
    put(tmp_path / "s/set/ann/a.jpg.json", content)
    records, dropped = read(tmp_path / "s")
    bitmap, outline, box, tag = records["set/a.jpg"].shapes
    assert area_pixels(bitmap, (20, 10))[4, 3] and area_pixels(bitmap, (20, 10)).sum() == 1
    assert area_pixels(outline, (20, 10)).sum() == 81 - 16
    assert box.geometry == [0, 0, 10, 5] and tag.label == "cat" and dropped.lost == 1
    assert dropped.counts[False, IGNORED] == 1


# ---- masks and our own


def test_masks_with_unlabelled_pixels_say_nothing_of_the_rest(tmp_path):
    whole, part = np.zeros((40, 50), np.uint8), np.full((40, 50), 255, np.uint8)
    whole[2:9, 2:9], whole[20:30, 20:30], whole[35, 45] = 1, 1, 1
    part[5, 5:20], part[30, 5:20] = 2, 0
    for name, mask in {"a": whole, "b": part}.items():
        (tmp_path / "m").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / f"m/{name}.png")
    records, _ = read(tmp_path / "m")
    assert records["a"].complete == ("full",) and records["b"].complete == ()
    assert [one.label for one in records["a"].shapes] == ["cat", "cat"]  # the speck is no third
    assert sum(area_pixels(one, (50, 40)).sum() for one in records["a"].shapes) == 49 + 100 + 1
    assert {one.label for one in records["b"].shapes} == {"background", "dog"}


@pytest.mark.parametrize(
    ("folder", "place", "label"),
    [
        ("masks", "classes.txt", "dog"),
        ("masks", "masks/classes.txt", "dog"),
        ("m", "m/classes.txt", "dog"),
        ("m", "classes.txt", "cat"),  # whose it is nobody knows
    ],
)
def test_a_list_of_classes_beside_a_folder_of_masks_is_theirs(folder, place, label, tmp_path):
    mask = np.zeros((40, 50), np.uint8)
    mask[2:9, 2:9] = 1
    (tmp_path / folder).mkdir()
    Image.fromarray(mask).save(tmp_path / folder / "a.png")
    put(tmp_path / place, "background\ndog\ncat\n")
    records, _ = read(tmp_path / folder)
    assert [one.label for one in records["a"].shapes] == [label]


def test_masks_whose_objects_may_be_255_are_counted(tmp_path):
    (tmp_path / "m").mkdir()
    for number, name in ((1, "a"), (255, "b")):
        mask = np.zeros((40, 50), np.uint8)
        mask[2:9, 2:9] = number
        Image.fromarray(mask).save(tmp_path / f"m/{name}.png")
    _, dropped = read(tmp_path / "m")
    assert dropped.first == {
        (False, "masks of 0 and 255 alone, whose 255 is not labelled (--mask_values)"): "b.png"
    }


def test_cvats_masks_say_themselves_what_their_colours_mean(tmp_path):
    colours = np.zeros((40, 50, 3), np.uint8)
    colours[5:20, 5:20] = (250, 50, 83)
    for folder in ("SegmentationClass", "SegmentationObject"):
        (tmp_path / f"m/{folder}").mkdir(parents=True)
        Image.fromarray(colours).save(tmp_path / f"m/{folder}/a.png")
    lines = "# label:color_rgb:parts:actions\ndog:250,50,83::\nbackground:0,0,0::\n"
    put(tmp_path / "m/labelmap.txt", lines)
    records, _ = read(tmp_path / "m")
    (record,) = records.values()
    assert [one.label for one in record.shapes] == ["dog"] and record.complete == ("full",)
    put(tmp_path / "m/labelmap.txt", "dog:250,50,84::\nbackground:0,0,0::\n")
    with pytest.raises(UserError, match="holds the colour '#fa3253', which means nothing"):
        read(tmp_path / "m")
    put(tmp_path / "m/labelmap.txt", "dog:250,50,83::\ncat:250,50,83::\n")
    with pytest.raises(UserError, match="dog and cat have one colour"):
        read(tmp_path / "m")
    put(tmp_path / "m/labelmap.txt", "dog\n")
    with pytest.raises(UserError, match="a line is not 'name:red"):
        read(tmp_path / "m")


def test_a_number_that_is_no_class_is_one_line(tmp_path):
    (tmp_path / "m").mkdir()
    Image.fromarray(np.full((4, 4), 9, np.uint8)).save(tmp_path / "m/a.png")
    with pytest.raises(UserError, match=r"a\.png: holds the number 9"):
        read(tmp_path / "m")


def test_our_table_takes_spreadsheets_as_they_come(tmp_path):
    rows = (
        "\ufeffImage, Kind,class,x,y\r\na.jpg,click,cat,1.5,2\r\na.jpg,box,dog,9,8,1,2,,\r\n"
        "b.jpg\r\n\r\nc.jpg,polygon,cat,0,0,5,0,5,5\r\nc.jpg,stroke,cat,0,0,5,5\r\n"
        "c.jpg,tag,dog\r\nc.jpg,click,cat,1\r\nc.jpg,circle,cat,1,2\r\nc.jpg,click,cat,nan,2\r\n"
    )
    records, dropped = read(put(tmp_path / "a.csv", rows.encode()))
    assert [one.geometry for one in records["a.jpg"].shapes] == [[1.5, 2], [9, 8, 1, 2]]
    assert records["b.jpg"].shapes == ()
    assert [one.kind for one in records["c.jpg"].shapes] == ["polygon", "stroke", "tag"]
    assert dropped.lost == 3


# ---- files


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return path


def test_an_archive_is_read_where_it_is(tmp_path):
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("annotations.xml", cvat('<tag label="cat"/>'))
        archive.writestr("images/a.jpg", b"a picture")
        archive.writestr("__MACOSX/._a.xml", b"junk")
    assert only(path)[0][0].kind == "tag"
    assert [one.name for one in tmp_path.iterdir()] == ["export.zip"]


def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../a.xml", cvat(""))
    with pytest.raises(UserError, match="leads out of its folder"):
        read(tmp_path / "a.zip")


def test_bombs_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", b" " * 2**22)
    with pytest.raises(UserError, match="larger than 1 MB"):
        Files(tmp_path / "a.zip", most_bytes=2**20).json("a.json")
    bomb = '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><annotations>&b;</annotations>'
    with pytest.raises(UserError, match="document type"):
        read(put(tmp_path / "a.xml", bomb))
    with pytest.raises(UserError, match="100 deep"):
        read(put(tmp_path / "a.xml", "<annotations>" + "<a>" * 1000))


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.json", "[" * 100_000),
        ("a.json", "{"),
        ("a.json", '{"shapes": NaN}'),
        ("a.json", b"\xff\xfe\x00\xd8"),
        ("a.json", b'{"a": "\xff"}'),
        ("a.json", "[1, 2]"),
        ("a.xml", "<annotations>"),
        ("a.xml", '<?xml version="1.0" encoding="nonsense"?><annotations/>'),
        ("a.csv", "name,x,y\n"),
        ("a.txt", "hello"),
        ("a.zip", b"PK\x05\x06" + b"\0" * 18),
    ],
)
def test_what_is_no_label_file_is_one_line(name, content, tmp_path):
    path = put(tmp_path / name, content)
    with pytest.raises(UserError, match=str(path)) as error:
        read(path)
    assert "\n" not in str(error.value)


# ---- our own


def test_the_json_of_the_page_is_read(tmp_path):
    page = (ROOT / "docs" / "label-files.md").read_text(encoding="utf-8")
    (block,) = (one for one in page.split("```") if one.startswith('\n{"format"'))
    records, dropped = read(put(tmp_path / "a.json", block))
    (record,) = records.values()
    assert [one.kind for one in record.shapes] == ["click", "box"] and not reasons(dropped)
    assert (record.size, record.complete, record.seconds) == ((500, 375), ("boxes",), 12.5)
