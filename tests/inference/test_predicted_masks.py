"""A probe's predictions of whole photographs: along edges, or the logits as they are."""

import zlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.inference import predict
from weakseg.inference.edges import LONGEST, follow_edges, working_size
from weakseg.inference.predict import probabilities, probe_masks
from weakseg.learners.features import FeatureMaps
from weakseg.learners.logistic import LinearHead
from weakseg.learners.probe import Probe, Standard

LAWS = settings(max_examples=30)
CLASSES, CHANNELS = 3, (2, 3)
SIZES = st.tuples(st.integers(1, 60), st.integers(1, 60)) | st.sampled_from([(300, 40), (50, 600)])
SEEDS = st.integers(0, 99)


def features(size, seed):
    """Return random features of a photograph of a size (width, height) in a frame of 32 x 24."""
    rng = np.random.default_rng(seed)
    maps = (rng.normal(size=(CHANNELS[0], 6, 8)), rng.normal(size=(CHANNELS[1], 3, 4)))
    return FeatureMaps(tuple(one.astype(np.float16) for one in maps), (4, 8), size, (32, 24))


def photograph(size, seed):
    """Return random colours [H, W, 3] uint8."""
    return np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)


def positive(chances):
    """Return chances [C, H, W] that sum to 1 without those below 0, summing to 1 again."""
    kept = np.where(chances < 0, 0, chances)
    return kept / kept.sum(0)


def a_probe(seed, edges):
    generator, width = torch.Generator().manual_seed(seed), sum(CHANNELS)
    weights = torch.randn(width, CLASSES, generator=generator)
    standard = Standard(np.zeros(width, np.float32), np.ones(width, np.float32))
    return Probe(standard, LinearHead(weights, torch.randn(CLASSES, generator=generator)), edges)


@LAWS
@given(size=SIZES, seed=SEEDS, edges=st.floats(0, 0.3))
def test_chances_have_the_photograph_s_size_and_sum_to_1(size, seed, edges):
    found = probabilities(a_probe(seed, edges), features(size, seed), photograph(size, seed))
    assert found.shape == (CLASSES, *size[::-1]) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    assert (found >= 0).all() and (found <= 1).all()


@LAWS
@given(size=SIZES, seed=SEEDS, pixels=st.floats(0, 0.49))
def test_without_edges_they_are_the_logits_at_full_size_and_no_more(size, seed, pixels):
    """Also where the radius is below a pixel of the small copy of a large photograph."""
    maps, image = features(size, seed), photograph(size, seed)
    probe = a_probe(seed, pixels / max(working_size(*size)))
    found = probabilities(probe, maps, image)
    np.testing.assert_allclose(found, probe.logits(maps).softmax(0).numpy(), atol=1e-6)
    assert np.array_equal(found, probabilities(replace(probe, edges=0.0), maps, image))


@LAWS
@given(size=SIZES, seed=SEEDS, pixels=st.floats(0.51, 9))
def test_with_edges_they_are_those_of_a_small_copy_that_follow_them(size, seed, pixels):
    small = working_size(*size)
    maps, image, radius = features(size, seed), photograph(size, seed), pixels / max(small)
    probe = a_probe(seed, radius)
    chances = probe.logits(maps, small).softmax(0).numpy()
    assert max(chances.shape[1:]) <= LONGEST
    found = probabilities(probe, maps, image)
    np.testing.assert_allclose(found, positive(follow_edges(chances, image, radius)), atol=1e-6)


def mirror(maps):
    """Return features whose columns are in reverse order."""
    return replace(maps, maps=tuple(stage[:, :, ::-1] for stage in maps.maps))


@LAWS
@given(size=SIZES, seed=SEEDS, edges=st.floats(0, 0.1))
def test_with_the_mirror_image_they_are_the_mean_of_both_along_the_same_edges(size, seed, edges):
    small = working_size(*size)
    maps, other, image = features(size, seed), features(size, seed + 1), photograph(size, seed)
    probe = a_probe(seed, edges)
    if round(edges * max(small)) < 1:
        small, edges = size, 0.0
    straight, turned = (probe.logits(one, small).softmax(0).numpy() for one in (maps, other))
    expected = positive(follow_edges((straight + turned[:, :, ::-1]) / 2, image, edges))
    found = probabilities(probe, maps, image, other)
    assert found.shape == (CLASSES, *size[::-1]) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


@LAWS
@given(size=SIZES, seed=SEEDS)
def test_the_mirror_image_s_own_chances_change_nothing(size, seed):
    """Features that are mirrored exactly say the same of each pixel."""
    maps, image, probe = features(size, seed), photograph(size, seed), a_probe(seed, 0.05)
    found = probabilities(probe, maps, image, mirror(maps))
    np.testing.assert_allclose(found, probabilities(probe, maps, image), atol=1e-4)


@LAWS
@given(size=SIZES, seed=SEEDS, edges=st.floats(0, 0.1))
def test_a_photograph_and_its_mirror_image_have_mirrored_chances(size, seed, edges):
    """Whatever the encoder says of either."""
    maps, other, image = features(size, seed), features(size, seed + 1), photograph(size, seed)
    probe, turned = a_probe(seed, edges), np.ascontiguousarray(image[:, ::-1])
    found = probabilities(probe, maps, image, other)
    mirrored = probabilities(probe, other, turned, maps)
    np.testing.assert_allclose(mirrored, found[:, :, ::-1], atol=2e-4)


class Store:
    """Random features of photographs by what they show, as `FeatureStore` gives them."""

    def __init__(self, images):
        self.images, self.shown = images, []

    def __call__(self, path):
        return self.of_pixels(self.images[path])

    def of_pixels(self, pixels):
        assert pixels.flags.c_contiguous  # else its bytes are not those of the same picture
        self.shown.append(pixels)
        return features(pixels.shape[1::-1], zlib.crc32(pixels.tobytes()))


def masks_of(probe, images, *views):
    """Return the masks by name, and the photographs that features were asked of."""
    dataset = SimpleNamespace(photograph=str, image=images.get, mask=str)
    store = Store(images)
    found = {name: mask for name, mask, _ in probe_masks(probe, store, dataset, images, *views)}
    return found, store.shown


@LAWS
@given(size=SIZES, seed=SEEDS, edges=st.floats(0, 0.1))
def test_of_two_views_a_mirrored_photograph_has_the_mirrored_mask(size, seed, edges):
    """But for pixels whose two likeliest classes are equally likely up to rounding."""
    image, probe = photograph(size, seed), a_probe(seed, edges)
    images = {"straight": image, "mirrored": np.ascontiguousarray(image[:, ::-1])}
    found, shown = masks_of(probe, images, 2)
    assert all(any(np.array_equal(one, each) for one in shown) for each in images.values())
    assert len(shown) == 4
    maps = [features(size, zlib.crc32(one.tobytes())) for one in images.values()]
    chances = probabilities(probe, maps[0], image, maps[1])
    second, first = np.sort(chances, axis=0)[-2:]
    sure = first - second > 1e-3
    assert np.array_equal(found["straight"], chances.argmax(0))
    assert np.array_equal(found["mirrored"][:, ::-1][sure], found["straight"][sure])


@pytest.mark.parametrize("views", [(), (1,)])
def test_of_one_view_the_mirror_image_is_never_looked_at(views):
    images = {name: photograph((40, 30), seed) for seed, name in enumerate("ab")}
    probe = a_probe(0, 0.05)
    found, shown = masks_of(probe, images, *views)
    assert all(np.array_equal(*both) for both in zip(shown, images.values(), strict=True))
    for name, image in images.items():
        maps = features((40, 30), zlib.crc32(image.tobytes()))
        assert np.array_equal(found[name], probabilities(probe, maps, image).argmax(0))


@pytest.mark.parametrize("edges", [0.0, 0.1])
def test_a_probe_s_masks_are_its_likeliest_classes(edges, monkeypatch):
    sizes = {"a": (40, 30), "b": (20, 50)}
    dataset = SimpleNamespace(
        photograph=lambda name: name,
        image=lambda name: photograph(sizes[name], 1),
        mask=lambda name: f"truth of {name}",
    )
    radii, real = [], predict.mask_along_edges
    monkeypatch.setattr(
        predict, "mask_along_edges", lambda *rest: radii.append(rest[2]) or real(*rest)
    )
    probe = a_probe(0, edges)
    found = [*probe_masks(probe, lambda name: features(sizes[name], 2), dataset, ["b", "a"])]
    assert [(name, truth) for name, _, truth in found] == [("b", "truth of b"), ("a", "truth of a")]
    for name, mask, _ in found:
        maps, image = features(sizes[name], 2), photograph(sizes[name], 1)
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, probabilities(probe, maps, image).argmax(0))
        if not edges:
            assert np.array_equal(mask, probe.logits(maps).argmax(0).numpy())
    assert {*radii} == {edges}
