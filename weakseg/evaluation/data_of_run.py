"""The data set of a finished run, which may have changed since: what a run needs of it now.

That is its classes, by their numbers, and pictures to test on. Pictures that it was trained on may
be gone or mended, classes may have other names, and later classes may stand behind them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from weakseg.common import UserError
from weakseg.data.base import SegmentationDataset
from weakseg.data.contents import known_and_changed
from weakseg.data.datasets import DataOptions, open_dataset, say
from weakseg.evaluation.encoded_anew import are_encoded_anew, masks_of_test
from weakseg.evaluation.result_model import FactsModel
from weakseg.evaluation.results import is_result
from weakseg.labels.store_file import is_store
from weakseg.labels.store_labels import store_content
from weakseg.labels.store_masks import not_exported, stale
from weakseg.validation import first_fault

LEAST = 0.5  # share of the pictures that a run knew which must be there as they were


def dataset_of(
    run: Mapping[str, Any], data_dir: str | None = None, cache_dir: str | None = None
) -> tuple[SegmentationDataset, str]:
    """Return the data set of a checkpoint or result, and the folder of its resized images.

    data_dir, cache_dir: where they lie now; None for where the run found them. Another data set, or
    classes in another order, are a `UserError`. The test split has no image that the run was
    trained on, and is that of a result, whose images and masks must be as they were. Images that
    were only encoded anew are told, and so are files to test on that changed.
    """
    moved = {"data_dir": data_dir, "cache_dir": cache_dir}
    options = DataOptions.of(run["args"] | {key: path for key, path in moved.items() if path})
    dataset = open_dataset(options)
    task = run["task"]
    if dataset.has_background != task.get("has_background", True):
        raise UserError(
            f"--data_dir {options.data_dir}: the first class is the background for one of the data "
            f"and the run {run['args']['run_name']}, and not for the other; restore classes.txt"
        )
    dataset.know_as(task["classes"])
    are_anew = not is_data_of(dataset, run)
    if are_anew:
        refuse_others(dataset, run, options.data_dir)
        say(
            [
                f"{options.data_dir}: the photographs were encoded anew since run "
                f"{run['args']['run_name']}: other files of the same names and sizes that look "
                "the same; what it finds in them may differ a little"
            ]
        )
    if "seen" in run:
        say(trained_on(dataset, run, options.data_dir))
        dataset.test_on({*dataset.ids("test")} - {*run["seen"]})
    say(renamed_since(dataset, run, options.data_dir))
    say(left_exports(dataset, run))
    say(changed_files(dataset, run, options.data_dir, are_anew))
    return dataset, options.cache_dir


def trained_on(dataset: SegmentationDataset, run: Mapping[str, Any], data_dir: str) -> list[str]:
    """Return a line on images of the test list that are left out, as a run was trained on them."""
    tested = dataset.ids("test")
    if not (left_out := sorted({*tested} & {*run["seen"]})):
        return []
    return [
        f"{data_dir}: {len(left_out)} of {len(tested)} test images are left out, since run "
        f"{run['args']['run_name']} was trained on them, the first {left_out[0]}; to test on "
        "them, train it again"
    ]


def left_exports(dataset: SegmentationDataset, run: Mapping[str, Any]) -> list[str]:
    """Return a line on masks to test on that were exported of other labels than a store has now.

    It is the store that a run learnt from, where it still is there.
    """
    folder = run["args"].get("weak_label_path")
    if not (isinstance(folder, str) and is_store(folder)):
        return []
    try:
        drawn = store_content(folder, dataset)["drawn"]
        others = not_exported(dataset, drawn, dataset.masked(dataset.ids("test")))
        left = [*stale(folder, dataset, drawn, others)]
    except UserError:  # whoever learns from it says why
        return []
    if not left:
        return []
    return [
        f"{dataset.mask_path(left[0]).parent}: {len(left)} masks to test on were exported of other "
        f"labels than {folder} has now, the first {dataset.mask_path(left[0]).name}; export again"
    ]


def renamed_since(dataset: SegmentationDataset, run: Mapping[str, Any], data_dir: str) -> list[str]:
    """Return a line on images to test on that a run was trained on under other names, if any.

    Equal files that still are in both splits are told by the data set itself.
    """
    files, there = run.get("files") or {}, {*dataset.ids("trainval")}
    gone = {*run.get("seen", ())} - there
    learnt = {files[name]: name for name in sorted(gone) if isinstance(files.get(name), str)}
    now = dataset.image_contents(dataset.ids("test")) if learnt else {}
    renamed = [name for name, held in now.items() if held in learnt]
    if not renamed:
        return []
    first = renamed[0]
    return [
        f"{data_dir}: {len(renamed)} of {len(now)} test images are files that run "
        f"{run['args']['run_name']} was trained on under other names, the first {first} as "
        f"{learnt[now[first]]}, so its scores are too good; take them out of the test, or train "
        "it again"
    ]


def changed_files(
    dataset: SegmentationDataset, run: Mapping[str, Any], data_dir: str, are_anew: bool
) -> list[str]:
    """Return lines on photographs and masks to test on that are others than when a run was trained.

    Those that came since are none; earlier versions don't tell. are_anew: whether photographs are
    known to be encoded anew
    """
    tested = dataset.ids("test")
    photographs = "photographs", "where they show something else than their masks"
    masks = "masks", "where they show classes by other numbers than then"
    lines = []
    for (kind, fault), held, names, contents in (
        (photographs, {} if are_anew else run.get("files"), tested, dataset.image_contents),
        (masks, run.get("tested"), dataset.masked(tested), dataset.mask_contents),
    ):
        known = held if isinstance(held, Mapping) else {}
        there, changed = known_and_changed(known, names, contents)
        if changed:
            lines.append(
                f"{data_dir}: {len(changed)} of {len(there)} {kind} to test on changed since run "
                f"{run['args']['run_name']} was trained, the first of {changed[0]}; {fault}, its "
                "scores are wrong"
            )
    return lines


def refuse_others(dataset: SegmentationDataset, run: Mapping[str, Any], data_dir: str) -> None:
    """Refuse files that are not those that a run knew, unless they only were encoded anew.

    The masks of a result must be as they were too.
    """
    if is_result(run):
        named = {*run["images"]} <= {*dataset.ids("test")}
        named = named and run.get("test_masks") == masks_of_test(dataset)
    else:
        there, files = {*dataset.ids("trainval"), *dataset.ids("test")}, {*run.get("files", ())}
        named = len(there & files) >= LEAST * len(files)
    if not (named and are_encoded_anew(dataset, run.get("looks"))):
        raise UserError(
            f"--data_dir {data_dir}: not the data that run {run['args']['run_name']} was "
            "trained on (other images or splits); point --data_dir at that data or train again"
        )


def refuse_damaged_facts(path: Path, run: Mapping[str, Any]) -> None:
    """Refuse a checkpoint in which something is damaged or lacking that its result repeats."""
    try:
        FactsModel.model_validate(run)
    except ValidationError as error:
        raise UserError(
            f"{path}: is damaged, {first_fault(error, FactsModel)}; restore the file, or train the "
            "run again with --overwrite"
        ) from error


def is_data_of(dataset: SegmentationDataset, run: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint or result is of a run on these images."""
    names = run["task"]["classes"]
    # Earlier versions say of some files only how large they are.
    contents, of_test = run.get("contents"), run.get("test_contents")
    if is_result(run):  # its images and their masks are there as they were
        if not {*run["images"]} <= {*dataset.ids("test")}:
            return False
        dataset.test_on(run["images"])
        same = dataset.test_fingerprint(names) == run.get("test_fingerprint")
        return same and of_test in (None, dataset.test_contents())
    if run["fingerprint"] in (dataset.fingerprint(), dataset.fingerprint(masks=True)):
        if contents in (None, dataset.contents()):
            return True
    if dataset.test_fingerprint(names) == run["test_fingerprint"]:
        if of_test in (None, dataset.test_contents()):
            return True
    there = {*dataset.ids("trainval"), *dataset.ids("test")}
    if "files" in run:
        files = run["files"]
        known = there & files.keys()
        of_old = all(isinstance(one, int) for one in files.values())
        now = dataset.file_sizes(known) if of_old else dataset.image_contents(known)
        kept = sum(files[name] == held for name, held in now.items())
        return bool(files) and kept >= LEAST * len(files)
    seen = {*run.get("seen", ())}
    return bool(seen) and seen <= there and dataset.images_digest(seen) == run.get("images")
