"""Maps of tags without training: what they find, and what must not matter to them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model import build_model
from weakseg.pseudo_masks.cam import GRID, fit_tag_maps, tag_maps_of

LAWS = settings(max_examples=25)
CELLS, FEATURES = 16, 6


def scene(seed, images=60, tags=2):
    """Cells [N, P, F] of noise; an image with tag t has two cells with feature t raised -> (cells,
    says, where).
    """
    rng = np.random.default_rng(seed)
    cells = rng.normal(size=(images, CELLS, FEATURES))
    says = (rng.random((images, tags)) < 0.5).astype(float)
    says[:2] = [[1, 0], [0, 1]]
    where = np.zeros((images, CELLS, tags), bool)
    for i, t in np.argwhere(says == 1):
        where[i, rng.choice(CELLS, 2, replace=False), t] = True
    cells[..., :tags] += 6 * where
    return torch.from_numpy(cells), torch.from_numpy(says), torch.from_numpy(where)


def maps_of(fitted, cells):
    """Apply to cells [N, P, F] -> [N, P, T]."""
    return fitted(cells.permute(0, 2, 1)[..., None])[..., 0].permute(0, 2, 1)


@LAWS
@given(seed=st.integers(0, 2**32 - 1))
def test_the_cells_of_a_tag_are_found_by_its_presence_alone(seed):
    cells, says, where = scene(seed)
    maps = maps_of(fit_tag_maps(cells, says), cells)
    assert maps[where].mean() > 2 and maps[~where].mean() < 0.5
    found = maps.argmax(1)
    for t in range(2):
        images = says[:, t] == 1
        assert where[images, found[images, t], t].double().mean() > 0.95


@LAWS
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_units_of_features_and_the_order_of_images_cells_and_tags_do_not_matter(seed, scale, shift):
    cells, says, _ = scene(seed)
    maps = maps_of(fit_tag_maps(cells, says), cells)
    other = cells * scale + shift
    assert torch.allclose(maps_of(fit_tag_maps(other, says), other), maps, atol=1e-5)
    images, places, tags = (
        torch.from_numpy(np.random.default_rng(seed).permutation(n)) for n in (60, CELLS, 2)
    )
    shuffled = maps_of(fit_tag_maps(cells[images][:, places], says[images][:, tags]), cells)
    assert torch.allclose(shuffled, maps[:, :, tags], atol=1e-6)


def test_a_tag_that_nobody_asked_about_says_nothing():
    cells, says, where = scene(0)
    full = fit_tag_maps(cells, says)
    says[20:, 0] = -1
    fitted = fit_tag_maps(cells, says)
    assert torch.equal(fitted.weights[:, 1], full.weights[:, 1])
    assert not torch.equal(fitted.weights[:, 0], full.weights[:, 0])
    maps = maps_of(fitted, cells)[..., 0]
    assert maps[where[..., 0]].mean() > 2  # the 20 answers tell what the others show


@pytest.mark.parametrize("says", [1.0, 0.0, -1.0])
def test_a_tag_of_all_or_of_none_gives_finite_maps(says):
    cells, tags, _ = scene(1)
    tags[:, 1] = says
    fitted = fit_tag_maps(cells, tags)
    assert torch.isfinite(fitted.weights).all()
    assert (fitted.weights[:, 1].abs().sum() > 0) == (says >= 0)
    cells[..., 3] = 7.0  # a feature that never changes
    assert torch.isfinite(maps_of(fit_tag_maps(cells, tags), cells)).all()


def test_images_of_any_size_are_looked_at_through_the_same_number_of_cells():
    torch.manual_seed(0)
    network = build_model("efficientnet-lite0", 2, 2, "none").eval()
    images = [
        torch.from_numpy(np.random.default_rng(i).integers(0, 256, (3, 192, 192), np.uint8))
        for i in range(2)
    ]
    says = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    fitted = tag_maps_of(network, images, says)
    features = network.unet.encoder.out_channels[-1] + network.unet.encoder.out_channels[-2]
    assert fitted.weights.shape == (features, 2) and not fitted.weights.requires_grad
    assert fitted(torch.zeros(1, features, 3 * GRID, GRID)).shape == (1, 2, 3 * GRID, GRID)
