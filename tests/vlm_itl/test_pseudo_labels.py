"""Accepted masks survive the disk, without the pixels that are not to be learned from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vlm_itl.judges.base import Case
from vlm_itl.pseudo_labels import PseudoLabels, write_pseudo_label


@settings(max_examples=30)
@given(
    foreground=arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=32)),
    threshold=st.floats(0, 1),
    disputed=arrays(bool, (6, 7)),
)
def test_pseudo_labels_come_back_from_the_disk_as_they_were(
    tmp_path_factory, foreground, threshold, disputed
):
    folder = tmp_path_factory.mktemp("run") / "pseudo"
    probabilities = np.stack([1 - foreground, foreground])
    mask = probabilities.argmax(0).astype(np.uint8)
    for name, doubts in (("one", disputed), ("two", None), ("other", None)):
        write_pseudo_label(folder, Case(name, None, mask, (), probabilities), threshold, doubts)
    labels = PseudoLabels(folder, ["one", "two"])
    assert list(labels) == ["one", "two"] and "other" not in labels
    sure = probabilities.max(0) >= threshold
    for name, learned in (("one", sure & ~disputed), ("two", sure)):
        assert labels[name].dtype == np.uint8
        assert np.array_equal(labels[name], np.where(learned, mask, 255))


def test_a_mask_without_softmax_is_no_pseudo_label(tmp_path):
    with pytest.raises(ValueError, match="one: a pseudo-label needs"):
        write_pseudo_label(tmp_path, Case("one", None, np.zeros((2, 2), np.uint8), ()), 0.5)


def test_a_pseudo_label_without_a_background_has_the_data_set_s_classes(tmp_path):
    probabilities = np.zeros((3, 1, 3), np.float32)  # the first stands for no object
    probabilities[1:, 0] = [[0.9, 0.2, 0.5], [0.1, 0.8, 0.5]]
    mask = probabilities.argmax(0).astype(np.uint8)
    names = ("nothing", "sky", "road")
    case = Case("one", None, mask, names, probabilities, has_background=False)
    write_pseudo_label(tmp_path, case, 0.7)
    assert PseudoLabels(tmp_path, ["one"])["one"].tolist() == [[0, 1, 255]]
