"""Does evaluation cost more than the network? evaluate.py against a plain loop with torchmetrics.

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py --data_dir ../shared/data/oxford-iiit-pet --img_sizes 128 256

Ours is the command `evaluate.py` with all that it does: predicted masks written as PNG, metrics of
every image, the bootstrap interval, the result file. Its start is left out: it runs on one trained
run, and on that run and a copy of it, and the difference is what a further run costs. `first run`
adds what an empty cache of resized images costs, `next run` finds it full.

`plain` is what a careful user writes from the tutorials of PyTorch, torchvision,
segmentation-models-pytorch and torchmetrics: PIL and Resize in a DataLoader, the same network,
logits brought to each mask's size, JaccardIndex and Accuracy updated once a batch, no file written.
It also scores boundaries, by our function, and has a process of its own.

Seconds are processor time of one thread, medians over repeats in which both take turns, so that
other work hardly matters. The data folder is only read. Without --data_dir, shapes are drawn in a
temporary folder.
"""

import argparse
import resource
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex
from torchvision import transforms

from benchmarks.commands import flags, prepare, run, train
from model import model_from
from weakseg.common import IGNORE, commit, read_json
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.learners.checkpoint_file import load_checkpoint
from weakseg.metrics import boundary_f

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


class TutorialImages(Dataset):
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
        image = self.transform(self.dataset.image(name))
        mask = self.dataset.mask(name)
        return image, torch.from_numpy(mask).long()


def collate(items):
    """Put images of one size into a batch, and masks of many sizes into a list."""
    images, masks = zip(*items, strict=True)
    return torch.stack(images), masks


@torch.inference_mode()
def tutorial_miou(network, items, num_classes):
    """Evaluate a network as the tutorials do -> its mIoU."""
    jaccard = MulticlassJaccardIndex(num_classes, ignore_index=IGNORE)
    accuracy = MulticlassAccuracy(num_classes, average="micro", ignore_index=IGNORE)
    network.eval()
    for images, masks in DataLoader(items, batch_size=BATCH, collate_fn=collate):
        predictions = []
        for logits, mask in zip(network(images), masks, strict=True):
            full_size = F.interpolate(
                logits[None], size=mask.shape, mode="bilinear", align_corners=False
            )
            predictions.append(full_size.argmax(1)[0])
            boundary_f(predictions[-1].byte().numpy(), mask.byte().numpy(), num_classes)
        predicted, truth = (
            torch.cat([part.flatten() for part in parts]) for parts in (predictions, masks)
        )
        jaccard.update(predicted, truth)
        accuracy.update(predicted, truth)
    accuracy.compute()
    return float(jaccard.compute())


def tutorial(checkpoint_path, data_dir, cache_dir, size, limit=None):
    """Evaluate a run's network in the tutorials' loop -> (processor seconds, mIoU).

    limit: evaluate on so many images only
    """
    dataset = open_dataset(DataOptions(data_dir=data_dir, cache_dir=cache_dir))
    model = model_from(load_checkpoint(checkpoint_path))
    mean, std = ((value.flatten() / 255).tolist() for value in (model.mean, model.std))
    network = model.unet.to(memory_format=torch.contiguous_format)
    items = TutorialImages(dataset, dataset.ids("test")[:limit], size, mean, std)
    began = time.process_time()
    miou = tutorial_miou(network, items, len(dataset.class_names))
    return time.process_time() - began, miou


def evaluate_seconds(folder, cache_dir, *names):
    """Run evaluate.py on the runs `names` -> the processor seconds of its process."""
    words = flags(
        run_name=names,
        checkpoint_dir=folder / "runs",
        results_dir=folder / "results",
        cache_dir=cache_dir,
        batch_size=BATCH,
        device="cpu",
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run("evaluate.py", *words, threads=1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(folder, data_dir, name, size, repeats, other):
    """Return median seconds {"plain", "first", "next"} over the test split; both sides must agree.

    other: the executor of the process for `plain`
    """
    times = {"plain": [], "first": [], "next": []}
    copy = f"{name}_copy"
    shutil.copytree(folder / "runs" / name, folder / "runs" / copy)
    words = folder / "runs" / name / "best.pt", str(data_dir), str(folder / "cache"), size
    other.submit(tutorial, *words, limit=BATCH).result()  # the first use is not measured
    for _ in range(repeats):
        cache_dir = tempfile.mkdtemp(dir=folder)
        cold = evaluate_seconds(folder, cache_dir, name)
        one = evaluate_seconds(folder, cache_dir, name)
        two = evaluate_seconds(folder, cache_dir, name, copy)
        times["next"].append(two - one)
        times["first"].append(two - one + cold - one)
        seconds, miou = other.submit(tutorial, *words).result()
        times["plain"].append(seconds)
        ours = read_json(folder / "results" / f"{name}.json")["aggregate"]["miou"]
        assert abs(ours - miou) < 1e-3, (ours, miou)  # ToTensor rounds in another place
    return {key: statistics.median(seconds) for key, seconds in times.items()}


def main(args):
    print(
        f"batches of {BATCH}, images a second of processor time, one thread, "
        f"medians of {args.repeats}, commit `{commit()}`:\n"
    )
    print("| px | images | plain | first run | next run | first / plain | next / plain |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    alone = ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (1,))
    with tempfile.TemporaryDirectory() as name, alone as other:
        folder = Path(name)
        data_dir = prepare(folder, args.data_dir, trainval=24, test=args.images)
        dataset = open_dataset(DataOptions(data_dir=str(data_dir), cache_dir=str(folder / "cache")))
        images = len(dataset.ids("test"))
        for size in args.img_sizes:
            # What the network predicts is of no account, but must not be one class alone.
            run_name, length = f"full_{size}", {"epochs": 1, "steps_per_epoch": 4, "lr": 1e-3}
            train(folder, data_dir, run_name, supervision_mode="full", img_size=size, **length)
            times = measure(folder, data_dir, run_name, size, args.repeats, other)
            speeds = [f"{images / seconds:.1f}" for seconds in times.values()]
            ratios = [f"{times['plain'] / times[key]:.2f}" for key in ("first", "next")]
            print(f"| {size} | {images} | {' | '.join(speeds + ratios)} |", flush=True)


if __name__ == "__main__":
    main(parse_args())
