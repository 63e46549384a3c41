"""``refmaker_tiff_jpeg``: JPEG strips and tiles, Compression 7, 33007 and 34892, by the imagecodecs package.

A TIFF may keep the tables that all segments share in one tag (JPEGTables); they travel in the configuration.
Source: TIFF Technical Note 2.
"""

import base64
import binascii
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from refmaker.codecs.tiff_image import TiffImageCodec
from refmaker.errors import BrokenFileError

__all__ = ["TiffJpeg"]

LARGEST = 65500
"""Rows or columns that the JPEG library takes; a larger picture needs to be told its shape."""


MARKER = 0xFF
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""ITU-T T.81, table B.1: markers of frame headers; the three left out are tables."""


class TiffJpeg(TiffImageCodec):
    """JPEG, baseline to lossless, with tables from elsewhere.

    Attributes:
        bits: of a sample: 8 or 12, up to 16 for lossless ones.
        tables: the JPEGTables tag in base64, or None.
        header: what stands before every segment in base64 (NDPI), or None.
        colorspace: of the data where they do not say it: a number or name of imagecodecs', or None.
        outcolorspace: to convert to, likewise.
    """

    codec_id = "refmaker_tiff_jpeg"

    def __init__(
        self,
        *,
        shape: Sequence[int],
        itemsize: int,
        bits: int = 8,
        tables: str | None = None,
        header: str | None = None,
        colorspace: int | str | None = None,
        outcolorspace: int | str | None = None,
    ) -> None:
        super().__init__(shape=shape, itemsize=itemsize)
        self.bits = bits
        self.tables = tables
        self.header = header
        self.colorspace = colorspace
        self.outcolorspace = outcolorspace
        try:
            self._tables, self._header = (
                None if text is None else base64.b64decode(text, validate=True) for text in (tables, header)
            )
        except (binascii.Error, ValueError) as error:
            raise BrokenFileError(f"{self.codec_id}: tables or header are not base64: {error}") from error

    def picture(self, imagecodecs: ModuleType, data: bytes) -> Any:
        """Return the decoded picture; one larger than its chunk is refused before memory is taken for it."""
        rows, width, samples = self.shape
        if (count := _samples_of(data)) is not None and count > rows * width * samples:
            raise BrokenFileError(f"{self.codec_id}: {count} samples found, {rows * width * samples} expected")
        return imagecodecs.jpeg_decode(
            data,
            bitspersample=self.bits,
            tables=self._tables,
            header=self._header,
            colorspace=self.colorspace,
            outcolorspace=self.outcolorspace,
            shape=(rows, width) if max(rows, width) > LARGEST else None,
        )


def _samples_of(data: bytes) -> int | None:
    """Return rows times columns times components of the frame header (SOF), None where there is none."""
    at = 2
    while at + 10 <= len(data) and data[at] == MARKER:
        code, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if code in FRAMES:
            rows, columns = (int.from_bytes(data[at + n : at + n + 2], "big") for n in (5, 7))
            return rows * columns * data[at + 9]
        at += 2 + length
    return None
