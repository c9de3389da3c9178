"""A trained model of either learner: a picture in, its mask and probabilities out."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from weakseg.common import UserError
from weakseg.data.datasets import DataOptions
from weakseg.data.image_io import is_deep, orientation, read_image, to_square, turn_upright
from weakseg.data.reading import Photograph, Reading
from weakseg.inference.edges import follow_edges, mask_along_edges
from weakseg.inference.fast_cpu import folded
from weakseg.inference.predict import at_size, before_edges, class_mask, to_follow_edges
from weakseg.inference.tiles import Windows, tiled_logits
from weakseg.learners.checkpoint_file import load_checkpoint, refuse_other_encoder
from weakseg.learners.encoders import encoder_of
from weakseg.learners.networks import model_from, refuse_unfit
from weakseg.learners.probe import Probe

STEP = 16  # windows that the network sees at once

Picture = str | Path | Photograph | Image.Image | np.ndarray


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture.

    image          [H, W, 3] uint8, the picture as the model was shown it
    mask           [H, W] uint8, the likeliest class of each pixel
    confidence     see `Confidence`
    probabilities  [C, H, W] float32 of the classes; None where nobody asked for them
    """

    image: np.ndarray
    mask: np.ndarray
    confidence: float
    probabilities: np.ndarray | None = None


class TrainedModel(ABC):
    """A trained run of either learner.

    name            of the run
    classes         names of the classes, by their number in masks
    has_background  whether class 0 is what no object covers
    reading         which page and channels of a file it is shown, and in which range of values
    learnt          what the files of the photographs held that it was trained on, if it says so
    """

    def __init__(self, checkpoint: Mapping[str, Any]) -> None:
        args, task = checkpoint["args"], checkpoint["task"]
        files, seen = checkpoint.get("files", {}), checkpoint.get("seen", [])
        self.learnt = {str(files[name]) for name in seen if name in files}
        self.name = str(args.get("run_name", "run"))
        self.classes: list[str] = list(task["classes"])
        self.has_background: bool = task.get("has_background", True)
        self.reading: Reading = DataOptions.of(args).reading

    def predict(self, picture: Picture) -> np.ndarray:
        """Return the mask [H, W] uint8 of class numbers of a picture, at its own size.

        picture: a file, an image of Pillow, or an array [H, W, 3] or [H, W] uint8. What EXIF says
        is turned is seen upright. A file that can't be read is a `UserError`.
        """
        return self.look(picture).mask

    def probabilities(self, picture: Picture) -> np.ndarray:
        """Return the class probabilities [C, H, W] float32 of a picture, as `predict` takes it."""
        probabilities = self.look(picture, every=True).probabilities
        assert probabilities is not None
        return probabilities

    def look(
        self, picture: Picture, every: bool = False, windows: Windows | None = None
    ) -> Prediction:
        """Return all that the model says of a picture, as `predict` takes it.

        every: with the probabilities of every class; windows: of pictures that are longer than one,
        None: they are seen whole
        """
        return self.see(self.pixels(picture), every, windows)

    def pixels(self, picture: Picture) -> np.ndarray:
        """Return a picture [H, W, 3] uint8, upright, as the model is shown it."""
        if isinstance(picture, str | Path):
            picture = Photograph(Path(picture), self.reading)
        if isinstance(picture, Photograph):
            return np.asarray(read_image(picture))
        if isinstance(picture, np.ndarray):
            if picture.dtype != np.uint8 or picture.ndim not in (2, 3):
                raise UserError(
                    f"an array of {picture.dtype}, {picture.shape}, is no picture; give [H, W, 3] "
                    "uint8, or the name of the file"
                )
            picture = Image.fromarray(picture)
        elif is_deep(picture):
            raise UserError(
                f"an image of Pillow's mode {picture.mode} is deeper than 8 bits; give the name of "
                "its file, which is read as those of the training were"
            )
        elif (turn := orientation(picture)) != 1:
            picture = picture.copy()
            turn_upright(picture, turn)
        return np.asarray(picture.convert("RGB"))

    @abstractmethod
    def see(self, image: np.ndarray, every: bool, windows: Windows | None) -> Prediction:
        """Return what the model says of [H, W, 3] uint8; see `look`."""


class TrainedProbe(TrainedModel):
    """A trained `Probe` and its frozen encoder, which sees a picture as large as in training."""

    def __init__(
        self, checkpoint: Mapping[str, Any], device: torch.device, trusted: Collection[str] = ()
    ) -> None:
        super().__init__(checkpoint)
        settings = checkpoint["args"]
        self.encoder = encoder_of(settings, trusted)().to(device)
        refuse_other_encoder(checkpoint, self.encoder.digest)
        self.probe = Probe.of_state(checkpoint["model"])
        self.has_mirror = settings["views"] == 2

    def see(self, image: np.ndarray, every: bool, windows: Windows | None) -> Prediction:
        mirror = Image.fromarray(np.ascontiguousarray(image[:, ::-1])) if self.has_mirror else None
        maps = self.encoder(Image.fromarray(image))
        mirrored = self.encoder(mirror) if mirror else None
        chances, radius = before_edges(self.probe, maps, mirrored)
        return along_edges(chances, image, radius, every)


class TrainedUnet(TrainedModel):
    """A trained U-Net, which sees a picture, or windows of it, as squares of its training's size.

    size: of the squares, in pixels
    """

    def __init__(
        self, checkpoint: Mapping[str, Any], device: torch.device, trusted: Collection[str] = ()
    ) -> None:
        super().__init__(checkpoint)
        self.device, self.size = device, int(checkpoint["args"]["img_size"])
        self.network = folded(model_from(checkpoint, trusted).to(device), self.size)

    @torch.no_grad()
    def see(self, image: np.ndarray, every: bool, windows: Windows | None) -> Prediction:
        picture = Image.fromarray(image)
        if windows and max(picture.size) > windows.pixels:
            return self.in_windows(image, every, windows)
        square = torch.from_numpy(to_square(picture, self.size))[None].to(self.device)
        logits = self.network(square)["seg"][0].float()
        radius = float(getattr(self.network, "edges", 0.0))
        small = to_follow_edges(logits, picture.size, radius)
        if small is not None:
            return along_edges(small, image, radius, every)
        own, full = Confidence(len(self.classes)), at_size(logits, picture.size)
        own.add(logits.softmax(0))
        every_class = full.softmax(0).cpu().numpy() if every else None
        return Prediction(image, class_mask(full), own.value, every_class)

    def in_windows(self, image: np.ndarray, every: bool, windows: Windows) -> Prediction:
        """Return what the network says of an image that is longer than a window."""
        shape, classes = image.shape[:2], len(self.classes)
        mask, own = np.empty(shape, np.uint8), Confidence(classes)
        probabilities = np.empty((classes, *shape), np.float32) if every else None
        for top, left, logits in tiled_logits(
            self.network,
            Image.fromarray(image),
            self.size,
            windows.pixels,
            windows.overlap,
            STEP,
            self.device,
            nullcontext,
        ):
            height, width = logits.shape[1:]
            part = slice(top, top + height), slice(left, left + width)
            chances = logits.softmax(0)
            mask[part] = class_mask(logits)
            own.add(chances)
            if probabilities is not None:
                probabilities[:, *part] = chances.cpu().numpy()
        return Prediction(image, mask, own.value, probabilities)


class Confidence:
    """How sure a model is of a picture's mask, from the probabilities of its parts.

    It is the mean IoU that the probabilities themselves lead one to expect, over the classes that
    the mask shows: a large background that is easy does not hide an object that is in doubt.
    """

    def __init__(self, classes: int) -> None:
        self.common, self.shown, self.meant = np.zeros((3, classes))

    def add(self, chances: torch.Tensor | np.ndarray) -> None:
        """Count the class probabilities [C, h, w] of a part, of any size."""
        values = torch.as_tensor(chances)
        best, mask = values.max(0)
        classes, labels = len(self.common), mask.flatten().cpu()
        self.shown += torch.bincount(labels, minlength=classes).numpy()
        weights = best.flatten().cpu().double()
        self.common += torch.bincount(labels, weights, minlength=classes).numpy()
        self.meant += values.cpu().sum((1, 2), dtype=torch.float64).numpy()

    @property
    def value(self) -> float:
        """The expected IoU, in [0, 1]."""
        is_shown = self.shown > 0
        union = (self.shown + self.meant - self.common)[is_shown]
        return float((self.common[is_shown] / union).mean())


def along_edges(chances: np.ndarray, image: np.ndarray, radius: float, every: bool) -> Prediction:
    """Return a prediction from class probabilities [C, h, w] that follow the edges of an image.

    image: [H, W, 3] uint8; radius: as `follow_edges` takes it; every: with all probabilities
    """
    own = Confidence(len(chances))
    own.add(chances)
    if not every:
        return Prediction(image, mask_along_edges(chances, image, radius), own.value)
    filtered = follow_edges(chances, image, radius)
    mask = filtered.argmax(0).astype(np.uint8)
    positive = filtered.clip(min=0, out=filtered)
    positive /= positive.sum(0)
    return Prediction(image, mask, own.value, positive)


def load(path: str | Path, device: str = "auto", trusted: Collection[str] = ()) -> TrainedModel:
    """Return the trained model of a run; see `weakseg.load`.

    trusted: names of encoders that may be downloaded
    """
    file = Path(path) / "best.pt" if Path(path).is_dir() else Path(path)
    checkpoint, where = load_checkpoint(file), device_of(device)
    if checkpoint["args"].get("learner") == "probe":
        return TrainedProbe(checkpoint, where, trusted)
    refuse_unfit(file, checkpoint, trusted)
    return TrainedUnet(checkpoint, where, trusted)


def device_of(word: str) -> torch.device:
    """Return the device of --device; one that is not there is a `UserError`."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there["cpu"] = True
    if word == "auto":
        word = next(name for name, is_there in there.items() if is_there)
    if not there.get(word):
        raise UserError(f"--device {word}: not available here; use auto")
    return torch.device(word)
