"""``refmaker_tiff_jpegxl``: JPEG XL strips and tiles, Compression 50002 and 52546, by the imagecodecs package."""

from types import ModuleType
from typing import Any

from refmaker.codecs.tiff_image import TiffImageCodec

__all__ = ["TiffJpegXl"]


class TiffJpegXl(TiffImageCodec):
    """One picture a segment."""

    codec_id = "refmaker_tiff_jpegxl"

    def picture(self, imagecodecs: ModuleType, data: bytes) -> Any:
        """Return the decoded picture."""
        return imagecodecs.jpegxl_decode(data)
