"""The grid of an equal-budget study: which images each budget buys of each kind of label."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from weakseg.common import UserError
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.costs import Schedule
from weakseg.labels.label_file import picture_of
from weakseg.labels.label_header import header
from weakseg.labels.label_record import read_record
from weakseg.labels.signals import (
    LISTS,
    annotations_of,
    count_actions,
    parse_modes,
    was_looked_at,
)
from weakseg.labels.training_labels import (
    all_masked,
    labels_digest,
    masks_used,
    read_training_labels,
    selection_signals,
    training_order,
)
from weakseg.planning.cell import (
    Cell,
    data_words,
    images_of,
    labels_of,
    named_words,
    run_of,
    tested_on,
)
from weakseg.planning.mixes import Mix, Purchase, kinds_bought, purchases
from weakseg.training.run import ANY

HOURS = {"h": 1.0, "m": 1 / 60, "min": 1 / 60, "s": 1 / 3600}


@dataclass(frozen=True)
class Study:
    """What an equal-budget study compares.

    modes     {name in tables: signals}
    mixes     {name in tables: {signal: its share of the hours}}
    budgets   hours of annotation, rising
    seeds     how many, from 0
    schedule  prices in seconds
    training  words of train.py that all runs share, see `weakseg.planning.cell.training_flags`
    folder    where runs, results and logs go
    """

    data: DataOptions
    weak_label_path: str
    modes: Mapping[str, tuple[str, ...]]
    budgets: tuple[float, ...]
    seeds: int
    schedule: Schedule
    training: tuple[str, ...]
    folder: Path
    mixes: Mapping[str, Mix] = field(default_factory=dict)


def parse_budget(word: str) -> float:
    """Turn '0.5h', '30m', '1800s' or '0.5' (hours) into hours; else raise `UserError`."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)(h|min|m|s)?", word)
    hours = float(match[1]) * HOURS[match[2] or "h"] if match else 0
    if not hours:
        raise UserError(f"--budgets {word}: write a positive time such as 0.5h, 30m or 1800s")
    return hours


def parse_study_modes(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Turn modes such as 'tags points' into {name: signals}; an unknown one is a `UserError`."""
    return {name_mode(signals): signals for signals in (parse_modes(w.split()) for w in words)}


def name_mode(signals: Sequence[str]) -> str:
    """Return a mode's name in tables: 'tags + points'."""
    return " + ".join(signals)


class Grid:
    """All cells of a study, with their prices.

    labels       {id: annotations} of the training images and of those that choose checkpoints
    val_ids      the latter
    selection    what chooses them, a name of `SELECTION`
    notes        lines for people: what the labels lack
    cells        seeds outermost: a study cut short has compared all modes on the first seeds
    left_out     {(mode, budget): [hours of the first image, ...]}, one for each seed whose budget
                 buys no image, and which so has no cell
    all_hours    {mode: hours that labelling all training images would take}
    image_hours  {mode: hours that one of them takes on average}
    """

    def __init__(self, study: Study) -> None:
        self.dataset = open_dataset(study.data)
        if not self.dataset.ids("test"):
            self.dataset.test_on(())  # says what is missing
        self.study = study = replace(study, data=study.data.of_data(self.dataset))
        self.data, self.tested = images_of(self.dataset), tested_on(self.dataset)
        run = run_of(["--supervision_mode", "full", *study.training])
        self.selection = run.of_data(self.dataset).selection
        groups = [*study.modes.values(), *study.mixes.values()]
        every = tuple(dict.fromkeys(signal for signals in groups for signal in signals))
        labels = read_training_labels(
            study.weak_label_path,
            self.dataset,
            self.dataset.ids("train"),
            every,
            self.selection,
            study.data.data_dir,
        )
        self.labels, self.val_ids, self.notes = labels.images, labels.val_ids, labels.notes
        self.cells: list[Cell] = []
        self.left_out: dict[tuple[str, float], list[float]] = {}
        self.all_hours: dict[str, float] = {}
        self.image_hours: dict[str, float] = {}
        for seed in range(study.seeds):
            order = training_order(self.dataset, seed)
            for mode, signals in study.modes.items():
                self.add(mode, signals, seed, order)
            for mode, mix in study.mixes.items():
                self.add_mix(mode, mix, seed, order)

    def add_mix(self, mode: str, mix: Mix, seed: int, order: Sequence[str]) -> None:
        """Add the cells of one mix and seed: each budget buys the first of the purchases."""
        bought = purchases(mix, order, self.price)
        spent = np.array([purchase.spent for purchase in bought])
        self.all_hours[mode] = float(spent[-1])
        self.image_hours[mode] = float(spent[-1] / len(order))
        for budget in self.study.budgets:
            kinds = kinds_bought(bought[: buys(spent, budget)])
            if {kind for several in kinds.values() for kind in several} == mix.keys():
                everything = bool(budget > 1.0001 * spent[-1])
                self.cells.append(self.mixed_cell(mode, mix, budget, seed, kinds, everything))
            else:  # a mix has each of its kinds
                firsts = (one.spent for one in bought if one.signal == last_kind(bought))
                self.left_out.setdefault((mode, budget), []).append(float(next(firsts)))

    def add(self, mode: str, signals: tuple[str, ...], seed: int, order: Sequence[str]) -> None:
        """Add the cells of one mode and seed, whose budgets buy the first images of `order`."""
        spent = np.cumsum([self.price(name, signals) for name in order]) / 3600
        if not spent[-1]:
            raise UserError(
                f"--cost_schedule {self.study.schedule.name}: {mode} costs nothing, "
                "so no budget buys as much"
            )
        self.all_hours[mode] = float(spent[-1])
        self.image_hours[mode] = float(spent[-1] / len(order))
        for budget in self.study.budgets:
            images = buys(spent, budget)
            if images and spent[images - 1] > 0:
                everything = bool(budget > 1.0001 * spent[-1])
                names = order[:images]
                self.cells.append(self.cell(mode, signals, budget, seed, names, everything))
            else:
                first = float(spent[spent > 0][0])
                self.left_out.setdefault((mode, budget), []).append(first)

    def price(self, name: str, signals: Sequence[str]) -> float:
        """Return the seconds that one image's labels take."""
        classes, has_background = len(self.dataset.object_names), self.dataset.has_background
        actions = count_actions(self.labels[name], signals, classes, has_background)
        costs = self.study.schedule.price_all(actions, was_looked_at(actions))
        if costs is None:
            raise UserError(
                f"--cost_schedule {self.study.schedule.name}: "
                f"has no price for {name_mode(signals)}; add it"
            )
        return sum(costs.values())

    def cell(
        self,
        mode: str,
        signals: tuple[str, ...],
        budget: float,
        seed: int,
        names: Sequence[str],
        everything: bool,
    ) -> Cell:
        """Return one cell, which trains on the images `names`."""
        words = data_words(self.study.data, self.study.weak_label_path)
        words += ["--supervision_modes", *signals, *self.common_words(seed, len(names))]
        used = {*names, *self.val_ids}
        masks = masks_used(self.dataset, self.labels, names, signals)
        selected_with = selection_signals(signals, self.selection)
        masks |= masks_used(self.dataset, self.labels, self.val_ids, selected_with)
        digest = labels_digest(self.labels, used, signals, masks)
        data = {**self.data, **labels_of(self.dataset, digest, masks)}
        words += self.study.training
        named, run, identity = named_words(
            words,
            len(names),
            data,
            self.study.folder,
            signals,
            all_masked(self.labels, names, signals),
        )
        return Cell(mode, budget, seed, len(names), everything, named, run, identity, self.tested)

    def mixed_cell(
        self,
        mode: str,
        mix: Mix,
        budget: float,
        seed: int,
        kinds: Mapping[str, Sequence[str]],
        everything: bool,
    ) -> Cell:
        """Return one cell of a mix, which trains on images that have labels of these kinds."""
        signals = tuple(mix)
        selected_with = selection_signals(signals, self.selection)
        needed = tuple(dict.fromkeys((*signals, *selected_with)))
        given = {name: annotations_of(self.labels[name], kinds[name]) for name in kinds}
        given |= {name: annotations_of(self.labels[name], needed) for name in self.val_ids}
        for name, record in given.items():
            record["size"] = self.labels[name]["size"]
        # As the run will read them: what was not bought is missing.
        seen = {
            name: read_record(
                record, picture_of(self.dataset, name, True), needed, LISTS, may_lack=True
            )
            for name, record in given.items()
        }
        masks = masks_used(self.dataset, seen, kinds, signals)
        masks |= masks_used(self.dataset, seen, self.val_ids, selected_with)
        digest = labels_digest(seen, seen, signals, masks)
        path = self.study.folder / "labels" / f"{'_'.join(signals)}_seed{seed}_{digest}.pkl"
        words = data_words(self.study.data, str(path))
        words += ["--supervision_mode", ANY, *self.common_words(seed, len(kinds))]
        named, run, identity = named_words(
            [*words, *self.study.training],
            len(kinds),
            {**self.data, **labels_of(self.dataset, digest, masks)},
            self.study.folder,
            signals,
            all_masked(seen, kinds, signals),
        )
        head = header(self.dataset, seed, {"mix": mode})
        images = len(kinds)
        return Cell(
            *(mode, budget, seed, images, everything, named, run, identity, self.tested),
            labels=(path, head, given),
        )

    def common_words(self, seed: int, images: int) -> list[str]:
        """Return the flags of train.py that say how many images, which seed, and where to."""
        words = ["--seed", str(seed), "--train_limit", str(images)]
        words += ["--checkpoint_dir", str(self.study.folder / "runs"), "--resume", "auto"]
        return words + (["--select_by", "last"] if self.selection == "last" else [])


def last_kind(bought: Sequence[Purchase]) -> str:
    """Return the kind of label that is bought last for the first time."""
    first: dict[str, int] = {}
    for number, one in enumerate(bought):
        first.setdefault(one.signal, number)
    return max(first, key=first.__getitem__)


def buys(spent: np.ndarray, budget: float) -> int:
    """Return how many images a budget buys: the most whose prices are within it.

    spent: [N] the sums of the prices of the first 1, 2, ... images
    """
    return int(np.searchsorted(spent, budget * (1 + 1e-9), side="right"))
