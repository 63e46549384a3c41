"""From stored results to documents: one of all files together, or one of each, or both.

What is written depends on the results and the options alone, not on when or in which order files were scanned: times
and costs of scanning stay in the ledger. So a job that was killed and resumed writes the bytes of one that was not.
"""

import glob
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from refmaker.batch.job import Job, WriteSettings
from refmaker.batch.ledger import FileRow, FileState, Ledger
from refmaker.batch.packing import KnownMetadata, unpack
from refmaker.batch.results import Results
from refmaker.batch.scanning import Progress, ProgressCallback
from refmaker.batch.targets import check_below, folder_of
from refmaker.combine.combination import combination
from refmaker.combine.inputs import Input
from refmaker.combine.outcome import Combination
from refmaker.errors import BrokenFileError, OptionError
from refmaker.model.reference_set import ReferenceSet, ScanReport
from refmaker.references import inline_below, write_references
from refmaker.references.publish import temporary_prefix
from refmaker.source.location import absolute_url, local_path, options_for

__all__ = ["clear_leftovers", "combined", "documents", "stored", "write_document", "write_separate"]

SAVED_EVERY = 2.0
"""Seconds after which documents that were written are entered in the ledger."""


def stored(results: Results, row: FileRow, known: KnownMetadata | None = None) -> ReferenceSet:
    """Return a file's stored references, without what differs from scan to scan.

    ``known`` is metadata that files have in common; see ``unpack``.

    Raises:
        BrokenFileError: the stored result is damaged.
    """
    if row.place is None:
        raise BrokenFileError("has no stored result", location=row.url)
    found = unpack(results.read(row.place), known)
    sources = tuple(replace(source, scan_time=None) for source in found.sources)
    return ReferenceSet(found.root, sources, ScanReport(found.report.datasets, found.report.notes))


def combined(job: Job, ledger: Ledger, results: Results, progress: ProgressCallback) -> Combination:
    """Return all scanned files as one data set; their results are read one by one.

    Raises:
        ConflictError: they do not fit together.
        SourceError: coordinate values cannot be read.
    """
    total = ledger.count()[FileState.DONE]

    def inputs() -> Iterator[Input]:
        known: KnownMetadata = {}
        for number, row in enumerate(ledger.rows(FileState.DONE), 1):
            yield Input(row.url, stored(results, row, known))
            progress(Progress("combining", number, total))

    return combination(inputs(), job.combine)


def write_document(references: ReferenceSet, target: str, job: Job) -> None:
    """Write one document as the job asks.

    Raises:
        OptionError: a location is to be relative and cannot be.
        SourceError: it cannot be written.
    """
    settings: WriteSettings = job.write
    options = job.scan.options.storage_options
    if settings.inline_below:
        references = inline_below(references, settings.inline_below, options)
    folder = folder_of(target) if settings.relative else None
    if folder is not None:
        check_below(references, folder)
    write_references(
        references,
        target,
        relative_to=folder,
        zarr_format=settings.zarr_format,
        templates=settings.templates,
        record_size=settings.record_size,
        storage_options=None if local_path(target) is not None else options_for(target, options),
    )


def clear_leftovers(job: Job, since: float) -> None:
    """Remove what a run that was killed while it wrote left of documents not yet published.

    Only files and directories of the names that ``publish`` makes for our outputs, and of that run's time or later.
    """
    output = local_path(job.output) if job.output is not None else None
    separate = local_path(job.separate) if job.separate is not None else None
    found: list[Path] = []
    if output is not None:
        final = Path(output).expanduser().absolute()
        found += final.parent.glob(f"{glob.escape(temporary_prefix(final.name))}*.part")
    if separate is not None:
        found += Path(separate).expanduser().rglob(f".*{glob.escape(job.write.separate_suffix)}.*.part")
    for path in found:
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < since - 1:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def documents(files: Iterable[tuple[str, str]], job: Job) -> Iterator[str]:
    """Yield where each file's own document goes.

    Args:
        files: URL and name (below the directory of such documents) of each.
        job: says the directory and the suffix.

    Raises:
        OptionError: two files would have the same, or it would be a file of the job.
    """
    base, suffix = (job.separate or "").rstrip("/"), job.write.separate_suffix
    owners: dict[str, str] = {}
    for url, name in files:
        folder, slash, last = name.rpartition("/")
        stem = last if job.write.keep_suffix else last.rpartition(".")[0] or last
        target = f"{base}/{folder}{slash}{stem}{suffix}"
        if owners.setdefault(target, url) != url:
            message = (
                f"{owners[target]} would have the same document, {target}; if only their suffixes differ, keep them "
                "(--keep-suffix); if their directories do, name them by one glob that keeps these (DIR/**/*)"
            )
            raise OptionError(message, location=url)
        if absolute_url(target) in {url, absolute_url(job.output or "")}:
            raise OptionError("the document of a file would overwrite the file or the output", location=target)
        yield target


def write_separate(job: Job, ledger: Ledger, results: Results, progress: ProgressCallback) -> None:
    """Write a document for each scanned file that has none of its present result.

    Raises:
        OptionError: two files would have the same document, or an option makes no sense.
        SourceError: one cannot be written.
    """
    total = ledger.count()[FileState.DONE]
    digest = job.output_digest[:16]
    written: list[tuple[int, str]] = []
    saved = time.monotonic()
    try:
        targets = documents(((row.url, row.name) for row in ledger.rows(FileState.DONE)), job)
        for number, (row, target) in enumerate(zip(ledger.rows(FileState.DONE), targets, strict=True), 1):
            stamp = f"{digest}:{row.place.checksum if row.place else 0:08x}:{target}"
            path = local_path(target)
            if row.published != stamp or (path is not None and not Path(path).exists()):
                if path is not None:
                    Path(path).parent.mkdir(parents=True, exist_ok=True)
                write_document(stored(results, row), target, job)
                written.append((row.id, stamp))
            if time.monotonic() - saved > SAVED_EVERY:
                ledger.note_published(written)
                written, saved = [], time.monotonic()
            progress(Progress("writing", number, total))
    finally:
        ledger.note_published(written)
