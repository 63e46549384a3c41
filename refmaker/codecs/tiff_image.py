"""What the codecs of whole images (JPEG, WebP, PNG ...) share: a decoded picture put into its strip or tile.

A strip at the lower edge, and with some writers a tile at any edge, holds a smaller picture than its chunk.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from refmaker.codecs.base import DECODER_ERRORS, U8, BytesCodec, require
from refmaker.errors import BrokenFileError

__all__ = ["TiffImageCodec"]

MOST_NBYTES = 1 << 33
"""Bytes of one chunk beyond which parameters are broken."""


class TiffImageCodec(BytesCodec):
    """Decodes one picture; subclasses name the function of imagecodecs. Read-only.

    Attributes:
        shape: rows, pixels in a row, and samples in a pixel of a whole chunk.
        itemsize: bytes of a sample, in the machine's byte order.
    """

    def __init__(self, *, shape: Sequence[int], itemsize: int) -> None:
        self.shape = [int(length) for length in shape]
        self.itemsize = itemsize
        whole = np.prod(self.shape, dtype=float) * itemsize
        if len(self.shape) != 3 or min(self.shape) < 1 or itemsize not in {1, 2, 4, 8} or whole > MOST_NBYTES:
            raise BrokenFileError(f"{self.codec_id}: a picture of {self.shape} with samples of {itemsize} bytes")

    def picture(self, imagecodecs: ModuleType, data: bytes) -> Any:
        """Return the decoded picture as an array of rows, pixels and, if there are several, samples."""
        raise NotImplementedError

    def decode_bytes(self, data: U8) -> U8:
        """Return the bytes of a whole chunk, zeros where the picture does not reach."""
        imagecodecs = require("imagecodecs", self.codec_id)
        try:
            picture = np.asarray(self.picture(imagecodecs, data.tobytes()))
        except (*DECODER_ERRORS, TypeError) as error:
            raise BrokenFileError(f"{self.codec_id}: {error}") from error
        rows, width, samples = self.shape
        flat = picture[..., np.newaxis] if picture.ndim == 2 else picture
        fits = flat.ndim == 3 and flat.shape[0] <= rows and flat.shape[1] <= width and flat.shape[2] == samples
        if flat.dtype.itemsize != self.itemsize or not (fits or flat.size == rows * width * samples):
            raise BrokenFileError(
                f"{self.codec_id}: a picture of {picture.shape} {picture.dtype} found, {self.shape} of "
                f"{self.itemsize} bytes expected"
            )
        if flat.size == rows * width * samples:
            return np.ascontiguousarray(flat).reshape(-1).view(np.uint8)
        chunk = np.zeros((rows, width, samples), flat.dtype)
        chunk[: flat.shape[0], : flat.shape[1]] = flat
        return chunk.reshape(-1).view(np.uint8)
