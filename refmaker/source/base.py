"""Bytes by range: where every parser's bytes come from.

A ``ByteSource`` answers two questions: ``read`` one range, and ``gather`` many ranges of one length at once (all
nodes of an index level). Parsers never see a source: they are generators that yield ``Wish`` lists and receive
arrays (see ``Parser``); ``drive`` runs one over a source, and a scheduler may run thousands over a network.
"""

import mmap
import os
import stat
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from refmaker.errors import SourceError, TruncatedFileError

__all__ = ["ByteSource", "FsspecSource", "LocalSource", "MemorySource", "Parser", "Wish", "drive", "granted"]

Bytes = npt.NDArray[np.uint8]
OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""Not waiting for a writer, should the path be a named pipe (which is then refused)."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """A parser's request for byte ranges of one common length.

    Attributes:
        offset: absolute file positions, uint64, shape (n,).
        length: bytes of each range.
        exact: whether neighbours are not wanted next, so that fetching them too is of no use. Where there are several
            ranges they never are.
    """

    offset: npt.NDArray[np.uint64]
    length: int
    exact: bool = False

    @classmethod
    def one(cls, offset: int, length: int) -> "Wish":
        """Return the wish for a single range."""
        return cls(np.array([offset], np.uint64), length)


Parser = Generator[list[Wish], list[Bytes], T]
"""A sans-I/O parser: yields wishes, receives for each an array of shape (n, length), returns a ``T``.

Whoever drives it has checked every range against the file size, so a parser may index what it receives freely.
"""


class ByteSource(Protocol):
    """One file's bytes."""

    @property
    def location(self) -> str:
        """URL or path, for messages."""

    @property
    def size(self) -> int:
        """Bytes in the whole file."""

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes at ``offset``.

        Raises:
            TruncatedFileError: the range reaches past the end.
            SourceError: the store did not answer.
        """

    def gather(self, offset: npt.NDArray[np.uint64], length: int) -> Bytes:
        """Return the ranges [offset[i], offset[i] + length) as an array of shape (n, length).

        Raises:
            TruncatedFileError: a range reaches past the end.
            SourceError: the store did not answer.
        """

    def close(self) -> None:
        """Release descriptors and connections; reading afterwards is an error."""


def check_range(source: ByteSource, offset: int, length: int) -> None:
    """Raise TruncatedFileError unless [offset, offset + length) lies inside ``source``: the one bounds check."""
    if offset < 0 or length < 0 or offset + length > source.size:
        raise TruncatedFileError(
            f"{length} bytes wanted, but the file ends at byte {source.size}",
            location=source.location,
            offset=offset,
        )


def check_ranges(source: ByteSource, offset: npt.NDArray[np.uint64], length: int) -> None:
    """Raise TruncatedFileError unless all ranges lie inside ``source``."""
    if offset.size:
        check_range(source, int(offset.max()), length)


class MemorySource:
    """Bytes already in memory."""

    def __init__(self, data: bytes | bytearray | memoryview | mmap.mmap, location: str = "<memory>") -> None:
        self.location = location
        self._bytes: Bytes = np.frombuffer(data, np.uint8)
        self.size = self._bytes.size

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes at ``offset``."""
        check_range(self, offset, length)
        return self._bytes[offset : offset + length].tobytes()

    def gather(self, offset: npt.NDArray[np.uint64], length: int) -> Bytes:
        """Return many ranges at once: one fancy index over all windows of that length, a memcpy each."""
        check_ranges(self, offset, length)
        if length == 0 or offset.size == 0:
            return np.empty((offset.size, length), np.uint8)
        windows = np.ndarray((self.size - length + 1,), f"V{length}", self._bytes, strides=(1,))
        return windows[offset].view(np.uint8).reshape(offset.size, length)

    def close(self) -> None:
        """Release the buffer."""
        self._bytes = np.empty(0, np.uint8)


class LocalSource(MemorySource):
    """A local file: single ranges by ``pread``, many at once from a map that is made on first need.

    Index nodes are gathered from the map; a file that shrinks meanwhile would fault there, so the size is checked
    against the descriptor before every gather.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.location = os.fspath(path)
        self._bytes = np.empty(0, np.uint8)
        self._map: mmap.mmap | None = None
        try:
            self._descriptor = os.open(self.location, OPEN_FLAGS)
        except OSError as error:
            raise SourceError(f"cannot be opened: {error.strerror}", location=self.location) from error
        except ValueError as error:  # a NUL in it
            raise SourceError(f"cannot be opened: {error}", location=f"{self.location!r:.200}") from error
        status = os.fstat(self._descriptor)
        self.size = status.st_size
        self.last_modified = status.st_mtime
        if not stat.S_ISREG(status.st_mode):
            self.close()
            what = "a directory; name its files" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise SourceError(f"is {what}", location=self.location)

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes at ``offset``."""
        check_range(self, offset, length)
        try:
            data = os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}", location=self.location, offset=offset) from error
        if len(data) != length:
            return self._read_on(data, offset, length)
        return data

    def _read_on(self, data: bytes, offset: int, length: int) -> bytes:
        """Finish a short ``pread`` (the kernel stops at 2 GiB), or say that the file shrank."""
        parts = [data]
        done = len(data)
        while done < length:
            data = os.pread(self._descriptor, length - done, offset + done)
            if not data:
                raise TruncatedFileError(
                    f"{length} bytes wanted, {done} there: the file shrank while being read",
                    location=self.location,
                    offset=offset,
                )
            parts.append(data)
            done += len(data)
        return b"".join(parts)

    def gather(self, offset: npt.NDArray[np.uint64], length: int) -> Bytes:
        """Return many ranges at once, copied from the mapped file."""
        if self._map is None and self.size:
            self._map = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
            self._bytes = np.frombuffer(self._map, np.uint8)
        if os.fstat(self._descriptor).st_size < self.size:
            raise TruncatedFileError("the file shrank while being read", location=self.location)
        return super().gather(offset, length)

    def close(self) -> None:
        """Close the descriptor and the map."""
        super().close()
        if self._map is not None:
            self._map.close()
            self._map = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "LocalSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FsspecSource:
    """A file of any fsspec filesystem, read by ranges."""

    def __init__(self, filesystem: Any, path: str, *, location: str | None = None) -> None:
        self._filesystem = filesystem
        self._path = path
        self.location = location or filesystem.unstrip_protocol(path)
        self.info: dict[str, Any] = _answer(self.location, filesystem.info, path)
        size = self.info.get("size")
        if size is None:
            raise SourceError("the store does not tell the file's size, which references need", location=self.location)
        self.size = int(size)

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes at ``offset``."""
        check_range(self, offset, length)
        if length == 0:
            return b""
        data = _answer(
            self.location,
            self._filesystem.cat_file,
            self._path,
            start=offset,
            end=offset + length,
            offset=offset,
        )
        return self._whole(bytes(data), offset, length)

    def gather(self, offset: npt.NDArray[np.uint64], length: int) -> Bytes:
        """Return many ranges at once through the filesystem's own concurrent ``cat_ranges``."""
        check_ranges(self, offset, length)
        if length == 0 or offset.size == 0:
            return np.empty((offset.size, length), np.uint8)
        starts = offset.tolist()
        ends = [start + length for start in starts]
        parts = _answer(
            self.location,
            self._filesystem.cat_ranges,
            [self._path] * len(starts),
            starts,
            ends,
            on_error="raise",
        )
        whole = b"".join(self._whole(bytes(part), at, length) for part, at in zip(parts, starts, strict=True))
        return np.frombuffer(whole, np.uint8).reshape(len(starts), length)

    def _whole(self, data: bytes, offset: int, length: int) -> bytes:
        if len(data) != length:
            why = "; its server ignores byte ranges" if len(data) > length else ""
            raise SourceError(f"{length} bytes asked for, {len(data)} came{why}", location=self.location, offset=offset)
        return data

    def close(self) -> None:
        """Nothing to close: the filesystem keeps its own connections."""


def _answer(location: str, call: Any, *args: Any, offset: int | None = None, **kwargs: Any) -> Any:
    """Return ``call(...)``, with whatever the store raised turned into one SourceError."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        from refmaker.source.retries import told  # brings asyncio, which local files do without

        raise SourceError(told(error), location=location, offset=offset) from error


def granted(wish: Wish, source: ByteSource) -> Bytes:
    """Return the bytes a parser wished for."""
    if wish.offset.size == 1:  # most wishes of small files: a plain read is several times cheaper
        return np.frombuffer(source.read(int(wish.offset[0]), wish.length), np.uint8).reshape(1, -1)
    return source.gather(wish.offset, wish.length)


def drive(parser: Parser[T], source: ByteSource) -> T:
    """Run a sans-I/O parser over one source and return its result.

    Raises:
        TruncatedFileError: the parser wished for bytes outside the file.
        BrokenFileError: whatever the parser itself found wrong.
    """
    try:
        wishes = next(parser)
        while True:
            wishes = parser.send([granted(wish, source) for wish in wishes])
    except StopIteration as stop:
        result: T = stop.value
        return result
