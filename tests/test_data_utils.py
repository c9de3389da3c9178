"""Augmentation keeps labels on their image content; items and samplers depend on (seed, epoch, id)
alone.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_folders import opened
from torch import nn

import data_utils
from data_utils import EpochBatches, InOrder, SegmentationItems, augment, make_loader
from weakseg.data.cache import ResizedCache
from weakseg.labels import targets
from weakseg.labels.label_file import load_labels
from weakseg.labels.signals import SIGNALS
from weakseg.labels.targets import View

LAWS = settings(max_examples=40)
SIZE = 64


def coordinates():
    """An image [3, SIZE, SIZE] whose red and green are four times the coordinates of their
    pixel.
    """
    ramp = torch.arange(SIZE) * 4
    return torch.stack(
        [ramp.expand(SIZE, SIZE), ramp[:, None].expand(SIZE, SIZE), torch.zeros(SIZE, SIZE)]
    ).byte()


@pytest.fixture(scope="module")
def plain_colours():
    """Switch the colour change off, so that colours stay coordinates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_utils.v2, "ColorJitter", lambda **_: nn.Identity())
        yield


def decode(image):
    """Return the position in the unaugmented square that each pixel shows: x, y, two arrays [SIZE,
    SIZE].
    """
    return image[0].numpy() / 4 + 0.5, image[1].numpy() / 4 + 0.5


@LAWS
@given(
    seed=st.integers(0, 2**62),
    x=st.floats(0, 1, exclude_max=True),
    y=st.floats(0, 1, exclude_max=True),
)
def test_points_stay_on_what_they_mark(plain_colours, seed, x, y):
    view = View(width=200, height=50, size=SIZE)
    image, view = augment(coordinates(), view, seed)
    target = targets.draw_points([[x * 200, y * 50, 1]], view)
    shown_x, shown_y = decode(image)
    if (target == 1).any():
        row, column = np.argwhere(target == 1)[0]
        assert abs(shown_x[row, column] - x * SIZE) <= 1
        assert abs(shown_y[row, column] - y * SIZE) <= 1
    else:  # then nothing near it is in sight
        assert np.hypot(shown_x - x * SIZE, shown_y - y * SIZE).min() > 0.4


@LAWS
@given(seed=st.integers(0, 2**62), corners=st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_boxes_scribbles_and_masks_stay_on_what_they_mark(plain_colours, seed, corners):
    (x0, x1), (y0, y1) = sorted(corners[:2]), sorted(corners[2:])
    view = View(width=50, height=300, size=SIZE)
    image, view = augment(coordinates(), view, seed)
    x, y = (values / SIZE for values in decode(image))
    one = 1.0 / SIZE
    inside = (x > x0 + one) & (x < x1 - one) & (y > y0 + one) & (y < y1 - one)
    outside = (x < x0 - one) | (x > x1 + one) | (y < y0 - one) | (y > y1 + one)

    box = targets.draw_boxes([[x0 * 50, y0 * 300, x1 * 50, y1 * 300, 1]], view)
    assert (box[inside] == 1).all()
    assert (box[outside] == 0).all()

    centres = (np.arange(SIZE) + 0.5) / SIZE
    mask = (
        np.uint8((centres >= x0) & (centres < x1))
        * np.uint8((centres >= y0) & (centres < y1))[:, None]
    )
    seen = targets.crop_mask(mask, view)
    assert (seen[inside] == 1).all()
    assert (seen[outside] == 0).all()

    path = [[x0 * 50, y0 * 300], [x1 * 50, y0 * 300], [x1 * 50, y1 * 300]]
    scribble = targets.draw_scribbles([{"class": 1, "width": 1, "path": path}], view) == 1
    near_top = (np.abs(y - y0) < 1.5 * one) & (x > x0 - 1.5 * one) & (x < x1 + 1.5 * one)
    near_side = (np.abs(x - x1) < 1.5 * one) & (y > y0 - 1.5 * one) & (y < y1 + 1.5 * one)
    assert (near_top | near_side)[scribble].all()


@given(
    seed=st.integers(0, 99),
    left=st.integers(0, 8),
    top=st.integers(0, 8),
    width=st.integers(8, 16),
    height=st.integers(8, 16),
    flip=st.booleans(),
)
def test_chances_are_seen_where_the_view_looks(seed, left, top, width, height, flip):
    """Those of the whole square as they are; a ramp stays one, at the places that are seen."""
    cells = np.random.default_rng(seed).integers(0, 256, (2 * 6, 6), np.uint8)
    whole = data_utils.seen_chances({"a": cells}, "a", View(50, 40, 24))
    np.testing.assert_allclose(whole, cells.reshape(2, 6, 6) / 255, rtol=1e-6)
    mirrored = data_utils.seen_chances({"a": cells}, "a", View(50, 40, 24, flip=True))
    assert np.array_equal(mirrored, whole[:, :, ::-1])

    ramp = np.tile(10 * np.arange(6, dtype=np.uint8), (6, 1))  # along x; the other class along y
    view = View(50, 40, 24, left, top, width, height, flip)
    seen = data_utils.seen_chances({"a": np.concatenate([ramp, ramp.T])}, "a", view) * 255 / 10
    seen = seen[:, :, ::-1] if flip else seen
    middles = (np.arange(6) + 0.5) / 6  # of what is seen
    x, y = ((6 / 24) * (first + middles * length) - 0.5 for first, length in view_sides(view))
    np.testing.assert_allclose(seen[0], np.tile(x.clip(0, 5), (6, 1)), atol=1e-5)
    np.testing.assert_allclose(seen[1], np.tile(y.clip(0, 5), (6, 1)).T, atol=1e-5)


def view_sides(view):
    """Return (first, length) of what a view shows, across and down, network pixels."""
    left, top, width, height = view.crop
    return (left, width), (top, height)


def test_augmentation_varies_and_repeats_without_touching_the_global_stream():
    image, view = coordinates(), View(100, 50, SIZE)
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    seen = [augment(image, view, seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(seen[0][0], seen[1][0])
    assert seen[0][1] == seen[1][1] != seen[2][1]
    assert not torch.equal(seen[0][0], seen[2][0])
    views = [augment(image, view, seed)[1] for seed in range(60)]
    assert 15 < sum(v.flip for v in views) < 45
    for v in views:
        left, top, width, height = v.crop
        assert 0 <= left <= left + width <= SIZE
        assert 0 <= top <= top + height <= SIZE
        assert 0.45 < width * height / SIZE**2 <= 1
    assert seen[0][0].dtype == torch.uint8


def test_strong_augmentation_changes_colours_alone():
    image, view = torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8), View(SIZE, SIZE, SIZE)
    changes, grey = [], 0
    for seed in range(60):
        (usual, seen), (strong, same) = (
            augment(image, view, seed),
            augment(image, view, seed, strong=True),
        )
        assert seen == same and strong.dtype == torch.uint8 and strong.shape == image.shape
        assert torch.equal(strong, augment(image, view, seed, strong=True)[0])
        changes.append((usual.float() - strong.float()).abs().mean().item())
        grey += bool((strong == strong[:1]).all())
    assert (
        0 < sum(change == 0 for change in changes) < 15
    )  # 0.2 * 0.8 * 0.5: it may also leave an image as it is
    assert 4 < grey < 24


@pytest.fixture(scope="module")
def parts(pets_dir, pets_labels, tmp_path_factory):
    """(data set, its training ids, cache, labels) of the tiny Pet data set."""
    cache_dir = tmp_path_factory.mktemp("cache")
    dataset = opened(pets_dir, cache_dir=cache_dir)
    return (
        dataset,
        dataset.ids("train"),
        ResizedCache(cache_dir, SIZE),
        load_labels(pets_labels)["images"],
    )


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def test_items_hold_what_the_signals_draw(parts):
    dataset, ids, cache, labels = parts
    items = SegmentationItems(dataset, ids, cache, labels, tuple(SIGNALS), masks=True)
    for index, name in enumerate(ids):
        item = items[0, index]
        assert item["index"] == index
        assert item["image"].shape == (3, SIZE, SIZE)
        assert item["image"].dtype == torch.uint8
        assert torch.equal(item["mask"], item["targets"]["full"])
        full = item["mask"].numpy()
        assert set(np.unique(full)) <= {0, 1, 255}
        assert item["targets"]["tags"].tolist() == [
            float(tag in dataset.tags(name)) for tag in dataset.tag_names
        ]
        box = item["targets"]["boxes"].numpy()
        assert (box[full == 1] == 1).mean() > 0.98  # a speck under --min_area has no box
        for signal in ("points", "scribbles"):
            target = item["targets"][signal].numpy()
            labelled = (target != 255) & (full != 255)
            assert (target == 1).any()
            assert (target == 0).any()
            assert (
                target[labelled] == full[labelled]
            ).mean() > 0.85  # at 64 px a pen drawn at 80 px rounds outward


def test_items_depend_on_seed_epoch_and_id_alone(parts):
    dataset, ids, cache, labels = parts

    def items(order, seed=0):
        return SegmentationItems(
            dataset, order, cache, labels, tuple(SIGNALS), augment=True, masks=True, seed=seed
        )

    first = items(ids)
    views = [first[1, 0], first[2, 0], items(ids, seed=1)[1, 0]]
    torch.manual_seed(5)
    other = items(ids[::-1])
    for index in (0, 3):
        item = other[1, len(ids) - 1 - index]
        assert same(item | {"index": index}, first[1, index])
    for i in range(3):
        assert not torch.equal(views[i]["image"], views[(i + 1) % 3]["image"])


def test_masks_are_read_only_where_they_are_asked_for(parts, monkeypatch):
    dataset, ids, cache, labels = parts
    weak = tuple(signal for signal in SIGNALS if signal != "full")
    monkeypatch.setattr(type(cache), "mask", lambda *_: pytest.fail("a mask was read"))
    assert "mask" not in SegmentationItems(dataset, ids, cache, labels, weak, augment=True)[0, 0]
    assert SegmentationItems(dataset, ids, cache)[0, 0]["targets"] == {}
    with pytest.raises(pytest.fail.Exception):
        SegmentationItems(dataset, ids, cache, labels, ("full",))[0, 0]


def test_worker_processes_change_nothing(parts):
    dataset, ids, cache, labels = parts
    items = SegmentationItems(dataset, ids, cache, labels, ("points", "tags"), augment=True)
    batches = EpochBatches(len(ids), 8, seed=0)
    batches.epoch = 4
    alone, together = (list(make_loader(items, batches, workers)) for workers in (0, 2))
    assert len(alone) == len(together) == len(ids) // 8
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))
    assert alone[0]["image"].shape == (8, 3, SIZE, SIZE)
    assert alone[0]["targets"]["points"].shape == (8, SIZE, SIZE)


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_draws_nothing_from_the_generator_of_the_network(parts, workers):
    dataset, ids, cache, labels = parts
    loader = make_loader(
        SegmentationItems(dataset, ids, cache, labels, ("points",)), InOrder(8, 4), workers
    )
    state = torch.get_rng_state()
    for _ in range(2):
        assert len(list(loader)) == 2
        assert torch.equal(torch.get_rng_state(), state)


@LAWS
@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 9))
def test_epoch_batches_are_whole_different_each_epoch_and_repeatable(count, batch_size, epoch):
    batches = EpochBatches(count, batch_size, seed=1)
    batches.epoch = epoch
    once, again = list(batches), list(batches)
    assert once == again
    assert len(once) == len(batches) >= 1
    assert {len(batch) for batch in once} == {min(batch_size, count)}
    keys = [key for batch in once for key in batch]
    assert {e for e, _ in keys} == {epoch}
    indices = [i for _, i in keys]
    assert len(set(indices)) == len(indices) > count - batch_size
    assert set(indices) <= set(range(count))
    batches.epoch += 1
    if count > 10:
        assert [i for batch in batches for _, i in batch] != indices
        assert list(EpochBatches(count, batch_size, seed=2)) != once


@LAWS
@given(st.integers(1, 30), st.integers(1, 8), st.integers(1, 12), st.integers(1, 12))
def test_an_epoch_of_given_length_is_a_window_on_the_same_passes(count, batch_size, steps, epochs):
    """However the steps are cut into epochs, the images come in one order: that of the passes
    without `steps`.
    """

    def stream(length, epochs):
        batches = EpochBatches(count, batch_size, 3, length)
        for batches.epoch in range(1, epochs + 1):
            assert len(list(batches)) == len(batches)
            yield from batches

    cut = list(stream(steps, epochs))
    assert len(cut) == steps * epochs
    assert cut == list(stream(None, len(cut)))[: len(cut)]
    assert cut == list(stream(1, len(cut)))


@LAWS
@given(st.integers(0, 50), st.integers(1, 20), st.integers(1, 4))
def test_processes_share_the_images_in_order_without_gap_or_repeat(count, batch_size, world):
    shares = []
    for rank in range(world):
        batches = InOrder(count, batch_size, rank, world)
        assert len(list(batches)) == len(batches)
        assert all(0 < len(batch) <= batch_size for batch in batches)
        shares.append([i for batch in batches for _, i in batch])
        assert shares[-1] == sorted(shares[-1])
    assert sorted(i for share in shares for i in share) == list(range(count))
