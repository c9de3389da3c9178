"""What a U-Net begins with: a probe fitted to the same labels, and the probe's pseudo-masks.

The probe learns from the network's own encoder and the squares that the network sees, so that the
network, see `weakseg.learners.probe_unet`, predicts what the probe does before its first step.
"""

from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from weakseg.common import UserError
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.data.image_io import image_size
from weakseg.labels.training_labels import TrainingLabels
from weakseg.learners.feature_store import FeatureStore
from weakseg.learners.features import FeatureMaps, FrameSize, FrozenEncoder, weights_digest
from weakseg.learners.probe import Probe
from weakseg.learners.probe_unet import ProbeHead, ProbeUnet
from weakseg.learners.unet import SegmentationModel
from weakseg.pseudo_masks.from_features import FeatureMasks
from weakseg.training.probe import fit_probe
from weakseg.training.probe_evidence import feature_masks
from weakseg.training.probe_fit import Line
from weakseg.training.run import TrainingRun

STRIDES = [2, 4, 8, 16, 32]  # of the stages that smp's decoder takes from a network of timm


class ProbeStart:
    """A probe of square images, fitted to the labels of a run as `train.py --learner probe` does.

    run     of a U-Net; its flags of the probe count here too
    model   the run's network, on the CPU, before any step
    cache   of squares as large as the network's input
    device  that computes features

    `fit` comes before all else. Raises `UserError` for an encoder that has no such stages.
    """

    probe: Probe

    def __init__(
        self,
        run: TrainingRun,
        dataset: SegmentationDataset,
        labels: TrainingLabels,
        model: SegmentationModel,
        cache: ResizedCache,
        device: torch.device | str = "cpu",
    ) -> None:
        self.dataset, self.labels, self.model, self.cache = dataset, labels, model, cache
        self.settings = replace(run, learner="probe", start=None)
        encoder = frozen_encoder(run.encoder, model, run.img_size, run.probe.finest_stride)
        self.channels = encoder.channels
        self.store = FeatureStore(lambda: encoder, cache.root, run.cache_limit, device)
        masks = FeatureMasks(dataset, run.signals, cache)
        self.masks = feature_masks(self.settings, dataset, labels, self.features, masks)

    def fit(self) -> Line:
        """Fit the probe -> the last fit's line for a log."""
        fits = fit_probe(self.settings, self.dataset, self.labels, self.features, self.masks)
        (self.probe, line), *_ = deque(fits, maxlen=1)
        return line

    @property
    def network(self) -> ProbeUnet:
        """The network that predicts what the probe does; it takes over the parts of the model."""
        return ProbeUnet(self.model, ProbeHead.of_probe(self.probe, self.channels))

    def features(self, path: Path) -> FeatureMaps:
        """Return the features of an image's square; places in them are in original pixels."""
        maps = self.store.of_pixels(self.cache.image(path).transpose(1, 2, 0))
        return replace(maps, size=image_size(path))

    def mask(self, name: str) -> np.ndarray:
        """Return the mask [S, S] uint8 of an image where the probe is sure, else 255."""
        maps = self.features(self.dataset.image_path(name))
        confidence = self.settings.probe.confidence
        mask = self.masks.predicted(name, self.labels[name], maps, self.probe, confidence)
        cells = ((np.arange(self.cache.size) + 0.5) * (len(mask) / self.cache.size)).astype(int)
        return mask[np.ix_(cells, cells)]


def frozen_encoder(name: str, model: SegmentationModel, side: int, finest: int) -> FrozenEncoder:
    """Return a network's encoder as it is, as a probe of squares sees it.

    name: what --encoder calls it; side: of squares, pixels; finest: least stride of its stages
    """
    network = getattr(model.unet.encoder, "model", None)
    info = getattr(network, "feature_info", None)
    if network is None or info is None or info.reduction() != STRIDES:
        raise UserError(
            f"--encoder {name}: --start probe takes efficientnet-lite0, -lite1, -lite2, or "
            f"tu-NAME for a model of timm with stages of strides {STRIDES}"
        )
    mean, std = (tuple((each / 255).flatten().tolist()) for each in (model.mean, model.std))
    digest = weights_digest(network)
    return FrozenEncoder(name, network, mean, std, FrameSize(side), digest, finest)
