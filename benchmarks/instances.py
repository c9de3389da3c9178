"""How many nuclei, and which? Objects told apart by shape, beside what is simply connected.

    python benchmarks/instances.py --data_dir ../shared/data/nuclei
    python benchmarks/instances.py --data_dir examples/nuclei --modes points --limit 10

For each kind of label train.py fits a probe, and predict.py predicts the masks. Their objects are
counted in both ways that predict.py has: `connected` takes each connected part for one, `shapes`
(--instances) parts those that touch. The truth is in the data set's instances/; the row of true
masks says what the parting alone can do. AP50 is TP / (TP + FP + FN), where an object is found if
its IoU with a true one is above 0.5; the count error is |predicted - true|. Both are means over
test pictures. The last columns are shapes minus connected, with 95 % bootstrap intervals over
pictures, which are paired.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from commands import ROOT, flags, prepare, publish, run, train

from weakseg.common import UserError, commit, run_cli
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.data.image_io import read_mask
from weakseg.evaluation.statistics import image_weights
from weakseg.inference.objects import Separation, separate
from weakseg.reporting.tables import markdown

TRUE = "true masks"
WAYS = {"connected": False, "shapes": True}
RESAMPLES = 5000


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path, default=ROOT / "examples" / "nuclei")
    parser.add_argument(
        "--folder", type=Path, default=Path("results/instances"), help="of all that is written"
    )
    parser.add_argument("--modes", nargs="+", default=["points", "boxes", "full"])
    parser.add_argument("--seed", type=int, default=0, help="of the probes (default: 0)")
    parser.add_argument(
        "--min_area", type=int, default=10, help="pixels; smaller objects are none, in all rows"
    )
    parser.add_argument("--limit", type=int, help="of the test pictures, the first so many")
    return parser.parse_args()


def score(predicted, true):
    """Return (AP50, count error) of object numbers [H, W] against the true ones; 0 is no object."""
    true = np.unique(true, return_inverse=True)[1].reshape(true.shape)  # without gaps
    found, there = int(predicted.max()), int(true.max())
    common = np.zeros((there + 1, found + 1), int)
    np.add.at(common, (true.ravel(), predicted.ravel()), 1)
    union = common.sum(1)[1:, None] + common.sum(0)[None, 1:] - common[1:, 1:]
    hits = int((common[1:, 1:] > 0.5 * union).sum())  # above a half, only one can fit
    several = found + there - hits
    return (hits / several if several else 1.0), abs(found - there)


def predicted_masks(args, data_dir, mode):
    """Train a probe and predict all pictures -> what returns the mask of an id."""
    folder = args.folder.resolve()
    name = f"{mode}_s{args.seed}"
    words = {"supervision_mode": mode, "learner": "probe", "seed": args.seed, "resume": "auto"}
    train(folder, data_dir, name, **words)
    out = folder / "predictions" / name
    own = flags(run_name=name, checkpoint_dir=folder / "runs", output_dir=out, device="cpu")
    run("predict.py", *own, *flags(images=data_dir / "images"))
    return lambda image: read_mask(out / "masks" / f"{image}.png")


def measure(dataset, names, mask_of, min_area):
    """Return {way: [N, 2] of AP50 and count error}."""
    rows = {way: [] for way in WAYS}
    for name in names:
        mask, true = mask_of(name), dataset.instances(name)
        for way, by_shape in WAYS.items():
            numbers, _ = separate(mask, Separation(by_shape, min_area), dataset.has_background)
            rows[way].append(score(numbers, true))
    return {way: np.array(values, float) for way, values in rows.items()}


def interval(differences, seed):
    """Return the mean of differences [N] and its 95 % interval, as text."""
    weights = image_weights(len(differences), RESAMPLES, seed)
    means = weights @ differences / weights.sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{differences.mean():+.2f} ({low:+.2f} to {high:+.2f})"


def main(args):
    data_dir = prepare(args.folder.resolve(), args.data_dir)
    dataset = open_dataset(
        DataOptions(data_dir=str(data_dir), cache_dir=str(args.folder / "cache"))
    )
    names = [name for name in dataset.ids("test")][: args.limit]
    if any(dataset.instances(name) is None for name in names):
        raise UserError(f"--data_dir {data_dir}: has no instances/ of all test pictures")
    sources = {TRUE: lambda name: np.where(dataset.mask(name) == 255, 0, dataset.mask(name))}
    sources |= {mode: predicted_masks(args, data_dir, mode) for mode in args.modes}
    rows = []
    for label, mask_of in sources.items():
        found = measure(dataset, names, mask_of, args.min_area)
        means = [found[way][:, part].mean() for part in (0, 1) for way in WAYS]
        gains = found["shapes"] - found["connected"]
        rows.append([label, *(f"{mean:.2f}" for mean in means)])
        rows[-1] += [interval(gains[:, part], args.seed) for part in (0, 1)]
    head = ["masks from", *(f"{what}, {way}" for what in ("AP50", "count error") for way in WAYS)]
    head += ["AP50 gained", "count error gained"]
    print(f"commit {commit()}, {len(names)} test pictures of {data_dir.name}")
    publish(args.folder / "table.md", markdown(head, rows))


if __name__ == "__main__":
    run_cli(main, parse_args)
