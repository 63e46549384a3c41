"""Decompression with a bound: the fastest inflate there is, and no chunk that unfolds to more than it may.

zlib and gzip streams go to imagecodecs (libdeflate, zlib-ng) if it is installed, else to isal, else to the standard
library. Other compressors decode through numcodecs, after the size they declare has been held against the bound.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from refmaker.codecs import get_codec
from refmaker.codecs.base import as_u8
from refmaker.errors import BrokenFileError

__all__ = ["Decompress", "decompressor"]

Decompress = Callable[[Any], Any]
"""Encoded bytes (any contiguous buffer) to decoded bytes."""

ONE_CALL_BELOW = 1 << 16
"""Encoded bytes that inflate to 66 MB at the very worst, so that one unbounded call does no harm."""
GZIP_WBITS = 31
ZLIB_WBITS = 15
LIBDEFLATE_FROM = 1 << 16
"""Decoded bytes from which libdeflate is faster than zlib-ng."""


def decompressor(config: Mapping[str, Any], expected: int | None, bound: int) -> Decompress:
    """Return the bounded decoder of a codec that turns bytes into bytes.

    Args:
        config: numcodecs configuration.
        expected: decoded length in bytes if all chunks have the same; a hint that makes it faster.
        bound: decoded length in bytes that is refused.

    Raises:
        UnsupportedError: no such codec, or not one from bytes to bytes.
    """
    exact = get_codec(config).decode
    kind = str(config["id"])
    if kind == "zlib":
        return _zlib(expected, bound)
    if kind == "gzip":
        return _gzip(exact, expected, bound)
    if kind in {"bz2", "lzma"}:
        return _streamed(kind, config, bound)
    declared = DECLARED.get(kind)
    if declared is None:
        return lambda data: _checked(exact(data), bound)

    def decode(data: Any) -> Any:
        size = declared(bytes(as_u8(data)[:HEADER_LONGEST]), as_u8(data).size)
        if size is not None and size > bound:
            raise _too_much(size, bound)
        return _checked(exact(data), bound)

    return decode


def _checked(decoded: Any, bound: int) -> Any:
    if as_u8(decoded).size > bound:
        raise _too_much(as_u8(decoded).size, bound)
    return decoded


def _too_much(size: int | str, bound: int) -> BrokenFileError:
    return BrokenFileError(f"unfolds to {size} bytes, and the array's chunks to {bound} at most")


@cache
def _isal() -> Any:
    """Return ``isal_zlib``, or ``zlib`` where isal is not built for the platform."""
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return zlib


@cache
def _imagecodecs() -> Any:
    """Return imagecodecs if it is installed with both decoders, else None."""
    try:
        package = import_module("imagecodecs")
        package.deflate_decode(zlib.compress(b"0"), out=1)
        package.zlibng_decode(zlib.compress(b"0"), out=1)
    except Exception:  # noqa: BLE001  a package that may be absent, partial or broken: then there is isal
        return None
    return package


def _zlib(expected: int | None, bound: int) -> Decompress:
    general = _inflated(expected, bound, ZLIB_WBITS)
    package = _imagecodecs() if expected else None
    if package is None:
        return general
    fast = package.deflate_decode if (expected or 0) >= LIBDEFLATE_FROM else package.zlibng_decode

    def decode(data: Any) -> Any:
        try:
            return fast(data, out=expected)
        except RuntimeError:  # longer than expected, or broken: zlib knows which
            return general(data)

    return decode


def _inflated(expected: int | None, bound: int, wbits: int) -> Decompress:
    module = _isal()
    size = max(expected or 0, 1)

    def decode(data: Any) -> Any:
        try:
            if len(data) < ONE_CALL_BELOW:
                return module.decompress(data, wbits, size)
            stream = module.decompressobj(wbits)
            decoded = stream.decompress(data, bound + 1)
        except module.error as error:
            raise BrokenFileError(f"is no whole zlib stream: {error}") from error
        if len(decoded) > bound:
            raise _too_much(f"more than {bound}", bound)
        if not stream.eof:
            raise BrokenFileError("is an incomplete or truncated zlib stream")
        return decoded

    return decode


def _gzip(exact: Decompress, expected: int | None, bound: int) -> Decompress:
    first_member = _inflated(expected, bound, GZIP_WBITS)

    def decode(data: Any) -> Any:
        decoded = first_member(data)
        if expected is None or len(decoded) < expected:  # several members, which only the gzip module reads
            return _checked(exact(data), bound)
        return decoded

    return decode


def _streamed(kind: str, config: Mapping[str, Any], bound: int) -> Decompress:
    def begin() -> Any:
        if kind == "bz2":
            return bz2.BZ2Decompressor()
        if config.get("format", lzma.FORMAT_XZ) == lzma.FORMAT_RAW:
            return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=config.get("filters"))
        return lzma.LZMADecompressor(lzma.FORMAT_AUTO)

    def decode(data: Any) -> Any:
        decoded, rest = b"", bytes(data)
        while rest or not decoded:
            stream = begin()
            decoded += stream.decompress(rest, bound + 1 - len(decoded))
            if len(decoded) > bound:
                raise _too_much(f"more than {bound}", bound)
            if not stream.eof:
                raise BrokenFileError(f"is an incomplete or truncated {kind} stream")
            rest = stream.unused_data
            if not decoded and not rest:
                break
        return decoded

    return decode


# -- sizes that compressed chunks declare -------------------------------------------------------------------------
HEADER_LONGEST = 18


def _blosc(head: bytes, length: int) -> int | None:
    """Blosc 1 header: version, versionlz, flags, typesize, nbytes (u4), blocksize, cbytes; c-blosc believes the last.

    It reads beyond a chunk that is shorter than its header says, so that is checked here.
    """
    if len(head) < 16 or length < int.from_bytes(head[12:16], "little"):
        raise BrokenFileError("is an incomplete or truncated blosc chunk")
    return int.from_bytes(head[4:8], "little")


def _lz4(head: bytes, _: int) -> int | None:
    """Return the length that numcodecs puts before an LZ4 block (u4)."""
    return int.from_bytes(head[:4], "little") if len(head) >= 4 else None


def _zstd(head: bytes, _: int) -> int | None:
    """RFC 8878 section 3.1.1.1: the frame header's content size, None where it does not say."""
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        return None
    descriptor = head[4]
    single = descriptor >> 5 & 1
    width = (single, 2, 4, 8)[descriptor >> 6]
    start = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    if width == 0:
        return None
    return int.from_bytes(head[start : start + width], "little") + (256 if width == 2 else 0)


DECLARED: dict[str, Callable[[bytes, int], int | None]] = {"blosc": _blosc, "lz4": _lz4, "zstd": _zstd}
"""Codec -> how many bytes a chunk, of which the beginning and the length are given, says that it decodes to."""
