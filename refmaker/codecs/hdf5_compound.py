"""``refmaker_hdf5_compound``: compound elements without the gaps between their members.

Zarr's structured data types are packed; HDF5 places members where it likes.
Source: HDF5 File Format Specification IV.A.2.d, compound.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from refmaker.codecs.base import U8, BytesCodec
from refmaker.errors import BrokenFileError

__all__ = ["Hdf5Compound"]


class Hdf5Compound(BytesCodec):
    """Copies members next to each other when decoding, and back with zeros between them when encoding.

    Attributes:
        itemsize: bytes of a stored element.
        fields: [offset, length] of each member in it, in bytes, in the order of the packed element.
    """

    codec_id = "refmaker_hdf5_compound"

    def __init__(self, *, itemsize: int, fields: Sequence[Sequence[int]]) -> None:
        self.itemsize = itemsize
        self.fields = [[int(offset), int(length)] for offset, length in fields]
        ordered = sorted(self.fields)
        apart = all(offset + length <= after for (offset, length), (after, _) in pairwise([*ordered, [itemsize, 0]]))
        if not ordered or not apart or min(length for _, length in ordered) < 1 or ordered[0][0] < 0:
            raise BrokenFileError(f"{self.codec_id}: members {self.fields} in an element of {itemsize} bytes")
        self._packed = sum(length for _, length in self.fields)

    def decode_bytes(self, data: U8) -> U8:
        """Return packed elements; BrokenFileError when ``data`` is no whole number of stored ones."""
        count = self._count(data, self.itemsize)
        packed = np.empty(count * self._packed, np.uint8)
        for stored, position, length in self._moves():
            packed_member = _members(packed, position, length, self._packed, count)
            packed_member[...] = _members(data, stored, length, self.itemsize, count)
        return packed

    def encode_bytes(self, data: U8) -> U8:
        """Return elements of ``itemsize`` bytes with zeros between their members."""
        count = self._count(data, self._packed)
        elements = np.zeros(count * self.itemsize, np.uint8)
        for stored, position, length in self._moves():
            member = _members(elements, stored, length, self.itemsize, count)
            member[...] = _members(data, position, length, self._packed, count)
        return elements

    def _count(self, data: U8, itemsize: int) -> int:
        count, left = divmod(data.size, itemsize)
        if left:
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes are no whole number of {itemsize}")
        return count

    def _moves(self) -> list[tuple[int, int, int]]:
        """Return (stored offset, packed offset, length), members that stay neighbours in one."""
        moves: list[tuple[int, int, int]] = []
        position = 0
        for offset, length in self.fields:
            if moves and moves[-1][0] + moves[-1][2] == offset:
                moves[-1] = (moves[-1][0], moves[-1][1], moves[-1][2] + length)
            else:
                moves.append((offset, position, length))
            position += length
        return moves


def _members(data: U8, offset: int, length: int, stride: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Return one member of every element as a strided view."""
    return np.ndarray((count,), f"V{length}", buffer=data.data, offset=offset if count else 0, strides=(stride,))
