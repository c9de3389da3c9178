"""What a U-Net begins with: a probe fitted to the same labels, and what it says of the images.

The probe learns from the network's own encoder and the squares that the network sees, so that the
network, see `weakseg.learners.probe_unet`, predicts what the probe does before its first step.
Where images have no masks, the network learns the probe's chances, not its decisions: of a mask cut
where the probe is sure it learns the probe's errors, and forgets its doubts.
"""

from collections import deque
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from weakseg.common import UserError
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.data.image_io import image_size
from weakseg.data.reading import Source
from weakseg.inference.edges import follow_edges, working_size
from weakseg.labels.signals import kinds_of
from weakseg.labels.training_labels import TrainingLabels
from weakseg.learners.feature_store import FeatureStore
from weakseg.learners.features import FeatureMaps, FrameSize, FrozenEncoder, weights_digest
from weakseg.learners.probe import Probe
from weakseg.learners.probe_unet import ProbeHead, ProbeUnet
from weakseg.learners.unet import SegmentationModel
from weakseg.pseudo_masks.from_features import FeatureMasks
from weakseg.pseudo_masks.from_labels import Knowledge, knowledge_of, term_of
from weakseg.training.probe import fit_probe
from weakseg.training.probe_evidence import feature_masks, gather
from weakseg.training.probe_fit import Line
from weakseg.training.run import TrainingRun

CELL = 2  # network pixels a side of a cell that chances are kept for
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
        given = self.settings, self.dataset, self.labels, self.features, self.masks
        fits = fit_probe(*given, gather(*given))
        (self.probe, line), *_ = deque(fits, maxlen=1)
        return line

    @property
    def network(self) -> ProbeUnet:
        """The network that predicts what the probe does; it takes over the parts of the model."""
        head = ProbeHead.of_probe(self.probe, self.channels)
        return ProbeUnet(self.model, head, self.probe.edges)

    def features(self, source: Source) -> FeatureMaps:
        """Return the features of an image's square; places in them are in original pixels."""
        maps = self.store.of_pixels(self.cache.image(source).transpose(1, 2, 0))
        return replace(maps, size=image_size(source))

    @torch.no_grad()
    def chances(self, name: str) -> np.ndarray:
        """Return the chances of each class in an image, in cells of `CELL` pixels a side.

        They are in 255ths, one class below the other, [C * S / CELL, S / CELL] uint8; where the
        labels leave the class open, or a mask says it, all are 0. The probe sees the image and its
        mirror image, and follows the image's edges.
        """
        label, side = self.labels[name], self.cache.size
        signals = kinds_of(label, self.settings.signals)
        if "full" in signals:
            cells_across = side // CELL
            return np.zeros((len(self.dataset.class_names) * cells_across, cells_across), np.uint8)
        square = self.cache.image(self.dataset.photograph(name))
        straight, mirrored = (
            self.probe.logits(self.store.encoder(picture(view)), working_size(side, side, side))
            for view in (square, square[:, :, ::-1])
        )
        known = knowledge_of(label, signals, term_of(label, signals), self.dataset, side)
        logits, image = (straight + mirrored.flip(2)) / 2, np.asarray(picture(square))
        chances = possible_chances(logits, known, self.dataset, image, self.probe.edges)
        cells: np.ndarray = (255 * F.avg_pool2d(chances, CELL)).round().byte().numpy()
        return cells.reshape(-1, side // CELL)


def possible_chances(
    logits: torch.Tensor,
    known: Knowledge,
    dataset: SegmentationDataset,
    image: np.ndarray,
    edges: float = 0.0,
) -> torch.Tensor:
    """Return the chances [C, S, S] that the labels of an image [S, S, 3] uint8 leave.

    Classes that are ruled out have none; outside of their boxes the background has theirs. Without
    any class on show all is background where the labels are complete, else nothing is known. Where
    they are not complete, only pixels that most likely show one of the classes have chances. Where
    there is no background, the classes that a pixel may be of share all of its chances.
    logits: [C, h, w] float32; edges: radius of `follow_edges`
    """
    shown = known.classes.tolist()
    chances = torch.zeros_like(logits)
    if shown:
        rivals = [*range(len(logits))] if dataset.has_background else shown
        rivals = [0, *shown] if known.is_closed else rivals
        chances[rivals] = logits[rivals].softmax(0)
    chances = torch.from_numpy(follow_edges(chances.numpy(), image, edges)).clamp(0, 1)
    allowed = torch.zeros_like(chances)
    allowed[shown] = torch.from_numpy(known.where).float()
    chances *= allowed
    if known.is_closed:
        chances[0] = (1 - chances[1:].sum(0)).clamp(min=0)
    elif not dataset.has_background:
        chances = allowed * chances.clamp(min=1e-9)
        chances /= chances.sum(0).clamp(min=1e-9)
    else:  # what is most likely none of them stays open, else they would be learnt everywhere
        chances *= chances.sum(0) >= 0.5
    return chances


def picture(square: np.ndarray) -> Image.Image:
    """Return an image [3, S, S] uint8 as a picture in RGB."""
    return Image.fromarray(np.ascontiguousarray(square.transpose(1, 2, 0)))


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
