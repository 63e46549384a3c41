"""``refmaker_tiff_complexint``: complex numbers of two integers (SampleFormat 5), as complex floats.

numpy, and so Zarr, has no complex integers; 16-bit ones fit into 4-byte floats, 32-bit ones into 8-byte floats.
Source: libtiff's SAMPLEFORMAT_COMPLEXINT; GDAL's CInt16 and CInt32.
"""

from typing import Literal

import numpy as np

from refmaker.codecs.base import U8, BytesCodec
from refmaker.errors import BrokenFileError

__all__ = ["TiffComplexInt"]


class TiffComplexInt(BytesCodec):
    """Gives floats of twice the size, real and imaginary parts by turns as they were; read-only.

    Attributes:
        itemsize: 2 or 4 bytes of one part.
        byteorder: ``"little"`` or ``"big"``, on both sides.
    """

    codec_id = "refmaker_tiff_complexint"

    def __init__(self, *, itemsize: int, byteorder: Literal["little", "big"]) -> None:
        if itemsize not in {2, 4} or byteorder not in {"little", "big"}:
            raise BrokenFileError(f"{self.codec_id}: parts of {itemsize} bytes, {byteorder}-endian")
        self.itemsize = itemsize
        self.byteorder = byteorder

    def decode_bytes(self, data: U8) -> U8:
        """Return the floats; BrokenFileError when a part is incomplete."""
        if data.size % (2 * self.itemsize):
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes found, pairs of {self.itemsize} expected")
        order = "<" if self.byteorder == "little" else ">"
        return data.view(f"{order}i{self.itemsize}").astype(f"{order}f{2 * self.itemsize}").view(np.uint8)
