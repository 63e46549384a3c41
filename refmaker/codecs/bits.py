"""Unsigned integers from a stream of bits whose first bit is the highest of its first byte."""

from math import gcd
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.codecs.base import U8
from refmaker.errors import TruncatedFileError

__all__ = ["U64", "unpack_bits"]

U64: TypeAlias = npt.NDArray[np.uint64]

WORD = 64


def unpack_bits(data: U8, *, start: int, stride: int, width: int, count: int, name: str) -> U64:
    """Return ``count`` integers of ``width`` bits, the i-th of which begins at bit ``start + i * stride``.

    Every few values (8 at most) the bits lie the same way in their bytes, a fixed number of bytes further on: one
    strided view of 8-byte words for each of these phases, and one shift.

    Args:
        data: the stream.
        start: first bit of the first value.
        stride: bits from one value to the next, 1 or more.
        width: bits of a value, 1 to 64.
        count: how many values.
        name: who asks, for the message.

    Raises:
        TruncatedFileError: the stream ends before the last value.
    """
    if not count:
        return np.empty(0, np.uint64)
    end = start + (count - 1) * stride + width
    if end > 8 * data.size:
        raise TruncatedFileError(f"{name}: {data.size} bytes found, {-(-end // 8)} expected")
    values = np.empty(count, np.uint64)
    first, last = start // 8, -(-end // 8)
    padded = np.zeros(last - first + 9, np.uint8)
    padded[: last - first] = data[first:last]
    period = 8 // gcd(stride, 8)
    step = stride * period // 8
    for phase in range(min(period, count)):
        byte, shift = divmod(start - 8 * first + phase * stride, 8)
        length = len(range(phase, count, period))
        words = np.ndarray((length,), ">u8", buffer=padded.data, offset=byte, strides=(step,)).astype(np.uint64)
        words <<= np.uint64(shift)
        if shift + width > WORD:
            ninth = np.ndarray((length,), np.uint8, buffer=padded.data, offset=byte + 8, strides=(step,))
            words |= ninth.astype(np.uint64) >> np.uint64(8 - shift)
        words >>= np.uint64(WORD - width)
        values[phase::period] = words
    return values
