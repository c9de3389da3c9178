"""Where tasks run: in this process, on this machine, or on a Dask or Ray cluster, all by joblib."""

import argparse
import contextlib
import os
import site
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weakseg.common import UserError
from weakseg.parent import Tied

if TYPE_CHECKING:
    from joblib import ParallelBackendBase

ROOT = str(Path(__file__).resolve().parents[1])  # of the checkout: what workers import lies there
PATIENCE = 10  # seconds that the first worker of a Dask cluster may take to come
RETURN = 60  # seconds after which Dask's workers on this machine, all of which died, come no more
AHEAD = 64  # tasks a worker whose results may wait for their reader, so that memory stays flat


class WorkersDied(UserError):
    """Workers died at their tasks, by a kill or for want of memory."""


@dataclass(frozen=True)
class Workers:
    """Where tasks run, and how many at a time.

    backend: a name in `BACKENDS`
    cluster: address of a Dask scheduler or a Ray head, None to start one here
    jobs: tasks at a time, -1 for all cores; a cluster has its own number
    """

    backend: str
    cluster: str | None = None
    jobs: int = -1

    def __post_init__(self) -> None:
        if self.cluster and not BACKENDS[self.backend]:
            raise UserError(
                f"--cluster {self.cluster}: has no use for --backend {self.backend}; "
                "take dask or ray"
            )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Workers":
        """Take --backend, --cluster and --jobs out of a command line's flags."""
        return cls(given["backend"], given["cluster"], given["jobs"])

    @property
    def flag(self) -> str:
        """The flag that an error about these workers names."""
        return f"--cluster {self.cluster}" if self.cluster else f"--backend {self.backend}"


def add_backend_arguments(
    group: argparse._ArgumentGroup, names: Iterable[str], default: str
) -> None:
    """Add --backend and --cluster to a group of flags."""
    group.add_argument(
        "--backend",
        choices=names,
        default=default,
        help="of joblib; dask and ray use the machines of a cluster, which share these folders; "
        f"ray reports late (default: {default})",
    )
    group.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="of the Dask scheduler or Ray head (default: start one)",
    )


@dataclass(frozen=True)
class Started:
    """A backend that is ready: what joblib calls it, and the errors of tasks whose workers died."""

    backend: "str | ParallelBackendBase"
    died: tuple[type[BaseException], ...]


def start_dask(workers: Workers, stack: contextlib.ExitStack) -> Started:
    """Connect to the Dask scheduler of --cluster, or start workers here, until `stack` is closed.

    Dask starts a worker that died anew, but gives it up where it dies before it is up: its tasks
    would wait for ever once all are given up.

    Raises `OSError` where the cluster can't be reached or doesn't see this folder.
    """
    import dask
    from dask.distributed import Client, KilledWorker
    from distributed.scheduler import NoValidWorkerError, NoWorkerError
    from joblib import ParallelBackendBase, effective_n_jobs

    if workers.cluster:
        client = stack.enter_context(Client(workers.cluster))
    else:
        jobs = effective_n_jobs(workers.jobs)
        with dask.config.set({"distributed.scheduler.no-workers-timeout": RETURN}):
            client = stack.enter_context(
                Client(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
            )
    client.wait_for_workers(1, timeout=PATIENCE)
    folders = [client.run_on_scheduler(os.path.isdir, ROOT)]
    if not all([*folders, *client.run(os.path.isdir, ROOT).values()]):
        raise OSError(f"its machines do not all see the folder {ROOT}")
    client.run_on_scheduler(site.addsitedir, ROOT)  # wherever they were started
    client.register_worker_callbacks(partial(site.addsitedir, ROOT))
    executor = client.get_executor(pure=False)

    class Dask(ParallelBackendBase):
        """A backend of joblib's public interface that hears of tasks which Dask gives up.

        Dask tries a task whose worker died on another one, three times; then its future holds a
        `KilledWorker`. joblib's own "dask" backend never calls back for a future that holds an
        error, so with it the program would wait for ever, as its tests here did.
        """

        supports_retrieve_callback = True

        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(1, sum(client.ncores().values()))  # 0 while all workers start anew

        def submit(self, func: Callable[[], Any], callback: Callable[[Any], None]) -> Any:
            future = executor.submit(func)
            future.add_done_callback(callback)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            return out.result()

    return Started(Dask(), (KilledWorker, NoWorkerError, NoValidWorkerError))


def start_ray(workers: Workers, stack: contextlib.ExitStack) -> Started:
    """Connect to the Ray head of --cluster, or start one here, until `stack` is closed."""
    import ray
    from joblib import effective_n_jobs
    from ray.util.joblib import register_ray

    cpus = None if workers.cluster else effective_n_jobs(workers.jobs)
    ray.init(address=workers.cluster, num_cpus=cpus)
    stack.callback(ray.shutdown)
    register_ray()
    return Started("ray", (ray.exceptions.RayError,))


# Name of a backend -> what starts it; None: joblib itself.
BACKENDS: dict[str, Callable[[Workers, contextlib.ExitStack], Started] | None] = {
    "threading": None,
    "loky": None,
    "dask": start_dask,
    "ray": start_ray,
}
PACKAGES = {"dask": "'dask[distributed]'", "ray": "ray"}  # what to install for a backend


@contextlib.contextmanager
def backend(workers: Workers) -> Iterator[None]:
    """Let joblib run what the body of the `with` gives it on these workers.

    Raises `UserError` where they can't be started, lack a package, or die at their task.
    """
    from joblib import parallel_config

    start = BACKENDS[workers.backend]
    started = Started(workers.backend, (BrokenExecutor,))
    with contextlib.ExitStack() as stack:
        try:
            if start:
                started = start(workers, stack)
        except ImportError as error:
            raise UserError(
                f"--backend {workers.backend}: not installed ({error}); "
                f"pip install {PACKAGES[workers.backend]}"
            ) from error
        except (OSError, ValueError) as error:
            raise UserError(
                f"{workers.flag}: cannot be used ({error}); start it, or mend the address"
            ) from error
        jobs = -1 if workers.cluster else workers.jobs
        stack.enter_context(parallel_config(started.backend, n_jobs=jobs))
        try:
            yield
        except ModuleNotFoundError as error:
            raise UserError(
                f"{workers.flag}: a worker cannot import what this script needs ({error}); "
                "install requirements.txt there"
            ) from error
        except started.died as error:
            reason = str(error).splitlines()[0]
            raise WorkersDied(
                f"{workers.flag}: workers died at their task, perhaps for want of memory "
                f"({reason}); the same command goes on, with fewer --jobs or larger workers"
            ) from error


def stream(
    tasks: Iterator[Any], workers: Workers, n_jobs: int | None = None, in_order: bool = True
) -> Iterator[Any]:
    """Yield the results of tasks one by one; few tasks and results exist at a time.

    To be used within `backend(workers)`. Workers on this machine end with this process.

    tasks: made by `joblib.delayed`
    n_jobs: tasks at a time, where it is not the number of the workers
    in_order: in the order of the tasks, or each when it is done
    """
    from joblib import Parallel, effective_n_jobs

    tasks = ((Tied(function, os.getpid()), *rest) for function, *rest in tasks)
    how = "generator" if in_order else "generator_unordered"
    if workers.backend == "ray":  # gives all results of a block at its end
        how = "list"
    with Parallel(n_jobs=n_jobs, return_as=how) as parallel:
        # joblib runs ahead of a slow reader without end: it gets the tasks in blocks.
        while block := list(islice(tasks, AHEAD * effective_n_jobs(n_jobs))):
            yield from parallel(block)
