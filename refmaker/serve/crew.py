"""Work shared between the calling thread and a few others of this process.

The caller works too, so nothing ever waits for a free thread: dask's own threads may all read at once.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

__all__ = ["share"]

T = TypeVar("T")
HELPERS = max((os.cpu_count() or 1) - 1, 0)

_pool: ThreadPoolExecutor | None = None
_lock = threading.Lock()


def _helpers() -> ThreadPoolExecutor:
    global _pool  # noqa: PLW0603  one pool a process, made on first use
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(HELPERS, 1), thread_name_prefix="refmaker-read")
        return _pool


def _forget() -> None:
    """Drop the pool and the lock in a forked child, where no thread of theirs runs."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def share(next_task: Callable[[], T | None], work: Callable[[T], None], *, helpers: int) -> None:
    """Do ``work`` on every task until there is none; up to ``helpers`` threads help.

    Args:
        next_task: gives the next task, or None when all are given out; called from several threads.
        work: does one.
        helpers: how many threads may help; no more do than the machine has cores.

    Raises:
        Exception: what the first failing task raised; no task begins after it, and none is running any more.
    """
    failed: list[BaseException] = []

    def run() -> None:
        while not failed:
            try:
                task = next_task()
                if task is None:
                    return
                work(task)
            except BaseException as error:  # noqa: BLE001  raised in the calling thread
                failed.append(error)

    futures: list[Future[None]] = [_helpers().submit(run) for _ in range(min(helpers, HELPERS))]
    run()
    wait([future for future in futures if not future.cancel()])
    if failed:
        raise failed[0]
