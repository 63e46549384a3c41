"""Who scans: processes of our own, or anybody's ``concurrent.futures.Executor`` (a Dask cluster offers one).

All take single tasks and give back outcomes in any order. In all, files are opened in worker processes of ours, so
that a crash, a hang or a limit means the same everywhere: an executor elsewhere starts such a process beside itself.
"""

import atexit
import queue
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import replace
from multiprocessing.connection import wait as wait_for
from typing import Protocol

from refmaker.batch.outcome import CRASHED, LOST, MEMORY, TIMEOUT, Failed, Outcome, ScanSettings, Task
from refmaker.batch.process import WorkerProcess
from refmaker.errors import SourceError
from refmaker.source.policy import FILES_AHEAD

__all__ = ["Done", "Futures", "Processes", "TaskExecutor", "scan_batch"]

Done = list[tuple[Task, Outcome]]
LOCAL_AHEAD = 4
"""Local files that wait in a process, so that it never does."""
LOCAL_BATCH, REMOTE_BATCH = 16, FILES_AHEAD
"""Files in one future: what the executor itself costs is shared by them."""
TICK = 0.5
AMBIGUOUS = frozenset({CRASHED, LOST, MEMORY, TIMEOUT})
"""Failures of a process, for which other files that it was reading ahead may be to blame."""


class TaskExecutor(Protocol):
    """Scans files somewhere."""

    @property
    def free(self) -> int:
        """Tasks that it would take now."""

    def submit(self, task: Task) -> None:
        """Take a task."""

    def wait(self, timeout: float) -> Done:
        """Return what has been done since, waiting for something at most ``timeout`` seconds."""

    def close(self) -> None:
        """Give up what is not done."""


class Processes:
    """Worker processes on this machine, each started when there is work for it."""

    def __init__(self, settings: ScanSettings, workers: int, *, remote: bool) -> None:
        self._settings = settings
        self._most = workers
        self._ahead = FILES_AHEAD if remote else LOCAL_AHEAD
        self._workers: list[WorkerProcess] = []
        self._waiting: deque[Task] = deque()

    @property
    def free(self) -> int:
        """Tasks that it would take now."""
        under_way = sum(len(worker.tasks) for worker in self._workers)
        return max(self._most * self._ahead - under_way - len(self._waiting), 0)

    def submit(self, task: Task) -> None:
        """Take a task."""
        self._waiting.append(task)

    def wait(self, timeout: float) -> Done:
        """Return what has been done since, waiting for something at most ``timeout`` seconds."""
        self._distribute()
        by_connection = {worker.connection: worker for worker in self._workers}
        done: Done = []
        for connection in wait_for(list(by_connection), timeout) if by_connection else ():
            worker = by_connection[connection]  # type: ignore[index]  # only connections were given
            task, outcome = worker.receive()
            self._enter(task, outcome, worker, done)
        for worker in [worker for worker in self._workers if worker.is_overdue]:
            task, outcome = worker.give_up()
            self._enter(task, outcome, worker, done)
        return done

    def _enter(self, task: Task | None, outcome: Outcome | None, worker: WorkerProcess, done: Done) -> None:
        """Enter what became of a task; those behind it in a process that died are given to others."""
        if task is not None and outcome is not None:
            kind = getattr(outcome, "kind", "")
            if kind in AMBIGUOUS and self._ahead > LOCAL_AHEAD and worker.tasks and not task.alone:
                self._waiting.appendleft(replace(task, alone=True))  # what was read ahead may be to blame
            else:
                done.append((task, outcome))
        if worker.is_dead:
            self._waiting.extendleft(reversed(worker.tasks))
            worker.tasks.clear()
            worker.close()
            self._workers.remove(worker)

    def _distribute(self) -> None:
        while self._waiting:
            open_to_more = [worker for worker in self._workers if not (worker.tasks and worker.tasks[0].alone)]
            worker = min(open_to_more, key=lambda worker: len(worker.tasks), default=None)
            if (worker is None or worker.tasks) and len(self._workers) < self._most:
                worker = WorkerProcess(self._settings)
                self._workers.append(worker)
            most = 1 if self._waiting[0].alone else self._ahead
            if worker is None or len(worker.tasks) >= most:
                return
            worker.give(self._waiting.popleft())

    def adopt(self, worker: WorkerProcess) -> None:
        """Take over a worker process that has nothing to do."""
        if worker.connection.poll():  # it can only have died
            worker.close()
        else:
            self._workers.append(worker)

    def released(self) -> list[WorkerProcess]:
        """Return the worker processes, which the caller is to close; they have nothing to do."""
        workers, self._workers = self._workers, []
        return workers

    def close(self) -> None:
        """Give up what is not done."""
        for worker in self._workers:
            worker.close()
        self._workers.clear()
        self._waiting.clear()


class Futures:
    """Any executor of futures: batches of files go there, and each place scans them in a worker process of its own."""

    def __init__(self, executor: Executor, settings: ScanSettings, workers: int, *, remote: bool) -> None:
        self._executor = executor
        self._settings = settings
        self._most = 2 * workers
        self._batch = REMOTE_BATCH if remote else LOCAL_BATCH
        self._waiting: list[Task] = []
        self._under_way: dict[Future[list[Outcome]], list[Task]] = {}
        self._finished: queue.SimpleQueue[Future[list[Outcome]]] = queue.SimpleQueue()

    @property
    def free(self) -> int:
        """Tasks that it would take now."""
        return max((self._most - len(self._under_way)) * self._batch - len(self._waiting), 0)

    def submit(self, task: Task) -> None:
        """Take a task."""
        self._waiting.append(task)

    def wait(self, timeout: float) -> Done:
        """Return what has been done since, waiting for something at most ``timeout`` seconds."""
        while self._waiting and len(self._under_way) < self._most:
            batch, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
            try:
                future = self._executor.submit(scan_batch, self._settings, [task.url for task in batch])
            except RuntimeError as error:  # BrokenExecutor is one, and so is what shut executors raise
                raise self._broken(error) from error
            self._under_way[future] = batch
            future.add_done_callback(self._finished.put)
        done: Done = []
        try:
            if self._under_way:
                done += self._outcomes(self._finished.get(timeout=timeout))
            while True:
                done += self._outcomes(self._finished.get_nowait())
        except queue.Empty:
            pass
        return done

    def _outcomes(self, future: "Future[list[Outcome]]") -> Done:
        batch = self._under_way.pop(future)
        if future.cancelled():
            raise self._broken(CancelledError())
        error = future.exception()
        if isinstance(error, BrokenExecutor | CancelledError):
            raise self._broken(error) from error
        if error is not None:  # of the executor: files' own failures are outcomes
            lost = Failed(kind=LOST, message=f"the executor lost it: {type(error).__name__}: {error}", passing=True)
            return [(task, lost) for task in batch]
        return list(zip(batch, future.result(), strict=True))

    def _broken(self, error: BaseException) -> SourceError:
        name = type(self._executor).__name__
        return SourceError(f"the executor ({name}) is of no use any more: {error!r}; run again to go on")

    def close(self) -> None:
        """Give up what is not done."""
        for future in self._under_way:
            future.cancel()
        self._under_way.clear()
        _end_idle()  # if the executor's threads are of this process


# -- at the executor's place ------------------------------------------------------------------------------------------
_idle: list[tuple[ScanSettings, WorkerProcess]] = []
"""Worker processes of this process that have nothing to do."""
_idle_lock = threading.Lock()


def scan_batch(settings: ScanSettings, urls: Sequence[str]) -> list[Outcome]:
    """Return what became of files, scanned in a worker process that is kept for the next batch."""
    processes = Processes(settings, 1, remote=True)
    with _idle_lock:
        kept = next((entry for entry in _idle if entry[0] == settings), None)
        if kept is not None:
            _idle.remove(kept)
            processes.adopt(kept[1])
    found: dict[int, Outcome] = {}
    try:
        for number, url in enumerate(urls):
            processes.submit(Task(number, url))
        while len(found) < len(urls):
            found.update((task.id, outcome) for task, outcome in processes.wait(TICK))
        with _idle_lock:
            _idle.extend((settings, worker) for worker in processes.released())
    finally:
        processes.close()
    return [found[number] for number in range(len(urls))]


@atexit.register
def _end_idle() -> None:
    with _idle_lock:
        for _, worker in _idle:
            worker.close()
        _idle.clear()
