"""From a data set and its weak labels to batches: joint augmentation, targets, loaders."""

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2

from common import stable_seed
from supervision import SIGNALS, View, crop_mask

# What Yang et al. (ST++, CVPR 2022) do to images with pseudo-labels: a network that sees them harder than the one that
# labelled them did learns from those labels, and repeats their errors less.
STRONG = v2.Compose(
    [
        v2.RandomApply([v2.ColorJitter(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25)], p=0.8),
        v2.RandomGrayscale(p=0.2),
        v2.RandomApply([v2.GaussianBlur(kernel_size=9, sigma=(0.1, 2.0))], p=0.5),
    ]
)


class SegmentationItems(Dataset):
    """Images with the targets of the chosen signals.

    items[epoch, i] -> {"index", "image" [3, S, S] uint8, "targets": {signal: array}} and, with `masks`, "mask" [S, S]
    uint8. The random choices depend on (seed, epoch, id) alone, so workers and order make no difference. Masks are
    read only for the signal `full` and with `masks`. strong: ids whose colours are augmented more, see `augment`.
    extras: {key: function (id, view) -> array}, added as "extras" by their keys.
    """

    def __init__(
        self, dataset, ids, cache, labels=None, signals=(), augment=False, masks=False, seed=0, strong=(), extras=None
    ):
        self.dataset, self.ids, self.cache, self.labels = dataset, ids, cache, labels
        self.signals, self.augment, self.masks, self.seed = signals, augment, masks, seed
        self.strong, self.extras = frozenset(strong), extras

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, key):
        epoch, index = key
        name = self.ids[index]
        image = torch.from_numpy(self.cache.image(self.dataset.image_path(name)))
        labels = self.labels[name] if self.labels else {"size": (self.cache.size, self.cache.size)}
        view = View(*labels["size"], self.cache.size)
        if self.augment:
            image, view = augment(image, view, stable_seed(self.seed, epoch, name), name in self.strong)
        targets = {signal: torch.from_numpy(self.target(name, labels, signal, view)) for signal in self.signals}
        item = {"index": index, "image": image, "targets": targets}
        if self.extras:
            item["extras"] = {key: torch.from_numpy(make(name, view)) for key, make in self.extras.items()}
        if self.masks:
            item["mask"] = torch.from_numpy(crop_mask(self.mask(name), view))
        return item

    def target(self, name, labels, signal, view):
        """Return what the network learns from one of an image's labels, as an array."""
        annotation = self.mask(name) if signal == "full" else labels[signal]
        return SIGNALS[signal].target(annotation, view, self.dataset.tag_names)

    def mask(self, name):
        """Return [S, S] uint8: the resized ground truth."""
        return self.dataset.resized_mask(name, self.cache)


def augment(image, view, seed, strong=False):
    """Crop, flip and recolour an image [3, S, S] uint8 -> (image, view); the view takes every target along.

    strong: then recolour it more, drop its colours or blur it; the view is the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPU as well
        top, left, height, width = v2.RandomResizedCrop.get_params(image, scale=(0.5, 1.0), ratio=(0.75, 4 / 3))
        flip = bool(torch.rand(()) < 0.5)
        seen = v2.functional.resized_crop(image, top, left, height, width, [view.size, view.size], antialias=False)
        seen = v2.functional.horizontal_flip(seen) if flip else seen
        seen = v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3)(seen)
        seen = STRONG(seen) if strong else seen
    return seen, View(view.width, view.height, view.size, left, top, width, height, flip)


class EpochBatches(Sampler):
    """Batches of (pass, index) keys for one epoch: the next `steps` batches of endless passes over the images.

    Each pass (from 1) is shuffled anew by (seed, pass); a last short batch is left out. Without `steps` an epoch is a
    pass. Set `epoch` (from 1) before iterating. A set smaller than one batch gives batches of all its images.
    """

    def __init__(self, count, batch_size, seed, steps=None):
        self.count, self.batch_size, self.seed, self.epoch = count, min(batch_size, count), seed, 0
        self.steps = steps or count // self.batch_size
        self.drop_last = True

    def __len__(self):
        return self.steps

    def __iter__(self):
        each = self.count // self.batch_size
        for step in range((self.epoch - 1) * self.steps, self.epoch * self.steps):
            done, position = divmod(step, each)
            if position == 0 or step == (self.epoch - 1) * self.steps:
                order = np.random.default_rng(stable_seed(self.seed, done + 1)).permutation(self.count)
            start = position * self.batch_size
            yield [(done + 1, int(i)) for i in order[start : start + self.batch_size]]


class InOrder(Sampler):
    """Batches of (0, index) keys in order, for every `step`-th index from `first`."""

    def __init__(self, count, batch_size, first=0, step=1):
        self.indices = range(first, count, step)
        self.batch_size = batch_size

    def __len__(self):
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self):
        for start in range(0, len(self.indices), self.batch_size):
            yield [(0, i) for i in self.indices[start : start + self.batch_size]]


def make_loader(items, batches, workers=0, pin_memory=False):
    """Return a `DataLoader` over batches of keys; with workers, decoding and augmentation leave the main process.

    Its generator is its own: what a network draws at random must not depend on the number of workers.
    """
    return DataLoader(items, batch_sampler=batches, num_workers=workers, pin_memory=pin_memory,
                      persistent_workers=workers > 0, generator=torch.Generator())  # fmt: skip
