"""The grid of an equal-budget study: which images each budget buys, and which ordinary run each
cell is.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from weakseg.common import UserError, read_json
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.signals import count_actions, parse_modes
from weakseg.labels.training_labels import labels_digest, labels_of_run, training_order
from weakseg.training import options
from weakseg.training.options import FREE

HOURS = {"h": 1.0, "m": 1 / 60, "min": 1 / 60, "s": 1 / 3600}
EPOCHS, STEPS = 10, 1000
DATA = (
    "data_dir",
    "dataset",
    "classes",
    "tag_set",
    "val_fraction",
    "split_seed",
    "cache_dir",
    "weak_label_path",
)
OWN = {
    "modes",
    "run_name",
    "checkpoint_dir",
    "seed",
    "train_limit",
    "steps_per_epoch",
    "resume",
    "overwrite",
    *DATA,
}


@dataclass(frozen=True)
class Cell:
    """One mode, budget and seed of the grid, and the run that stands for it."""

    mode: str
    budget: float  # hours
    seed: int
    images: int
    everything: bool  # the budget would have paid for more images than there are
    name: str
    arguments: tuple  # of train.py
    identity: dict  # what a result file must say to be this run's

    def commands(self, folder, python, root):
        """Return the command lines that train and evaluate this run."""
        args = options.parse_args(self.arguments)
        machine = [
            "--device",
            args.device,
            *(["--num_workers", str(args.num_workers)] if args.num_workers else []),
        ]
        where = ["--run_name", self.name, "--checkpoint_dir", args.checkpoint_dir, "--results_dir"]
        return [
            [python, str(root / "train.py"), *self.arguments],
            [
                python,
                str(root / "evaluate.py"),
                *where,
                str(self.result_path(folder).parent),
                *machine,
            ],
        ]

    def result_path(self, folder):
        """Return where the result file of this run lies."""
        return Path(folder) / "results" / self.name / f"{self.name}.json"

    def result(self, folder):
        """Return this run's result, None unless there is one by these arguments, on these data, of
        all epochs.
        """
        path = self.result_path(folder)
        if not path.exists():
            return None
        found = read_json(path)
        return found if isinstance(found, dict) and identity_of(found) == self.identity else None


def identity_of(result):
    """Return what makes a result that of one run and no other: arguments, data, labels, and whether
    it is complete.

    Windows are part of it where there are any: a study's own results are of whole images.
    """
    args = result.get("args") or {}
    tile = {"tile": result["tile"]} if result.get("tile") else {}
    return tile | {
        "args": {key: value for key, value in args.items() if key not in FREE},
        "fingerprint": result.get("fingerprint"),
        "labels": result.get("labels"),
        "epochs_done": result.get("epochs_done"),
    }


def parse_budget(word):
    """Turn '0.5h', '30m', '1800s' or '0.5' (hours) into hours."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)(h|min|m|s)?", word)
    hours = float(match[1]) * HOURS[match[2] or "h"] if match else 0
    if not hours:
        raise UserError(f"--budgets {word}: write a positive time such as 0.5h, 30m or 1800s")
    return hours


def name_mode(signals):
    """Return a mode's name in tables: 'tags + points'."""
    return " + ".join(signals)


def training_flags(steps, rest):
    """Return the flags of train.py that all cells share: those after `--`, and the length of a
    training.

    rest: the words after `--`; steps: optimiser steps of each run, or None
    """
    # A default put before `rest` tells whether `rest` itself has --epochs, in whatever spelling
    # argparse takes.
    usual, given, other = (
        vars(options.parse_args(["--supervision_mode", "full", *more]))
        for more in ([], ["--epochs", "1", *rest], ["--epochs", "2", *rest])
    )
    for key in sorted(OWN):
        if given[key] != (["full"] if key == "modes" else usual[key]):
            raise UserError(
                f"--{key} after --: belongs to the study itself; give it before the --, if it takes it"
            )
    own_epochs = given["epochs"] if given["epochs"] == other["epochs"] else None
    if steps is None and own_epochs:
        return rest
    epochs, steps = own_epochs or EPOCHS, STEPS if steps is None else steps
    if steps < epochs:
        raise UserError(f"--steps {steps}: must be at least the number of epochs, {epochs}")
    return [*rest, "--epochs", str(epochs), "--steps_per_epoch", str(-(-steps // epochs))]


class Grid:
    """All cells of a study, with their prices.

    cells     [Cell], seeds outermost: a study cut short has compared all modes on the first seeds
    nothing   {(mode, budget): [hours of the first image, ...]} for seeds that can buy none; they have no cell
    all_hours, image_hours  {mode: hours that all training images would take, and one of them on average}
    """

    def __init__(self, args, schedule):
        self.args, self.schedule = args, schedule
        self.modes = {name_mode(s): s for s in (parse_modes(mode.split()) for mode in args.modes)}
        self.budgets = sorted({parse_budget(word) for word in args.budgets})
        self.shared = training_flags(args.steps, args.rest)
        self.dataset = open_dataset(DataOptions.of(vars(args)))
        self.fingerprint = self.dataset.fingerprint()
        every = tuple(
            dict.fromkeys(signal for signals in self.modes.values() for signal in signals)
        )
        select_by = options.parse_args(["--supervision_mode", "full", *self.shared]).select_by
        asked = SimpleNamespace(
            modes=every,
            weak_label_path=args.weak_label_path,
            data_dir=args.data_dir,
            select_by=select_by,
        )
        self.labels = labels_of_run(asked, self.dataset, self.dataset.ids("train"))
        self.cells, self.nothing, self.all_hours, self.image_hours = [], {}, {}, {}
        for seed in range(args.seeds):
            order = training_order(self.dataset, seed)
            for mode, signals in self.modes.items():
                self.add(mode, signals, seed, order)

    def add(self, mode, signals, seed, order):
        """Add the cells of one mode and seed, whose budgets buy the first images of `order`."""
        spent = np.cumsum([self.price(name, signals) for name in order]) / 3600
        if not spent[-1]:
            raise UserError(
                f"--cost_schedule {self.schedule.name}: {mode} costs nothing, so no budget buys as much"
            )
        self.all_hours[mode], self.image_hours[mode] = (
            float(spent[-1]),
            float(spent[-1] / len(order)),
        )
        for budget in self.budgets:
            images = buys(spent, budget)
            if images and spent[images - 1] > 0:
                self.cells.append(self.cell(mode, signals, budget, seed, order[:images], spent))
            else:
                self.nothing.setdefault((mode, budget), []).append(float(spent[spent > 0][0]))

    def price(self, name, signals):
        """Return the seconds that one image's labels take."""
        costs = self.schedule.price_all(
            count_actions(self.labels[name], signals, len(self.dataset.class_names) - 1)
        )
        if costs is None:
            raise UserError(
                f"--cost_schedule {self.schedule.name}: has no price for {name_mode(signals)}; add it"
            )
        return sum(costs.values())

    def cell(self, mode, signals, budget, seed, names, spent):
        """Return one cell, its run named by everything that makes it what it is."""
        words = []
        for key in DATA:
            value = getattr(self.args, key)
            words += (
                [f"--{key}", *(map(str, value) if isinstance(value, list) else [str(value)])]
                if value
                else []
            )
        runs = str(Path(self.args.study_dir) / "runs")
        words += [
            "--supervision_modes",
            *signals,
            "--seed",
            str(seed),
            "--train_limit",
            str(len(names)),
            "--checkpoint_dir",
            runs,
            "--resume",
            "auto",
            *self.shared,
        ]
        wanted = options.parse_args(words)
        options.settle(wanted)
        used = {*names, *self.dataset.ids("val")}
        identity = identity_of(
            {
                "args": vars(wanted),
                "fingerprint": self.fingerprint,
                "labels": labels_digest(self.labels, used, signals),
                "epochs_done": wanted.epochs,
            }
        )
        mark = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
        run = f"{'_'.join(signals)}_{len(names)}images_seed{seed}_{mark}"
        identity["args"]["run_name"] = run
        everything = bool(budget > 1.0001 * spent[-1])
        return Cell(
            mode, budget, seed, len(names), everything, run, (*words, "--run_name", run), identity
        )


def buys(spent, budget):
    """Return how many images a budget buys: the most whose prices, summed in `spent` [N], are
    within it.
    """
    return int(np.searchsorted(spent, budget * (1 + 1e-9), side="right"))
