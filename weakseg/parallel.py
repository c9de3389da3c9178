"""Where parallel work runs: joblib's backends, in this process, on this machine, or on a Dask or
Ray cluster.
"""

import contextlib
import os
import site
from concurrent.futures import BrokenExecutor, Future
from functools import partial
from itertools import islice
from pathlib import Path

from weakseg.common import UserError

ROOT = str(Path(__file__).resolve().parents[1])  # of the checkout: what workers import lies there
AHEAD = 64  # tasks a worker whose results may wait for their reader, so that memory stays flat


def add_backend_arguments(group, names, default):
    """Add --backend and --cluster to a group of flags."""
    group.add_argument(
        "--backend",
        choices=names,
        default=default,
        help="of joblib; dask and ray use the machines of a cluster, which share these folders; ray "
        f"reports late (default: {default})",
    )
    group.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="of the Dask scheduler or Ray head (default: start one)",
    )


def check_backend(args):
    """Refuse --cluster where the backend has none."""
    if args.cluster and not BACKENDS[args.backend][0]:
        raise UserError(
            f"--cluster {args.cluster}: has no use for --backend {args.backend}; take dask or ray"
        )


def start_dask(args, jobs, stack):
    """Connect to the Dask scheduler of --cluster, or start workers here, until `stack` is closed.

    Returns the error of a task whose workers died again and again, as the other functions do.
    """
    from dask.distributed import Client, KilledWorker
    from joblib import register_parallel_backend
    from joblib._dask import DaskDistributedBackend

    class Dask(DaskDistributedBackend):
        """joblib's own never hears of a task that Dask gave up, and would wait for it for ever."""

        def submit(self, func, callback=None):
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: callback(done) if done.exception() else None)
            return future

        def retrieve_result_callback(self, out):
            return (
                out.result() if isinstance(out, Future) else super().retrieve_result_callback(out)
            )

    local = {"n_workers": jobs, "threads_per_worker": 1, "dashboard_address": None}
    client = stack.enter_context(Client(args.cluster) if args.cluster else Client(**local))
    if not (
        client.run_on_scheduler(os.path.isdir, ROOT)
        and all(client.run(os.path.isdir, ROOT).values())
    ):
        raise OSError(f"its machines do not all see the folder {ROOT}")
    client.run_on_scheduler(site.addsitedir, ROOT)  # wherever they were started
    client.register_worker_callbacks(partial(site.addsitedir, ROOT))
    register_parallel_backend("dask", Dask)
    return KilledWorker


def start_ray(args, jobs, stack):
    """Connect to the Ray head of --cluster, or start one here, until `stack` is closed."""
    import ray
    from ray.util.joblib import register_ray

    ray.init(address=args.cluster, num_cpus=None if args.cluster else jobs)
    stack.callback(ray.shutdown)
    register_ray()
    return ray.exceptions.RayError


# Name of joblib's backend -> what it needs started, and the package to install for it.
BACKENDS = {
    "threading": (None, "joblib"),
    "loky": (None, "joblib"),
    "dask": (start_dask, "'dask[distributed]'"),
    "ray": (start_ray, "ray"),
}


@contextlib.contextmanager
def backend(args):
    """Make joblib's backend the one that --backend, --cluster and --jobs say."""
    from joblib import effective_n_jobs, parallel_config

    start, package = BACKENDS[args.backend]
    where = f"--cluster {args.cluster}" if args.cluster else f"--backend {args.backend}"
    died = BrokenExecutor
    with contextlib.ExitStack() as stack:
        try:
            if start:
                died = start(args, effective_n_jobs(args.jobs), stack)
        except ImportError as error:
            raise UserError(
                f"--backend {args.backend}: not installed ({error}); pip install {package}"
            ) from error
        except (OSError, ValueError) as error:
            raise UserError(
                f"{where}: cannot be used ({error}); start it, or mend the address"
            ) from error
        stack.enter_context(parallel_config(args.backend, n_jobs=-1 if args.cluster else args.jobs))
        try:
            yield
        except ModuleNotFoundError as error:
            raise UserError(
                f"{where}: a worker cannot import what this script needs ({error}); install requirements.txt there"
            ) from error
        except died as error:
            raise UserError(
                f"{where}: workers died at their task, perhaps for want of memory ({str(error).splitlines()[0]}); "
                "the same command goes on, with fewer --jobs or larger workers"
            ) from error


def stream(tasks, args, n_jobs=None):
    """Yield the results of joblib's `tasks`, an iterator, in their order; few tasks and results
    exist at a time.

    To be used within `backend(args)`; n_jobs: processes, other than --jobs says
    """
    from joblib import Parallel, effective_n_jobs

    how = "list" if args.backend == "ray" else "generator"  # Ray's backend gives all at the end
    with Parallel(n_jobs=n_jobs, return_as=how) as parallel:
        # joblib runs ahead of a slow reader without end: it gets the tasks in blocks.
        while block := list(islice(tasks, AHEAD * effective_n_jobs(n_jobs))):
            yield from parallel(block)
