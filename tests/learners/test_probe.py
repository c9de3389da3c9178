"""The probe: logits of whole photographs are the head's at each place; bands, sizes, its state."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from weakseg.learners import probe as module
from weakseg.learners.features import FeatureMaps
from weakseg.learners.logistic import LinearHead
from weakseg.learners.probe import Probe, Standard
from weakseg.learners.small_network import SmallNetwork

LAWS = settings(max_examples=40)
CLASSES, HIDDEN = 3, 5
CLOSE = {"rtol": 1e-3, "atol": 1e-3}


@st.composite
def feature_maps(draw, whole_cells=False):
    """Random features of a few stages, of a frame and a photograph of any size.

    whole_cells: the frame is a multiple of all strides
    """
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    strides = draw(st.sampled_from([(4, 8), (2, 4, 4, 16), (8,), (16, 4)]))
    step = max(strides) if whole_cells else 1
    frame = tuple(step * draw(st.integers(1, max(2, 48 // step))) for _ in range(2))
    size = draw(st.tuples(st.integers(1, 60), st.integers(1, 60)))
    maps = tuple(rng.normal(size=(2, -(-frame[1] // s), -(-frame[0] // s))) for s in strides)
    return FeatureMaps(tuple(one.astype(np.float16) for one in maps), strides, size, frame)


def a_probe(width, is_small, seed=0):
    """Return a random probe on `width` features."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    rng = np.random.default_rng(seed)
    mean, deviation = rng.normal(size=width), rng.uniform(0.5, 2, width)
    standard = Standard(mean.astype(np.float32), deviation.astype(np.float32))
    if not is_small:
        return Probe(standard, LinearHead(normal(width, CLASSES), normal(CLASSES)))
    return Probe(
        standard,
        SmallNetwork(
            normal(width, HIDDEN), normal(HIDDEN), normal(HIDDEN, CLASSES), normal(CLASSES)
        ),
    )


def head_at(probe, maps, x, y):
    """Return the head's logits [C, R, C'] of the features at a grid of places x [C'], y [R]."""
    places = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    features = torch.from_numpy(probe.standard(maps.at(places)))
    return probe.head.logits(features).T.reshape(CLASSES, len(y), len(x))


def centres(cells, length):
    """Return the centres of so many equal parts of a length."""
    return (np.arange(cells) + 0.5) * length / cells


# ---- whole photographs


@LAWS
@given(maps=feature_maps(), other=st.none() | st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_linear_logits_are_the_head_s_at_the_centre_of_each_pixel(maps, other):
    probe = a_probe(maps.width, is_small=False)
    width, height = other or maps.size
    logits = probe.logits(maps, other)
    assert logits.shape == (CLASSES, height, width) and logits.dtype == torch.float32
    expected = head_at(probe, maps, centres(width, maps.size[0]), centres(height, maps.size[1]))
    torch.testing.assert_close(logits, expected, **CLOSE)


@LAWS
@given(maps=feature_maps(whole_cells=True))
def test_small_logits_are_the_head_s_at_the_finest_cells_resized(maps):
    probe = a_probe(maps.width, is_small=True)
    across, down = (length // min(maps.strides) for length in maps.frame)
    cells = head_at(probe, maps, centres(across, maps.size[0]), centres(down, maps.size[1]))
    width, height = maps.size
    expected = F.interpolate(cells[None], (height, width), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(probe.logits(maps), expected, **CLOSE)


@LAWS
@given(maps=feature_maps(), x=st.integers(0, 99), y=st.integers(0, 99))
def test_at_the_centre_of_a_finest_cell_the_small_network_is_what_it_is_there(maps, x, y):
    """Also where a frame ends within a cell."""
    probe, stride = a_probe(maps.width, is_small=True), min(maps.strides)
    place = [
        (number % -(-length // stride) + 0.5) * stride
        for number, length in zip((x, y), maps.frame, strict=True)
    ]
    column, row = (
        np.array([at * size / length])
        for at, size, length in zip(place, maps.size, maps.frame, strict=True)
    )
    found = probe.small_logits(probe.head, maps, row, column)
    torch.testing.assert_close(found, head_at(probe, maps, column, row), **CLOSE)


@pytest.mark.parametrize("band", [1, 40, 200])
@given(maps=feature_maps())
@settings(max_examples=15)
def test_logits_do_not_depend_on_how_many_rows_exist_at_a_time(band, maps):
    probe = a_probe(maps.width, is_small=True)
    at_once = probe.logits(maps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BAND", band)
        torch.testing.assert_close(probe.logits(maps), at_once, rtol=1e-5, atol=1e-5)


# ---- single pixels and the state


@given(seed=st.integers(0, 99), other=st.integers(0, 99), width=st.integers(1, 20))
def test_a_linear_head_says_the_same_of_features_standardised_otherwise(seed, other, width):
    probe, standard = a_probe(width, False, seed), a_probe(width, False, other).standard
    features = np.random.default_rng(seed + other).normal(0, 3, (50, width)).astype(np.float32)
    moved = Probe(standard, probe.linear_head(standard))
    np.testing.assert_allclose(moved.at(features), probe.at(features), atol=1e-5)
    logits = (one.head.logits(torch.from_numpy(one.standard(features))) for one in (probe, moved))
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)
    same = probe.linear_head(probe.standard)
    torch.testing.assert_close(same.weights, probe.head.weights)
    assert a_probe(width, True).linear_head(standard) is None


@pytest.mark.parametrize("is_small", [False, True])
def test_probabilities_of_pixels_are_those_of_their_logits(is_small):
    probe = a_probe(6, is_small)
    features = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float16)
    found = probe.at(features)
    assert found.shape == (50, CLASSES) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    logits = probe.head.logits(torch.from_numpy(probe.standard(features)))
    np.testing.assert_allclose(found, logits.softmax(1).numpy(), rtol=1e-5)


@pytest.mark.parametrize("is_small", [False, True])
@given(maps=feature_maps(), shares=st.sampled_from([None, [0.6, 0.3, 0.1], [0.3, 0.1]]))
@settings(max_examples=8)
def test_a_probe_comes_back_from_its_state_bit_by_bit(is_small, maps, shares):
    probe, file = a_probe(maps.width, is_small), io.BytesIO()
    shares = None if shares is None else np.array(shares, np.float32)
    probe = replace(probe, edges=1 / 30, shares=shares)
    torch.save(probe.state(), file)
    file.seek(0)
    again = Probe.of_state(torch.load(file, weights_only=True))
    assert type(again.head) is type(probe.head) and again.num_classes == CLASSES
    assert again.edges == probe.edges
    assert again.shares is shares is None or np.array_equal(again.shares, shares)
    assert torch.equal(again.logits(maps), probe.logits(maps))
    for name in probe.state().keys() - {"shares"}:
        kept = {key: value for key, value in probe.state().items() if key != name}
        with pytest.raises(KeyError, match=name):
            Probe.of_state(kept)


@pytest.mark.parametrize("is_small", [False, True])
def test_a_damaged_state_is_refused_by_the_name_of_a_tensor(is_small):
    state = a_probe(6, is_small).state()
    for name, tensor in state.items():
        spoilt = [torch.full_like(tensor, number) for number in (np.nan, np.inf)]
        spoilt += [tensor[None].clone(), "text"]
        for value in spoilt:
            with pytest.raises(ValueError, match=f"the tensor {name} "):
                Probe.of_state(state | {name: value})
        if tensor.ndim:  # one entry less fits no other tensor
            with pytest.raises(ValueError, match="fits no other tensor"):
                Probe.of_state(state | {name: tensor[:-1]})
    with pytest.raises(ValueError, match="deviation"):
        Probe.of_state(state | {"deviation": torch.zeros_like(state["deviation"])})
    for shares in ([0.5], [1.0, 0.0, 0.0], [np.nan, 1, 1]):
        with pytest.raises(ValueError, match="the tensor shares "):
            Probe.of_state(state | {"shares": torch.tensor(shares)})


@LAWS
@given(
    features=hnp.arrays(
        np.float16,
        st.tuples(st.integers(1, 30), st.integers(1, 4)),
        elements=st.floats(-99, 99, width=16),
    )
)
def test_standardised_features_have_mean_0_and_deviation_1(features):
    standard = Standard.of(features)
    values = standard(features)
    assert values.dtype == np.float32 and np.isfinite(values).all()
    varies = features.astype(np.float32).std(0) > 1e-2
    np.testing.assert_allclose(values.mean(0)[varies], 0, atol=1e-2)
    np.testing.assert_allclose(values.std(0)[varies], 1, rtol=1e-2)
