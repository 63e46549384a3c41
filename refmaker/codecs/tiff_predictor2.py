"""``refmaker_tiff_predictor2``: horizontal differencing, Predictor 2 of TIFF.

Each sample is stored as its difference from the same sample of the pixel to its left, modulo the integer's range;
rows are apart. Floating-point samples are differenced as the integers of their bits.
Source: TIFF 6.0, section 14; Adobe's DNG specification for pixels 2 and 4 to the left (Predictor 34892 and 34893).
"""

from typing import Literal

import numpy as np

from refmaker.codecs.base import U8, BytesCodec
from refmaker.errors import BrokenFileError

__all__ = ["TiffPredictor2"]


class TiffPredictor2(BytesCodec):
    """Adds differences up along rows when decoding, takes them when encoding; the length never changes.

    Attributes:
        itemsize: 1, 2, 4 or 8 bytes of a sample.
        byteorder: ``"little"`` or ``"big"``, of the samples on both sides.
        width: pixels in a row.
        samples: samples in a pixel; those of pixels ``distance`` apart are added up.
        distance: 1, 2 or 4 pixels.
    """

    codec_id = "refmaker_tiff_predictor2"

    def __init__(
        self, *, itemsize: int, byteorder: Literal["little", "big"], width: int, samples: int, distance: int = 1
    ) -> None:
        sane = itemsize in {1, 2, 4, 8} and byteorder in {"little", "big"} and min(width, samples) > 0
        if not sane or distance not in {1, 2, 4}:
            raise BrokenFileError(
                f"{self.codec_id}: rows of {width} pixels of {samples} samples of {itemsize} bytes, "
                f"{byteorder}-endian, {distance} apart"
            )
        self.itemsize = itemsize
        self.byteorder = byteorder
        self.width = width
        self.samples = samples
        self.distance = distance

    def decode_bytes(self, data: U8) -> U8:
        """Return the samples."""
        stored = self._rows(data)
        native = stored.astype(stored.dtype.newbyteorder("="))
        for first in range(self.distance):
            part = native[:, first :: self.distance]
            np.cumsum(part, axis=1, dtype=native.dtype, out=part)
        return native.astype(stored.dtype, copy=False).reshape(-1).view(np.uint8)

    def encode_bytes(self, data: U8) -> U8:
        """Return the differences."""
        stored = self._rows(data)
        native = stored.astype(stored.dtype.newbyteorder("="))
        left = native[:, : -self.distance].copy()
        native[:, self.distance :] -= left
        return native.astype(stored.dtype, copy=False).reshape(-1).view(np.uint8)

    def _rows(self, data: U8) -> "np.ndarray[tuple[int, int, int], np.dtype[np.unsignedinteger]]":
        row = self.width * self.samples * self.itemsize
        if data.size % row:
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes found, rows of {row} expected")
        kind = np.dtype(f"{'<' if self.byteorder == 'little' else '>'}u{self.itemsize}")
        return data.view(kind).reshape(-1, self.width, self.samples)
