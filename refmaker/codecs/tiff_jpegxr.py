"""``refmaker_tiff_jpegxr``: JPEG XR strips and tiles, Compression 22610 and 34934, by the imagecodecs package."""

from types import ModuleType
from typing import Any

from refmaker.codecs.tiff_image import TiffImageCodec

__all__ = ["TiffJpegXr"]


class TiffJpegXr(TiffImageCodec):
    """One picture a segment."""

    codec_id = "refmaker_tiff_jpegxr"

    def picture(self, imagecodecs: ModuleType, data: bytes) -> Any:
        """Return the decoded picture."""
        return imagecodecs.jpegxr_decode(data)
