"""Results whose parts don't go together, as somebody changed one of them, are refused."""

import json

import numpy as np
import pytest
from made_results import add_run, analysed, drawn_data, erring, perfect
from PIL import Image

from weakseg.common import UserError
from weakseg.evaluation.results import find_results


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
