"""Predicted masks of any model, read from a folder, and the result that they have."""

import contextlib
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.common import UserError, evenly, read_json
from weakseg.data.base import SegmentationDataset
from weakseg.data.class_list import read_classes
from weakseg.data.contents import content_of, known_and_changed
from weakseg.data.datasets import DataOptions
from weakseg.data.doubts.mask_tally import MOST
from weakseg.data.ids import are_names, is_folder_name
from weakseg.data.image_io import read_mask
from weakseg.data.mask_lists import LIST, TABLE, read_table
from weakseg.data.mask_values import MaskValues, read_class_numbers
from weakseg.data.palettes import Palettes
from weakseg.data.predictions import Line, journal_of, masks_as_written
from weakseg.evaluation.results import Result, mask_name
from weakseg.inference.journal import RECORD

FLAG = "--prediction_values"
FAR = 0.2  # mIoU that other numbers for the classes gain where they are worth a word


class OtherMasks:
    """The masks that a model predicted, PNGs of class numbers by the ids of their images.

    folder  that they lie in: the given one, or `masks/` in it; a mask is `<id>.png` there
    name    what tables call them: the folder's
    record  what predict.py says of its own masks, where it stands beside them
    values  words VALUE=CLASS: what other numbers, or colours, in them mean
    """

    def __init__(self, folder: Path, values: Sequence[str] = ()) -> None:
        if not folder.is_dir():
            raise UserError(f"--predictions {folder}: no such folder; mend the name")
        inner = folder / "masks"
        self.given, self.folder = folder, inner if inner.is_dir() else folder
        self.name, self.values = folder.resolve().name, values
        if not is_folder_name(self.name):
            raise UserError(f"--predictions {folder}: its name can't be shown; rename it")
        beside = [folder, *([folder.resolve().parent] if folder.resolve().name == "masks" else [])]
        self.record = next((at / RECORD for at in beside if (at / RECORD).exists()), None)

    @cached_property
    def journal(self) -> dict[str, Line]:
        """{id: what predict.py said of the picture}, empty where it didn't write these masks."""
        return journal_of(self.record.parent) if self.record else {}

    def classes(self) -> tuple[Path, list[str], bool] | None:
        """Return (file that says it, names of the classes, whether the first is the background).

        None where nobody says it.
        """
        content = read_json(self.record) if self.record else None
        if self.record and isinstance(content, dict):
            names = content.get("classes")
            if isinstance(names, list) and are_names(names):
                return self.record, names, content.get("has_background", True)
        path = self.folder / LIST  # as predict.py and exports write it
        if path.is_file():
            return path, *read_classes(path)
        table = self.folder / TABLE
        numbers = read_table(table) if table.is_file() else {}
        if sorted(numbers) != [*range(len(numbers))]:
            raise UserError(f"{table}: its numbers leave some out; write {LIST} in its place")
        return (table, [name for _, name in sorted(numbers.items())], True) if numbers else None

    def know_classes(self, dataset: SegmentationDataset) -> None:
        """Let a data set take its classes as the model knew them, where something says how.

        Another order, and another background, is a `UserError`.
        """
        told = self.classes()
        if told is None:
            return
        path, names, has_background = told
        if has_background != dataset.has_background:
            raise UserError(
                f"{path}: the first class is the background for one of the model and the data, "
                "and not for the other; restore the classes.txt of the data"
            )
        try:
            dataset.know_as(names)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error

    def path(self, image: str) -> Path:
        """Return where the mask of an image lies, or would lie."""
        return path_in(self.folder, image)

    def passed_over(self, names: Collection[str], classes: int) -> list[str]:
        """Return a line where masks lie beside `masks/` too, which alone is scored, if they do.

        Photographs, which show more greys than there are classes, may lie there.

        names: of the test images
        """
        paths = [path_in(self.given, name) for name in names] if self.given != self.folder else []
        paths = [path for path in paths if path.exists()]
        with contextlib.suppress(UserError):
            if paths and len(np.unique(read_mask(paths[0]))) <= classes + 1:
                return [
                    f"{self.folder}: is scored, and {len(paths)} masks beside that folder, the "
                    f"first {paths[0].name}, are not; if those are meant, move them into one of "
                    "their own"
                ]
        return []

    def of(self, names: Collection[str]) -> list[str]:
        """Return those of the ids that have a predicted mask; none at all is a `UserError`."""
        there = [name for name in names if self.path(name).exists()]
        if not there:
            raise UserError(
                f"{self.path(min(names))}: no such mask, nor of another test image; "
                "masks have the names of the images, with .png"
            )
        return there

    def pairs(self, dataset: SegmentationDataset) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yield (id, predicted mask, true mask) of the test split, both uint8 [H, W].

        A mask of another size, with a number of no class, or with a palette that contradicts
        another's, is a `UserError`.
        """
        classes = dataset.class_names
        values = MaskValues.of_flags(self.values, None, classes, FLAG)
        palettes = Palettes(values, FLAG)
        for name in dataset.ids("test"):
            path, truth = self.path(name), dataset.mask(name)
            mask = read_class_numbers(path, values, FLAG)
            palettes.add(path, np.unique(mask).tolist())
            if mask.shape != truth.shape:
                raise UserError(
                    f"{path}: is {mask.shape[1]}x{mask.shape[0]}, the image {name} is "
                    f"{truth.shape[1]}x{truth.shape[0]}; save it in the image's size"
                )
            if mask.max() >= len(classes):
                raise UserError(
                    f"{path}: holds the number {mask.max()}; a predicted mask holds 0 to "
                    f"{len(classes) - 1}, the numbers of the classes; "
                    f"{self.meant_by(int(mask.max()), dataset, values)}"
                )
            yield name, mask, truth

    def meant_by(self, number: int, dataset: SegmentationDataset, values: MaskValues | None) -> str:
        """Return the way out where a mask holds a number of no class.

        It means a class that none of some masks shows. Without one a model abstained.
        """
        shown = set[int]()
        for path in map(self.path, evenly(self.of(dataset.ids("test")), MOST)):
            with contextlib.suppress(UserError):
                shown |= {*np.unique(read_class_numbers(path, values, FLAG)).tolist()}
        classes = dataset.class_names
        missing = [name for label, name in enumerate(classes) if label not in shown]
        if missing:
            return f"if it means one, say so: {FLAG} {number}={missing[-1]}"
        return (
            f"these are there too, so {number} means none, and each pixel must have one: write the "
            "likeliest class where the model abstains"
        )

    def other_photographs(self, dataset: SegmentationDataset) -> list[str]:
        """Return a line where photographs to test on are others than predict.py saw, if any."""
        lines = self.journal
        # Lines of an earlier version don't say what a photograph held.
        held = {name: line["held"] for name, line in lines.items() if "held" in line}
        there, changed = known_and_changed(held, dataset.ids("test"), dataset.image_contents)
        if not changed:
            return []
        return [
            f"{self.folder}: {len(changed)} of {len(there)} photographs to test on changed since "
            f"their masks were predicted, the first of {changed[0]}; predict them again if they "
            "show something else"
        ]

    def learnt_from(self, dataset: SegmentationDataset) -> list[str]:
        """Return a line where masks to score are of photographs that their model learnt from."""
        tested = dataset.ids("test")
        learnt = [name for name in tested if self.journal.get(name, {}).get("learnt")]
        if not learnt:
            return []
        return [
            f"{self.folder}: {len(learnt)} of {len(tested)} masks to score are of photographs that "
            f"the model learnt from, the first {learnt[0]}, so scores are too good"
        ]

    def mended(self, dataset: SegmentationDataset) -> list[str]:
        """Return a line where masks to score are others than predict.py wrote, if any."""
        written = masks_as_written(self.journal)
        tested = [name for name in dataset.ids("test") if name in written]
        others = [n for n in tested if content_of(self.path(n), is_whole=True) != written[n]]
        if not others:
            return []
        return [
            f"{self.folder}: {len(others)} of {len(tested)} masks to score are others than "
            f"predict.py wrote, the first of {others[0]}; where somebody mended them, scores are "
            "not the model's"
        ]

    def renumbered(self, result: Result) -> list[str]:
        """Return a line where the masks fit the truth far better by other numbers of the classes.

        result: of these masks. None where something says what their numbers mean.
        """
        from scipy.optimize import linear_sum_assignment

        from weakseg.metrics import scores

        if self.classes() is not None:
            return []
        counts = np.sum([image["confusion"] for image in result["images"].values()], 0)
        shown = counts.sum(0)
        union = counts.sum(1)[:, None] + shown - counts
        _, meant = linear_sum_assignment(counts / np.maximum(union, 1), maximize=True)
        now, then = scores(np.array([counts, counts[:, meant]]))["miou"].tolist()
        if not then - now >= FAR:
            return []
        names = result["task"]["classes"]
        others = [
            shlex.quote(f"{number}={names[label]}")
            for label, number in enumerate(meant.tolist())
            if label != number and shown[number]
        ]
        return [
            f"{self.folder}: its mIoU is {100 * now:.1f} %, and {100 * then:.1f} % with other "
            "numbers for the classes; if its masks have these numbers, say so: "
            f"{FLAG} {' '.join(sorted(others))}"
        ]

    def facts(self, dataset: SegmentationDataset, options: DataOptions) -> dict[str, Any]:
        """Return what a result says of a run, where nobody knows what the model learnt from."""
        nothing: Mapping[str, Any] = {"images": 0, "seconds": {}, "counts": {}}
        return {
            "args": {**asdict(options), "run_name": self.name, "modes": []},
            "task": dataset.task,
            "cost": {**nothing, "relative": None, "schedule": ""},
            "selection": {**nothing, "by": None},
            "epoch": None,
            "commit": None,
            "fingerprint": dataset.fingerprint(),
            "contents": dataset.contents(),
            "labels": None,
        }


def path_in(folder: Path, image: str) -> Path:
    """Return where the mask of an image lies in a folder, or would lie."""
    paths = [folder / f"{image}.png", folder / mask_name(image)]
    return next((path for path in paths if path.exists()), paths[0])
