"""Does evaluation cost more than the network? evaluate.py against a plain loop with torchmetrics at
full resolution.

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py --data_dir ../shared/data/oxford-iiit-pet --img_sizes 128 256

`ours` is evaluate.py's own `evaluate_run`, everything included: predicted masks written as PNG,
metrics of every image, the bootstrap interval, the result file; `first run` begins with an empty
cache folder, as the first run that evaluate.py scores, `next run` finds it full. `plain` is what a
careful user writes from the tutorials of PyTorch, torchvision, segmentation-models-pytorch and
torchmetrics: PIL and Resize in a DataLoader, the same network, logits brought to each mask's size,
JaccardIndex and Accuracy updated once a batch, no file written. The boundary score is left out on
both sides, or is our function on both sides. `plain` has a process of its own, as evaluate.py sets
PyTorch and the C library up for all that runs in its process. Seconds are processor time of one
thread, medians over repeats in which both take turns, so that other work hardly matters. The data
folder is only read. Without --data_dir, shapes are drawn in a temporary folder.
"""

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex
from torchvision import transforms

import evaluate
import train
import weak_label_generator
from model import model_from
from weakseg import metrics
from weakseg.common import IGNORE, commit
from weakseg.data.synthetic import draw_shapes
from weakseg.evaluation.results import dataset_of
from weakseg.training import options
from weakseg.training.checkpoints import load_checkpoint
from weakseg.training.distributed import make_accelerator

BATCH = 16


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data_dir", help="folder of a data set (default: shapes, 500 pixels long, are drawn)"
    )
    parser.add_argument(
        "--img_sizes", type=int, nargs="+", default=[128, 256], help="pixels (default: 128 256)"
    )
    parser.add_argument(
        "--images", type=int, default=166, help="drawn ones to test on (default: %(default)s)"
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="medians over these (default: %(default)s)"
    )
    return parser.parse_args()


class Pictures(Dataset):
    """A photograph, resized and normalised, with its mask at full size, as a tutorial writes it."""

    def __init__(self, dataset, names, size, mean, std):
        self.dataset, self.names = dataset, names
        self.transform = transforms.Compose(
            [
                transforms.Resize((size, size)),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        name = self.names[index]
        image = self.transform(Image.open(self.dataset.image_path(name)).convert("RGB"))
        mask = self.dataset.lookup(name)[np.array(Image.open(self.dataset.mask_path(name)))]
        return image, torch.from_numpy(mask).long()


def together(items):
    """Collate images of one size and masks of many."""
    images, masks = zip(*items, strict=True)
    return torch.stack(images), masks


@torch.inference_mode()
def plain_loop(network, pictures, num_classes, boundary):
    """Evaluate as the tutorials do -> {"miou", "pixel_accuracy"}; boundary: score that of each
    image as well.
    """
    jaccard = MulticlassJaccardIndex(num_classes, ignore_index=IGNORE)
    accuracy = MulticlassAccuracy(num_classes, average="micro", ignore_index=IGNORE)
    network.eval()
    for images, masks in DataLoader(pictures, batch_size=BATCH, collate_fn=together):
        found = []
        for logits, mask in zip(network(images), masks, strict=True):
            larger = F.interpolate(
                logits[None], size=mask.shape, mode="bilinear", align_corners=False
            )
            found.append(larger.argmax(1)[0])
            if boundary:
                metrics.boundary_f(found[-1].byte().numpy(), mask.byte().numpy(), num_classes)
        predicted, wanted = (
            torch.cat([part.flatten() for part in parts]) for parts in (found, masks)
        )
        jaccard.update(predicted, wanted)
        accuracy.update(predicted, wanted)
    return {"miou": float(jaccard.compute()), "pixel_accuracy": float(accuracy.compute())}


def train_briefly(folder, data_dir, size):
    """Train a run for one step -> its folder: what it predicts is of no account, but must not be
    one class.
    """
    with patch.object(
        sys,
        "argv",
        ["", "--data_dir", str(data_dir), "--output_file", f"{folder}/labels.pkl", "--jobs", "1"],
    ):
        weak_label_generator.main(weak_label_generator.parse_args())
    words = {
        "supervision_mode": "full",
        "run_name": f"full_{size}",
        "data_dir": data_dir,
        "img_size": size,
        "weak_label_path": f"{folder}/labels.pkl",
        "cache_dir": f"{folder}/training",
        "lr": 1e-3,
        "device": "cpu",
        "checkpoint_dir": f"{folder}/runs",
        "epochs": 1,
        "steps_per_epoch": 4,
        "batch_size": 8,
    }
    train.main(
        options.parse_args(
            [word for key, value in words.items() for word in (f"--{key}", str(value))]
        )
    )
    return Path(folder) / "runs" / f"full_{size}"


def ours(run, cache, folder):
    """Evaluate a run as evaluate.py does -> its aggregate metrics."""
    words = [
        "--checkpoint_dir",
        run.parent,
        "--results_dir",
        folder,
        "--cache_dir",
        cache,
        "--device",
        "cpu",
    ]
    with patch.object(sys, "argv", ["", *map(str, words), "--batch_size", str(BATCH)]):
        args = evaluate.parse_args()
    accelerator = make_accelerator("cpu", amp=False)
    return evaluate.evaluate_run(run.name, load_checkpoint(run / "best.pt"), args, accelerator)[
        "aggregate"
    ]


def theirs(run, dataset, names, size, boundary):
    """Evaluate the same network on the images `names` in the plain loop."""
    model = model_from(load_checkpoint(run / "best.pt"))
    mean, std = ((value.flatten() / 255).tolist() for value in (model.mean, model.std))
    network = model.unet.to(memory_format=torch.contiguous_format)
    pictures = Pictures(dataset, names, size, mean, std)
    return plain_loop(network, pictures, len(dataset.class_names), boundary)


def timed(function, *arguments):
    """Return (seconds of processor time, what the function returns)."""
    began = time.process_time()
    found = function(*arguments)
    return time.process_time() - began, found


def without_boundary(prediction, target, num_classes):
    """Stand in for `metrics.boundary_f`."""
    return np.full(num_classes, np.nan)


def measure(run, dataset, size, boundary, repeats, folder, other):
    """Return median seconds {"first", "next", "plain"} over the split; both sides must agree.

    other: the executor of the process for `plain`
    """
    times = {"first": [], "next": [], "plain": []}
    for _ in range(repeats):
        cache = tempfile.mkdtemp(dir=folder)
        with patch.object(
            metrics, "boundary_f", metrics.boundary_f if boundary else without_boundary
        ):
            pairs = [timed(ours, run, cache, f"{folder}/results") for _ in range(2)]
        pairs.append(
            other.submit(timed, theirs, run, dataset, dataset.ids("test"), size, boundary).result()
        )
        scores = [found["miou"] for _, found in pairs]
        assert max(scores) - min(scores) < 1e-3, scores  # ToTensor rounds in another place
        for key, (seconds, _) in zip(times, pairs, strict=True):
            times[key].append(seconds)
    return {key: statistics.median(found) for key, found in times.items()}


def main(args):
    torch.set_num_threads(1)
    alone = ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (1,))
    with tempfile.TemporaryDirectory() as folder, alone as other:
        if not args.data_dir:
            draw_shapes(Path(folder) / "data", trainval=24, test=args.images, size=500, seed=0)
        data_dir = Path(args.data_dir or f"{folder}/data").resolve()
        for number, size in enumerate(args.img_sizes):
            run = train_briefly(folder, data_dir, size)
            dataset, _ = dataset_of(
                load_checkpoint(run / "best.pt"), argparse.Namespace(data_dir=None, cache_dir=None)
            )
            names = dataset.ids("test")
            other.submit(
                theirs, run, dataset, names[:BATCH], size, True
            ).result()  # first use is not measured
            if number == 0:
                print(
                    f"{len(names)} images, batches of {BATCH}, images a second of processor time, one thread, "
                    f"medians of {args.repeats}, commit `{commit()}`:\n"
                )
                print(
                    "| px | metrics | plain | first run | next run | first, times faster | next, times faster |"
                )
                print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
            for boundary in (False, True):
                found = measure(run, dataset, size, boundary, args.repeats, folder, other)
                speeds = [f"{len(names) / found[key]:.1f}" for key in ("plain", "first", "next")]
                ratios = [f"{found['plain'] / found[key]:.2f}" for key in ("first", "next")]
                words = "IoU, accuracy, boundary F" if boundary else "IoU, accuracy"
                print(f"| {size} | {words} | {' | '.join(speeds + ratios)} |", flush=True)


if __name__ == "__main__":
    main(parse_args())
