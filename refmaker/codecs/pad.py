"""``refmaker_pad``: makes the short last piece of an array a full chunk.

A TIFF's last strip, and the last piece of a contiguous block that references cut up, hold fewer rows than the chunk
shape says. Zarr wants whole chunks; what is added lies outside the array and is never seen.
"""

import numpy as np

from refmaker.codecs.base import U8, BytesCodec
from refmaker.errors import BrokenFileError, OptionError

__all__ = ["Pad"]

MOST_NBYTES = 1 << 40
"""Bytes of one chunk beyond which its length is an error."""


class Pad(BytesCodec):
    """Right-pads with zeros to ``nbytes`` when decoding; encodes to the same bytes, unchanged.

    As the first filter of an array it is the last to decode.

    Attributes:
        nbytes: length of a whole decoded chunk, in bytes.
    """

    codec_id = "refmaker_pad"

    def __init__(self, *, nbytes: int) -> None:
        if not 0 <= nbytes < MOST_NBYTES:
            raise OptionError(f"{self.codec_id}: nbytes is {nbytes}; expected 0 to {MOST_NBYTES}")
        self.nbytes = nbytes

    def decode_bytes(self, data: U8) -> U8:
        """Return ``data`` followed by zeros; BrokenFileError when it is longer than ``nbytes``."""
        if data.size == self.nbytes:
            return data
        if data.size > self.nbytes:
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes found, at most {self.nbytes} expected")
        padded = np.zeros(self.nbytes, np.uint8)
        padded[: data.size] = data
        return padded

    def encode_bytes(self, data: U8) -> U8:
        """Return ``data``: a whole chunk needs no padding, and how much of it was padding is not known."""
        return data
