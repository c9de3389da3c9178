"""How fast is training, end to end? Images a second of train.py against the loop of smp's tutorial,
from epoch 2 on.

    python benchmarks/training.py
    python benchmarks/training.py --data_dir ../shared/data/oxford-iiit-pet --reference_workers 0 2

The tutorial's loop: PIL opens each image, torchvision resizes, flips, jitters and normalises it, a
torch DataLoader makes the batches, and smp.Unet (the same encoder, the same weights) learns by
CrossEntropyLoss and AdamW in float32, in a process of its own, as train.py sets PyTorch and the C
library up for all that runs in its process. Ours is the real `Training` of train.py with `full
--augment`, which also crops. Both train one epoch that isn't measured; then epochs of the two
alternate, so that whatever else the machine does slows both, and the ratio is that of their sums.
The data folder is only read. Without --data_dir, shapes are drawn in a temporary folder.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import functional as TF
from tqdm import tqdm

import train
from model import WHEELS, normalisation
from weakseg.common import IGNORE, commit, seed_everything
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.data.synthetic import draw_shapes
from weakseg.labels import annotators
from weakseg.labels.simulate import annotate_many
from weakseg.training import options, recipes
from weakseg.training.distributed import make_accelerator

ENCODER = "efficientnet-lite0"


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data_dir", help="folder of a data set (default: shapes, 500 pixels long, are drawn)"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[128, 256], help="pixels a side (default: 128 256)"
    )
    parser.add_argument(
        "--images", type=int, default=48, help="training images of an epoch (default: %(default)s)"
    )
    parser.add_argument("--batch_size", type=int, default=8, help="images (default: %(default)s)")
    parser.add_argument(
        "--threads", type=int, default=2, help="PyTorch's, one a core (default: %(default)s)"
    )
    parser.add_argument(
        "--reference_workers",
        type=int,
        nargs="+",
        default=[0, 2],
        help="the tutorial's loader processes, a row each; ours has none (default: 0 2)",
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="measured epochs of each (default: %(default)s)"
    )
    return parser.parse_args()


class TutorialImages(Dataset):
    """Images [3, S, S] float32, normalised, and masks [S, S] int64 of a data set, decoded anew each
    time.
    """

    def __init__(self, dataset, names, size, augment=True):
        self.dataset, self.names, self.size, self.augment = dataset, names, size, augment
        self.jitter = transforms.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3)
        self.normalise = transforms.Normalize(*normalisation(ENCODER))

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        name = self.names[index]
        image = Image.open(self.dataset.image_path(name)).convert("RGB")
        mask = Image.open(self.dataset.mask_path(name))
        image = TF.resize(image, [self.size, self.size])
        mask = TF.resize(mask, [self.size, self.size], transforms.InterpolationMode.NEAREST)
        if self.augment:
            if torch.rand(()) < 0.5:
                image, mask = TF.hflip(image), TF.hflip(mask)
            image = self.jitter(image)
        classes = self.dataset.lookup(name)[np.asarray(mask)]
        return self.normalise(TF.to_tensor(image)), torch.from_numpy(classes.astype(np.int64))


def tutorial_model(ours):
    """Return smp.Unet with the weights of a `SegmentationModel`, in float32 and contiguous."""
    unet = smp.Unet(
        WHEELS[ENCODER][0],
        encoder_weights=None,
        classes=ours.unet.segmentation_head[0].out_channels,
    )
    unet.load_state_dict(ours.unet.state_dict())
    return unet


def tutorial_epoch(model, loader, criterion, optimizer):
    """Train over the loader once -> the losses of the steps."""
    model.train()
    losses = []
    for images, masks in loader:
        optimizer.zero_grad()
        loss = criterion(model(images), masks)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def begin_tutorial(model, items, batch_size, workers, threads):
    """Make ready, in a process of its own, what `another_tutorial_epoch` goes on with."""
    global another_epoch
    torch.set_num_threads(threads)
    seed_everything(0)
    loader = DataLoader(
        items,
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    criterion = torch.nn.CrossEntropyLoss(ignore_index=IGNORE)
    another_epoch = partial(
        tutorial_epoch, model, loader, criterion, torch.optim.AdamW(model.parameters(), lr=1e-4)
    )


def another_tutorial_epoch():
    """Return the seconds of the tutorial's next epoch."""
    return seconds(another_epoch)


def our_epoch(training, epoch):
    """Train over one epoch by train.py's own loop."""
    training.batches.epoch = epoch
    training.train(False, 0, tqdm(disable=True))


def prepare(args, data_dir, size, folder):
    """Return (train.py's `Training`, data set, names of the training images)."""
    flags = {
        "supervision_mode": "full",
        "data_dir": data_dir,
        "cache_dir": folder / "cache",
        "encoder": ENCODER,
        "batch_size": args.batch_size,
        "img_size": size,
        "device": "cpu",
    }
    args = options.parse_args(
        [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    )
    args.augment = True
    args.coarse_logits = False  # the tutorial's network has none
    signals = options.settle(args)
    dataset = open_dataset(DataOptions.of(vars(args)))
    names = dataset.ids("train")[: args.images]
    labels = dict(annotate_many(dataset, dict.fromkeys(names), annotators.Options(), 0))
    weights = recipes.term_weights(args, signals, len(dataset.class_names))
    accelerator = make_accelerator("cpu")
    training = train.prepare(
        args, dataset, labels, names, signals, weights, accelerator, "imagenet"
    )
    return training, dataset, names


def seconds(function):
    """Return how long a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def measure(args, data_dir, size, workers):
    """Return (seconds of our epochs, seconds of the tutorial's, images in them)."""
    with tempfile.TemporaryDirectory() as folder:
        training, dataset, names = prepare(args, data_dir, size, Path(folder))
        reference = (
            tutorial_model(training.model),
            TutorialImages(dataset, names, size),
            training.batches.batch_size,
            workers,
            args.threads,
        )
        seed_everything(0)
        times = [[], []]
        with ProcessPoolExecutor(1, get_context("spawn"), begin_tutorial, reference) as other:
            for epoch in tqdm(range(1, args.repeats + 2), desc=f"{size} px, {workers} workers"):
                times[0].append(seconds(partial(our_epoch, training, epoch)))
                times[1].append(other.submit(another_tutorial_epoch).result())
    ours, theirs = (
        sum(found[1:]) for found in times
    )  # the first epoch fills the cache and starts the workers
    return ours, theirs, args.repeats * len(training.batches) * training.batches.batch_size


def main(args):
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        if not args.data_dir:
            draw_shapes(
                Path(folder) / "shapes", trainval=args.images * 5 // 4, test=1, size=500, seed=0
            )
        print(
            f"full, {args.images} images, batch {args.batch_size}, {args.threads} threads, {args.repeats} epochs "
            f"of each, commit `{commit()}`:\n"
        )
        print("| px | tutorial's workers | tutorial, images/s | train.py, images/s | ratio |")
        print("| ---: | ---: | ---: | ---: | ---: |")
        for size in args.sizes:
            for workers in args.reference_workers:
                ours, theirs, images = measure(
                    args, args.data_dir or f"{folder}/shapes", size, workers
                )
                print(
                    f"| {size} | {workers} | {images / theirs:.1f} | {images / ours:.1f} | {theirs / ours:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main(parse_args())
