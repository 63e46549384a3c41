"""``refmaker_tiff_jpegxr``: JPEG XR strips and tiles, Compression 22610 and 34934, by the imagecodecs package.

It uses jxrlib, which broken pictures crash: measured with imagecodecs 2026.3.6, every seventieth with bytes changed in
its image header, and twelve of 234,500 with bytes changed behind that. So it decodes in a process of its own.
"""

from types import ModuleType
from typing import Any

from refmaker.codecs.apart import decode_apart
from refmaker.codecs.tiff_image import TiffImageCodec

__all__ = ["TiffJpegXr"]


class TiffJpegXr(TiffImageCodec):
    """One picture a segment."""

    codec_id = "refmaker_tiff_jpegxr"

    def picture(self, imagecodecs: ModuleType, data: bytes) -> Any:  # noqa: ARG002  it is another process's
        """Return the decoded picture."""
        return decode_apart("jpegxr_decode", data)
