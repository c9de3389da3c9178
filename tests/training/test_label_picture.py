"""The picture of the labels of a run: whose labels it shows, and what it says of them."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import train
from tests.conftest import assert_tidy, run
from tests.training.test_probe_runs import TINY
from weakseg.common import IGNORE
from weakseg.labels.training_labels import TrainingLabels
from weakseg.training.label_picture import (
    NAME,
    NAMED,
    SHOWN,
    WORST,
    draw_labels,
    shown_ids,
    tile_of,
)

CLASSES = ("background", "cat", "dog", "cow", "ant", "bee", "elk")
KINDS = {
    "points": lambda number: [[1.5, 2.5, number]],
    "boxes": lambda number: [[0.0, 1.0, 5.0, 6.0, number]],
    "scribbles": lambda number: [{"class": number, "width": 1.0, "path": [[1, 1], [4, 3]]}],
    "outlines": lambda number: [{"class": number, "polygon": [[0, 0], [5, 0], [3, 4]]}],
    "pixels": lambda number: [{"x": 2.5, "y": 1.5, "class": number}],
    "full": lambda number: {},
}


def dataset_of(masks, has_background=True):
    """Return a data set of photographs of 8x6 pixels and their {name: mask}."""
    return SimpleNamespace(
        class_names=CLASSES,
        has_background=has_background,
        image=lambda name: Image.new("RGB", (8, 6), "grey"),
        mask=masks.__getitem__,
    )


def labels_of(images, kind):
    names = [*images]
    return TrainingLabels(images, names, [], (kind,), (), len(CLASSES) - 1)


@given(
    number=st.integers(1, 60),
    labelled=st.sets(st.integers(0, 59)),
    data=st.data(),
)
def test_the_worst_come_first_then_others_from_all_over_the_list(number, labelled, data):
    names = [f"p{i:02}" for i in range(number)]
    known = [name for i, name in enumerate(names) if i in labelled]
    images = {name: {"points": KINDS["points"](1)} if name in known else {} for name in names}
    judged = data.draw(st.lists(st.sampled_from(known), unique=True)) if known else []
    shown = shown_ids(labels_of(images, "points"), dict.fromkeys(judged, 0.5))
    assert shown[: min(len(judged), WORST)] == judged[:WORST]
    assert len({*shown}) == len(shown) and {*shown} <= {*known}
    assert len(shown) == min(len(known), SHOWN)
    rest = [known.index(name) for name in shown[len(judged[:WORST]) :]]
    assert rest == sorted(rest)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_background", [True, False])
@given(number=st.just(IGNORE) | st.integers(0, 6), share=st.none() | st.floats(0, 1))
def test_a_label_of_any_kind_is_drawn_and_its_class_named(kind, has_background, number, share):
    mask = np.full((6, 8), number, np.uint8)
    mask[0] = IGNORE
    dataset = dataset_of({"a": mask}, has_background)
    label = {"size": [8, 6], "tags": {"present": ["ant"], "absent": []}, kind: KINDS[kind](number)}
    tile = tile_of(dataset, "a", label, [kind], share)
    is_named = number != IGNORE and (number or not has_background)
    named = [CLASSES[number]] if is_named else []
    assert tile["annotation"]["tags"] == {"present": named}
    assert tile["size"] == (6, 8) and tile["title"].endswith("a")
    assert (f"{100 * share:.0f} %" if share is not None else "a") in tile["title"]
    assert {*tile["annotation"]} == {"tags", kind} - {"full"}
    assert (tile["image"] == np.asarray(dataset.image("a"))).all() == (kind != "full")


def test_of_many_classes_some_are_named_and_tags_are_shown_as_given():
    mask = np.arange(7, dtype=np.uint8).repeat(8)[:48].reshape(6, 8)
    tags = {"present": ["ant"], "absent": ["cow"]}
    label = {"size": [8, 6], "tags": tags, "full": {}}
    tile = tile_of(dataset_of({"a": mask}), "a", label, ["full"], None)
    present = tile["annotation"]["tags"]["present"]
    assert present == [*CLASSES[1 : NAMED + 1], f"{len(np.unique(mask)) - 1 - NAMED} more"]
    tile = tile_of(dataset_of({"a": mask}), "a", label, ["tags"], None)
    assert tile["annotation"] == {"tags": tags}


def test_the_picture_is_tidy(tmp_path, sheets):
    images = {
        f"{'a_long_name_' * (i % 3)}{i}": {"size": [8, 6], "points": KINDS["points"](i % 7)}
        for i in range(30)
    }
    labels = labels_of(images, "points")
    shares = dict.fromkeys([*images][:20], 0.123)
    masks = {f"t{i}": np.full((6, 8), i % 7, np.uint8) for i in range(9)}
    draw_labels(
        tmp_path / NAME,
        dataset_of(masks),
        labels,
        shares,
        {"masks to test on": dict.fromkeys(masks)},
    )
    shown = shown_ids(labels, shares)
    assert len(shown) == SHOWN
    texts = sheets[0].figure.texts
    assert_tidy(sheets[0].figure, texts)
    assert sum(text.get_text().startswith("to test on  t") for text in texts) == 4
    assert sum(text.get_text().startswith("12 %  ") for text in texts) == len({*shown} & {*shares})


@pytest.mark.parametrize("number, kind", [(3, "full"), (10, "boxes")])
def test_training_writes_it_of_few_photographs_too(
    number, kind, pets_dir, pets_labels, tmp_path, capsys
):
    flags = ["--data_dir", pets_dir, "--weak_label_path", pets_labels, "--cache_dir", tmp_path]
    flags += ["--learner", "probe", "--supervision_mode", kind, "--rounds", 0, *TINY]
    folder = tmp_path / "runs" / "r"
    flags += ["--train_limit", number, "--checkpoint_dir", folder.parent, "--run_name", "r"]
    run(train, *flags)
    assert capsys.readouterr().out.count(str(folder / NAME)) == 1
    picture = (folder / NAME).read_bytes()
    run(train, *flags, "--overwrite")
    assert (folder / NAME).read_bytes() == picture
