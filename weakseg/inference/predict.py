"""A trained network's predictions over a loader, at the network's size or the photograph's."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from weakseg.data.base import SegmentationDataset
from weakseg.inference.edges import follow_edges, mask_along_edges, working_size
from weakseg.inference.shares import follow_shares
from weakseg.learners.feature_store import FeatureStore
from weakseg.learners.features import FeatureMaps
from weakseg.learners.probe import Probe
from weakseg.metrics import largest

Batch = dict[str, Any]  # tensors, and further batches, by name
Autocast = Callable[[], AbstractContextManager[None]]  # such as `accelerate.Accelerator.autocast`


def to_device(batch: Batch, device: torch.device | str) -> Batch:
    """Return a batch on the device, with the batches in it."""
    return {
        name: to_device(value, device)
        if isinstance(value, dict)
        else value.to(device, non_blocking=True)
        for name, value in batch.items()
    }


@torch.no_grad()
def predict(
    model: nn.Module, loader: Iterable[Batch], device: torch.device | str, autocast: Autocast
) -> Iterator[tuple[Batch, dict[str, torch.Tensor]]]:
    """Yield (batch, outputs) over a loader, both on the device; outputs in float32.

    model: set to evaluation mode; it makes outputs by name of batch["image"], [B, 3, S, S] uint8
    """
    model.eval()
    for batch in loader:
        batch = to_device(batch, device)
        with autocast():
            outputs = model(batch["image"])
        yield batch, {name: output.float() for name, output in outputs.items()}


def full_size_masks(
    model: nn.Module,
    loader: Iterable[Batch],
    dataset: SegmentationDataset,
    names: Sequence[str],
    device: torch.device | str,
    autocast: Autocast,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield (id, predicted mask, true mask) over a loader, [H, W] uint8 at the original size.

    model: its predictions follow edges, if it says within which radius, see `ProbeUnet`
    loader: of batches whose "index" says which of `names` each image is
    """
    radius = float(getattr(model, "edges", 0.0))
    for batch, outputs in predict(model, loader, device, autocast):
        for index, logits in zip(batch["index"].tolist(), outputs["seg"], strict=True):
            name = names[index]
            truth = dataset.mask(name)
            size = truth.shape[::-1]
            small = to_follow_edges(logits, size, radius)
            if small is not None:
                mask = mask_along_edges(small, np.asarray(dataset.image(name)), radius)
            else:
                mask = class_mask(at_size(logits, size))
            yield name, mask, truth


def to_follow_edges(logits: torch.Tensor, size: Sequence[int], radius: float) -> np.ndarray | None:
    """Return class probabilities [C, h, w] float32 that are to follow the edges of a photograph.

    logits: [C, S, S] of the whole photograph (width, height); None: the radius is below a pixel
    """
    side = max(logits.shape[1:])
    if not follows(radius, size, side):
        return None
    small = at_size(logits.cpu(), working_size(size[0], size[1], side), antialias=True)
    probabilities: np.ndarray = small.softmax(0).numpy()
    return probabilities


def follows(radius: float, size: Sequence[int], frame: int = 0) -> bool:
    """Return whether a radius, in longer sides, is a pixel of a photograph (width, height).

    frame: as `working_size` takes it
    """
    width, height = size
    return round(radius * max(working_size(width, height, frame))) >= 1


def at_size(logits: torch.Tensor, size: Sequence[int], antialias: bool = False) -> torch.Tensor:
    """Return logits [C, h, w] at a size (width, height), bilinearly.

    antialias: whether smaller ones are averages
    """
    resized: torch.Tensor = F.interpolate(
        logits[None], tuple(size[::-1]), mode="bilinear", align_corners=False, antialias=antialias
    )
    return resized[0]


def probe_masks(
    probe: Probe,
    store: FeatureStore,
    dataset: SegmentationDataset,
    names: Iterable[str],
    views: int = 1,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield (id, predicted mask, true mask) of a probe, [H, W] uint8 at the original size.

    views: 2: the mirror image counts as much as the photograph
    """
    for name in names:
        maps, image = store(dataset.photograph(name)), np.asarray(dataset.image(name))
        mirrored = store.of_pixels(np.ascontiguousarray(image[:, ::-1])) if views == 2 else None
        yield name, probe_mask(probe, maps, image, mirrored), dataset.mask(name)


def probe_mask(
    probe: Probe, maps: FeatureMaps, image: np.ndarray, mirrored: FeatureMaps | None = None
) -> np.ndarray:
    """Return the likeliest class [H, W] uint8 of each pixel, by `probabilities`.

    It takes less time and memory than these do.
    """
    chances, radius = before_edges(probe, maps, mirrored)
    return mask_along_edges(chances, image, radius)


def probabilities(
    probe: Probe, maps: FeatureMaps, image: np.ndarray, mirrored: FeatureMaps | None = None
) -> np.ndarray:
    """Return the class probabilities [C, H, W] float32 of a probe for a photograph [H, W, 3] uint8.

    maps: its features; mirrored: those of its mirror image, which then counts as much
    """
    chances, radius = before_edges(probe, maps, mirrored)
    positive = follow_edges(chances, image, radius).clip(min=0)
    positive /= positive.sum(0)
    return positive


def before_edges(
    probe: Probe, maps: FeatureMaps, mirrored: FeatureMaps | None
) -> tuple[np.ndarray, float]:
    """Return class probabilities [C, h, w] float32, and within which radius they follow edges.

    maps, mirrored: as `probabilities` takes them
    """
    frame = max(maps.frame)
    size, radius = working_size(*maps.size, frame), probe.edges
    if not follows(radius, maps.size, frame):
        size, radius = maps.size, 0.0
    chances = probe.logits(maps, size).softmax(0)
    if mirrored is not None:
        chances = (chances + probe.logits(mirrored, size).softmax(0).flip(2)) / 2
    if probe.shares is not None:
        return follow_shares(chances.numpy(), probe.shares), radius
    return chances.numpy(), radius


def class_mask(logits: torch.Tensor) -> np.ndarray:
    """Return the class of the largest of logits [C, H, W] -> [H, W] uint8 array."""
    return largest(logits, 0).byte().cpu().numpy()
