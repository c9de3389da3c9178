"""Class activation maps from image tags and an encoder that nobody trained on them."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F

from weakseg.learners.unet import SegmentationModel

SCALES = (1.0, 1.5, 2.0)  # of the image, over which maps are summed
SHARPNESS, ROUNDS = 8.0, 20  # of the attention to cells; of the alternation
GRID = 8  # cells a side, at most, that an image has while maps are fitted
MOST_IMAGES = 2000  # that are looked at, for the sake of memory: 0.1 MB each


class TagMaps:
    """A linear map of features [B, F, h, w] to evidence for tags [B, T, h, w].

    (Zhou et al., CVPR 2016.) mean, std [F]: the features' own over all cells; weights [F, T]
    """

    def __init__(self, mean: torch.Tensor, std: torch.Tensor, weights: torch.Tensor) -> None:
        self.mean, self.std, self.weights = mean, std, weights

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        cells = standardised(features.permute(0, 2, 3, 1), self.mean, self.std)
        return (cells @ self.weights).permute(0, 3, 1, 2)


def standardised(cells: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Return cells [..., F] with mean 0 and variance 1; features that never change become 0."""
    return (cells - mean) / std.clamp(min=1e-6)


def fit_tag_maps(cells: torch.Tensor, tags: torch.Tensor) -> TagMaps:
    """Return the `TagMaps` of images [N, P, F], each of P cells, by their tags [N, T].

    tags: 1 present, 0 absent, -1 unknown

    A tag's weights are the mean of the cells that stand for images with it, less that of images
    without: a nearest prototype, hence no gradient and nothing random. Which cells stand for an
    image, its maps decide: those with the strongest evidence, on either side (multiple instance
    learning: Andrews et al., NeurIPS 2002). Starting from all cells alike, maps and weights follow
    each other, half way at a time, since whole steps swing to and fro.
    """
    mean, std = cells.mean((0, 1)), cells.std((0, 1))
    cells = standardised(cells, mean, std)
    prototypes = cells.mean(1)[:, None].expand(-1, tags.shape[1], -1)  # [N, T, F]
    weights = torch.zeros((), dtype=cells.dtype, device=cells.device)
    for _ in range(ROUNDS):
        difference = mean_where(prototypes, tags == 1) - mean_where(prototypes, tags == 0)
        weights = of_unit_maps(weights + of_unit_maps(difference.T, cells), cells)
        attention = (SHARPNESS * (cells @ weights)).softmax(1)
        prototypes = torch.einsum("npt,npf->ntf", attention, cells)
    return TagMaps(mean, std, weights)


def mean_where(prototypes: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return the mean [T, F] of prototypes [N, T, F] where [N, T] is true; 0 without any."""
    count = where.sum(0)[:, None].clamp(min=1)
    return torch.einsum("ntf,nt->tf", prototypes, where.to(prototypes.dtype)) / count


def of_unit_maps(weights: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Scale weights [F, T] so that their maps over the cells [N, P, F] have variance 1."""
    return weights / (cells @ weights).std((0, 1)).clamp(min=1e-6)


@torch.no_grad()
def tag_maps_of(
    encoder: SegmentationModel, images: Iterable[torch.Tensor], tags: torch.Tensor
) -> TagMaps:
    """Return the `TagMaps` that these images give.

    encoder: in evaluation mode; images: an iterable of [3, S, S] uint8; tags: see `fit_tag_maps`
    """
    cells = []
    for image in images:
        features = encoder.deep_features(encoder.normalised(image[None]))
        side = min(GRID, features.shape[-1])
        cells.append(F.adaptive_avg_pool2d(features, side).flatten(2)[0].T)
    return fit_tag_maps(torch.stack(cells), tags.to(cells[0].device))


@torch.no_grad()
def activation_maps(
    encoder: SegmentationModel,
    tag_maps: TagMaps,
    image: torch.Tensor,
    scales: tuple[float, ...] = SCALES,
) -> torch.Tensor:
    """Return class activation maps (Zhou et al., CVPR 2016), summed over scales and mirror images.

    encoder: in evaluation mode; tag_maps: of its features; image [3, S, S] uint8 -> [T, S, S], >= 0
    """
    x = encoder.normalised(image[None])
    total = torch.zeros((), device=x.device)
    for scale in scales:
        larger = x
        if scale != 1:
            larger = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
        both = torch.cat([larger, larger.flip(3)])
        maps = tag_maps(encoder.deep_features(both)).clamp(min=0)
        maps = F.interpolate(maps, size=x.shape[-2:], mode="bilinear", align_corners=False)
        total = total + maps[0] + maps[1].flip(2)
    return total
