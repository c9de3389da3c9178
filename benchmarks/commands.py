"""Runs the project's commands as a user does: each in a process of its own, from the root."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def flags(**values):
    """Return {name: value} as the words of a command line: `flags(seed=0)` is ["--seed", "0"].

    True stands for a flag without a value, False for its --no- form; None leaves it out, a list
    gives it several values.
    """
    words = []
    for name, value in values.items():
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        elif value is not None:
            several = value if isinstance(value, (list, tuple)) else [value]
            words += [f"--{name}", *map(str, several)]
    return words


def run(*words, threads=None, show=False, **environment):
    """Run Python from the root -> (seconds, what it printed); its failure is a `RuntimeError`.

    threads: of OpenMP; None: as many as it takes of its own accord
    show: let its output through instead of returning it
    environment: further variables for the process
    """
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        capture_output=not show,
        text=True,
        env=os.environ | environment,
    )
    if done.returncode:
        command = " ".join(map(str, words))
        raise RuntimeError(f"{command} failed:\n{(done.stderr or '')[-2000:]}")
    return time.perf_counter() - began, done.stdout


def prepare(folder, data_dir=None, trainval=60, test=1, size=500):
    """Put a data set's weak labels into `folder` -> the data set's folder.

    data_dir: the data set; None: shapes are drawn in `folder`, `size` pixels long
    """
    if data_dir is None:
        from weakseg.data.synthetic import draw_shapes

        data_dir = folder / "shapes"
        draw_shapes(data_dir, trainval=trainval, test=test, size=size, seed=0)
    data_dir = Path(data_dir).resolve()
    words = flags(data_dir=data_dir, cache_dir=folder / "cache", output_file=folder / "labels.pkl")
    run("weak_label_generator.py", *words)
    return data_dir


def train(folder, data_dir, name, launcher=(), environment=None, **values):
    """Train a run with train.py on the CPU -> the lines of its log, a dict for each epoch.

    folder: holds labels.pkl (see `prepare`), cache/ and runs/
    launcher: words before train.py; environment: further variables
    values: further flags, see `flags`
    """
    words = flags(
        run_name=name,
        data_dir=data_dir,
        weak_label_path=folder / "labels.pkl",
        cache_dir=folder / "cache",
        checkpoint_dir=folder / "runs",
        device="cpu",
        **values,
    )
    run(*launcher, "train.py", *words, **(environment or {}))
    return read_log(folder / "runs" / name)


def publish(path, text):
    """Write a table to a file, at once or not at all, and print it."""
    from weakseg.common import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n")
    print(text)


def read_log(run_folder):
    """Return the lines of a run's log.jsonl, a dict for each epoch."""
    lines = (run_folder / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
