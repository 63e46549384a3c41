"""A remote file as a source, and the connections that all files of a scan share.

Coroutines run on fsspec's own loop, in its thread; whoever calls from outside waits for futures. A request counts when
it is made, so retries count too. Only fsspec is used: over HTTP obstore was no faster for the same ranges (2,000 of
35 kB with 50 ms each: 1.2 to 1.3 s against 1.1 to 1.5 s, and as much CPU).
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from refmaker.errors import RefmakerError, SourceError, StaleSourceError
from refmaker.source.base import Bytes, check_range, check_ranges
from refmaker.source.collector import collector_paused
from refmaker.source.location import open_filesystem, options_for
from refmaker.source.policy import HEAD, Transfer
from refmaker.source.range_readers import Facts, RangeReader, range_reader
from refmaker.source.retries import persistent, told

__all__ = ["Connections", "RemoteSource", "reader_for"]

T = TypeVar("T")
Span = tuple[int, int]
"""Start and stop of a byte range."""


class Connections:
    """Requests to any stores, ``transfer.concurrency`` at a time over all files, each with retries."""

    def __init__(self, transfer: Transfer) -> None:
        self.transfer = transfer
        self._limit = asyncio.Semaphore(transfer.concurrency)

    def submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run a coroutine on fsspec's loop and return the future of its result.

        Raises:
            SourceError: the caller runs on that loop itself, and would wait for itself.
        """
        import fsspec.asyn

        loop = fsspec.asyn.get_loop()
        if asyncio._get_running_loop() is loop:
            work.close()
            raise SourceError("remote files cannot be scanned from a coroutine on fsspec's own loop; use a thread")
        return asyncio.run_coroutine_threadsafe(work, loop)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result."""
        with collector_paused():
            return self.submit(work).result()

    async def ask(self, url: str, call: Callable[[], Coroutine[Any, Any, T]], offset: int | None = None) -> T:
        """Return what ``call`` returns, after retries.

        Raises:
            SourceError: the store did not answer, for good.
        """
        transfer = self.transfer

        async def once() -> T:
            async with self._limit, asyncio.timeout(transfer.timeout):
                return await call()

        try:
            return await persistent(once, attempts=transfer.retries + 1, first_delay=transfer.first_delay)
        except RefmakerError:
            raise
        except Exception as error:
            raise SourceError(told(error), location=url, offset=offset) from error


def reader_for(url: str, storage_options: Mapping[str, Any] | None) -> RangeReader:
    """Return the reader for a URL. Not for coroutines: some filesystems connect while they are made.

    Raises:
        SourceError: no filesystem opens it.
        OptionError: the URL holds credentials.
    """
    options = options_for(url, storage_options)
    if url.startswith(("http://", "https://")):
        options = {"get_client": _client, **options}
    return range_reader(url, *open_filesystem(url, options))


async def _client(**options: Any) -> Any:
    """Return a session for an HTTP filesystem: this module, not the connector, limits requests in flight."""
    import aiohttp

    if "connector" not in options:
        options["connector"] = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(**options)


class RemoteSource:
    """A remote file: a ByteSource for everyone, futures for the scheduler.

    Attributes:
        location: the URL.
        known: size, entity tag and modification time.
        head: the first bytes, which came with these.
        requests: made so far, retries included.
        bytes: that came.
        rounds: dependent waits.
    """

    def __init__(self, connections: Connections, url: str, reader: RangeReader) -> None:
        self.location = url
        self.known = Facts(0)
        self.head = b""
        self.requests = 0
        self.bytes = 0
        self.rounds = 0
        self._connections = connections
        self._reader = reader
        self._checked_rounds = 1

    @classmethod
    async def open(cls, connections: Connections, url: str, reader: RangeReader) -> "RemoteSource":
        """Return the source for a URL, its first bytes fetched.

        Raises:
            SourceError: it does not exist, or the store did not answer.
        """
        source = cls(connections, url, reader)
        source.rounds = 1

        async def first() -> tuple[Facts, bytes]:
            source.requests += 1
            return await source._reader.open(HEAD)

        source.known, source.head = await connections.ask(url, first)
        source.bytes = len(source.head)
        return source

    @property
    def sends_whole_files(self) -> bool:
        """Whether the store answered a range with the whole file."""
        return self._reader.sends_whole_files

    @property
    def size(self) -> int:
        """Bytes in the whole file."""
        return self.known.size

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes at ``offset``."""
        check_range(self, offset, length)
        if length == 0:
            return b""
        [data] = self._connections.wait(self.fetch([(offset, offset + length)]))
        return data

    def gather(self, offset: npt.NDArray[np.uint64], length: int) -> Bytes:
        """Return many ranges at once, fetched concurrently."""
        check_ranges(self, offset, length)
        if length == 0 or offset.size == 0:
            return np.empty((offset.size, length), np.uint8)
        parts = self._connections.wait(self.fetch([(start, start + length) for start in offset.tolist()]))
        return np.frombuffer(b"".join(parts), np.uint8).reshape(offset.size, length)

    async def fetch(self, spans: Sequence[Span]) -> list[bytes]:
        """Return the bytes of ranges, asked for side by side: one round.

        Raises:
            SourceError: the store did not answer, or with the wrong bytes.
            StaleSourceError: the file changed since it was opened.
        """
        self.rounds += 1
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._part(start, stop)) for start, stop in spans]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _part(self, start: int, stop: int) -> bytes:
        async def once() -> bytes:
            self.requests += 1
            return await self._reader.fetch(start, stop, self.known)

        data = await self._connections.ask(self.location, once, start)
        self.bytes += len(data)
        return data

    async def check_unchanged(self) -> None:
        """Ask once more for the facts where fetched ranges did not tell them, if there was more than one round.

        Raises:
            StaleSourceError: the file is not what it was when opened.
        """
        if self.rounds == self._checked_rounds:
            return
        self._checked_rounds = self.rounds
        now = await self._connections.ask(self.location, self._reader.facts)
        if now is not None and self.known.contradicts(now):
            raise StaleSourceError(
                f"changed while it was scanned: {self.known.size} bytes (entity tag {self.known.etag}) before, "
                f"{now.size} bytes (entity tag {now.etag}) now; scan it again",
                location=self.location,
            )

    def close(self) -> None:
        """Nothing to close: the filesystem keeps its own connections."""
