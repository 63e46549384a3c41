"""``refmaker_tiff_lerc``: limited error raster compression, Compression 34887, by the imagecodecs package.

imagecodecs undoes the deflate or Zstandard compression around it, too. Source: Esri's LERC; libtiff's LERC codec, which
keeps some values as a mask of valid pixels: NaN, one mask a sample where they differ, samples then one after the other;
and the alpha of 8-bit pixels that is 0 or 255. tifffile reads such values as zeros, and such samples as if they were
side by side.
"""

import numpy as np

from refmaker.codecs.base import DECODER_ERRORS, U8, BytesCodec, as_u8, require
from refmaker.errors import BrokenFileError

__all__ = ["TiffLerc"]

OPAQUE = 255


class TiffLerc(BytesCodec):
    """Gives the numbers in the machine's byte order; read-only.

    Attributes:
        nbytes: length of a whole decoded segment, in bytes, which no segment may exceed.
        samples: in a pixel of a segment.
    """

    codec_id = "refmaker_tiff_lerc"

    def __init__(self, *, nbytes: int, samples: int = 1) -> None:
        if nbytes < 1 or samples < 1:
            raise BrokenFileError(f"{self.codec_id}: nbytes {nbytes}, samples {samples}; expected 1 or more")
        self.nbytes = nbytes
        self.samples = samples

    def decode_bytes(self, data: U8) -> U8:
        """Return ``nbytes`` bytes at most."""
        imagecodecs = require("imagecodecs", self.codec_id)
        try:
            values, mask = imagecodecs.lerc_decode(data.tobytes(), masks=True)
        except (*DECODER_ERRORS, TypeError) as error:
            raise BrokenFileError(f"{self.codec_id}: {error}") from error
        if values.ndim == 3 and mask is not None and mask.ndim == 3:
            values, mask = np.moveaxis(values, 0, -1), np.moveaxis(mask, 0, -1)
        values = values if values.ndim == 3 else values[..., np.newaxis]
        mask = mask[..., np.newaxis] if mask is not None and mask.ndim == 2 else mask
        if values.dtype.kind == "f" and mask is not None:
            values = np.where(mask, values, values.dtype.type(np.nan))
        if values.dtype == np.uint8 and values.shape[-1] == self.samples - 1:
            alpha = np.full((*values.shape[:2], 1), OPAQUE, np.uint8) if mask is None else mask * np.uint8(OPAQUE)
            values = np.concatenate([values, alpha], axis=-1)
        decoded = as_u8(np.ascontiguousarray(values))
        if decoded.size > self.nbytes:
            raise BrokenFileError(f"{self.codec_id}: {decoded.size} bytes decoded, {self.nbytes} expected")
        return decoded
