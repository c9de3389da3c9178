"""What networks predict: masks of the pool to be judged, and confusions on the test images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from vlm_itl.judges.base import Case
from vlm_itl.sections import Data
from vlm_itl.training.data import image_table
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.inference.predict import full_size_masks
from weakseg.metrics import confusion_matrix, largest


@dataclass(frozen=True)
class NetworkInputs:
    """Images as a network sees them: resized, on its device, `batch_size` at a time."""

    dataset: SegmentationDataset
    cache: ResizedCache
    batch_size: int
    accelerator: Accelerator

    def batches(self, names: Sequence[str]) -> Iterator[tuple[Sequence[str], torch.Tensor]]:
        """Yield (ids, images [B, 3, S, S] uint8 on the device)."""
        for first in range(0, len(names), self.batch_size):
            part = names[first : first + self.batch_size]
            images = np.stack([self.cache.image(self.dataset.photograph(name)) for name in part])
            yield part, torch.from_numpy(images).to(self.accelerator.device)


@torch.no_grad()
def predicted_cases(
    networks: Sequence[nn.Module], inputs: NetworkInputs, names: Sequence[str], mirror: bool
) -> Iterator[Case]:
    """Yield one `Case` for each image: the first network's mask, and those of the other members.

    Classes are those that judges know, see `weakseg.planning.oracle.as_judged`.
    mirror: predict the mean over an image and its mirror image
    """
    has_background = inputs.dataset.has_background
    class_names = (*([] if has_background else ["nothing"]), *inputs.dataset.class_names)
    for part, images in inputs.batches(names):
        with inputs.accelerator.autocast():
            softmaxes = [class_probabilities(network, images, mirror) for network in networks]
        if not has_background:  # a class that no pixel has
            softmaxes = [functional.pad(p, (0, 0, 0, 0, 1, 0)) for p in softmaxes]
        probabilities = softmaxes[0].cpu().numpy()
        members = [largest(other, 1).byte().cpu().numpy() for other in softmaxes[1:]]
        pixels = images.permute(0, 2, 3, 1).cpu().numpy()
        for i, name in enumerate(part):
            others = np.stack([member[i] for member in members]) if members else None
            mask = probabilities[i].argmax(0).astype(np.uint8)
            yield Case(
                name,
                pixels[i],
                mask,
                class_names,
                probabilities[i],
                others,
                has_background,
                inputs.dataset.photograph(name),
            )


def class_probabilities(network: nn.Module, images: torch.Tensor, mirror: bool) -> torch.Tensor:
    """Return the softmax [B, C, S, S] float32; with `mirror` the mean with the mirror images'."""
    network.eval()
    probabilities = network(images)["seg"].float().softmax(1)
    if mirror:
        flipped = network(images.flip(3))["seg"].float().softmax(1).flip(3)
        probabilities = (probabilities + flipped) / 2
    return probabilities


def full_masks(
    network: nn.Module, inputs: NetworkInputs, names: Sequence[str], data: Data
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield (id, predicted mask, true mask) of images, [H, W] uint8 at the masks' own size."""
    loader = DataLoader(image_table(inputs.dataset, names, data), batch_size=inputs.batch_size)
    device, autocast = inputs.accelerator.device, inputs.accelerator.autocast
    return full_size_masks(network, loader, inputs.dataset, names, device, autocast)


def image_confusions(
    network: nn.Module, inputs: NetworkInputs, names: Sequence[str], data: Data
) -> np.ndarray:
    """Return each image's confusion matrix, int64 [N, C, C], at the size of its own mask."""
    classes = len(inputs.dataset.class_names)
    confusions = [
        confusion_matrix(torch.from_numpy(mask), torch.from_numpy(truth), classes)
        for _, mask, truth in full_masks(network, inputs, names, data)
    ]
    return torch.stack(confusions).numpy()
