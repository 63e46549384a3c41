"""``refmaker_tiff_float24``: 24-bit floating-point samples as 4-byte ones, which hold all their values.

One sign bit, 7 of exponent (bias 63), 16 of mantissa. Source: Adobe Photoshop TIFF Technical Note 3.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from refmaker.codecs.base import U8, BytesCodec
from refmaker.errors import BrokenFileError

__all__ = ["TiffFloat24"]

REBIAS = 127 - 63


class TiffFloat24(BytesCodec):
    """Widens numbers, read-only.

    Attributes:
        byteorder: ``"little"`` or ``"big"``, on both sides.
    """

    codec_id = "refmaker_tiff_float24"

    def __init__(self, *, byteorder: Literal["little", "big"]) -> None:
        if byteorder not in {"little", "big"}:
            raise BrokenFileError(f"{self.codec_id}: {byteorder!r} is no byte order")
        self.byteorder = byteorder

    def decode_bytes(self, data: U8) -> U8:
        """Return 4 bytes for every 3; BrokenFileError when the last number is incomplete."""
        if data.size % 3:
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes found, threes expected")
        planes = data.reshape(-1, 3).astype(np.uint32)
        low, middle, high = planes.T if self.byteorder == "little" else planes.T[::-1]
        bits = low | middle << np.uint32(8) | high << np.uint32(16)
        sign = (bits >> np.uint32(23)) << np.uint32(31)
        exponent = bits >> np.uint32(16) & np.uint32(0x7F)
        mantissa = bits & np.uint32(0xFFFF)
        wide = np.where(exponent == 0x7F, np.uint32(0xFF), exponent + np.uint32(REBIAS)) << np.uint32(23)
        normal = sign | wide | mantissa << np.uint32(7)
        tiny = np.ldexp(mantissa.astype(np.float32), -62 - 16).view(np.uint32) | sign
        values: npt.NDArray[np.uint32] = np.where(exponent == 0, tiny, normal)
        return values.astype("<u4" if self.byteorder == "little" else ">u4").view(np.uint8)
