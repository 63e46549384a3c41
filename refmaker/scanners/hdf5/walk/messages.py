"""Header messages, as far as they point elsewhere: pure functions from a message's bytes to addresses.

HDF5 File Format Specification, section IV.A.2. Each function returns None, or nothing, where a message says nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.source.cursor import Cursor

__all__ = [
    "Attribute",
    "Dense",
    "Extent",
    "attribute_info",
    "attribute_of",
    "extent_of",
    "external_heap",
    "hard_link",
    "link_info",
    "shared_at",
    "symbol_table",
    "virtual_heap",
]

HARD_LINK = 0
SHARED_IN_TYPE, SHARED_IN_SPACE = 1, 2
"""Flags of an attribute message: its datatype, its dataspace stands elsewhere."""


class Dense(NamedTuple):
    """Where many links or attributes are kept: a fractal heap, and the B-trees that order them."""

    heap: int
    trees: tuple[int, ...]


class Attribute(NamedTuple):
    """The parts of an attribute message; ``is_shared``: ``datatype`` says where the datatype is."""

    datatype: bytes
    is_shared: bool
    data: bytes


class Extent(NamedTuple):
    """Shape and maximum shape of a simple dataspace; None in ``maxshape``: unlimited."""

    shape: tuple[int, ...]
    maxshape: tuple[int | None, ...]


def _addresses(addressing: Addressing, cursor: Cursor, count: int) -> Sequence[int]:
    return [cursor.uint(addressing.size_of_offsets) for _ in range(count)]


def link_info(addressing: Addressing, body: bytes) -> Dense:
    """Section IV.A.2.c: a heap of links and one or two B-trees."""
    cursor = Cursor(body, position=1)
    flags = cursor.uint(1)
    cursor.skip(8 if flags & 1 else 0)
    heap, *trees = _addresses(addressing, cursor, 3 if flags & 2 else 2)
    return Dense(heap, tuple(trees))


def attribute_info(addressing: Addressing, body: bytes) -> Dense:
    """Section IV.A.2.v: the same for attributes; the creation index is narrower."""
    cursor = Cursor(body, position=1)
    flags = cursor.uint(1)
    cursor.skip(2 if flags & 1 else 0)
    heap, *trees = _addresses(addressing, cursor, 3 if flags & 2 else 2)
    return Dense(heap, tuple(trees))


def hard_link(addressing: Addressing, body: bytes) -> int | None:
    """Section IV.A.2.g: the object header that a link message points to, None for other links."""
    cursor = Cursor(body, position=1)
    flags = cursor.uint(1)
    kind = cursor.uint(1) if flags & 8 else HARD_LINK
    cursor.skip((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
    cursor.skip(cursor.uint(1 << (flags & 3)))
    return cursor.uint(addressing.size_of_offsets) if kind == HARD_LINK else None


def symbol_table(addressing: Addressing, body: bytes) -> tuple[int, int]:
    """Section IV.A.2.r: B-tree and local heap of an old group."""
    tree, heap = _addresses(addressing, Cursor(body), 2)
    return tree, heap


def external_heap(addressing: Addressing, body: bytes) -> int:
    """Section IV.A.2.h: the local heap with the names of external files."""
    return Cursor(body, position=8).uint(addressing.size_of_offsets)


def virtual_heap(addressing: Addressing, body: bytes) -> int | None:
    """Section IV.A.2.i, layout class 3: the global heap collection with the mappings of a virtual dataset."""
    if len(body) < 2 or body[0] < 4 or body[1] != 3:
        return None
    return Cursor(body, position=2).uint(addressing.size_of_offsets)


def shared_at(addressing: Addressing, body: bytes) -> int | None:
    """Section IV.A.2 "Shared Message": the object header that holds the message, None if it lies in a heap."""
    cursor = Cursor(body)
    version, kind = cursor.unpack("BB")
    if version == 1:
        cursor.skip(6)
    elif version == 3 and kind != 2:
        return None
    return cursor.uint(addressing.size_of_offsets)


def extent_of(addressing: Addressing, body: bytes) -> Extent | None:
    """Section IV.A.2.b: shape and maximum shape; None for a null dataspace."""
    cursor = Cursor(body)
    version, rank, flags = cursor.unpack("BBB")
    kind = cursor.uint(1)
    if version == 1:
        cursor.skip(4)
    elif kind == 2:
        return None
    width = addressing.size_of_lengths
    shape = tuple(cursor.uint(width) for _ in range(rank))
    if not flags & 1:
        return Extent(shape, shape)
    unlimited = (1 << 8 * width) - 1
    limits = [cursor.uint(width) for _ in range(rank)]
    return Extent(shape, tuple(None if limit == unlimited else limit for limit in limits))


def attribute_of(body: bytes) -> Attribute:
    """Section IV.A.2.m: version 1 pads its parts to 8 bytes, version 3 adds the name's character set."""
    cursor = Cursor(body)
    version, flags = cursor.unpack("BB")
    lengths = cursor.unpack("HHH")
    if version == 1:
        flags = 0
        lengths = tuple(-(-length // 8) * 8 for length in lengths)
    elif version == 3:
        cursor.skip(1)
    _name, datatype, _space = (cursor.take(length) for length in lengths)
    return Attribute(datatype, bool(flags & SHARED_IN_TYPE), cursor.take(cursor.left))
