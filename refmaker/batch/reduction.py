"""From stored results to documents: one of all files together, or one of each, or both.

What is written depends on the results and the options alone, not on when or in which order files were scanned: times
and costs of scanning stay in the ledger. So a job that was killed and resumed writes the bytes of one that was not.
"""

import glob
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from refmaker.batch.job import Job, WriteSettings
from refmaker.batch.ledger import FileRow, FileState, Ledger
from refmaker.batch.packing import KnownMetadata, unpack
from refmaker.batch.results import Results
from refmaker.batch.scanning import Progress, ProgressCallback
from refmaker.combine.combination import combination
from refmaker.combine.inputs import Input
from refmaker.combine.outcome import Combination
from refmaker.errors import BrokenFileError, OptionError
from refmaker.model.reference_set import ReferenceSet, ScanReport
from refmaker.references import inline_below, write_references
from refmaker.references.relocate import relative_to
from refmaker.source.location import local_path, options_for

__all__ = ["clear_leftovers", "combined", "document_names", "stored", "write_document", "write_separate"]

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
    folder = None
    if settings.relative:
        folder = target.rstrip("/").rpartition("/")[0] or ("/" if target.startswith("/") else ".")
        shortened = relative_to(folder)
        for source in references.sources:
            if shortened(source.url) == source.url:
                message = f"a relative location needs it below the document's directory, {folder}"
                raise OptionError(message, location=source.url)
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
        found += final.parent.glob(f".{glob.escape(final.name)}.*.part")
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


def document_names(rows: Iterator[FileRow], suffix: str) -> dict[int, str]:
    """Return, by row, the name of each file's own document below the directory of such documents.

    Raises:
        OptionError: two files would have the same.
    """
    owners: dict[str, str] = {}
    names = {}
    for row in rows:
        folder, slash, last = row.name.rpartition("/")
        stem = last.rpartition(".")[0] or last
        name = f"{folder}{slash}{stem}{suffix}"
        if name in owners:
            message = f"{owners[name]} would have the same document, {name}; index them as two jobs"
            raise OptionError(message, location=row.url)
        owners[name] = row.url
        names[row.id] = name
    return names


def write_separate(job: Job, ledger: Ledger, results: Results, progress: ProgressCallback) -> None:
    """Write a document for each scanned file that has none of its present result.

    Raises:
        OptionError: two files would have the same document, or an option makes no sense.
        SourceError: one cannot be written.
    """
    base = (job.separate or "").rstrip("/")
    names = document_names(ledger.rows(FileState.DONE), job.write.separate_suffix)
    digest = job.output_digest[:16]
    written: list[tuple[int, str]] = []
    saved = time.monotonic()
    try:
        for number, row in enumerate(ledger.rows(FileState.DONE), 1):
            target = f"{base}/{names[row.id]}"
            stamp = f"{digest}:{row.place.checksum if row.place else 0:08x}"
            path = local_path(target)
            if row.published != stamp or (path is not None and not Path(path).exists()):
                if path is not None:
                    Path(path).parent.mkdir(parents=True, exist_ok=True)
                write_document(stored(results, row), target, job)
                written.append((row.id, stamp))
            if time.monotonic() - saved > SAVED_EVERY:
                ledger.note_published(written)
                written, saved = [], time.monotonic()
            progress(Progress("writing", number, len(names)))
    finally:
        ledger.note_published(written)
