"""``refmaker_hdf5_string``: fixed-length HDF5 strings as numpy has them, with nothing but NULs after the end.

Null-padded strings are that already and need no codec. What follows the first NUL of a null-terminated string is junk
by definition; a space-padded string ends before its trailing spaces.
Source: HDF5 File Format Specification IV.A.2.d, strings; the values are those that libhdf5's conversion gives.
"""

from typing import Literal, TypeAlias, get_args

import numpy as np

from refmaker.codecs.base import U8, BytesCodec
from refmaker.errors import BrokenFileError, UnsupportedError

__all__ = ["Hdf5String", "Padding"]

Padding: TypeAlias = Literal["null-term", "space"]
SPACE = 0x20


class Hdf5String(BytesCodec):
    """Fixed-length strings with junk or spaces after their end.

    Attributes:
        itemsize: bytes of a string.
        padding: ``"null-term"`` or ``"space"``.
    """

    codec_id = "refmaker_hdf5_string"

    def __init__(self, *, itemsize: int, padding: Padding) -> None:
        if itemsize < 1:
            raise BrokenFileError(f"{self.codec_id}: itemsize is {itemsize}; expected 1 or more")
        if padding not in get_args(Padding):
            raise UnsupportedError(f"{self.codec_id}: padding {padding!r} is unknown", code="dtype")
        self.itemsize = itemsize
        self.padding = padding

    def decode_bytes(self, data: U8) -> U8:
        """Return the strings null-padded, in as many bytes."""
        strings = self._strings(data)
        if self.padding == "space":
            padded = np.logical_and.accumulate(strings[:, ::-1] == SPACE, axis=1)[:, ::-1]
        else:
            padded = np.logical_or.accumulate(strings == 0, axis=1)
        return np.where(padded, np.uint8(0), strings).reshape(-1)

    def encode_bytes(self, data: U8) -> U8:
        """Return the strings padded with spaces, or unchanged: null-padded ones are null-terminated."""
        strings = self._strings(data)
        if self.padding == "null-term":
            return data
        padded = np.logical_and.accumulate(strings[:, ::-1] == 0, axis=1)[:, ::-1]
        return np.where(padded, np.uint8(SPACE), strings).reshape(-1)

    def _strings(self, data: U8) -> U8:
        if data.size % self.itemsize:
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes are no whole number of {self.itemsize}")
        return data.reshape(-1, self.itemsize)
