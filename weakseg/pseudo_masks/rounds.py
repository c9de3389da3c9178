"""When and where a run makes its pseudo-masks: before training, and anew on the way.

GrabCut's lie beside the weak labels, for all runs. Those of random walks, of CAMs and of a probe
lie in the run's own folder. Walks and CAMs make them in two rounds: the first from the labels, the
second from what the network has learned meanwhile (recursive training: Khoreva et al., CVPR 2017).
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from tqdm import tqdm

from weakseg.common import IGNORE, UserError, atomic_path, remove
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.data.image_io import read_mask
from weakseg.labels.targets import tag_vector
from weakseg.labels.training_labels import TrainingLabels
from weakseg.learners.unet import SegmentationModel
from weakseg.pseudo_masks.cam import MOST_IMAGES, TagMaps, tag_maps_of
from weakseg.pseudo_masks.from_labels import (
    first_mask,
    knowledge_of,
    mask_from_predictions,
    mean_prediction,
)
from weakseg.pseudo_masks.grabcut_files import pseudo_masks

TERMS = ("walk", "cams", "probe")  # the terms whose pseudo-masks are made in the run
Round = tuple[str, int]  # a term, and 1 or 2


@dataclass(frozen=True)
class Rounds:
    """The pseudo-masks of one run: which it needs, when they are made, and how.

    folder       of the run
    terms        those of `TERMS` that the run has a weight for
    epochs       of the run
    second       share of the epochs after which the second round is made; 1: never
    signals      that the run learns from
    new_encoder  makes the network as ImageNet trained it, whose features compare cells
    probe_says   what a probe says of an image, in the form that the run's loader expects
    """

    folder: Path
    terms: tuple[str, ...]
    epochs: int
    second: float
    signals: tuple[str, ...]
    dataset: SegmentationDataset
    labels: TrainingLabels
    cache: ResizedCache
    new_encoder: Callable[[], SegmentationModel]
    probe_says: Callable[[str], np.ndarray] | None = None

    def masks(self) -> dict[str, "RoundMasks"]:
        """Return {term: pseudo-masks by image id}; they may still have to be made."""
        size = self.cache.size
        return {
            term: RoundMasks([self.folder_of(term, number) for number in (1, 2)], size)
            for term in self.terms
        }

    def folder_of(self, term: str, number: int) -> Path:
        """Return the folder of the pseudo-masks of a term and a round."""
        return self.folder / "pseudo_masks" / term / str(number)

    def due(self, epoch: int) -> list[Round]:
        """Return the rounds that follow an epoch; those after epoch 0 come before all training.

        The second is left out where no epoch would follow it, and where a probe, which had rounds
        of its own, made the first.
        """
        if epoch == 0:
            return [(term, 1) for term in self.terms]
        second = max(round(self.second * self.epochs), 1)
        again = [term for term in self.terms if term != "probe"]
        return [(term, 2) for term in again if epoch == second < self.epochs]

    def settle(self, done: int) -> None:
        """Delete the pseudo-masks of rounds that come after `done` epochs, when a run goes on.

        Raises `UserError` where those of an earlier round are missing.
        """
        for epoch in range(self.epochs):
            for term, number in self.due(epoch):
                folder = self.folder_of(term, number)
                if epoch > done:
                    remove(folder)
                elif not folder.is_dir():
                    raise UserError(
                        f"{folder}: gone since the run made it; start the run anew with --overwrite"
                    )

    def make(
        self, term: str, number: int, network: SegmentationModel, accelerator: Accelerator
    ) -> None:
        """Write the pseudo-masks of a term and a round, each process its share.

        network: the run's own, whose predictions make the second round
        """
        network.eval()
        if term == "probe":
            assert self.probe_says is not None
            make = self.probe_says
        elif number == 1:
            make = self._from_labels(term, accelerator)
        else:
            make = self._from_predictions(term, network, accelerator)
        names = self.labels.train_ids[accelerator.process_index :: accelerator.num_processes]
        folder = self.folder_of(term, number)
        silent = not accelerator.is_main_process
        for name in tqdm(
            names, f"pseudo-masks ({term}, round {number})", unit="img", disable=silent
        ):
            write_mask(mask_path(folder, name), make(name))
        accelerator.wait_for_everyone()

    def _from_labels(self, term: str, accelerator: Accelerator) -> Callable[[str], np.ndarray]:
        """Return what makes an image's first pseudo-mask, from its labels."""
        encoder = self.new_encoder().to(accelerator.device).eval()
        tag_maps = self._tag_maps(encoder, accelerator) if term == "cams" else None

        def make(name: str) -> np.ndarray:
            image = self._image(name, accelerator)
            return first_mask(
                term, encoder, tag_maps, self.dataset, self.signals, self.labels[name], image
            )

        return make

    def _from_predictions(
        self, term: str, network: SegmentationModel, accelerator: Accelerator
    ) -> Callable[[str], np.ndarray]:
        """Return what makes an image's second pseudo-mask, from the network's predictions."""
        before = RoundMasks([self.folder_of(term, 1)], self.cache.size)

        def make(name: str) -> np.ndarray:
            image = self._image(name, accelerator)
            knowledge = knowledge_of(
                self.labels[name], self.signals, term, self.dataset, self.cache.size
            )
            prediction = mean_prediction(network, image)
            return mask_from_predictions(prediction, image, before[name], knowledge)

        return make

    def _tag_maps(self, encoder: SegmentationModel, accelerator: Accelerator) -> TagMaps:
        """Return the `TagMaps` that the training images, or an even part of them, give."""
        names = self.labels.train_ids
        names = names[:: -(-len(names) // MOST_IMAGES)]
        tags = [
            torch.from_numpy(tag_vector(self.labels[name]["tags"], self.dataset.tag_names))
            for name in names
        ]
        images = (self._image(name, accelerator) for name in names)
        return tag_maps_of(encoder, images, torch.stack(tags))

    def _image(self, name: str, accelerator: Accelerator) -> torch.Tensor:
        """Return an image [3, S, S] uint8 on the device."""
        image = self.cache.image(self.dataset.photograph(name))
        return torch.from_numpy(image).to(accelerator.device)


class RoundMasks:
    """The pseudo-masks of a run, [S, S] uint8 by image id: those of its last round.

    folders: of the rounds, the first first; each is there once its masks are made. Before the first
    nothing is labelled.
    """

    def __init__(self, folders: Sequence[Path], size: int) -> None:
        self.folders, self.size = folders, size

    def __getitem__(self, name: str) -> np.ndarray:
        made = [folder for folder in self.folders if folder.exists()]
        if not made:
            return np.full((self.size, self.size), IGNORE, np.uint8)
        path = mask_path(made[-1], name)
        if not path.exists():
            raise UserError(
                f"{path}: gone since the run made it; start the run anew with --overwrite"
            )
        return read_mask(path)


def mask_path(folder: Path, name: str) -> Path:
    """Return where the mask of an image lies; an id may hold slashes."""
    return folder / f"{name}.png"


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write a mask [S, S] uint8 as PNG, atomically."""
    with atomic_path(path) as temporary:
        Image.fromarray(mask).save(temporary, format="PNG")


def grabcut_masks(
    weak_label_path: str | Path,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    cache: ResizedCache,
    accelerator: Accelerator,
) -> Mapping[str, np.ndarray]:
    """Return the GrabCut masks of the training images by id, kept beside the weak labels.

    Those that are missing are cut now. Of several processes each cuts its share, and then finds
    those of the others.
    """
    path = Path(weak_label_path)
    cut = partial(
        pseudo_masks,
        dataset,
        labels=labels,
        signals=labels.signals,
        cache=cache,
        folder=path.parent / f"{path.stem}_grabcut",
    )
    if accelerator.num_processes > 1:
        jobs = max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        share = labels.train_ids[accelerator.process_index :: accelerator.num_processes]
        cut(share, jobs=jobs)
        accelerator.wait_for_everyone()
    masks, outcomes = cut(labels.train_ids, jobs=-1)
    if accelerator.is_main_process:
        counts = Counter(outcomes)
        words = (f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        print("GrabCut:", ", ".join(words))
    return masks
