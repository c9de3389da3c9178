r"""Other learners on the same labels: a random forest on hand-made filters, and a tutorial's U-Net.

    python benchmarks/peers.py --data_dir ../shared/data --classes pet=cat+dog --train_limit 800 \
        --weak_label_path weak_labels/voc_human.pkl --signals points scribbles
    python benchmarks/peers.py --data_dir ../shared/data/nuclei --peers forest --signals points

`forest` is what ilastik and Weka do: scikit-image's `multiscale_basic_features` of each colour
channel at their default scales, and 100 trees, at the photograph's own size. It learns from the
clicked pixels, or from all pixels of the strokes; --most_pixels takes fewer of each image, drawn at
random, for trees that grow on millions take half an hour. `unet` is what the tutorial of
segmentation-models-pytorch trains: its U-Net on squares of 256 pixels, Adam at 2e-4 that falls by
half a cosine to 1e-5, no augmentation; with cross-entropy over the labelled pixels, and with an
encoder whose ImageNet weights come by pip. Each kind of label is a row of its own.

The test split is scored as evaluate.py does, at the photographs' own size, with the 95 % bootstrap
interval over images. Seconds are processor time, which other programs on the machine change little:
decoding and filters belong to training and to prediction, scoring to neither. Each row is printed
when it is done, and appended to --output_file as a line of JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from model import load_imagenet, new_unet, normalisation
from weakseg.common import IGNORE, UserError, commit, run_cli, seed_everything, stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.data.datasets import DataOptions, add_data_arguments, open_dataset
from weakseg.data.image_io import to_square
from weakseg.evaluation.scoring import aggregate, score_image
from weakseg.inference.predict import class_mask
from weakseg.labels.label_file import labels_for
from weakseg.labels.scribbles import draw_stroke
from weakseg.labels.signals import SIGNALS
from weakseg.labels.targets import View
from weakseg.labels.training_labels import training_ids
from weakseg.reporting.tables import markdown, percent
from weakseg.threads import thread_count

ENCODER = "efficientnet-lite0"
LEARNING_RATE, LAST_RATE = 2e-4, 1e-5  # the tutorial's

Row = dict[str, Any]


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_arguments(parser)
    group = parser.add_argument_group("labels")
    group.add_argument(
        "--weak_label_path",
        default="./weak_labels/weak_labels_train.pkl",
        help="of weak_label_generator.py (default: %(default)s)",
    )
    group.add_argument(
        "--signals",
        nargs="+",
        choices=list(DRAWN),
        default=list(DRAWN),
        help="kinds of labels, a row each (default: all)",
    )
    group.add_argument("--train_limit", type=int, help="as in train.py")
    group = parser.add_argument_group("peers")
    group.add_argument(
        "--peers", nargs="+", choices=list(PEERS), default=list(PEERS), help="(default: all)"
    )
    group.add_argument("--trees", type=int, default=100, help="forest (default: %(default)s)")
    group.add_argument(
        "--most_pixels",
        type=int,
        metavar="N",
        help="forest: labelled pixels of an image, drawn at random (default: all)",
    )
    group.add_argument(
        "--img_size", type=int, default=256, help="unet: pixels a side (default: %(default)s)"
    )
    group.add_argument("--epochs", type=int, default=10, help="unet (default: %(default)s)")
    group.add_argument("--batch_size", type=int, default=16, help="unet (default: %(default)s)")
    group.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    group.add_argument(
        "--threads", type=thread_count, default=1, help="PyTorch's (default: %(default)s)"
    )
    group = parser.add_argument_group("output")
    group.add_argument(
        "--resamples", type=int, default=1000, help="of the bootstrap (default: %(default)s)"
    )
    group.add_argument(
        "--output_file", default="./results/peers.jsonl", help="(default: %(default)s)"
    )
    return parser.parse_args()


def check(args: argparse.Namespace) -> None:
    """Refuse flag values that mean nothing."""
    for flag in ("trees", "epochs", "batch_size", "resamples"):
        if getattr(args, flag) < 1:
            raise UserError(f"--{flag} {getattr(args, flag)}: must be at least 1")
    if args.most_pixels is not None and args.most_pixels < 1:
        raise UserError(f"--most_pixels {args.most_pixels}: must be at least 1")
    if args.img_size < 32 or args.img_size % 32:
        raise UserError(f"--img_size {args.img_size}: must be a multiple of 32")


@dataclass(frozen=True)
class Lesson:
    """What a peer learns from: one kind of label of some images.

    labels: {id: {"size": [width, height], signal: annotation, ...}}
    """

    dataset: SegmentationDataset
    labels: Mapping[str, Mapping[str, Any]]
    names: Sequence[str]
    signal: str


class Peer(Protocol):
    """Another learner, fitted when it is made from (lesson, arguments).

    pixels: labelled ones that it learnt from
    """

    pixels: int

    def predict(self, image: Image.Image) -> np.ndarray:
        """Return the classes of an RGB photograph, uint8 [height, width]."""
        ...


# ---- a random forest on filters


class Forest:
    """A random forest on the filters of single pixels, at the photograph's own size."""

    def __init__(self, lesson: Lesson, args: argparse.Namespace) -> None:
        features, classes = [], []
        for name in tqdm(lesson.names, f"forest, {lesson.signal}: filters", unit="img"):
            annotations = lesson.labels[name]
            target = DRAWN[lesson.signal](annotations[lesson.signal], annotations["size"])
            rows, columns = np.nonzero(target != IGNORE)
            if args.most_pixels is not None and len(rows) > args.most_pixels:
                rng = np.random.default_rng(stable_seed(args.seed, "pixels", name))
                kept = rng.choice(len(rows), args.most_pixels, replace=False)
                rows, columns = rows[kept], columns[kept]
            if len(rows):
                features.append(filters(lesson.dataset.image(name))[rows, columns])
                classes.append(target[rows, columns])
        if not classes:
            raise nothing_labelled(args, lesson)
        self.pixels = sum(map(len, classes))
        self.forest = RandomForestClassifier(args.trees, n_jobs=1, random_state=args.seed)
        self.forest.fit(np.concatenate(features), np.concatenate(classes))

    def predict(self, image: Image.Image) -> np.ndarray:
        pixels = filters(image)
        classes = self.forest.predict(pixels.reshape(-1, pixels.shape[-1]))
        return classes.astype(np.uint8).reshape(pixels.shape[:2])


def filters(image: Image.Image) -> np.ndarray:
    """Return the filters of an RGB photograph at all scales, float32 [height, width, features]."""
    features: np.ndarray = multiscale_basic_features(np.asarray(image), workers=1, channel_axis=-1)
    return features


def drawn_points(annotation: Sequence[Sequence[float]], size: Sequence[int]) -> np.ndarray:
    """Return clicks [[x, y, class], ...] as pixels, uint8 [height, width], 255 elsewhere.

    size: (width, height) of the photograph. Of clicks on one pixel the first one wins.
    """
    width, height = size
    target = np.full((height, width), IGNORE, np.uint8)
    for x, y, label in annotation[::-1]:
        if 0 <= x < width and 0 <= y < height:
            target[int(y), int(x)] = label
    return target


def drawn_scribbles(annotation: Sequence[Mapping[str, Any]], size: Sequence[int]) -> np.ndarray:
    """Return strokes in the width of their pen, uint8 [height, width], 255 elsewhere.

    size: (width, height) of the photograph. Where strokes cross the first one wins.
    """
    width, height = size
    target = np.full((height, width), IGNORE, np.uint8)
    for stroke in annotation[::-1]:
        draw_stroke(target, np.array(stroke["path"]), stroke["class"], stroke["width"])
    return target


DRAWN = {"points": drawn_points, "scribbles": drawn_scribbles}


# ---- the U-Net of a tutorial


class Squares(Dataset):
    """Photographs [3, S, S] uint8 squashed to squares, with their labels [S, S] int64."""

    def __init__(self, lesson: Lesson, size: int) -> None:
        self.lesson, self.size = lesson, size

    def __len__(self) -> int:
        return len(self.lesson.names)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        lesson, name = self.lesson, self.lesson.names[index]
        annotations = lesson.labels[name]
        view = View(*annotations["size"], self.size)
        signal = SIGNALS[lesson.signal]
        target = signal.target(annotations[lesson.signal], view, lesson.dataset.tag_names)
        image = to_square(lesson.dataset.image(name), self.size)
        return torch.from_numpy(image), torch.from_numpy(target.astype(np.int64))


class TutorialUNet:
    """A U-Net that learns by cross-entropy over the labelled pixels of squashed photographs."""

    def __init__(self, lesson: Lesson, args: argparse.Namespace) -> None:
        seed_everything(args.seed)
        self.size = args.img_size
        self.mean, self.std = (
            255 * torch.tensor(values).view(1, 3, 1, 1) for values in normalisation(ENCODER)
        )
        self.network = new_unet(ENCODER, len(lesson.dataset.class_names))
        load_imagenet(self.network.encoder, ENCODER)
        self.network.to(memory_format=torch.channels_last)  # the faster layout on a CPU

        order = torch.Generator().manual_seed(args.seed)
        loader = DataLoader(
            Squares(lesson, args.img_size), args.batch_size, shuffle=True, generator=order
        )
        optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, T_max=args.epochs * len(loader), eta_min=LAST_RATE
        )
        for _ in tqdm(range(args.epochs), f"unet, {lesson.signal}", unit="epoch"):
            self.pixels = self.train_epoch(loader, optimizer, schedule)
            if not self.pixels:
                raise nothing_labelled(args, lesson)
        self.network.eval()

    def train_epoch(
        self,
        loader: DataLoader,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
    ) -> int:
        """Train over the loader once, and return the number of labelled pixels in it."""
        self.network.train()
        pixels = 0
        for images, targets in loader:
            labelled = int((targets != IGNORE).sum())
            if labelled:  # the mean over no pixel is no number
                loss = F.cross_entropy(self.logits(images), targets, ignore_index=IGNORE)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            pixels += labelled
        return pixels

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Return class logits [B, C, S, S] of images [B, 3, S, S] uint8."""
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        logits: torch.Tensor = self.network(x)
        return logits

    @torch.no_grad()
    def predict(self, image: Image.Image) -> np.ndarray:
        square = torch.from_numpy(to_square(image, self.size))[None]
        shape = image.height, image.width
        logits = F.interpolate(self.logits(square), shape, mode="bilinear", align_corners=False)
        return class_mask(logits[0])


PEERS: dict[str, type[Forest] | type[TutorialUNet]] = {"forest": Forest, "unet": TutorialUNet}


# ---- rows


def nothing_labelled(args: argparse.Namespace, lesson: Lesson) -> UserError:
    """Return the error for labels without a pixel."""
    return UserError(
        f"{args.weak_label_path}: the {lesson.signal} of {len(lesson.names)} images label no "
        "pixel; leave the kind out of --signals, or raise --train_limit"
    )


def scored_test_split(peer: Peer, dataset: SegmentationDataset) -> tuple[dict[str, Any], float]:
    """Return ({id: metrics} of the test split, processor seconds of its predictions)."""
    images, seconds = {}, 0.0
    for name in tqdm(dataset.ids("test"), "test", unit="img"):
        began = time.process_time()
        prediction = peer.predict(dataset.image(name))
        seconds += time.process_time() - began
        truth = dataset.mask(name)
        images[name] = score_image(prediction, truth, len(dataset.class_names))
    return images, seconds


def measure(kind: str, lesson: Lesson, args: argparse.Namespace) -> Row:
    """Train a peer, predict the test split, and return the row of the table."""
    began = time.process_time()
    peer = PEERS[kind](lesson, args)
    training = time.process_time() - began
    images, predicting = scored_test_split(peer, lesson.dataset)
    scores = aggregate(images, args.resamples)
    return {
        "peer": kind,
        "labels": lesson.signal,
        "miou": scores["miou"],
        "interval": scores["miou_interval"],
        "iou": scores["iou"],
        "training_seconds": training,
        "predicting_seconds": predicting,
        "training_images": len(lesson.names),
        "labelled_pixels": peer.pixels,
        "test_images": len(images),
        "classes": lesson.dataset.class_names,
        "fingerprint": lesson.dataset.fingerprint(),
        "threads": torch.get_num_threads(),
        "args": vars(args),
        "commit": commit(),
    }


def cells(row: Row) -> list[str]:
    """Return a row as the table shows it."""
    low, high = map(percent, row["interval"])
    seconds = [f"{row[key]:.1f}" for key in ("training_seconds", "predicting_seconds")]
    return [row["peer"], row["labels"], percent(row["miou"]), f"{low} to {high}", *seconds]


def append(path: Path, line: str) -> None:
    """Add a line to a text file, which is made with its folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def main(args: argparse.Namespace) -> None:
    check(args)
    torch.set_num_threads(args.threads)
    dataset = open_dataset(DataOptions.of(vars(args)))
    names = training_ids(dataset, args.seed, args.train_limit)
    labels = labels_for(args.weak_label_path, dataset, names, args.signals, args.data_dir)
    rows = []
    for kind in args.peers:
        for signal in args.signals:
            rows.append(measure(kind, Lesson(dataset, labels, names, signal), args))
            line = json.dumps(rows[-1], allow_nan=False)
            append(Path(args.output_file), line)
            print(line, flush=True)
    head = ["peer", "labels", "mIoU", "interval", "training, s", "predicting, s"]
    print("\n" + markdown(head, [cells(row) for row in rows], words=(0, 1)))


if __name__ == "__main__":
    run_cli(main, parse_args)
