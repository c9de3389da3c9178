"""Score trained runs on the test split: a table, one JSON a run, its masks, a comparison figure, a
cost plot.

    python evaluate.py
    python evaluate.py --run_name points_run1 hybrid_run1 --checkpoint_dir ./checkpoints --results_dir ./results
    python evaluate.py --cost relative
    python evaluate.py --cost_schedule my.yaml --cost_band bearman2016
    python evaluate.py --tile                                   (larger images in windows; --tile 512: of 512 pixels)
    python evaluate.py --reprice --cost_schedule my.yaml        (from the result files: predicts nothing)

Every run under --checkpoint_dir is scored with its best.pt at the masks' own resolution. Intervals
are 95 % bootstrap intervals over test images: they say how much the test set, not the seed, could
have changed the number. Runs that differ in nothing but their seed are also shown together, in
cost.png with the 95 % t-interval of their mean.
"""

import argparse
import itertools
from pathlib import Path

from weakseg.common import UserError, atomic_path, run_cli, write_json
from weakseg.evaluation.pricing import reprice_files, repriced
from weakseg.evaluation.results import dataset_of, in_words, mask_name, table_order, write_mask
from weakseg.labels.costs import DEFAULT, UNITS, chosen_schedule, cost_band

SMALLEST_TILE = 32  # pixels: the middle of a smaller window has nearly no surroundings
OVERLAP, MOST_OVERLAP = 0.25, 0.9  # at 0.9 a hundred windows see each pixel


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = parser.add_argument_group("runs")
    group.add_argument(
        "--checkpoint_dir",
        default="./checkpoints",
        help="folder of the runs (default: %(default)s)",
    )
    group.add_argument(
        "--run_name", nargs="+", help="only these runs (default: all that are there)"
    )
    group.add_argument(
        "--data_dir", help="where the data lies now (default: where each run found it)"
    )
    group.add_argument("--cache_dir", help="folder of resized images (default: each run's own)")
    group.add_argument("--cache_limit", type=float, metavar="GB", help="as in train.py")
    group = parser.add_argument_group("inference")
    group.add_argument(
        "--batch_size", type=int, default=16, help="images a step (default: %(default)s)"
    )
    group.add_argument(
        "--num_workers", type=int, default=0, help="loader processes (default: %(default)s)"
    )
    group.add_argument(
        "--device", choices=["auto", "cpu", "cuda", "mps"], default="auto", help="(default: auto)"
    )
    group.add_argument(
        "--tile",
        type=int,
        nargs="?",
        const=0,
        metavar="PIXELS",
        help="predict images longer than so many pixels in overlapping windows of that side; without a number: as long "
        "as training images usually are (default: whole images)",
    )
    group.add_argument(
        "--tile_overlap",
        type=float,
        metavar="F",
        help=f"least share of a window that the next covers too (default: {OVERLAP})",
    )
    group = parser.add_argument_group("output")
    group.add_argument("--results_dir", default="./results", help="(default: %(default)s)")
    group.add_argument(
        "--cost", choices=UNITS, help="cost axis of the plot: seconds, or the schedule relative"
    )
    group.add_argument(
        "--cost_schedule",
        metavar="NAME|FILE",
        help=f"prices: a name in costs.yaml, or a YAML file (default: {DEFAULT})",
    )
    group.add_argument(
        "--cost_band", metavar="NAME|FILE", help="draw costs as a range, to those by this schedule"
    )
    group.add_argument(
        "--reprice",
        action="store_true",
        help="price the files in --results_dir anew, and only that",
    )
    group.add_argument(
        "--resamples", type=int, default=1000, help="of the bootstrap (default: %(default)s)"
    )
    return parser.parse_args()


def check(args):
    """Refuse flags that mean nothing, or nothing together."""
    if args.batch_size < 1 or args.resamples < 1 or args.num_workers < 0:
        raise UserError("--batch_size and --resamples must be at least 1, --num_workers 0")
    if args.cache_limit is not None and not args.cache_limit >= 0:
        raise UserError(
            f"--cache_limit {args.cache_limit}: must be a number of gigabytes, 0 or more"
        )
    if args.tile is None and args.tile_overlap is not None:
        raise UserError(
            "--tile_overlap: says how far windows overlap, but there are none; add --tile"
        )
    if args.tile and args.tile < SMALLEST_TILE:
        raise UserError(
            f"--tile {args.tile}: a window has at least {SMALLEST_TILE} pixels a side; take more"
        )
    if args.tile_overlap is not None and not 0 <= args.tile_overlap <= MOST_OVERLAP:
        raise UserError(
            f"--tile_overlap {args.tile_overlap}: must lie between 0 and {MOST_OVERLAP}"
        )
    if args.reprice and args.tile is not None:
        raise UserError("--reprice: predicts nothing; leave out --tile")


def windows(dataset, args):
    """Return the windows that --tile and --tile_overlap ask for, {"pixels", "overlap"}; None: whole
    images.
    """
    if args.tile is None:
        return None

    from weakseg.inference.tiles import usual_side

    overlap = OVERLAP if args.tile_overlap is None else args.tile_overlap
    return {"pixels": args.tile or max(SMALLEST_TILE, usual_side(dataset)), "overlap": overlap}


def find_runs(args):
    """Return {name: checkpoint} of the runs to score, in the order of the signal table."""
    from weakseg.training.checkpoints import load_checkpoint

    root = Path(args.checkpoint_dir)
    for name in args.run_name or ():
        if Path(name).name != name or name == "..":
            raise UserError(f"--run_name {name}: is the name of one folder, without '/'")
    names = args.run_name or sorted(path.parent.name for path in root.glob("*/best.pt"))
    if not names:
        raise UserError(
            f"--checkpoint_dir {root}: no trained run is there; train one with python train.py"
        )
    runs = {name: load_checkpoint(root / name / "best.pt") for name in names}
    first = next(iter(runs))
    for name, run in runs.items():
        if run["test_fingerprint"] != runs[first]["test_fingerprint"]:
            raise UserError(
                f"runs {first} and {name} have different test images or classes; choose with --run_name"
            )
    return dict(sorted(runs.items(), key=lambda item: table_order(item[1]["args"]["modes"])))


def predictions(checkpoint, dataset, names, cache_dir, tile, args, accelerator):
    """Yield (id, predicted mask [H, W] uint8 at the original size, truth [H, W] uint8) with a
    progress bar.

    tile: what `windows` returns; images that are larger come last
    """
    from tqdm import tqdm

    from data_utils import InOrder, SegmentationItems, make_loader
    from model import model_from
    from weakseg.data.cache import ResizedCache
    from weakseg.inference.fast_cpu import folded
    from weakseg.inference.predict import full_size_masks
    from weakseg.inference.tiles import larger_than, tiled_masks

    size = checkpoint["args"]["img_size"]
    model = folded(model_from(checkpoint).to(accelerator.device), size)
    where = accelerator.device, accelerator.autocast
    large = larger_than(dataset, names, tile["pixels"]) if tile else []
    small = sorted(set(names) - set(large))
    items = SegmentationItems(dataset, small, ResizedCache(cache_dir, size, args.cache_limit))
    loader = make_loader(items, InOrder(len(items), args.batch_size), args.num_workers)
    masks = full_size_masks(model, loader, dataset, small, *where)
    if large:
        in_windows = tiled_masks(
            model, dataset, large, size, *tile.values(), args.batch_size, *where
        )
        masks = itertools.chain(masks, in_windows)
    yield from tqdm(
        masks,
        desc=checkpoint["args"]["run_name"],
        total=len(names),
        unit="img",
        disable=len(names) < 10,
    )


def evaluate_run(name, checkpoint, args, accelerator):
    """Score one run on the test split, write its result file, and return the result. Its cost is
    the checkpoint's.
    """
    from weakseg.evaluation.summary import aggregate, score_image
    from weakseg.training.checkpoints import Log

    log = Log(Path(args.checkpoint_dir) / name / "log.jsonl").read()
    dataset, cache_dir = dataset_of(checkpoint, args)
    names, classes = dataset.ids("test"), checkpoint["task"]["classes"]
    tile, images = windows(dataset, args), dict.fromkeys(names)
    for image, prediction, truth in predictions(
        checkpoint, dataset, names, cache_dir, tile, args, accelerator
    ):
        dataset.check_size(image, truth.shape)
        mask = f"{name}/{mask_name(image)}"
        write_mask(Path(args.results_dir) / mask, prediction, len(classes))
        images[image] = {
            **score_image(prediction, truth, len(classes)),
            "mask": mask,
            "tags": [*dataset.tags(image)],
        }
    result = {
        "run": name,
        "supervision": checkpoint["args"]["modes"],
        "task": checkpoint["task"],
        "tile": tile,
        "aggregate": aggregate(images, args.resamples),
        "cost": checkpoint["cost"],
        "selection": checkpoint["selection"],
        "epoch": checkpoint["epoch"],
        "epochs_done": log[-1]["epoch"] if log else None,
        "args": checkpoint["args"],
        "commit": checkpoint["commit"],
        "fingerprint": checkpoint["fingerprint"],
        "test_fingerprint": checkpoint["test_fingerprint"],
        "labels": checkpoint["labels"],
        "images": images,
    }
    write_json(Path(args.results_dir) / f"{name}.json", result)
    return result


def main(args):
    check(args)
    folder, schedule, figures = Path(args.results_dir), chosen_schedule(args), []
    band = cost_band(args, schedule)

    from weakseg.evaluation.summary import AXES, draw_comparison, draw_costs, table, table_of_seeds

    if args.reprice:
        results = reprice_files(args, schedule)
    else:
        runs = {name: repriced(run, schedule, args) for name, run in find_runs(args).items()}
        for run in runs.values():
            repriced(run, band, args)  # what has no price is refused before anything is predicted

        from weakseg.training.distributed import make_accelerator

        accelerator = make_accelerator(args.device, amp=False)  # the same numbers on every device
        results = [evaluate_run(name, run, args, accelerator) for name, run in runs.items()]
        draw_comparison(folder / "comparison.png", results, dataset_of(results[0], args)[0])
        figures.append("comparison.png")
    text = "\n\n".join(filter(None, [table(results), table_of_seeds(results)]))
    with atomic_path(folder / "table.md") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    unpriced = draw_costs(folder / "cost.png", results, schedule, args)
    if len(unpriced) < len(results):
        figures.append("cost.png")
    print(text)
    if results[0].get("tile"):
        print(f"predicted in {in_words(results[0]['tile'])}, images that fit into one as they are")
    print(
        f"seconds by the schedule {results[0]['cost']['schedule']}; labels that chose best.pt are not in hours"
    )
    if unpriced:
        print(
            f"without a price in {AXES[schedule.unit]}, so not in cost.png: {', '.join(unpriced)}"
        )
    print(f"{folder}: {', '.join(['table.md', *figures, *(r['run'] + '.json' for r in results)])}")


if __name__ == "__main__":
    run_cli(main, parse_args)
