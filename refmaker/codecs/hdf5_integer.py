"""``refmaker_hdf5_integer``: integers whose precision is less than their size, as integers that fill it.

HDF5 stores such numbers with unused bits below (offset) and above them, and no sign in the upper ones. With or without
the n-bit filter, readers want ``<i2``.
Source: HDF5 File Format Specification IV.A.2.d, fixed-point numbers.
"""

from typing import Literal

import numpy as np

from refmaker.codecs.base import U8, BytesCodec
from refmaker.errors import BrokenFileError, UnsupportedError

__all__ = ["Hdf5Integer"]


class Hdf5Integer(BytesCodec):
    """Shifts integers down to bit 0 and extends their sign; read-only.

    Attributes:
        itemsize: 1, 2, 4 or 8 bytes, the same before and after.
        byteorder: ``"little"`` or ``"big"``, the same before and after.
        precision: significant bits.
        offset: bits below them.
        signed: two's complement, or not.
    """

    codec_id = "refmaker_hdf5_integer"

    def __init__(
        self, *, itemsize: int, byteorder: Literal["little", "big"], precision: int, offset: int, signed: bool
    ) -> None:
        if itemsize not in {1, 2, 4, 8} or byteorder not in {"little", "big"}:
            raise UnsupportedError(f"{self.codec_id}: {byteorder}-endian, {itemsize} bytes", code="dtype")
        if offset < 0 or not 0 < precision <= 8 * itemsize - offset:
            raise BrokenFileError(f"{self.codec_id}: {precision} bits at {offset} of {itemsize} bytes")
        self.itemsize = itemsize
        self.byteorder = byteorder
        self.precision = precision
        self.offset = offset
        self.signed = signed

    def decode_bytes(self, data: U8) -> U8:
        """Return as many integers in as many bytes; BrokenFileError when those hold no whole number of them."""
        if data.size % self.itemsize:
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes are no whole number of {self.itemsize}")
        order = ">" if self.byteorder == "big" else "<"
        stored = np.dtype(f"{order}{'i' if self.signed else 'u'}{self.itemsize}")
        number = stored.newbyteorder("=")
        values = np.ascontiguousarray(data).view(stored).astype(number)
        above = 8 * self.itemsize - self.precision - self.offset
        values <<= number.type(above)
        values >>= number.type(above + self.offset)
        return values.astype(stored).view(np.uint8)
