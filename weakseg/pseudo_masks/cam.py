"""Class activation maps from image tags and an encoder that nobody trained on them."""

import torch
import torch.nn.functional as F

from weakseg.learners.unet import deepest

SCALES = (1.0, 1.5, 2.0)  # of the image, for activation maps

SHARPNESS, ROUNDS = 8.0, 20
GRID = 8  # cells a side, at most, that an image has while maps are fitted
MOST_IMAGES = 2000  # that are looked at, for the sake of memory: 0.1 MB each


class TagMaps:
    """A linear map of features [B, F, h, w] to evidence for tags [B, T, h, w] (Zhou et al., CVPR
    2016).

    mean, std [F]: the features' own over all cells; weights [F, T]
    """

    def __init__(self, mean, std, weights):
        self.mean, self.std, self.weights = mean, std, weights

    def __call__(self, features):
        cells = standardised(features.permute(0, 2, 3, 1), self.mean, self.std)
        return (cells @ self.weights).permute(0, 3, 1, 2)


def standardised(cells, mean, std):
    """Return cells [..., F] with mean 0 and variance 1; features that never change become 0."""
    return (cells - mean) / std.clamp(min=1e-6)


def fit_tag_maps(cells, says):
    """Return the `TagMaps` of images [N, P, F], each of P cells, by their tags [N, T]: 1 present, 0
    absent, -1 unknown.

    A tag's weights are the mean of the cells that stand for images with it, less that of images
    without: a nearest prototype, hence no gradient and nothing random. Which cells stand for an
    image, its maps say: those with the strongest evidence, on either side (multiple instances:
    Andrews et al., NeurIPS 2002). Starting from all cells alike, maps and weights follow each
    other, half way at a time, since whole steps swing to and fro.
    """
    mean, std = cells.mean((0, 1)), cells.std((0, 1))
    cells = standardised(cells, mean, std)
    stand = cells.mean(1)[:, None].expand(-1, says.shape[1], -1)  # [N, T, F]
    weights = 0
    for _ in range(ROUNDS):
        found = share_mean(stand, says == 1) - share_mean(stand, says == 0)
        weights = of_unit_maps(weights + of_unit_maps(found.T, cells), cells)
        attention = (SHARPNESS * (cells @ weights)).softmax(1)
        stand = torch.einsum("npt,npf->ntf", attention, cells)
    return TagMaps(mean, std, weights)


def share_mean(stand, where):
    """Return the mean [T, F] over the images `where` [N, T] says so; 0 where none does."""
    count = where.sum(0)[:, None].clamp(min=1)
    return torch.einsum("ntf,nt->tf", stand, where.to(stand.dtype)) / count


def of_unit_maps(weights, cells):
    """Scale weights [F, T] so that their maps over the cells have variance 1."""
    return weights / (cells @ weights).std((0, 1)).clamp(min=1e-6)


@torch.no_grad()
def tag_maps_of(encoder, images, says):
    """Return the `TagMaps` that these images give.

    encoder: a `SegmentationModel` in evaluation mode; images: an iterable of [3, S, S] uint8; says:
    see `fit_tag_maps`
    """
    found = []
    for image in images:
        features = deepest(encoder.unet.encoder(encoder.normalised(image[None])))
        side = min(GRID, features.shape[-1])
        found.append(F.adaptive_avg_pool2d(features, side).flatten(2)[0].T)
    return fit_tag_maps(torch.stack(found), says.to(found[0].device))


@torch.no_grad()
def activation_maps(encoder, tag_maps, image, scales=SCALES):
    """Return class activation maps (Zhou et al., CVPR 2016), summed over scales and flips -> [T, S,
    S], >= 0.

    encoder: a `SegmentationModel` in evaluation mode; tag_maps: the `TagMaps` of its features;
    image [3, S, S] uint8
    """
    x, total = encoder.normalised(image[None]), 0
    for scale in scales:
        larger = (
            F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
            if scale != 1
            else x
        )
        both = torch.cat([larger, larger.flip(3)])
        maps = tag_maps(deepest(encoder.unet.encoder(both))).clamp(min=0)
        maps = F.interpolate(maps, size=x.shape[-2:], mode="bilinear", align_corners=False)
        total = total + maps[0] + maps[1].flip(2)
    return total
