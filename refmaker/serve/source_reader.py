"""The reading core behind all doors: bytes of chunks, from whatever file they lie in, complete or an error.

Whatever fails is a ChunkReadError that names chunk, URL, offset and length, or a StaleSourceError; nothing a store
raises escapes, because readers take some of it (FileNotFoundError above all) for "no such chunk" and show fill values.
"""

import asyncio
import queue
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from refmaker.errors import (
    BrokenReferencesError,
    ChunkReadError,
    RefmakerError,
    StaleSourceError,
    UnsupportedError,
)
from refmaker.model.chunks import INLINE, ChunkRef
from refmaker.model.reference_set import SourceFile
from refmaker.serve.allowed import AllowedLocations
from refmaker.serve.crew import share
from refmaker.serve.fetch import Data
from refmaker.serve.identity import check_identity
from refmaker.serve.local import LocalFile, LocalFiles
from refmaker.serve.options import ServeOptions
from refmaker.serve.plan import Located, plan
from refmaker.serve.remote import RemoteFiles, described, in_io_loop, io_loop
from refmaker.source.identity import LOCAL_SLACK, Found
from refmaker.source.location import local_path
from refmaker.source.plan import Read

__all__ = ["Consumer", "SourceReader"]

LOCAL_READ = 512 << 10
"""Bytes of a merged local read: large enough to forget the call, small enough to stay in a core's cache."""
TASK_BYTES = 1 << 20
TASK_CHUNKS = 64
"""A thread's task: so many chunks, or so many bytes, whichever comes first; a hand-over costs some 50 microseconds."""
READ_INLINE = 1 << 20
"""Bytes up to which reading a local file in the event loop beats a thread's 40 microseconds, even uncached."""


class Consumer(Protocol):
    """Takes the encoded chunks of a selection as they are read, in any order, from several threads."""

    worth_sharing: bool
    """Whether chunks take long enough to decode that threads gain anything."""

    def take(self, row: int, data: Any) -> None:
        """Take the bytes of a row's chunk."""

    def buffers(self, rows: Sequence[int]) -> list[Any] | None:
        """Return the writable buffers that these rows' bytes may be read straight into, or None."""

    def take_run(self, rows: Sequence[int], data: Any) -> bool:
        """Take chunks of one length that lie one right after the other in ``data``, if it can do that at once."""

    def name(self, row: int) -> str:
        """Return the store key of a row's chunk, for messages."""


class SourceReader:
    """Reads chunks of one set of references.

    Args:
        sources: the source table.
        references: URL of the document, or None.
        options: how to read.
    """

    def __init__(self, sources: Sequence[SourceFile], references: str | None, options: ServeOptions) -> None:
        self._sources = sources
        self._options = options
        self._allowed = AllowedLocations(references, sources, options.allow)
        self._local = LocalFiles(self._open_local)
        self._remote = RemoteFiles(sources, options, self._check_url, self._allowed.check_host)

    def forget(self) -> None:
        """Ask anew, at the next use of each source, whether it is the file that was scanned."""
        self._local.forget()
        self._remote.forget()

    def _check_url(self, source: SourceFile) -> None:
        self._allowed.check(source.url, recorded=source.scanner is not None)

    def _open_local(self, location_id: int) -> LocalFile:
        source = self._sources[location_id]
        self._check_url(source)
        file = LocalFile(local_path(source.url) or source.url)
        found = Found(file.size, None, file.last_modified)
        check_identity(source, found, self._options.on_stale, LOCAL_SLACK)
        return file

    # -- one chunk -----------------------------------------------------------------------------------------------
    async def read_chunk(self, key: str, chunk: ChunkRef, first: int, last: int) -> bytes:
        """Return the bytes [first, last) of a chunk that lies in a source; runs in any event loop.

        Raises:
            ChunkReadError: they could not be read in full, for whatever reason.
            StaleSourceError: the source is no longer the file that was scanned.
        """
        start, stop = chunk.offset + first, chunk.offset + last
        if stop <= start:
            return b""
        try:
            if local_path(self._sources[chunk.location_id].url) is None:
                return await in_io_loop(self._remote.read_soon(chunk.location_id, start, stop))
            if stop - start <= READ_INLINE:
                return self._local.get(chunk.location_id).read(start, stop - start)
            return await asyncio.to_thread(self._read_local, chunk.location_id, start, stop)
        except Exception as error:
            raise self._failed(error, key, chunk.location_id, start, stop - start) from error

    def _read_local(self, location_id: int, start: int, stop: int) -> bytes:
        return self._local.get(location_id).read(start, stop - start)

    # -- a selection ---------------------------------------------------------------------------------------------
    def read_all(self, located: Located, consumer: Consumer) -> None:
        """Read every chunk that lies in a source and give it to ``consumer``; local files first.

        Raises:
            ChunkReadError: a chunk could not be read in full, or does not decode.
            StaleSourceError: a source is no longer the file that was scanned.
            BrokenReferencesError: a chunk lies in a source that the table does not have.
        """
        ids = {one for one in set(located.location_id.tolist()) if one < INLINE}
        if ids and max(ids) >= len(self._sources):
            raise BrokenReferencesError(f"name source {max(ids)} of {len(self._sources)}")
        remote = {one for one in ids if local_path(self._sources[one].url) is None}
        if len(remote) < len(ids):
            reads = plan(located, gap=0, request_bytes=LOCAL_READ)
            tasks = deque(_tasks([read for read in reads if read.location_id not in remote]))

            def next_task() -> list[Read] | None:
                try:
                    return tasks.popleft()
                except IndexError:
                    return None

            helpers = len(tasks) - 1 if consumer.worth_sharing else 0
            share(next_task, lambda task: self._do_local(task, consumer), helpers=helpers)
        if remote:
            options = self._options
            reads = plan(located, gap=options.merge_gap, request_bytes=options.request_bytes)
            self._do_remote([read for read in reads if read.location_id in remote], consumer)

    def _do_local(self, reads: list[Read], consumer: Consumer) -> None:
        file: LocalFile | None = None
        of = -1
        for read in reads:
            try:
                if file is None or read.location_id != of:
                    file, of = self._local.get(read.location_id), read.location_id
                buffers = consumer.buffers(read.rows) if sum(read.length) == read.stop - read.start else None
                if buffers is not None and [buffer.nbytes for buffer in buffers] == list(read.length):
                    file.read_into(buffers, read.start)
                    continue
                data = file.read(read.start, read.stop - read.start)
            except Exception as error:
                raise self._failed_read(error, read, consumer) from error
            self._hand_out(read, data, consumer)

    def _do_remote(self, reads: list[Read], consumer: Consumer) -> None:
        arrived: queue.SimpleQueue[tuple[Read, Data | Exception] | None] = queue.SimpleQueue()
        empty = [read for read in reads if read.stop == read.start]
        for read in empty:
            self._hand_out(read, b"", consumer)
        wanted = [read for read in reads if read.stop > read.start]
        fetching = asyncio.run_coroutine_threadsafe(self._remote.fetch(wanted, arrived), io_loop())
        helpers = len(wanted) - 1

        def all_came(_: object) -> None:
            for _worker in range(helpers + 2):
                arrived.put(None)

        fetching.add_done_callback(all_came)

        done: list[Read] = []

        def work(item: tuple[Read, Data | Exception]) -> None:
            read, data = item
            if isinstance(data, Exception):
                fetching.cancel()
                raise self._failed_read(data, read, consumer) from data
            self._hand_out(read, data, consumer)
            done.append(read)

        try:
            share(arrived.get, work, helpers=helpers)
            if len(done) != len(wanted):  # never take it for read because nobody complained
                raise ChunkReadError(f"{len(wanted) - len(done)} of {len(wanted)} reads were lost")
        finally:
            fetching.cancel()

    def _hand_out(self, read: Read, data: Data, consumer: Consumer) -> None:
        view = memoryview(data)
        start = read.start
        row = read.rows[0]
        try:
            if len(read.rows) == 1:
                consumer.take(row, data)
                return
            length = read.length[0]
            run = len(data) == length * len(read.rows) and read.length.count(length) == len(read.rows)
            if run and consumer.take_run(read.rows, data):
                return
            for row, offset, length in zip(read.rows, read.offset, read.length, strict=True):
                consumer.take(row, view[offset - start : offset - start + length])
        except Exception as error:
            at = read.rows.index(row)
            raise self._failed(error, consumer.name(row), read.location_id, read.offset[at], read.length[at]) from error

    # -- what went wrong -----------------------------------------------------------------------------------------
    def _failed_read(self, error: Exception, read: Read, consumer: Consumer) -> RefmakerError:
        return self._failed(error, consumer.name(read.rows[0]), read.location_id, read.offset[0], read.length[0])

    def _failed(self, error: Exception, key: str, location_id: int, offset: int, length: int) -> RefmakerError:
        url = self._sources[location_id].url
        if isinstance(error, ChunkReadError) and error.path is not None:
            return error
        if isinstance(error, UnsupportedError):  # a decoder that is not installed
            return UnsupportedError(error.message, code=error.code, location=url, path=key)
        if isinstance(error, StaleSourceError):
            return StaleSourceError(error.message, location=url, path=key)
        return ChunkReadError(
            f"{length} bytes could not be read: {described(error)}", location=url, path=key, offset=offset
        )


def _tasks(reads: list[Read]) -> list[list[Read]]:
    """Return reads in portions that are worth a thread's while."""
    tasks: list[list[Read]] = []
    chunks = nbytes = 0
    for read in reads:
        if not tasks or chunks >= TASK_CHUNKS or nbytes >= TASK_BYTES:
            tasks.append([])
            chunks = nbytes = 0
        tasks[-1].append(read)
        chunks += len(read.rows)
        nbytes += read.stop - read.start
    return tasks
