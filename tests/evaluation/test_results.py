"""Result files: each mask has a file of its own, whatever an image is called."""

import numpy as np
import pytest
from PIL import Image

from weakseg.evaluation.results import mask_name, write_mask


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
