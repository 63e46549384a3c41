"""``refmaker_hdf5_scaleoffset``: HDF5 filter 6: differences to the chunk's minimum, in as few bits as they need.

    0   u32 little-endian   bits of a value
    4   u8                  length of the minimum, in bytes (8)
    5   16 bytes            the minimum, little-endian: an integer, or the bytes of a float
    21  values              bit stream, highest bit first; all bits set = the fill value, where one is defined

Floats ("D-scaling") are integers times 10**-D above the minimum. Where the bits would fill the type, the values stand
raw and native; an integer dataset asked for that many bits has no header at all.
Source: HDF5 Reference Manual, H5Pset_scaleoffset; measured, FORMATS.md section 5.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from refmaker.codecs.base import U8, BytesCodec
from refmaker.codecs.bits import U64, unpack_bits
from refmaker.errors import BrokenFileError, TruncatedFileError, UnsupportedError

__all__ = ["Hdf5ScaleOffset"]

HEADER = struct.Struct("<IB8s8x")
PARAMETERS = 20
FILL_WORDS = slice(8, PARAMETERS)


class ScaleType(IntEnum):
    """``cd_values[0]``."""

    FLOAT_D = 0
    FLOAT_E = 1
    INTEGER = 2


class Hdf5ScaleOffset(BytesCodec):
    """HDF5's scale-offset filter, read-only.

    Attributes:
        cd_values: the filter's 20 parameters as stored: scale type, scale factor, elements in a chunk, class
            (0 integer, 1 float), itemsize, sign, byte order (0 little, 1 big), fill value defined, 12 words of
            fill value.
    """

    codec_id = "refmaker_hdf5_scaleoffset"

    def __init__(self, *, cd_values: Sequence[int]) -> None:
        self.cd_values = [int(value) for value in cd_values]
        if len(cd_values) != PARAMETERS:
            raise BrokenFileError(f"{self.codec_id}: {len(cd_values)} parameters found, {PARAMETERS} expected")
        scale_type, factor, self._count, is_float, self._itemsize, _, big, self._has_fill = self.cd_values[:8]
        sizes = (4, 8) if is_float else (1, 2, 4, 8)
        wanted = ScaleType.FLOAT_D if is_float else ScaleType.INTEGER
        if is_float not in {0, 1} or self._itemsize not in sizes or scale_type != wanted:
            raise UnsupportedError(
                f"{self.codec_id}: scale type {scale_type} of class {is_float}, size {self._itemsize}", code="filter"
            )
        if not 0 <= self._count < 1 << 32:
            raise BrokenFileError(f"{self.codec_id}: a chunk of {self._count} elements")
        self._is_float = bool(is_float)
        self._order = ">" if big else "<"
        self._decimals = factor - (1 << 32) if factor >> 31 else factor
        self._verbatim = not is_float and factor == 8 * self._itemsize
        fill = struct.pack("<12I", *(word & 0xFFFFFFFF for word in self.cd_values[FILL_WORDS]))
        self._fill = np.frombuffer(fill, f"<u{self._itemsize}", 1)[0]

    def decode_bytes(self, data: U8) -> U8:
        """Return the chunk's elements in the dataset's byte order."""
        if self._verbatim:
            return data
        if data.size < HEADER.size:
            raise TruncatedFileError(f"{self.codec_id}: {data.size} bytes found, {HEADER.size} expected")
        bits, length, minimum = HEADER.unpack_from(data.data)
        full = 8 * self._itemsize
        if bits > full:
            raise BrokenFileError(f"{self.codec_id}: values of {bits} bits, at most {full} expected")
        if bits == full:
            values = self._raw_values(data)
        else:
            values = self._values(data, bits, np.uint64(int.from_bytes(minimum[: min(length, 8)], "little")))
        return values.astype(f"{self._order}u{self._itemsize}").view(np.uint8)

    def _raw_values(self, data: U8) -> U64:
        end = HEADER.size + self._count * self._itemsize
        if data.size < end:
            raise TruncatedFileError(f"{self.codec_id}: {data.size} bytes found, {end} expected")
        return data[HEADER.size : end].view(f"<u{self._itemsize}")

    def _values(self, data: U8, bits: int, minimum: np.uint64) -> U64:
        """Return the elements as unsigned integers, of which the lowest ``itemsize`` bytes count."""
        if bits:
            start = 8 * HEADER.size
            steps = unpack_bits(data, start=start, stride=bits, width=bits, count=self._count, name=self.codec_id)
        else:
            steps = np.zeros(self._count, np.uint64)
        values = self._scaled(steps, minimum) if self._is_float else steps + minimum
        if self._has_fill:
            values[steps == np.uint64((1 << bits) - 1)] = self._fill
        return values

    def _scaled(self, steps: U64, minimum: np.uint64) -> U64:
        """Return minimum + steps / 10**D in the dataset's precision, as the bits of those floats."""
        number = np.dtype(f"f{self._itemsize}")
        lowest = minimum.astype(f"u{self._itemsize}").view(number)
        with np.errstate(all="ignore"):
            power = np.float64(10.0) ** self._decimals
            scaled = steps.astype(number) / power.astype(number) + lowest
        bits: U64 = scaled.astype(number).view(f"u{self._itemsize}")
        return bits
