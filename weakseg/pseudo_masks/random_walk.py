"""Random walks between alike cells: how seeds spread, and which seed a walk meets first.

A cell is one place of the encoder's feature map. Two cells are alike where their ImageNet features
point the same way (Ahn & Kwak, CVPR 2018; for clicks and strokes, Vernaza & Chandraker, CVPR 2017).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from weakseg.learners.unet import SegmentationModel

WALK_SCALE = 2.0  # of the image, whose features are compared
SPREAD_POWER = 3.0  # of the likeness of two cells, where seeds spread
ARRIVAL_POWER = 6.0  # the same, where walks are asked which seed they meet first
LEAK = 1e-5  # chance of a step to anywhere, so that every walk meets a seed

Grid = tuple[int, int]  # rows and columns of cells
Walk = tuple[torch.Tensor, Grid]  # step probabilities [N, N] between the cells, and their grid


class Growth(NamedTuple):
    """How far seeds spread, and what their maps, in [0, 1], then mean.

    rivalry: share of the strongest other map that is taken from a map
    """

    steps: int
    rivalry: float
    background: float  # below it a pixel is background
    foreground: float  # from it on it may be the object
    certain: float  # from it on it is the object


# Maps of tags cover objects already, clicks have to travel.
GROWTH = {
    "tags": Growth(10, 0.0, 0.35, 0.6, 0.8),
    "points": Growth(12, 0.25, 0.1, 0.3, 0.5),
}
# Where strokes or boxes mark the background, the maps are the chances that a walk meets the object
# first.
ARRIVAL_GROWTH = Growth(0, 0.0, 0.3, 0.5, 0.7)


@torch.no_grad()
def affinity(encoder: SegmentationModel, image: torch.Tensor, power: float = SPREAD_POWER) -> Walk:
    """Return the random walk of an image: step probabilities [N, N], rows sum to 1, and the grid.

    encoder: in evaluation mode; its features compare cells, by a `power` of their cosine
    image [3, S, S] uint8
    """
    x = F.interpolate(
        encoder.normalised(image[None]),
        scale_factor=WALK_SCALE,
        mode="bilinear",
        align_corners=False,
    )
    return walk_between(encoder.encode(x)[-2][0], power)


def walk_between(features: torch.Tensor, power: float = SPREAD_POWER) -> Walk:
    """Return the random walk between the cells of features [F, h, w], see `affinity`."""
    cells = features.flatten(1).T
    cells = F.normalize(cells - cells.mean(0), dim=1)
    alike = (cells @ cells.T).clamp(min=0) ** power
    return alike / alike.sum(1, keepdim=True), (features.shape[1], features.shape[2])


def spread(maps: torch.Tensor, walk: torch.Tensor, grid: Grid, steps: int) -> torch.Tensor:
    """Spread maps [K, S, S] by some steps of a random walk -> [K, S, S], each from 0 to 1."""
    if not len(maps):
        return maps
    cells = F.adaptive_avg_pool2d(maps, grid).flatten(1).T
    for _ in range(steps):
        cells = walk @ cells
    spread_maps = enlarged(cells, grid, maps)
    low = spread_maps.amin((1, 2), keepdim=True)
    high = spread_maps.amax((1, 2), keepdim=True)
    return (spread_maps - low) / (high - low).clamp(min=torch.finfo(spread_maps.dtype).tiny)


def arrival_probabilities(seeds: torch.Tensor, walk: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return the chance that a walk from a pixel meets a seed of each class first -> [K, S, S].

    This is Grady, Random Walks for Image Segmentation (PAMI 2006), one linear system over the
    cells; the K chances sum to 1. A cell with seeds of several classes ends the walk at each by its
    share. seeds [K, S, S]: 1 where a pixel is a seed of the class, else 0.
    """
    cells = F.adaptive_avg_pool2d(seeds, grid).flatten(1).T
    total = cells.sum(1, keepdim=True)
    is_seed = total > 0
    ends = torch.where(is_seed, cells / total.clamp(min=torch.finfo(cells.dtype).tiny), 0)
    steps = torch.where(is_seed, 0, (1 - LEAK) * walk + LEAK / len(walk))
    identity = torch.eye(len(walk), dtype=walk.dtype, device=walk.device)
    chances = torch.linalg.solve(identity - steps, ends)
    return enlarged(chances / chances.sum(1, keepdim=True), grid, seeds)


def enlarged(cells: torch.Tensor, grid: Grid, like: torch.Tensor) -> torch.Tensor:
    """Enlarge the values of cells [N, K] to the size of maps [K, S, S]."""
    maps = cells.T.unflatten(1, tuple(grid))[None]
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)[0]


def compete(maps: torch.Tensor, rivalry: float) -> torch.Tensor:
    """Take from each map [K, S, S] a share of the strongest of the others, down to 0."""
    if len(maps) < 2:
        return maps
    (first, second), winner = torch.topk(maps, 2, dim=0)[0], maps.argmax(0)
    is_winner = torch.arange(len(maps), device=maps.device)[:, None, None] == winner
    return (maps - rivalry * torch.where(is_winner, second, first)).clamp(min=0)
