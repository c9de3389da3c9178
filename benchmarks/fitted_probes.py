"""Probes that are fitted in this process, to labels that a benchmark has put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.commands import flags

if TYPE_CHECKING:
    import numpy as np
    import torch

    from weakseg.data.base import SegmentationDataset
    from weakseg.labels.training_labels import TrainingLabels
    from weakseg.learners.feature_store import FeatureStore
    from weakseg.learners.probe import Probe
    from weakseg.training.run import TrainingRun


@dataclass(frozen=True)
class Settings:
    """What `fit_probe` needs to know of a run."""

    seed: int
    signals: tuple[str, ...]
    probe: Any
    weak_label_path: str
    last_epoch: int


@dataclass(frozen=True)
class Bench:
    """A data set, its features, and the settings of train.py for runs on them."""

    run: "TrainingRun"
    dataset: "SegmentationDataset"
    store: "FeatureStore"

    @classmethod
    def of_flags(cls, **values: Any) -> "Bench":
        """Return that of flags of `train.py --learner probe`, on one thread of the CPU."""
        import torch

        from model import feature_store
        from weakseg.data.datasets import open_dataset
        from weakseg.training import options
        from weakseg.training.run import TrainingRun

        torch.set_num_threads(1)
        words = [str(word) for word in flags(learner="probe", device="cpu", **values)]
        run = TrainingRun.of_flags(vars(options.parse_args(words)))
        store = feature_store(run.recorded(), run.cache_dir)
        return cls(run, open_dataset(run), store)

    def labels(self, names: Sequence[str]) -> "TrainingLabels":
        """Return the labels of images, of all kinds that the flags name."""
        from weakseg.labels.training_labels import read_training_labels

        run = self.run
        where = run.weak_label_path, self.dataset, names, run.signals, None, run.data_dir
        return read_training_labels(*where)

    def probe(self, labels: "TrainingLabels", seed: int) -> "Probe":
        """Return the probe that labels give, after as many fits as train.py makes of them."""
        from weakseg.data.cache import ResizedCache
        from weakseg.pseudo_masks.from_features import SIDE, FeatureMasks
        from weakseg.training.probe import fit_probe
        from weakseg.training.probe_evidence import feature_masks, gather

        run, kinds = self.run, tuple(labels.signals)
        fits = run.probe.fits(all_masks=kinds == ("full",))
        settings = Settings(seed, kinds, run.probe, run.weak_label_path, fits)
        masks = FeatureMasks(self.dataset, kinds, ResizedCache(run.cache_dir, SIDE, None))
        masks = feature_masks(settings, self.dataset, labels, self.store, masks)
        given = settings, self.dataset, labels, self.store, masks
        *_, (probe, _) = fit_probe(*given, gather(*given))
        return probe

    def probabilities(self, probe: "Probe", name: str) -> "np.ndarray":
        """Return the class probabilities [C, H, W] float32 of an image, at its own size."""
        import numpy as np

        from weakseg.inference.predict import probabilities

        image, mirrored = np.asarray(self.dataset.image(name)), None
        if self.run.probe.views == 2:
            mirrored = self.store.of_pixels(np.ascontiguousarray(image[:, ::-1]))
        return probabilities(probe, self.store(self.dataset.photograph(name)), image, mirrored)


def confusions(fitted: "Sequence[tuple[Bench, Probe]]", split: str) -> "torch.Tensor":
    """Return the confusion matrices [N, C, C] int64 of probes, one an image of a split.

    fitted: probes of the same classes, each with its bench; the mean of their probabilities counts
    """
    import numpy as np
    import torch

    from weakseg.metrics import confusion_matrix

    dataset, matrices = fitted[0][0].dataset, []
    for name in dataset.ids(split):
        chances = np.mean([bench.probabilities(probe, name) for bench, probe in fitted], 0)
        found, truth = map(torch.from_numpy, (chances.argmax(0), dataset.mask(name)))
        matrices.append(confusion_matrix(found, truth, len(dataset.class_names)))
    return torch.stack(matrices)
