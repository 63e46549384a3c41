"""``refmaker_tiff_png``: PNG strips and tiles, Compression 34933, by the imagecodecs package."""

from types import ModuleType
from typing import Any

from refmaker.codecs.tiff_image import TiffImageCodec

__all__ = ["TiffPng"]


class TiffPng(TiffImageCodec):
    """One picture a segment."""

    codec_id = "refmaker_tiff_png"

    def picture(self, imagecodecs: ModuleType, data: bytes) -> Any:
        """Return the decoded picture."""
        return imagecodecs.png_decode(data)
