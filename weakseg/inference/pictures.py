"""Masks of many pictures: what is predicted of each, and which are left."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from weakseg.common import IGNORE, UserError, atomic_path
from weakseg.data.contents import content_of
from weakseg.data.folder_files import by_id, files_below, parted, without_predictions
from weakseg.data.image_io import opened
from weakseg.data.predictions import Line, stamp
from weakseg.data.reading import Photograph, Reading
from weakseg.data.value_range import is_deep_photograph
from weakseg.inference.journal import Journal, part_path
from weakseg.inference.objects import (
    Clicks,
    Separation,
    describe,
    object_scores,
    separate,
)
from weakseg.inference.tiles import Windows
from weakseg.inference.trained import Prediction, TrainedModel, load
from weakseg.parallel import Workers, backend, stream
from weakseg.reporting.pictures import overlay, write_mask

QUALITY = 90  # of overlays, which are JPEGs
WHITE = 255  # as what lies above the range of values is shown
FLAT = 32  # of 256 greys: more than is left where 12 bits are shown in the range of 16


def find_pictures(source: Path, outside: Path) -> tuple[dict[str, Path], list[Path], int]:
    """Return ({id: path} of the pictures in a folder, its other files, and how many predict.py
    wrote, which are left out); a file is one picture.

    An id is the path below the folder without its suffix. outside: a folder that is left out.
    Two pictures of one id are a `UserError`, and so is a folder without any.
    """
    if source.is_file():
        return {source.stem: source}, [], 0
    if not source.is_dir():
        raise UserError(f"--images {source}: no such folder; mend the name")
    files = files_below(source)
    if outside.resolve().is_relative_to(source.resolve()):
        files = [path for path in files if not path.resolve().is_relative_to(outside.resolve())]
    given = without_predictions(files) or files  # unless somebody asks for these alone
    pictures, others = parted(given)
    if not pictures:
        first = f"; the first of {len(others)} other files is {others[0].name}" if others else ""
        raise UserError(f"--images {source}: no picture is there{first}")
    return by_id(pictures, source), others, len(files) - len(given)


@dataclass(frozen=True)
class Job:
    """What is predicted of each picture, and where it goes.

    folder      of predictions
    checkpoint  of the model
    device      that it runs on
    trusted     names of encoders that may be downloaded
    reading     of the pictures
    windows     of larger pictures; None: they are seen whole
    parts       which of `PARTS` are written
    separation  how objects are told apart; None: they are not looked for
    scored      whether each object gets a score, see `object_scores`
    """

    folder: Path
    checkpoint: Path
    device: str
    trusted: tuple[str, ...]
    reading: Reading
    windows: Windows | None
    parts: tuple[str, ...]
    separation: Separation | None
    scored: bool = False

    def __call__(self, name: str, path: Path, clicks: Clicks = ()) -> Line:
        """Predict a picture, write its files and return its line; a bad picture's has a fault.

        name: its id; clicks: on its objects, as `separate` takes them
        """
        model = model_of(self.checkpoint, self.device, self.trusted)
        photograph = Photograph(path, self.reading)
        try:
            line: Line = {"id": name, "file": path.name, **stamp(path)}
            every = self.scored or "probabilities" in self.parts
            seen = model.look(photograph, every, self.windows)
            line |= facts(seen, len(model.classes))
            line["learnt"] = line["held"] in model.learnt
            line["one_grey"] = is_one_grey(photograph, seen.image)
            line["shallow"] = is_shallow(photograph)
            line["like_mask"] = is_like_mask(path, len(model.classes))
            if self.separation is not None:
                numbers, classes = separate(
                    seen.mask, self.separation, model.has_background, clicks
                )
                line["objects"] = describe(numbers, classes, photograph, seen.image)
                line["separation"] = self.separation.key
                if self.scored and seen.probabilities is not None:
                    line["scores"] = object_scores(numbers, classes, seen.probabilities)
                self.write_instances(name, numbers)
        except UserError as error:
            return {"id": name, "fault": str(error)}
        self.write(name, seen, model)
        return line | {"mask": content_of(self.path("masks", name), is_whole=True)}

    def write(self, name: str, seen: Prediction, model: TrainedModel) -> None:
        """Write a picture's files but for its instances."""
        write_mask(self.path("masks", name), seen.mask, len(model.classes))
        if "overlays" in self.parts:
            drawn = overlay(seen.image, seen.mask, has_background=model.has_background)
            with atomic_path(self.path("overlays", name)) as temporary:
                Image.fromarray(drawn).save(temporary, quality=QUALITY)
        if "probabilities" in self.parts and seen.probabilities is not None:
            with atomic_path(self.path("probabilities", name)) as temporary:
                with temporary.open("wb") as file:
                    np.save(file, seen.probabilities.astype(np.float16))

    def write_instances(self, name: str, numbers: np.ndarray) -> None:
        """Write the number of the object at each pixel, where that is asked for."""
        if "instances" in self.parts:
            with atomic_path(self.path("instances", name)) as temporary:
                Image.fromarray(numbers.astype(np.uint16)).save(temporary)

    def path(self, part: str, name: str) -> Path:
        """Return where a picture's file of one kind lies, or would lie."""
        return part_path(self.folder, part, name)

    def is_done(self, line: Line, path: Path) -> bool:
        """Return whether a line is of this picture as it is, with all that is asked for."""
        # Lines of an earlier version don't say what the file held.
        is_same = all(line.get(key, value) == value for key, value in stamp(path).items())
        has_objects = self.separation is None or line.get("separation") == self.separation.key
        has_objects &= not self.scored or "scores" in line
        return (
            is_same and has_objects and all(self.path(p, line["id"]).exists() for p in self.parts)
        )


@lru_cache(maxsize=1)
def model_of(checkpoint: Path, device: str, trusted: tuple[str, ...]) -> TrainedModel:
    """Return the model of a checkpoint; each process loads it once."""
    return load(checkpoint, device, trusted)


def is_one_grey(photograph: Photograph, shown: np.ndarray) -> bool:
    """Return whether a picture of more than 8 bits shows next to nothing in the range of a run.

    Its values may mean something else, as those of 12 bits do where a run learnt from 16, or lie
    above the range, as those of 16 do where it learnt from 12.
    shown: [H, W, 3] uint8, as the model sees it
    """
    if photograph.reading.value_range is None:
        return False
    is_flat = np.ptp(shown) < FLAT or np.median(shown) == WHITE
    return bool(is_flat and is_deep_photograph(photograph))


def is_shallow(photograph: Photograph) -> bool:
    """Return whether a picture has 8 bits where a run has a range for the values of deeper ones."""
    return photograph.reading.value_range is not None and not is_deep_photograph(photograph)


def is_like_mask(path: Path, classes: int) -> bool:
    """Return whether a picture is a PNG of numbers of classes, as masks are and photographs not."""
    with opened(path) as image:
        if image.format != "PNG" or image.mode not in ("1", "L", "P"):
            return False
        shown = np.unique(np.asarray(image))
    return len(shown) > 1 and bool(((shown < classes) | (shown == IGNORE)).all())


def facts(seen: Prediction, classes: int) -> Line:
    """Return what a picture's line says of its mask."""
    height, width = seen.mask.shape
    pixels = np.bincount(seen.mask.ravel(), minlength=classes)
    return {
        "width": width,
        "height": height,
        "confidence": round(seen.confidence, 6),
        "shares": [round(share, 6) for share in (pixels / seen.mask.size).tolist()],
    }


def predict_pictures(
    job: Job,
    pictures: Mapping[str, Path],
    journal: Journal,
    workers: Workers,
    clicks: Mapping[str, Clicks],
) -> Iterator[Line]:
    """Predict pictures on workers, and yield the line of each when it is done and in the journal.

    pictures: {id: path}; clicks: {id: those on its objects}. The line of a picture that can't be
    read has its "fault", and is not kept.
    """
    from joblib import delayed

    tasks = (delayed(job)(name, path, clicks.get(name, ())) for name, path in pictures.items())
    with backend(workers):
        for line in stream(tasks, workers, in_order=False):
            if "fault" not in line:
                journal.add(line)
            yield line


def left_over(job: Job, pictures: Mapping[str, Path], journal: Journal) -> dict[str, Path]:
    """Return {id: path} of the pictures that are not done yet."""
    done = {
        line["id"] for line in journal.lines(pictures) if job.is_done(line, pictures[line["id"]])
    }
    return {name: path for name, path in pictures.items() if name not in done}
