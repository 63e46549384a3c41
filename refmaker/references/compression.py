"""Compressed documents: gzip and Zstandard, told by suffix when writing and by their first bytes when reading."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from refmaker.errors import BrokenReferencesError

__all__ = ["compressed", "decompressed"]

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
"""How such files begin: RFC 1952 and RFC 8878."""
MOST = 16 << 30
"""Bytes of text after which a document is taken for a decompression bomb."""
STEP = 16 << 20
GZIP_LEVEL = 2
"""Of isal's levels 0 to 3: text shrinks tenfold at some hundred MB a second."""


@contextmanager
def compressed(file: IO[bytes], name: str) -> Iterator[Any]:
    """Return the file to write text to so that ``file`` receives it as the suffix of ``name`` says."""
    if name.endswith(".gz"):
        from isal import igzip

        with igzip.IGzipFile(None, "wb", GZIP_LEVEL, file, 0) as inner:  # type: ignore[no-untyped-call]
            yield inner
    elif name.endswith((".zst", ".zstd")):
        import pyarrow as pa

        with pa.CompressedOutputStream(pa.PythonFile(_Unclosed(file), "w"), "zstd") as inner:
            yield inner
    else:
        yield file


class _Unclosed(io.RawIOBase):
    """A file that stays open when the stream around it closes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def writable(self) -> bool:
        return True


def decompressed(data: bytes, location: str | None) -> bytes:
    """Return the text of a document, compressed or not.

    Raises:
        BrokenReferencesError: the compressed data is broken, or too much.
    """
    if data[:2] == GZIP:
        from isal import igzip, igzip_lib

        stream = igzip.IGzipFile(None, "rb", fileobj=io.BytesIO(data))  # type: ignore[no-untyped-call]
        broken: Any = igzip_lib.IsalError  # an exception, which type checkers cannot see
        try:
            return _whole(stream.read, location)
        except broken as error:
            raise BrokenReferencesError(f"cannot be decompressed: {error}", location=location) from error
    if data[:4] == ZSTD:
        import pyarrow as pa

        # its read, when it fails, never frees the bytes that it was to fill
        return _whole(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read_buffer, location)
    return data


def _whole(read: Callable[[int], Any], location: str | None) -> bytes:
    parts: list[Any] = []
    total = 0
    try:
        while len(part := read(STEP)):
            parts.append(part)
            total += len(part)
            if total > MOST:
                break
    except (OSError, EOFError, ValueError, RuntimeError) as error:
        raise BrokenReferencesError(f"cannot be decompressed: {error}", location=location) from error
    if total > MOST:
        raise BrokenReferencesError(f"holds more than {MOST >> 30} GiB of text", location=location)
    return b"".join(parts)
