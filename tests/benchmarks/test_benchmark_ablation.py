"""benchmarks/ablation.py asks train.py for flags that it has, and differs in one ingredient."""

import pytest

from benchmarks.ablation import WITHOUT, variants
from benchmarks.commands import flags
from weakseg.labels.signals import SIGNALS
from weakseg.training import options


def test_flags_are_words_of_a_command_line():
    words = flags(seed=0, augment=True, open_boxes=False, train_limit=None, classes=["cat", "dog"])
    assert words == "--seed 0 --augment --no-open_boxes --classes cat dog".split()


@pytest.mark.parametrize("mode", [*WITHOUT, *SIGNALS])
@pytest.mark.parametrize("num_classes", [2, 21])
def test_every_variant_is_a_run_of_train_py(mode, num_classes):
    rows = variants(mode, num_classes)
    assert rows["plain"] == {} and rows["strong"] == {"recipe": "strong"}
    for name, changed in rows.items():
        options.parse_args(flags(supervision_mode=mode, **changed))
        if "," in name:
            base, _ = name.split(",")
            assert len(changed) == len(rows[base]) + 1, name


def test_each_term_of_a_recipe_is_tried_alone_and_left_out():
    rows = variants("points", 2)
    for term in ("walk", "crf", "teacher"):
        assert f"plain, with {term}" in rows and f"strong, without {term}" in rows
    assert {"strong, without second round", "strong, with grabcut"} <= rows.keys()
    assert (
        not {"strong, without second round", "strong, with grabcut"}
        & variants("points", 2, only_terms=True).keys()
    )
    assert not any(name.startswith("plain, with") for name in variants("hybrid_boxes_points", 2))
