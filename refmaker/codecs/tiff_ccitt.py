"""``refmaker_tiff_ccitt``: fax compression of bilevel images, Compression 2, 3 and 4, by the imagecodecs package.

Source: TIFF 6.0, sections 10 and 11; ITU-T T.4 and T.6.
"""

from refmaker.codecs.base import DECODER_ERRORS, U8, BytesCodec, as_u8, require
from refmaker.errors import BrokenFileError

__all__ = ["TiffCcitt"]

MOST_PIXELS = 1 << 32


class TiffCcitt(BytesCodec):
    """Gives one byte for each pixel, 0 or 1; read-only.

    Attributes:
        scheme: 2 (modified Huffman), 3 (T.4) or 4 (T.6): the Compression tag.
        rows: rows of a whole segment; rows that the data do not have are 0.
        width: pixels in a row.
        t4options: the T4Options tag, for scheme 3.
    """

    codec_id = "refmaker_tiff_ccitt"

    def __init__(self, *, scheme: int, rows: int, width: int, t4options: int = 0) -> None:
        if scheme not in {2, 3, 4} or min(rows, width) < 1 or rows * width > MOST_PIXELS:
            raise BrokenFileError(f"{self.codec_id}: scheme {scheme} for {rows} rows of {width} pixels")
        self.scheme = scheme
        self.rows = rows
        self.width = width
        self.t4options = t4options

    def decode_bytes(self, data: U8) -> U8:
        """Return ``rows * width`` bytes."""
        imagecodecs = require("imagecodecs", self.codec_id)
        encoded = data.tobytes()
        try:
            if self.scheme == 3:
                pixels = imagecodecs.ccittfax3_decode(encoded, self.rows, self.width, t4options=self.t4options)
            else:
                decode = imagecodecs.ccittrle_decode if self.scheme == 2 else imagecodecs.ccittfax4_decode
                pixels = decode(encoded, self.rows, self.width)
        except DECODER_ERRORS as error:
            raise BrokenFileError(f"{self.codec_id}: {error}") from error
        return as_u8(pixels)
