"""``refmaker_tiff_fillorder``: bytes whose bits a TIFF with FillOrder 2 stores lowest first.

Source: TIFF 6.0, section 8, FillOrder. What is stored so is the compressed stream, so this decodes first.
"""

import numpy as np

from refmaker.codecs.base import U8, BytesCodec

__all__ = ["TiffFillOrder"]

REVERSED: U8 = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1)[:, ::-1], axis=1)[:, 0]
"""Every byte with its bits in reverse order."""


class TiffFillOrder(BytesCodec):
    """Reverses the bits of every byte, either way."""

    codec_id = "refmaker_tiff_fillorder"

    def decode_bytes(self, data: U8) -> U8:
        """Return as many bytes."""
        return REVERSED[data]

    def encode_bytes(self, data: U8) -> U8:
        """Return as many bytes."""
        return REVERSED[data]
