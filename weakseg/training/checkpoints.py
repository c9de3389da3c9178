"""The folder of a run, `<checkpoint_dir>/<run_name>/`: `best.pt`, `last.pt`, `log.jsonl`.

Checkpoints hold plain values and tensors only, so loading one runs no code.
"""

import contextlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from weakseg.common import UserError, atomic_path
from weakseg.learners.checkpoint_file import (
    CONTENT,
    OPTIONAL,
    load_checkpoint,
    refuse_faults,
)
from weakseg.shortage import explained
from weakseg.training.run import FORMER, FREE, LATER, TrainingRun
from weakseg.validation import shorten

# What checkpoints say of what a run learns from, in words.
LEARNT_FROM = {
    "task": "classes",
    "fingerprint": "images",
    "contents": "images",
    "labels": "labels",
    "mask_contents": "labels",
    "encoder": "weights of the encoder",
}
UNKNOWN_BEFORE = {"contents", "mask_contents"}  # of these, those that earlier versions don't say
FILES = (
    "best.pt",
    "last.pt",
    "log.jsonl",
    "cross_validation.csv",
    "labels.png",
    "curves.png",
    "pseudo_masks",
)
EVENTS = "events.out.tfevents*"  # TensorBoard's


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically; what the disk refuses is a `UserError`."""
    try:
        with atomic_path(path) as temporary:
            torch.save(dict(content), temporary)
    except RuntimeError as error:
        words = explained(error)
        if words is None:
            raise
        raise UserError(f"{path}: {words}") from error


def save_best(folder: Path, content: Mapping[str, Any]) -> None:
    """Write best.pt from the content of last.pt.

    last.pt is written first and says whether its epoch was selected, so a kill between the two
    loses nothing.
    """
    save_checkpoint(folder / "best.pt", content_of_best(content))


def content_of_best(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what best.pt holds of the content of last.pt."""
    kept = (*sorted(CONTENT), "commit", "epoch", "best", *sorted(OPTIONAL & content.keys()))
    return {key: content[key] for key in kept}


def mend_best(folder: Path, content: Mapping[str, Any]) -> None:
    """Write best.pt from the content of last.pt unless it is there; its bytes stay if it is."""
    path = folder / "best.pt"
    with contextlib.suppress(UserError):
        if path.exists() and alike(load_checkpoint(path), content_of_best(content)):
            return
    save_best(folder, content)


def alike(one: Any, other: Any) -> bool:
    """Return whether two contents of checkpoints are equal."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return type(one) is type(other) and bool(one == other)


def find_checkpoint(run: TrainingRun) -> dict[str, Any] | None:
    """Return the checkpoint that a run goes on from, None where it starts anew.

    Raises `UserError` rather than touch a run that nobody asked to change.
    """
    folder, last = run.folder, run.folder / "last.pt"
    if run.resume == "must" or (run.resume == "auto" and last.exists()):
        checkpoint = load_checkpoint(last)
        refuse_other_flags(run, checkpoint["args"])
        refuse_faults(last, *faults_of_progress(checkpoint))
        return checkpoint
    foreign = [
        path.name
        for path in folder.glob("[!.]*")
        if path.name not in FILES and not path.match(EVENTS)
    ]
    if foreign:
        raise UserError(
            f"{folder}: holds {min(foreign)}, which is no part of a run; take another --run_name"
        )
    if any((folder / name).exists() for name in ("best.pt", "last.pt")) and not run.overwrite:
        raise UserError(
            f"{folder}: this run exists; go on with --resume, replace it with --overwrite, or take "
            "another --run_name"
        )
    return None


def finished(run: TrainingRun) -> dict[str, Any] | None:
    """Return the content of last.pt where nothing is left to train, so that no data are needed.

    None for a probe, which is fitted again when its labels or images have changed.
    """
    last = run.folder / "last.pt"
    if run.learner == "probe" or not run.resume or not last.exists():
        return None
    checkpoint = load_checkpoint(last)
    # What nobody gives, the data and the labels decided.
    given: dict[str, Any] = {"value_range": run.value_range, "select_by": run.select_by}
    given |= {"modes": run.signals, "class_names": run.class_names}
    given |= {"no_background": run.no_background}
    undecided = {flag for flag, value in given.items() if not value}
    refuse_other_flags(run, checkpoint["args"], undecided)
    refuse_faults(last, *faults_of_progress(checkpoint))
    return checkpoint if checkpoint["epoch"] >= run.epochs else None


def faults_of_progress(content: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return, in words, what of a last.pt's progress is lacking, and what is damaged."""
    kinds: dict[str, Any] = {"epoch": int, "best": float | int | None, "selected": bool}
    lacking = [f"the entry {name}" for name in kinds if name not in content]
    damage = [
        f"the entry {name} is {shorten(repr(content[name]))}"
        for name, kind in kinds.items()
        if name in content and not isinstance(content[name], kind)
    ]
    return lacking, damage


def refuse_other_flags(
    run: TrainingRun, recorded: Mapping[str, Any], undecided: Collection[str] = ()
) -> None:
    """Refuse to go on with a run whose flags, as its checkpoint records them, were others.

    So is one that had a loss which there is no longer.
    undecided: flags that may differ besides
    """
    for flag, without in FORMER.items():
        if recorded.get(flag, without) not in (without, 0):
            raise UserError(
                f"{run.folder / 'last.pt'}: was trained with {flag} = {recorded[flag]}, which "
                "train.py no longer has; take another --run_name"
            )
    # What kinds of label there are may change, and a probe is fitted to them again.
    free = FREE | ({"modes"} if run.takes_any and run.learner == "probe" else set())
    free |= {*undecided}
    for flag, now in run.recorded().items():
        before = recorded.get(flag, LATER.get(flag))
        if flag not in free and before != now:
            raise UserError(
                f"{run.folder / 'last.pt'}: was trained with {flag} = {before}, not {now}; "
                "keep it, or take another --run_name"
            )


def other_data(checkpoint: Mapping[str, Any], description: Mapping[str, Any]) -> list[str]:
    """Return which of `LEARNT_FROM`, as far as described, a run began with others of."""
    told = [key for key in LEARNT_FROM if key in checkpoint or key not in UNKNOWN_BEFORE]
    return [key for key in told if key in description and checkpoint.get(key) != description[key]]


def in_words(changed: Iterable[str]) -> str:
    """Return what some of `LEARNT_FROM` are called: "images and labels"."""
    return " and ".join(dict.fromkeys(LEARNT_FROM[key] for key in changed))


def refuse_other_data(
    checkpoint: Mapping[str, Any],
    description: Mapping[str, Any],
    folder: Path,
    may_differ: Collection[str] = (),
) -> None:
    """Refuse to go on with other images, labels or frozen features than the run began with.

    may_differ: of `LEARNT_FROM`
    """
    for key in other_data(checkpoint, description):
        if key not in may_differ:
            raise UserError(
                f"{folder}: this run began with other {LEARNT_FROM[key]}; restore them, take "
                "another --run_name, or train anew with --overwrite in place of --resume"
            )


def lock_path(folder: str | Path) -> Path:
    """Return the file whose lock a training holds, beside the folder, which may not exist yet."""
    return Path(folder).parent / f".{Path(folder).name}.lock"


@contextlib.contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Keep other processes from training the run in `folder` meanwhile.

    Of a group of processes that train together, the first takes the lock.
    """
    lock = FileLock(lock_path(folder), timeout=0)
    if os.environ.get("RANK", "0") == "0":
        try:
            lock.acquire()
        except Timeout as error:
            raise UserError(
                f"{folder}: another process is training this run; wait for it, or stop it"
            ) from error
    try:
        yield
    finally:
        lock.release()


def run_files(folder: Path) -> list[Path]:
    """Return the files of a run that are there: what a new run of the same name replaces."""
    own = [path for path in folder.glob("*") if path.name in FILES or path.match(EVENTS)]
    return own + leftovers(folder)


def leftovers(folder: Path) -> list[Path]:
    """Return the temporary files that a kill in the middle of a write left behind."""
    stems = {Path(name).stem for name in FILES}
    return [path for path in folder.glob(".*") if path.name.split(".")[1] in stems]


class Log:
    """`log.jsonl`: one JSON line an epoch.

    keys: what each line has; one without them, which a kill cut short or which is damaged, is none
    """

    def __init__(self, path: str | Path, keys: Collection[str] = ("epoch", "selected")) -> None:
        self.path, self.keys = Path(path), keys

    def read(self) -> list[dict[str, Any]]:
        """Return all whole lines."""
        lines: list[dict[str, Any]] = []
        text = self.path.read_text(errors="replace") if self.path.exists() else ""
        for words in text.splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                line = json.loads(words)
                is_whole = isinstance(line, dict) and line.keys() >= set(self.keys)
                if is_whole and ("epoch" not in self.keys or isinstance(line["epoch"], int)):
                    lines.append(line)
        return lines

    def keep_until(self, epoch: int) -> None:
        """Drop the lines of epochs after `epoch`; a resumed run writes them again."""
        self.replace(line for line in self.read() if line["epoch"] <= epoch)

    def replace(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write these epochs in place of all others, atomically."""
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
        with atomic_path(self.path) as temporary:
            temporary.write_text(text)

    def append(self, line: Mapping[str, Any]) -> None:
        """Add one epoch."""
        with self.path.open("a") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
