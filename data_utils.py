"""From a data set and its weak labels to batches: joint augmentation, targets, loaders."""

from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2

from weakseg.common import UserError, stable_seed
from weakseg.labels.signals import SIGNALS
from weakseg.labels.targets import View, crop_mask
from weakseg.training.recipes import ADDED_TERMS

MAX_BOXES = 32  # of one image in a batch; of more, the largest

# What Yang et al. (ST++, CVPR 2022) do to images with pseudo-labels: a network that sees them
# harder than the one that labelled them did learns from those labels, and repeats their errors
# less.
STRONG = v2.Compose(
    [
        v2.RandomApply(
            [v2.ColorJitter(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25)], p=0.8
        ),
        v2.RandomGrayscale(p=0.2),
        v2.RandomApply([v2.GaussianBlur(kernel_size=9, sigma=(0.1, 2.0))], p=0.5),
    ]
)


class SegmentationItems(Dataset):
    """Images with the targets of the chosen signals.

    items[epoch, i] -> {"index", "image" [3, S, S] uint8, "targets": {signal: array}} and, with
    `masks`, "mask" [S, S] uint8. The random choices depend on (seed, epoch, id) alone, so workers
    and order make no difference. Masks are read only for the signal `full` and with `masks`.
    strong: ids whose colours are augmented more, see `augment`. extras: {key: function (id, view)
    -> array}, added as "extras" by their keys.
    """

    def __init__(
        self,
        dataset,
        ids,
        cache,
        labels=None,
        signals=(),
        augment=False,
        masks=False,
        seed=0,
        strong=(),
        extras=None,
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
            image, view = augment(
                image, view, stable_seed(self.seed, epoch, name), name in self.strong
            )
        targets = {
            signal: torch.from_numpy(self.target(name, labels, signal, view))
            for signal in self.signals
        }
        item = {"index": index, "image": image, "targets": targets}
        if self.extras:
            item["extras"] = {
                key: torch.from_numpy(make(name, view)) for key, make in self.extras.items()
            }
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
    """Crop, flip and recolour an image [3, S, S] uint8 -> (image, view); the view takes every
    target along.

    strong: then recolour it more, drop its colours or blur it; the view is the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPU as well
        top, left, height, width = v2.RandomResizedCrop.get_params(
            image, scale=(0.5, 1.0), ratio=(0.75, 4 / 3)
        )
        flip = bool(torch.rand(()) < 0.5)
        seen = v2.functional.resized_crop(
            image, top, left, height, width, [view.size, view.size], antialias=False
        )
        seen = v2.functional.horizontal_flip(seen) if flip else seen
        seen = v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3)(seen)
        seen = STRONG(seen) if strong else seen
    return seen, View(view.width, view.height, view.size, left, top, width, height, flip)


class EpochBatches(Sampler):
    """Batches of (pass, index) keys for one epoch: the next `steps` batches of endless passes over
    the images.

    Each pass (from 1) is shuffled anew by (seed, pass); a last short batch is left out. Without
    `steps` an epoch is a pass. Set `epoch` (from 1) before iterating. A set smaller than one batch
    gives batches of all its images.
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
                order = np.random.default_rng(stable_seed(self.seed, done + 1)).permutation(
                    self.count
                )
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
    """Return a `DataLoader` over batches of keys; with workers, decoding and augmentation leave the
    main process.

    Its generator is its own: what a network draws at random must not depend on the number of
    workers.
    """
    return DataLoader(
        items,
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        generator=torch.Generator(),
    )


def object_boxes(annotation, view):
    """Return the boxes [[x0, y0, x1, y1, class], ...] in network pixels -> [MAX_BOXES, 5] float32,
    class -1 = none.

    Boxes that the view does not show are left out; coordinates reach beyond the image where the
    view cuts a box.
    """
    found = np.full((MAX_BOXES, 5), -1, np.float32)
    boxes = []
    for x0, y0, x1, y1, label in annotation:
        (left, top), (right, bottom) = view.map([[x0, y0], [x1, y1]])
        if view.flip:
            left, right = view.size - right, view.size - left
        if left < view.size and top < view.size and right > 0 and bottom > 0:
            boxes.append((left, top, right, bottom, label))
    boxes.sort(key=lambda box: (box[0] - box[2]) * (box[3] - box[1]))
    if boxes:
        found[: len(boxes)] = boxes[:MAX_BOXES]
    return found


def objects_of(labels, name, view):
    """Return the padded boxes of one image."""
    return object_boxes(labels[name]["boxes"], view)


def cut_of(masks, name, view):
    """Return the pseudo-mask of one image as the view shows it."""
    return crop_mask(masks[name], view)


def extras(weights, labels, masks):
    """Return what the loader adds for these terms: {key: function (id, view) -> array}.

    masks: {"grabcut", "walk", "cams": pseudo-masks [S, S] uint8 by image id}, those that are needed
    """
    makers = {"objects": partial(objects_of, labels)} | {
        key: partial(cut_of, found) for key, found in masks.items()
    }
    wanted = {
        ADDED_TERMS[term].extra
        for term, weight in weights.items()
        if term in ADDED_TERMS and weight
    } - {None}
    return {key: makers[key] for key in sorted(wanted)}


def make_loaders(args, dataset, labels, train_ids, signals, weights, accelerator):
    """Return (training loader, its batch sampler, validation loader)."""
    from weakseg.data.cache import ResizedCache
    from weakseg.pseudo_masks.rounds import masks_of_run

    cache = ResizedCache(args.cache_dir, args.img_size, args.cache_limit)
    masks = masks_of_run(args, dataset, labels, train_ids, signals, weights, accelerator)
    added = extras(weights, labels, masks)
    train = SegmentationItems(
        dataset, train_ids, cache, labels, signals, args.augment, seed=args.seed, extras=added
    )
    masks = args.select_by != "weak_val_loss"
    val = SegmentationItems(dataset, dataset.ids("val"), cache, labels, signals, masks=masks)
    world = accelerator.num_processes
    if args.batch_size % world or len(train) < world:
        raise UserError(
            f"--batch_size {args.batch_size}: must be a multiple of the {world} processes"
        )
    size = min(args.batch_size, len(train) // world * world)
    workers = (
        args.num_workers
        if args.num_workers is not None
        else 4 * (accelerator.device.type == "cuda")
    )
    on_gpu = accelerator.device.type == "cuda"
    batches = EpochBatches(len(train), size, args.seed, args.steps_per_epoch)
    in_order = InOrder(len(val), max(1, size // world), accelerator.process_index, world)
    return (
        make_loader(train, batches, workers, on_gpu),
        batches,
        make_loader(val, in_order, workers, on_gpu),
    )
