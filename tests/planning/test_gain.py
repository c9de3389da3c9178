"""What a doubling of the answers gains: covered, none where models agree, and told with care."""

import numpy as np
import pytest

from weakseg.common import IGNORE
from weakseg.planning.gain import OPEN, SMALL, gain_of_doubling


def models(rng, count, errors, classes=2):
    """Return the truth and three predictions: pixel i is wrong where its luck is below an error."""
    truth = rng.integers(0, classes, count)
    luck = rng.random(count)
    return truth, np.array([np.where(luck < e, (truth + 1) % classes, truth) for e in errors])


@pytest.mark.parametrize("classes", [2, 4])
def test_models_that_agree_everywhere_gain_nothing(classes):
    truth, predicted = models(np.random.default_rng(0), 300, (0.1, 0.1, 0.1), classes)
    found = gain_of_doubling(predicted, truth, predicted, classes)
    assert found.last == (0, 0, 0) and found.sentence == SMALL


@pytest.mark.parametrize("classes", [2, 4])
def test_the_gain_of_the_last_doubling_is_covered(classes):
    rng = np.random.default_rng(classes)
    truth, pool = models(rng, 20_000, (0.2, 0.14, 0.1), classes)
    iou = []
    for one in pool[1:]:
        table = np.histogram2d(one, truth, classes)[0]
        iou.append(np.mean(np.diag(table) / (table.sum(0) + table.sum(1) - np.diag(table))))
    inside, points = [], []
    for seed in range(80):
        asked = rng.integers(0, 20_000, 200)
        answers = np.where(rng.random(200) < 0.1, IGNORE, truth[asked])
        found = gain_of_doubling(pool[:, asked], answers, pool, classes, draws=300, seed=seed)
        inside.append(found.last.low <= iou[1] - iou[0] <= found.last.high)
        points.append(found.last.point)
        assert found.next.high <= max(found.last.high, 0) + 1e-9
    assert np.mean(inside) > 0.87
    assert np.mean(points) == pytest.approx(iou[1] - iou[0], abs=0.01)


def test_a_person_is_told_to_stop_only_where_little_can_be_gained():
    rng = np.random.default_rng(0)
    truth, pool = models(rng, 50_000, (0.103, 0.101, 0.1))
    few = rng.integers(0, 50_000, 200)
    assert gain_of_doubling(pool[:, few], truth[few], pool, 2).sentence == SMALL
    # Models that are alike differ in no answer: that says little where there are few.
    alike, told = pool[[2, 2, 2]], np.where(np.arange(45) < 39, truth[few[:45]], IGNORE)
    assert gain_of_doubling(alike[:, few[:45]], told, alike, 2).sentence == OPEN
    told = truth[few[:40]]
    assert gain_of_doubling(alike[:, few[:40]], told, alike, 2).sentence == SMALL
    truth, pool = models(rng, 50_000, (0.2, 0.15, 0.1))
    assert gain_of_doubling(pool[:, few], truth[few], pool, 2).sentence == OPEN
    none = gain_of_doubling(pool[:, :0], truth[:0], pool, 2)
    assert none.sentence == OPEN and none.last.low < 0 < none.last.high


def test_areas_of_candidates_weigh_them():
    rng = np.random.default_rng(2)
    truth, pool = models(rng, 4000, (0.2, 0.15, 0.1))
    areas = rng.integers(1, 4, 4000)
    one = gain_of_doubling(pool[:, :200], truth[:200], pool, 2, areas)
    more = gain_of_doubling(pool[:, :200], truth[:200], np.repeat(pool, areas, 1), 2)
    np.testing.assert_allclose(one.last, more.last, atol=1e-6)
    assert one.sentence == more.sentence
