"""The probe as a network of the loop: frozen features of square images, and a head fitted to them.

It keeps the contract that `vlm_itl.training.segformer` states, but for tags and activation maps. No
step of an optimiser trains it: `weakseg.training.probe` fits its head.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from model import NewEncoder
from vlm_itl.sections import Data, Model
from vlm_itl.training.data import LabelledItems
from weakseg.common import UserError, stable_seed
from weakseg.data.image_io import image_size
from weakseg.data.reading import Source
from weakseg.labels.training_labels import TrainingLabels
from weakseg.learners.feature_store import FeatureStore
from weakseg.learners.features import FeatureMaps, FrameSize
from weakseg.learners.logistic import LinearHead
from weakseg.learners.probe import Probe, Standard, finest_cells
from weakseg.learners.small_network import DROPOUT, SmallNetwork
from weakseg.pseudo_masks.from_features import FeatureMasks, deep_cells
from weakseg.training.probe import fit_probe
from weakseg.training.probe_evidence import feature_masks, gather
from weakseg.training.probe_options import ProbeOptions

LOGGED = ("loss", "gradient", "penalty", "pixels", "seconds")  # of a fit


class ProbeNetwork(nn.Module):
    """A `Probe` on the frozen features of square images; before a fit all classes are as likely.

    Its state is the probe and the digest of the encoder's weights, which are not part of it: a
    state of other weights, another size or other classes is refused with a RuntimeError.

    store: of the features, for frames as large as the images
    """

    encoder: torch.Tensor

    def __init__(self, store: FeatureStore, num_classes: int) -> None:
        super().__init__()
        self.store, self.num_classes = store, num_classes
        self.width = sum(store.encoder.channels)
        self.dropout = nn.Dropout2d(DROPOUT)
        digest = list(store.encoder.digest.encode())
        self.register_buffer("encoder", torch.tensor(digest, dtype=torch.uint8))
        nothing = np.zeros(self.width, np.float32)
        head = LinearHead(torch.zeros(self.width, num_classes), torch.zeros(num_classes))
        self.take(Probe(Standard(nothing, nothing + 1), head))
        self.register_load_state_dict_pre_hook(prepare)

    def take(self, probe: Probe) -> None:
        """Predict by a probe from now on."""
        self.values = nn.ParameterDict(
            {
                name: nn.Parameter(value.float().to(self.encoder.device), requires_grad=False)
                for name, value in probe.state().items()
            }
        )

    @property
    def probe(self) -> Probe:
        """The probe, on the CPU."""
        return Probe.of_state({name: value.detach().cpu() for name, value in self.values.items()})

    @torch.no_grad()
    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return "seg", "features" and "decoded" of images [B, 3, S, S] uint8.

        decoded: the hidden units of a small network; of a linear head the standardised features,
        averaged to the cells of "features"
        """
        probe, size = self.probe, image.shape[-2:]
        with torch.autocast(image.device.type, enabled=False):  # features are kept for other runs
            pixels = image.permute(0, 2, 3, 1).cpu().numpy()
            maps = [self.store.of_pixels(one) for one in pixels]
            decoded = torch.stack([decoded_of(probe, one) for one in maps]).to(image.device)
            if isinstance(probe.head, SmallNetwork):
                seg = self.classify(decoded, size)
            else:
                width_height = (size[1], size[0])
                seg = torch.stack([probe.logits(one, width_height) for one in maps])
            features = torch.stack([deep_cells(one) for one in maps])
        return {
            "seg": seg.to(image.device),
            "features": features.to(image.device),
            "decoded": decoded,
        }

    def classify(self, decoded: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """Return class logits [B, C, *size] of decoded features [B, D, h, w]."""
        weights, bias = self.values["weights"], self.values["bias"]
        logits = torch.einsum("bdhw,dc->bchw", self.dropout(decoded), weights)
        logits = logits + bias[:, None, None]
        return F.interpolate(logits, size=list(size), mode="bilinear", align_corners=False)


def prepare(network: ProbeNetwork, state: Mapping[str, torch.Tensor], *_: Any) -> None:
    """Make room for the probe in a state that is about to be loaded; refuse one that can't fit."""
    prefix = "values."
    values = {name.removeprefix(prefix): value for name, value in state.items()}
    try:
        digest, probe = values["encoder"], Probe.of_state(values)
    except KeyError as error:
        raise RuntimeError(f"it lacks {error} and is no probe") from error
    except ValueError as error:
        raise RuntimeError(str(error)) from error
    if not torch.equal(digest.cpu(), network.encoder.cpu()):
        raise RuntimeError("the encoder has other weights than the one it was fitted to")
    shape = len(probe.standard.mean), probe.num_classes
    if shape != (network.width, network.num_classes):
        raise RuntimeError(
            f"{shape[0]} features and {shape[1]} classes, not "
            f"{network.width} and {network.num_classes}"
        )
    network.take(probe)


def decoded_of(probe: Probe, maps: FeatureMaps) -> torch.Tensor:
    """Return what the last layer of a probe sees of an image, [D, h, w]."""
    if isinstance(probe.head, SmallNetwork):
        return probe.hidden(probe.head, maps, *finest_cells(maps))
    grid = deep_cells(maps).shape[1:]
    stages = [
        F.interpolate(
            torch.from_numpy(stage.astype(np.float32))[None],
            size=grid,
            mode="area" if stage.shape[1] >= grid[0] else "bilinear",
        )[0]
        for stage in maps.maps
    ]
    mean, deviation = map(torch.from_numpy, (probe.standard.mean, probe.standard.deviation))
    return (torch.cat(stages) - mean[:, None, None]) / deviation[:, None, None]


def build_probe(options: Model, data: Data, num_classes: int, device: torch.device) -> ProbeNetwork:
    """Return the probe that the config's section `model` describes, before any fit.

    Raises `UserError` for an unknown encoder and for weights that can't be had.
    """
    size = FrameSize(data.image_size)
    new_encoder = NewEncoder(options.name, options.weights, size)
    try:
        store = FeatureStore(new_encoder, data.cache_dir, data.cache_limit, device)
    except UserError as error:
        words = str(error).replace("--encoder_weights", "model.weights")
        raise UserError(words.replace("--encoder", "model.name")) from error
    return ProbeNetwork(store, num_classes)


# ---- its training


@dataclass(frozen=True)
class Lesson:
    """What the fits of one network need to know: `probe_evidence.FitSettings`.

    all_masks: whether no image is labelled otherwise
    """

    seed: int
    signals: Sequence[str]
    probe: ProbeOptions
    weak_label_path: str
    all_masks: bool

    @property
    def last_epoch(self) -> int:
        """How many fits there are."""
        return self.probe.fits(self.all_masks)


def train_probe(
    network: ProbeNetwork,
    items: LabelledItems,
    lesson: Lesson,
    image_weights: np.ndarray,
    log: Callable[[Mapping[str, float], int], None],
) -> None:
    """Fit the probe of a network to bought labels and pseudo-labels.

    image_weights [I]: of the images, in the order of `items`
    log: called with (numbers, number of the fit) after each
    """
    dataset, cache = items.dataset, items.cache

    def features_of(source: Source) -> FeatureMaps:
        """Return the features of the square image; places in it are in original pixels."""
        maps = network.store.of_pixels(cache.image(source).transpose(1, 2, 0))
        return replace(maps, size=image_size(source))

    labels = training_labels(items)
    masks = FeatureMasks(dataset, items.signals, cache)
    masks = feature_masks(lesson, dataset, labels, features_of, masks)
    given = lesson, dataset, labels, features_of, masks
    evidence = gather(*given, items.mask)
    for probe, line in fit_probe(*given, evidence, image_weights=image_weights):
        network.take(probe)
        log({name: line[name] for name in LOGGED if name in line}, line["epoch"])


def training_labels(items: LabelledItems) -> TrainingLabels:
    """Return the labels of all images of a training, where a pseudo-label is a mask."""
    dataset = items.dataset
    assert items.labels is not None
    images = {name: items.labels[name] for name in items.ids}
    for name in items.pseudo:
        images[name] = {"size": list(dataset.image_size(name)), "full": {}}
    return TrainingLabels(
        images=images,
        train_ids=items.ids,
        val_ids=(),
        signals=tuple(items.signals),
        selected_with=(),
        classes=len(dataset.object_names),
        has_background=dataset.has_background,
    )


def weigh_images(labelled: int, pseudo: int, share: float, seed: int, member: int) -> np.ndarray:
    """Return the weights [I] of the images of a training: bought ones first, then pseudo-labelled.

    share  what all pseudo-labelled images weigh together, for each bought one; none weighs more
           than a bought one
    member of an ensemble: all but the first weigh the images at random, by the Bayesian bootstrap
           (Rubin, Annals of Statistics 1981), as their fits would else be alike
    """
    weights = np.ones(labelled + pseudo)
    weights[labelled:] = min(1, share * labelled / pseudo) if pseudo else 1
    if member:
        weights *= np.random.default_rng(stable_seed(seed, "bootstrap")).exponential(
            size=len(weights)
        )
    return weights
