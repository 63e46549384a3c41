"""``refmaker_tiff_jpeg2k``: JPEG 2000 strips and tiles, Compression 33003 to 33005 and 34712, by imagecodecs."""

from types import ModuleType
from typing import Any

from refmaker.codecs.tiff_image import TiffImageCodec

__all__ = ["TiffJpeg2k"]


class TiffJpeg2k(TiffImageCodec):
    """One picture a segment."""

    codec_id = "refmaker_tiff_jpeg2k"

    def picture(self, imagecodecs: ModuleType, data: bytes) -> Any:
        """Return the decoded picture."""
        return imagecodecs.jpeg2k_decode(data)
