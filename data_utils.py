"""Batches: a data set and its labels brought to tensors, augmented together, and loaded."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2

from weakseg.common import UserError, stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.labels.signals import SIGNALS, is_closed
from weakseg.labels.targets import View, blank, crop_mask
from weakseg.labels.training_labels import TrainingLabels
from weakseg.learners.features import interpolation
from weakseg.training.recipes import ADDED_TERMS
from weakseg.training.run import TrainingRun

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

Key = tuple[int, int]  # (pass or epoch, index of an image)
Extra = Callable[[str, View], np.ndarray]  # (id, view) -> what a recipe's term needs of an image


class SegmentationItems(Dataset):
    """Images with the targets of the chosen signals.

    items[epoch, i] -> {"index", "image" [3, S, S] uint8, "targets": {signal: array}} and, with
    `masks`, "mask" [S, S] uint8. The random choices depend on (seed, epoch, id) alone, so workers
    and order make no difference. Masks are read only for the signal `full` and with `masks`.

    labels  {id: annotations}; None: every image has its mask, and no other label
    strong  ids whose colours are augmented more, see `augment`
    extras  {name: function}, added as "extras" by their names
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        ids: Sequence[str],
        cache: ResizedCache,
        labels: Mapping[str, Mapping[str, Any]] | TrainingLabels | None = None,
        signals: Sequence[str] = (),
        augment: bool = False,
        masks: bool = False,
        seed: int = 0,
        strong: Collection[str] = (),
        extras: Mapping[str, Extra] | None = None,
    ) -> None:
        self.dataset, self.ids, self.cache, self.labels = dataset, ids, cache, labels
        self.signals, self.augment, self.masks, self.seed = signals, augment, masks, seed
        self.strong, self.extras = frozenset(strong), extras

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        epoch, index = key
        name = self.ids[index]
        image = torch.from_numpy(self.cache.image(self.dataset.photograph(name)))
        size = self.cache.size
        labels = self.labels[name] if self.labels else {"size": (size, size), "full": {}}
        width, height = labels["size"]
        view = View(width, height, size)
        if self.augment:
            seed = stable_seed(self.seed, epoch, name)
            image, view = augment(image, view, seed, name in self.strong)
        targets = {
            signal: torch.from_numpy(self.target(name, labels, signal, view))
            for signal in self.signals
        }
        item = {"index": index, "image": image, "targets": targets}
        if self.extras:
            item["extras"] = {
                extra: torch.from_numpy(make(name, view)) for extra, make in self.extras.items()
            }
        if self.masks:
            item["mask"] = torch.from_numpy(crop_mask(self.mask(name), view))
        return item

    def target(self, name: str, labels: Mapping[str, Any], signal: str, view: View) -> np.ndarray:
        """Return what the network learns from one of an image's labels, as an array."""
        if signal not in labels:  # a mask that nobody drew
            return blank(view)
        annotation = self.mask(name) if signal == "full" else labels[signal]
        closed = is_closed(labels, (signal,), self.dataset.has_background)
        return SIGNALS[signal].target(annotation, view, self.dataset.tag_names, closed)

    def mask(self, name: str) -> np.ndarray:
        """Return the resized ground truth, [S, S] uint8."""
        return self.dataset.resized_mask(name, self.cache)


def augment(
    image: torch.Tensor, view: View, seed: int, strong: bool = False
) -> tuple[torch.Tensor, View]:
    """Crop, flip and recolour an image [3, S, S] uint8.

    Returns it with the view by which its targets are drawn. strong: then recolour it more, drop its
    colours or blur it; the view is the same
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPU as well
        top, left, height, width = v2.RandomResizedCrop.get_params(
            image, scale=(0.5, 1.0), ratio=(0.75, 4 / 3)
        )
        flip = bool(torch.rand(()) < 0.5)
        size = [view.size, view.size]
        image = v2.functional.resized_crop(image, top, left, height, width, size, antialias=False)
        image = v2.functional.horizontal_flip(image) if flip else image
        image = v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3)(image)
        image = STRONG(image) if strong else image
    return image, View(view.width, view.height, view.size, left, top, width, height, flip)


# ---- what a recipe's terms need of an image


def extras_of(
    weights: Mapping[str, float],
    labels: TrainingLabels,
    masks: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Extra]:
    """Return what the loader adds for the terms with a weight: {name: function (id, view)}.

    masks: {"grabcut", "walk", "cams": pseudo-masks [S, S] uint8 by id, "probe": chances, as
    `seen_chances` takes them}, those that are needed
    """
    makers: dict[str, Extra] = {"objects": partial(objects_of, labels)}
    makers |= {
        name: partial(seen_chances if name == "probe" else seen_mask, by_id)
        for name, by_id in masks.items()
    }
    wanted = {
        extra
        for term, weight in weights.items()
        if weight and term in ADDED_TERMS and (extra := ADDED_TERMS[term].extra)
    }
    return {name: makers[name] for name in sorted(wanted)}


def objects_of(labels: TrainingLabels, name: str, view: View) -> np.ndarray:
    """Return the boxes of one image as `object_boxes`."""
    return object_boxes(labels[name]["boxes"], view)


def object_boxes(annotation: Sequence[Sequence[float]], view: View) -> np.ndarray:
    """Return boxes [[x0, y0, x1, y1, class], ...] in network pixels -> [MAX_BOXES, 5] float32.

    Any two opposite corners make a box. Rows of class -1 are padding. Boxes that the view does not
    show are left out; coordinates reach beyond the image where the view cuts a box.
    """
    boxes = []
    for x0, y0, x1, y1, label in annotation:
        (left, top), (right, bottom) = np.sort(view.map([[x0, y0], [x1, y1]]), axis=0)
        if view.flip:
            left, right = view.size - right, view.size - left
        if left < view.size and top < view.size and right > 0 and bottom > 0:
            boxes.append((left, top, right, bottom, label))
    boxes.sort(key=lambda box: (box[0] - box[2]) * (box[3] - box[1]))
    padded = np.full((MAX_BOXES, 5), -1, np.float32)
    if boxes:
        padded[: len(boxes)] = boxes[:MAX_BOXES]
    return padded


def seen_mask(masks: Mapping[str, np.ndarray], name: str, view: View) -> np.ndarray:
    """Return the pseudo-mask of one image as the view shows it."""
    return crop_mask(masks[name], view)


def seen_chances(chances: Mapping[str, np.ndarray], name: str, view: View) -> np.ndarray:
    """Return what a probe says of one image as the view shows it, [C, h, h] float32.

    chances: in 255ths, one class below the other, [C * h, h] uint8 by id
    """
    cells = chances[name]
    side = cells.shape[1]
    left, top, width, height = (length * side / view.size for length in view.crop)
    middles = (np.arange(side) + 0.5) / side
    down, across = (
        interpolation(first + middles * length - 0.5, side)
        for first, length in ((top, height), (left, width))
    )
    whole = torch.from_numpy(cells.reshape(-1, side, side)).float() / 255
    seen = (down @ whole @ across.T).numpy()
    return np.ascontiguousarray(seen[:, :, ::-1] if view.flip else seen)


# ---- batches and loaders


class EpochBatches(Sampler):
    """Batches of (pass, index) keys for one epoch, taken from endless passes over the images.

    Each pass (from 1) is shuffled anew by (seed, pass); a last short batch is left out. An epoch
    is the next `steps` batches; without `steps` it is a pass. Set `epoch` (from 1) before
    iterating. A set smaller than one batch gives batches of all its images.
    """

    def __init__(self, count: int, batch_size: int, seed: int, steps: int | None = None) -> None:
        self.count, self.batch_size, self.seed, self.epoch = count, min(batch_size, count), seed, 0
        self.steps = steps or count // self.batch_size
        self.drop_last = True

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Key]]:
        each, first = self.count // self.batch_size, (self.epoch - 1) * self.steps
        for step in range(first, first + self.steps):
            done, position = divmod(step, each)
            if position == 0 or step == first:
                rng = np.random.default_rng(stable_seed(self.seed, done + 1))
                order = rng.permutation(self.count)
            start = position * self.batch_size
            yield [(done + 1, int(i)) for i in order[start : start + self.batch_size]]


class InOrder(Sampler):
    """Batches of (0, index) keys in order, for every `step`-th index from `first`."""

    def __init__(self, count: int, batch_size: int, first: int = 0, step: int = 1) -> None:
        self.indices = range(first, count, step)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        for start in range(0, len(self.indices), self.batch_size):
            yield [(0, i) for i in self.indices[start : start + self.batch_size]]


def make_loader(
    items: Dataset, batches: Sampler, workers: int = 0, pin_memory: bool = False
) -> DataLoader:
    """Return a `DataLoader` over batches of keys.

    With workers, decoding and augmentation leave the main process. The loader's generator is its
    own: what a network draws at random must not depend on the number of workers.
    """
    return DataLoader(
        items,
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        generator=torch.Generator(),
    )


def make_loaders(
    run: TrainingRun,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    extras: Mapping[str, Extra],
    accelerator: Accelerator,
    with_unlabelled: bool = True,
) -> tuple[DataLoader, EpochBatches, DataLoader]:
    """Return (training loader, its batch sampler, validation loader) of a run.

    extras: of `extras_of`; with_unlabelled: whether pictures without a label teach too
    Raises `UserError` where the batch can't be shared by the processes.
    """
    cache = ResizedCache(run.cache_dir, run.img_size, run.cache_limit)
    train = SegmentationItems(
        dataset,
        labels.train_ids if with_unlabelled else labels.labelled_ids,
        cache,
        labels,
        run.signals,
        run.augment,
        seed=run.seed,
        extras=extras,
    )
    with_masks = "full" in labels.selected_with and run.select_by != "weak_val_loss"
    val = SegmentationItems(dataset, labels.val_ids, cache, labels, run.signals, masks=with_masks)

    world = accelerator.num_processes
    if run.batch_size % world or len(train) < world:
        raise UserError(
            f"--batch_size {run.batch_size}: must be a multiple of the {world} processes"
        )
    size = min(run.batch_size, len(train) // world * world)
    batches = EpochBatches(len(train), size, run.seed, run.steps_per_epoch)
    in_order = InOrder(len(val), max(1, size // world), accelerator.process_index, world)

    on_gpu = accelerator.device.type == "cuda"
    workers = run.num_workers if run.num_workers is not None else 4 * on_gpu
    train_loader = make_loader(train, batches, workers, on_gpu)
    return train_loader, batches, make_loader(val, in_order, workers, on_gpu)
