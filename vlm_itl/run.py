"""A run: what all its stages share, and how it starts or goes on."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from vlm_itl.config import Config, annotator, check_probe
from vlm_itl.judges.base import Case, Judge
from vlm_itl.judges.registry import make_judge
from vlm_itl.ledger_lines import check_lines
from vlm_itl.networks import NetworkStore, round_folder
from vlm_itl.predictions import NetworkInputs, predicted_cases
from vlm_itl.start import copy_first_round, recorded, refuse_lost_ledger, write_or_check_start
from vlm_itl.tracking import Tracker, tracker_options
from vlm_itl.training.data import contents, fingerprint, open_images, splits_of
from weakseg.common import UserError, commit, stable_seed
from weakseg.data.cache import ResizedCache
from weakseg.data.datasets import say
from weakseg.learners.small_network import DROPOUT
from weakseg.planning.acquisition import check_needs, choose_strategy
from weakseg.planning.budgets import Budget
from weakseg.planning.ledger import FREE, Ledger, settings_hash
from weakseg.planning.oracle import Examiner, Label, Oracle, signals_of
from weakseg.training.distributed import make_accelerator


class Run:
    """One experiment in one folder: its images, oracle, networks, ledger and tracker.

    arm      its name in comparisons, the same for all seeds
    targets  the budget of each round, rising
    judged   whether a judge looks at the predictions
    """

    def __init__(
        self, settings: Config, folder: Path, arm: str, targets: Sequence[Budget], judged: bool
    ) -> None:
        self.settings, self.folder, self.arm, self.targets = settings, folder, arm, targets
        data, training = settings.data, settings.training
        self.strategy = choose_strategy(settings.active_learning.strategy)
        ensemble_size = settings.active_learning.ensemble_size
        check_probe(settings, self.strategy.needs)
        dropout = DROPOUT if settings.model.network == "probe" else settings.model.dropout
        check_needs(self.strategy, dropout, ensemble_size)
        self.signals = signals_of(settings.active_learning.label)
        self.annotator = annotator(settings)
        self.dataset = open_images(data)
        splits = splits_of(self.dataset, data)
        self.pool, self.val, self.test = splits["pool"], splits["val"], splits["test"]
        self.cache = ResizedCache(data.cache_dir, data.image_size, data.cache_limit)
        self.fingerprint = fingerprint(self.dataset, splits)
        self.contents = contents(self.dataset, splits)
        # The only two that know ground truth: the oracle charges for it, the examiner serves the
        # report and the simulated judge.
        self.oracle = Oracle(self.dataset, self.pool, self.cache, settings.seed, self.annotator)
        self.examiner = Examiner(self.dataset, self.cache)
        self.judge: Judge | None = None
        if judged:
            self.judge = make_judge(settings.vlm_itl, settings.seed, self.examiner)
        accelerator = make_accelerator(
            training.device,
            training.mixed_precision,
            flag="training.device",
            **tracker_options(settings, folder),
        )
        self.inputs = NetworkInputs(self.dataset, self.cache, training.batch_size, accelerator)
        self.store = NetworkStore(settings.model, data, self.dataset, folder, accelerator.device)
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.tracker = Tracker(settings, folder, accelerator, len(targets))

    def start(self) -> None:
        """Write or check the ledger's first line, and take up what was bought before."""
        unused = FREE if self.judge else FREE | {"vlm_itl"}
        config = recorded(self.settings, unused)
        refuse_lost_ledger(self.ledger, self.folder)
        check_lines(self.ledger.path, self.ledger.lines)
        if not self.ledger.lines:
            self.tracker.begin()
            self.store.build()  # what is wrong with `model` shows before the settings are written
        start = {
            "settings": settings_hash([config, self.arm]),
            "images": self.fingerprint,
            "contents": self.contents,
            "targets": self.targets,
            "seed": self.settings.seed,
            "commit": commit(),
            "config": config,
        }
        self.dataset.check_unopened(self.pool)
        gaps = self.dataset.check_masks(self.val, "validation")
        notes = self.dataset.notes(unopened=self.pool)
        say([*notes, *self.dataset.check_test_masks(), *gaps])
        write_or_check_start(self.ledger, self.folder, start)
        unmasked = [n for n in self.dataset.ids("train") if not self.dataset.mask_path(n).exists()]
        if unmasked:
            print(
                f"{len(unmasked)} training images have no mask and are left out, "
                f"the first is {unmasked[0]}"
            )
        if donor := self.settings.active_learning.first_round_from:
            copy_first_round(self.ledger, self.folder, Path(donor))
        for line in self.ledger.lines:
            for name, bought in line.get("bought", {}).items():
                self.take_up(name, bought)

    def take_up(self, name: str, bought: Mapping[str, Any]) -> None:
        """Take up the label of an image from the ledger, if it is still that which was bought."""
        if name not in self.pool:
            raise UserError(
                f"{self.ledger.path}: {name} is no image of the pool; restore the file, "
                "or delete the run"
            )
        if bought.get("mask") not in (None, *self.dataset.mask_contents([name]).values()):
            raise UserError(
                f"{self.dataset.mask_path(name)}: changed since this run bought it; restore it, "
                f"or delete {self.folder}"
            )
        label = Label(bought["annotations"], tuple(bought["signals"]), bought["seconds"])
        self.oracle.restore(name, label)

    def close(self) -> None:
        """Close the tracker and release the ledger."""
        self.tracker.stop()
        self.ledger.close()

    def seed(self, number: int, *stage: object) -> int:
        """Return the seed of a stage of a round."""
        return stable_seed(self.settings.seed, number, *stage)

    def round_folder(self, number: int) -> Path:
        """Return the folder of a round."""
        return round_folder(self.folder, number)

    # ---- what the ledger tells

    def free(self) -> list[str]:
        """Return the pool's images that nobody bought."""
        return [name for name in self.pool if name not in self.oracle.labels]

    def bought(self, number: int, stage: str) -> set[str]:
        """Return the images that a stage bought; none where it has not run."""
        return set((self.ledger.find(number, stage) or {}).get("bought", {}))

    def has_mask(self, name: str) -> bool:
        """Whether a mask was bought for an image, and not only a weaker label."""
        return "full" in self.oracle.labels[name].signals

    def verdicts(self, number: int) -> dict[str, dict[str, Any]]:
        """Return the routed verdicts of a round; none where it was not judged."""
        return (self.ledger.find(number, "judge") or {}).get("verdicts", {})

    # ---- what networks predict

    def networks(self, number: int) -> list[nn.Module]:
        """Return the trained networks of a round, in evaluation mode."""
        line = self.ledger.find(number, "train")
        if line is None:
            raise ValueError(f"round {number} has not been trained")
        return self.store.load(number, line["weights"])

    def cases(self, networks: Sequence[nn.Module], names: Sequence[str]) -> Iterator[Case]:
        """Yield what networks predict for images, as a judge sees it."""
        return predicted_cases(networks, self.inputs, names, self.settings.vlm_itl.mirror)
