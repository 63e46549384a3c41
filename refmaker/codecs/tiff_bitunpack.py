"""``refmaker_tiff_bitunpack``: samples of any number of bits, packed highest bit first, as whole integers.

Rows start on a byte. Source: TIFF 6.0, section 8, BitsPerSample and FillOrder; section 6 for 4-bit samples.
"""

from math import gcd

import numpy as np

from refmaker.codecs.base import U8, BytesCodec
from refmaker.errors import BrokenFileError, TruncatedFileError

__all__ = ["TiffBitUnpack"]


class TiffBitUnpack(BytesCodec):
    """Unpacks rows of unsigned integers, read-only; one bit gives the bytes 0 and 1, which are numpy's booleans.

    Attributes:
        bits: of a sample, 1 to 32.
        length: samples in a row: pixels times samples in a pixel.
        itemsize: 1, 2 or 4 bytes of an unpacked integer, little-endian.
    """

    codec_id = "refmaker_tiff_bitunpack"

    def __init__(self, *, bits: int, length: int, itemsize: int) -> None:
        if not 1 <= bits <= 8 * itemsize or itemsize not in {1, 2, 4} or length < 1:
            raise BrokenFileError(f"{self.codec_id}: rows of {length} samples of {bits} bits in {itemsize} bytes")
        self.bits = bits
        self.length = length
        self.itemsize = itemsize

    def decode_bytes(self, data: U8) -> U8:
        """Return all whole rows there are."""
        row = -(-self.bits * self.length // 8)
        rows = data.size // row
        if not rows and data.size:
            raise TruncatedFileError(f"{self.codec_id}: {data.size} bytes found, a row takes {row}")
        if self.bits == 1:
            return np.unpackbits(data[: rows * row].reshape(rows, row), axis=1, count=self.length).reshape(-1)
        padded = np.zeros(rows * row + 8, np.uint8)
        padded[: rows * row] = data[: rows * row]
        values = np.empty((rows, self.length), f"<u{self.itemsize}")
        period = 8 // gcd(self.bits, 8)
        step = self.bits * period // 8
        for phase in range(min(period, self.length)):  # every few samples lie alike in their bytes
            byte, shift = divmod(phase * self.bits, 8)
            shape = (rows, len(range(phase, self.length, period)))
            words = np.ndarray(shape, ">u8", buffer=padded.data, offset=byte, strides=(row, step)).astype(np.uint64)
            words <<= np.uint64(shift)
            words >>= np.uint64(64 - self.bits)
            values[:, phase::period] = words
        return values.reshape(-1).view(np.uint8)
