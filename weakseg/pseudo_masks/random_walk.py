"""Random walks between alike cells of an image: how seeds spread, and which seed a walk meets
first.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

WALK_SCALE = 2.0
WALK_POWER, MEETING_POWER = (
    3.0,
    6.0,
)  # of the likeness of two cells: where walks spread, and where they meet seeds
LEAK = 1e-5  # chance of a step to anywhere, so that every walk meets a seed


class Growth(NamedTuple):
    """How far seeds spread, and what their maps, in [0, 1], then say.

    rivalry: share of the strongest other map that is taken from a map
    """

    steps: int
    rivalry: float
    background: float  # below it a pixel is background
    foreground: float  # from it on it may be the object
    certain: float  # from it on it is the object


# Maps of tags cover objects already, clicks have to travel.
GROWTH = {"tags": Growth(10, 0.0, 0.35, 0.6, 0.8), "points": Growth(12, 0.25, 0.1, 0.3, 0.5)}
# Where strokes or boxes say what is background, the maps are the chances that a walk meets the
# object first.
MEETING_GROWTH = Growth(0, 0.0, 0.3, 0.5, 0.7)


@torch.no_grad()
def affinity(encoder, image, power=WALK_POWER):
    """Return how alike the cells of an image are, [N, N] with rows that sum to 1, and the cells'
    (rows, columns).

    encoder: a `SegmentationModel` whose features compare cells, by a `power` of their cosine
    """
    x = F.interpolate(
        encoder.normalised(image[None]),
        scale_factor=WALK_SCALE,
        mode="bilinear",
        align_corners=False,
    )
    features = encoder.unet.encoder(x)[-2][0]
    cells = features.flatten(1).T
    cells = F.normalize(cells - cells.mean(0), dim=1)
    alike = (cells @ cells.T).clamp(min=0) ** power
    return alike / alike.sum(1, keepdim=True), features.shape[1:]


def spread(maps, walk, grid, steps):
    """Spread maps [K, S, S] by a random walk over alike cells -> [K, S, S] in [0, 1], each with its
    extremes there.

    walk: [N, N] probabilities of a step between the cells of a `grid` (rows, columns)
    """
    if not len(maps):
        return maps
    cells = F.adaptive_avg_pool2d(maps, grid).flatten(1).T
    for _ in range(steps):
        cells = walk @ cells
    found = cells.T.unflatten(1, tuple(grid))
    found = F.interpolate(found[None], size=maps.shape[-2:], mode="bilinear", align_corners=False)[
        0
    ]
    low, high = found.amin((1, 2), keepdim=True), found.amax((1, 2), keepdim=True)
    return (found - low) / (high - low).clamp(min=torch.finfo(found.dtype).tiny)


def meeting(seeds, walk, grid):
    """Return the chance that a random walk over alike cells meets a seed of each class first -> [K,
    S, S], sums of 1.

    (Grady, Random Walks for Image Segmentation, PAMI 2006.) A cell with seeds of several classes
    ends the walk at each by its share. seeds: [K, S, S], 1 where a pixel is a seed of the class,
    else 0; walk, grid: see `spread`
    """
    cells = F.adaptive_avg_pool2d(seeds, grid).flatten(1).T
    total = cells.sum(1, keepdim=True)
    ended = total > 0
    ends = torch.where(ended, cells / total.clamp(min=torch.finfo(cells.dtype).tiny), 0)
    going = torch.where(ended, 0, (1 - LEAK) * walk + LEAK / len(walk))
    found = torch.linalg.solve(
        torch.eye(len(walk), dtype=walk.dtype, device=walk.device) - going, ends
    )
    found = (found / found.sum(1, keepdim=True)).T.unflatten(1, tuple(grid))
    return F.interpolate(found[None], size=seeds.shape[-2:], mode="bilinear", align_corners=False)[
        0
    ]


def compete(maps, rivalry):
    """Take from each map [K, S, S] a share of the strongest of the others, down to 0."""
    if len(maps) < 2:
        return maps
    (first, second), winner = torch.topk(maps, 2, dim=0)[0], maps.argmax(0)
    others = torch.where(
        torch.arange(len(maps), device=maps.device)[:, None, None] == winner, second, first
    )
    return (maps - rivalry * others).clamp(min=0)
