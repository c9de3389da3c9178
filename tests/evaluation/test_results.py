"""Result files: each mask has a file of its own, whatever an image is called."""

import functools
import json
import operator

import numpy as np
import pytest
from made_results import smallest_result
from PIL import Image

from weakseg.common import UserError, write_json
from weakseg.evaluation.pricing import reprice
from weakseg.evaluation.results import find_results, mask_name
from weakseg.evaluation.summary import results_table
from weakseg.labels.costs import load_schedule
from weakseg.reporting.pictures import write_mask


@pytest.mark.parametrize(
    "name", ["a/b", "../../x", "a:b*?", "ä 猫", "%41", ".", "..", "a\nb", "<script>"]
)
def test_a_mask_has_one_file_of_its_own_in_its_folder(name, tmp_path):
    path = tmp_path / mask_name(name)
    write_mask(path, np.eye(3, dtype=np.uint8), 2)
    assert path.resolve().parent == tmp_path.resolve() and "/" not in mask_name(name)
    assert np.array_equal(np.array(Image.open(path)), np.eye(3))
    others = ["a/b", "a%2Fb", "A", "%41", "a:b", "a?b"]
    assert len({mask_name(other) for other in others}) == len(others)


HOSTILE = [
    {"run": "../../outside"},
    {"run": "/outside"},
    {"run": "a\x1b[2J"},
    {"run": 7},
    {"task": {"dataset": "d", "classes": ["background", "a\x1b[2J"], "tag_names": []}},
    {"images": {"../a": {"miou": None, "mask": "r/a.png"}}},
    {"images": {"a": {"miou": None, "mask": "../../secret.png"}}},
    {"images": {"a": {"miou": None, "mask": "/etc/secret.png"}}},
]


@pytest.mark.parametrize("change", HOSTILE, ids=str)
def test_names_that_lead_out_of_the_folder_are_refused_by_file(change, tmp_path):
    result = smallest_result()
    write_json(tmp_path / "r.json", result)
    assert list(find_results(tmp_path)) == [tmp_path / "r.json"]
    write_json(tmp_path / "r.json", result | change)
    with pytest.raises(UserError, match=r"r\.json.*(name)") as error:
        find_results(tmp_path)
    assert str(error.value).isprintable()


GONE = "no value at all"


def places(content, path=()):
    """Yield the path to every value of nested dicts and lists."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


@pytest.mark.parametrize("place", list(places(smallest_result())), ids=str)
@pytest.mark.parametrize("value", [None, -1, 7, 2.5, "text", [], {}, True, [[1]], {"a": {}}, GONE])
def test_a_damaged_result_is_one_line_or_as_good_as_before(place, value, tmp_path):
    result = smallest_result()
    *above, last = place
    within = functools.reduce(operator.getitem, above, result)
    if value == GONE:
        del within[last]
    else:
        within[last] = value
    path = tmp_path / "r.json"
    path.write_text(json.dumps(result))
    try:
        for found in find_results(tmp_path).values():
            results_table([{**found, "images": {"a": {"confusion": [[1, 0], [0, 1]]}}}])
    except UserError as error:
        assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 400


@pytest.mark.parametrize("part", ["cost", "selection", "testing"])
def test_a_result_that_lost_what_prices_need_is_one_line(part):
    spent = {"images": 1, "seconds": {}, "counts": {"points": {"image": 1}}}
    masks = {"images": 1, "seconds": {}, "counts": {"full": {"object": 1, "image": 1}}}
    result = smallest_result() | {"cost": spent, "selection": {**spent, "by": None}}
    result["testing"] = masks
    schedule = load_schedule("bearman2016")
    assert reprice(result, schedule)["testing"]["seconds"]["full"] > 0
    counts = {key: value for key, value in result[part].items() if key != "counts"}
    with pytest.raises(UserError, match="run r: an older version wrote it, without the counts"):
        reprice(result | {part: counts}, schedule)
