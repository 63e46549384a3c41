"""``refmaker_tiff_packbits``: the byte-oriented run-length scheme of TIFF, Compression 32773.

Source: TIFF 6.0, section 9. (numcodecs.PackBits is another thing: it packs booleans.)
"""

import numpy as np

from refmaker.codecs.base import U8, BytesCodec

__all__ = ["TiffPackBits"]

NOTHING = 128
"""The control byte that stands for nothing; below it that many literal bytes and one, above it a repeated byte."""


class TiffPackBits(BytesCodec):
    """PackBits, read-only. A run cut short by the end of the data is what there is of it, as readers agree."""

    codec_id = "refmaker_tiff_packbits"

    def decode_bytes(self, data: U8) -> U8:
        """Return the decoded bytes: at most 64 times as many."""
        encoded = data.tobytes()
        parts: list[bytes] = []
        at, end = 0, len(encoded)
        while at < end:
            control = encoded[at]
            if control < NOTHING:
                parts.append(encoded[at + 1 : at + 2 + control])
                at += control + 2
            elif control > NOTHING:
                parts.append(encoded[at + 1 : at + 2] * (257 - control))
                at += 2
            else:
                at += 1
        return np.frombuffer(b"".join(parts), np.uint8)
