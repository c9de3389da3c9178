"""Whatever a label file holds, reading it ends in records, counted losses, or one line."""

import copy
import json
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.common import UserError
from weakseg.labels.fitting import Fit, Seen
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.masks import Meaning
from weakseg.labels.formats.records import Classes, Dropped
from weakseg.labels.formats.runs import brush_code, coco_segmentation, mask_geometry
from weakseg.labels.formats.table import FORMATS, reader
from weakseg.labels.imported import Imported, Wishes
from weakseg.labels.one_record import given_by

MEANING = Meaning(Classes(("background", "cat")))
SQUARE = np.ones((2, 2), bool)
LABEL_STUDIO = [
    {
        "id": 1,
        "project": 2,
        "data": {"image": "a.jpg"},
        "annotations": [
            {
                "was_cancelled": False,
                "completed_by": {"email": "ann"},
                "lead_time": 3.5,
                "updated_at": "2026",
                "result": [
                    {
                        "id": "x",
                        "type": kind,
                        "original_width": 2,
                        "original_height": 2,
                        "image_rotation": 0,
                        "value": {
                            "x": 10,
                            "y": 20,
                            "width": 30,
                            "height": 40,
                            "radiusX": 5,
                            "radiusY": 5,
                            "rotation": 10,
                            "points": [[1, 1], [50, 1], [50, 50]],
                            "format": "rle",
                            "rle": brush_code(SQUARE),
                            kind: ["cat"],
                        },
                    }
                    for kind in (
                        "rectanglelabels",
                        "polygonlabels",
                        "ellipselabels",
                        "keypointlabels",
                        "brushlabels",
                        "choices",
                    )
                ],
            }
        ],
    }
]
LABELME = {
    "flags": {"cat": True},
    "imagePath": "a.jpg",
    "imageWidth": 9,
    "imageHeight": 9,
    "shapes": [
        {
            "label": "cat",
            "points": [[1, 1], [5, 1], [5, 5]][:count],
            "shape_type": kind,
            "group_id": 1,
            "mask": "iVBORw0KGgo=",
        }
        for kind, count in (("polygon", 3), ("rectangle", 2), ("circle", 2), ("mask", 2))
    ],
}
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
    "categories": [{"id": 0, "name": "cat"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 0,
            "iscrowd": 0,
            "bbox": [1, 1, 3, 3],
            "keypoints": [1, 1, 2],
            "segmentation": segmentation,
        }
        for segmentation in (
            [[1, 1, 5, 1, 5, 5]],
            coco_segmentation(SQUARE),
            {"size": [5, 4], "counts": "62304"},
            [],
        )
    ],
}
SUPERVISELY = {
    "size": {"width": 9, "height": 9},
    "tags": [{"name": "cat"}],
    "objects": [
        {
            "classTitle": "cat",
            "geometryType": kind,
            "points": {"exterior": [[1, 1], [5, 1], [5, 5]], "interior": []},
            "bitmap": {"data": "eJwDAAAAAAE=", "origin": [1, 1]},
        }
        for kind in ("polygon", "rectangle", "bitmap", "point", "line")
    ],
}
OURS = {
    "format": "weakseg-labels",
    "version": 1,
    "pictures": [
        {
            "image": "a.jpg",
            "size": [9, 9],
            "complete": ["boxes"],
            "seconds": 2.5,
            "shapes": [
                {"kind": "click", "class": "cat", "geometry": [1, 1]},
                {"kind": "box", "class": "cat", "geometry": [1, 1, 3, 3]},
                {"kind": "polygon", "class": None, "geometry": [[[[1, 1], [5, 1], [5, 5]]]]},
                {"kind": "stroke", "class": "cat", "geometry": {"width": 1, "path": [[1, 1]]}},
                {"kind": "mask", "class": "cat", "geometry": mask_geometry(SQUARE)},
                {"kind": "tag", "class": "cat", "geometry": True},
            ],
        }
    ],
}
JSON = {
    "labelstudio": LABEL_STUDIO,
    "labelme": LABELME,
    "coco": COCO,
    "supervisely": SUPERVISELY,
    "weakseg": OURS,
}
CVAT = (
    "<annotations><meta><task><id>1</id></task></meta>"
    '<image id="0" name="a.jpg" width="9" height="9">'
    '<box label="cat" xtl="1" ytl="1" xbr="5" ybr="5" rotation="9" z_order="1"/>'
    '<polygon label="cat" points="1,1;5,1;5,5"/><polyline label="cat" points="1,1;5,1"/>'
    '<ellipse label="cat" cx="4" cy="4" rx="2" ry="2"/><tag label="cat"/>'
    '<skeleton label="cat"><points label="x" points="1,1" outside="0"/></skeleton>'
    '<mask label="cat" rle="0, 4" left="1" top="1" width="2" height="2"/></image></annotations>'
)
VOC = (
    "<annotation><filename>a.jpg</filename><size><width>9</width><height>9</height></size>"
    "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax>"
    "</bndbox></object></annotation>"
)
NONSENSE = st.sampled_from(
    [None, True, -1, 0, 2.5, 1e308, 10**400, "", "x", "\x1b[2J", "../a", [], [[]], {}, {"a": 1}]
) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def places(value, path=()):
    """Yield the paths to all values within a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner:
        yield (*path, key)
        if isinstance(one, dict | list):
            yield from places(one, (*path, key))


def survives(name, file, content):
    """Read a file, and bring what it holds to a picture; anything but `UserError` is a fault."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, file)
        path.write_text(content, encoding="utf-8", errors="surrogatepass")
        dropped, seen = Dropped(), Seen((9, 9), (9, 9))
        try:
            records = list(reader(name, MEANING)(Files(path), dropped))
        except UserError as error:
            assert "\n" not in str(error)
            return
        found = Imported(path, name, dropped=dropped)
        for record in records:
            assert isinstance(record.name, str)
            with dropped.unless_read(record.name):
                given_by(record, Fit.of(record, seen), Wishes(areas_as="points"), found)
        assert all("\n" not in line for line in dropped.lines())
        # What is lost counts under the picture's own name, so that none of its lists is complete.
        names = {record.name for record in records if len(record.name) > 3}
        assert not [one for one in dropped.hidden - names if one.startswith(tuple(names))]


@pytest.mark.parametrize("name", JSON)
@settings(max_examples=60)
@given(data=st.data())
def test_nonsense_anywhere_in_json_is_counted_or_one_line(name, data):
    content = copy.deepcopy(JSON[name])
    for _ in range(data.draw(st.integers(1, 2))):
        *path, last = data.draw(st.sampled_from(list(places(content))))
        at = content
        for key in path:
            at = at[key]
        if data.draw(st.booleans()):
            at[last] = copy.deepcopy(data.draw(NONSENSE))
        elif isinstance(at, dict):
            del at[last]
        else:
            at.insert(last, copy.deepcopy(data.draw(NONSENSE)))
    assert isinstance(content, dict | list)
    survives(name, "a.json", json.dumps(content))


OLD = (
    "<annotation><filename>a.jpg</filename><imagesize><nrows>40</nrows><ncols>60</ncols></imagesize>"
    "<object><name>cat</name><deleted>0</deleted><polygon><pt><x>1</x><y>1</y></pt>"
    "<pt><x>9</x><y>1</y></pt><pt><x>9</x><y>9</y></pt></polygon></object></annotation>"
)


@pytest.mark.parametrize("name, content", [("cvat", CVAT), ("voc", VOC), ("labelme-xml", OLD)])
@settings(max_examples=60)
@given(data=st.data())
def test_nonsense_anywhere_in_xml_is_counted_or_one_line(name, content, data):
    root = ElementTree.fromstring(content)
    word = data.draw(
        st.sampled_from(["", "x", "-1", "1e308", "nan", "9" * 400, "1,2", ";", "\u202e"])
    )
    one = data.draw(st.sampled_from(list(root.iter())))
    if one.attrib and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(one.attrib)))
        one.attrib[key] = word
    elif data.draw(st.booleans()):
        one.text = word
    else:
        for inner in list(one):
            one.remove(inner)
    survives(name, "a.xml", ElementTree.tostring(root, encoding="unicode"))


@settings(max_examples=60)
@given(
    rows=st.lists(
        st.lists(st.sampled_from(["a.jpg", "box", "click", "cat", "1", "nan", "", '"', "\0"]))
    )
)
def test_nonsense_in_a_table_is_counted_or_one_line(rows):
    survives("weakseg", "a.csv", "image,kind,class\n" + "\n".join(map(",".join, rows)))


@settings(max_examples=60)
@given(names=NONSENSE, words=st.lists(st.sampled_from(["0", "1", "0.5", "nan", "x", "-3", "\n"])))
def test_nonsense_in_yolo_is_counted_or_one_line(names, words):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "data.yaml").write_text(json.dumps({"names": names, "kpt_shape": names}))
        Path(folder, "a.txt").write_text(" ".join(words))
        dropped = Dropped()
        try:
            list(reader("yolo", MEANING)(Files(folder), dropped))
        except UserError as error:
            assert "\n" not in str(error)


def test_all_formats_are_tried():
    one_a_file = "cvat", "voc", "labelme-xml", "yolo", "masks", "store"
    assert {*JSON, *one_a_file} == FORMATS.keys()
