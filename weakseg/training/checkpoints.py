"""Run directories `<checkpoint_dir>/<run_name>/`: `best.pt`, `last.pt`, `log.jsonl`.

Checkpoints hold plain values and tensors only, so loading one runs no code.
"""

import contextlib
import json
import os
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from weakseg.common import UserError, atomic_path
from weakseg.inference.weights import read_tensors

CONTENT = {
    "model",
    "args",
    "task",
    "cost",
    "selection",
    "fingerprint",
    "test_fingerprint",
    "labels",
}
FILES = ("best.pt", "last.pt", "log.jsonl", "curves.png", "pseudo_masks")
EVENTS = "events.out.tfevents*"


def save_checkpoint(path, content):
    """Write a checkpoint atomically."""
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def save_best(folder, content):
    """Write best.pt from the content of last.pt.

    last.pt is written first and says whether its epoch was selected, so a kill between the two
    loses nothing.
    """
    save_checkpoint(
        folder / "best.pt",
        {key: content[key] for key in (*sorted(CONTENT), "commit", "epoch", "best")},
    )


def load_checkpoint(path):
    """Read a checkpoint written by train.py; any other file is a `UserError`."""
    if not Path(path).exists():
        raise UserError(
            f"{path}: no such checkpoint; train the run first, or wait for an epoch that can be selected"
        )
    content = read_tensors(path, "checkpoint")
    if not isinstance(content, dict) or not CONTENT <= content.keys():
        raise UserError(f"{path}: not a checkpoint of train.py")
    return content


def run_folder(args):
    """Return the folder of the run that the arguments name."""
    return Path(args.checkpoint_dir) / args.run_name


def find_run(args, free):
    """Return (folder, checkpoint to go on from or None), refusing to touch a run that nobody asked
    to change.

    free: names of the arguments that may differ between a run and its resumption.
    """
    folder = run_folder(args)
    last = folder / "last.pt"
    if args.resume == "must" or (args.resume == "auto" and last.exists()):
        checkpoint = load_checkpoint(last)
        changed = [
            k for k, v in vars(args).items() if k not in free and checkpoint["args"].get(k) != v
        ]
        if changed:
            before, now = checkpoint["args"].get(changed[0]), getattr(args, changed[0])
            raise UserError(
                f"{last}: was trained with {changed[0]} = {before}, not {now}; keep it, or take another --run_name"
            )
        return folder, checkpoint
    started = [name for name in ("best.pt", "last.pt") if (folder / name).exists()]
    foreign = [
        path.name
        for path in folder.glob("[!.]*")
        if path.name not in FILES and not path.match(EVENTS)
    ]
    if foreign:
        raise UserError(
            f"{folder}: holds {min(foreign)}, which is no part of a run; take another --run_name"
        )
    if started and not args.overwrite:
        raise UserError(
            f"{folder}: this run exists; go on with --resume, replace it with --overwrite, or take another --run_name"
        )
    return folder, None


def lock_path(folder):
    """Return the file whose lock a training holds; it lies beside the run's folder, which may not
    be there yet.
    """
    return Path(folder).parent / f".{Path(folder).name}.lock"


@contextlib.contextmanager
def lock_run(folder):
    """Keep other processes from training the run in `folder` meanwhile; of a group of processes the
    first does.
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


def run_files(folder):
    """Return the files of a run that are there, and no others: what a new run of the same name
    replaces.
    """
    return [
        path for path in folder.glob("*") if path.name in FILES or path.match(EVENTS)
    ] + leftovers(folder)


def leftovers(folder):
    """Return the temporary files that a kill in the middle of a write left behind."""
    return [
        path
        for path in folder.glob(".*")
        if path.name.split(".")[1] in {Path(name).stem for name in FILES}
    ]


def refuse_other_data(checkpoint, describe, folder):
    """A resumed run must go on with the images and labels that it began with."""
    for key in ("task", "fingerprint", "labels"):
        if checkpoint.get(key) != describe[key]:
            raise UserError(
                f"{folder}: this run began with other data or labels ({key} differs); restore them, or take another "
                "--run_name"
            )


class Log:
    """`log.jsonl`: one JSON line an epoch."""

    def __init__(self, path):
        self.path = Path(path)

    def read(self):
        """Return all complete lines as dicts; a line that a kill cut short is left out."""
        lines = []
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            try:
                lines.append(json.loads(line))
            except ValueError:
                break
        return lines

    def keep_until(self, epoch):
        """Drop the lines of epochs after `epoch`; a resumed run writes them again."""
        kept = [line for line in self.read() if line["epoch"] <= epoch]
        with atomic_path(self.path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def append(self, line):
        """Add one epoch."""
        with self.path.open("a") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
