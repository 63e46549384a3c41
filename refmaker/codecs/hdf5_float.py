"""``refmaker_hdf5_float``: floating-point numbers of any bit layout, as IEEE numbers that hold all their values.

Source: HDF5 File Format Specification IV.A.2.d, floating-point numbers.
"""

from typing import Literal

import numpy as np

from refmaker.codecs.base import U8, BytesCodec
from refmaker.codecs.bits import U64
from refmaker.errors import BrokenFileError, UnsupportedError

__all__ = ["Hdf5Float"]


class Hdf5Float(BytesCodec):
    """Converts floats whose mantissa leads with an implied 1, and whose layout HDF5 describes; read-only.

    Attributes:
        itemsize: 1, 2, 4 or 8 bytes of a stored number.
        byteorder: ``"little"`` or ``"big"``, of the stored number and of the result.
        sign_position: its bit, counted from the lowest of the stored number, as are the following.
        exponent_position: lowest bit of the exponent.
        exponent_size: bits of the exponent, 11 at most.
        exponent_bias: what is added to it.
        mantissa_position: lowest bit of the mantissa.
        mantissa_size: bits of the mantissa, 52 at most.
        to_itemsize: 2, 4 or 8 bytes of the resulting IEEE number.
    """

    codec_id = "refmaker_hdf5_float"

    def __init__(
        self,
        *,
        itemsize: int,
        byteorder: Literal["little", "big"],
        sign_position: int,
        exponent_position: int,
        exponent_size: int,
        exponent_bias: int,
        mantissa_position: int,
        mantissa_size: int,
        to_itemsize: int,
    ) -> None:
        if itemsize not in {1, 2, 4, 8} or to_itemsize not in {2, 4, 8} or byteorder not in {"little", "big"}:
            raise UnsupportedError(f"{self.codec_id}: {itemsize} to {to_itemsize} bytes, {byteorder}", code="dtype")
        if not (0 < exponent_size <= 11 and 0 < mantissa_size <= 52 and 0 <= exponent_bias < 2048):
            raise UnsupportedError(f"{self.codec_id}: more range or precision than IEEE's 8-byte float", code="dtype")
        fields = ((sign_position, 1), (exponent_position, exponent_size), (mantissa_position, mantissa_size))
        if any(position < 0 or position + size > 8 * itemsize for position, size in fields):
            raise BrokenFileError(f"{self.codec_id}: bits {fields} outside a number of {itemsize} bytes")
        self.itemsize = itemsize
        self.byteorder = byteorder
        self.sign_position = sign_position
        self.exponent_position = exponent_position
        self.exponent_size = exponent_size
        self.exponent_bias = exponent_bias
        self.mantissa_position = mantissa_position
        self.mantissa_size = mantissa_size
        self.to_itemsize = to_itemsize

    def decode_bytes(self, data: U8) -> U8:
        """Return IEEE numbers of ``to_itemsize`` bytes; BrokenFileError when ``data`` holds no whole number of them."""
        if data.size % self.itemsize:
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes are no whole number of {self.itemsize}")
        order = ">" if self.byteorder == "big" else "<"
        bits = np.ascontiguousarray(data).view(f"{order}u{self.itemsize}").astype(np.uint64)
        negative = _field(bits, self.sign_position, 1) == 1
        exponent = _field(bits, self.exponent_position, self.exponent_size).astype(np.int32)
        mantissa = _field(bits, self.mantissa_position, self.mantissa_size)
        special = exponent == (1 << self.exponent_size) - 1
        scaled = mantissa + (exponent > 0) * 2.0**self.mantissa_size
        power = np.maximum(exponent, 1) - (self.exponent_bias + self.mantissa_size)
        with np.errstate(over="ignore", under="ignore"):
            values = np.ldexp(scaled, power)
            values[special] = np.inf
            numbers = np.where(negative, -values, values).astype(f"{order}f{self.to_itemsize}")
        nan = special & (mantissa > 0)  # HDF5 sets all bits of a NaN, but keeps its sign
        highest = 8 * self.to_itemsize - 1
        every = np.uint64((1 << highest) - 1) | negative[nan].astype(np.uint64) << np.uint64(highest)
        numbers.view(f"{order}u{self.to_itemsize}")[nan] = every
        decoded: U8 = numbers.view(np.uint8)
        return decoded


def _field(bits: U64, position: int, size: int) -> U64:
    found: U64 = bits >> np.uint64(position) & np.uint64((1 << size) - 1)
    return found
