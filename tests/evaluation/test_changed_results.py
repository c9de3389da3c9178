"""Results whose parts don't go together, as somebody changed one of them, are refused."""

import json
import shutil

import numpy as np
import pytest
from made_results import add_run, analysed, drawn_data, erring, perfect
from PIL import Image

from weakseg.common import UserError
from weakseg.data.contents import content_of
from weakseg.evaluation.comparison import doubts
from weakseg.evaluation.pricing import reprice_files
from weakseg.evaluation.results import find_results, read_result
from weakseg.labels.costs import load_schedule
from weakseg.labels.label_file import save_labels


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return drawn_data(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("part", ["image", "aggregate"])
def test_a_score_that_its_confusion_matrix_denies_is_refused(data, tmp_path, part):
    add_run(data, tmp_path, "one", erring(0.2))
    path = tmp_path / "one.json"
    content = json.loads(path.read_text())
    assert [*find_results(tmp_path)] == [path]
    place = content["aggregate"] if part == "aggregate" else [*content["images"].values()][-1]
    place["miou"] = 1 - place["miou"] / 2
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"one\.json: .*miou is not what its confusion matrix says"):
        find_results(tmp_path)


def test_a_mask_that_is_not_the_one_that_was_scored_is_refused(data, tmp_path):
    add_run(data, tmp_path, "one", erring(0.2))
    add_run(data, tmp_path, "two", perfect)
    analysed(tmp_path, tmp_path / "analysis", ["one"], ["two"])
    path = sorted((tmp_path / "two").glob("*.png"))[0]
    with Image.open(path) as image:
        spoilt = Image.fromarray(np.where(np.asarray(image) == 1, 2, np.asarray(image)))
        spoilt = spoilt.point(lambda number: number or 1)
    spoilt.save(path)
    with pytest.raises(UserError, match=f"{path.name}: does not score as the result says"):
        analysed(tmp_path, tmp_path / "again", ["one"], ["two"])


def test_a_copy_of_a_result_does_not_count_twice(data, tmp_path):
    add_run(data, tmp_path, "one", erring(0.2))
    shutil.copy(tmp_path / "one.json", tmp_path / "first.json")
    for read in (
        lambda: find_results(tmp_path),
        lambda: reprice_files(tmp_path, ["one", "first"], load_schedule("bearman2016")),
    ):
        with pytest.raises(UserError, match=r"is a copy of (one|first)\.json, and would count"):
            read()
    add_run(data, tmp_path, "one", erring(0.3))  # trained again, and the result before it kept
    assert len(find_results(tmp_path)) == 2


def test_results_of_another_checkpoint_and_seeds_of_other_annotators_are_told(data, tmp_path):
    def group(name, options, held):
        path = tmp_path / f"{name}.pkl"
        task = {"dataset": "pets", "classes": ["background", "cat"], "tag_names": ["cat"]}
        head = {"format": "weak-labels", "version": 1, "seed": 0, "options": options, **task}
        save_labels(path, head | {"count": 1}, 1, [("a", {"size": (9, 9)})])
        best = tmp_path / "runs" / name / "best.pt"
        best.parent.mkdir(parents=True)
        best.write_bytes(b"learnt")
        add_run(data, tmp_path, name, perfect, checkpoint=held)
        result = read_result(tmp_path / f"{name}.json")
        own = {"weak_label_path": str(path), "checkpoint_dir": str(tmp_path / "runs")}
        return result | {"args": result["args"] | own}

    usual, other = {"noise": 0.0}, {"noise": 0.5}
    one, two = group("one", usual, None), group("two", {}, None)
    three = group("three", other, content_of(tmp_path / "runs/one/best.pt", is_whole=False))
    assert doubts(([one, two], [three])) == []
    (told,) = doubts(([one, three], [two]))
    assert told.startswith("one and three learnt from labels that were drawn with another noise")
    (tmp_path / "runs/three/best.pt").write_bytes(b"learnt again")
    (told,) = doubts(([one], [three]))
    assert "three/best.pt is another one than its result is of" in told
    (tmp_path / "runs/three/best.pt").unlink()
    (tmp_path / "three.pkl").unlink()
    assert doubts(([one, three], [two])) == []
