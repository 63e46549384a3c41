"""What refmaker adds to reference documents under one extra key that other readers ignore: sources and report.

``schemas/references-v1.schema.json`` describes it. Absent facts (None) are left out.
"""

from collections.abc import Mapping
from typing import Any

from refmaker import __version__
from refmaker.model.attributes import JSON
from refmaker.model.reference_set import DatasetReport, DatasetState, Note, ReferenceSet, ScanReport, SourceFile

__all__ = ["FORMAT", "KEY", "extension_json", "parse_extension"]

KEY = "refmaker"
"""The top-level key."""
FORMAT = 1
"""The version of what stands under it; raised when older readers would misread it."""

TEXT, NUMBER, COUNT = (str,), (int, float), (int,)
SOURCE_FIELDS: dict[str, tuple[type, ...]] = {
    "url": TEXT,
    "size": COUNT,
    "etag": TEXT,
    "last_modified": NUMBER,
    "scanner": TEXT,
    "scanner_version": TEXT,
    "scan_time": NUMBER,
}
COST_FIELDS: dict[str, tuple[type, ...]] = {"requests": COUNT, "bytes_read": COUNT, "rounds": COUNT, "seconds": NUMBER}
DATASET_FIELDS: dict[str, tuple[type, ...]] = {"path": TEXT, "code": TEXT, "reason": TEXT}
NOTE_FIELDS: dict[str, tuple[type, ...]] = {"path": TEXT, "code": TEXT, "sentence": TEXT}


def extension_json(references: ReferenceSet) -> dict[str, Any]:
    """Return the value of the extra key."""
    report = references.report
    return {
        "format": FORMAT,
        "version": __version__,
        "sources": [_present(source, SOURCE_FIELDS) for source in references.sources],
        "report": {
            "datasets": [_dataset_json(dataset) for dataset in report.datasets],
            "notes": [_present(note, NOTE_FIELDS) for note in report.notes],
            **_present(report, COST_FIELDS),
        },
    }


def _present(value: Any, names: Mapping[str, object]) -> dict[str, Any]:
    return {name: found for name in names if (found := getattr(value, name)) is not None}


def _dataset_json(dataset: DatasetReport) -> dict[str, Any]:
    optional = {"code": dataset.code, "reason": dataset.reason, "codecs": list(dataset.codecs)}
    told = {name: value for name, value in optional.items() if value}
    return {"path": dataset.path, "state": dataset.state.value, **told}


def parse_extension(value: JSON) -> tuple[tuple[SourceFile, ...], ScanReport]:
    """Return the source table and the report; both empty if the key was absent (None) or of a later format.

    Raises:
        ValueError: it is not what the schema says.
    """
    if value is None or (isinstance(value, dict) and value.get("format") != FORMAT):
        return (), ScanReport()
    if not isinstance(value, dict):
        raise ValueError(f"{KEY!r} is not an object")  # noqa: TRY004  one error for all broken documents
    report = value.get("report", {})
    if not isinstance(report, dict):
        raise ValueError("its report is not an object")  # noqa: TRY004
    sources = _parse_sources(_rows(value, "sources"))
    return sources, ScanReport(
        datasets=tuple(_parse_dataset(row) for row in _rows(report, "datasets")),
        notes=tuple(Note(**_checked(row, NOTE_FIELDS, tuple(NOTE_FIELDS))) for row in _rows(report, "notes")),
        **_checked(report, COST_FIELDS),
    )


def _parse_sources(rows: list[dict[str, JSON]]) -> tuple[SourceFile, ...]:
    """Return the source table; types are checked by column, because there may be a million rows."""
    columns: list[list[Any]] = [[row.get(name) for row in rows] for name in SOURCE_FIELDS]
    for (name, kinds), column in zip(SOURCE_FIELDS.items(), columns, strict=True):
        found = set(map(type, column))
        wrong = found - {*kinds, *(() if name == "url" else (type(None),))}
        if kinds is COUNT and not wrong:
            numbers = [n for n in column if n is not None]
            wrong = {int} if numbers and not (min(numbers) >= 0 and max(numbers) < 1 << 63) else wrong
        if wrong:
            for row in rows:
                _checked(row, SOURCE_FIELDS, ("url",))
            raise ValueError(f"{name} of a source is of the wrong kind")
    return tuple(map(SourceFile, *columns)) if rows else ()


def _parse_dataset(row: Mapping[str, JSON]) -> DatasetReport:
    codecs = row.get("codecs", [])
    if not isinstance(codecs, list) or not all(isinstance(codec, str) for codec in codecs):
        raise ValueError(f"codecs are {codecs!r:.100}")
    known = _checked(row, DATASET_FIELDS, ("path",))
    return DatasetReport(state=DatasetState(str(row.get("state"))), codecs=tuple(map(str, codecs)), **known)


def _rows(value: Mapping[str, JSON], name: str) -> list[dict[str, JSON]]:
    rows = value.get(name, [])
    if not isinstance(rows, list):
        raise ValueError(f"{name} is not a list")  # noqa: TRY004
    checked = [row for row in rows if isinstance(row, dict)]
    if len(checked) != len(rows):
        raise ValueError(f"{name} holds something that is not an object")
    return checked


def _checked(
    row: Mapping[str, JSON], fields: Mapping[str, tuple[type, ...]], required: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the known fields of an object, each of its type; other fields are ignored."""
    for name in required:
        if row.get(name) is None:
            raise ValueError(f"{name} is missing")
    found = {name: row[name] for name in fields if row.get(name) is not None}
    for name, value in found.items():
        absurd = fields[name] is COUNT and not (isinstance(value, int) and 0 <= value < 1 << 63)
        if absurd or not isinstance(value, fields[name]) or isinstance(value, bool):
            raise ValueError(f"{name} is {value!r:.100}")
    return found
