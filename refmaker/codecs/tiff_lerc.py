"""``refmaker_tiff_lerc``: limited error raster compression, Compression 34887, by the imagecodecs package.

imagecodecs undoes the deflate or Zstandard compression around it, too. Source: Esri's LERC; libtiff's LERC codec.
"""

import numpy as np

from refmaker.codecs.base import DECODER_ERRORS, U8, BytesCodec, as_u8, require
from refmaker.errors import BrokenFileError

__all__ = ["TiffLerc"]


class TiffLerc(BytesCodec):
    """Gives the numbers in the machine's byte order; read-only.

    Attributes:
        nbytes: length of a whole decoded segment, in bytes, which no segment may exceed.
    """

    codec_id = "refmaker_tiff_lerc"

    def __init__(self, *, nbytes: int) -> None:
        if nbytes < 1:
            raise BrokenFileError(f"{self.codec_id}: nbytes is {nbytes}; expected 1 or more")
        self.nbytes = nbytes

    def decode_bytes(self, data: U8) -> U8:
        """Return ``nbytes`` bytes at most."""
        imagecodecs = require("imagecodecs", self.codec_id)
        try:
            decoded = as_u8(np.ascontiguousarray(imagecodecs.lerc_decode(data.tobytes())))
        except (*DECODER_ERRORS, TypeError) as error:
            raise BrokenFileError(f"{self.codec_id}: {error}") from error
        if decoded.size > self.nbytes:
            raise BrokenFileError(f"{self.codec_id}: {decoded.size} bytes decoded, {self.nbytes} expected")
        return decoded
