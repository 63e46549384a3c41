"""``refmaker_hdf5_blosc2``: HDF5 filter 32026, decoded by the blosc2 package.

A chunk is one Blosc2 contiguous frame: n-dimensional ("b2nd") when the chunk has two dimensions or more, else plain.
"""

from typing import Any

import numpy as np

from refmaker.codecs.base import DECODER_ERRORS, U8, BytesCodec, as_u8, require
from refmaker.errors import BrokenFileError

__all__ = ["Hdf5Blosc2"]

MAGIC = b"b2frame\x00"
MAGIC_AT = slice(2, 10)
FRAME_LENGTH_AT = slice(16, 24)
"""Big-endian, after its MessagePack mark."""
CHUNK_LENGTH_AT = slice(58, 62)
"""Likewise; c-blosc2 divides by it."""
FRAME_SHORTEST = 87
DIMENSIONS = "b2nd"
FRAME_ERRORS = (*DECODER_ERRORS, SyntaxError, TypeError, LookupError)
"""What blosc2 raises for broken frames, whose metadata it parses as Python literals."""


class Hdf5Blosc2(BytesCodec):
    """HDF5's Blosc2 filter, read-only.

    Attributes:
        nbytes: decoded length in bytes: ``cd_values[3]``. A few bytes of frame may claim any number of zeros.
    """

    codec_id = "refmaker_hdf5_blosc2"

    def __init__(self, *, nbytes: int) -> None:
        if nbytes < 1:
            raise BrokenFileError(f"{self.codec_id}: nbytes is {nbytes}; expected 1 or more")
        self.nbytes = nbytes

    def decode_bytes(self, data: U8) -> U8:
        """Return ``nbytes`` bytes."""
        blosc2 = require("blosc2", self.codec_id)
        frame = data.tobytes()
        length = int.from_bytes(frame[FRAME_LENGTH_AT], "big")
        if len(frame) < FRAME_SHORTEST or frame[MAGIC_AT] != MAGIC or length != len(frame):
            raise BrokenFileError(f"{self.codec_id}: {len(frame)} bytes are no frame, or not one of {length} bytes")
        if int.from_bytes(frame[CHUNK_LENGTH_AT], "big", signed=True) < 1:
            raise BrokenFileError(f"{self.codec_id}: a frame of chunks of no length")
        try:
            opened, nbytes = self._opened(blosc2, frame)
            if nbytes != self.nbytes:
                raise BrokenFileError(f"{self.codec_id}: a frame of {nbytes} bytes, {self.nbytes} expected")
            decoded = as_u8(np.ascontiguousarray(opened[...]) if hasattr(opened, "shape") else opened[:])
        except FRAME_ERRORS as error:
            raise BrokenFileError(f"{self.codec_id}: {error}") from error
        if decoded.size != self.nbytes:
            raise BrokenFileError(f"{self.codec_id}: {decoded.size} bytes decoded, {self.nbytes} expected")
        return decoded

    @staticmethod
    def _opened(blosc2: Any, frame: bytes) -> tuple[Any, int]:
        """Return the array or plain chunk of a frame, not yet decoded, and its length in bytes."""
        plain = blosc2.schunk_from_cframe(frame)
        if DIMENSIONS not in plain.meta:
            return plain, int(plain.nbytes)
        array = blosc2.ndarray_from_cframe(frame)
        if array.dtype.hasobject:  # bytes taken for pointers
            raise BrokenFileError(f"{Hdf5Blosc2.codec_id}: a frame of data type {array.dtype}")
        return array, int(np.prod(array.shape, dtype=object)) * int(array.schunk.typesize)
