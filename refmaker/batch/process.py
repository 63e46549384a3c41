"""The parent's end of a worker process: starting it, giving it files, finding out why it died."""

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Pipe

from refmaker.batch.outcome import CRASHED, LOST, MEMORY, TIMEOUT, Failed, Outcome, ScanSettings, Task
from refmaker.errors import SourceError

__all__ = ["WorkerProcess"]

BOOT = """\
import sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
sys.path[:] = connection.recv()
from refmaker.batch.worker import serve
serve(connection)
"""
"""Not ``multiprocessing``'s own start: that imports the caller's main module, which may be a script without a guard."""
FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM})
"""Exit codes of processes that others ended."""
GRACE = 5.0
"""Seconds after its timeout in which a process should have ended by itself."""


class WorkerProcess:
    """A process that scans, and the tasks it has."""

    def __init__(self, settings: ScanSettings) -> None:
        self._timeout = settings.timeout
        self.tasks: deque[Task] = deque()
        self._head_since = 0.0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self.connection, theirs = Pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603  this interpreter
                [sys.executable, "-c", BOOT, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._log,
            )
        finally:
            theirs.close()
        self.is_dead = False
        self._is_ready = False
        self._say(sys.path)
        self._say(settings)

    def _say(self, message: object) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # it is dead: receiving tells
            self.connection.send(message)

    def give(self, task: Task) -> None:
        """Let the process scan a file, after those it has."""
        if not self.tasks:
            self._head_since = time.monotonic()
        self.tasks.append(task)
        self._say(task.url)

    def receive(self) -> tuple[Task | None, Outcome | None]:
        """Return the first task and what became of it, now that the connection has something to tell.

        Of a process that died, the first task fails, and others remain in ``tasks``. (None, None): nothing became of
        any task; the process has only just started, or died of nothing of ours.

        Raises:
            SourceError: such processes do not start.
        """
        try:
            outcome: Outcome | None = self.connection.recv()
        except (EOFError, OSError):
            return self._died()
        self._head_since = time.monotonic()
        if outcome is None:
            self._is_ready = True
            return None, None
        if isinstance(outcome, Failed) and outcome.kind == MEMORY:
            self.is_dead = True  # what is left of it is not worth keeping
            self._ended(kill=True)
        return self.tasks.popleft(), outcome

    @property
    def is_overdue(self) -> bool:
        """Whether the process should have ended by itself and has not."""
        return bool(
            self.tasks
            and self._is_ready
            and self._timeout is not None
            and time.monotonic() - self._head_since > self._timeout + GRACE
        )

    def _died(self) -> tuple[Task | None, Outcome | None]:
        seconds = time.monotonic() - self._head_since
        self.is_dead = True
        code = self._ended(kill=False)
        if not self._is_ready and code not in FROM_OUTSIDE:
            raise SourceError(f"worker processes do not start (exit code {code}){self._last_words()}")
        if not self.tasks or not self._is_ready:
            return None, None
        return self.tasks.popleft(), self._blame(code, seconds)

    def give_up(self) -> tuple[Task, Outcome]:
        """End a process that is overdue; its first task has taken too long."""
        self.is_dead = True
        self._ended(kill=True)
        return self.tasks.popleft(), self._blame(-signal.SIGALRM, time.monotonic() - self._head_since)

    def _blame(self, code: int, seconds: float) -> Failed:
        if code == -signal.SIGALRM:
            message = f"the scan was ended after {self._timeout:g} seconds (--timeout)"
            return Failed(kind=TIMEOUT, message=message, seconds=seconds)
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
        if code in FROM_OUTSIDE:
            message = f"the scanning process was ended from outside ({name}): is memory short?"
            return Failed(kind=LOST, message=message, passing=True, seconds=seconds)
        message = f"the scanning process crashed ({name}){self._last_words()}"
        return Failed(kind=CRASHED, message=message, seconds=seconds)

    def _last_words(self) -> str:
        """Return where Python was when it crashed, as faulthandler tells, else the last line on stderr."""
        self._log.seek(0)
        text = self._log.read().decode("utf-8", "replace")
        if found := re.search(r'File "([^"]*)", line (\d+) in (\S+)', text):
            return f" in {found[3]} ({found[1]}:{found[2]})"
        lines = text.strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def close(self) -> None:
        """End the process now; what it has is given up. An idle one has nothing to tidy up either."""
        if not self.is_dead:
            self.is_dead = True
            self._ended(kill=True)
        self._log.close()

    def _ended(self, *, kill: bool) -> int:
        """Return how the process ended; one that does not end is left to the kernel."""
        self.connection.close()
        if kill:
            self._process.kill()
        try:
            return self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                return self._process.wait(GRACE)
            self._process.returncode = -signal.SIGKILL  # in an uninterruptible wait: nobody waits for it any more
            return -signal.SIGALRM
