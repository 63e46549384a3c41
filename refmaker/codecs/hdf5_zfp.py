"""``refmaker_hdf5_zfp``: HDF5 filter 32013 (H5Z-ZFP), decoded by the imagecodecs package.

The filter keeps zfp's header in its parameters and the stream in the chunk; put together they are a zfp file. The
header, lowest bit first: 24 bits of magic and 8 of version, 2 of scalar type, 2 of dimensions, 48 of sizes, 12 of mode
(all ones: expert mode, 64 more bits, after which the stream would not start on a byte).
Source: zfp's documentation, zfp_write_header; measured, FORMATS.md section 5.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from refmaker.codecs.base import DECODER_ERRORS, U8, BytesCodec, as_u8, require
from refmaker.errors import BrokenFileError, UnsupportedError

__all__ = ["Hdf5Zfp"]

MAGIC = b"zfp"
HEADER_WORDS = slice(1, 4)
EXPERT = 0xFFF
FIXED_RATES = 2048
"""Modes below are fixed rates: one bit a block less than it takes."""
SIZE_BITS = {1: 48, 2: 24, 3: 16, 4: 12}
ITEMSIZE = (4, 8, 4, 8)
"""Of zfp's scalar types 1 to 4: i4, i8, f4, f8."""
SLACK = 64
"""Bytes a block may take beyond its values."""


class Hdf5Zfp(BytesCodec):
    """HDF5's zfp filter in reversible, fixed-accuracy, fixed-precision or fixed-rate mode, read-only.

    Attributes:
        cd_values: the filter's parameters as stored: its version, then three words of zfp header.
    """

    codec_id = "refmaker_hdf5_zfp"

    def __init__(self, *, cd_values: Sequence[int]) -> None:
        self.cd_values = [int(value) for value in cd_values]
        words = self.cd_values[HEADER_WORDS]
        if len(words) < 3 or min(words) < 0 or max(words) >> 32:
            raise BrokenFileError(f"{self.codec_id}: {len(cd_values)} parameters found, 4 words expected")
        self._header = np.array(words, "<u4").tobytes()
        self._swapped = self._header[3::-1].startswith(MAGIC)  # a big-endian machine wrote it, and means such numbers
        if self._swapped:
            self._header = np.array(words, ">u4").tobytes()
        if not self._header.startswith(MAGIC):
            raise UnsupportedError(f"{self.codec_id}: header {self._header.hex()} is not zfp's", code="filter")
        bits = int.from_bytes(self._header, "little") >> 32
        if bits >> 52 == EXPERT:
            raise UnsupportedError(f"{self.codec_id}: expert mode is not supported", code="filter")
        dimensions = (bits >> 2 & 3) + 1
        width = SIZE_BITS[dimensions]
        shape = [(bits >> (4 + width * axis) & ((1 << width) - 1)) + 1 for axis in range(dimensions)]
        itemsize = ITEMSIZE[bits & 3]
        mode = bits >> 52
        longest_block = mode // 8 + 1 if mode < FIXED_RATES else SLACK + itemsize * 4**dimensions
        self._itemsize = itemsize
        self._nbytes = itemsize * prod(shape)
        self._blocks = prod(-(-length // 4) for length in shape)
        self._longest = SLACK + longest_block * self._blocks

    def decode_bytes(self, data: U8) -> U8:
        """Return as many bytes as the header says."""
        imagecodecs = require("imagecodecs", self.codec_id)
        if self._blocks > 8 * data.size:  # each takes a bit at least
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes cannot hold {self._blocks} blocks")
        # zfp reads on past the end of a truncated stream: give it zeros to read
        stream = self._header + data.tobytes() + bytes(max(self._longest - data.size, 0))
        try:
            decoded = as_u8(np.ascontiguousarray(imagecodecs.zfp_decode(stream)))
        except DECODER_ERRORS as error:
            raise BrokenFileError(f"{self.codec_id}: {error}") from error
        if decoded.size != self._nbytes:
            raise BrokenFileError(f"{self.codec_id}: {decoded.size} bytes decoded, {self._nbytes} expected")
        return decoded.reshape(-1, self._itemsize)[:, ::-1].reshape(-1) if self._swapped else decoded
