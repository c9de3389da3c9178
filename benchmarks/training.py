"""How fast is training, end to end? Images a second of train.py against the loop of smp's tutorial.

    python benchmarks/training.py
    python benchmarks/training.py --data_dir ../shared/data/oxford-iiit-pet --workers 0 2

The tutorial's loop: PIL opens each image, torchvision resizes, flips, jitters and normalises it, a
torch DataLoader makes the batches, and smp.Unet (the same encoder, the same weights) learns by
CrossEntropyLoss and AdamW in float32. Ours is the command `train.py --supervision_mode full
--augment`, which also crops. Each has a process of its own, and runs of the two take turns, so that
whatever else the machine does slows both. The rate is the median over epochs from the second on,
when the cache is full and the workers run; train.py writes it into its log, without validation. The
data folder is only read. Without --data_dir, shapes are drawn in a temporary folder.
"""

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
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

from benchmarks.commands import prepare, train
from model import WHEELS, build_model, normalisation
from weakseg.common import IGNORE, commit, seed_everything
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.training_labels import training_ids

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
        "--workers",
        type=int,
        nargs="+",
        default=[0, 2],
        help="the tutorial's loader processes, a row each; ours has none (default: 0 2)",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=3,
        help="of each run, the first not measured (default: %(default)s)",
    )
    parser.add_argument(
        "--turns", type=int, default=2, help="runs of each kind (default: %(default)s)"
    )
    return parser.parse_args()


class TutorialImages(Dataset):
    """Images [3, S, S] float32, normalised, and masks [S, S] int64, decoded anew each time."""

    def __init__(self, dataset, names, size, augment=True):
        self.dataset, self.names, self.size, self.augment = dataset, names, size, augment
        self.jitter = transforms.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3)
        self.normalise = transforms.Normalize(*normalisation(ENCODER))

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        name = self.names[index]
        image, mask = self.dataset.image(name), Image.fromarray(self.dataset.mask(name))
        image = TF.resize(image, [self.size, self.size])
        mask = TF.resize(mask, [self.size, self.size], transforms.InterpolationMode.NEAREST)
        if self.augment:
            if torch.rand(()) < 0.5:
                image, mask = TF.hflip(image), TF.hflip(mask)
            image = self.jitter(image)
        return self.normalise(TF.to_tensor(image)), torch.from_numpy(np.array(mask, np.int64))


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


def tutorial_rates(data_dir, cache_dir, size, workers, args):
    """Train as the tutorial does -> the images a second of each epoch but the first."""
    torch.set_num_threads(args.threads)
    seed_everything(0)
    dataset = open_dataset(DataOptions(data_dir=data_dir, cache_dir=cache_dir))
    items = TutorialImages(dataset, training_ids(dataset, 0, args.images), size)
    sizes = len(dataset.class_names), len(dataset.tag_names)
    model = tutorial_model(build_model(ENCODER, *sizes))
    loader = DataLoader(
        items,
        args.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    criterion = torch.nn.CrossEntropyLoss(ignore_index=IGNORE)
    optimizer, rates = torch.optim.AdamW(model.parameters(), lr=1e-4), []
    for _ in range(args.epochs):
        began = time.perf_counter()
        steps = len(tutorial_epoch(model, loader, criterion, optimizer))
        rates.append(steps * args.batch_size / (time.perf_counter() - began))
    return rates[1:]


def measure(args, folder, data_dir, size, workers):
    """Return the median images a second of (train.py, the tutorial), run by run in turns."""
    ours, theirs = [], []
    for _ in range(args.turns):
        log = train(
            folder,
            data_dir,
            f"full_{size}",
            threads=args.threads,
            supervision_mode="full",
            augment=True,
            coarse_logits=False,  # the tutorial's network has none
            encoder=ENCODER,
            img_size=size,
            batch_size=args.batch_size,
            train_limit=args.images,
            epochs=args.epochs,
            overwrite=True,
        )
        ours += [line["images_per_second"] for line in log[1:]]
        with ProcessPoolExecutor(1, get_context("spawn")) as other:
            words = str(data_dir), str(folder / "cache"), size, workers, args
            theirs += other.submit(tutorial_rates, *words).result()
    return statistics.median(ours), statistics.median(theirs)


def main(args):
    print(
        f"full, {args.images} images, batch {args.batch_size}, {args.threads} threads, "
        f"{args.turns} x {args.epochs - 1} epochs of each, commit `{commit()}`:\n"
    )
    print("| px | tutorial's workers | tutorial, images/s | train.py, images/s | ratio |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_dir = prepare(folder, args.data_dir, trainval=args.images * 5 // 4)
        for size in args.sizes:
            for workers in args.workers:
                ours, theirs = measure(args, folder, data_dir, size, workers)
                print(
                    f"| {size} | {workers} | {theirs:.1f} | {ours:.1f} | {ours / theirs:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main(parse_args())
