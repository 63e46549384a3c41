"""A Dask cluster as an executor of futures; ``distributed`` is imported here only."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from refmaker.errors import MissingDependencyError, SourceError

__all__ = ["LOCAL", "dask_executor"]

LOCAL = "local"
"""Instead of a scheduler's address: a cluster of processes on this machine, for as long as the job runs."""
CONNECT_SECONDS = 30


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        message = "--dask needs the package 'distributed': pip install 'refmaker[dask]'"
        raise MissingDependencyError(message, code="dependency") from error


@contextmanager
def dask_executor(address: str, workers: int) -> Iterator[tuple[Executor, int]]:
    """Give an executor over a Dask cluster, and how many threads it has.

    Raises:
        MissingDependencyError: distributed is not installed.
        SourceError: no scheduler answers at that address.
    """
    distributed = _distributed()
    if address == LOCAL:
        with (
            distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client.get_executor(pure=False), workers
        return
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise SourceError(f"no Dask scheduler answers: {error}", location=address) from error
    with client:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        threads = sum(client.nthreads().values())
        yield client.get_executor(pure=False), threads
