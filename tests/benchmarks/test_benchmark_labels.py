"""The reference of benchmarks/labels.py draws what the annotator does: same boxes, tags, centres;
strokes inside.
"""

import numpy as np
import pytest

import benchmarks.labels
from benchmarks.labels import plain_image, resized_copy, scaling
from weakseg.data.datasets import Pets
from weakseg.labels.annotators import Options
from weakseg.labels.scribbles import draw_stroke
from weakseg.labels.simulate import annotate_many


@pytest.fixture(scope="module")
def both(pets_dir, tmp_path_factory):
    dataset = Pets(pets_dir, cache_dir=tmp_path_factory.mktemp("cache"))
    names = dataset.ids("train")[:8]
    ours = dict(annotate_many(dataset, dict.fromkeys(names), Options(), 0))
    return dataset, {name: (ours[name], plain_image(dataset, name)) for name in names}


def test_boxes_tags_and_objects_are_the_same(both):
    for ours, plain in both[1].values():
        assert sorted(ours["boxes"]) == sorted(plain["boxes"])
        for signal in ("tags", "full"):
            assert ours[signal] == plain[signal]


def test_points_lie_on_their_class_and_near_the_same_centre(both):
    dataset, found = both
    for name, labels in found.items():
        mask = dataset.mask(name)
        for points in (each["points"] for each in labels):
            assert all(mask[int(y), int(x)] == label for x, y, label in points)
        ours, plain = (sorted(p for p in each["points"] if p[2]) for each in labels)
        assert (
            np.abs(np.subtract(ours, plain)).max() <= 1
        )  # two pixels may be equally near to a centroid


def test_strokes_stay_inside_their_objects(both):
    dataset, found = both
    for name, labels in found.items():
        mask = dataset.mask(name)
        for each in labels:
            assert len(each["scribbles"]) == len(labels[0]["scribbles"])
            for stroke in each["scribbles"]:
                drawn = np.zeros(mask.shape, np.uint8)
                draw_stroke(drawn, np.array(stroke["path"]), 1, stroke["width"])
                assert drawn.any() and (mask[drawn == 1] == stroke["class"]).all()


def test_copies_of_images_have_names_of_their_own_and_the_same_objects(both, tmp_path):
    dataset, _ = both
    many = resized_copy(dataset, 4, (60, 45), tmp_path / "many", copies=3)
    assert len(many.ids("trainval")) + len(many.ids("test")) == 12
    drawn = annotate_many(many, dict.fromkeys(many.ids("trainval")), Options(), 0)
    boxes = {name.rpartition(".")[0]: labels["boxes"] for name, labels in drawn}
    assert all(labels["boxes"] == boxes[name.rpartition(".")[0]] for name, labels in drawn)


def test_scaling_draws_all_copies_with_one_process_and_with_two(both, tmp_path, monkeypatch):
    many, drawn = resized_copy(both[0], 40, (60, 45), tmp_path / "many"), []
    real = benchmarks.labels.annotate_all
    monkeypatch.setattr(
        benchmarks.labels, "annotate_all", lambda *args: map(drawn.append, real(*args))
    )
    assert scaling(many, 2, 1) > 0
    assert [name for name, _ in drawn] == 3 * many.ids("trainval")
