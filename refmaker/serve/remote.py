"""Remote sources: ranges fetched concurrently in one event loop of this process, with retries and identity checks.

The loop is fsspec's own IO thread, whoever calls: a notebook's loop, zarr's, dask's threads. So sessions belong to one
loop, nobody needs an ``asynchronous=`` option, and single reads that arrive within two milliseconds are merged like
those of a planned selection.
"""

import asyncio
import os
import queue
import threading
import weakref
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from refmaker.errors import RefmakerError
from refmaker.model.reference_set import SourceFile
from refmaker.serve.fetch import Data, Part, fetch_for, whole_facts
from refmaker.serve.identity import check_identity
from refmaker.serve.options import ServeOptions
from refmaker.source.plan import Read, plan_reads
from refmaker.source.retries import persistent

__all__ = ["RemoteFiles", "described", "in_io_loop", "io_loop"]

T = TypeVar("T")
LINGER = 0.002
"""Seconds that a single read waits for neighbours: a tenth of what a near store's answer takes."""

Arrivals: TypeAlias = "queue.SimpleQueue[tuple[Read, Data | Exception] | None]"
Opened = tuple[Any, str]
"""A filesystem and a path in it."""

_filesystems: dict[tuple[int, str, str], Any] = {}
"""Filesystems of this process by process, protocol and options: all references share sessions."""
_filesystems_lock = threading.Lock()


def io_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that remote reads run in: fsspec's, in a thread of its own."""
    from fsspec.asyn import get_loop

    loop: asyncio.AbstractEventLoop = get_loop()
    return loop


async def in_io_loop(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` in the IO loop, from whatever loop is running."""
    loop = io_loop()
    if asyncio.get_running_loop() is loop:
        return await work
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


class RemoteFiles:
    """Reads ranges of remote sources; all coroutines run in ``io_loop()``.

    Args:
        sources: the source table.
        options: how to read.
        check_url: raises SourceError if a location is not allowed.
        check_host: raises SourceError if a server sent us on to a host that is not.
    """

    def __init__(
        self,
        sources: Sequence[SourceFile],
        options: ServeOptions,
        check_url: Callable[[SourceFile], None],
        check_host: Callable[[str], None],
    ) -> None:
        self._sources = sources
        self._options = options
        self._check_url = check_url
        self._check_host = check_host
        self._slots: weakref.WeakKeyDictionary[Any, asyncio.Semaphore] = weakref.WeakKeyDictionary()
        self._known: dict[int, asyncio.Task[None]] = {}
        self._warned: set[int] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[int, list[tuple[int, int, asyncio.Future[bytes]]]] = {}

    # -- many ranges ---------------------------------------------------------------------------------------------
    async def fetch(self, reads: Sequence[Read], arrived: Arrivals) -> None:
        """Fetch ranges concurrently and put each into ``arrived`` as it comes, as bytes or as the exception."""

        async def one(read: Read) -> None:
            try:
                data: Data | Exception = await self.read(read.location_id, read.start, read.stop)
            except Exception as error:  # noqa: BLE001  handed over
                data = error
            arrived.put((read, data))

        tasks = [asyncio.ensure_future(one(read)) for read in reads]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    # -- single ranges -------------------------------------------------------------------------------------------
    async def read_soon(self, location_id: int, start: int, stop: int) -> bytes:
        """Return one range, fetched together with those neighbours that are asked for within two milliseconds."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a forked child has another loop, and nobody of those who waited
            self._loop, self._waiting = loop, {}
        future: asyncio.Future[bytes] = loop.create_future()
        if not self._waiting:
            loop.call_later(LINGER, self._flush)
        self._waiting.setdefault(location_id, []).append((start, stop, future))
        return await future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        loop = asyncio.get_running_loop()
        options = self._options
        for location_id, wanted in waiting.items():
            start, stop = (np.array([one[n] for one in wanted], np.int64) for n in (0, 1))
            ids, rows = np.zeros(start.size, np.uint32), np.arange(start.size)
            reads = plan_reads(
                ids, start, stop - start, rows, gap=options.merge_gap, request_bytes=options.request_bytes
            )
            for read in reads:
                task = loop.create_task(self._answer(location_id, [wanted[row] for row in read.rows]))
                _running.add(task)
                task.add_done_callback(_running.discard)

    async def _answer(self, location_id: int, wanted: Sequence[tuple[int, int, "asyncio.Future[bytes]"]]) -> None:
        """Read a merged range for those who wait; if that fails, each of theirs, so that one fault stays one fault."""
        begin, end = wanted[0][0], max(stop for _, stop, _ in wanted)
        try:
            data = await self.read(location_id, begin, end)
        except Exception as error:  # noqa: BLE001  handed over
            if len(wanted) == 1:
                _settle(wanted[0][2], error)
            else:
                await asyncio.gather(*(self._answer(location_id, [one]) for one in wanted))
            return
        for start, stop, future in wanted:
            _settle(future, bytes(data[start - begin : stop - begin]))

    # -- one request ---------------------------------------------------------------------------------------------
    async def read(self, location_id: int, start: int, stop: int) -> Data:
        """Return one range with one request, tried again while failures may pass.

        Raises:
            SourceError: the location is not allowed, or the answer is not what was asked for.
            StaleSourceError: the file is no longer the one that was scanned.
            Exception: whatever the store's library raised last.
        """
        source = self._sources[location_id]
        self._check_url(source)
        filesystem, path = await self._opened(source.url)
        fetch = fetch_for(filesystem)
        options = self._options

        async def attempt() -> Part:
            async with self._slot():
                return await fetch(filesystem, path, start, stop, options.timeout)

        part = await persistent(attempt, attempts=options.attempts, first_delay=options.first_delay)
        if part.url is not None:
            self._check_host(part.url)
        if part.found is not None:
            self._check_once_warned(location_id, part)
        else:
            await self._ask_facts(location_id, filesystem, path)
        return part.data

    def _slot(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        if loop not in self._slots:
            self._slots[loop] = asyncio.Semaphore(self._options.in_flight)
        return self._slots[loop]

    def _check_once_warned(self, location_id: int, part: Part) -> None:
        if part.found is None or location_id in self._warned:
            return
        if self._options.on_stale == "warn":
            self._warned.add(location_id)
        check_identity(self._sources[location_id], part.found, self._options.on_stale)

    def forget(self) -> None:
        """Ask anew for what stores tell of files."""
        self._known.clear()

    async def _ask_facts(self, location_id: int, filesystem: Any, path: str) -> None:
        """Check, once for each source, a file whose store says nothing of it with a range."""
        source, options = self._sources[location_id], self._options
        if options.on_stale == "ignore" or (source.size, source.etag, source.last_modified) == (None, None, None):
            return

        async def ask() -> None:
            facts = await persistent(
                lambda: whole_facts(filesystem, path, options.timeout),
                attempts=options.attempts,
                first_delay=options.first_delay,
            )
            check_identity(source, facts, options.on_stale)

        task = self._known.get(location_id)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            task = self._known[location_id] = asyncio.ensure_future(ask())
        try:
            await asyncio.shield(task)
        except BaseException:
            self._known.pop(location_id, None)  # the next one asks again
            raise

    async def _opened(self, url: str) -> Opened:
        """Return the filesystem of a URL; made in another thread, because some talk to their store when they begin."""
        if "::" in url:
            return await asyncio.to_thread(self._chained, url)
        import fsspec

        protocol = url.partition("://")[0]
        name = os.getpid(), protocol, repr(sorted(self._for(url).items(), key=lambda item: item[0]))
        filesystem = _filesystems.get(name)
        if filesystem is None:
            filesystem = await asyncio.to_thread(self._made, name, url)
        path: str = fsspec.get_filesystem_class(protocol)._strip_protocol(url)
        return filesystem, path

    def _for(self, url: str) -> dict[str, Any]:
        options = self._options.options_for(url)
        return {name: value for name, value in options.items() if name not in {"asynchronous", "loop"}}

    def _made(self, name: tuple[int, str, str], url: str) -> Any:
        import fsspec

        with _filesystems_lock:
            filesystem = _filesystems.get(name)
            if filesystem is None:
                kind = fsspec.get_filesystem_class(name[1])
                options = {**kind._get_kwargs_from_urls(url), **self._for(url)}
                filesystem = kind(**options, **({"skip_instance_cache": True} if kind.cachable else {}))
                if isinstance(getattr(filesystem, "retries", None), int):
                    filesystem.retries = (
                        1  # s3fs would try five times whatever we try five times, and so would botocore
                    )
                if hasattr(filesystem, "_call_s3"):
                    filesystem.config_kwargs = {"retries": {"max_attempts": 0}, **filesystem.config_kwargs}
                _filesystems[name] = filesystem
            return filesystem

    def _chained(self, url: str) -> Opened:
        import fsspec

        opened: Opened = fsspec.core.url_to_fs(url, **self._for(url))
        return opened


_running: set["asyncio.Task[None]"] = set()
"""Tasks that nobody awaits, or the loop would lose them."""


def _settle(future: "asyncio.Future[bytes]", answer: bytes | Exception) -> None:
    if future.done():  # the one who waited has gone
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def described(error: BaseException) -> str:
    """Return what went wrong, for the message of a ChunkReadError."""
    if isinstance(error, RefmakerError):
        return error.message
    return f"{type(error).__name__}: {error}"
