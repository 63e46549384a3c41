"""``refmaker_tiff_webp``: WebP strips and tiles, Compression 50001 and 34927, by the imagecodecs package."""

from types import ModuleType
from typing import Any

from refmaker.codecs.tiff_image import TiffImageCodec

__all__ = ["TiffWebp"]

RGBA = 4


class TiffWebp(TiffImageCodec):
    """One picture a segment; WebP leaves out an alpha channel that is opaque everywhere, and it is put back."""

    codec_id = "refmaker_tiff_webp"

    def picture(self, imagecodecs: ModuleType, data: bytes) -> Any:
        """Return the decoded picture."""
        return imagecodecs.webp_decode(data, hasalpha=True if self.shape[2] == RGBA else None)
