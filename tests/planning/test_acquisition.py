"""Each strategy on toy pools where the right choice is known, and laws that hold for all of
them.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.common import UserError
from weakseg.planning.acquisition import STRATEGIES, UNCERTAINTIES, Context, choose_strategy
from weakseg.planning.scores import Scores
from weakseg.planning.uncertainty import NUMBERS, VECTORS

LAWS = settings(max_examples=25)


def rank(name, pool, count, seed=0, **context):
    return STRATEGIES[name].rank(pool, count, np.random.default_rng(seed), Context(**context))


def pool_of(numbers=None, vectors=None, share=None, prefix="image"):
    """`Scores` of plain lists."""
    arrays = [
        *(numbers or {}).values(),
        *(vectors or {}).values(),
        *([] if share is None else [share]),
    ]
    return Scores(
        [f"{prefix}{i:03}" for i in range(len(arrays[0]))],
        {name: np.array(values, dtype=np.float64) for name, values in (numbers or {}).items()},
        {name: np.array(values, dtype=np.float32) for name, values in (vectors or {}).items()},
        None if share is None else np.array(share, dtype=np.float64),
    )


@st.composite
def pools(draw, most=30):
    """Draw (pool, labelled or None) with all scores, many of them tied or zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    classes, width, step = (
        draw(st.integers(2, 4)),
        draw(st.integers(1, 5)),
        draw(st.sampled_from([0, 1, 0.001])),
    )

    def some(count, prefix):
        def coarse(*shape):
            return np.round(rng.uniform(0, 2, shape)) * step

        share = rng.dirichlet(np.full(classes, 0.3), count).reshape(count, classes)
        vectors = {
            name: coarse(count, width).astype(np.float32) for name in ("features", "gradient")
        }
        vectors["class_entropy"] = coarse(count, classes).astype(np.float32)
        ids = [f"{prefix}{i}" for i in range(count)]
        return Scores(ids, {name: coarse(count) for name in NUMBERS}, vectors, share)

    labelled = draw(st.one_of(st.none(), st.integers(0, 8)))
    return some(draw(st.integers(0, most)), "pool"), None if labelled is None else some(
        labelled, "bought"
    )


@pytest.mark.parametrize("name", STRATEGIES)
@LAWS
@given(pools(), st.integers(0, 40), st.integers(0, 5), st.integers(0, 100))
def test_every_strategy_orders_valid_images_without_repeats(name, drawn, count, turn, seed):
    pool, labelled = drawn
    chosen = rank(name, pool, count, seed, labelled=labelled, round=turn, rounds=6)
    assert len(chosen) >= min(count, len(pool))
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= set(range(len(pool)))
    assert all(type(index) is int for index in chosen)


@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=15)
@given(pools(most=20), st.randoms(use_true_random=False))
def test_the_order_of_the_pool_and_of_the_bought_images_changes_nothing(name, drawn, shuffler):
    pool, labelled = drawn
    order = shuffler.sample(range(len(pool)), len(pool))
    chosen = [pool.ids[i] for i in rank(name, pool, 6, labelled=labelled)]
    if labelled is not None:
        labelled = labelled.take(shuffler.sample(range(len(labelled)), len(labelled)))
    mixed = pool.take(order)
    assert [mixed.ids[i] for i in rank(name, mixed, 6, labelled=labelled)] == chosen


def test_what_a_strategy_needs_can_be_computed_and_is_enough():
    known = NUMBERS.keys() | VECTORS.keys() | {"class_share"}
    full = pool_of(
        {name: range(1, 13) for name in NUMBERS},
        {name: np.eye(12, 3) for name in VECTORS},
        np.eye(12, 3),
    )
    for name, strategy in STRATEGIES.items():
        assert strategy.needs <= known
        pool = Scores(
            full.ids,
            {key: values for key, values in full.numbers.items() if key in strategy.needs},
            {key: values for key, values in full.vectors.items() if key in strategy.needs},
            full.class_share if "class_share" in strategy.needs else None,
        )
        assert len(rank(name, pool, 5)) >= 5
    assert not STRATEGIES["random"].needs


def test_an_unknown_strategy_is_refused_with_the_nearest_name():
    assert choose_strategy("badge") is STRATEGIES["badge"]
    with pytest.raises(
        UserError, match=r"active_learning\.strategy 'entropi': did you mean entropy"
    ):
        choose_strategy("entropi")


def test_random_is_uniform_and_ties_fall_at_random():
    pool = pool_of({"entropy": [1, 1, 1, 1]})
    for name in ("random", "entropy"):
        firsts = np.bincount([rank(name, pool, 1, seed)[0] for seed in range(400)], minlength=4)
        assert (abs(firsts - 100) < 40).all(), name  # 4.6 standard deviations


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_the_largest_score_is_bought_first_and_seconds_can_turn_it(name):
    pool = pool_of({name: [0.2, 0.9, 0.5], "seconds": [30, 300, 30]})
    assert rank(name, pool, 3) == [1, 2, 0]
    assert rank(f"{name}_per_second", pool, 3) == [2, 0, 1]


def test_an_image_that_costs_nothing_has_a_finite_rate():
    pool = pool_of({"entropy": [0, 0.5, 40], "seconds": [0, 0, 20]})
    assert rank("entropy_per_second", pool, 3) == [2, 1, 0]


def softmax_scores(rows):
    """Entropy, margin and least confidence of one-pixel images with given probabilities."""
    import torch

    from weakseg.planning.uncertainty import score_batch

    class Given(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = torch.nn.Parameter(torch.tensor(rows).log())

        def forward(self, image):
            return {"seg": self.logits[image[:, 0, 0, 0].long()][..., None, None]}

    image = torch.arange(len(rows), dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 3, 1, 1)
    ids = [f"image{i}" for i in range(len(rows))]
    return score_batch(Given(), image, ids, {"entropy", "margin", "least_confidence"})


def test_entropy_margin_and_least_confidence_differ_on_three_classes():
    # Two classes in a tie; one class ahead of two equals; a sure one.
    pool = softmax_scores([[0.49, 0.49, 0.02], [0.48, 0.26, 0.26], [0.98, 0.01, 0.01]])
    assert rank("entropy", pool, 3) == [1, 0, 2]
    assert rank("margin", pool, 3) == [0, 1, 2]
    flat = softmax_scores([[0.6, 0.2, 0.2], [1 / 3, 1 / 3, 1 / 3], [0.501, 0.499, 1e-9]])
    assert rank("entropy", flat, 3) == [1, 0, 2]
    assert rank("margin", flat, 3) == [1, 2, 0]
    assert rank("least_confidence", flat, 3) == [1, 2, 0]


def test_class_balanced_covers_the_rare_class_and_then_both():
    share = np.tile([0.7, 0.3, 0.0], (50, 1))
    share[[7, 31]] = [0.8, 0.0, 0.2]
    share[12] = [0.9, 0.099, 0.001]  # a speck of the rare class doesn't count
    pool = pool_of(share=share)
    common = pool_of(share=share[:4], prefix="bought")
    for seed in range(10):
        assert set(rank("class_balanced", pool, 2, seed, labelled=common)) == {7, 31}
        assert len({7, 31} & set(rank("class_balanced", pool, 2, seed))) == 1
        assert len(rank("class_balanced", pool, 9, seed)) == 9
    assert (
        len({rank("class_balanced", pool, 1, seed, labelled=common)[0] for seed in range(20)}) == 2
    )


def test_without_a_background_class_0_is_looked_for_like_any_other():
    share = np.tile([0.0, 0.7, 0.3], (50, 1))
    share[[7, 31], 0] = 0.2
    entropy = np.ones((50, 3))
    pool = pool_of({"entropy": np.ones(50)}, {"class_entropy": entropy}, share)
    common = pool_of(share=share[:4], prefix="bought")
    context = Context(common, has_background=False)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        chosen = choose_strategy("class_balanced").rank(pool, 2, rng, context)
        assert set(chosen) == {7, 31}
        chosen = choose_strategy("clasp_pe").rank(pool, 6, rng, context)
        assert {7, 31} & set(chosen)


def test_class_balanced_without_foreground_is_random():
    pool = pool_of(share=np.tile([1.0, 0.0], (6, 1)))
    assert len({rank("class_balanced", pool, 1, seed)[0] for seed in range(60)}) == 6


def test_k_center_takes_the_outlier_and_then_the_next():
    line = [[0.0], [0.1], [10.0], [4.0], [4.1]]
    pool, bought = (
        pool_of(vectors={"features": line}),
        pool_of(vectors={"features": [[0.0]]}, prefix="bought"),
    )
    assert rank("kcenter", pool, 3, labelled=bought) == [2, 4, 1]
    for seed in range(5):
        assert {0, 1} & set(rank("kcenter", pool, 3, seed)) and 2 in rank("kcenter", pool, 3, seed)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_greedy_k_center_covers_within_twice_the_best_radius(seed, count):
    from itertools import combinations

    points = np.random.default_rng(seed).normal(size=(9, 2)).astype(np.float32)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)

    def radius(centres):
        return distance[:, list(centres)].min(1).max()

    best = min(radius(centres) for centres in combinations(range(9), count))
    assert (
        radius(rank("kcenter", pool_of(vectors={"features": points}), count, seed))
        <= 2 * best + 1e-6
    )


def test_badge_takes_the_longest_gradient_and_then_far_ones():
    # Three far groups of two near twins, and an image without a gradient.
    groups = [[9.0, 0, 0], [0, 8.0, 0], [0, 0, 7.0]]
    vectors = [np.add(group, [0, 0, 0.001 * twin]) for group in groups for twin in (0, 1)] + [
        [0, 0, 0]
    ]
    chosen = np.array(
        [rank("badge", pool_of(vectors={"gradient": vectors}), 3, seed) for seed in range(50)]
    )
    assert (chosen[:, 0] == 1).all()
    assert all(len(set(picks // 2)) == 3 for picks in chosen), "never two twins"


def test_badge_draws_in_proportion_to_the_squared_distance():
    pool = pool_of(vectors={"gradient": [[10], [9], [7], [4]]})
    seconds = (
        np.bincount([rank("badge", pool, 2, seed)[1] for seed in range(1000)], minlength=4) / 1000
    )
    assert np.allclose(seconds, np.array([0, 1, 9, 36]) / 46, atol=0.05)


def blobs(sizes):
    """Return (points [N, 2], blob of each, index of each blob's middle): crosses, densest in the
    middle, far apart.
    """
    arms = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    points, owner, centres = [], [], []
    for number, size in enumerate(sizes):
        middle = np.array([40.0 * number, 30.0 * (number % 2)])
        centres.append(len(owner))
        points += [middle, *(middle + arms[i % 4] * (1 + i // 4) for i in range(size - 1))]
        owner += [number] * size
    return np.array(points), np.array(owner), centres


def test_typiclust_takes_the_centre_of_each_blob_the_largest_first():
    points, _, centres = blobs([9, 17, 13])
    pool = pool_of(vectors={"features": points})
    for seed in range(3):
        assert rank("typiclust", pool, 3, seed) == [centres[1], centres[2], centres[0]]


def test_typiclust_skips_blobs_that_hold_a_label_and_lone_outliers():
    points, owner, centres = blobs([9, 17, 13])
    bought = pool_of(vectors={"features": points[centres[1]][None]}, prefix="bought")
    pool = pool_of(vectors={"features": np.delete(points, centres[1], axis=0)})
    chosen = rank("typiclust", pool, 2, labelled=bought)
    assert np.delete(owner, centres[1])[chosen].tolist() == [2, 0]
    outlier = pool_of(vectors={"features": [*points, [500.0, 500.0]]})
    assert len(points) not in rank("typiclust", outlier, 4)


def test_typiclust_keeps_clusters_whole_in_a_small_pool():
    points, owner, centres = blobs([5, 5])
    for seed in range(3):
        chosen = rank("typiclust", pool_of(vectors={"features": points}), 6, seed)
        assert set(chosen[:2]) == set(centres)
        assert np.bincount(owner[chosen]).tolist() == [3, 3]


def test_typiclust_does_not_see_the_order_of_the_bought_images():
    rng = np.random.default_rng(0)
    pool = pool_of(vectors={"features": rng.normal(size=(60, 2))})
    bought = pool_of(vectors={"features": rng.normal(size=(6, 2))}, prefix="bought")
    turned = bought.take(range(5, -1, -1))
    for seed in range(10):
        assert rank("typiclust", pool, 6, seed, labelled=bought) == rank(
            "typiclust", pool, 6, seed, labelled=turned
        )


def clasp_pool():
    """60 images; entropy falls from 1 to 0.01; class 1 is everywhere, class 2 in the four surest
    images.
    """
    entropy = np.geomspace(1, 0.01, 60)
    share = np.tile([0.7, 0.3, 0.0], (60, 1))
    share[56:] = [0.8, 0.0, 0.2]
    share[:5, 2] = 0.001  # specks: of great entropy, but not offered for the class
    by_class = np.where(share > 0, entropy[:, None], 0)
    return pool_of({"entropy": entropy}, {"class_entropy": by_class}, share)


def test_clasp_pe_stratifies_half_of_the_purchase_over_the_predicted_classes():
    for seed in range(10):
        chosen = rank("clasp_pe", clasp_pool(), 8, seed, round=4, rounds=5)
        assert len({56, 57, 58, 59} & set(chosen)) == 2, "a quarter for the rare class"
        assert len(set(range(8)) & set(chosen)) == 6, "the rest by entropy"


def test_clasp_pe_explores_early_and_exploits_late():
    pool = clasp_pool()
    pool.class_share[:, 1:] = 0
    early = [rank("clasp_pe", pool, 8, seed, round=0, rounds=5) for seed in range(20)]
    late = [rank("clasp_pe", pool, 8, seed, round=4, rounds=5) for seed in range(20)]
    assert len({tuple(sorted(chosen)) for chosen in late}) < len(
        {tuple(sorted(chosen)) for chosen in early}
    )
    assert np.mean(late) < 5 < 8 < np.mean(early) < 29, "early is noisy, but not blind"
    assert rank("clasp_pe", pool, 3, round=0, rounds=1)


def test_power_acquisition_draws_in_proportion_to_the_entropy_to_the_beta():
    pool = pool_of(
        {"entropy": [1, 2, 5]}, {"class_entropy": np.zeros((3, 2))}, np.tile([1.0, 0.0], (3, 1))
    )
    firsts = (
        np.bincount(
            [rank("clasp_pe", pool, 1, seed, rounds=5)[0] for seed in range(2000)], minlength=3
        )
        / 2000
    )
    assert np.allclose(firsts, np.array([1, 2, 5]) / 8, atol=0.05)


def test_large_pools_need_no_square_matrix():
    import tracemalloc

    count, rng = 3000, np.random.default_rng(0)
    vectors = {name: rng.normal(size=(count, 8)) for name in ("features", "gradient")}
    pool = pool_of(vectors=vectors)
    for name in ("kcenter", "badge", "typiclust"):
        rank(name, pool.take(range(50)), 5)
        tracemalloc.start()
        rank(name, pool, 10)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < count * count / 2, (
            name
        )  # bytes: half of what one byte for each pair would take
