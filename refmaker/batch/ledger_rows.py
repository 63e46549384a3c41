"""The tables of a job's ledger, and what a row of files is in Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from refmaker.batch.results import Place

__all__ = ["COLUMNS", "FORMAT", "NOTHING_KNOWN", "TABLES", "FileRow", "FileState", "row_of"]

FORMAT = 2
"""The version of the tables; raised when they change."""


class FileState(StrEnum):
    """What became of a file."""

    PENDING = "pending"
    """Still to be scanned."""
    DONE = "done"
    """Its references are stored."""
    FAILED = "failed"
    """It could not be scanned; the next run tries again."""
    QUARANTINED = "quarantined"
    """It could not be scanned, and is left alone until it changes."""
    VANISHED = "vanished"
    """It was there once, and is no longer among the inputs."""


TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    place INTEGER NOT NULL,
    size INTEGER, etag TEXT, modified REAL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    kind TEXT, message TEXT, code TEXT, path TEXT, offset INTEGER,
    seconds REAL, requests INTEGER, bytes_read INTEGER,
    referenced INTEGER, inlined INTEGER, linked INTEGER, skipped INTEGER, notes INTEGER,
    shard INTEGER, start INTEGER, length INTEGER, checksum INTEGER,
    published TEXT
);
CREATE INDEX files_by_state ON files (state, place);
CREATE TABLE skipped (file INTEGER NOT NULL, path TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL);
CREATE INDEX skipped_by_file ON skipped (file);
CREATE TABLE linked (file INTEGER NOT NULL, url TEXT, size INTEGER, etag TEXT, modified REAL);
CREATE INDEX linked_by_file ON linked (file);
"""
"""``seconds`` to ``checksum`` belong to the last scan, ``kind`` to ``offset`` to the last failure; ``published`` says
which result of the file was written where, as a document of its own. ``linked`` are other files that the references
point into; ``url`` is NULL where one was not there, and the file's result lacks what it would have given."""

NOTHING_KNOWN = ", ".join(
    f"{name} = NULL"
    for name in (
        "kind", "message", "code", "path", "offset", "seconds", "requests", "bytes_read", "referenced", "inlined",
        "linked", "skipped", "notes", "shard", "start", "length", "checksum",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """A file as the ledger knows it; see ``TABLES``."""

    id: int
    url: str
    name: str
    state: FileState
    attempts: int
    kind: str | None
    message: str | None
    code: str | None
    path: str | None
    offset: int | None
    seconds: float | None
    requests: int | None
    bytes_read: int | None
    counts: tuple[int, ...] | None
    notes: int | None
    place: Place | None
    published: str | None


COLUMNS = (
    "id, url, name, state, attempts, kind, message, code, path, offset, seconds, requests, bytes_read, "
    "referenced, inlined, linked, skipped, notes, shard, start, length, checksum, published"
)


def row_of(values: Sequence[Any]) -> FileRow:
    """Return a row of COLUMNS."""
    (row_id, url, name, state, attempts, kind, message, code, path, offset, seconds, requests, bytes_read,
     *counts, notes, shard, start, length, checksum, published) = values  # fmt: skip
    return FileRow(
        id=row_id, url=url, name=name, state=FileState(state), attempts=attempts, kind=kind, message=message, code=code,
        path=path, offset=offset, seconds=seconds, requests=requests, bytes_read=bytes_read,
        counts=None if counts[0] is None else tuple(counts), notes=notes,
        place=None if shard is None else Place(shard, start, length, checksum), published=published,
    )  # fmt: skip
