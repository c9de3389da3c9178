"""Grown pseudo-masks: maps over scales and flips, the random walk, rivalry, the cut, marks, and the
files.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from model import build_model
from weakseg.common import IGNORE, UserError
from weakseg.data.cache import ResizedCache
from weakseg.labels.signals import SIGNALS
from weakseg.labels.targets import View, draw_boxes
from weakseg.pseudo_masks import cam, from_labels, random_walk, rounds
from weakseg.pseudo_masks.cam import tag_maps_of

LAWS = settings(max_examples=30)
SIZE = 64
TAGS = random_walk.GROWTH["tags"]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_model("efficientnet-lite0", 3, 4, "none").eval()


def picture(seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, SIZE, SIZE), np.uint8))


def test_a_mirrored_image_has_mirrored_maps(network):
    tag_maps = tag_maps_of(network, [picture(seed) for seed in range(4)], torch.eye(4))
    maps = cam.activation_maps(network, tag_maps, picture())
    assert maps.shape == (4, SIZE, SIZE) and (maps >= 0).all() and not maps.requires_grad
    mirrored = cam.activation_maps(network, tag_maps, picture().flip(2))
    assert torch.allclose(maps, mirrored.flip(2), atol=1e-4 * maps.max())


def test_affinities_are_probabilities_and_alike_cells_are_near(network):
    image = picture() // 8
    image[:, :, SIZE // 2 :] += 200
    walk, (rows, columns) = random_walk.affinity(network, image)
    assert walk.shape == (rows * columns,) * 2 and (walk >= 0).all()
    assert torch.allclose(walk.sum(1), torch.ones(rows * columns), atol=1e-5)
    left = (torch.arange(rows * columns) % columns) < columns // 2
    assert walk[left][:, left].sum() > 2 * walk[left][:, ~left].sum()


@LAWS
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(0, 4))
def test_spread_maps_lie_between_0_and_1_whatever_the_scale(seed, steps):
    rng = np.random.default_rng(seed)
    walk = torch.from_numpy(rng.random((16, 16)))
    walk /= walk.sum(1, keepdim=True)
    maps = torch.from_numpy(rng.random((2, 8, 8)))
    found = random_walk.spread(maps, walk, (4, 4), steps)
    assert found.shape == maps.shape and found.min() >= 0 and found.max() <= 1
    assert torch.allclose(found, random_walk.spread(7 * maps, walk, (4, 4), steps), atol=1e-6)
    assert torch.equal(random_walk.spread(maps.flip(0), walk, (4, 4), steps), found.flip(0))


def test_a_walk_that_stays_changes_nothing_and_one_between_two_halves_fills_them():
    maps = torch.zeros(1, 4, 4)
    maps[0, 0, 0] = 1
    assert torch.equal(random_walk.spread(maps, torch.eye(16), (4, 4), 9), maps)
    half = torch.arange(16) % 4 < 2
    walk = (half[:, None] == half).float() / 8
    assert torch.equal(random_walk.spread(maps, walk, (4, 4), 9)[0], half.view(4, 4).float())


def test_tags_without_an_object_give_background_and_those_that_show_nowhere_leave_it_in_doubt():
    dataset = SimpleNamespace(tag_names=("a", "b"), tag_class=(1, 2), has_background=True)
    walk, maps = (torch.eye(16), (4, 4)), torch.zeros(2, SIZE, SIZE)

    def mask(maps, present, absent):
        return from_labels.mask_from_tags(
            {"present": present, "absent": absent}, picture(), walk, maps, dataset
        )

    assert (mask(maps, [], ["a", "b"]) == 0).all()
    assert (mask(maps, [], ["a"]) == IGNORE).all()
    assert (mask(maps, ["a"], ["b"]) == IGNORE).all()
    maps[0, :20, :20] = 1
    assert set(np.unique(mask(maps, ["a", "b"], []))) <= {1, IGNORE}
    assert 0 in mask(maps, ["a"], ["b"])


@pytest.mark.parametrize("tag_class", [(0, 1), (1, 2)])
def test_without_a_background_tags_leave_in_doubt_what_shows_nothing(tag_class):
    walk, maps = (torch.eye(16), (4, 4)), torch.zeros(2, SIZE, SIZE)
    maps[:, : SIZE // 2] = 1
    tags = {"present": ["a"], "absent": ["b"]}
    with_one, without = (
        from_labels.mask_from_tags(
            tags,
            picture(),
            walk,
            maps,
            SimpleNamespace(tag_names=("a", "b"), tag_class=classes, has_background=has),
        )
        for classes, has in (((1, 2), True), (tag_class, False))
    )
    assert (with_one == 1).any() and (with_one == 0).any()
    assert np.array_equal(without == tag_class[0], with_one == 1)
    assert set(np.unique(without)) == {tag_class[0], IGNORE}


def disc(colour=220):
    """A bright disc on dark noise, and its mask."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    inside = (rows - 30) ** 2 + (columns - 34) ** 2 < 15**2
    image = rng.integers(0, 40, (SIZE, SIZE, 3), np.uint8)
    image[inside] += np.uint8(colour - 40)
    return image, inside


def blob(radius):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.exp(-((rows - 30.0) ** 2 + (columns - 34.0) ** 2) / (2 * radius**2)).astype(
        np.float32
    )


@pytest.mark.parametrize("radius", [11, 14])
def test_a_blurred_map_becomes_the_object_it_lies_on(radius):
    image, inside = disc()
    mask = from_labels.mask_from_maps([blob(radius)], [2], image, TAGS)
    assert mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 2, IGNORE}
    found = mask == 2
    assert found.any() and (found & inside).sum() > 0.98 * found.sum()
    assert not inside[mask == 0].any()


@LAWS
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 3))
def test_only_present_classes_appear_and_background_only_where_no_map_is(seed, count):
    rng = np.random.default_rng(seed)
    maps = rng.random((count, SIZE, SIZE)).astype(np.float32)
    image = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    labels = [3, 1, 2][:count]
    mask = from_labels.mask_from_maps(maps, labels, image, TAGS)
    assert set(np.unique(mask)) <= {0, IGNORE, *labels}
    assert np.array_equal(mask == 0, np.max(maps, axis=0, initial=0) < TAGS.background)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_map_that_is_the_same_everywhere_can_be_used(value):
    mask = from_labels.mask_from_maps(
        np.full((1, SIZE, SIZE), value, np.float32), [1], disc()[0], TAGS
    )
    assert len(np.unique(mask)) == 1


def test_where_two_classes_claim_a_pixel_the_stronger_wins():
    image, inside = disc()
    strong, weak = blob(20), blob(20) * 0.95
    assert set(
        np.unique(from_labels.mask_from_maps([weak, strong], [1, 2], image, TAGS)[inside])
    ) <= {
        2,
        IGNORE,
    }


@LAWS
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 4), rivalry=st.floats(0, 1))
def test_rivals_take_their_share_and_never_more_than_there_is(seed, count, rivalry):
    maps = np.random.default_rng(seed).random((count, 3, 3))
    found = random_walk.compete(torch.from_numpy(maps), rivalry).numpy()
    for index in range(count):
        others = np.delete(maps, index, 0).max(0, initial=0)
        assert np.allclose(found[index], np.clip(maps[index] - rivalry * others, 0, None))


@LAWS
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 3))
def test_the_chances_to_meet_a_seed_are_those_of_walks_that_are_followed(seed, count):
    rng = np.random.default_rng(seed)
    walk = rng.random((16, 16)) ** 4
    walk /= walk.sum(1, keepdims=True)
    seeds = np.zeros((count, 16))
    seeds[np.arange(count), rng.choice(16, count, replace=False)] = 1
    found = random_walk.arrival_probabilities(
        torch.from_numpy(seeds.reshape(count, 4, 4)), torch.from_numpy(walk), (4, 4)
    ).numpy()
    ended, at, expected = seeds.any(0), np.eye(16), np.zeros((16, count))
    for _ in range(
        2000
    ):  # where a walk from each cell is after so many steps, if none has met a seed before
        expected += at @ (seeds * ended).T
        at = (at * ~ended) @ walk
    assert np.allclose(found.reshape(count, 16).T, expected, atol=1e-3)
    assert np.allclose(found.sum(0), 1)


def test_a_walk_that_meets_no_seed_is_undecided():
    seeds = torch.zeros(2, 4, 4)
    seeds[0, 0, 0] = seeds[1, 3, 3] = 1
    found = random_walk.arrival_probabilities(seeds, torch.eye(16), (4, 4))
    assert torch.allclose(found.sum(0), torch.ones(4, 4)) and found[0, 0, 0] == found[1, 3, 3] == 1
    assert torch.allclose(found[0, 1], torch.full((4,), 0.5), atol=1e-4)


def halves():
    """A picture of a dark left and a bright right half."""
    image = picture() // 8
    image[:, :, SIZE // 2 :] += 200
    return image


def test_clicks_grow_over_what_looks_alike_and_stay_what_they_are(network):
    image = halves()
    walk = random_walk.affinity(network, image)
    clicks = {
        "points": [[80, 30, 2], [20, 30, 0], [25, 35, 1]]
    }  # of an original of 100 x 50 pixels
    mask = from_labels.mask_from_annotations(clicks, (100, 50), image, walk)
    assert mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 1, 2, IGNORE}
    marks = SIGNALS["points"].target(clicks["points"], View(100, 50, SIZE), ())
    assert np.array_equal(mask[marks != IGNORE], marks[marks != IGNORE])
    alone = from_labels.mask_from_annotations(
        {"points": clicks["points"][:2]}, (100, 50), image, walk
    )
    assert (alone == 2).sum() > 20 * (alone[:, : SIZE // 2] == 2).sum() and (
        alone[:, : SIZE // 2] == 0
    ).any()


@LAWS
@given(
    points=st.lists(
        st.tuples(st.floats(0, 99), st.floats(0, 49), st.integers(0, 3)).map(list), max_size=4
    ),
    path=st.lists(st.tuples(st.floats(0, 99), st.floats(0, 49)).map(list), min_size=1, max_size=3),
)
def test_no_class_appears_that_nobody_marked(affinities, points, path):
    scribbles = [{"class": 3, "width": 2, "path": path}]
    for marks in (
        {"points": points},
        {"points": points, "scribbles": scribbles},
        {"scribbles": scribbles},
    ):
        mask = from_labels.mask_from_annotations(marks, (100, 50), halves(), affinities)
        said = {p[2] for p in marks.get("points", ())} | {3 for _ in marks.get("scribbles", ())}
        assert set(np.unique(mask)) <= {0, IGNORE, *said}
        if not said - {0}:
            assert set(np.unique(mask)) <= {IGNORE, *said}


@LAWS
@given(
    corners=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 40)), max_size=3),
    point=st.tuples(st.floats(0, 99), st.floats(0, 49)),
)
def test_a_class_stays_in_its_boxes_and_they_say_what_is_background(affinities, corners, point):
    boxes = [[x, y, min(x + 40, 100), min(y + 20, 50), 1 + x % 2] for x, y in corners]
    view = View(100, 50, SIZE)
    mask = from_labels.mask_from_annotations(
        {"boxes": boxes, "points": [[*point, 0]]}, (100, 50), halves(), affinities
    )
    assert (
        mask.dtype == np.uint8 and (mask[SIGNALS["boxes"].target(boxes, view, ()) == 0] == 0).all()
    )
    for label in (1, 2):
        own = SIGNALS["boxes"].target([box for box in boxes if box[4] == label], view, ()) > 0
        assert not (mask == label)[~own].any()


def test_a_box_that_fills_the_picture_says_nothing(affinities):
    mask = from_labels.mask_from_annotations(
        {"boxes": [[0, 0, 100, 50, 1]]}, (100, 50), halves(), affinities
    )
    assert (mask == IGNORE).all()
    known = from_labels.knowledge_of(
        {"size": [100, 50], "boxes": [[0, 0, 100, 50, 1]]}, ("boxes",), "walk", WITH, SIZE
    )
    assert known.classes.tolist() == [1] and known.is_closed and known.where.all()


WITH, WITHOUT = (SimpleNamespace(has_background=answer) for answer in (True, False))


@LAWS
@given(
    points=st.lists(
        st.tuples(st.floats(0, 99), st.floats(0, 49), st.integers(0, 3)).map(list), max_size=4
    )
)
def test_without_a_background_all_that_is_not_clicked_is_a_clicked_class_or_in_doubt(
    affinities, points
):
    # Walks start in cells: clicks of several classes in one are a tie everywhere.
    assume(len({(int(x * 8 / 100), int(y * 8 / 50)) for x, y, _ in points}) == len(points))
    mask = from_labels.mask_from_annotations(
        {"points": points}, (100, 50), halves(), affinities, False
    )
    marks = SIGNALS["points"].target(points, View(100, 50, SIZE), ())
    assert np.array_equal(mask[marks != IGNORE], marks[marks != IGNORE])
    assert set(np.unique(mask)) <= {IGNORE, *np.unique(marks)}
    # The names of classes don't matter, that of class 0 included.
    turned = [[x, y, (label + 1) % 4] for x, y, label in points]
    other = from_labels.mask_from_annotations(
        {"points": turned}, (100, 50), halves(), affinities, False
    )
    assert ((mask == IGNORE) == (other == IGNORE)).mean() > 0.99  # ties go to the lower number
    both = (mask != IGNORE) & (other != IGNORE)
    assert ((mask[both] + 1) % 4 == other[both]).mean() > 0.99 if both.any() else True


@LAWS
@given(
    corners=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 40)), max_size=3),
    point=st.tuples(st.floats(0, 99), st.floats(0, 49)),
)
def test_without_a_background_nothing_is_known_outside_of_boxes(affinities, corners, point):
    boxes = [[x, y, min(x + 40, 100), min(y + 20, 50), x % 2] for x, y in corners]
    label, view = {"size": [100, 50], "boxes": boxes, "points": [[*point, 0]]}, View(100, 50, SIZE)
    mask = from_labels.mask_from_annotations(
        from_labels.annotations_of(label, ("points", "boxes")),
        (100, 50),
        halves(),
        affinities,
        False,
    )
    marks = SIGNALS["points"].target(label["points"], view, ())
    inside = draw_boxes(boxes, view, IGNORE) != IGNORE
    assert (mask[~inside & (marks == IGNORE)] == IGNORE).all() and (mask[marks == 0] == 0).all()
    for number in (0, 1):
        own = draw_boxes([box for box in boxes if box[4] == number], view, IGNORE) != IGNORE
        assert not ((mask == number) & (marks == IGNORE))[~own].any()
    known = from_labels.knowledge_of(label, ("points", "boxes"), "walk", WITHOUT, SIZE)
    assert not known.is_closed and set(known.classes) == {0, *(box[4] for box in boxes)}
    # Where boxes of one class alone are, it is sure.
    held = [
        draw_boxes([box for box in boxes if box[4] == number], view, IGNORE) != IGNORE
        for number in (0, 1)
    ]
    for number in (0, 1):
        alone = held[number] & ~held[1 - number] & (marks == IGNORE)
        assert (known.marks[alone] == number).all() and (mask[alone] == number).all()
    assert (known.marks[(held[0] == held[1]) & (marks == IGNORE)] == IGNORE).all()


def test_without_a_background_the_middle_of_a_large_box_ends_where_a_smaller_one_begins():
    view, boxes = View(64, 64, 64), [[0, 0, 64, 64, 1], [24, 24, 40, 40, 0]]
    nothing = np.full((64, 64), IGNORE, np.uint8)
    seeds = from_labels.add_box_middles(nothing, {"boxes": boxes}, view, False)
    assert not (seeds[24:40, 24:40] == 1).any() and seeds[32, 32] == 0 and seeds[32, 22] == 1


@pytest.fixture(scope="module")
def affinities(network):
    return random_walk.affinity(network, halves())


def test_predictions_are_probabilities_and_at_one_scale_the_network_s_own(network):
    found = from_labels.mean_prediction(network, picture())
    assert found.shape == (3, SIZE, SIZE) and torch.allclose(
        found.sum(0), torch.ones(SIZE, SIZE), atol=1e-5
    )
    alone = network(picture()[None])["seg"].softmax(1)[0]
    assert torch.allclose(
        from_labels.mean_prediction(network, picture(), scales=(1.0,)), alone, atol=1e-5
    )
    assert not torch.allclose(found, alone, atol=1e-5)


@LAWS
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.sets(st.integers(1, 3)),
    closed=st.booleans(),
    marked=st.booleans(),
)
def test_the_second_round_is_what_a_sure_network_says_of_the_classes_on_show(
    seed, classes, closed, marked
):
    rng, classes = np.random.default_rng(seed), np.array(sorted(classes), np.uint8)
    says = rng.integers(0, 4, (SIZE, SIZE))
    probabilities = torch.from_numpy(np.eye(4, dtype=np.float32)[says]).permute(2, 0, 1)
    before = np.full((SIZE, SIZE), 7, np.uint8)
    marks = (
        np.where(rng.random((SIZE, SIZE)) < 0.01, 0, IGNORE).astype(np.uint8) if marked else None
    )
    known = from_labels.Knowledge(classes, np.ones((len(classes), 1, 1), bool), marks, closed)
    mask = from_labels.mask_from_predictions(probabilities, picture(seed), before, known)
    expected = np.where(np.isin(says, classes), says, 0 if closed else IGNORE)
    assert np.array_equal(
        mask, expected if marks is None else np.where(marks == IGNORE, expected, marks)
    )


def test_a_class_that_the_network_lost_keeps_its_first_mask():
    probabilities = torch.zeros(3, SIZE, SIZE)
    probabilities[1], before = 1, np.full((SIZE, SIZE), 2, np.uint8)
    known = from_labels.Knowledge(np.array([1, 2]), np.ones((2, 1, 1), bool), None, True)
    assert from_labels.mask_from_predictions(probabilities, picture(), before, known) is before


@pytest.mark.parametrize("unknown", [False, True])
def test_files_hold_the_masks_and_an_unknown_tag_leaves_no_background(
    network, unknown, tmp_path, pets_dir
):
    photograph = next(pets_dir.glob("images/*.jpg"))
    dataset = SimpleNamespace(
        photograph=lambda name: photograph,
        tag_names=list("abcd"),
        tag_class=[1, 2, 2, 2],
        has_background=True,
    )
    tags = {"present": ["a"], "absent": [] if unknown else ["b", "c", "d"]}
    labels = {"x/y": {"size": [100, 50], "tags": tags, "points": [[30, 30, 2]]}}
    image = torch.from_numpy(ResizedCache(tmp_path / "cache", SIZE).image(photograph))

    tag_maps = tag_maps_of(network, [image, image.flip(1)], torch.eye(2, 4))

    def make(term):
        def mask(name):
            return from_labels.first_mask(
                term, network, tag_maps, dataset, ("tags", "points"), labels[name], image
            )

        rounds.write_mask(rounds.mask_path(tmp_path / term, "x/y"), mask("x/y"))
        return rounds.RoundMasks([tmp_path / term], SIZE)["x/y"]

    found = make("cams")
    assert found.shape == (SIZE, SIZE) and found.dtype == np.uint8 and not (found == 2).any()
    assert (found == 0).any() != unknown
    assert (make("walk") == 2).any()


def test_the_last_round_counts_nothing_is_labelled_before_it_and_a_file_that_is_gone_is_named(
    tmp_path,
):
    masks = rounds.RoundMasks([tmp_path / "1", tmp_path / "2"], SIZE)
    assert (masks["x/y"] == IGNORE).all()
    for number in (1, 2):
        made = np.full((SIZE, SIZE), number, np.uint8)
        rounds.write_mask(rounds.mask_path(tmp_path / str(number), "x/y"), made)
        assert np.array_equal(masks["x/y"], made)
    (tmp_path / "2" / "x" / "y.png").unlink()
    with pytest.raises(UserError, match=r"2/x/y\.png: gone since the run made it"):
        masks["x/y"]
