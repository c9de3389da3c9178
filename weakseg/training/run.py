"""What one run of train.py was asked for: every flag, complete and checked."""

import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from weakseg.common import UserError
from weakseg.data.base import SegmentationDataset
from weakseg.data.datasets import DataOptions
from weakseg.data.ids import is_folder_name
from weakseg.labels.signals import TERMS, parse_modes
from weakseg.labels.training_labels import TrainingLabels
from weakseg.parallel import Workers
from weakseg.training.probe_options import ProbeOptions
from weakseg.training.recipes import ADDED_TERMS, AddedOptions

# What chooses best.pt among the epochs, and whether less or more of it is better.
SCORES: dict[str, Callable[..., float]] = {
    "val_loss": min,
    "val_miou": max,
    "weak_val_loss": min,
}
SELECTION = (*SCORES, "last")
ANY = "any"  # the mode that takes whatever labels the images have
# Flags that say where and how fast a run goes, not what it computes: they may differ when it is
# resumed.
FREE = {
    "resume",
    "overwrite",
    "num_workers",
    "device",
    "threads",
    "data_dir",
    "weak_label_path",
    "checkpoint_dir",
    "cache_dir",
    "cache_limit",
    "log_with",
    "backend",
    "cluster",
    "jobs",
}
# Name of a learner -> longer side of photographs, pixels, unless --img_size says it.
LEARNERS = {"unet": 256, "probe": 384}


# Flags that train.py once had, with the value of a run that did without them.
FORMER: dict[str, None] = {"lambda_colour": None, "lambda_fill": None}
# Flags that checkpoints may lack, with the value of a run that was made before them.
LATER: dict[str, Any] = {
    "no_background": False,
    "page": None,
    "channels": None,
    "value_range": None,
    "mask_values": [],
    "mask_ignore": None,
    "learner": "unet",
    "start": None,
    "frozen": 0.0,
    "class_names": [],
}


# Flags with several values.
SEVERAL = ("classes", "class_names", "mask_values", "channels", "value_range")
RESOLVED = {*SEVERAL, "run_name", "open_boxes", "img_size"}  # flags that `of_flags` completes


def listed(values: Any, kind: type) -> Any:
    """Return several values in a list or tuple; None stays None."""
    return None if values is None else kind(values)


@dataclass(frozen=True, kw_only=True)
class TrainingRun(DataOptions):
    """One run of train.py: where its images and labels lie, what it learns, and how.

    signals    of the labels that it learns from, in the order of `SIGNALS`; none before `of_labels`
               of a run that takes any
    all_masks  whether all training images have masks; None where nobody has looked
    weights    {term: weight} as given by --lambda_TERM; None where the recipe decides
    added      what the recipe's added losses need besides weights
    probe      what the probe needs
    """

    signals: tuple[str, ...]
    takes_any: bool = False
    all_masks: bool | None = None
    weights: Mapping[str, float | None]
    added: AddedOptions = field(default_factory=AddedOptions)
    learner: str
    probe: ProbeOptions = field(default_factory=ProbeOptions)
    backend: str
    cluster: str | None
    jobs: int
    run_name: str
    checkpoint_dir: str
    # data and labels
    weak_label_path: str
    cache_limit: float | None
    train_limit: int | None
    img_size: int
    augment: bool
    num_workers: int | None
    # losses
    recipe: str
    lambda_seg: float
    open_boxes: bool
    loss_weighting: str
    cam_warmup: float
    cam_foreground: float
    cam_background: float
    # network and optimisation
    encoder: str
    encoder_weights: str
    start: str | None
    frozen: float
    coarse_logits: bool | None
    epochs: int
    steps_per_epoch: int | None
    batch_size: int
    batch_norm: str
    lr: float
    decoder_lr_scale: float
    weight_decay: float
    warmup: float
    seed: int
    device: str
    amp: bool | None
    threads: int | None
    # output
    select_by: str | None
    resume: str | None
    overwrite: bool
    log_with: str

    @classmethod
    def of_flags(cls, given: Mapping[str, Any]) -> "TrainingRun":
        """Return the run that the flags of train.py ask for.

        given: {flag: value}. Raises `UserError` with the first flag that means nothing, before
        anything is read.
        """
        takes_any = given["modes"] == [ANY]
        signals = () if takes_any else parse_modes(given["modes"])
        is_open = given["open_boxes"]
        learner = given["learner"]
        own, probe = (
            {option.name: given[option.name] for option in fields(options)}
            for options in (AddedOptions, ProbeOptions)
        )
        plain = {option.name for option in fields(cls)} & given.keys()
        run = cls(
            **{name: given[name] for name in plain - RESOLVED},
            **{flag: listed(given[flag], tuple) for flag in SEVERAL},
            signals=signals,
            takes_any=takes_any,
            weights={term: given[f"lambda_{term}"] for term in (*TERMS, *ADDED_TERMS)},
            added=AddedOptions(**own),
            probe=ProbeOptions(**probe),
            img_size=LEARNERS[learner] if given["img_size"] is None else given["img_size"],
            run_name=given["run_name"] or "_".join(signals) or ANY,
            open_boxes=given["recipe"] == "strong" if is_open is None else is_open,
        )
        run.check()
        return run

    def of_data(self, dataset: SegmentationDataset) -> Self:
        """Return the run with what the data set decides: also by what to choose best.pt.

        Without --select_by that is the loss on validation masks, or nothing where there are none.
        """
        run = super().of_data(dataset)
        if self.learner == "probe" or self.select_by:
            return run
        has_masks = bool(dataset.masked(dataset.ids("val")))
        return replace(run, select_by="val_loss" if has_masks else "last")

    def of_labels(self, labels: TrainingLabels) -> Self:
        """Return the run with what its labels decide: the kinds that there are."""
        return replace(self, signals=labels.signals, all_masks=labels.all_masks)

    @property
    def folder(self) -> Path:
        """The folder of the run: its checkpoints, log and pseudo-masks."""
        return Path(self.checkpoint_dir) / self.run_name

    @property
    def last_epoch(self) -> int:
        """The epoch after which the run is finished; each fit of the probe is one."""
        if self.learner == "unet":
            return self.epochs
        return self.probe.fits("full" in self.signals if self.all_masks is None else self.all_masks)

    @property
    def selection(self) -> str | None:
        """What chooses best.pt, a name of `SELECTION`; None for the probe, whose last fit it is."""
        return (self.select_by or "val_loss") if self.learner == "unet" else None

    @property
    def fits_probe(self) -> bool:
        """Whether a probe is fitted, to be the result or the U-Net's start."""
        return "probe" in (self.learner, self.start)

    @property
    def frozen_epochs(self) -> int:
        """The epochs before the encoder learns, of a U-Net that starts from a probe."""
        return round(self.frozen * self.epochs) if self.start else 0

    @property
    def workers(self) -> Workers:
        """Where the features of photographs are computed."""
        return Workers(self.backend, self.cluster, self.jobs)

    def next_command(self, dataset: SegmentationDataset | None = None) -> str:
        """Return the command that tests a finished run, or else predicts what it learnt from.

        dataset: None where nobody looks at it
        """
        where = ["--checkpoint_dir", str(self.checkpoint_dir), "--run_name", self.run_name]
        if dataset is None or dataset.ids("test"):
            return shlex.join(["python", "evaluate.py", *where])
        images = ["--images", str(dataset.picture_folder)]
        return shlex.join(["python", "predict.py", *where, *images])

    def recorded(self) -> dict[str, Any]:
        """Return what a checkpoint says of the run: plain values by the names of the flags."""
        kept = {option.name: getattr(self, option.name) for option in fields(self)}
        signals, weights, added, probe, *_ = (
            kept.pop(name)
            for name in ("signals", "weights", "added", "probe", "takes_any", "all_masks")
        )
        kept["select_by"] = self.select_by or "val_loss"
        if self.fits_probe:
            kept |= {option.name: getattr(probe, option.name) for option in fields(probe)}
        return kept | {
            "modes": list(signals),
            **{flag: listed(getattr(self, flag), list) for flag in SEVERAL},
            **{f"lambda_{term}": weight for term, weight in weights.items()},
            **{option.name: getattr(added, option.name) for option in fields(added)},
        }

    def check(self) -> None:
        """Refuse values that mean nothing, with the flag's name."""
        recorded = self.recorded()
        for flag, value in recorded.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"--{flag} {value}: must be a finite number")
        for flag, fine, rule in self._rules():
            if not fine:
                raise UserError(f"--{flag} {recorded[flag]}: {rule}")
        _ = self.workers  # refuses a cluster that no backend has use for

    def _rules(self) -> list[tuple[str, bool, str]]:
        """Return (flag, whether its value is fine, what it must be) of every checked flag."""
        added, positive, share = self.added, "must be positive", "must lie in [0, 1)"
        probe = self._probe_rules() if self.fits_probe else []
        probe += self._start_rules() if self.start else []
        multiple = 1 if self.learner == "probe" else 32
        known_tracker = self.log_with == "none" or find_spec(self.log_with) is not None
        cams = 0 <= self.cam_background <= self.cam_foreground <= 1
        one_folder = is_folder_name(self.run_name)
        return [
            (
                "img_size",
                self.img_size >= 64 and self.img_size % multiple == 0,
                f"must be {f'a multiple of {multiple}, ' if multiple > 1 else ''}at least 64",
            ),
            ("encoder_weights", self._has_weights(), "no such file; take imagenet, none or a file"),
            ("epochs", self.epochs > 0, "must be at least 1"),
            ("seed", 0 <= self.seed < 2**63, "must not be negative, and be less than 2**63"),
            ("batch_size", self.batch_size > 0, "must be at least 1"),
            ("lr", self.lr > 0, positive),
            ("val_fraction", 0 < self.val_fraction < 1, "must lie between 0 and 1"),
            ("cam_foreground", cams, "needs 0 <= background <= it <= 1"),
            ("warmup", 0 <= self.warmup < 1, share),
            ("cam_warmup", 0 <= self.cam_warmup < 1, share),
            ("frozen", 0 <= self.frozen <= 1, "must lie between 0 and 1"),
            (
                "lambda_probe",
                bool(self.start) or not self.weights.get("probe"),
                "there is no probe; add --start probe",
            ),
            ("ramp", 0 <= added.ramp <= 1, "must lie between 0 and 1"),
            ("teacher_decay", 0 <= added.teacher_decay < 1, share),
            ("second_round", 0 <= added.second_round <= 1, "must lie between 0 and 1"),
            ("teacher_confidence", 0 <= added.teacher_confidence < 1, share),
            ("run_name", one_folder, "is the name of one folder, without '/'"),
            (
                "num_workers",
                self.num_workers is None or self.num_workers >= 0,
                "must not be negative",
            ),
            ("decoder_lr_scale", self.decoder_lr_scale > 0, positive),
            ("weight_decay", self.weight_decay >= 0, "must not be negative"),
            ("overwrite", not (self.overwrite and self.resume), "and --resume exclude each other"),
            (
                "cache_limit",
                self.cache_limit is None or self.cache_limit >= 0,
                "must not be negative",
            ),
            ("log_with", known_tracker, f"not installed; pip install {self.log_with}"),
            (
                "steps_per_epoch",
                self.steps_per_epoch is None or self.steps_per_epoch > 0,
                "must be at least 1",
            ),
            ("train_limit", self.train_limit is None or self.train_limit > 0, "must be at least 1"),
            *probe,
        ]

    def _has_weights(self) -> bool:
        """Return whether the encoder's weights can be there; a network that goes on needs none."""
        goes_on = self.resume and self.learner == "unet" and (self.folder / "last.pt").exists()
        named = self.encoder_weights in ("imagenet", "none")
        return bool(named or goes_on or Path(self.encoder_weights).is_file())

    def _probe_rules(self) -> list[tuple[str, bool, str]]:
        """Return the rules of the probe's own flags, see `_rules`."""
        probe = self.probe
        return [
            ("scale", probe.scale is None or 0 < probe.scale <= 8, "must lie between 0 and 8"),
            ("penalty", probe.penalty is None or probe.penalty > 0, "must be positive"),
            ("rounds", probe.rounds >= 0, "must not be negative"),
            ("confidence", 0.5 < probe.confidence < 1, "must lie between 0.5 and 1"),
            ("pixels", probe.pixels > 0, "must be at least 1"),
            ("edges", 0 <= (probe.edges or 0) < 0.5, "must lie in [0, 0.5)"),
            ("jobs", self.jobs > 0 or self.jobs == -1, "must be at least 1, or -1 for all cores"),
        ]

    def _start_rules(self) -> list[tuple[str, bool, str]]:
        """Return what a U-Net that starts from a probe can't be combined with, see `_rules`."""
        return [
            ("start", self.learner == "unet", "is for --learner unet; leave one of them out"),
            ("scale", self.probe.scale is None, "--start probe sees squares of --img_size"),
            (
                "coarse_logits",
                not self.coarse_logits,
                "with --start probe the probe gives the coarse logits; leave it out",
            ),
        ]
