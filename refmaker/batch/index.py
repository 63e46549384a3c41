"""``refmaker.index``: from a job to its outputs, whatever was interrupted before."""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, tee
from pathlib import Path
from typing import Any, Unpack

from refmaker import __version__, errors
from refmaker.batch.executors import Futures, Processes, TaskExecutor
from refmaker.batch.inputs import Listed, facts, listed
from refmaker.batch.job import Job, JobKeywords, job_of
from refmaker.batch.ledger import NAME, FileState, Ledger, Listing
from refmaker.batch.reduction import clear_leftovers, combined, documents, write_document, write_separate
from refmaker.batch.results import Results
from refmaker.batch.scanning import Policy, Progress, ProgressCallback, scan_pending
from refmaker.batch.targets import folder_of
from refmaker.combine.outcome import AxisSummary
from refmaker.errors import OptionError, RefmakerError, SourceError
from refmaker.model.reference_set import DatasetState, Note
from refmaker.references.kerchunk_json import unspellable
from refmaker.references.parquet_layout import METADATA
from refmaker.references.relocate import relative_to
from refmaker.source.location import local_path

__all__ = ["IndexReport", "index", "run"]

LOCK_ATTEMPTS = 5
Cluster = tuple[Executor, int]
"""An executor of futures, and how many it works on at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What a run did, and how the job stands.

    Attributes:
        directory: the job's; its ledger has the details of every file.
        listing: what a look at the inputs found, or None: the job went on with the list it had.
        listed: when the inputs were last looked at, in seconds since 1970 UTC; None: not known.
        scanned: files scanned by this run, failures included.
        files: how many are in each state.
        datasets: of scanned files, how many are in each state.
        written: the outputs that were written; empty: they were up to date, or are prevented by failures.
        is_complete: whether the outputs are those of all scanned files, and failures are as the policy allows.
        is_stopped: whether there were too many failures to go on.
        axes: concatenated dimensions of the document that was written.
        notes: what was decided in combining.
        seconds: from start to end.
    """

    directory: Path
    listing: Listing | None
    scanned: int
    files: Mapping[FileState, int]
    datasets: Mapping[DatasetState, int]
    listed: float | None = None
    written: tuple[str, ...] = ()
    is_complete: bool = True
    is_stopped: bool = False
    axes: tuple[AxisSummary, ...] = ()
    notes: tuple[Note, ...] = field(default=(), repr=False)
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """How many files could not be scanned."""
        return self.files[FileState.FAILED] + self.files[FileState.QUARANTINED]


def index(
    inputs: str | Iterable[str],
    output: str | os.PathLike[str] | None = None,
    *,
    separate: str | os.PathLike[str] | None = None,
    job: str | os.PathLike[str] | None = None,
    update: bool = False,
    executor: Executor | None = None,
    progress: ProgressCallback | None = None,
    **options: Unpack[JobKeywords],
) -> IndexReport:
    """Scan many files and write references to them all; killed at any point, the same call goes on where it was.

    Args:
        inputs: paths, URLs and globs over any fsspec filesystem; ``@FILE`` for the lines of a file.
        output: the document of all files together, JSON or Parquet by its suffix.
        separate: a directory for one document a file.
        job: where the ledger and the scan results are kept; default: beside the output, ``<output>.job``.
        update: look at the inputs again: scan new and changed files, drop vanished ones.
        executor: any ``concurrent.futures`` executor to scan with; default: processes on this machine.
        progress: called with a ``Progress`` now and then.
        **options: of scanning as for ``refmaker.scan``, of combining as for ``refmaker.combine``, of writing
            (``relative``, ``inline_below``, ``zarr_format``, ``templates``, ``record_size``, ``separate_suffix``,
            ``keep_suffix``), and
            ``on_error`` (``"raise"``: a failed file prevents the outputs; ``"skip"``: it is left out and tried again by
            the next run; ``"quarantine"``: it is left out until it changes), ``max_failures`` (one more stops the
            scanning; default 0 with ``"raise"``, else any number), ``retries`` (of passing failures), ``workers``
            (processes), ``timeout`` (seconds a file, default 600), ``memory`` (bytes a process), ``concurrency``
            (requests in flight of each), ``dask`` (a scheduler's address, or ``"local"``).

    Returns:
        What was done, and how many files and datasets are in which state.

    Raises:
        RefmakerError: with ``on_error="raise"``, of the first failed file's class; the message counts the others.
        ConflictError: the files do not fit together; what was scanned is kept.
        OptionError: options that make no sense, or not those of the job that is there.
        SourceError: inputs cannot be listed, or outputs not written.

    >>> import refmaker
    >>> report = refmaker.index("sample_data/ocean_*.nc", "archive.parq", concat="time", job="archive.job")
    >>> report.is_complete, report.scanned, report.written
    (True, 4, ('archive.parq',))
    >>> refmaker.index("sample_data/ocean_*.nc", "archive.parq", concat="time", job="archive.job").scanned
    0
    """
    asked = job_of(inputs, _text(output), separate=_text(separate), job=_text(job), options=options)
    report = run(asked, update=update, executor=executor, progress=progress)
    if not report.is_complete:
        raise _first_failure(report)
    return report


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def _first_failure(report: IndexReport) -> RefmakerError:
    """Return the error of the first file that failed, in the order of the inputs."""
    with Ledger(report.directory / NAME, read_only=True) as ledger:
        row = next(ledger.rows(FileState.FAILED, FileState.QUARANTINED), None)
    if row is None:
        return OptionError("there is no file left to write about: all have vanished", location=str(report.directory))
    kind: Any = getattr(errors, row.kind or "", None)
    found = kind if isinstance(kind, type) and issubclass(kind, RefmakerError) else RefmakerError
    others = f" (and {report.failed - 1} other files failed)" if report.failed > 1 else ""
    message = row.message or ""
    return found(f"{message}{others}", location=None if row.url in message else row.url)


def run(
    job: Job, *, update: bool = False, executor: Executor | None = None, progress: ProgressCallback | None = None
) -> IndexReport:
    """Do what is left to do of a job; failed files are counted, not raised. See ``index``."""
    started = time.perf_counter()
    tell = progress or (lambda _: None)
    with _held(job.directory), Ledger(job.directory / NAME) as ledger, _results(job.directory) as results:
        listing = _listing(job, ledger, tell, update=update)
        if ledger.fact("is_over"):
            ledger.retry_failed()
        ledger.set_fact(is_over=False, pid=os.getpid(), started=time.time(), output=job.output, separate=job.separate)
        results.keep(ledger.shards())
        before = ledger.count()
        is_stopped = False
        is_idle = not before[FileState.PENDING] and _is_written(job, ledger)
        with _cluster(job, None if is_idle else executor, is_needed=not is_idle) as cluster:
            if before[FileState.PENDING]:
                with _scans(job, cluster, ledger) as scans:
                    is_stopped = not scan_pending(ledger, results, scans, _policy(job), tell)
            files = ledger.count()
            failures = files[FileState.FAILED] + files[FileState.QUARANTINED]
            is_complete = not (is_stopped or files[FileState.PENDING] or (job.on_error == "raise" and failures))
            to_write = is_complete and files[FileState.DONE] and not _is_written(job, ledger)
            outputs = _write(job, ledger, results, cluster, tell) if to_write else {}
        ledger.set_fact(is_over=True, ended=time.time())
        datasets, _ = ledger.totals()
        return IndexReport(
            directory=job.directory,
            listing=listing,
            scanned=before[FileState.PENDING] - files[FileState.PENDING],
            files=files,
            datasets=datasets,
            listed=ledger.fact("listed_at"),
            is_complete=is_complete and bool(files[FileState.DONE]),
            is_stopped=is_stopped,
            seconds=time.perf_counter() - started,
            **outputs,
        )


def _listing(job: Job, ledger: Ledger, tell: ProgressCallback, *, update: bool) -> Listing | None:
    """Bring the ledger's list of files up to date, if there is none or it is asked for."""
    known = ledger.fact("scan_digest")
    if known is not None and known != job.scan_digest:
        raise OptionError(
            "the job there was scanned with other options or another format: use another directory (--job), or remove "
            "this one to scan everything again",
            location=str(job.directory),
        )
    inputs = ledger.fact("inputs_digest")
    if inputs is not None and not update:
        if inputs != job.inputs_digest:
            raise OptionError(
                "the job there has other inputs; --update takes these instead", location=str(job.directory)
            )
        if job.separate is not None:
            rows = ledger.rows(*(state for state in FileState if state is not FileState.VANISHED))
            for _ in documents(((row.url, row.name) for row in rows), job):
                pass
        return None
    tell(Progress("listing"))
    options = job.scan.options.storage_options
    files = _named(listed(job.inputs, options, ask=update), job)
    if job.separate is not None:
        files = _distinct(files, job)
    first = next(files, None)
    if first is None:
        raise OptionError("the inputs name no file")
    return ledger.enter(
        chain([first], files),
        _outdated(ledger, options) if update else (),
        scan_digest=job.scan_digest,
        inputs_digest=job.inputs_digest,
        version=__version__,
        listed_at=time.time(),
        inputs=len(job.inputs),
    )


def _named(files: Iterator[Listed], job: Job) -> Iterator[Listed]:
    """Yield the files; of one that the documents have no way to name, that is wrong."""
    separate = None if job.separate is None else f"{job.separate.rstrip('/')}/a{job.write.separate_suffix}"
    targets = [target for target in (job.output, separate) if target and ".json" in target.rpartition("/")[2]]
    spellings = [relative_to(folder_of(target)) if job.write.relative else str for target in targets]
    for file in files:
        told = (unspellable(spelled(file.url)) for spelled in spellings)
        wrong = file.wrong or next(filter(None, told), None)
        if wrong and job.on_error == "raise":
            raise OptionError(f"{wrong} (--on-error skip leaves it out)", location=file.url)
        yield replace(file, wrong=wrong)


def _outdated(ledger: Ledger, storage_options: Mapping[str, Any] | None) -> set[int]:
    """Return the ids of scanned files whose results another look would change, as files that they link have changed."""
    linked = list(ledger.linked())
    now = {file.url: file for file in facts({url for _, url, _ in linked if url is not None}, storage_options)}
    found = set()
    for number, url, (size, etag, modified) in linked:
        there = now[url] if url is not None else None
        if there is None or not there.is_there or _differs(there, size, etag, modified):
            found.add(number)
    return found


def _differs(now: Listed, size: int | None, etag: str | None, modified: float | None) -> bool:
    pairs = ((now.size, size), (now.etag, etag), (now.modified, modified))
    return any(a is not None and b is not None and a != b for a, b in pairs)


def _distinct(files: Iterator[Listed], job: Job) -> Iterator[Listed]:
    """Yield the files, as long as the documents of their own are distinct."""
    first, second = tee(files)
    for file, _ in zip(first, documents(((file.url, file.name) for file in second), job), strict=True):
        yield file


def _is_written(job: Job, ledger: Ledger) -> bool:
    """Whether the outputs are there and are those of the results there are."""
    if ledger.fact("written") != [job.output_digest, ledger.fact("revision")]:
        return False
    if job.separate is not None and not _exists(job.separate):
        return False
    return job.output is None or ledger.fact("output_stamp") == _stamp(job.output)


def _write(
    job: Job, ledger: Ledger, results: Results, cluster: Cluster | None, tell: ProgressCallback
) -> dict[str, Any]:
    """Write the outputs."""
    wanted = [job.output_digest, ledger.fact("revision")]
    if since := ledger.fact("writing_since"):
        clear_leftovers(job, since)
    ledger.set_fact(writing_since=time.time())
    found: dict[str, Any] = {"written": tuple(filter(None, (job.separate, job.output)))}
    if job.separate is not None:
        write_separate(job, ledger, results, tell)
    if job.output is not None:
        combination = None
        if cluster is not None:
            from refmaker.batch.tree import combined_by_tree

            combination = combined_by_tree(job, ledger, results, cluster[0], tell)
        combination = combination or combined(job, ledger, results, tell)
        tell(Progress("writing", 0, 1))
        _make_parent(job.output)
        write_document(combination.references, job.output, job)
        tell(Progress("writing", 1, 1))
        found |= {"axes": combination.axes, "notes": combination.references.report.notes}
    stamp = _stamp(job.output) if job.output is not None else None
    ledger.set_fact(written=wanted, output_stamp=stamp, writing_since=None)
    return found


def _exists(output: str) -> bool:
    path = local_path(output)
    return path is None or Path(path).expanduser().exists()


def _stamp(output: str) -> list[int] | str:
    """Return what tells whether a document was written since: size and time; of a remote one nothing is asked."""
    path = local_path(output)
    if path is None:
        return "remote"
    file = Path(path).expanduser()
    try:
        status = (file / METADATA if file.is_dir() else file).stat()
    except OSError:
        return "missing"
    return [status.st_size, status.st_mtime_ns]


def _make_parent(output: str) -> None:
    path = local_path(output)
    if path is not None:
        Path(path).expanduser().absolute().parent.mkdir(parents=True, exist_ok=True)


def _policy(job: Job) -> Policy:
    state = FileState.QUARANTINED if job.on_error == "quarantine" else FileState.FAILED
    return Policy(failed_state=state, retries=job.retries, max_failures=job.max_failures)


@contextmanager
def _cluster(job: Job, executor: Executor | None, *, is_needed: bool) -> Iterator[Cluster | None]:
    """Give the executor of futures that is asked for; None: this machine's own processes do."""
    workers = job.workers or _cpus()
    if executor is not None:
        yield executor, workers
    elif job.dask is not None and is_needed:
        from refmaker.batch.cluster import dask_executor

        with dask_executor(job.dask, workers) as made:
            yield made
    else:
        yield None


@contextmanager
def _scans(job: Job, cluster: Cluster | None, ledger: Ledger) -> Iterator[TaskExecutor]:
    """Give what scans."""
    remote = ledger.has_remote_pending()
    scans: TaskExecutor
    if cluster is not None:
        scans = Futures(cluster[0], job.scan, cluster[1], remote=remote)
    else:
        scans = Processes(job.scan, job.workers or _cpus(), remote=remote)
    try:
        yield scans
    finally:
        scans.close()


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _results(directory: Path) -> Iterator[Results]:
    results = Results(directory / "results")
    try:
        yield results
    finally:
        results.close()


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Hold a job's directory, so that no other run works on it; the kernel lets go of it whatever happens to us.

    Raises:
        OptionError: another run holds it.
        SourceError: it cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise SourceError(f"the job's directory cannot be used: {error.strerror}", location=str(directory)) from error
    try:
        for attempt in range(LOCK_ATTEMPTS):  # ``refmaker status`` tries the lock for a moment
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if attempt == LOCK_ATTEMPTS - 1:
                    raise OptionError("another run is working on this job", location=str(directory)) from error
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
