"""Files that a round reads again are those that an earlier stage bought or wrote."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vlm_itl.pseudo_labels import PseudoLabels
from vlm_itl.run import Run
from vlm_itl.stages.train import pseudo_labels
from weakseg.common import UserError
from weakseg.data.contents import content_of


def write(path, number):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.full((8, 8), number, np.uint8)).save(path)


def test_a_bought_mask_that_changed_is_refused(tmp_path):
    path, taken = tmp_path / "masks" / "a.png", {}
    write(path, 1)
    run = SimpleNamespace(
        pool=["a"],
        folder=tmp_path / "run",
        ledger=SimpleNamespace(path=tmp_path / "ledger.jsonl"),
        oracle=SimpleNamespace(restore=taken.__setitem__),
        dataset=SimpleNamespace(
            mask_path=lambda name: path, mask_contents=lambda names: {"a": content_of(path, True)}
        ),
    )
    bought = {"annotations": {}, "signals": ["full"], "seconds": 1.0}
    Run.take_up(run, "a", bought)  # an earlier version doesn't tell
    Run.take_up(run, "a", {**bought, "mask": content_of(path, True)})
    assert taken["a"].signals == ("full",)
    told = {**bought, "mask": content_of(path, True)}
    write(path, 2)
    with pytest.raises(UserError, match=r"a\.png: changed since this run bought it; restore it"):
        Run.take_up(run, "a", told)
    with pytest.raises(UserError, match=r"ledger\.jsonl: b is no image of the pool"):
        Run.take_up(run, "b", told)


@pytest.mark.parametrize("change", ["another mask", "none"])
def test_pseudo_labels_that_changed_are_refused(tmp_path, change):
    folder, names = tmp_path / "pseudo", ["a", "b"]
    for number, name in enumerate(names):
        write(folder / f"{name}.png", number)
    line = {"pseudo": PseudoLabels(folder, names).digest}
    run = SimpleNamespace(
        folder=tmp_path,
        round_folder=lambda number: tmp_path,
        verdicts=lambda number: {name: {"route": "accept"} for name in names},
        ledger=SimpleNamespace(find=lambda number, stage: line),
        oracle=SimpleNamespace(labels={"b": None}),
    )
    assert [*pseudo_labels(run, 0)] == ["a"]
    if change == "none":
        (folder / "b.png").unlink()
    else:
        write(folder / "a.png", 5)
    with pytest.raises(UserError, match="pseudo: the masks are missing or not what this run wrote"):
        pseudo_labels(run, 0)
    line.clear()  # an earlier version doesn't tell
    assert [*pseudo_labels(run, 0)] == ["a"]
