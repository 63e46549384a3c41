"""Inputs run in forked processes, so that a crash of a library is a finding and not the end.

A batch of inputs shares a process. Each input is named by its number and made again from it; before it runs, its
number is put where the parent sees it. What ends the process (a signal, an alarm after ``SECONDS``) is the finding of
that number, and the next process goes on behind it. Growth of the process by ``MEMORY`` is a finding of its input too.
"""

import contextlib
import json
import mmap
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from refmaker import RefmakerError
from tests.fuzz.targets import Files, Target

__all__ = ["Finding", "Outcome", "fuzz", "save"]

SECONDS = 20
"""Of one input; a good one takes milliseconds, and machines are noisy."""
MEMORY = 1 << 30
"""Bytes by which one input may make the process grow."""
ADDRESS_SPACE = 8 << 30
BATCH = 200
TOLD = struct.Struct("qqdq")
"""What a process leaves where the parent sees it: the number of its input, refusals, most seconds, most growth."""


@dataclass(frozen=True)
class Finding:
    """An input that gave neither a result nor a RefmakerError.

    Attributes:
        target: its target's name.
        number: of the input.
        kind: an exception's name, a signal's, ``"timeout"`` or ``"memory"``.
        text: the traceback, or what was printed last.
    """

    target: str
    number: int
    kind: str
    text: str

    @property
    def place(self) -> str:
        """What findings of one cause have in common: the last lines of the traceback."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip().startswith("File ")]
        return f"{self.kind} {lines[-1] if lines else ''}"


@dataclass
class Outcome:
    """How a run of one target went.

    Attributes:
        executions: inputs that were run.
        errors: those that were refused with a RefmakerError.
        findings: what came of those that gave neither that nor a result.
        slowest: seconds that one input took at most.
        memory: bytes by which one input made the process grow at most.
    """

    executions: int = 0
    errors: int = 0
    findings: list[Finding] = field(default_factory=list)
    slowest: float = 0.0
    memory: int = 0

    def add(self, errors: int, slowest: float, memory: int) -> None:
        """Take in what one process tells."""
        self.errors += errors
        self.slowest = max(self.slowest, slowest)
        self.memory = max(self.memory, memory)


def input_of(target: Target, seed: int, number: int) -> Files:
    """Return the input of a number: always the same one."""
    return target.input(Random(f"{seed}:{target.name}:{number}"))


def fuzz(target: Target, *, seed: int, count: int | None = None, seconds: float | None = None) -> Outcome:
    """Run inputs of one target until ``count`` are done or ``seconds`` are over."""
    target.samples()
    outcome = Outcome()
    end = None if seconds is None else time.monotonic() + seconds
    number = 0
    while (count is None or number < count) and (end is None or time.monotonic() < end):
        last = number + BATCH if count is None else min(number + BATCH, count)
        number = _batch(target, seed, number, last, end, outcome)
    return outcome


def _batch(target: Target, seed: int, first: int, last: int, end: float | None, outcome: Outcome) -> int:
    """Run inputs from ``first`` up to ``last`` in one process; return the number of the next one."""
    shared = mmap.mmap(-1, TOLD.size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 warns of threads, which we start none of
            child = os.fork()
        if child == 0:
            _child(target, seed, range(first, last), end, shared, folder)
        _, status = os.waitpid(child, 0)
        number, *told = TOLD.unpack(shared[:])
        found = folder / "findings"
        for line in found.read_text().splitlines() if found.exists() else ():
            outcome.findings.append(Finding(target.name, **json.loads(line)))
        outcome.add(*told)
        if os.WIFSIGNALED(status):
            sign = signal.Signals(os.WTERMSIG(status))
            kind = "timeout" if sign == signal.SIGALRM else sign.name
            outcome.findings.append(Finding(target.name, number, kind, _tail(folder / "said")))
            number += 1
        elif os.WEXITSTATUS(status):
            outcome.findings.append(
                Finding(target.name, number, f"exit {os.WEXITSTATUS(status)}", _tail(folder / "said"))
            )
            number += 1
    outcome.executions += number - first
    return number


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-4000:] if path.exists() else ""


def _child(target: Target, seed: int, numbers: range, end: float | None, shared: mmap.mmap, folder: Path) -> None:
    """Run inputs; never returns."""
    code = 70
    try:
        said = os.open(folder / "said", os.O_CREAT | os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(said, stream)
        import faulthandler

        faulthandler.enable(sys.__stderr__)
        warnings.simplefilter("ignore")
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        errors, slowest, most = 0, 0.0, 0
        number = numbers.start
        for number in numbers:
            if end is not None and time.monotonic() > end:
                break
            shared[:] = TOLD.pack(number, errors, slowest, most)
            inner = folder / f"{os.getpid()}-{number}"
            put(input_of(target, seed, number), inner)
            before = _peak(anew=True)
            started = time.monotonic()
            signal.alarm(SECONDS)
            finding = None
            try:
                target.run(inner)
            except RefmakerError:
                errors += 1
            except BaseException as error:  # noqa: BLE001  whatever it is
                finding = {"kind": type(error).__name__, "text": traceback.format_exc()}
            signal.alarm(0)
            slowest, grown = max(slowest, time.monotonic() - started), _peak() - before
            most = max(most, grown)
            if grown > MEMORY:
                finding = {"kind": "memory", "text": f"{grown} bytes"}
            if finding:
                with (folder / "findings").open("a") as file:
                    file.write(json.dumps({"number": number, **finding}) + "\n")
            _removed(inner)
        else:
            number = numbers.stop
        shared[:] = TOLD.pack(number, errors, slowest, most)
        code = 0
    except BaseException:  # noqa: BLE001  nothing may reach the parent's code
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)


def _peak(*, anew: bool = False) -> int:
    """Return the most bytes of memory that this process has had; ``anew``: from now on, where the system allows it."""
    if anew:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def put(files: Files, folder: Path) -> None:
    """Write an input."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _removed(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def save(
    findings: list[Finding], targets: dict[str, Target], seed: int, folder: Path
) -> Iterator[tuple[Finding, Path]]:
    """Write the input and the text of each finding into a folder of its own; yield it with that."""
    for finding in findings:
        place = folder / f"{finding.target.replace(' ', '-')}-{seed}-{finding.number}"
        put(input_of(targets[finding.target], seed, finding.number), place)
        (place / "FINDING.txt").write_text(
            f"{finding.target} {seed} {finding.number}\n{finding.kind}\n{finding.text}\n"
        )
        yield finding, place
