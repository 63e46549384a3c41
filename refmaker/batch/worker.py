"""A process of its own for scanning: what a C library does to it costs one file.

It is a fresh interpreter that is told what to do over a socket: first how to scan, then one URL after the other. It
answers in that order. So of a process that died, the first file without an answer is the one to blame, and the others
behind it are unharmed. Remote files behind the first are read ahead, in shared rounds.

The kernel's own alarm ends the process when a file takes too long: nothing in the process can be in the way.
"""

import faulthandler
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from refmaker.batch.outcome import Outcome, ScanSettings, failed, scanned
from refmaker.errors import RefmakerError
from refmaker.model.reference_set import ReferenceSet
from refmaker.scanners.many import ScanMany

__all__ = ["results_of", "serve"]


class _Feed(Iterator[str]):
    """The URLs that have come; waits for one only when nothing else is to be done."""

    def __init__(self, connection: Connection, timeout: float | None) -> None:
        self._connection = connection
        self._timeout = timeout
        self.under_way = 0
        self.ended = False

    def __next__(self) -> str:
        if self.ended or (self.under_way and not self._connection.poll()):
            raise StopIteration
        try:
            url: str | None = self._connection.recv()
        except (EOFError, OSError):
            url = None
        if url is None:
            self.ended = True
            raise StopIteration
        self.under_way += 1
        if self.under_way == 1:
            self.arm()
        return url

    def answered(self) -> None:
        """Count an answer; the time of the next file begins."""
        self.under_way -= 1
        self.arm()

    def arm(self) -> None:
        """Set the alarm for the first file without an answer."""
        if self._timeout is not None:
            signal.setitimer(signal.ITIMER_REAL, self._timeout if self.under_way else 0.0)


def serve(connection: Connection) -> None:
    """Scan what comes over a connection, until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.enable()
    settings: ScanSettings = connection.recv()
    _limit_memory(settings.memory)
    connection.send(None)  # ready
    feed = _Feed(connection, settings.timeout)
    results = ScanMany(feed, settings.format, settings.options, settings.transfer)
    with suppress(BrokenPipeError, ConnectionResetError), results:
        for outcome in results_of(results):
            connection.send(outcome)
            feed.answered()


def results_of(results: Iterator[ReferenceSet | RefmakerError]) -> Iterator[Outcome]:
    """Yield what became of each file; the one place where what a scan raises becomes a value."""
    started = time.perf_counter()
    while True:
        try:
            result = next(results)
            seconds = time.perf_counter() - started
            outcome = failed(result, seconds) if isinstance(result, RefmakerError) else scanned(result, seconds)
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001  a bug that one file finds must not end the job
            outcome = failed(error, time.perf_counter() - started)
        yield outcome
        started = time.perf_counter()


def _limit_memory(limit: int | None) -> None:
    """Let the process allocate no more than ``limit`` bytes on top of what it has; files mapped do not count."""
    if limit is None or sys.platform != "linux":
        return
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    (kilobytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (int(kilobytes) * 1024 + limit, resource.RLIM_INFINITY))
