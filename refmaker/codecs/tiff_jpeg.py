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
        """Return the decoded picture."""
        rows, width, _ = self.shape
        return imagecodecs.jpeg_decode(
            data,
            bitspersample=self.bits,
            tables=self._tables,
            header=self._header,
            colorspace=self.colorspace,
            outcolorspace=self.outcolorspace,
            shape=(rows, width) if max(rows, width) > LARGEST else None,
        )
