"""Estimates without a mask: against Beta quantiles, on the edge of having answers, and in law."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from weakseg.common import IGNORE
from weakseg.planning.estimate import LEAST_ANSWERS, Interval, estimate, estimate_by_visits
from weakseg.planning.tally import Tally

SHARES = (0.7, 0.3)


def intervals(found):
    """Return every interval of an estimate, [K, 3]."""
    return np.array(
        [*found.iou, *(one for one in vars(found).values() if isinstance(one, Interval))]
    )


@st.composite
def answered(draw, least=1):
    """Draw predicted classes, answers, shares and a seed; some classes may be nowhere."""
    number = draw(st.integers(least, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(0, 60))
    predicted = rng.integers(0, number, count)
    answers = np.where(rng.random(count) < 0.7, predicted, rng.integers(0, number, count))
    answers[rng.random(count) < draw(st.sampled_from([0, 0.2, 1]))] = IGNORE
    shares = rng.dirichlet(np.ones(number)) * draw(st.floats(0.1, 50))
    if number > 1 and draw(st.booleans()):
        shares[rng.integers(number)] = 0
    return predicted, answers, shares, rng


# ---- against another way to compute it


@pytest.mark.parametrize("counts", [[[30, 3, 2], [1, 12, 2]], [[40, 0, 0], [0, 9, 1]]])
def test_two_classes_have_the_quantiles_of_beta_posteriors(counts):
    """Beta quantiles at Sobol points (Jeffreys for the truth) in place of gamma draws."""
    counts = np.array(counts, float)
    grid = stats.qmc.Sobol(4, seed=0).random(2**15)
    told, cannot = counts[:, :2].sum(1), counts[:, 2]
    rate = (told.sum() + 0.5) / (counts.sum() + 1)
    tell = stats.beta.ppf(grid[:, :2], told + rate, cannot + 1 - rate) * SHARES
    wrong = np.array([counts[0, 1], counts[1, 0]])
    error = stats.beta.ppf(grid[:, 2:], wrong + 0.5, told - wrong + 0.5) * tell
    hits = tell - error
    union = hits + error.sum(1, keepdims=True)
    found = estimate(Tally(counts, SHARES), draws=40_000)
    for one, draws in zip(found.iou, (hits / union).T, strict=True):
        assert one[1:] == pytest.approx(np.quantile(draws, (0.025, 0.975)), abs=0.006)
    expected = np.quantile((hits / union).mean(1), (0.025, 0.975))
    assert found.miou[1:] == pytest.approx(expected, abs=0.006)
    expected = np.quantile(hits.sum(1) / tell.sum(1), (0.025, 0.975))
    assert found.pixel_accuracy[1:] == pytest.approx(expected, abs=0.006)
    expected = np.quantile(1 - tell.sum(1), (0.025, 0.975))
    assert found.cannot_tell[1:] == pytest.approx(expected, abs=0.006)


@given(right=st.integers(0, 40), wrong=st.integers(0, 10), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_accuracy_of_many_classes_is_a_jeffreys_interval(right, wrong, seed):
    rng = np.random.default_rng(seed)
    counts = np.zeros((4, 5))
    for number, step in ((right, 0), (wrong, 1)):
        row = rng.integers(0, 4, number)
        np.add.at(counts, (row, (row + step) % 4), 1)
    found = estimate(Tally(counts, rng.dirichlet(np.ones(4)), np.eye(4)), draws=10_000)
    expected = stats.beta.interval(0.95, right + 0.5, wrong + 0.5)
    assert found.pixel_accuracy[1:] == pytest.approx(expected, abs=0.02)


def test_the_foreground_of_many_classes_is_the_second_of_two():
    rng = np.random.default_rng(3)
    counts, shares = rng.integers(0, 9, (4, 5)) + 20 * np.eye(4, 5), rng.dirichlet(np.ones(4))
    two = np.array([[counts[0, 0], counts[0, 1:4].sum()], [counts[1:, 0].sum(), 0]])
    two[1, 1] = counts[1:, 1:4].sum()
    cannot = np.array([[counts[0, 4]], [counts[1:, 4].sum()]])
    merged = Tally(np.hstack([two, cannot]), [shares[0], shares[1:].sum()])
    many, few = estimate(Tally(counts, shares), 20_000), estimate(merged, 20_000)
    assert many.foreground_iou == pytest.approx(few.iou[1], abs=0.01)
    assert few.foreground_iou == few.iou[1]
    assert np.isnan(estimate(merged, background=None).foreground_iou).all()


# ---- on the edge


@given(answered())
@settings(max_examples=60, deadline=None)
def test_every_value_is_a_share_inside_its_interval(case):
    predicted, answers, shares, _ = case
    found = estimate(Tally.of(predicted, answers, shares), 200, background=None)
    values = intervals(found)
    known = ~np.isnan(values).any(1)
    assert (values[known] >= 0).all() and (values[known] <= 1).all()
    point, low, high = values[known].T
    assert (low <= point).all() and (point <= high).all()
    assert sorted(found.scored + found.unscored) == list(range(len(shares)))
    assert found.answers == (answers != IGNORE).sum()
    assert not np.isnan(found.pixel_accuracy).any() and not np.isnan(found.cannot_tell).any()


def test_without_an_answer_everything_is_open():
    found = estimate(Tally(np.zeros((2, 3)), SHARES))
    assert found.answers == 0 and found.miou.high - found.miou.low > 0.8
    found = estimate(Tally([[0, 0, 30], [0, 0, 9]], SHARES))
    assert found.answers == 0 and found.cannot_tell.low > 0.8
    assert all(one.high - one.low > 0.9 for one in (*found.iou, found.pixel_accuracy))


def test_one_class_is_always_right():
    found = estimate(Tally([[7, 3]], [1.0]))
    assert found.miou == pytest.approx((1, 1, 1)) == found.pixel_accuracy
    rate = 7.5 / 11  # how often they can tell
    expected = stats.beta.interval(0.95, 3 + 1 - rate, 7 + rate)
    assert found.cannot_tell[1:] == pytest.approx(expected, abs=0.03)
    assert found.cannot_tell.point == pytest.approx(0.3)


def test_no_errors_are_no_certainty():
    found = estimate(Tally([[35, 0, 0], [0, 15, 0]], SHARES))
    assert found.miou.low < 0.93 and found.miou.point == found.miou.high < 1


def test_the_mean_is_over_classes_of_enough_answers():
    counts = np.diag([70.0, 20, 6, 0])
    shares = np.array([0.7, 0.2, 0.06, 0.04])
    found = estimate(Tally(np.hstack([counts, np.full((4, 1), 1.0)]), shares))
    assert found.scored == [0, 1, 2] and found.unscored == [3]
    assert 96 * shares[3] < LEAST_ANSWERS < 96 * shares[2]
    none = estimate(Tally(np.zeros((4, 5)), shares))
    assert none.scored == [] and np.isnan(none.miou).all()


# ---- in law


@given(answered(), st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_order_of_answers_and_scale_of_shares_change_nothing(case, scale):
    predicted, answers, shares, rng = case
    order = rng.permutation(len(answers))
    one = estimate(Tally.of(predicted, answers, shares), 100, seed=5)
    other = estimate(Tally.of(predicted[order], answers[order], scale * shares), 100, seed=5)
    np.testing.assert_allclose(intervals(one), intervals(other), rtol=1e-6, atol=1e-9)


@given(answered(least=2))
@settings(max_examples=10, deadline=None)
def test_names_of_classes_change_nothing(case):
    predicted, answers, shares, rng = case
    classes = len(shares)
    name = rng.permutation(classes)
    prior = rng.dirichlet(np.ones(classes), classes)
    renamed = np.where(answers == IGNORE, IGNORE, np.append(name, 0)[np.minimum(answers, classes)])
    back = np.argsort(name)
    one = estimate(Tally.of(predicted, answers, shares, prior), 6000)
    other = estimate(
        Tally.of(name[predicted], renamed, shares[back], prior[back][:, back]),
        6000,
        background=int(name[0]),
    )
    for score in ("pixel_accuracy", "foreground_iou", "frequency_weighted_iou", "cannot_tell"):
        if one.answers >= 20:  # the quantiles of a posterior of fewer differ between draws
            np.testing.assert_allclose(getattr(one, score), getattr(other, score), atol=0.06)
    assert sorted(name[one.scored]) == other.scored


@pytest.mark.parametrize("classes", [2, 6])
def test_many_answers_lead_to_the_truth(classes):
    rng = np.random.default_rng(classes)
    joint = rng.dirichlet(np.ones(classes), classes) + 3 * np.eye(classes)
    joint /= joint.sum()
    tell = rng.uniform(0.7, 1, classes)
    shares = joint.sum(1) / tell
    rows = joint / joint.sum(1, keepdims=True) * tell[:, None]
    cells = np.hstack([rows, 1 - tell[:, None]]) * (shares / shares.sum())[:, None]
    hits = np.diag(joint)
    iou = hits / (joint.sum(0) + joint.sum(1) - hits)
    cannot = cells[:, -1].sum()
    width = []
    for count in (1e3, 1e5, 1e7):
        found = estimate(Tally(count * cells, shares))
        assert found.miou.point == pytest.approx(iou.mean(), abs=1e-5)
        assert found.pixel_accuracy.point == pytest.approx(hits.sum(), abs=1e-5)
        assert found.frequency_weighted_iou.point == pytest.approx(iou @ joint.sum(0), abs=1e-5)
        assert found.cannot_tell.point == pytest.approx(cannot, abs=1e-5)
        width.append(found.miou.high - found.miou.low)
    assert width[1] == pytest.approx(width[0] / 10, rel=0.2) and width[2] < 0.002


@pytest.mark.parametrize("classes", [2, 5])
def test_intervals_cover_the_truth(classes):
    rng = np.random.default_rng(classes)
    joint = np.diag(rng.dirichlet(np.full(classes, 3))) * 0.9
    joint += 0.1 * rng.dirichlet(np.ones(classes**2)).reshape(classes, classes)
    shares, hits = joint.sum(1), np.diag(joint)
    fine = (hits / (joint.sum(0) + joint.sum(1) - hits)) @ joint.sum(0)
    inside = []
    for seed in range(300):
        counts = rng.multinomial(80, joint.ravel()).reshape(classes, classes)
        found = estimate(Tally(np.pad(counts, ((0, 0), (0, 1))), shares), 400, seed)
        scores = (found.pixel_accuracy, hits.sum()), (found.frequency_weighted_iou, fine)
        inside.append([one.low <= true <= one.high for one, true in scores])
    for share in np.mean(inside, 0):
        assert 0.91 <= share <= 0.99


# ---- visits and weights


def sample(rng, count):
    """Return predicted classes and answers of as many pixels, some of which can't be told."""
    predicted = (rng.random(count) < SHARES[1]).astype(int)
    answers = np.where(rng.random(count) < 0.1, 1 - predicted, predicted)
    return predicted, np.where(rng.random(count) < 0.1, IGNORE, answers)


def test_a_visit_of_one_answer_is_an_answer():
    predicted, answers = sample(np.random.default_rng(0), 100)
    alone = estimate(Tally.of(predicted, answers, SHARES), 20_000)
    visits = estimate_by_visits(predicted, answers, np.arange(100), SHARES, draws=20_000)
    np.testing.assert_allclose(intervals(alone), intervals(visits), atol=0.01)
    assert visits.answers == alone.answers


def test_answers_of_a_visit_that_are_alike_say_no_more_than_one():
    predicted, answers = sample(np.random.default_rng(1), 200)
    one = estimate(Tally.of(predicted, answers, SHARES), 8000)
    four = [np.repeat(each, 4) for each in (predicted, answers, np.arange(200))]
    visits = estimate_by_visits(*four, SHARES, draws=8000)
    width = one.miou.high - one.miou.low
    assert visits.miou.high - visits.miou.low == pytest.approx(width, rel=0.1)
    naive = estimate(Tally.of(*four[:2], SHARES), 8000)
    assert naive.miou.high - naive.miou.low < 0.6 * width


@given(answered(), st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_equal_weights_are_none(case, weight):
    predicted, answers, shares, _ = case
    weighted = Tally.of(predicted, answers, shares, weights=np.full(len(answers), weight))
    np.testing.assert_allclose(weighted.counts, Tally.of(predicted, answers, shares).counts)


def test_pictures_that_joined_later_are_weighed_up():
    """Half of the pixels, where the masks are worse, were in the second half of the draws only."""
    rng = np.random.default_rng(0)
    points, inside, shares = [], [], np.array([0.5, 0.5])
    for seed in range(150):
        late = np.r_[np.zeros(60, bool), rng.random(60) < 0.5]
        predicted = rng.integers(0, 2, 120)
        answers = np.where(rng.random(120) < np.where(late, 0.3, 0.1), 1 - predicted, predicted)
        weights = np.where(late, 1 / 0.25, 1 / 0.75)
        found = estimate_by_visits(
            predicted, answers, np.arange(120), shares, None, weights, 400, seed
        )
        assert 80 < found.answers < 120
        points.append(found.pixel_accuracy.point)
        inside.append(found.pixel_accuracy.low <= 0.8 <= found.pixel_accuracy.high)
    assert np.mean(points) == pytest.approx(0.8, abs=0.015)
    assert 0.9 <= np.mean(inside) <= 0.99


# ---- what is refused


@pytest.mark.parametrize(
    "counts, shares, prior",
    [
        (np.zeros((2, 2)), SHARES, None),
        (np.zeros((2, 3)), (0.5, 0.3, 0.2), None),
        (-np.ones((2, 3)), SHARES, None),
        (np.full((2, 3), np.nan), SHARES, None),
        (np.zeros((2, 3)), (0, 0), None),
        (np.zeros((2, 3)), (0.5, np.inf), None),
        (np.zeros((3, 4)), (1, 1, 1), np.ones((3, 3))),
        (np.zeros((3, 4)), (1, 1, 1), np.eye(2)),
    ],
)
def test_a_tally_that_is_none_is_refused(counts, shares, prior):
    with pytest.raises(ValueError):
        Tally(counts, shares, prior)


@pytest.mark.parametrize(
    "predicted, answers, weights",
    [
        ([0, 2], [0, 1], None),
        ([0, 1], [0, 2], None),
        ([0, -1], [0, 1], None),
        ([0], [0, 1], None),
        ([0, 1], [0, 1], [1, 0]),
        ([0, 1], [0, 1], [1]),
    ],
)
def test_answers_of_other_classes_are_refused(predicted, answers, weights):
    with pytest.raises(ValueError):
        Tally.of(np.array(predicted), np.array(answers), np.array(SHARES), weights=weights)
