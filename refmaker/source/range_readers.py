"""One file of a store, by ranges, from coroutines: over HTTP, through asynchronous filesystems, through blocking ones.

``open`` costs one wait: size, entity tag and first bytes come together (over HTTP in one answer, else side by side).
Methods raise what the store raises; retrying, counting and making one SourceError of it happen in ``remote``.
"""

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

from refmaker.errors import SourceError, StaleSourceError
from refmaker.source.location import seconds, tag_and_time
from refmaker.source.policy import WHOLE_FILE_BELOW
from refmaker.source.retries import ShortAnswerError

__all__ = ["Facts", "RangeReader", "asked", "http_get", "range_reader"]

THREADS = 32
"""Blocking filesystems get that many requests in flight at most."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What identifies a version of a file: size in bytes, entity tag, seconds since 1970 UTC (None: not told)."""

    size: int
    etag: str | None = None
    last_modified: float | None = None

    def contradicts(self, other: "Facts") -> bool:
        """Whether the two cannot be of one version. Mirrors tag alike files differently, so equal times excuse that."""
        if self.size != other.size:
            return True
        pairs = (self.etag, other.etag), (self.last_modified, other.last_modified)
        told = [mine == theirs for mine, theirs in pairs if mine is not None and theirs is not None]
        return bool(told) and not any(told)


class RangeReader(Protocol):
    """One file, by ranges.

    Attributes:
        sends_whole_files: whether the store answered a range with the whole file, which readers of chunks refuse.
    """

    sends_whole_files: bool

    async def open(self, length: int) -> tuple[Facts, bytes]:
        """Return the facts and the first bytes: ``length`` of them, or all, or none if they could not be had too."""

    async def fetch(self, start: int, stop: int, facts: Facts) -> bytes:
        """Return exactly the bytes of a range inside the file.

        Raises:
            ShortAnswerError: fewer came.
            StaleSourceError: the file is no longer what ``facts`` says.
        """

    async def facts(self) -> Facts | None:
        """Return the facts as they are now; None where every answer to ``fetch`` is checked already."""


def range_reader(url: str, filesystem: Any, path: str) -> RangeReader:
    """Return the reader for a file of an fsspec filesystem."""
    if hasattr(filesystem, "set_session") and "http" in _protocols(filesystem) and _lives_here(filesystem):
        return _HttpReader(url, filesystem, path)
    return _FileReader(url, filesystem, path)


def _lives_here(filesystem: Any) -> bool:
    """Whether a filesystem's coroutines run in fsspec's own loop."""
    import fsspec.asyn

    return bool(filesystem.async_impl and not filesystem.asynchronous and filesystem.loop is fsspec.asyn.get_loop())


async def asked(filesystem: Any, method: str, path: str, **options: Any) -> Any:
    """Return what a filesystem's method returns: its coroutine's result, or that of a call in a thread.

    Options go by name: s3fs has its own ones in between.
    """
    if _lives_here(filesystem):
        return await getattr(filesystem, f"_{method}")(path, **options)
    call = partial(getattr(filesystem, method), path, **options)
    return await asyncio.get_running_loop().run_in_executor(_threads(), call)


def _protocols(filesystem: Any) -> tuple[str, ...]:
    found = filesystem.protocol
    return (found,) if isinstance(found, str) else tuple(found)


def _no_ranges(url: str) -> SourceError:
    return SourceError(
        f"its server ignores byte ranges and sends whole files, and this one is larger than {WHOLE_FILE_BELOW >> 20} "
        "MiB; download it, or have it served with range support",
        location=url,
    )


def _stale(url: str, sentence: str) -> StaleSourceError:
    return StaleSourceError(f"changed while it was scanned: {sentence}; scan it again", location=url)


async def http_get(filesystem: Any, url: str, start: int, stop: int, **usual: Any) -> Any:
    """Return the request for a range, to be entered, in the session of an HTTP filesystem.

    Args:
        filesystem: its own options for requests go before ``usual`` ones.
        url: of the file.
        start: first byte.
        stop: first byte behind.
        usual: options of ``aiohttp.ClientSession.get``.
    """
    options = {**usual, **filesystem.kwargs}
    span = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
    headers = {**(options.pop("headers", None) or {}), **span}
    session = await filesystem.set_session()
    return session.get(filesystem.encode_url(url), headers=headers, **options)


class _Reader:
    def __init__(self, url: str, filesystem: Any, path: str) -> None:
        self.sends_whole_files = False
        self._url = url
        self._filesystem = filesystem
        self._path = path


class _HttpReader(_Reader):
    """Plain GET requests through the filesystem's session: each answer tells size and version."""

    async def open(self, length: int) -> tuple[Facts, bytes]:
        status, facts, body = await self._get(0, length)
        if status == 206 and facts is None:
            facts = _facts(self._url, await self._filesystem._info(self._path))
        if facts is None:
            facts = Facts(len(body))
        return facts, body

    async def fetch(self, start: int, stop: int, facts: Facts) -> bytes:
        status, found, body = await self._get(start, stop)
        if found is not None and facts.contradicts(found):
            raise _stale(self._url, f"{_told(facts)} before, {_told(found)} now")
        if status == 416:
            raise _stale(self._url, f"it had {facts.size} bytes, and has none from {start} on now")
        return body[start:stop] if status == 200 else body

    async def facts(self) -> Facts | None:
        return None

    async def _get(self, start: int, stop: int) -> tuple[int, Facts | None, bytes]:
        """Return (status, facts as far as the answer tells them, body); status is 200, 206 or 416."""
        async with await http_get(self._filesystem, self._path, start, stop) as response:
            told: Mapping[str, str] = response.headers
            if response.status == 416:
                total = told.get("Content-Range", "").rpartition("/")[2]
                return 416, Facts(int(total)) if total.isdigit() else None, b""
            response.raise_for_status()
            if response.status != 206:
                body = await self._whole(response)
                is_all_asked_for = start == 0 and stop >= len(body)  # which some answer so, and smaller ranges well
                self.sends_whole_files = not (is_all_asked_for and told.get("Accept-Ranges") == "bytes")
                return 200, Facts(len(body), told.get("ETag"), seconds(told.get("Last-Modified"))), body
            span, _, total = told.get("Content-Range", "").removeprefix("bytes ").partition("/")
            body = await response.read()
            first, _, last = span.partition("-")
            if first.isdigit() and int(first) != start:
                raise SourceError(f"bytes from {start} asked for, bytes from {first} came", location=self._url)
            facts = None
            if total.isdigit():
                facts = Facts(int(total), told.get("ETag"), seconds(told.get("Last-Modified")))
                stop = min(stop, facts.size)
            elif last.isdigit():
                stop = min(stop, int(last) + 1)
            if len(body) < stop - start:
                raise ShortAnswerError(f"{stop - start} bytes asked for, {len(body)} came")
            return 206, facts, body[: stop - start]

    async def _whole(self, response: Any) -> bytes:
        """Return the whole file, which the server sends instead of a range, if it is small enough."""
        if (response.content_length or 0) > WHOLE_FILE_BELOW:
            raise _no_ranges(self._url)
        body = bytearray()
        async for part in response.content.iter_any():
            body += part
            if len(body) > WHOLE_FILE_BELOW:
                raise _no_ranges(self._url)
        return bytes(body)


def _told(facts: Facts) -> str:
    return f"{facts.size} bytes (entity tag {facts.etag})" if facts.etag else f"{facts.size} bytes"


def _facts(url: str, info: Mapping[str, Any]) -> Facts:
    """Return what a filesystem's ``info`` tells.

    Raises:
        SourceError: not the size.
    """
    if info.get("type") == "directory":
        raise SourceError("is a directory, not a file", location=url)
    if info.get("size") is None:
        raise SourceError("the store does not tell the file's size, which references need", location=url)
    return Facts(int(info["size"]), *tag_and_time(info))


def _exactly(url: str, data: bytes, start: int, stop: int, size: int) -> bytes:
    """Return the range, also from a store that sent the whole file."""
    if len(data) == stop - start:
        return data
    if len(data) < stop - start:
        raise ShortAnswerError(f"{stop - start} bytes asked for, {len(data)} came")
    if len(data) == size and size <= WHOLE_FILE_BELOW:
        return data[start:stop]
    raise _no_ranges(url)


class _FileReader(_Reader):
    """Any other filesystem (S3, GCS, Azure, blocking ones): facts by ``info``, bytes by ``cat_file``."""

    async def open(self, length: int) -> tuple[Facts, bytes]:
        head = asyncio.ensure_future(asked(self._filesystem, "cat_file", self._path, start=0, end=length))
        try:
            facts = _facts(self._url, await asked(self._filesystem, "info", self._path))
        except BaseException:
            head.cancel()
            with suppress(BaseException):
                await head
            raise
        wanted = min(length, facts.size)
        try:
            return facts, _exactly(self._url, bytes(await head), 0, wanted, facts.size)
        except (OSError, ShortAnswerError):
            return facts, b""  # stores differ in what they make of ranges beyond an end: ask again, for what is there

    async def fetch(self, start: int, stop: int, facts: Facts) -> bytes:
        data = await asked(self._filesystem, "cat_file", self._path, start=start, end=stop)
        return _exactly(self._url, bytes(data), start, stop, facts.size)

    async def facts(self) -> Facts | None:
        self._filesystem.invalidate_cache(self._path)
        return _facts(self._url, await asked(self._filesystem, "info", self._path))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "refmaker-blocking")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a child has none of its parent's threads
