"""``refmaker_hdf5_szip``: HDF5 filter 4, decoded by the imagecodecs package.

A chunk starts with its decoded length, u32 little-endian; the rest is one szip stream.
"""

import numpy as np

from refmaker.codecs.base import DECODER_ERRORS, U8, BytesCodec, as_u8, require
from refmaker.errors import BrokenFileError, TruncatedFileError

__all__ = ["Hdf5Szip"]

PREFIX = 4
MOST_EXPANSION = 8192
"""Decoded bytes that one encoded byte may stand for: a dozen bits say that 64 blocks of 32 samples are zero.

Measured: 1777."""

FILLERS = (b"\xff", b"\0")
"""What is put behind a stream, because past the end of a cut one libaec gives uninitialised memory.

Ones are blocks of raw samples. But libaec decodes ahead of what is asked for, and the unused bits of an entropy-coded
stream's last byte with ones behind them can be a block that it refuses; zeros are a code that never ends.
"""

SLACK = 4096
"""More than a block of the longest samples and its head take, in bytes."""


class Hdf5Szip(BytesCodec):
    """HDF5's szip filter, read-only. The attributes are its ``cd_values``, in order.

    Attributes:
        options_mask: szip's options (entropy coding or nearest neighbour, byte order, ...).
        pixels_per_block: samples in a block.
        bits_per_pixel: bits of a sample.
        pixels_per_scanline: samples in a scan line.
    """

    codec_id = "refmaker_hdf5_szip"

    def __init__(
        self, *, options_mask: int, pixels_per_block: int, bits_per_pixel: int, pixels_per_scanline: int
    ) -> None:
        self.options_mask = options_mask
        self.pixels_per_block = pixels_per_block
        self.bits_per_pixel = bits_per_pixel
        self.pixels_per_scanline = pixels_per_scanline
        if not (0 < pixels_per_block <= 32 and 0 < bits_per_pixel <= 64 and 0 < pixels_per_scanline <= 4096):
            raise BrokenFileError(f"{self.codec_id}: impossible parameters {self.get_config()}")

    def decode_bytes(self, data: U8) -> U8:
        """Return as many bytes as the chunk says."""
        imagecodecs = require("imagecodecs", self.codec_id)
        nbytes = int.from_bytes(data[:PREFIX].tobytes(), "little")
        if data.size < PREFIX or nbytes > (data.size - PREFIX) * MOST_EXPANSION:
            raise TruncatedFileError(f"{self.codec_id}: {data.size} bytes cannot hold {nbytes}")
        if not nbytes:
            return np.empty(0, np.uint8)
        parameters = (self.options_mask, self.pixels_per_block, self.bits_per_pixel, self.pixels_per_scanline)
        problem: Exception | None = None
        for filler in FILLERS:
            stream = data[PREFIX:].tobytes() + filler * (2 * nbytes + SLACK)
            try:
                decoded = as_u8(imagecodecs.szip_decode(stream, *parameters, header=False, out=nbytes))
            except DECODER_ERRORS as error:
                problem = error
                continue
            break
        else:
            raise BrokenFileError(f"{self.codec_id}: {problem}") from problem
        if decoded.size != nbytes:
            raise TruncatedFileError(f"{self.codec_id}: {decoded.size} bytes decoded, {nbytes} expected")
        return decoded
