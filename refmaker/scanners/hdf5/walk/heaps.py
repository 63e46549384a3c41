"""Wishes for local and global heaps: names of old groups, values of variable length."""

from refmaker.scanners.hdf5.global_heap import read_global_heap
from refmaker.scanners.hdf5.symbol_table import read_local_heap
from refmaker.scanners.hdf5.walk.walked import Walked
from refmaker.source.base import Parser

__all__ = ["global_heap", "local_heap"]


def local_heap(walked: Walked, address: int) -> Parser[None]:
    """Wish for a local heap and its data segment."""
    yield from read_local_heap(walked.addressing, address)


def global_heap(walked: Walked, address: int) -> Parser[None]:
    """Wish for a global heap collection."""
    yield from read_global_heap(walked.addressing, address)
