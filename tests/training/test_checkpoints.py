"""Checkpoints: equal contents are equal bytes, so that results know which one they are of."""

import pickle

import torch
from hypothesis import given
from hypothesis import strategies as st

from weakseg.training.checkpoints import save_checkpoint

TEXTS = st.text("ab", max_size=2)
CONTENTS = st.dictionaries(
    TEXTS,
    st.recursive(TEXTS | st.integers(), lambda some: st.lists(some) | st.dictionaries(TEXTS, some)),
)


@given(CONTENTS)
def test_equal_contents_are_equal_bytes_whichever_objects_hold_them(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("saved")
    content |= {"weights": torch.arange(3.0)}
    apart = {key: pickle.loads(pickle.dumps(each)) for key, each in content.items()}
    for number, one in enumerate((content, apart)):
        (folder / f"{number}").mkdir()
        save_checkpoint(folder / f"{number}/last.pt", one)
    first, second = (folder / f"{number}/last.pt" for number in range(2))
    assert first.read_bytes() == second.read_bytes()
    assert str(torch.load(first, weights_only=True)) == str(content)
