"""Links or attributes of an object that has many: bodies of messages in a fractal heap, found through a B-tree.

HDF5 File Format Specification, sections III.A.2 (record types 5, 6, 8 and 9) and III.G.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.scanners.hdf5.fractal_heap import FractalHeap, read_fractal_heap
from refmaker.scanners.hdf5.messages import Dense
from refmaker.scanners.hdf5.records import read_records
from refmaker.source.base import Bytes, Parser
from refmaker.source.together import together

__all__ = ["Members", "read_members"]

HEAP_ID_AT = {5: 4, 6: 8, 8: 0, 9: 0}
"""Record types of links by name (5) and by creation (6), attributes likewise (8, 9) -> position of the heap ID."""


class Members(NamedTuple):
    """What is kept: the heap, and the records of one B-tree, of shape (n, record size)."""

    heap: FractalHeap
    records: Bytes
    heap_id_at: int

    def bodies(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield (record after its heap ID, body of the message), None for huge objects."""
        end = self.heap_id_at + self.heap.head.id_length
        for record in np.ascontiguousarray(self.records):
            yield record[end:].tobytes(), self.heap.managed(record[self.heap_id_at : end])


def read_members(addressing: Addressing, place: Dense) -> Parser[Members]:
    """Read heap and B-tree side by side.

    Raises:
        BrokenFileError, TruncatedFileError, UnsupportedError: they make no sense to us.
    """
    heap, (kind, records) = yield from together(
        read_fractal_heap(addressing, place.heap), read_records(addressing, place.trees[0])
    )
    if kind not in HEAP_ID_AT:
        raise addressing.broken(f"a B-tree of record type {kind} for links or attributes", place.trees[0])
    if records.size and HEAP_ID_AT[kind] + heap.head.id_length > records.shape[1]:
        raise addressing.broken(f"heap IDs of {heap.head.id_length} bytes in records of {records.shape[1]}", place.heap)
    return Members(heap, records, HEAP_ID_AT[kind])
