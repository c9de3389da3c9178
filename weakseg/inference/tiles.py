"""Images larger than a window: predicted in overlapping windows, blended a band at a time.

Memory holds the image, its mask, one batch of windows, and the logits of one row of windows along
the image's shorter side: nothing else grows with the image.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from weakseg.data.base import SegmentationDataset
from weakseg.data.image_io import to_square
from weakseg.inference.predict import Autocast, class_mask

SAMPLE = 200  # training images whose sizes tell the usual one


# ---- windows


@dataclass(frozen=True)
class Windows:
    """How images are cut into windows: the side of one in pixels, and how much neighbours share."""

    pixels: int
    overlap: float


@dataclass(frozen=True)
class Span:
    """One window along one side of an image.

    start   where it begins, in pixels of the image
    shares  [N] float32: how much its logits count at each of its N pixels; those of all windows
            that cover a pixel add up to 1
    """

    start: int
    shares: torch.Tensor

    @property
    def stop(self) -> int:
        """Where it ends: the first pixel behind it."""
        return self.start + len(self.shares)


Window = tuple[Span, Span]  # rows and columns


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Return where the windows along a side begin, evenly spread from end to end.

    length, window: in pixels; overlap: fraction of a window, below 1, that neighbours share at
    least, rounded up to whole pixels. A side that is no longer than the window has one.
    """
    if length <= window:
        return [0]
    step = max(1, int(window * (1 - overlap) + 1e-9))
    gaps = -(-(length - window) // step)  # rounded up
    return [number * (length - window) // gaps for number in range(gaps + 1)]


def spans(length: int, window: int, overlap: float) -> list[Span]:
    """Return the `Span` of every window along a side; the shares of a pixel add up to 1.

    Shares follow a Hann window, which vanishes at the window's ends, where a network sees least of
    what is around (Pielawski & Wählby, "Introducing Hann windows for reducing edge-effects in
    patch-based image segmentation", PLOS ONE 2020). They are normalised, so that they need no
    particular overlap and hold up to the image's own ends.
    """
    size = min(window, length)
    bell = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    starts, total = window_starts(length, window, overlap), np.zeros(length)
    for start in starts:
        total[start : start + size] += bell
    return [
        Span(start, torch.from_numpy(bell / total[start : start + size]).float())
        for start in starts
    ]


# ---- one image


def tiled_mask(
    model: nn.Module,
    image: Image.Image,
    size: int,
    tile: int,
    overlap: float,
    batch_size: int,
    device: torch.device | str,
    autocast: Autocast,
) -> np.ndarray:
    """Predict an image in windows -> mask [H, W] uint8; one window gives what the whole image does.

    The settings are those of `tiled_logits`.
    """
    mask = np.empty((image.height, image.width), np.uint8)
    for top, left, logits in tiled_logits(
        model, image, size, tile, overlap, batch_size, device, autocast
    ):
        height, width = logits.shape[1:]
        mask[top : top + height, left : left + width] = class_mask(logits)
    return mask


@torch.no_grad()
def tiled_logits(
    model: nn.Module,
    image: Image.Image,
    size: int,
    tile: int,
    overlap: float,
    batch_size: int,
    device: torch.device | str,
    autocast: Autocast,
) -> Iterator["Piece"]:
    """Yield (top, left, class logits [C, h, w]) of bands that together are the image.

    model       in evaluation mode, {"seg": logits [B, C, size, size]} of [B, 3, size, size] uint8
    image       RGB
    size        that windows are resized to for the network, in pixels
    tile        side of a window in pixels of the image, cut to the image's sides
    overlap     least share of a window that its neighbour also covers
    batch_size  windows a step
    """
    width, height = image.size
    rows, columns = spans(height, tile, overlap), spans(width, tile, overlap)
    if width <= height:
        windows: Iterator[Window] = itertools.product(rows, columns)
        pieces = weighted_logits(model, image, size, windows, batch_size, device, autocast)
        for top, logits in bands(pieces, width):
            yield top, 0, logits
        return
    # A wide image goes from left to right: transposed, so that its band lies along its height.
    windows = ((row, column) for column, row in itertools.product(columns, rows))
    pieces = weighted_logits(model, image, size, windows, batch_size, device, autocast)
    for left, logits in bands(((left, top, one.mT) for top, left, one in pieces), height):
        yield 0, left, logits.mT


Piece = tuple[int, int, torch.Tensor]  # top, left, weighted logits [C, h, w] of a window


def weighted_logits(
    model: nn.Module,
    image: Image.Image,
    size: int,
    windows: Iterator[Window],
    batch_size: int,
    device: torch.device | str,
    autocast: Autocast,
) -> Iterator[Piece]:
    """Yield (top, left, logits [C, h, w] times the window's shares) of each window."""
    while batch := list(itertools.islice(windows, batch_size)):
        squares = [
            to_square(image, size, (column.start, row.start, column.stop, row.stop))
            for row, column in batch
        ]
        with autocast():
            predicted = model(torch.from_numpy(np.stack(squares)).to(device))["seg"]
        for (row, column), logits in zip(batch, predicted.float(), strict=True):
            shape = len(row.shares), len(column.shares)
            resized = F.interpolate(logits[None], size=shape, mode="bilinear", align_corners=False)
            shares = row.shares[:, None] * column.shares
            yield row.start, column.start, resized[0] * shares.to(device)


def bands(pieces: Iterable[Piece], width: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Add up pieces whose tops never fall, and yield (first line, sums [C, h, width]) of bands.

    pieces: at least one. Logits are kept only for the lines that later pieces may still reach.
    """
    band: torch.Tensor | None = None  # sums [C, h, W] of the lines from `first` on
    first = 0
    for top, left, logits in pieces:
        if band is None:
            band = logits.new_zeros(*logits.shape[:2], width)
        if top > first:  # no later piece reaches the lines above `top`
            yield first, band[:, : top - first]
            band = F.pad(band[:, top - first :], (0, 0, 0, top - first))
            first = top
        band[:, :, left : left + logits.shape[2]] += logits
    if band is not None:
        yield first, band


# ---- many images


def tiled_masks(
    model: nn.Module,
    dataset: SegmentationDataset,
    names: Iterable[str],
    size: int,
    tile: int,
    overlap: float,
    batch_size: int,
    device: torch.device | str,
    autocast: Autocast,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield (id, predicted mask, true mask), [H, W] uint8, of images predicted in windows.

    The settings are those of `tiled_mask`.
    """
    model.eval()
    for name in names:
        image = dataset.image(name)
        mask = tiled_mask(model, image, size, tile, overlap, batch_size, device, autocast)
        yield name, mask, dataset.mask(name)


def larger_than(dataset: SegmentationDataset, names: Iterable[str], tile: int) -> list[str]:
    """Return the ids of images longer than `tile` pixels on a side; only file headers are read."""
    return [name for name in names if max(dataset.image_size(name)) > tile]


def usual_side(dataset: SegmentationDataset) -> int:
    """Return the median of the longer sides, in pixels, of (a sample of) the training images.

    A window of this side shows a network things at the scale that it knows: it learnt from whole
    images.
    """
    names: Sequence[str] = dataset.ids("trainval")
    sample = names[:: -(-len(names) // SAMPLE)]
    return round(median(max(dataset.image_size(name)) for name in sample))
