"""What a job knows of every file: one row each in SQLite, so that a job killed at any point goes on where it was.

A row changes together with where its result lies, in one transaction, after the result itself is on disk. There is no
state "being scanned": what was under way when a job was killed is simply still to be done. No write-ahead log, because
job directories also lie on network filesystems, where SQLite's shared memory does not work.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refmaker.batch.inputs import Listed
from refmaker.batch.ledger_rows import COLUMNS, FORMAT, NOTHING_KNOWN, TABLES, FileRow, FileState, row_of
from refmaker.batch.outcome import Failed, Outcome, Scanned, Task
from refmaker.batch.results import Place
from refmaker.errors import BrokenFileError, RefmakerError, SourceError
from refmaker.model.reference_set import DatasetState

__all__ = ["NAME", "FileRow", "FileState", "Ledger", "Listing"]

NAME = "ledger.sqlite"
OUTSIDE = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)
"""Kinds of errors that are no fault of the file: a full disk, a lock, missing permissions."""
PAGE = 1000
"""Rows read at once: others may write between pages."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a look at the inputs changed: numbers of files."""

    new: int = 0
    changed: int = 0
    vanished: int = 0
    total: int = 0


class Ledger:
    """The table of files of one job, and facts about the job."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open a ledger; a new one is made if there is none and it is not only to be read.

        Even for reading, the file is opened to write where that is allowed: what a killed run left half-written is
        taken back then.

        Raises:
            BrokenFileError: it is no ledger, or of another version.
            SourceError: it cannot be opened or made.
        """
        mode = "rwc" if not read_only else "rw" if os.access(path.parent, os.W_OK) else "ro"
        where = f"{path.absolute().as_uri()}?mode={mode}"
        self._path = path
        try:
            self._database = sqlite3.connect(where, timeout=30, isolation_level=None, uri=True)
        except sqlite3.Error as error:
            raise self._error(error) from error
        try:
            self._prepare(read_only=read_only)
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise self._error(error) from error
            raise

    def _prepare(self, *, read_only: bool) -> None:
        """Make the tables if there are none; check that they are ours."""
        self._database.execute("PRAGMA synchronous = FULL")
        if not read_only and not self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            with self.transaction():
                for statement in TABLES.split(";"):
                    self._database.execute(statement)
                self._set("format", FORMAT)
        version = self.fact("format")
        if version != FORMAT:
            raise BrokenFileError(f"is a ledger of version {version}, not {FORMAT}", location=str(self._path))

    def close(self) -> None:
        """Close it; what no transaction finished is as it was."""
        self._database.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, kind: object, error: BaseException | None, where: object) -> None:
        """Close it; what SQLite raised meanwhile becomes an error of ours."""
        self.close()
        if isinstance(error, sqlite3.Error):
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error) -> RefmakerError:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in OUTSIDE:  # the low byte is the kind
            return SourceError(f"the job's ledger cannot be used: {error}", location=str(self._path))
        return BrokenFileError(f"is no ledger of a job, or a damaged one: {error}", location=str(self._path))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all or nothing of what is done inside."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._database.in_transaction:  # on a full disk SQLite has rolled back itself
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    # -- facts about the job ---------------------------------------------------------------------------------------
    def fact(self, name: str) -> Any:
        """Return a fact, or None."""
        found = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if found is None else json.loads(found[0])

    def set_fact(self, **facts: Any) -> None:
        """Set facts, all or none."""
        with self.transaction():
            for name, value in facts.items():
                self._set(name, value)

    def _set(self, name: str, value: Any) -> None:
        self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    # -- the inputs ------------------------------------------------------------------------------------------------
    def linked(self) -> Iterator[tuple[int, str | None, tuple[int | None, str | None, float | None]]]:
        """Yield id of a scanned file, and URL, size, entity tag and modification time of what it links; see TABLES."""
        for file, url, *stamp in self._database.execute("SELECT file, url, size, etag, modified FROM linked"):
            yield file, url, (stamp[0], stamp[1], stamp[2])

    def enter(self, listed: Iterable[Listed], outdated: Iterable[int] = (), **facts: Any) -> Listing:
        """Bring the table up to date with the inputs there are, and set facts about them.

        New files and changed ones are to be scanned, and those in ``outdated`` by their ids; those that are gone are
        kept, as vanished.
        """
        run = self._database.execute
        with self.transaction():
            run("CREATE TEMP TABLE outdated (file INTEGER PRIMARY KEY)")
            self._database.executemany("INSERT OR IGNORE INTO outdated VALUES (?)", ((file,) for file in outdated))
            run("CREATE TEMP TABLE listed (url TEXT PRIMARY KEY, name TEXT, place INTEGER, size INTEGER, etag TEXT,"
                " modified REAL, is_there INTEGER, wrong TEXT)")  # fmt: skip
            self._database.executemany(
                "INSERT OR IGNORE INTO listed VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                ((f.url, f.name, n, f.size, f.etag, f.modified, f.is_there, f.wrong) for n, f in enumerate(listed)),
            )
            gone = "(url NOT IN (SELECT url FROM listed) OR url IN (SELECT url FROM listed WHERE NOT is_there))"
            vanished = run(
                f"UPDATE files SET state = 'vanished' WHERE state = 'done' AND {gone}"  # noqa: S608  ours
            ).rowcount
            run("DELETE FROM files WHERE state != 'vanished' AND url NOT IN (SELECT url FROM listed)")
            changed = run(
                f"UPDATE files SET state = 'pending', attempts = 0, {NOTHING_KNOWN} FROM listed AS now "  # noqa: S608
                "WHERE files.url = now.url AND now.is_there AND (files.state = 'vanished' OR "
                "files.state != 'pending' AND ("
                "files.size != now.size OR files.etag != now.etag OR files.modified != now.modified OR "
                "files.state = 'done' AND files.id IN (SELECT file FROM temp.outdated)))"
            ).rowcount
            (moved,) = run("SELECT count(*) FROM files JOIN listed AS now USING (url) WHERE files.state = 'done' AND "
                           "(files.name != now.name OR files.place != now.place)").fetchone()  # fmt: skip
            run("UPDATE files SET name = now.name, place = now.place, size = coalesce(now.size, files.size), "
                "etag = coalesce(now.etag, files.etag), modified = coalesce(now.modified, files.modified) "
                "FROM listed AS now WHERE files.url = now.url")  # fmt: skip
            new = run("INSERT INTO files (url, name, place, size, etag, modified, state) SELECT url, name, place, size,"
                      " etag, modified, 'pending' FROM listed WHERE url NOT IN (SELECT url FROM files) "
                      "ORDER BY place").rowcount  # fmt: skip
            run(f"UPDATE files SET {NOTHING_KNOWN} FROM listed AS now "  # noqa: S608  ours
                "WHERE files.url = now.url AND now.wrong IS NOT NULL")  # fmt: skip
            run("UPDATE files SET state = 'quarantined', kind = 'OptionError', message = now.wrong FROM listed AS now "
                "WHERE files.url = now.url AND now.wrong IS NOT NULL")  # fmt: skip
            for table in ("skipped", "linked"):
                run(f"DELETE FROM {table} WHERE file NOT IN (SELECT id FROM files WHERE state = 'done')")  # noqa: S608
            (total,) = run("SELECT count(*) FROM listed").fetchone()
            run("DROP TABLE listed")
            run("DROP TABLE outdated")
            if new or changed or vanished or moved:
                self._count_up()
            for name, value in facts.items():
                self._set(name, value)
        return Listing(new, changed, vanished, total)

    def retry_failed(self) -> int:
        """Have failed files scanned again; return how many."""
        with self.transaction():
            return self._database.execute(
                "UPDATE files SET state = 'pending', attempts = 0 WHERE state = 'failed'"
            ).rowcount

    # -- scanning --------------------------------------------------------------------------------------------------
    def pending(self) -> Iterator[Task]:
        """Yield the files to scan, in the order of the inputs."""
        last = -1
        while True:
            rows = self._database.execute(
                "SELECT place, id, url, attempts FROM files WHERE state = 'pending' AND place > ? "
                "ORDER BY place LIMIT ?",
                (last, PAGE),
            ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield from (Task(row_id, url, attempts) for _, row_id, url, attempts in rows)

    def record(self, outcomes: Iterable[tuple[Task, Outcome, Place | None]], failed_state: FileState) -> None:
        """Enter what became of files, all or nothing; results must be on disk."""
        run = self._database.execute
        with self.transaction():
            for task, outcome, place in outcomes:
                for table in ("skipped", "linked"):
                    run(f"DELETE FROM {table} WHERE file = ?", (task.id,))  # noqa: S608  ours
                if isinstance(outcome, Scanned) and place is not None:
                    run(
                        "UPDATE files SET state = 'done', attempts = ?, kind = NULL, message = NULL, code = NULL, "
                        "path = NULL, offset = NULL, seconds = ?, requests = ?, bytes_read = ?, referenced = ?, "
                        "inlined = ?, linked = ?, skipped = ?, notes = ?, shard = ?, start = ?, length = ?, "
                        "checksum = ?, size = coalesce(size, ?), etag = coalesce(etag, ?), "
                        "modified = coalesce(modified, ?) WHERE id = ?",
                        (task.attempts + 1, outcome.seconds, outcome.requests, outcome.bytes_read, *outcome.counts,
                         outcome.notes, *place, *outcome.stamp, task.id),
                    )  # fmt: skip
                    self._database.executemany(
                        "INSERT INTO skipped VALUES (?, ?, ?, ?)", ((task.id, *skipped) for skipped in outcome.skipped)
                    )
                    others = (*outcome.linked, *([(None,) * 4] if outcome.lacks else []))
                    self._database.executemany(
                        "INSERT INTO linked VALUES (?, ?, ?, ?, ?)", ((task.id, *other) for other in others)
                    )
                elif isinstance(outcome, Failed):
                    run(
                        f"UPDATE files SET {NOTHING_KNOWN} WHERE id = ?",  # noqa: S608  ours
                        (task.id,),
                    )
                    run(
                        "UPDATE files SET state = ?, attempts = ?, kind = ?, message = ?, code = ?, path = ?, "
                        "offset = ?, seconds = ? WHERE id = ?",
                        (failed_state, task.attempts + 1, outcome.kind, outcome.message, outcome.code, outcome.path,
                         outcome.offset, outcome.seconds, task.id),
                    )  # fmt: skip
            self._count_up()

    def note_published(self, published: Iterable[tuple[int, str]]) -> None:
        """Enter which result of a file was written where."""
        with self.transaction():
            self._database.executemany("UPDATE files SET published = ? WHERE id = ?", ((w, i) for i, w in published))

    def _count_up(self) -> None:
        """Note that the results are no longer those there were."""
        self._set("revision", (self.fact("revision") or 0) + 1)

    # -- looking ---------------------------------------------------------------------------------------------------
    def count(self) -> dict[FileState, int]:
        """Return how many files are in each state."""
        found = dict(self._database.execute("SELECT state, count(*) FROM files GROUP BY state").fetchall())
        return {state: found.get(state.value, 0) for state in FileState}

    def rows(self, *states: FileState) -> Iterator[FileRow]:
        """Yield files in the order of the inputs; all states if none is named."""
        marks = ", ".join("?" * len(states or tuple(FileState)))
        last = (-1, -1)
        while True:
            found = self._database.execute(
                f"SELECT place, {COLUMNS} FROM files WHERE state IN ({marks}) AND (place, id) > (?, ?) "  # noqa: S608
                "ORDER BY place, id LIMIT ?",
                (*(states or tuple(FileState)), *last, PAGE),
            ).fetchall()
            if not found:
                return
            last = found[-1][0], found[-1][1]
            yield from (row_of(row[1:]) for row in found)

    def totals(self) -> tuple[dict[DatasetState, int], float]:
        """Return how many datasets of scanned files are in each state, and the seconds of scanning."""
        *counts, seconds = self._database.execute(
            "SELECT total(referenced), total(inlined), total(linked), total(skipped), total(seconds) FROM files "
            "WHERE state = 'done'"
        ).fetchone()
        return dict(zip(DatasetState, map(int, counts), strict=True)), seconds

    def skipped(self, file: int) -> list[tuple[str, str, str]]:
        """Return path, code and reason of the datasets of a file that were left out."""
        return self._database.execute("SELECT path, code, reason FROM skipped WHERE file = ?", (file,)).fetchall()

    def skipped_by_reason(self, most: int) -> list[tuple[str, str, str, int]]:
        """Return path, code, reason, and in how many files: what was left out most often."""
        return self._database.execute(
            "SELECT path, code, reason, count(*) AS files FROM skipped GROUP BY path, code, reason "
            "ORDER BY files DESC, path LIMIT ?",
            (most,),
        ).fetchall()

    def failures_by_kind(self) -> dict[str, int]:
        """Return how many files failed for each kind of reason."""
        return dict(
            self._database.execute(
                "SELECT kind, count(*) FROM files WHERE state IN ('failed', 'quarantined') GROUP BY kind "
                "ORDER BY 2 DESC"
            ).fetchall()
        )

    def has_remote_pending(self) -> bool:
        """Whether a file that is to be scanned is not on a local filesystem."""
        query = "SELECT 1 FROM files WHERE state = 'pending' AND url NOT LIKE 'file://%' LIMIT 1"
        return self._database.execute(query).fetchone() is not None

    def shards(self) -> set[int]:
        """Return the numbers of the shards that hold results."""
        return {n for (n,) in self._database.execute("SELECT DISTINCT shard FROM files WHERE shard IS NOT NULL")}
