"""Result files `<results_dir>/<run>.json` and the predicted masks beside them: found, checked,
grouped by seed.
"""

import itertools
import json
import string
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from weakseg.common import UserError, atomic_path, read_json
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.data.image_io import read_mask
from weakseg.labels.costs import hours
from weakseg.labels.signals import SIGNALS
from weakseg.reporting.style import palette
from weakseg.training.options import FREE

RESULT = {
    "run",
    "supervision",
    "task",
    "aggregate",
    "cost",
    "selection",
    "args",
    "fingerprint",
    "images",
}
SAFE = string.ascii_letters + string.digits + " ._-+=@()[],&!~"
# Arguments in which the runs of one group may differ.
OF_A_RUN = FREE | {"seed", "run_name", "amp"}
BUDGET = 1.2  # seeds of a study label other images for the same hours: by how much their seconds may differ


def mask_name(image):
    """Return the file name of an image's mask: its id, with what file systems refuse
    percent-encoded.
    """
    return "".join(c if c in SAFE or c.isalnum() else quote(c, safe="") for c in image) + ".png"


def write_mask(path, mask, num_classes):
    """Write a mask of classes, uint8 [H, W], as a palette PNG in the colours of plots.py,
    atomically.
    """
    picture = Image.fromarray(mask)
    picture.putpalette(palette(num_classes).tobytes())
    with atomic_path(path) as temporary:
        picture.save(temporary)


def dataset_of(described, args):
    """Open the data set of a run, here or where --data_dir says, and check that it is the one the
    run knew.

    described: a checkpoint or a result, with `args` and `fingerprint`
    """
    known = dict(described["args"])
    known |= {key: getattr(args, key) for key in ("data_dir", "cache_dir") if getattr(args, key)}
    dataset = open_dataset(DataOptions.of(known))
    if dataset.fingerprint() != described["fingerprint"]:
        raise UserError(
            f"--data_dir {known['data_dir']}: not the data that run {known['run_name']} was trained on "
            "(other images, splits or classes); point --data_dir at that data or train again"
        )
    return dataset, known["cache_dir"]


def is_result(content):
    """Whether the content of a JSON file is the result of a run."""
    return isinstance(content, dict) and RESULT <= content.keys()


def find_results(folder):
    """Return {path: result} of a folder, in the order of tables; other JSON files are passed
    over.
    """
    found = {
        path: content
        for path in sorted(folder.glob("*.json"))
        if is_result(content := read_json(path))
    }
    return dict(sorted(found.items(), key=lambda item: table_order(item[1]["supervision"])))


def table_order(modes):
    """Return what runs are sorted by in tables: single signals first, each in the order of
    `SIGNALS`.
    """
    return len(modes), [list(SIGNALS).index(signal) for signal in modes]


def load_result(word, args):
    """Read the result of a run, named by its run name or its file -> its content, images sorted,
    and its `folder`.

    args: results_dir, and checkpoint_dir to tell whether the run waits for its evaluation
    """
    path = Path(word) if word.endswith(".json") else Path(args.results_dir) / f"{word}.json"
    if not path.exists():
        trained = (
            not word.endswith(".json") and (Path(args.checkpoint_dir) / word / "best.pt").exists()
        )
        name = word if trained else "RUN"
        folders = f"--checkpoint_dir {args.checkpoint_dir} --results_dir {args.results_dir}"
        raise UserError(
            f"{path}: no such result; run python evaluate.py --run_name {name} {folders}"
        )
    result = read_json(path)
    again = f"run python evaluate.py --run_name {path.stem} again"
    if not is_result(result) or not result["images"]:
        raise UserError(f"{path}: not a result of evaluate.py; {again}")
    lacks = [] if "test_fingerprint" in result else ["test_fingerprint"]
    lacks += [
        key
        for key in ("mask", "tags", "confusion")
        if key not in next(iter(result["images"].values()))
    ]
    if lacks:
        raise UserError(
            f"{path}: lacks {', '.join(lacks)}, as an older evaluate.py wrote it; {again}"
        )
    return result | {"folder": path.parent, "images": dict(sorted(result["images"].items()))}


def seed_groups(results):
    """Return the results in lists, those of one run with several seeds together, in the order of
    the first of each.
    """
    groups, times = {}, Counter()
    for result in results:
        args = {key: value for key, value in result["args"].items() if key not in OF_A_RUN}
        same = [
            args,
            result["fingerprint"],
            *map(result.get, ("test_fingerprint", "tile", "epochs_done")),
        ]
        key = json.dumps(same, sort_keys=True)
        times[key, seed_of(result)] += (
            1  # the same seed once more, under another name, is no further seed
        )
        groups.setdefault((key, times[key, seed_of(result)]), []).append(result)
    return [sorted(group, key=seed_of) for group in groups.values()]


def load_group(words, args, flag):
    """Return the results that `words` name, by seed; they must be seeds of one run and of one test
    set.

    The seeds of an equal-budget study label different numbers of images, for about the same
    seconds.
    """
    results = sorted((load_result(word, args) for word in words), key=seed_of)
    first = results[0]
    for before, other in itertools.pairwise(results):
        if seed_of(before) == seed_of(other):
            raise UserError(
                f"{flag}: {before['run']} and {other['run']} both have seed {seed_of(other)}; name one"
            )
        one, two = first["args"], other["args"]
        free = OF_A_RUN | ({"train_limit"} if same_budget(first, other) else set())
        unlike = [key for key in one if key not in free and key in two and one[key] != two[key]]
        if unlike:
            raise UserError(
                f"{flag}: {first['run']} and {other['run']} differ in {unlike[0]}, but a group is one run with several "
                "seeds; compare them as --a and --b"
            )
    for other in results:
        refuse_other_images(first, other)
        refuse_other_windows(first, other)
    return results


def same_budget(first, other):
    """Whether the labels of two runs took about the same time."""
    low, high = sorted(hours(result["cost"]) for result in (first, other))
    return high <= BUDGET * low


def refuse_other_images(first, other):
    """Two results can be compared only where they were tested on the same images and classes."""
    one, two = (
        (r.get("test_fingerprint"), r["task"]["classes"], r["images"].keys())
        for r in (first, other)
    )
    if one != two:
        raise UserError(
            f"runs {first['run']} and {other['run']} have different test images or classes; name runs of one data set"
        )


def refuse_other_windows(first, other):
    """A difference between results is one between their runs only where both were predicted in the
    same windows.
    """
    one, two = first.get("tile"), other.get("tile")
    if one != two:
        raise UserError(
            f"{first['run']} was predicted in {in_words(one)}, {other['run']} in {in_words(two)}; "
            "run python evaluate.py again with the same --tile and --tile_overlap for both"
        )


def in_words(tile):
    """Return what a result was predicted in. tile: {"pixels", "overlap"}, or None for whole
    images
    """
    return (
        f"windows of {tile['pixels']} px that overlap by {tile['overlap']:g}"
        if tile
        else "whole images"
    )


def seed_of(result):
    """Return the seed of a run."""
    return result["args"].get("seed", 0)


def group_name(results):
    """Return a short name of a group of seeds: what their names begin with, or the first name and
    how many follow.

    Windows that they were predicted in are added: the same runs can be compared in others, or
    whole.
    """
    names = [result["run"] for result in results]
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    prefix = (
        "".join(letters[0] for letters in alike).rstrip("_-. ").removesuffix("seed").rstrip("_-. ")
    )
    name = names[0] if len(names) == 1 else prefix or f"{names[0]}_and_{len(names) - 1}_more"
    tile = results[0].get("tile")
    return f"{name}_tile{tile['pixels']}_overlap{tile['overlap']:g}" if tile else name


def read_prediction(result, image, shape):
    """Return the mask that a run predicted for an image, uint8 [H, W]; a missing or foreign file is
    a `UserError`.
    """
    path = result["folder"] / result["images"][image]["mask"]
    again = f"run python evaluate.py --run_name {result['run']} again"
    if not path.exists():
        raise UserError(f"{path}: no such mask; {again}")
    mask = read_mask(path)
    if mask.shape != tuple(shape) or mask.max() >= len(result["task"]["classes"]):
        raise UserError(
            f"{path}: not a prediction for {image}, which is {shape[1]}x{shape[0]}; {again}"
        )
    return np.ascontiguousarray(mask)
