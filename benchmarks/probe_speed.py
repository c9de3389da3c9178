"""Does the probe answer in time? Processor seconds of each of its steps, and the bound they keep.

    python benchmarks/probe_speed.py
    python benchmarks/probe_speed.py --data_dir ../shared/data
    python benchmarks/probe_speed.py --data_dir ../shared/data --classes pet=cat+dog --command

One thread computes, whose processor time other programs on the machine change little: it is what
the step takes on one free core. Medians, after a first time that is not counted. A new photograph
is read, resized and shown to the encoder, and its features are written to an empty cache. A fit
takes pixels of the masks of --labelled photographs, whose features are known: they are
standardised, the penalty is chosen from all there are, and the linear head is fitted. The fit of
two classes tells the first one from all others. With more classes --head auto ends with the small
head. One more label, in a photograph whose features are known, refits the linear head of all
classes from where it is, and predicts every pixel of that photograph along its edges. Without
--data_dir, shapes are drawn in a temporary folder, 500 pixels long.

--command measures train.py and evaluate.py instead, with clicks and an empty cache, as a user runs
them: seconds on the clock, on as many cores as the commands take. That takes minutes, on a machine
that does nothing else.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import flags, run
from weakseg.common import commit
from weakseg.threads import settle_threads

if TYPE_CHECKING:
    import numpy as np

    from weakseg.data.base import SegmentationDataset
    from weakseg.learners.feature_store import FeatureStore
    from weakseg.learners.probe import Standard

# What is measured -> seconds that it may take at the default settings, if there is a bound.
FEATURES = "features of a new photograph"
FIT_TWO = "linear head, 1,000 labelled pixels, two classes"
FIT_ALL = "linear head, 3,000 labelled pixels, all classes"
SMALL = "small head, 3,000 labelled pixels, all classes"
ONE_MORE = "one more label, to the prediction of the picture in view"
BOUNDS: dict[str, float] = {
    FEATURES: 0.15,
    FIT_TWO: 1.0,
    FIT_ALL: 5.0,
    ONE_MORE: 0.3,
    SMALL: 5.0,
}
COMMAND_BOUND = 240.0  # seconds on the clock, for 800 and 121 photographs
PLACES = 60  # random pixels of a photograph, that standardise all others

Times = dict[str, Sequence[float]]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", help="folder of a data set (default: shapes are drawn)")
    parser.add_argument("--classes", nargs="+", help="as in train.py")
    parser.add_argument(
        "--images", type=int, default=20, help="that are new, or in view (default: %(default)s)"
    )
    parser.add_argument(
        "--labelled", type=int, default=300, help="images with labels (default: %(default)s)"
    )
    parser.add_argument(
        "--fits", type=int, default=3, help="of other pixels each (default: %(default)s)"
    )
    parser.add_argument(
        "--img_size", type=int, default=384, help="pixels, longer side (default: %(default)s)"
    )
    parser.add_argument(
        "--encoder", default="efficientnet-lite0", help="as in train.py (default: %(default)s)"
    )
    parser.add_argument("--encoder_weights", default="imagenet", help="as in train.py")
    parser.add_argument(
        "--finest_stride", type=int, default=4, help="as in train.py (default: %(default)s)"
    )
    parser.add_argument(
        "--command", action="store_true", help="measure train.py and evaluate.py instead"
    )
    parser.add_argument(
        "--train_limit", type=int, default=800, help="of --command (default: %(default)s)"
    )
    return parser.parse_args(argv)


def shapes(folder: Path, trainval: int) -> Path:
    """Draw a data set of shapes with one test image, 500 pixels long, and return its folder."""
    from weakseg.data.synthetic import draw_shapes

    draw_shapes(folder / "shapes", trainval=trainval, test=1, size=500, seed=0)
    return folder / "shapes"


def opened(args: argparse.Namespace, folder: Path) -> "SegmentationDataset":
    """Return the data set, which is drawn where there is none, with one image too many."""
    from weakseg.data.datasets import DataOptions, open_dataset

    data_dir = args.data_dir or shapes(folder, max(args.images, args.labelled) * 5 // 4 + 4)
    options = {"data_dir": str(data_dir), "cache_dir": str(folder / "cache")}
    return open_dataset(DataOptions.of(options | {"classes": args.classes}))


def feature_store(args: argparse.Namespace, folder: Path) -> "FeatureStore":
    """Return an empty store of features."""
    from model import NewEncoder
    from weakseg.learners.feature_store import FeatureStore
    from weakseg.learners.features import FrameSize

    encoder = NewEncoder(
        args.encoder, args.encoder_weights, FrameSize(args.img_size), args.finest_stride
    )
    return FeatureStore(encoder, folder)


def measured(step: Callable[[Any], Any], cases: Iterable[Any]) -> list[float]:
    """Return the processor seconds of `step(case)` for each case but the first."""
    times = []
    for case in cases:
        began = time.process_time()
        step(case)
        times.append(time.process_time() - began)
    return times[1:]


@dataclass(frozen=True)
class Labelled:
    """Labelled pixels of real photographs: what fits are made of.

    features [N, D] float16; classes [N]; weights [N]; images [N]: which image each pixel is of
    """

    features: "np.ndarray"
    classes: "np.ndarray"
    weights: "np.ndarray"
    images: "np.ndarray"

    def some(self, count: int, seed: int) -> "Labelled":
        """Return at most `count` pixels, drawn by a seed."""
        import numpy as np

        drawn = np.random.default_rng(seed).permutation(len(self.classes))[:count]
        return Labelled(*(values[drawn] for values in vars(self).values()))

    def of_two(self) -> "Labelled":
        """Return the same pixels, all classes but the first being one."""
        return Labelled(self.features, (self.classes > 0) * 1, self.weights, self.images)


def labelled_pixels(
    dataset: "SegmentationDataset", store: "FeatureStore", names: Sequence[str], count: int
) -> tuple[Labelled, "Standard"]:
    """Return about `count` pixels of the masks of images, and what standardises features."""
    import numpy as np

    from weakseg.labels.pixels import pixels_of_mask, random_places
    from weakseg.learners.probe import Standard

    rng, drawn, pool = np.random.default_rng(0), [], []
    for number, name in enumerate(names):
        maps = store(dataset.photograph(name))
        pixels = pixels_of_mask(dataset.mask(name), -(-count // len(names)), rng)
        images = np.full(len(pixels.classes), number)
        features = maps.at(pixels.places).astype(np.float16)
        drawn.append((features, pixels.classes, pixels.weights, images))
        pool.append(maps.at(random_places(maps.size, PLACES, rng)).astype(np.float16))
    columns = map(np.concatenate, zip(*drawn, strict=True))
    return Labelled(*columns), Standard.of(np.concatenate(pool))


def fit_times(
    args: argparse.Namespace, dataset: "SegmentationDataset", store: "FeatureStore"
) -> Times:
    """Return the seconds of fits, and of one more label and what it changes."""
    import numpy as np

    from weakseg.inference.predict import probe_mask
    from weakseg.labels.spacing import MOST
    from weakseg.learners.logistic import fit_linear
    from weakseg.learners.penalty import choose_penalty
    from weakseg.learners.probe import Probe
    from weakseg.training.pixel_sample import LabelledPixels
    from weakseg.training.probe_fit import fit_head
    from weakseg.training.probe_options import ProbeOptions

    names, classes = dataset.ids("train")[: args.labelled], len(dataset.class_names)
    every, standard = labelled_pixels(dataset, store, names, 4000)

    def fit(pixels: Labelled, num_classes: int) -> tuple[Any, Any]:
        x, rest = standard(pixels.features), (pixels.classes, pixels.weights)
        choice = choose_penalty(x, *rest, pixels.images, num_classes)
        return choice, fit_linear(x, *rest, choice.penalty, num_classes, axes=choice.axes)

    seeds = range(args.fits + 1)
    times: Times = {
        FIT_TWO: measured(lambda seed: fit(every.some(1000, seed).of_two(), 2), seeds),
        FIT_ALL: measured(lambda seed: fit(every.some(3000, seed), classes), seeds),
    }

    known = every.some(3000, 0)
    (choice, head), x = fit(known, classes), standard(known.features)
    weight = known.weights.mean()

    def one_more(view: tuple[Any, "np.ndarray", int]) -> "np.ndarray":
        maps, image, label = view
        place = np.divide(maps.size, 2)[None]
        refitted = fit_linear(
            np.concatenate([x, standard(maps.at(place))]),
            np.append(known.classes, label),
            np.append(known.weights, weight),
            choice.penalty,
            classes,
            start=head,
            axes=choice.axes,
        )
        probe = Probe(standard, refitted, MOST)
        prediction: np.ndarray = probe_mask(probe, maps, image)
        return prediction

    views = (
        (store(dataset.photograph(name)), np.asarray(dataset.image(name)), number % classes)
        for number, name in enumerate(dataset.ids("train")[-args.images - 1 :])
    )
    times[ONE_MORE] = measured(one_more, views)

    settings: Any = SimpleNamespace(seed=0, signals=("full",), probe=ProbeOptions(head="small"))
    evidence: Any = None  # only the penalty of a linear head depends on it
    pixels = LabelledPixels(*vars(known).values())
    of_masks = np.ones(len(pixels), bool)
    times[SMALL] = measured(
        lambda _: fit_head(settings, evidence, pixels, of_masks, standard, classes), range(2)
    )
    return times


def step_times(args: argparse.Namespace, folder: Path) -> tuple[Times, int]:
    """Return the seconds of every step that has a bound, and the number of classes."""
    dataset = opened(args, folder)
    new = [dataset.photograph(name) for name in dataset.ids("train")[: args.images + 1]]
    times: Times = {FEATURES: measured(feature_store(args, folder / "new"), new)}
    times |= fit_times(args, dataset, feature_store(args, folder / "features"))
    return times, len(dataset.class_names)


def command_seconds(args: argparse.Namespace, folder: Path) -> float:
    """Return the seconds of train.py and evaluate.py with an empty cache; the labels are there."""
    data_dir = Path(args.data_dir or shapes(folder, args.train_limit * 5 // 4 + 4)).resolve()
    data = flags(data_dir=data_dir, classes=args.classes)
    file = folder / "labels.pkl"
    run(
        "weak_label_generator.py",
        *(*data, *flags(output_file=file, cache_dir=folder / "cache_of_labels")),
    )
    words = flags(
        learner="probe",
        supervision_mode="points",
        run_name="probe",
        weak_label_path=file,
        cache_dir=folder / "cache",
        checkpoint_dir=folder / "runs",
        train_limit=args.train_limit,
        img_size=args.img_size,
        encoder=args.encoder,
        encoder_weights=args.encoder_weights,
        finest_stride=args.finest_stride,
    )
    where = flags(checkpoint_dir=folder / "runs", results_dir=folder / "results")
    training, _ = run("train.py", *data, *words)
    scoring, _ = run("evaluate.py", *where, "--run_name", "probe")
    return training + scoring


def row(name: str, seconds: float, bound: float) -> str:
    """Return a row of the table, which ends with the share of the bound."""
    return f"| {name} | {seconds:.3f} | {bound} | {seconds / bound:.2f} |"


def main(args: argparse.Namespace) -> None:
    what = f"{args.encoder} at {args.img_size} px, stages from stride {args.finest_stride} on"
    rule = "| --- | ---: | ---: | ---: |"
    with tempfile.TemporaryDirectory() as folder:
        if args.command:
            seconds = command_seconds(args, Path(folder))
            print(f"{what}, clicks, an empty cache, commit `{commit()}`:\n")
            print(f"| commands | seconds on the clock | bound | share of the bound |\n{rule}")
            name = f"train.py and evaluate.py, {args.train_limit} training images"
            print(row(name, seconds, COMMAND_BOUND))
            return
        settle_threads(1)
        times, classes = step_times(args, Path(folder))
    print(f"{what}, {classes} classes in all, one thread, medians, commit `{commit()}`:\n")
    print(f"| step | processor seconds | bound | share of the bound |\n{rule}")
    for name, each in times.items():
        print(row(name, statistics.median(each), BOUNDS[name]))


if __name__ == "__main__":
    main(parse_args())
