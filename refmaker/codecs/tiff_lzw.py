"""``refmaker_tiff_lzw``: TIFF's LZW, Compression 5, decoded by the imagecodecs package.

Source: TIFF 6.0, section 13; streams of old writers, with the bits the other way round, are recognised by imagecodecs.
"""

from refmaker.codecs.base import DECODER_ERRORS, U8, BytesCodec, as_u8, require
from refmaker.errors import BrokenFileError

__all__ = ["TiffLzw"]

MOST_EXPANSION = 1 << 14
"""Decoded bytes that one encoded byte may stand for: a 12-bit code can name all of a long string."""


class TiffLzw(BytesCodec):
    """LZW as TIFF has it, read-only. A segment does not say its length.

    Attributes:
        nbytes: length of a whole decoded segment, in bytes; what comes after is dropped, and less is what there is.
    """

    codec_id = "refmaker_tiff_lzw"

    def __init__(self, *, nbytes: int) -> None:
        if nbytes < 1:
            raise BrokenFileError(f"{self.codec_id}: nbytes is {nbytes}; expected 1 or more")
        self.nbytes = nbytes

    def decode_bytes(self, data: U8) -> U8:
        """Return up to ``nbytes`` bytes."""
        imagecodecs = require("imagecodecs", self.codec_id)
        most = min(self.nbytes, data.size * MOST_EXPANSION)
        try:
            return as_u8(imagecodecs.lzw_decode(data.tobytes(), out=most))
        except DECODER_ERRORS as error:
            raise BrokenFileError(f"{self.codec_id}: {error}") from error
