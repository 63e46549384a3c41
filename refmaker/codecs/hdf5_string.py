"""``refmaker_hdf5_string``: fixed-length HDF5 strings as numpy has them, with nothing but NULs after the end.

Null-padded strings are that already and need no codec. What follows the first NUL of a null-terminated string is junk
by definition; a space-padded string ends before its trailing spaces. Elements may hold several strings among other
members (compound datatypes).
Source: HDF5 File Format Specification IV.A.2.d, strings; the values are those that libhdf5's conversion gives.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from refmaker.codecs.base import U8, BytesCodec
from refmaker.errors import BrokenFileError, UnsupportedError

__all__ = ["Hdf5String"]

SPACE = 0x20


def _behind_first_nul(strings: U8) -> npt.NDArray[np.bool_]:
    return np.logical_or.accumulate(strings == 0, axis=1)


def _trailing(strings: U8, character: int) -> npt.NDArray[np.bool_]:
    return np.logical_and.accumulate(strings[:, ::-1] == character, axis=1)[:, ::-1]


PADDED: dict[str, Callable[[U8], npt.NDArray[np.bool_]]] = {
    "null-term": _behind_first_nul,
    "space": lambda strings: _trailing(strings, SPACE),
}
"""Padding -> which bytes of strings, one a row, are not part of them."""


class Hdf5String(BytesCodec):
    """Fixed-length strings with junk or spaces after their end.

    Attributes:
        itemsize: bytes of an element.
        fields: [offset, length, padding] of each string in it, in bytes; padding is ``"null-term"`` or ``"space"``.
    """

    codec_id = "refmaker_hdf5_string"

    def __init__(self, *, itemsize: int, fields: Sequence[tuple[int, int, str]]) -> None:
        self.itemsize = itemsize
        self.fields = [(offset, length, padding) for offset, length, padding in fields]
        for offset, length, padding in fields:
            if offset < 0 or length < 1 or offset + length > itemsize:
                raise BrokenFileError(f"{self.codec_id}: {length} bytes at {offset} of an element of {itemsize}")
            if padding not in PADDED:
                raise UnsupportedError(f"{self.codec_id}: padding {padding!r} is unknown", code="dtype")
        if not fields:
            raise BrokenFileError(f"{self.codec_id}: no strings in an element of {itemsize} bytes")

    def decode_bytes(self, data: U8) -> U8:
        """Return the elements with their strings null-padded, in as many bytes."""
        elements = self._elements(data)
        for offset, length, padding in self.fields:
            strings = elements[:, offset : offset + length]
            strings[PADDED[padding](strings)] = 0
        return elements.reshape(-1)

    def encode_bytes(self, data: U8) -> U8:
        """Return the elements with space-padded strings padded; null-padded ones are null-terminated as they are."""
        elements = self._elements(data)
        for offset, length, padding in self.fields:
            strings = elements[:, offset : offset + length]
            if padding == "space":
                strings[_trailing(strings, 0)] = SPACE
        return elements.reshape(-1)

    def _elements(self, data: U8) -> U8:
        """Return a copy of the elements, one a row."""
        if data.size % self.itemsize:
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes are no whole number of {self.itemsize}")
        return data.reshape(-1, self.itemsize).copy()
