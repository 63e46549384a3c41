"""What became of every file and dataset of a job, as JSON for programs (``schemas/index-report-v1.schema.json``)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from refmaker import __version__
from refmaker.batch.index import IndexReport
from refmaker.batch.ledger import NAME, FileRow, FileState, Ledger
from refmaker.batch.reduction import stored
from refmaker.batch.results import Results
from refmaker.cli.options import options_of
from refmaker.model.reference_set import DatasetReport, DatasetState
from refmaker.references.publish import publish

__all__ = ["write_index_report"]

REPORT_VERSION = 1


def write_index_report(
    found: IndexReport, url: str, storage_options: Mapping[str, Any] | None, *, exit_code: int
) -> None:
    """Write the report, whole or not at all, file by file: there may be a million."""
    head = {
        "report_version": REPORT_VERSION,
        "refmaker_version": __version__,
        "exit_code": exit_code,
        "job": str(found.directory),
        "written": list(found.written),
        "scanned": found.scanned,
        "counts": {state.value: count for state, count in found.files.items()},
        "datasets": {state.value: count for state, count in found.datasets.items()},
        "notes": [{"path": note.path, "code": note.code, "sentence": note.sentence} for note in found.notes],
        "seconds": found.seconds,
    }
    results = Results(found.directory / "results")
    try:
        with (
            Ledger(found.directory / NAME, read_only=True) as ledger,
            publish(url, options_of(url, storage_options)) as file,
        ):
            file.write(json.dumps(head)[:-1].encode() + b', "files": [\n')
            for number, row in enumerate(ledger.rows()):
                file.write((b",\n" if number else b"") + json.dumps(_file_json(row, results)).encode())
            file.write(b"\n]}\n")
    finally:
        results.close()


def _file_json(row: FileRow, results: Results) -> dict[str, Any]:
    told: dict[str, Any] = {"file": row.url, "state": row.state.value, "attempts": row.attempts, "seconds": row.seconds}
    if row.kind is not None:
        error = {name: getattr(row, name) for name in ("kind", "message", "code", "path", "offset")}
        return told | {"error": error}
    if row.state is not FileState.DONE or row.counts is None:
        return told
    report = stored(results, row).report
    return told | {
        "requests": row.requests,
        "bytes_read": row.bytes_read,
        "counts": {state.value: count for state, count in zip(DatasetState, row.counts, strict=True)},
        "datasets": list(_datasets(report.datasets)),
        "notes": [{"path": note.path, "code": note.code, "sentence": note.sentence} for note in report.notes],
    }


def _datasets(datasets: tuple[DatasetReport, ...]) -> Iterator[dict[str, Any]]:
    for dataset in datasets:
        told: dict[str, Any] = {"path": dataset.path, "state": dataset.state.value}
        if dataset.code:
            told |= {"code": dataset.code, "reason": dataset.reason}
        yield told | ({"codecs": list(dataset.codecs)} if dataset.codecs else {})
