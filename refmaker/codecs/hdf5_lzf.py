"""``refmaker_hdf5_lzf``: HDF5 filter 32000 (h5py's), decoded by the imagecodecs package."""

from refmaker.codecs.base import DECODER_ERRORS, U8, BytesCodec, as_u8, require
from refmaker.errors import BrokenFileError

__all__ = ["Hdf5Lzf"]

MOST_EXPANSION = 264
"""Bytes of the longest repetition, which takes three encoded ones."""


class Hdf5Lzf(BytesCodec):
    """h5py's LZF filter, read-only. A chunk does not say its length.

    Attributes:
        nbytes: decoded length in bytes: ``cd_values[2]``, or what earlier filters (fletcher32) make of it.
    """

    codec_id = "refmaker_hdf5_lzf"

    def __init__(self, *, nbytes: int) -> None:
        if nbytes < 1:
            raise BrokenFileError(f"{self.codec_id}: nbytes is {nbytes}; expected 1 or more")
        self.nbytes = nbytes

    def decode_bytes(self, data: U8) -> U8:
        """Return ``nbytes`` bytes."""
        imagecodecs = require("imagecodecs", self.codec_id)
        if self.nbytes > data.size * MOST_EXPANSION:
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes cannot hold {self.nbytes}")
        try:
            decoded = as_u8(imagecodecs.lzf_decode(data.tobytes(), header=False, out=self.nbytes))
        except DECODER_ERRORS as error:
            raise BrokenFileError(f"{self.codec_id}: {error}") from error
        if decoded.size != self.nbytes:
            raise BrokenFileError(f"{self.codec_id}: {decoded.size} bytes decoded, {self.nbytes} expected")
        return decoded
