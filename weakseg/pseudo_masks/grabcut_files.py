"""The GrabCut pseudo-masks of many images: cut once, in parallel, then read from PNG files."""

import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from weakseg.common import UserError, atomic_path, stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache, source_key
from weakseg.data.image_io import opened
from weakseg.data.lists import NO_BACKGROUND
from weakseg.data.reading import Photograph
from weakseg.labels.signals import annotations_of, kinds_of
from weakseg.labels.targets import View
from weakseg.parent import Tied
from weakseg.pseudo_masks.grabcut import DEFAULTS, USED, Options, pseudo_mask

VERSION = 1  # raise it when the same image, annotations and options give another mask than before
NO_BACKGROUND_VERSION = 2  # the same for data without a background
CHUNK = 16  # images that a process cuts at a time; fewer than two chunks stay in this process


class LabelsByImage(Protocol):
    """Labels by image id, each {"size": [width, height], signal: annotation, ...}."""

    def __getitem__(self, name: str, /) -> Mapping[str, Any]: ...


class PseudoMasks(Mapping[str, np.ndarray]):
    """Masks [S, S] uint8 by image id, read from their files when asked for.

    paths: {id: PNG file}; size: S. It may be handed to other processes.
    """

    def __init__(self, paths: Mapping[str, Path], size: int) -> None:
        self.paths, self.size = paths, size

    def __getitem__(self, name: str) -> np.ndarray:
        path = self.paths[name]
        stored = read_stored(path, self.size)
        if stored is None:
            raise UserError(f"{path}: can't be read any more; start again, and it is made anew")
        mask, _ = stored
        return mask

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class CutTask:
    """One image to cut along its annotations, and the file that its mask goes to."""

    photograph: Photograph
    view: View
    annotations: Mapping[str, Any]
    path: Path
    has_background: bool = True


def pseudo_masks(
    dataset: SegmentationDataset,
    ids: Sequence[str],
    labels: LabelsByImage,
    signals: Collection[str],
    cache: ResizedCache,
    folder: str | Path,
    jobs: int,
    options: Options = DEFAULTS,
) -> tuple[PseudoMasks, Counter[str]]:
    """Cut the masks of many images in parallel, those that are there already excepted.

    ids      of the images of the data set
    signals  to cut along; others than boxes, points and scribbles are left out
    cache    of the resized photographs; its size is that of the masks
    folder   where the PNG files go. Their names change with all that the masks depend on: any
             number of runs may share the folder, at the same time too, and a run that was stopped
             is taken up by the next.
    jobs     processes, -1 = one a core; no mask depends on it

    Returns the masks, and the outcomes of `pseudo_mask` added up over all images, whether they were
    cut now or before. Raises UserError where no signal can be used, and for a photograph that can't
    be read.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    used = [signal for signal in USED if signal in signals]
    if not used:
        raise UserError(
            f"no pseudo-masks from {', '.join(signals) or 'nothing'}: choose among "
            f"{', '.join(USED)}"
        )
    size = cache.size
    tasks = {
        name: cut_task(dataset, name, labels[name], used, size, Path(folder), options)
        for name in ids
    }

    # What is there already is only counted.
    outcomes: dict[Path, Counter[str]] = {}
    for task in tasks.values():
        stored = read_stored(task.path, size)
        if stored is not None:
            _, outcomes[task.path] = stored

    # The rest is cut.
    missing = [task for task in tasks.values() if task.path not in outcomes]
    chunks = [missing[i : i + CHUNK] for i in range(0, len(missing), CHUNK)]
    parallel = Parallel(n_jobs=jobs if len(chunks) > 1 else 1, return_as="generator")
    with tqdm(total=len(missing), desc="GrabCut", unit="img", disable=not missing) as bar:
        cut = delayed(Tied(cut_many, os.getpid()))
        for done in parallel(cut(chunk, cache, options) for chunk in chunks):
            outcomes.update(done)
            bar.update(len(done))

    paths = {name: task.path for name, task in tasks.items()}
    return PseudoMasks(paths, size), sum(outcomes.values(), Counter())


def cut_task(
    dataset: SegmentationDataset,
    name: str,
    label: Mapping[str, Any],
    signals: Sequence[str],
    size: int,
    folder: Path,
    options: Options,
) -> CutTask:
    """Return the task of one image; its mask's file name hashes all that the mask depends on."""
    annotations = annotations_of(label, kinds_of(label, signals))
    width, height = label["size"]
    photograph, view = dataset.photograph(name), View(width, height, size)
    content = json.dumps(annotations, sort_keys=True)
    has_background = dataset.has_background
    special = [] if has_background else [NO_BACKGROUND, NO_BACKGROUND_VERSION]
    source = source_key(photograph)
    key = stable_seed(VERSION, cv2.__version__, options, view, source, content, *special)
    path = folder / f"{'_'.join(signals)}_{size}" / f"{name}.{key:016x}.png"
    return CutTask(photograph, view, annotations, path, has_background)


def cut_many(
    tasks: Sequence[CutTask], cache: ResizedCache, options: Options
) -> dict[Path, Counter[str]]:
    """Cut and store the masks of a chunk of images in one process -> {path: outcomes}."""
    cv2.setNumThreads(1)  # the processes share the cores already
    outcomes = {}
    for task in tasks:
        image = cache.image(task.photograph).transpose(1, 2, 0)
        mask, outcomes[task.path] = pseudo_mask(
            image, task.annotations, task.view, options, task.has_background
        )
        store(task.path, mask, outcomes[task.path])
    return outcomes


def store(path: Path, mask: np.ndarray, outcomes: Mapping[str, int]) -> None:
    """Write a mask as a grey PNG, atomically, with its outcomes as text in the same file."""
    text = PngInfo()
    text.add_text("outcome", json.dumps(outcomes))
    with atomic_path(path) as temporary:
        Image.fromarray(mask).save(temporary, pnginfo=text)


def read_stored(path: Path, size: int) -> tuple[np.ndarray, Counter[str]] | None:
    """Return (mask, outcomes) of a file; None where it is missing, damaged, or no such mask."""
    try:
        with opened(path) as picture:
            mask, outcomes = np.array(picture), Counter(json.loads(picture.info["outcome"]))
    except (UserError, KeyError, TypeError, RecursionError):
        return None
    return (mask, outcomes) if mask.shape == (size, size) and mask.dtype == np.uint8 else None
