"""Byte ranges of source files, for coroutines: local files by ``pread``, all else through fsspec.

Whatever fails is a ChunkReadError that names key, URL, offset and length; nothing a store raises escapes, because
readers take some of it (FileNotFoundError above all) for "no such chunk" and show fill values.
"""

import asyncio
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from refmaker.errors import ChunkReadError, SourceError, TruncatedFileError
from refmaker.source.base import LocalSource
from refmaker.source.location import local_path

__all__ = ["OptionsFor", "Targets"]

OptionsFor = Callable[[str], Mapping[str, Any]]
"""Filesystem options by URL."""

FILES_KEPT = 128
"""Local descriptors kept open: opening takes 4 microseconds, the usual limit is 1024 a process."""
READ_INLINE = 1 << 20
"""Bytes up to which reading a local file in the event loop beats a thread's 40 microseconds, even uncached."""

Opened = tuple[Any, str]
"""A filesystem and a path in it."""


class _KeptSource(LocalSource):
    """A local file that closes with its last user: one may be reading while the cache drops it."""

    def __del__(self) -> None:
        with suppress(AttributeError):  # it never opened
            self.close()


class Targets:
    """Opened files and filesystems.

    Args:
        options_for: options of the filesystem for a URL.
        own_loop: the loop that synchronous calls run on; filesystems for other loops are made asynchronous.
    """

    def __init__(self, options_for: OptionsFor, own_loop: asyncio.AbstractEventLoop | None) -> None:
        self._options_for = options_for
        self._own_loop = own_loop
        self._files: OrderedDict[str, LocalSource] = OrderedDict()
        self._lock = threading.Lock()
        self._filesystems: dict[tuple[asyncio.AbstractEventLoop, str, str], Any] = {}
        weakref.finalize(self, _close_sessions, self._filesystems)

    async def read(self, key: str, url: str, offset: int, length: int) -> bytes:
        """Return ``length`` bytes at ``offset`` of the file at ``url``, which are (part of) chunk ``key``.

        Raises:
            ChunkReadError: they could not be read in full, for whatever reason.
        """
        if length == 0:
            return b""
        try:
            path = local_path(url)
            data = await (
                self._read_remote(url, offset, length) if path is None else self._read_local(path, offset, length)
            )
        except Exception as error:
            why = error.message if isinstance(error, SourceError | TruncatedFileError) else _described(error)
            raise ChunkReadError(
                f"{length} bytes could not be read: {why}",
                location=url,
                path=key,
                offset=offset,
            ) from error
        if len(data) != length:
            raise ChunkReadError(
                f"{length} bytes asked for, {len(data)} came",
                location=url,
                path=key,
                offset=offset,
            )
        return data

    async def _read_local(self, path: str, offset: int, length: int) -> bytes:
        source = self._local(path)
        if length <= READ_INLINE:
            return source.read(offset, length)
        return await asyncio.to_thread(source.read, offset, length)

    def _local(self, path: str) -> LocalSource:
        with self._lock:
            source = self._files.get(path)
            if source is None:
                source = self._files[path] = _KeptSource(path)
                if len(self._files) > FILES_KEPT:
                    self._files.popitem(last=False)
            else:
                self._files.move_to_end(path)
            return source

    async def _read_remote(self, url: str, offset: int, length: int) -> bytes:
        filesystem, path = self._remote(url, asyncio.get_running_loop())
        if filesystem.async_impl:
            data: bytes = await filesystem._cat_file(path, start=offset, end=offset + length)
        else:
            data = await asyncio.to_thread(filesystem.cat_file, path, start=offset, end=offset + length)
        return bytes(data)

    def _remote(self, url: str, loop: asyncio.AbstractEventLoop) -> Opened:
        """Return a filesystem that works in the running loop: sessions belong to the loop they were made in."""
        import fsspec

        options = {
            name: value for name, value in self._options_for(url).items() if name not in {"asynchronous", "loop"}
        }
        if "::" in url:
            return fsspec.core.url_to_fs(url, **options)  # type: ignore[no-any-return]
        protocol = url.partition("://")[0]
        kind = fsspec.get_filesystem_class(protocol)
        options = {**kind._get_kwargs_from_urls(url), **options}
        name = loop, protocol, repr(sorted(options.items(), key=lambda item: item[0]))
        filesystem = self._filesystems.get(name)
        if filesystem is None:
            if loop is self._own_loop:
                mode = {"asynchronous": False, "loop": loop}
            else:
                mode = {"asynchronous": True, "skip_instance_cache": True}
            filesystem = self._filesystems[name] = kind(**options, **(mode if kind.async_impl else {}))
        return filesystem, kind._strip_protocol(url)


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _close_sessions(filesystems: Mapping[tuple[asyncio.AbstractEventLoop, str, str], Any]) -> None:
    """Close the HTTP sessions of asynchronous filesystems, which fsspec leaves to their user."""
    for (loop, _, _), filesystem in filesystems.items():
        session = getattr(filesystem, "_session", None)
        if session is not None and filesystem.asynchronous and hasattr(filesystem, "close_session"):
            filesystem.close_session(loop, session)
