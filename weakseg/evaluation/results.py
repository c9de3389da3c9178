"""Result files `<results_dir>/<run>.json` of evaluate.py, and the predicted masks beside them."""

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from pydantic import ValidationError

from weakseg.common import UserError, read_json
from weakseg.data.contents import ABSENT, content_of
from weakseg.data.datasets import faults_of_options
from weakseg.data.ids import are_names, check_ids, is_folder_name
from weakseg.data.image_io import read_mask
from weakseg.evaluation.result_model import ResultModel
from weakseg.labels.signals import SIGNALS
from weakseg.own_files import has_mark, refuse_to_replace, take
from weakseg.validation import first_fault, shorten

Result = dict[str, Any]  # the content of one result file

RESULT_KEYS = {
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
TABLES = ("table.md", "comparison.png", "cost.png")  # of all results in a folder
SAFE_IN_FILE_NAMES = string.ascii_letters + string.digits + " ._-+=@()[],&!~"


@dataclass(frozen=True)
class Folders:
    """Where finished runs lie: the results of evaluate.py and the checkpoints of train.py."""

    results: Path
    checkpoints: Path


def mask_name(image: str) -> str:
    """Return the file name of an image's predicted mask.

    It is the image's id; what file systems refuse is percent-encoded.
    """
    letters = (c if c in SAFE_IN_FILE_NAMES or c.isalnum() else quote(c, safe="") for c in image)
    return "".join(letters) + ".png"


def read_prediction(result: Result, image: str, shape: Sequence[int]) -> np.ndarray:
    """Return the mask that a run predicted for an image of a shape (H, W), uint8 [H, W].

    result: with the `folder` that its masks lie below. A missing or foreign file is a `UserError`.
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


def refuse_other_mask(result: Result, image: str, confusion: np.ndarray) -> None:
    """Raise `UserError` where a predicted mask, or the true one, is not that which was scored.

    confusion: of the mask that is there
    """
    told = result["images"][image].get("confusion")
    if told is not None and not np.array_equal(told, confusion):
        raise UserError(
            f"{result['folder'] / result['images'][image]['mask']}: does not score as the "
            f"result says, it or the true mask changed; run python evaluate.py --run_name "
            f"{result['run']} again"
        )


def is_result(content: object) -> bool:
    """Return whether the content of a JSON file is the result of a run."""
    return (
        isinstance(content, dict)
        and content.keys() >= RESULT_KEYS
        and isinstance(content["images"], dict)
    )


def take_folder(folder: Path, images: Mapping[str, Iterable[str]]) -> None:
    """Take a folder for results, unless it has other files of the names of those to be written.

    images: {name of a run: ids of the images that it is tested on}
    """
    writer, way_out = "evaluate.py", "take another --results_dir"
    is_named = any(is_named_result(path) for path in sorted(folder.glob("*.json")))
    take(folder, TABLES, writer, way_out, is_named)
    for name, ids in images.items():
        path = folder / f"{name}.json"
        is_ours = is_named_result(path) or has_mark(folder / name, writer)
        if not is_ours:
            refuse_to_replace(folder, [path.name], writer, way_out)
        take(folder / name, map(mask_name, ids), writer, way_out, is_ours)


def is_named_result(path: Path) -> bool:
    """Return whether a JSON file is the result, of this version or another, of the run it names."""
    try:
        content = read_json(path)
    except UserError:
        return False
    return isinstance(content, dict) and content.get("run") == path.stem


def read_result(path: Path) -> Result | None:
    """Return the content of a result file, None where another JSON file is there.

    Raises `UserError` where a field is lacking or of another kind than `ResultModel` says, or where
    the name of the run, an image or a mask leads out of its folder.
    """
    content = read_json(path)
    if not is_result(content):
        return None
    again = f"run python evaluate.py --run_name {path.stem} again"
    if not is_folder_name(content["run"]):
        raise UserError(f"{path}: {shorten(content['run'])!r} is no name of a run; {again}")
    check_ids(content["images"], path, again)
    try:
        ResultModel.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {first_fault(error, ResultModel)}; {again}") from error
    faults = faults_of_options(content["args"])
    if faults:
        raise UserError(f"{path}: is damaged, {faults[0]}; {again}")
    if not are_names(content["task"]["classes"]):
        raise UserError(f"{path}: a name of a class is no text, or steers the terminal; {again}")
    masks = (image.get("mask") for image in content["images"].values())
    check_ids((mask for mask in masks if mask is not None), f"{path}, mask", again)
    return content


def find_results(folder: Path) -> dict[Path, Result]:
    """Return {path: result} of a folder, in the order of tables; other JSON files are left out."""
    contents = {path: read_result(path) for path in sorted(folder.glob("*.json"))}
    results = [(path, content) for path, content in contents.items() if content is not None]
    refuse_copies(dict(results))
    return dict(sorted(results, key=lambda item: table_order(item[1]["supervision"])))


def refuse_copies(results: Mapping[Path, Result]) -> None:
    """Raise `UserError` where two files hold the same result of a run, which would count twice."""
    known: dict[str, list[Path]] = {}
    for path, result in results.items():
        for other in known.setdefault(result["run"], []):
            if results[other]["images"] == result["images"]:
                raise UserError(
                    f"{path}: is a copy of {other.name}, and would count twice; move one of them "
                    "to another folder"
                )
        known[result["run"]].append(path)


def other_checkpoints(results: Iterable[Result]) -> list[str]:
    """Return a line for each result of a run whose checkpoint is another one now.

    Results of an earlier version don't say what it was.
    """
    lines = []
    for result in results:
        run, folder = result["run"], result["args"].get("checkpoint_dir")
        if not result.get("checkpoint") or not isinstance(folder, str):
            continue
        path = Path(folder) / run / "best.pt"
        if content_of(path, is_whole=False) not in (ABSENT, result["checkpoint"]):
            lines.append(
                f"{run}: {path} is another one than its result is of; if the run was trained "
                f"again, run python evaluate.py --run_name {run} --checkpoint_dir {folder}"
            )
    return lines


def table_order(signals: Sequence[str]) -> tuple[int, list[int]]:
    """Return what runs are sorted by: few signals first, each in the order of `SIGNALS`."""
    return len(signals), [list(SIGNALS).index(signal) for signal in signals]


def load_result(word: str, folders: Folders) -> Result:
    """Return the result of a run, with its images sorted and the `folder` that it lies in.

    word: the run's name, or its result file. A missing or old result is a `UserError` that says how
    to evaluate the run.
    """
    path = Path(word) if word.endswith(".json") else folders.results / f"{word}.json"
    if not path.exists():
        named = not word.endswith(".json")
        name = word if named and (folders.checkpoints / word / "best.pt").exists() else "RUN"
        raise UserError(
            f"{path}: no such result; run python evaluate.py --run_name {name} "
            f"--checkpoint_dir {folders.checkpoints} --results_dir {folders.results}"
        )
    result = read_result(path)
    again = f"run python evaluate.py --run_name {path.stem} again"
    if result is None or not result["images"]:
        raise UserError(f"{path}: not a result of evaluate.py; {again}")
    images = result["images"].values()
    lacks = [] if result.get("test_fingerprint") else ["test_fingerprint"]
    lacks += [
        key for key in ("mask", "tags", "confusion") if any(i.get(key) is None for i in images)
    ]
    if lacks:
        raise UserError(
            f"{path}: lacks {', '.join(lacks)}, as an older evaluate.py wrote it; {again}"
        )
    return result | {"folder": path.parent, "images": dict(sorted(result["images"].items()))}


def data_sets(
    results: Sequence[Result], sizes: str = "fingerprint", contents: str = "contents"
) -> list[tuple[str | None, str | None]]:
    """Return what tells the images of each result from others.

    Earlier versions say only how large the files are: they count as the first that have the same.
    sizes, contents: what results say of both
    """
    known: dict[str | None, str] = {}
    for result in results:
        if result.get(contents):
            known.setdefault(result.get(sizes), result[contents])
    own = [(result.get(sizes), result.get(contents)) for result in results]
    return [(size, held or known.get(size)) for size, held in own]


def test_sets(results: Sequence[Result]) -> list[tuple[str | None, str | None]]:
    """Return what tells the images and masks that each result was tested on from others."""
    return data_sets(results, "test_fingerprint", "test_contents")


def refuse_other_images(first: Result, other: Result) -> None:
    """Raise `UserError` unless two runs were tested on the same images and classes."""
    one, two = (
        (run.get("test_fingerprint"), run["task"]["classes"], run["images"].keys())
        for run in (first, other)
    )
    if one != two:
        raise UserError(
            f"runs {first['run']} and {other['run']} have different test images or classes; name "
            "runs of one data set"
        )
    if len({*test_sets([first, other])}) > 1:
        raise UserError(
            f"runs {first['run']} and {other['run']} were tested on files that changed in between; "
            f"run python evaluate.py --run_name {first['run']} {other['run']} again"
        )


def refuse_other_windows(first: Result, other: Result) -> None:
    """Raise `UserError` unless two runs were predicted in the same windows.

    Otherwise a difference between them would not be one between the runs.
    """
    one, two = first.get("tile"), other.get("tile")
    if one != two:
        raise UserError(
            f"{first['run']} was predicted in {window_words(one)}, {other['run']} in "
            f"{window_words(two)}; run python evaluate.py again with the same --tile and "
            "--tile_overlap for both"
        )


def window_words(tile: Mapping[str, Any] | None) -> str:
    """Return what a run was predicted in, in words.

    tile: {"pixels", "overlap"}, as in a result file; None for whole images
    """
    if not tile:
        return "whole images"
    return f"windows of {tile['pixels']} px that overlap by {tile['overlap']:g}"
