"""Commands in processes that are forked from one which has imported everything.

A kill then falls into the work of a command, not into the import of PyTorch.
"""

import contextlib
import importlib
import multiprocessing
import os
import sys
import threading

LIMIT = 600  # seconds for a command that takes some, where others run beside it
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["train", "evaluate", "weak_label_generator", "weakseg.training.loop", "vlm_itl.loop", "model"]
)


def work(module, words, folder, log):
    """Run a command in a folder, with its output in a file, as the main program of a process."""
    os.chdir(folder)
    sys.argv = [f"{module.rpartition('.')[2]}.py", *words]
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    command = importlib.import_module(module)

    from weakseg.common import run_cli

    try:
        run_cli(command.main, command.parse_args)
    finally:  # as a main program ends: else multiprocessing waits minutes for idle workers of loky
        threading._shutdown()


def start(module, words, folder, log):
    """Start a command -> its process."""
    process = CONTEXT.Process(target=work, args=(module, [*map(str, words)], folder, log))
    process.start()
    return process


def finish(module, words, folder, log):
    """Run a command to its end, which must be a good one."""
    process = start(module, words, folder, log)
    process.join(LIMIT)
    if process.exitcode != 0:
        with contextlib.suppress(OSError):
            print(open(log).read()[-3000:])
    assert process.exitcode == 0, (module, words, process.exitcode)
