"""Laws of the simulated annotators on random masks, against scipy.ndimage and brute force."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from weakseg.labels import annotators, scribbles
from weakseg.labels.annotators import Options, Scene
from weakseg.labels.signals import SIGNALS

LAWS = settings(max_examples=60)
KINDS = ("blobs", "specks", "thin", "background", "object", "ignore")


def make_mask(kind, height, width, seed, band=False):
    """Return a mask [height, width] uint8 of up to four classes.

    With `band` the borders between classes are ignored.
    """
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    if kind == "blobs":
        smooth = ndimage.gaussian_filter(rng.normal(size=(height, width)), 2.5)
        mask[:] = np.digitize(smooth, np.quantile(smooth, [0.5, 0.8, 0.95]))
    elif kind == "specks":
        mask[rng.integers(0, height, 12), rng.integers(0, width, 12)] = rng.integers(1, 4, 12)
    elif kind == "thin":
        ends = rng.integers(0, [width, height], size=(6, 2))
        cv2.polylines(mask, [ends[:4].astype(np.int32)], False, 1, 1)
        cv2.polylines(mask, [ends[4:].astype(np.int32)], False, 7, 1)
    elif kind != "background":
        mask[:] = {"object": 2, "ignore": 255}[kind]
    if band:
        mask[ndimage.grey_dilation(mask, size=3) != ndimage.grey_erosion(mask, size=3)] = 255
    return mask


def masks(kinds=KINDS):
    side = st.integers(1, 40)
    return st.builds(
        make_mask, st.sampled_from(kinds), side, side, st.integers(0, 2**32), st.booleans()
    )


def regions(mask, label):
    """Return the 8-connected regions of a class as boolean masks, by SciPy."""
    found, count = ndimage.label(mask == label, structure=np.ones((3, 3)))
    return [found == i for i in range(1, count + 1)]


def kept(mask, label, min_area):
    """Return the regions that the annotator labels: all that are no specks, or else the largest."""
    found = regions(mask, label)
    large = [r for r in found if r.sum() >= min_area * mask.size]
    return large or sorted(found, key=np.sum)[-1:]


def objects(mask):
    return [label for label in np.unique(mask).tolist() if label not in (0, 255)]


def stroke(shape, scribble):
    """Draw a scribble in original pixels -> boolean mask."""
    drawn = np.zeros(shape, np.uint8)
    corners = np.floor(scribble["path"]).astype(np.int32)
    cv2.polylines(
        drawn, [np.concatenate([corners, corners[-1:]])[:, None]], False, 1, scribble["width"]
    )
    return drawn > 0


@LAWS
@given(masks(), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_points_lie_on_their_class_and_their_number_follows_the_options(
    mask, each, behind, anywhere
):
    options = Options(
        points_per_object=each, background_points=behind, random_points=anywhere, min_area=0.02
    )
    points = annotators.annotate_points(Scene(mask, options=options), np.random.default_rng(0))
    for x, y, label in points:
        assert mask[int(y), int(x)] == label
        assert (x % 1, y % 1) == (0.5, 0.5)
    for label in objects(mask):
        assert sum(p[2] == label for p in points) == each * len(kept(mask, label, 0.02))
    assert sum(p[2] == 0 for p in points) == behind * (0 in mask)


@LAWS
@given(masks())
def test_the_first_point_is_the_pixel_nearest_to_the_centroid(mask):
    for region in (r for label in objects(mask) for r in annotators.connected_regions(mask, label)):
        x, y = annotators.central_pixel(region)
        where = next(r for r in regions(mask, region.label) if r[int(y), int(x)])
        rows, columns = np.nonzero(where)
        centre = np.array(ndimage.center_of_mass(where))
        nearest = np.hypot(rows - centre[0], columns - centre[1]).min()
        assert np.hypot(y - 0.5 - centre[0], x - 0.5 - centre[1]) == pytest.approx(
            nearest, abs=1e-9
        )


@LAWS
@given(masks(), st.integers(0, 2**32))
def test_random_points_are_different_pixels_as_long_as_there_are_any(mask, seed):
    found = annotators.connected_regions(mask, 0)
    area = int((mask == 0).sum())
    rng = np.random.default_rng(seed)
    everywhere = annotators.random_pixels(found, area, rng)
    assert len({point for _, point in everywhere}) == area
    assert len(annotators.random_pixels(found, 2 * area, rng)) == 2 * area
    assert annotators.random_pixels([], 5, rng) == []


@LAWS
@given(masks(), st.sampled_from([0, 0.001, 0.02, 0.2]))
def test_boxes_are_tight_around_connected_regions(mask, min_area):
    boxes = annotators.annotate_boxes(
        Scene(mask, options=Options(min_area=min_area)), np.random.default_rng(0)
    )
    tight = {}
    for label in objects(mask):
        wanted = kept(mask, label, min_area)
        if len(wanted) == 1:  # of several specks of one size any may be the one that is kept
            wanted = [r for r in regions(mask, label) if r.sum() == wanted[0].sum()]
        tight[label] = [
            (*(s.start for s in where[::-1]), *(s.stop for s in where[::-1]))
            for where in (ndimage.find_objects(r.astype(int))[0] for r in wanted)
        ]
        found = [tuple(b[:4]) for b in boxes if b[4] == label]
        assert set(found) <= set(tight[label])
        assert len(found) == len(kept(mask, label, min_area))
    assert {b[4] for b in boxes} == set(objects(mask))


@LAWS
@given(masks(), st.sampled_from([0.01, 0.5, 1.0]), st.integers(1, 9), st.integers(0, 99))
@example(np.ones((1, 300), np.uint8), 1.0, 3, 0)
@example(np.ones((300, 1), np.uint8), 1.0, 3, 0)
@example(np.eye(300, dtype=np.uint8), 1.0, 3, 0)
def test_scribbles_stay_inside_their_class(mask, length, widest, seed):
    options = Options(scribble_length=length, scribble_width=widest, min_area=0)
    found = scribbles.annotate_scribbles(Scene(mask, options=options), np.random.default_rng(seed))
    for scribble in found:
        assert 1 <= scribble["width"] <= widest
        drawn = stroke(mask.shape, scribble)
        assert drawn.any()
        assert (mask[drawn] == scribble["class"]).all()
        assert len(np.unique(ndimage.label(drawn, np.ones((3, 3)))[0][drawn])) == 1
    strokes = [s["class"] for s in found]
    assert all(strokes.count(label) == len(regions(mask, label)) for label in objects(mask))
    assert strokes.count(0) == (0 in mask)


def spiral(side):
    turns = np.linspace(0, 6 * np.pi, 600)
    x, y = (side / 2 + turns / turns[-1] * side * 0.48 * f(turns) for f in (np.cos, np.sin))
    mask = np.zeros((side, side), np.uint8)
    cv2.polylines(mask, [np.stack([x, y], 1).astype(np.int32)], False, 1, 1)
    return mask


@pytest.mark.parametrize(
    ("mask", "shortest"),
    [(np.eye(400, dtype=np.uint8), 390), (spiral(300), 1000), (np.ones((3, 500), np.uint8), 480)],
    ids=["diagonal", "spiral", "bar"],
)
def test_a_scribble_follows_thin_objects_to_their_ends(mask, shortest):
    scene = Scene(mask, options=Options(scribble_length=1.0, min_area=0))
    scribble = scribbles.annotate_scribbles(scene, np.random.default_rng(0))[0]
    assert stroke(mask.shape, scribble).sum() > shortest


def test_scribble_length_is_a_share_of_the_path():
    mask = np.zeros((60, 400), np.uint8)
    mask[20:40, 20:380] = 1
    lengths = []
    for share in (0.25, 0.5, 1.0):
        scene = Scene(mask, options=Options(scribble_length=share))
        path = np.array(scribbles.annotate_scribbles(scene, np.random.default_rng(0))[0]["path"])
        lengths.append(np.hypot(*np.diff(path, axis=0).T).sum())
    assert lengths[2] > 320
    assert np.allclose(np.divide(lengths, lengths[2]), (0.25, 0.5, 1.0), atol=0.05)


@LAWS
@given(masks(), st.sampled_from([0.0, 0.3, 1.0]))
def test_every_class_gets_every_label_in_plain_types_and_on_the_picture(mask, noise):
    names = tuple("abcdefgh")
    present = tuple(names[label] for label in objects(mask))
    scene = Scene(mask, present, names, Options(noise=noise))
    height, width = mask.shape
    for seed in (0, 1):
        labels = {
            kind: SIGNALS[kind].extract(scene, np.random.default_rng(seed))
            for kind in ("tags", "points", "scribbles", "boxes", "outlines")
        }
        assert json.loads(json.dumps(labels)) == labels
        assert all(0 <= x < width and 0 <= y < height for x, y, _ in labels["points"])
        assert all(
            0 <= x < width and 0 <= y < height for s in labels["scribbles"] for x, y in s["path"]
        )
        assert all(
            0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
            for x0, y0, x1, y1, _ in labels["boxes"]
        )
        assert all(
            0 <= x <= width and 0 <= y <= height
            for outline in labels["outlines"]
            for x, y in outline["polygon"]
        )
        assert {o["class"] for o in labels["outlines"]} == set(objects(mask))
        assert {p[2] for p in labels["points"]} == {*objects(mask), *([0] if 0 in mask else [])}
        assert {s["class"] for s in labels["scribbles"]} == {
            *objects(mask),
            *([0] if 0 in mask else []),
        }
        assert {b[4] for b in labels["boxes"]} == set(objects(mask))
        assert sorted(labels["tags"]["present"] + labels["tags"]["absent"]) == sorted(names)
    if not noise:
        assert tuple(labels["tags"]["present"]) == present
    if noise == 1:
        assert tuple(labels["tags"]["absent"]) == present


def disc():
    """A mask [200, 300] with a disc of class 1 and a smaller one of class 2, far apart."""
    mask = np.zeros((200, 300), np.uint8)
    cv2.circle(mask, (90, 100), 50, 1, -1)
    cv2.circle(mask, (230, 60), 20, 2, -1)
    return mask


@pytest.mark.parametrize("noise", [0.1, 0.4])
def test_the_share_of_clicks_off_the_object_is_the_noise(noise):
    mask, rng = disc(), np.random.default_rng(0)
    options = Options(noise=noise, points_per_object=500, background_points=500)
    points = annotators.annotate_points(Scene(mask, options=options), rng)
    for label in (0, 1, 2):
        off = [mask[int(y), int(x)] != label for x, y, c in points if c == label]
        assert len(off) == 500
        assert abs(np.mean(off) - noise) < 4 * np.sqrt(noise * (1 - noise) / 500)


def test_clicks_that_hit_wobble_with_the_noise():
    scene = Scene(disc(), options=Options(noise=0.05))
    first = np.array(
        [annotators.annotate_points(scene, np.random.default_rng(s))[0] for s in range(300)]
    )
    distances = np.hypot(first[:, 0] - 90.5, first[:, 1] - 100.5)
    inside = distances[distances < 48]
    assert (
        3 < inside.mean() < 20
    )  # the box's diagonal is 143, so the wobble is about 7 along each axis


def test_tags_flip_at_the_rate_of_the_noise():
    names = tuple(map(str, range(2000)))
    scene = Scene(disc(), names[:700], names, Options(noise=0.2))
    present = set(annotators.annotate_tags(scene, np.random.default_rng(0))["present"])
    for group, right in ((names[:700], True), (names[700:], False)):
        wrong = np.mean([(name in present) != right for name in group])
        assert abs(wrong - 0.2) < 4 * np.sqrt(0.16 / len(group))


def test_noisy_boxes_are_looser_and_never_cut_the_object():
    mean = []
    for noise in (0.0, 0.05, 0.2):
        scene = Scene(disc(), options=Options(noise=noise))
        boxes = np.array(
            [annotators.annotate_boxes(scene, np.random.default_rng(s)) for s in range(100)]
        )[:, 0, :4]
        assert (boxes[:, :2] <= [40, 50]).all()
        assert (boxes[:, 2:] >= [141, 151]).all()
        mean.append((boxes[:, 2] - boxes[:, 0]).mean())
    assert mean[0] == 101
    assert mean[1] == pytest.approx(
        101 * (1 + 2 * 0.05 * np.sqrt(2 / np.pi)), rel=0.02
    )  # each side: E|N(0, 0.05 w)|
    assert mean[2] > mean[1] + 10


def test_noisy_scribbles_are_shifted():
    scenes = [Scene(disc(), options=Options(noise=noise)) for noise in (0.0, 0.1)]
    exact, moved = (
        [scribbles.annotate_scribbles(s, np.random.default_rng(k))[0]["path"][0] for k in range(50)]
        for s in scenes
    )
    distances = np.hypot(*(np.array(exact) - moved).T)
    assert 5 < distances.mean() < 30  # the size of the disc is 143: 14 along each axis


def test_the_same_stream_gives_the_same_labels():
    scene = Scene(disc(), ("a",), ("a", "b"), Options(noise=0.3, points_per_object=5))
    for kind in ("tags", "points", "scribbles", "boxes", "outlines"):
        extract = SIGNALS[kind].extract
        assert extract(scene, np.random.default_rng(3)) == extract(scene, np.random.default_rng(3))
        assert extract(scene, np.random.default_rng(3)) != extract(scene, np.random.default_rng(4))


# ---- without a background, and with instances


@LAWS
@given(masks())
def test_without_a_background_class_0_has_objects_like_any_other(mask):
    everything = Scene(mask, options=Options(min_area=0), has_background=False)
    lifted = np.where(mask == 255, 255, mask + 1).astype(np.uint8)
    same = Scene(lifted, options=Options(min_area=0))
    assert everything.background == []
    assert [(r.label + 1, r.box, r.area) for r in everything.objects] == [
        (r.label, r.box, r.area) for r in same.objects
    ]
    points = annotators.annotate_points(everything, np.random.default_rng(0))
    strokes = scribbles.annotate_scribbles(everything, np.random.default_rng(0))
    assert len(points) == len(strokes) == len(everything.objects)


@LAWS
@given(masks(), st.integers(0, 2**32), st.booleans())
def test_each_instance_is_an_object_of_the_class_that_most_of_it_shows(mask, seed, has_background):
    instances = np.random.default_rng(seed).integers(0, 5, mask.shape).astype(np.uint16)
    objects = annotators.objects_in(mask, instances, has_background)
    first, left = int(has_background), mask.copy()
    expected = []
    for number in range(1, 5):
        counts = np.bincount(mask[instances == number], minlength=256)[:255]
        label = int(counts.argmax())
        if counts.any() and label >= first:
            pixels = (instances == number) & (mask == label)
            left[pixels] = 255
            expected.append((label, pixels))
    for label in np.setdiff1d(left, [255] + [0] * first):
        expected += [(int(label), pixels) for pixels in regions(left, label)]

    def whole(region):
        x0, y0, x1, y1 = region.box
        pixels = np.zeros(mask.shape, bool)
        pixels[y0:y1, x0:x1] = region.pixels
        assert region.pixels.any(0)[[0, -1]].all() and region.pixels.any(1)[[0, -1]].all()
        assert region.area == pixels.sum()
        return region.label, pixels.tobytes()

    assert sorted(map(whole, objects)) == sorted((k, p.tobytes()) for k, p in expected)
    assert [r.label for r in objects] == sorted(r.label for r in objects)


def test_no_instance_is_too_small_and_those_that_touch_are_told_apart():
    mask, instances = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint16)
    mask[10:40, 10:40] = 1
    instances[10:40, 10:25], instances[10:40, 25:40] = 7, 300
    mask[80, 80:82], instances[80, 80:82] = 1, 9
    mask[60, 60] = 1  # of no instance, and a speck
    scene = Scene(mask, options=Options(min_area=0.01), instances=instances)
    assert [region.area for region in scene.objects] == [450, 450, 2]
    boxes = annotators.annotate_boxes(scene, np.random.default_rng(0))
    assert boxes == [[10, 10, 25, 40, 1], [25, 10, 40, 40, 1], [80, 80, 82, 81, 1]]
    assert SIGNALS["full"].extract(scene, None) == {"objects": 3, "classes": 1}
    pieces = np.where(instances == 9, 7, instances)  # one object in two pieces
    assert len(Scene(mask, options=Options(min_area=0.01), instances=pieces).objects) == 2


@pytest.mark.parametrize(("mask", "objects"), [(disc(), 2), (np.zeros((20, 30), np.uint8), 0)])
def test_as_many_clicks_on_the_background_as_on_objects(mask, objects):
    for each in (1, 3):
        options = Options(points_per_object=each, background_points=annotators.MATCH)
        points = annotators.annotate_points(Scene(mask, options=options), np.random.default_rng(0))
        assert sum(p[2] == 0 for p in points) == max(1, each * objects)
