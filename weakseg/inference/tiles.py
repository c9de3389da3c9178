"""Images larger than a window: predicted in overlapping windows, which are blended a band at a
time.

Memory holds the image, its mask, one batch of windows, and the logits of one row of windows along
the image's shorter side: nothing else grows with the image.
"""

import itertools
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F

from weakseg.data.image_io import to_square
from weakseg.metrics import largest

SAMPLE = 200  # training images whose sizes tell the usual one


@dataclass(frozen=True)
class Span:
    """One window along one side of an image: where it begins, and its share of each of its pixels
    [N].
    """

    start: int
    shares: torch.Tensor

    @property
    def stop(self):
        return self.start + len(self.shares)


def window_starts(length, window, overlap):
    """Return where windows of `window` pixels begin along a side of `length` pixels: evenly spread,
    from end to end.

    Neighbours share at least `overlap` (a fraction of the window, below 1), rounded up to whole
    pixels; a side that is no longer than the window has one.
    """
    if length <= window:
        return [0]
    step = max(1, int(window * (1 - overlap) + 1e-9))
    gaps = -(-(length - window) // step)
    return [k * (length - window) // gaps for k in range(gaps + 1)]


def spans(length, window, overlap):
    """Return the `Span` of every window along a side; the shares of a pixel add up to 1.

    Shares follow a Hann window, which vanishes at the window's ends, where a network sees least of
    what is around (Pielawski & Wählby, "Introducing Hann windows for reducing edge-effects in
    patch-based image segmentation", PLOS ONE 2020), and are normalised, so that they need no
    particular overlap and hold up to the image's own ends.
    """
    size = min(window, length)
    bell = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    starts, total = window_starts(length, window, overlap), np.zeros(length)
    for start in starts:
        total[start : start + size] += bell
    return [Span(k, torch.from_numpy(bell / total[k : k + size]).float()) for k in starts]


@torch.no_grad()
def tiled_mask(model, image, size, tile, overlap, batch_size, device, autocast):
    """Predict an image in windows -> mask [H, W] uint8; in one window that is what the whole image
    gives.

    model: in evaluation mode, {"seg": logits [B, C, size, size]} of images [B, 3, size, size] uint8
    image: an RGB `PIL.Image`; tile: side of a window in its pixels, cut to the image's sides
    overlap: least share of a window that its neighbour also covers; batch_size: windows a step
    """
    width, height = image.size
    rows, columns = spans(height, tile, overlap), spans(width, tile, overlap)
    mask, wide = np.empty((height, width), np.uint8), width > height
    order = itertools.product(columns, rows) if wide else itertools.product(rows, columns)
    boxes = ((row, column) for column, row in order) if wide else order
    pieces = weighted_logits(model, image, size, boxes, batch_size, device, autocast)
    if wide:
        pieces = ((left, top, logits.mT) for top, left, logits in pieces)
    blend(pieces, mask.T if wide else mask)
    return mask


def weighted_logits(model, image, size, boxes, batch_size, device, autocast):
    """Yield (top, left, logits [C, h, w] times the window's shares) of the windows `boxes`: pairs
    (row, column).
    """
    while batch := list(itertools.islice(boxes, batch_size)):
        seen = [to_square(image, size, (c.start, r.start, c.stop, r.stop)) for r, c in batch]
        with autocast():
            found = model(torch.from_numpy(np.stack(seen)).to(device))["seg"]
        for (row, column), logits in zip(batch, found.float(), strict=True):
            shape = len(row.shares), len(column.shares)
            logits = F.interpolate(logits[None], size=shape, mode="bilinear", align_corners=False)[
                0
            ]
            yield row.start, column.start, logits * (row.shares[:, None] * column.shares).to(device)


def blend(pieces, mask):
    """Add up pieces (top, left, [C, h, w]), whose tops never fall, and write the largest class to
    `mask` [H, W] uint8.

    Logits are kept for the h lines only that later pieces may still reach.
    """
    band, first = None, 0
    for top, left, logits in pieces:
        if band is None:
            band = logits.new_zeros(*logits.shape[:2], mask.shape[1])
        if top > first:
            mask[first:top] = finished(band[:, : top - first])
            band = F.pad(band[:, top - first :], (0, 0, 0, top - first))
            first = top
        band[:, :, left : left + logits.shape[2]] += logits
    mask[first:] = finished(band)


def finished(logits):
    """Return the class of the largest of logits [C, H, W] -> [H, W] uint8 array."""
    return largest(logits, 0).byte().cpu().numpy()


def tiled_masks(model, dataset, names, size, tile, overlap, batch_size, device, autocast):
    """Yield (id, predicted mask [H, W] uint8, truth [H, W] uint8) of `names`, each predicted in
    windows.
    """
    model.eval()
    for name in names:
        mask = tiled_mask(
            model, dataset.image(name), size, tile, overlap, batch_size, device, autocast
        )
        yield name, mask, dataset.mask(name)


def larger_than(dataset, names, tile):
    """Return those of `names` whose image is longer than `tile` pixels on a side, from the files'
    headers alone.
    """
    return [name for name in names if max(dataset.image_size(name)) > tile]


def usual_side(dataset):
    """Return the median of the longer sides, in pixels, of the images to train on, or of a sample
    of them.

    A window of this side shows a network things at the scale that it knows: it learnt from whole
    images.
    """
    names = dataset.ids("trainval")
    return round(
        median(max(dataset.image_size(name)) for name in names[:: -(-len(names) // SAMPLE)])
    )
