"""Frozen features: the stages of an encoder that is never trained, for one photograph at a time.

A photograph keeps its aspect ratio. It is resized to a *frame*, whose longer side is given or
whose scale is, and each stage of the encoder sees the frame at its own stride. A stage's map is
kept as it is, in half precision. Resizing commutes with a linear map, so a prediction is the sum
of the resized projections of all stages: no map of all features at full size ever exists.
"""

import copy
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from PIL import Image

from weakseg.common import UserError, reason
from weakseg.learners.folding import fold_batch_norms, fold_padding
from weakseg.learners.unet import PerChannel

TILE = 1024  # frame pixels a side, about, that the encoder sees at once
MARGIN = 128  # frame pixels, about, that it sees around a tile, and that are thrown away
LARGEST = float(np.finfo(np.float16).max)
TOLERANCE = 1e-3  # of a stage's largest value, that a faster network may differ by


@dataclass(frozen=True)
class FrameSize:
    """How large a photograph is for the encoder: by its longer side, or by a scale.

    side   frame pixels of the longer side; None where `scale` says it
    scale  frame pixels per original pixel
    """

    side: int | None
    scale: float | None = None

    def of(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return (width, height) of the frame of a photograph of a size (width, height)."""
        factor = self.scale if self.side is None else self.side / max(size)
        assert factor is not None
        width, height = (max(1, round(length * factor)) for length in size)
        return width, height


@dataclass(frozen=True)
class FeatureMaps:
    """The frozen features of one photograph.

    maps     of each stage [C_k, h_k, w_k] float16; the cell in row i and column j is centred at
             x = (j + 1/2) stride, y = (i + 1/2) stride of the frame
    strides  frame pixels per cell of each stage
    size     (width, height) of the photograph, original pixels
    frame    (width, height) of what the encoder saw
    """

    maps: tuple[np.ndarray, ...]
    strides: tuple[int, ...]
    size: tuple[int, int]
    frame: tuple[int, int]

    @property
    def width(self) -> int:
        """Number of features of a pixel, D: the channels of all stages."""
        return sum(len(stage) for stage in self.maps)

    def at(self, xy: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
        """Return the features [N, D] float32 at places [N, 2] in original pixels, bilinearly.

        Pixel i covers [i, i + 1). Raises ValueError for a place that is not finite.
        """
        places = np.asarray(xy, float).reshape(-1, 2)
        if not np.isfinite(places).all():
            raise ValueError(f"places {xy} are not finite")
        x, y = (places * np.divide(self.frame, self.size)).T
        features = np.empty((len(places), self.width), np.float32)
        first = 0
        for stage, stride in self.stages:
            left, right, right_share = neighbours(x / stride - 0.5, stage.shape[2])
            top, bottom, bottom_share = neighbours(y / stride - 0.5, stage.shape[1])
            upper = between(stage[:, top, left], stage[:, top, right], right_share)
            lower = between(stage[:, bottom, left], stage[:, bottom, right], right_share)
            last = first + len(stage)
            features[:, first:last] = between(upper, lower, bottom_share).T
            first = last
        return features

    def project(self, weights: torch.Tensor, rows: np.ndarray, columns: np.ndarray) -> torch.Tensor:
        """Return the features times weights [D, K], at a grid of places -> [K, R, C].

        rows [R], columns [C]: y and x of the grid in original pixels. The same as `at`, for every
        place of the grid, but for rounding.
        """
        y, x = rows * (self.frame[1] / self.size[1]), columns * (self.frame[0] / self.size[0])
        tall, across, first = [], [], 0  # what is enlarged downward, and how to enlarge it across
        for stride, stages in groupby(self.stages, itemgetter(1)):
            joined = np.concatenate([stage for stage, _ in stages])  # they share their cells
            channels, height, width = joined.shape
            cells = torch.from_numpy(joined).to(weights).view(channels, -1)
            projected = weights[first : first + channels].T @ cells
            vertical = interpolation(y / stride - 0.5, height).to(weights)
            tall.append(vertical @ projected.view(-1, height, width))
            across.append(interpolation(x / stride - 0.5, width).to(weights))
            first += channels
        return torch.cat(tall, dim=2) @ torch.cat(across, dim=1).T

    @property
    def stages(self) -> Iterable[tuple[np.ndarray, int]]:
        """The map of each stage, and its stride."""
        return zip(self.maps, self.strides, strict=True)


def neighbours(places: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two cells around each place along a side, and the share [N] of the second one.

    places [N]: in cells, a cell's centre being its number; those outside take the nearest cell
    """
    inside = np.clip(places, 0, cells - 1)
    lower = np.minimum(inside.astype(int), max(cells - 2, 0))
    return lower, np.minimum(lower + 1, cells - 1), (inside - lower).astype(np.float32)


def between(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return what lies between two arrays [C, N], at a share [N] of the way, in float32."""
    start = first.astype(np.float32)
    return start + (second.astype(np.float32) - start) * share


def interpolation(places: np.ndarray, cells: int) -> torch.Tensor:
    """Return the matrix [N, cells] that interpolates linearly at places along a side."""
    lower, upper, share = neighbours(places, cells)
    matrix, rows = np.zeros((len(places), cells), np.float32), np.arange(len(places))
    matrix[rows, lower] += 1 - share
    matrix[rows, upper] += share
    return torch.from_numpy(matrix)


class FrozenEncoder:
    """An encoder that is never trained, and the stages of it that are kept.

    name      what --encoder calls it
    network   of timm, made with `features_only`
    mean, std of each channel, for values in [0, 1], as the network expects them
    size      of frames
    digest    a short hash of the weights
    finest    least stride of the stages that are kept

    Raises `UserError` for a network whose stages are no grids of cells over the frame, or are not
    finite.
    """

    def __init__(
        self,
        name: str,
        network: Any,
        mean: PerChannel,
        std: PerChannel,
        size: FrameSize,
        digest: str,
        finest: int = 4,
    ) -> None:
        self.name, self.size, self.digest = name, size, digest
        self.mean = torch.tensor(mean).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(std).view(1, 3, 1, 1) * 255
        self.multiple = math.lcm(*network.feature_info.reduction())
        self.tile, self.margin = (
            self.multiple * round(length / self.multiple) for length in (TILE, MARGIN)
        )
        sample, stages = sample_stages(name, network.eval(), self.multiple)
        self.network = faster(network, sample, stages).to(memory_format=torch.channels_last)
        strides = [sample.shape[2] // stage.shape[2] for stage in stages]
        self.kept = [number for number, stride in enumerate(strides) if stride >= finest]
        if not self.kept:
            raise UserError(
                f"--encoder {name}: its coarsest stage has a stride of {max(strides)}, finer than "
                f"{finest}; keep finer stages, or take another encoder"
            )
        self.strides = tuple(strides[number] for number in self.kept)
        self.channels = tuple(stages[number].shape[1] for number in self.kept)

    def __call__(self, image: Image.Image) -> FeatureMaps:
        """Return the features of a photograph in RGB; a large one is seen in tiles."""
        width, height = self.size.of(image.size)
        frame = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        maps = [np.empty(shape, np.float16) for shape in self.shapes(image.size)]
        for top, bottom in self.tiles(height):
            for left, right in self.tiles(width):
                self.fill(maps, frame, (left, top, right, bottom))
        return FeatureMaps(tuple(maps), self.strides, image.size, (width, height))

    def shapes(self, size: tuple[int, int]) -> list[tuple[int, int, int]]:
        """Return the shape (C_k, h_k, w_k) of each kept stage of a photograph (width, height)."""
        width, height = self.size.of(size)
        return [
            (channels, -(-height // stride), -(-width // stride))
            for channels, stride in zip(self.channels, self.strides, strict=True)
        ]

    def tiles(self, length: int) -> list[tuple[int, int]]:
        """Return where each tile along a side of a frame begins and ends."""
        if length <= self.tile + self.margin:
            return [(0, length)]
        starts = range(0, length, self.tile)
        return [(start, min(start + self.tile, length)) for start in starts]

    def fill(
        self, maps: list[np.ndarray], frame: np.ndarray, tile: tuple[int, int, int, int]
    ) -> None:
        """Fill a tile (left, top, right, bottom) of a frame [H, W, 3] into the frame's maps."""
        left, top, right, bottom = tile
        x, y = max(0, left - self.margin), max(0, top - self.margin)
        window = frame[y : bottom + self.margin, x : right + self.margin]
        for whole, stage, stride in zip(maps, self.stages(window), self.strides, strict=True):
            part = whole[:, top // stride : -(-bottom // stride), left // stride :]
            part = part[:, :, : -(-right // stride) - left // stride]
            row, column = (top - y) // stride, (left - x) // stride
            part[:] = stage[:, row : row + part.shape[1], column : column + part.shape[2]]

    @torch.no_grad()
    def stages(self, frame: np.ndarray) -> list[np.ndarray]:
        """Return the kept stages [C, h, w] float16 of a frame [H, W, 3] uint8.

        Below and at the right the frame is mirrored up to whole cells of all stages.
        """
        height, width = frame.shape[:2]
        missing = (0, -height % self.multiple), (0, -width % self.multiple), (0, 0)
        padded = torch.from_numpy(np.pad(frame, missing, mode="symmetric"))
        image = padded.to(self.mean.device).permute(2, 0, 1)[None].float()
        stages = stages_of(self.network, image.sub_(self.mean).div_(self.std))
        return [
            stages[number][0].clamp(-LARGEST, LARGEST).half().cpu().numpy() for number in self.kept
        ]

    def to(self, device: torch.device | str) -> "FrozenEncoder":
        """Move the encoder to a device, and return it."""
        self.network.to(device)
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        return self


# ---- any encoder of timm


def weights_digest(network: Any) -> str:
    """Return a short hash of a network's weights."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def stages_of(network: Any, image: torch.Tensor) -> list[torch.Tensor]:
    """Return the stages [B, C_k, h_k, w_k] of an encoder for a normalised image [B, 3, H, W].

    network: of timm, made with `features_only`. Of an EfficientNet each group of blocks is a stage,
    also where two have one stride.
    """
    if not all(hasattr(network, part) for part in ("conv_stem", "bn1", "blocks")):
        stages: list[torch.Tensor] = network(image)
        return stages
    x = network.bn1(network.conv_stem(image))
    stages = []
    for group in network.blocks:
        x = group(x)
        stages.append(x)
    return stages


@torch.no_grad()
def sample_stages(
    name: str, network: Any, multiple: int
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return a random image of `multiple` pixels times 2 and 4, and an encoder's stages of it.

    Raises `UserError`, which names the encoder, where they are no grids of square cells of whole
    pixels over the image, or not finite.
    """
    random = torch.Generator().manual_seed(0)
    height, width = 2 * multiple, 4 * multiple
    image = torch.rand((1, 3, height, width), generator=random) - 0.5
    try:
        stages = stages_of(network, image)
    except (RuntimeError, AssertionError, ValueError, TypeError, IndexError) as error:
        raise UserError(
            f"--encoder {name}: cannot see images of {width} x {height} pixels ({reason(error)}); "
            "take another encoder"
        ) from error
    for stage in stages:
        if not torch.isfinite(stage).all():
            raise UserError(
                f"--encoder {name}: its features are not finite; take other weights for it"
            )
        stride = max(1, height // max(1, stage.shape[2]))
        cells = height // stride, width // stride
        if stride not in network.feature_info.reduction() or tuple(stage.shape[2:]) != cells:
            raise UserError(
                f"--encoder {name}: its stages, such as {tuple(stage.shape)}, are no maps of "
                f"square cells of an image of {width} x {height} pixels; take another encoder"
            )
    return image, stages


@torch.no_grad()
def faster(network: Any, image: torch.Tensor, stages: list[torch.Tensor]) -> Any:
    """Return a copy of an encoder whose convolutions do the work of batch norms and padding.

    The copy must give the same stages of an image [1, 3, H, W], else it is the encoder itself.
    """
    copied = copy.deepcopy(network)
    fold_batch_norms(copied)
    fold_padding(copied)
    same = all(
        (found - stage).abs().max() <= TOLERANCE * stage.abs().max()
        for found, stage in zip(stages_of(copied, image), stages, strict=True)
    )
    return copied if same else network
