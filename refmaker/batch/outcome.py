"""What travels between a job and those who scan for it: tasks there, outcomes back. All of it can be pickled."""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

from refmaker.batch.packing import pack
from refmaker.errors import RefmakerError, SourceError, StaleSourceError, UnsupportedError
from refmaker.model.reference_set import DatasetState, ReferenceSet
from refmaker.scanners.registry import ScanOptions
from refmaker.source.policy import Transfer
from refmaker.source.retries import is_passing

__all__ = [
    "CRASHED",
    "INTERNAL",
    "LOST",
    "MEMORY",
    "TIMEOUT",
    "Failed",
    "Outcome",
    "ScanSettings",
    "Scanned",
    "Task",
    "failed",
    "scanned",
]

CRASHED, TIMEOUT, MEMORY, LOST, INTERNAL = "crashed", "timeout", "memory", "lost", "internal"
"""Kinds of failure that are no RefmakerError: the reader's process died of the file, took too long, asked for too
much memory; it was ended from outside; or it raised what nobody foresaw, which is a bug."""


MISSING_SOURCE = "missing-source"
"""The code of notes on files that were not there, and would have added to the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSettings:
    """How files are scanned, for all files of a job.

    Attributes:
        options: what a scan is asked.
        format: a scanner's name, or None: each file's first bytes tell.
        transfer: how hard a store is asked.
        timeout: seconds that one file may take; None: for ever.
        memory: bytes that a process may allocate beyond what its imports take; None: any (Linux only).
    """

    options: ScanOptions = field(default_factory=ScanOptions)
    format: str | None = None
    transfer: Transfer = field(default_factory=Transfer)
    timeout: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A file to scan.

    Attributes:
        id: its row in the ledger.
        url: where it is.
        attempts: how often it was tried before.
        alone: whether nothing else may be under way in the process that scans it, so that blame is certain.
    """

    id: int
    url: str
    attempts: int = 0
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """A file's references, as columns.

    Attributes:
        packed: see ``packing``.
        counts: datasets by state, in the order of ``DatasetState``.
        skipped: path, code and reason of each dataset left out.
        notes: how many there are.
        stamp: size, entity tag and modification time of the file, as far as they are known.
        linked: URL, size, entity tag and modification time of other files that the references point into.
        lacks: whether files that were not there would have added to the result.
        seconds: of work, waiting included.
        requests: made of the store; None where a library read.
        bytes_read: likewise.
    """

    packed: bytes
    counts: tuple[int, ...]
    skipped: tuple[tuple[str, str, str], ...] = ()
    notes: int = 0
    stamp: tuple[int | None, str | None, float | None] = (None, None, None)
    linked: tuple[tuple[str, int | None, str | None, float | None], ...] = ()
    lacks: bool = False
    seconds: float = 0.0
    requests: int | None = None
    bytes_read: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Why there are no references of a file.

    Attributes:
        kind: the error class's name, or one of the words above.
        message: one line.
        code: what an UnsupportedError says for programs, or None.
        path: the object inside the file, or None.
        offset: byte position in the file, or None.
        passing: whether the same scan may well succeed a moment later.
        seconds: of work, waiting included.
    """

    kind: str
    message: str
    code: str | None = None
    path: str | None = None
    offset: int | None = None
    passing: bool = False
    seconds: float = 0.0


Outcome = Scanned | Failed


def scanned(references: ReferenceSet, seconds: float) -> Scanned:
    """Return a scan's result as it is stored."""
    report = references.report
    stamps = [(source.size, source.etag, source.last_modified) for source in references.sources]
    urls = [source.url for source in references.sources]
    return Scanned(
        packed=pack(references),
        counts=tuple(map(report.count, DatasetState)),
        skipped=tuple((dataset.path, dataset.code, dataset.reason) for dataset in report.skipped),
        notes=len(report.notes),
        stamp=stamps[0] if stamps else (None, None, None),
        linked=tuple((url, *stamp) for url, stamp in zip(urls[1:], stamps[1:], strict=True)),
        lacks=any(note.code == MISSING_SOURCE for note in report.notes),
        seconds=seconds,
        requests=report.requests,
        bytes_read=report.bytes_read,
    )


def failed(error: BaseException, seconds: float) -> Failed:
    """Return what a scan raised, as a value."""
    chain = tuple(_chain(error))
    if any(isinstance(cause, MemoryError) for cause in chain):
        return Failed(kind=MEMORY, message="the scan asked for more memory than it may have", seconds=seconds)
    if not isinstance(error, RefmakerError):
        where = traceback.extract_tb(error.__traceback__)[-1:]
        at = f" ({where[0].filename}:{where[0].lineno})" if where else ""
        return Failed(kind=INTERNAL, message=f"{type(error).__name__}: {error}{at}", seconds=seconds)
    return Failed(
        kind=type(error).__name__,
        message=str(error),
        code=error.code if isinstance(error, UnsupportedError) else None,
        path=error.path,
        offset=error.offset,
        passing=isinstance(error, StaleSourceError)
        or (isinstance(error, SourceError) and any(map(is_passing, chain[1:]))),
        seconds=seconds,
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it, once each."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
