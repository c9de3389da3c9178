"""One cell of a study's grid: the run of train.py that stands for its mode, budget and seed."""

import copy
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from weakseg.common import UserError, read_json
from weakseg.data.base import SegmentationDataset
from weakseg.data.contents import short_hash
from weakseg.data.datasets import DataOptions
from weakseg.evaluation.results import read_result
from weakseg.labels.label_file import save_labels
from weakseg.training import options
from weakseg.training.probe_options import ProbeOptions
from weakseg.training.run import FORMER, FREE, LATER, TrainingRun

TESTED = ("test_fingerprint", "test_contents")  # what results say of their test sets
# What results say that files hold; those of earlier versions don't.
CONTENTS = ("contents", "mask_contents", "test_contents")
LEARNER = "probe"  # of every run, unless the user says otherwise
EPOCHS, STEPS = 10, 1000  # of every network, unless the user says otherwise
DATA = (
    "data_dir",
    "dataset",
    "classes",
    "class_names",
    "tag_set",
    "val_fraction",
    "split_seed",
    "cache_dir",
    "no_background",
    "mask_values",
    "mask_ignore",
    "page",
    "channels",
    "value_range",
    "weak_label_path",
)
EVALUATED = ("comparison.png", "table.md", "cost.png")  # what evaluate.py writes after a result
# Flags of train.py that a study gives its runs itself.
OWN = (
    "modes",
    "run_name",
    "checkpoint_dir",
    "seed",
    "train_limit",
    "steps_per_epoch",
    "resume",
    "overwrite",
    *DATA,
)
# Flags of train.py that mean something to the probe, besides its own options.
OF_PROBE = {"learner", "img_size", "encoder", "encoder_weights", *FREE}


@dataclass(frozen=True)
class Cell:
    """One mode, budget and seed, and the run that stands for it.

    budget      hours of annotation
    images      how many it buys
    everything  whether it would have paid for more images than there are
    words       of the command line of train.py
    run         what these words ask for
    identity    what a result file must say to be this run's, see `identity_of`
    tested      {key: value} that a result on the test set as it is has, see `tested_on`
    labels      the weak-label file that it alone learns from: (path, header, labels by id)
    """

    mode: str
    budget: float
    seed: int
    images: int
    everything: bool
    words: tuple[str, ...]
    run: TrainingRun
    identity: dict[str, Any]
    tested: Mapping[str, str]
    labels: tuple[Path, dict[str, Any], dict[str, Any]] | None = None

    def write_labels(self) -> None:
        """Write the weak-label file that this run alone learns from, if there is one."""
        if self.labels:
            path, head, images = self.labels
            save_labels(path, head, len(images), images.items())

    @property
    def name(self) -> str:
        """The name of the run, which tells it from any other."""
        return self.run.run_name

    def commands(self, folder: Path, python: str, root: Path) -> list[list[str]]:
        """Return the command lines that train and evaluate this run.

        folder: of the study; root: where the commands lie
        """
        evaluation = ["--run_name", self.name, "--checkpoint_dir", self.run.checkpoint_dir]
        evaluation += ["--results_dir", str(self.result_path(folder).parent)]
        evaluation += ["--device", self.run.device]
        if self.run.num_workers:
            evaluation += ["--num_workers", str(self.run.num_workers)]
        if self.run.threads:
            evaluation += ["--threads", str(self.run.threads)]
        return [
            [python, str(root / "train.py"), *self.words],
            [python, str(root / "evaluate.py"), *evaluation],
        ]

    def result_path(self, folder: str | Path) -> Path:
        """Return where the result file of this run lies, in the folder of the study."""
        return result_path(Path(folder), self.name)

    def result(self, folder: str | Path) -> dict[str, Any] | None:
        """Return the content of this run's result file.

        None unless there is one by these arguments, on these data, of all epochs, tested on what
        the test set is, with the other files that an evaluation writes: a damaged one is made anew.
        """
        content = self._own_result(folder)
        return content if content and self._is_tested_now(content) else None

    def is_tested_otherwise(self, folder: str | Path) -> bool:
        """Return whether this run has a result, on test images or masks that changed since."""
        content = self._own_result(folder)
        return content is not None and not self._is_tested_now(content)

    def _own_result(self, folder: str | Path) -> dict[str, Any] | None:
        path = self.result_path(folder)
        if not all(file.exists() for file in (path, *map(path.with_name, EVALUATED))):
            return None
        try:
            content = read_result(path)
        except UserError:
            return None
        is_own = content and agree(identity_of(content), self.identity)
        return content if is_own else None

    def _is_tested_now(self, content: Mapping[str, Any]) -> bool:
        return agree({key: content.get(key) for key in TESTED}, self.tested)


def result_path(folder: Path, name: str) -> Path:
    """Return where the result file of a run lies, in the folder of a study."""
    return folder / "results" / name / f"{name}.json"


def agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two tables are equal, but for what files hold where one doesn't say it."""
    lacking = {key for key in CONTENTS if one.get(key) is None or other.get(key) is None}
    return all(one.get(key) == other.get(key) for key in {*one, *other} - lacking)


def tested_on(dataset: SegmentationDataset) -> dict[str, str]:
    """Return what a result says of the test set, whose images without a mask don't count."""
    masked = dataset.masked(dataset.ids("test"))
    dataset = copy.copy(dataset)
    if masked:
        dataset.test_on(masked)
    return {
        "test_fingerprint": dataset.test_fingerprint(),
        "test_contents": dataset.test_contents(),
    }


def identity_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells a result from that of any other run: arguments, data, labels, epochs done.

    Windows are part of it where there are any: a study's own results are of whole images.
    """
    # A study that was begun earlier finds its runs: former flags stand in every identity, and later
    # ones in none where they change nothing.
    args = FORMER | (result.get("args") or {})
    args = {key: value for key, value in args.items() if (key, value) not in LATER.items()}
    tile = {"tile": result["tile"]} if result.get("tile") else {}
    return tile | {
        "args": {key: value for key, value in args.items() if key not in FREE},
        "fingerprint": result.get("fingerprint"),
        "labels": result.get("labels"),
        "epochs_done": result.get("epochs_done"),
        **{key: result[key] for key in CONTENTS if result.get(key) and key not in TESTED},
    }


def named_words(
    words: Sequence[str],
    images: int,
    data: Mapping[str, str],
    folder: Path,
    signals: tuple[str, ...],
    all_masks: bool,
) -> tuple[tuple[str, ...], TrainingRun, dict[str, Any]]:
    """Name the run of some words of train.py -> (words with --run_name, the run, its identity).

    The name holds a digest of everything that makes the run what it is. A run that an earlier
    version began in the folder of the study keeps its name, which holds no contents of files.

    data: of `images_of` and `labels_of`
    signals, all_masks: what train.py takes from the labels, see `TrainingRun.of_labels`
    """

    def settled(words: Sequence[str]) -> TrainingRun:
        return replace(run_of(words), signals=signals, all_masks=all_masks)

    run = settled(words)
    described = {**data, "epochs_done": run.last_epoch}
    unnamed = identity_of({"args": run.recorded(), **described})
    begin = f"{'_'.join(run.signals)}_{images}images_seed{run.seed}"
    name = f"{begin}_{digest_of({key: unnamed[key] for key in {*unnamed} - {*CONTENTS}})}"
    if not is_begun(folder, name, unnamed):
        name = f"{begin}_{digest_of(unnamed)}"
    named = (*words, "--run_name", name)
    run = settled(named)
    return named, run, identity_of({"args": run.recorded(), **described})


def digest_of(identity: Mapping[str, Any]) -> str:
    """Return 8 letters that stand for what makes a run what it is."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


def is_begun(folder: Path, name: str, identity: Mapping[str, Any]) -> bool:
    """Return whether a run of a name is in the folder of a study, of files that hold the same."""
    path = result_path(folder, name)
    if not path.exists():
        return (folder / "runs" / name).exists()
    try:
        content = read_json(path)
    except UserError:
        return True
    told = [key for key in CONTENTS if isinstance(content, dict) and content.get(key)]
    return all(content[key] == identity[key] for key in told if key in identity)


def images_of(dataset: SegmentationDataset) -> dict[str, str]:
    """Return what results say of the images of a data set."""
    return {"fingerprint": dataset.fingerprint(), "contents": dataset.contents()}


def labels_of(dataset: SegmentationDataset, digest: str, masks: Collection[str]) -> dict[str, str]:
    """Return what results say of the labels that a run learns from.

    digest: of its annotations; masks: ids of the images whose masks are among them
    """
    return {"labels": digest, "mask_contents": short_hash([dataset.mask_contents(masks)])}


def run_of(words: Sequence[str]) -> TrainingRun:
    """Return the run that the words of a command line ask train.py for."""
    return TrainingRun.of_flags(vars(options.parse_args(words)))


def data_words(data: DataOptions, weak_label_path: str) -> list[str]:
    """Return the flags of train.py that say which images and labels."""
    words: list[str] = []
    for flag in DATA:
        value = weak_label_path if flag == "weak_label_path" else getattr(data, flag)
        if value is True:
            words += [f"--{flag}"]
        elif value:
            words += [f"--{flag}", *map(str, value if isinstance(value, tuple) else [value])]
    return words


def training_flags(steps: int | None, rest: Sequence[str]) -> tuple[str, ...]:
    """Return the flags of train.py that all runs of a study share: learner, `rest` and length.

    steps: optimiser steps of each network, None for the usual number; the probe has none
    rest: the words after `--`; one that belongs to the study, or that the learner has no use for,
        is a `UserError`
    """
    begin = "--supervision_mode", "full", "--learner", LEARNER
    # A default put before `rest` tells whether `rest` itself has --epochs, in whatever spelling
    # argparse takes.
    usual, given, other = (
        run_of([*begin, *words]).recorded()
        for words in ([], ["--epochs", "1", *rest], ["--epochs", "2", *rest])
    )
    for flag in sorted(OWN):
        if given[flag] != usual[flag]:
            raise UserError(
                f"--{flag} after --: belongs to the study itself; "
                "give it before the --, if it takes it"
            )
    own_epochs = given["epochs"] if given["epochs"] == other["epochs"] else None
    if given["learner"] == "probe":
        refuse_flags_of_networks(steps, usual, given | {"epochs": own_epochs or usual["epochs"]})
        return "--learner", LEARNER, *rest
    if steps is None and own_epochs:
        return tuple(rest)
    epochs, steps = own_epochs or EPOCHS, STEPS if steps is None else steps
    if steps < epochs:
        raise UserError(f"--steps {steps}: must be at least the number of epochs, {epochs}")
    return *rest, "--epochs", str(epochs), "--steps_per_epoch", str(-(-steps // epochs))


def refuse_flags_of_networks(
    steps: int | None, usual: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """Raise `UserError` with the first flag that only a network has use for.

    steps: of --steps; usual, given: {flag: value} of train.py by default, and as the user says
    """
    way_out = "leave it out, or train networks with -- --learner unet"
    if steps is not None:
        raise UserError(f"--steps: the probe is fitted without steps; {way_out}")
    of_probe = OF_PROBE | {option.name for option in fields(ProbeOptions)}
    for flag, value in given.items():
        if flag not in of_probe and value != usual[flag]:
            raise UserError(f"--{flag} after --: the probe has no use for it; {way_out}")
