"""Score trained runs on the test split: a table, result files, masks, a comparison, a cost plot.

    python evaluate.py
    python evaluate.py --run_name points_run1 hybrid_run1 --checkpoint_dir ./checkpoints
    python evaluate.py --cost relative
    python evaluate.py --cost_schedule my.yaml --cost_band bearman2016
    python evaluate.py --tile          (larger images in windows; --tile 512: of 512 pixels)
    python evaluate.py --reprice --cost_schedule my.yaml     (from result files: predicts nothing)
    python evaluate.py --predictions masks_of_another_model/ --data_dir my_data

Every run under --checkpoint_dir is scored with its best.pt at the masks' own resolution. Intervals
are 95 % bootstrap intervals over test images: they say how much the test set, not the seed, could
have changed the number. Runs that differ in nothing but their seed are also shown together, in
cost.png with the 95 % t-interval of their mean. With --predictions the masks in folders are scored
instead, beside the runs of --run_name if there are any.
"""

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from weakseg.common import UserError, atomic_path, printable, run_cli, write_json
from weakseg.data.base import SegmentationDataset
from weakseg.data.contents import content_of
from weakseg.data.datasets import DataOptions, open_dataset, say
from weakseg.data.ids import is_folder_name
from weakseg.evaluation import options
from weakseg.evaluation.data_of_run import dataset_of, refuse_damaged_facts
from weakseg.evaluation.other_masks import OtherMasks
from weakseg.evaluation.pricing import reprice, reprice_files
from weakseg.evaluation.results import (
    Result,
    mask_name,
    other_checkpoints,
    table_order,
    take_folder,
    window_words,
)
from weakseg.evaluation.tested_images import check_test, restrict
from weakseg.inference.tile_flags import OVERLAP, SMALLEST_TILE, check_tile
from weakseg.labels.costs import Schedule, chosen_schedule, cost_band, hours
from weakseg.reporting.pictures import write_mask

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator

MOVED = "data_dir", "cache_dir"  # that a run may find elsewhere
FEW_IMAGES = 10  # below it no progress bar is shown

T = TypeVar("T")  # what is made of a run


def parse_args() -> argparse.Namespace:
    return options.parse_args(__doc__)


def check(args: argparse.Namespace) -> None:
    """Refuse flags that mean nothing, or nothing together."""
    if args.batch_size < 1 or args.resamples < 1 or args.num_workers < 0:
        raise UserError("--batch_size and --resamples must be at least 1, --num_workers 0")
    if args.cache_limit is not None and not args.cache_limit >= 0:
        raise UserError(
            f"--cache_limit {args.cache_limit}: must be a number of gigabytes, 0 or more"
        )
    check_tile(args.tile, args.tile_overlap)
    if args.reprice and args.tile is not None:
        raise UserError("--reprice: predicts nothing; leave out --tile")
    check_data_flags(args)
    for name in args.run_name or ():
        if not is_folder_name(name):
            raise UserError(f"--run_name {name}: is the name of one folder, without '/'")


def check_data_flags(args: argparse.Namespace) -> None:
    """Refuse flags that describe the data set of a run, which describes it itself."""
    if args.reprice and args.predictions:
        raise UserError("--reprice: scores nothing; leave out --predictions")
    if args.prediction_values and not args.predictions:
        raise UserError("--prediction_values: of no masks; add --predictions DIR")
    if args.predictions and not args.run_name:
        return
    usual = vars(DataOptions())
    for flag, value in vars(DataOptions.of(vars(args))).items():
        if flag not in ("data_dir", "cache_dir") and value != usual[flag]:
            raise UserError(
                f"--{flag}: a run knows its own; it is for --predictions without --run_name"
            )


def find_runs(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return {name: checkpoint} of the runs to score, in the order of the table."""
    from model import refuse_unfit
    from weakseg.learners.checkpoint_file import load_checkpoint

    root = Path(args.checkpoint_dir)
    if args.predictions and not args.run_name:
        return {}
    names = args.run_name or sorted(path.parent.name for path in root.glob("*/best.pt"))
    if not args.run_name:
        report_left_out(root)
    if not names:
        raise UserError(
            f"--checkpoint_dir {root}: no trained run is there; train one with python train.py"
        )

    def checkpoint(name: str) -> dict[str, Any]:
        path = root / name / "best.pt"
        run: dict[str, Any] = load_checkpoint(path)
        refuse_damaged_facts(path, run)
        if run["args"].get("learner") != "probe":
            refuse_unfit(path, run, args.encoder)
        return run

    runs = usable(names, checkpoint, bool(args.run_name))
    return dict(sorted(runs.items(), key=lambda item: table_order(item[1]["args"]["modes"])))


def usable(names: Iterable[str], make: Callable[[str], T], are_named: bool) -> dict[str, T]:
    """Return {name: what `make` makes of it} of runs, without those where it raises `UserError`.

    These are printed with the reason. It is raised where the user named the runs, or none is left.
    """
    made, faults = {}, {}
    for name in names:
        try:
            made[name] = make(name)
        except UserError as error:
            faults[name] = error
            if are_named:
                raise
    if faults and not made:
        raise next(iter(faults.values()))
    for name, error in faults.items():
        print(printable(f"left out: {name}: {error}"))
    return made


def report_left_out(root: Path) -> None:
    """Print which runs below a folder have nothing to score yet, and why."""
    for folder in sorted(path for path in root.glob("[!.]*") if path.is_dir()):
        if (folder / "log.jsonl").exists() and not (folder / "best.pt").exists():
            print(
                f"left out: {folder.name}, of which no epoch could be selected yet (no best.pt); "
                "python train.py --resume goes on with it"
            )


def evaluate_runs(args: argparse.Namespace, schedule: Schedule, band: Schedule) -> list[Result]:
    """Score all runs that the arguments name, and draw their masks side by side."""
    from weakseg.evaluation.summary import draw_comparison
    from weakseg.training.distributed import make_accelerator

    runs = {name: reprice(run, schedule) for name, run in find_runs(args).items()}
    if args.tile is not None:
        refuse_tiles_of_probes(runs)
    for run in runs.values():
        reprice(run, band)  # what has no price is refused before anything is predicted
    data = usable(
        runs,
        lambda name: dataset_of(runs[name], args.data_dir, args.cache_dir),
        bool(args.run_name),
    )
    runs = {name: runs[name] for name in data}
    folders = [OtherMasks(Path(path), args.prediction_values) for path in args.predictions or ()]
    others = {masks.name: masks for masks in folders}
    refuse_names(args, runs, list(others))
    first = next(iter(runs.values()))["args"] if runs else vars(args)
    moved = {name: path for name, path in vars(args).items() if name in MOVED and path}
    settings = DataOptions.of({key: v for key, v in first.items() if v is not None} | moved)
    sets = {name: open_dataset(settings) for name in others}
    for name, masks in others.items():
        masks.know_classes(sets[name])
    restrict([*(dataset for dataset, _ in data.values()), *sets.values()], list(others.values()))
    tested = {name: dataset for name, (dataset, _) in data.items()} | sets
    check_test(tested)
    take_folder(Path(args.results_dir), {name: one.ids("test") for name, one in tested.items()})

    results = []
    if runs:
        accelerator = make_accelerator(args.device, amp=False)  # the same numbers on every device
        results += [evaluate_run(name, runs[name], *data[name], args, accelerator) for name in runs]
    for name, masks in others.items():
        facts = reprice(masks.facts(sets[name], settings), schedule)
        pairs = masks.pairs(sets[name])
        results.append(score(name, [], pairs, sets[name], None, None, facts, args))
        say([*masks.other_photographs(sets[name]), *masks.mended(sets[name])])
        say([*masks.learnt_from(sets[name]), *masks.renumbered(results[-1])])
    draw_comparison(Path(args.results_dir) / "comparison.png", results, tested[results[0]["run"]])
    return results


def refuse_names(args: argparse.Namespace, runs: dict[str, Any], others: list[str]) -> None:
    """Refuse folders of masks whose results would replace others, or the masks themselves."""
    if len(others) < len(args.predictions or ()):
        raise UserError("--predictions: two folders have the same name; rename one")
    for name, path in zip(others, args.predictions or (), strict=True):
        target = Path(args.results_dir) / name
        if name in runs or target.resolve() in (
            Path(path).resolve(),
            Path(path, "masks").resolve(),
        ):
            raise UserError(
                f"--predictions {path}: a run's results have this name; rename the folder, or take "
                "another --results_dir"
            )


def refuse_tiles_of_probes(runs: dict[str, dict[str, Any]]) -> None:
    """Refuse windows for probes, which see photographs as large as they did in training."""
    probes = [name for name, run in runs.items() if run["args"].get("learner") == "probe"]
    if probes:
        raise UserError(
            f"--tile: the probe {probes[0]} sees photographs at the size or scale of its training; "
            "leave --tile out, choose others with --run_name, or train it with --scale"
        )


def evaluate_run(
    name: str,
    checkpoint: dict[str, Any],
    dataset: SegmentationDataset,
    cache_dir: str,
    args: argparse.Namespace,
    accelerator: "Accelerator",
) -> Result:
    """Score one run on the test split, write its masks and its result file, and return the result.

    checkpoint: with the prices that the result shall state; dataset, cache_dir: of `dataset_of`
    """
    from weakseg.training.checkpoints import Log

    folder = Path(args.checkpoint_dir) / name
    facts = checkpoint | {"task": dataset.task}  # whose names may be others since
    facts["checkpoint"] = content_of(folder / "best.pt", is_whole=False)
    log = Log(folder / "log.jsonl").read()
    tile, epochs = windows(dataset, args), log[-1]["epoch"] if log else None
    pairs = predictions(checkpoint, dataset, cache_dir, tile, args, accelerator)
    signals = checkpoint["args"]["modes"]
    return score(name, signals, pairs, dataset, tile, epochs, facts, args)


def score(
    name: str,
    signals: list[str],
    pairs: Iterable[tuple[str, "np.ndarray", "np.ndarray"]],
    dataset: SegmentationDataset,
    tile: dict[str, Any] | None,
    epochs: int | None,
    facts: dict[str, Any],
    args: argparse.Namespace,
) -> Result:
    """Score masks on the test split, write them and their result file, and return the result.

    signals: that the model learnt from; pairs: (id, predicted mask, truth), as `predictions` yields
    them; epochs: that it learnt for; facts: what else there is to say, as a checkpoint says it
    """
    from weakseg.evaluation.encoded_anew import looks_of, masks_of_test
    from weakseg.evaluation.pricing import mask_actions, testing_cost
    from weakseg.evaluation.scoring import aggregate, score_image
    from weakseg.labels.costs import add_counts

    schedule = chosen_schedule(args.cost_schedule, args.cost)
    classes = facts["task"]["classes"]
    images: dict[str, Any] = dict.fromkeys(dataset.ids("test"))  # in this order, whatever comes
    drawn = []
    for image, prediction, truth in pairs:
        mask = f"{name}/{mask_name(image)}"
        write_mask(Path(args.results_dir) / mask, prediction, len(classes))
        metrics = score_image(prediction, truth, len(classes))
        images[image] = {**metrics, "mask": mask, "tags": [*dataset.tags(image)]}
        drawn.append(mask_actions(dataset, image, truth))
    result = {
        "run": name,
        "supervision": signals,
        "task": facts["task"],
        "tile": tile,
        "aggregate": aggregate(images, args.resamples, dataset.has_background),
        "cost": facts["cost"],
        "selection": facts["selection"],
        "testing": testing_cost(add_counts(drawn), len(drawn), schedule),
        "epoch": facts["epoch"],
        "epochs_done": epochs,
        "args": facts["args"],
        "checkpoint": facts.get("checkpoint"),
        "commit": facts["commit"],
        "fingerprint": facts["fingerprint"],
        "contents": facts.get("contents"),
        "test_fingerprint": dataset.test_fingerprint(),
        "test_contents": dataset.test_contents(),
        "test_masks": masks_of_test(dataset),
        "looks": looks_of(dataset, images),
        "labels": facts["labels"],
        "mask_contents": facts.get("mask_contents"),
        "images": images,
    }
    write_json(Path(args.results_dir) / f"{name}.json", result)
    return result


def windows(dataset: SegmentationDataset, args: argparse.Namespace) -> dict[str, Any] | None:
    """Return the windows that --tile asks for, {"pixels", "overlap"}; None for whole images."""
    if args.tile is None:
        return None

    from weakseg.inference.tiles import usual_side

    overlap = OVERLAP if args.tile_overlap is None else args.tile_overlap
    return {"pixels": args.tile or max(SMALLEST_TILE, usual_side(dataset)), "overlap": overlap}


def predictions(
    checkpoint: dict[str, Any],
    dataset: SegmentationDataset,
    cache_dir: str,
    tile: dict[str, Any] | None,
    args: argparse.Namespace,
    accelerator: "Accelerator",
) -> Iterator[tuple[str, "np.ndarray", "np.ndarray"]]:
    """Yield (id, predicted mask, truth) of the test split, both masks uint8 [H, W] at full size.

    tile: what `windows` returns; images that are larger come last
    """
    from tqdm import tqdm

    from data_utils import InOrder, SegmentationItems, make_loader
    from model import feature_store, model_from
    from weakseg.data.cache import ResizedCache
    from weakseg.inference.fast_cpu import folded
    from weakseg.inference.predict import full_size_masks, probe_masks
    from weakseg.inference.tiles import larger_than, tiled_masks
    from weakseg.learners.checkpoint_file import refuse_other_encoder
    from weakseg.learners.probe import Probe

    names, settings = dataset.ids("test"), checkpoint["args"]
    few = len(names) < FEW_IMAGES
    if settings.get("learner") == "probe":
        store = feature_store(
            settings, cache_dir, args.cache_limit, accelerator.device, args.encoder
        )
        refuse_other_encoder(checkpoint, store.encoder.digest)
        probe = Probe.of_state(checkpoint["model"])
        masks = probe_masks(probe, store, dataset, names, settings["views"])
        yield from tqdm(masks, settings["run_name"], len(names), unit="img", disable=few)
        return
    size, where = settings["img_size"], (accelerator.device, accelerator.autocast)
    model = folded(model_from(checkpoint, args.encoder).to(accelerator.device), size)
    large = larger_than(dataset, names, tile["pixels"]) if tile else []

    # Images that fit into a window are predicted as they are, in batches of their own.
    small = sorted(set(names) - set(large))
    items = SegmentationItems(dataset, small, ResizedCache(cache_dir, size, args.cache_limit))
    loader = make_loader(items, InOrder(len(items), args.batch_size), args.num_workers)
    masks = full_size_masks(model, loader, dataset, small, *where)
    if tile and large:
        sides = tile["pixels"], tile["overlap"]
        in_windows = tiled_masks(model, dataset, large, size, *sides, args.batch_size, *where)
        masks = itertools.chain(masks, in_windows)
    yield from tqdm(masks, settings["run_name"], len(names), unit="img", disable=few)


def write_tables(folder: Path, results: list[Result]) -> str:
    """Write table.md, of all runs and of those with several seeds, and return its text."""
    from weakseg.evaluation.summary import results_table, seeds_table

    text = "\n\n".join(filter(None, [results_table(results), seeds_table(results)]))
    with atomic_path(folder / "table.md") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return text


def print_notes(results: list[Result], schedule: Schedule, unpriced: list[str]) -> None:
    """Print what the table leaves open: windows, prices, and which runs have none."""
    from weakseg.evaluation.summary import AXES

    tile = results[0].get("tile")
    if tile:
        print(f"predicted in {window_words(tile)}, images that fit into one as they are")
    print(
        f"seconds by the schedule {results[0]['cost']['schedule']}; "
        "labels that chose best.pt are not in hours"
    )
    testing = results[0].get("testing")
    if testing:
        print(
            f"the {testing['images']} masks to test on, which are not in hours either, took "
            f"{hours(testing):.2f} h"
        )
    if unpriced:
        axis = AXES[schedule.unit]
        print(f"without a price in {axis}, so not in cost.png: {', '.join(unpriced)}")


def main(args: argparse.Namespace) -> None:
    """Score the runs, or only price their results anew; write and print the table, draw costs."""
    check(args)
    folder, schedule = Path(args.results_dir), chosen_schedule(args.cost_schedule, args.cost)
    band = cost_band(args.cost_band, schedule)
    if args.reprice:
        results = reprice_files(folder, args.run_name, schedule)
        say(other_checkpoints(results))
    else:
        results = evaluate_runs(args, schedule, band)
    print(write_tables(folder, results))

    from weakseg.evaluation.summary import draw_costs

    unpriced = draw_costs(folder / "cost.png", results, schedule, band)
    print_notes(results, schedule, unpriced)
    files = ["table.md"]
    files += ["comparison.png"] if not args.reprice else []
    files += ["cost.png"] if len(unpriced) < len(results) else []
    files += [f"{result['run']}.json" for result in results]
    print(f"{folder}: {', '.join(files)}")


if __name__ == "__main__":
    run_cli(main, parse_args)
