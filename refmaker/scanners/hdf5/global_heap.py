"""Global heaps: where values of variable length are kept.

HDF5 File Format Specification, section III.E. Read by us first even where libhdf5 reads the values: on a collection
that holds a free object of size 0 it would loop for ever.
"""

import struct
from dataclasses import dataclass

from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.source.base import ByteSource, Parser, drive

__all__ = ["GlobalHeap", "GlobalHeaps", "read_global_heap"]

FIRST_READ = 4096
"""The least that a collection takes, and what libhdf5 reads at first."""
KEPT_NBYTES = 64 << 20
"""Bytes of collections to keep in memory."""
HEAD_SIZE = 16
"""Bytes of a collection's head and of an object's: both are padded to whole 8 bytes."""
_OBJECT_HEAD = {2: struct.Struct("<H6xH6x"), 4: struct.Struct("<H6xI4x"), 8: struct.Struct("<H6xQ")}


@dataclass(frozen=True, slots=True)
class GlobalHeap:
    """One collection: its bytes, and where in them each object lies, by its index."""

    data: bytes
    places: dict[int, tuple[int, int]]

    def get(self, index: int) -> bytes | None:
        """Return an object's bytes, None where there is no such object."""
        place = self.places.get(index)
        return None if place is None else self.data[place[0] : place[1]]


def read_global_heap(addressing: Addressing, address: int) -> Parser[GlobalHeap]:
    """Read the collection at ``address``.

    Raises:
        BrokenFileError: there is none, or its objects do not fill it.
        TruncatedFileError: it reaches past the end of the file.
    """
    [block] = yield [addressing.wish(address, addressing.up_to(address, FIRST_READ))]
    cursor = addressing.signed_cursor(block[0], address, b"GCOL", 1)
    cursor.skip(3)
    size = cursor.uint(addressing.size_of_lengths)
    if size > block.shape[1]:
        [block] = yield [addressing.wish(address, size)]
    data = block[0, :size].tobytes()
    head = _OBJECT_HEAD[addressing.size_of_lengths]
    places: dict[int, tuple[int, int]] = {}
    position = HEAD_SIZE
    while position + HEAD_SIZE <= len(data):
        index, length = head.unpack_from(data, position)
        if index == 0:  # free room, whose length counts its head
            step = length
        else:
            start = position + HEAD_SIZE
            places[index] = start, start + length
            step = HEAD_SIZE + (length + 7 & ~7)
        position += step
        if step < HEAD_SIZE or position > len(data):
            raise addressing.broken("a global heap whose objects do not fit into it", address)
    return GlobalHeap(data, places)


class GlobalHeaps:
    """The collections of one file; the latest stay in memory.

    Attributes:
        addressing: of the file.
    """

    def __init__(self, addressing: Addressing, source: ByteSource) -> None:
        self.addressing = addressing
        self._source = source
        self._kept: dict[int, GlobalHeap] = {}
        self._kept_nbytes = 0
        self._nbytes: dict[int, int] = {}
        self._total_nbytes = 0

    def collection(self, address: int) -> GlobalHeap:
        """Return the collection at ``address``.

        Raises:
            BrokenFileError: there is none, or a wrong one.
        """
        heap = self._kept.get(address)
        if heap is None:
            heap = drive(read_global_heap(self.addressing, address), self._source)
            self._keep(address, heap)
        return heap

    def _keep(self, address: int, heap: GlobalHeap) -> None:
        if address not in self._nbytes:
            self._nbytes[address] = len(heap.data)
            self._total_nbytes += len(heap.data)
            if self._total_nbytes > self.addressing.end_of_file:
                raise self.addressing.broken("global heaps that overlap", address)
        if self._kept_nbytes > KEPT_NBYTES:
            self._kept.clear()
            self._kept_nbytes = 0
        self._kept[address] = heap
        self._kept_nbytes += len(heap.data)
