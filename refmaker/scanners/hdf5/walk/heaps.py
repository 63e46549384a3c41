"""Local and global heaps: names of old groups, values of variable length.

HDF5 File Format Specification, sections III.D and III.E. libhdf5 reads a little more at first than the heads are long,
and so do we: what is wished for must cover what it will read.
"""

from refmaker.scanners.hdf5.global_heap import read_global_heap
from refmaker.scanners.hdf5.walk.walked import Walked
from refmaker.source.base import Parser

__all__ = ["global_heap", "local_heap"]

LOCAL_FIRST_READ = 512


def local_heap(walked: Walked, address: int) -> Parser[None]:
    """Wish for a local heap and its data segment."""
    addressing = walked.addressing
    [block] = yield [addressing.wish(address, addressing.up_to(address, LOCAL_FIRST_READ))]
    cursor = addressing.signed_cursor(block[0], address, b"HEAP", 0)
    cursor.skip(3)
    size = cursor.uint(addressing.size_of_lengths)
    cursor.skip(addressing.size_of_lengths)
    segment = cursor.uint(addressing.size_of_offsets)
    yield [addressing.wish(segment, size)]


def global_heap(walked: Walked, address: int) -> Parser[None]:
    """Wish for a global heap collection."""
    yield from read_global_heap(walked.addressing, address)
