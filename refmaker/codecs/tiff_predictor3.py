"""``refmaker_tiff_predictor3``: floating-point differencing, Predictor 3 of TIFF.

The bytes of a row are sorted into planes, those with sign and exponent first, and each byte is then stored as its
difference from the one a pixel to its left. Source: Adobe Photoshop TIFF Technical Note 3.
"""

import numpy as np

from refmaker.codecs.base import U8, BytesCodec
from refmaker.errors import BrokenFileError

__all__ = ["TiffPredictor3"]


class TiffPredictor3(BytesCodec):
    """Gives big-endian numbers when decoding, whatever the file's byte order; the length never changes.

    Attributes:
        itemsize: 2, 4 or 8 bytes of a sample.
        width: pixels in a row.
        samples: samples in a pixel.
        distance: bytes ``distance * samples`` apart are added up: 1, or DNG's 2 and 4 (Predictor 34894 and 34895).
    """

    codec_id = "refmaker_tiff_predictor3"

    def __init__(self, *, itemsize: int, width: int, samples: int, distance: int = 1) -> None:
        if itemsize not in {2, 4, 8} or min(width, samples) < 1 or distance not in {1, 2, 4}:
            raise BrokenFileError(
                f"{self.codec_id}: rows of {width} pixels of {samples} samples of {itemsize} bytes, {distance} apart"
            )
        self.itemsize = itemsize
        self.width = width
        self.samples = samples
        self.distance = distance

    def decode_bytes(self, data: U8) -> U8:
        """Return the samples, big-endian."""
        rows = self._rows(data)
        step = self.samples * self.distance
        planes = np.empty_like(rows)
        for first in range(min(step, rows.shape[1])):
            np.cumsum(rows[:, first::step], axis=1, dtype=np.uint8, out=planes[:, first::step])
        count = self.width * self.samples
        return np.ascontiguousarray(planes.reshape(-1, self.itemsize, count).transpose(0, 2, 1)).reshape(-1)

    def encode_bytes(self, data: U8) -> U8:
        """Return the differences of big-endian samples."""
        rows = self._rows(data)
        count, step = self.width * self.samples, self.samples * self.distance
        planes = np.ascontiguousarray(rows.reshape(-1, count, self.itemsize).transpose(0, 2, 1)).reshape(rows.shape)
        left = planes[:, :-step].copy()
        planes[:, step:] -= left
        return planes.reshape(-1)

    def _rows(self, data: U8) -> U8:
        row = self.width * self.samples * self.itemsize
        if data.size % row:
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes found, rows of {row} expected")
        return data.reshape(-1, row)
