"""Result files: each mask has a file of its own, whatever an image is called."""

import numpy as np
import pytest
from PIL import Image

from weakseg.common import UserError, write_json
from weakseg.evaluation.results import RESULT_KEYS, find_results, mask_name, write_mask


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
    {"task": {"classes": ["background", "a\x1b[2J"]}},
    {"images": {"../a": {"mask": "r/a.png"}}},
    {"images": {"a": {"mask": "../../secret.png"}}},
    {"images": {"a": {"mask": "/etc/secret.png"}}},
]


@pytest.mark.parametrize("change", HOSTILE, ids=str)
def test_names_that_lead_out_of_the_folder_are_refused_by_file(change, tmp_path):
    result = dict.fromkeys(RESULT_KEYS, "x") | {"supervision": ["points"], "run": "r"}
    result |= {"images": {"a": {"mask": "r/a.png"}}}
    write_json(tmp_path / "r.json", result)
    assert list(find_results(tmp_path)) == [tmp_path / "r.json"]
    write_json(tmp_path / "r.json", result | change)
    with pytest.raises(UserError, match=r"r\.json.*(name)") as error:
        find_results(tmp_path)
    assert str(error.value).isprintable()
