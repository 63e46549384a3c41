"""Scanning what is still to be scanned: an executor is kept busy, files are tried again, outcomes are written down."""

import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from refmaker.batch.executors import TaskExecutor
from refmaker.batch.ledger import FileState, Ledger
from refmaker.batch.outcome import Failed, Outcome, Scanned, Task
from refmaker.batch.results import Place, Results

__all__ = ["Policy", "Progress", "ProgressCallback", "scan_pending"]

COMMIT_SECONDS = 0.5
"""Finished work that a kill can cost; a commit waits for the disk twice."""
COMMIT_BYTES = 64 << 20
TICK = 0.5
FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
"""Seconds before a file is tried again; doubled each time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Attributes:
        step: ``"listing"``, ``"scanning"``, ``"combining"`` or ``"writing"``.
        done: files this step is done with, failures included.
        total: files it has to do.
        failed: files that failed, in this run.
        waiting: files that will be tried again in a moment.
    """

    step: str
    done: int = 0
    total: int = 0
    failed: int = 0
    waiting: int = 0


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is done about failures.

    Attributes:
        failed_state: what the ledger calls a file that failed.
        retries: how often a file is tried again whose failure may pass.
        max_failures: one more, and scanning stops; None: never.
        first_delay: seconds before the first retry.
    """

    failed_state: FileState = FileState.FAILED
    retries: int = 2
    max_failures: int | None = None
    first_delay: float = FIRST_DELAY


def scan_pending(
    ledger: Ledger, results: Results, executor: TaskExecutor, policy: Policy, progress: ProgressCallback
) -> bool:
    """Scan all files that the ledger has as pending; return False if there were too many failures to go on.

    Whatever happens, what was done is in the ledger when this returns or raises.
    """
    work = _Work(ledger, results, executor, policy, progress)
    try:
        return work.done()
    finally:
        work.commit()


class _Work:
    def __init__(
        self, ledger: Ledger, results: Results, executor: TaskExecutor, policy: Policy, progress: ProgressCallback
    ) -> None:
        self._ledger = ledger
        self._results = results
        self._executor = executor
        self._policy = policy
        self._progress = progress
        counts = ledger.count()
        self._total = counts[FileState.PENDING]
        self._failures = counts[FileState.FAILED] if policy.max_failures is not None else 0
        self._failed = self._finished = self._under_way = 0
        self._later: list[tuple[float, int, Task]] = []
        self._unwritten: list[tuple[Task, Outcome, Place | None]] = []
        self._unwritten_bytes = 0
        self._committed = time.monotonic()

    def done(self) -> bool:
        tasks: Iterator[Task] = iter(list(self._ledger.pending()))
        exhausted = False
        while True:
            stopped = self._is_stopped
            while not stopped and not exhausted and self._executor.free > 0:
                task = self._next(tasks)
                if task is None:
                    exhausted = not self._later
                    break
                self._under_way += 1
                self._executor.submit(task)
            if not self._under_way and (stopped or (exhausted and not self._later)):
                return not stopped
            if not self._under_way:
                time.sleep(max(min(self._later[0][0] - time.monotonic(), TICK), 0))
            exhausted = False
            for task, outcome in self._executor.wait(TICK):
                self._enter(task, outcome)
            self._tell()  # also when nothing was finished: whoever follows sees the time pass
            if time.monotonic() - self._committed > COMMIT_SECONDS or self._unwritten_bytes > COMMIT_BYTES:
                self.commit()

    @property
    def _is_stopped(self) -> bool:
        return self._policy.max_failures is not None and self._failures > self._policy.max_failures

    def _next(self, tasks: Iterator[Task]) -> Task | None:
        if self._later and self._later[0][0] <= time.monotonic():
            return heapq.heappop(self._later)[2]
        return next(tasks, None)

    def _enter(self, task: Task, outcome: Outcome) -> None:
        self._under_way -= 1
        if isinstance(outcome, Failed) and outcome.passing and task.attempts < self._policy.retries:
            delay = min(self._policy.first_delay * 2**task.attempts, LONGEST_DELAY)
            again = replace(task, attempts=task.attempts + 1, alone=False)
            heapq.heappush(self._later, (time.monotonic() + delay, task.id, again))
        else:
            place = None
            if isinstance(outcome, Scanned):
                place = self._results.append(outcome.packed)
                self._unwritten_bytes += len(outcome.packed)
                outcome = replace(outcome, packed=b"")
            else:
                self._failures += 1
                self._failed += 1
            self._unwritten.append((task, outcome, place))
            self._finished += 1

    def _tell(self) -> None:
        self._progress(Progress("scanning", self._finished, self._total, self._failed, len(self._later)))

    def commit(self) -> None:
        """Have what was done reach the disk: results first, then the ledger."""
        if self._unwritten:
            self._results.flush()
            self._ledger.record(self._unwritten, self._policy.failed_state)
            self._unwritten = []
            self._unwritten_bytes = 0
        self._committed = time.monotonic()
