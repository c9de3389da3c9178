"""Processes that end when the one that started them does, however that one ended."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PARENT = "WEAKSEG_PARENT"  # environment variable: the process with which a command ends
INTERVAL = 0.5  # seconds between two looks at the parent
_watched = threading.Event()


@dataclass(frozen=True)
class Tied:
    """A function for a worker process, which ends with the process that hands it out.

    parent: that process's id
    """

    function: Callable[..., Any]
    parent: int

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        end_with(self.parent)
        return self.function(*arguments, **options)


def end_with(parent: int) -> None:
    """Stop this process, as SIGTERM does, when its parent is gone.

    parent: the id that it must have; of any other process, as of workers on a cluster, nothing
    follows
    """
    if os.getppid() == parent and not _watched.is_set():
        _watched.set()
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(INTERVAL)
    os.kill(os.getpid(), signal.SIGTERM)
