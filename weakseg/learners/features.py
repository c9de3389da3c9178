"""Frozen features: the stages of an encoder that is never trained, for one photograph at a time.

A photograph keeps its aspect ratio. It is resized to a *frame*, whose longer side is given or
whose scale is, and each stage of the encoder sees the frame at its own stride. A stage's map is
kept as it is, in half precision. Resizing commutes with a linear map, so a prediction is the sum
of the resized projections of all stages: no map of all features at full size ever exists.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import nn

from weakseg.learners.unet import PerChannel

TILE = 1024  # frame pixels a side, about, that the encoder sees at once
MARGIN = 128  # frame pixels, about, that it sees around a tile, and that are thrown away
LARGEST = float(np.finfo(np.float16).max)


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
        for stage, stride in zip(self.maps, self.strides, strict=True):
            left, right, right_share = neighbours(x / stride - 0.5, stage.shape[2])
            top, bottom, bottom_share = neighbours(y / stride - 0.5, stage.shape[1])
            upper = between(stage[:, top, left], stage[:, top, right], right_share)
            lower = between(stage[:, bottom, left], stage[:, bottom, right], right_share)
            last = first + len(stage)
            features[:, first:last] = between(upper, lower, bottom_share).T
            first = last
        return features

    def project(self, weights: torch.Tensor, rows: np.ndarray, columns: np.ndarray) -> torch.Tensor:
        """Return the features times weights [D, K], at a grid of places -> [K, R, C] float32.

        rows [R], columns [C]: y and x of the grid in original pixels. The same as `at`, for every
        place of the grid, but for rounding.
        """
        y, x = rows * (self.frame[1] / self.size[1]), columns * (self.frame[0] / self.size[0])
        total = weights.new_zeros(weights.shape[1], len(rows), len(columns))
        first = 0
        for stage, stride in zip(self.maps, self.strides, strict=True):
            part = weights[first : first + len(stage)]
            cells = torch.from_numpy(np.asarray(stage, np.float32)).to(weights.device)
            projected = torch.einsum("dhw,dk->khw", cells, part)
            vertical = interpolation(y / stride - 0.5, stage.shape[1]).to(weights.device)
            horizontal = interpolation(x / stride - 0.5, stage.shape[2]).to(weights.device)
            total += vertical @ projected @ horizontal.T
            first += len(stage)
        return total


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

    name     what --encoder calls it
    network  in evaluation mode; its stages of an image [1, 3, H, W] are `stages_of(image)`
    finest   least stride of the stages that are kept
    size     of frames
    digest   a short hash of the weights
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        mean: PerChannel,
        std: PerChannel,
        size: FrameSize,
        digest: str,
        finest: int = 4,
    ) -> None:
        self.name, self.network, self.size, self.digest = name, network.eval(), size, digest
        self.mean = torch.tensor(mean).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(std).view(1, 3, 1, 1) * 255
        strides, channels = strides_of(network), channels_of(network)
        self.kept = [number for number, stride in enumerate(strides) if stride >= finest]
        self.strides = tuple(strides[number] for number in self.kept)
        self.channels = tuple(channels[number] for number in self.kept)
        self.multiple = math.lcm(*strides)
        self.tile, self.margin = (
            self.multiple * round(length / self.multiple) for length in (TILE, MARGIN)
        )

    def __call__(self, image: Image.Image) -> FeatureMaps:
        """Return the features of a photograph in RGB; a large one is seen in tiles."""
        width, height = self.size.of(image.size)
        frame = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        maps = [np.zeros(shape, np.float16) for shape in self.shapes(image.size)]
        for top in self.tile_starts(height):
            for left in self.tile_starts(width):
                self.fill(maps, frame, top, left)
        return FeatureMaps(tuple(maps), self.strides, image.size, (width, height))

    def shapes(self, size: tuple[int, int]) -> list[tuple[int, int, int]]:
        """Return the shape (C_k, h_k, w_k) of each kept stage of a photograph (width, height)."""
        width, height = self.size.of(size)
        return [
            (channels, -(-height // stride), -(-width // stride))
            for channels, stride in zip(self.channels, self.strides, strict=True)
        ]

    def fill(self, maps: list[np.ndarray], frame: np.ndarray, top: int, left: int) -> None:
        """Fill in what maps of a whole frame [H, W, 3] show of the tile at (top, left)."""
        reach = self.tile + self.margin
        first_row, first_column = max(0, top - self.margin), max(0, left - self.margin)
        window = frame[first_row : top + reach, first_column : left + reach]
        height, width = (reach, reach) if max(frame.shape) <= reach else (self.tile, self.tile)
        for whole, stage, stride in zip(maps, self.stages(window), self.strides, strict=True):
            rows, columns = (top - first_row) // stride, (left - first_column) // stride
            part = whole[
                :,
                top // stride : (top + height) // stride,
                left // stride : (left + width) // stride,
            ]
            part[:] = stage[:, rows : rows + part.shape[1], columns : columns + part.shape[2]]

    @torch.no_grad()
    def stages(self, frame: np.ndarray) -> list[np.ndarray]:
        """Return the kept stages [C, h, w] float16 of a frame [H, W, 3] uint8.

        Below and at the right the frame is mirrored up to whole cells of all stages.
        """
        height, width = frame.shape[:2]
        missing = (0, -height % self.multiple), (0, -width % self.multiple), (0, 0)
        padded = np.pad(frame, missing, mode="symmetric").transpose(2, 0, 1)
        image = torch.from_numpy(np.ascontiguousarray(padded))[None].to(self.mean.device)
        normalised = (image.float() - self.mean) / self.std
        stages = stages_of(self.network, normalised)
        return [
            stages[number][0].clamp(-LARGEST, LARGEST).half().cpu().numpy() for number in self.kept
        ]

    def tile_starts(self, length: int) -> list[int]:
        """Return where the tiles along a side of a frame begin."""
        return [0] if length <= self.tile + self.margin else [*range(0, length, self.tile)]

    def to(self, device: torch.device | str) -> "FrozenEncoder":
        """Move the encoder to a device, and return it."""
        self.network.to(device)
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        return self


# ---- the stages of any encoder of timm


def weights_digest(network: nn.Module) -> str:
    """Return a short hash of a network's weights."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def has_blocks(network: nn.Module) -> bool:
    """Return whether an encoder is an EfficientNet, whose every block group is a stage."""
    return all(hasattr(network, part) for part in ("conv_stem", "bn1", "blocks"))


def stages_of(network: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    """Return the stages [B, C_k, h_k, w_k] of an encoder for a normalised image [B, 3, H, W].

    network: of timm, made with `features_only`
    """
    if not has_blocks(network):
        stages: list[torch.Tensor] = network(image)
        return stages
    x = network.bn1(network.conv_stem(image))
    stages = []
    for group in network.blocks:
        x = group(x)
        stages.append(x)
    return stages


def strides_of(network: nn.Module) -> list[int]:
    """Return the stride of each of the stages of `stages_of`, in pixels of its input."""
    if not has_blocks(network):
        return [int(stride) for stride in network.feature_info.reduction()]
    strides, stride = [], 2
    for group in network.blocks:
        stride *= math.prod(
            module.stride[0] for module in group.modules() if isinstance(module, nn.Conv2d)
        )
        strides.append(stride)
    return strides


def channels_of(network: nn.Module) -> list[int]:
    """Return the number of channels of each of the stages of `stages_of`."""
    if not has_blocks(network):
        return [int(channels) for channels in network.feature_info.channels()]
    last = [
        [module for module in group.modules() if isinstance(module, nn.Conv2d)][-1]
        for group in network.blocks
    ]
    return [convolution.out_channels for convolution in last]
