"""Header messages: pure functions from a message's bytes to what it says, and to where it points.

HDF5 File Format Specification, section IV.A.2. Each function returns None, or nothing, where a message says nothing.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from refmaker.errors import BrokenFileError, TruncatedFileError
from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.source.cursor import Cursor

__all__ = [
    "ATTRIBUTE",
    "ATTRIBUTE_INFO",
    "COMMENT",
    "DATASPACE",
    "DATATYPE",
    "DATA_LAYOUT",
    "FILL_VALUE",
    "FILL_VALUE_OLD",
    "FILTER_PIPELINE",
    "HARD_LINK",
    "LAST_KNOWN",
    "LINK",
    "LINK_INFO",
    "REFERENCE_COUNT",
    "SHARED",
    "SHARED_IN_TYPE",
    "SYMBOL_TABLE",
    "TIME",
    "TIME_OLD",
    "Attribute",
    "Dense",
    "Extent",
    "Fill",
    "Filter",
    "Link",
    "attribute_info",
    "attribute_of",
    "extent_of",
    "external_heap",
    "fill_of",
    "filters_of",
    "is_creation_tracked",
    "link_info",
    "link_of",
    "shared_at",
    "symbol_table",
    "virtual_heap",
]

DATASPACE, LINK_INFO, DATATYPE, FILL_VALUE_OLD, FILL_VALUE, DATA_LAYOUT = 1, 2, 3, 4, 5, 8
LINK, FILTER_PIPELINE, ATTRIBUTE, COMMENT, TIME_OLD, SYMBOL_TABLE = 0x06, 0x0B, 0x0C, 0x0D, 0x0E, 0x11
TIME, ATTRIBUTE_INFO, REFERENCE_COUNT, LAST_KNOWN = 0x12, 0x15, 0x16, 0x18
"""Types of messages; section IV.A.2 ends with ``LAST_KNOWN``."""
SHARED = 2
"""Flag of a header message: its body says where the message is."""
HARD_LINK = 0
SCALAR, NULL = 0, 2
"""Types of dataspaces: with one element, with none."""
MOST_AXES = 32
OWN_NAME_FROM = 256
"""Filter ids from which version 2 of the message carries a name."""
FILL_UNDEFINED, FILL_DEFINED, FILL_ALL = 0x10, 0x20, 0x3F
"""Flags of version 3 of the fill value message."""
SHARED_IN_TYPE = 1
"""Flag of an attribute message: its datatype stands elsewhere."""


class Dense(NamedTuple):
    """Where many links or attributes are kept: a fractal heap, and the B-trees that order them."""

    heap: int
    trees: tuple[int, ...]


class Link(NamedTuple):
    """A link message; ``address`` of the object header that a hard link leads to, else 0."""

    name: bytes
    type: int
    address: int
    creation_order: int


class Attribute(NamedTuple):
    """The parts of an attribute message; ``shared``: which of datatype (1) and dataspace (2) say where they are."""

    name: bytes
    datatype: bytes
    dataspace: bytes
    shared: int
    data: bytes


class Filter(NamedTuple):
    """One filter of a pipeline: its registered number, its name if it has one, and its client data values."""

    id: int
    name: str
    values: tuple[int, ...]


class Fill(NamedTuple):
    """A fill value message: whether a value is defined by the user, and its bytes in the dataset's datatype."""

    is_defined: bool
    value: bytes = b""


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


def is_creation_tracked(body: bytes) -> bool:
    """Whether a link info message says that the order of creation is kept."""
    return bool(body[1] & 1)


def link_of(addressing: Addressing, body: bytes) -> Link:
    """Section IV.A.2.g.

    Raises:
        BrokenFileError, TruncatedFileError: it ends early, or is of another version.
    """
    cursor = Cursor(body)
    version, flags = cursor.unpack("BB")
    if version != 1:
        raise addressing.broken(f"link message version {version}", 0)
    kind = cursor.uint(1) if flags & 8 else HARD_LINK
    order = cursor.uint(8) if flags & 4 else 0
    cursor.skip(1 if flags & 16 else 0)
    name = cursor.take(cursor.uint(1 << (flags & 3)))
    return Link(name, kind, cursor.uint(addressing.size_of_offsets) if kind == HARD_LINK else 0, order)


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


@lru_cache(4096)
def extent_of(addressing: Addressing, body: bytes) -> Extent | None:
    """Section IV.A.2.b: shape and maximum shape; None for a null dataspace.

    Raises:
        BrokenFileError, TruncatedFileError: there is no such dataspace.
    """
    cursor = Cursor(body)
    version, rank, flags, kind = cursor.unpack("BBBB")
    if version == 1:
        cursor.skip(4)
    elif version != 2 or kind > NULL:
        raise addressing.broken(f"dataspace message version {version}, type {kind}", 0)
    elif kind == NULL:
        return None
    if rank > MOST_AXES or (version == 2 and kind == SCALAR and rank):
        raise addressing.broken(f"a dataspace of {rank} axes and type {kind}", 0)
    width = addressing.size_of_lengths
    shape = tuple(cursor.uint(width) for _ in range(rank))
    unlimited = (1 << 8 * width) - 1
    limits = [cursor.uint(width) for _ in range(rank)] if flags & 1 else shape
    if any(n > limit or n >> 63 for n, limit in zip(shape, limits, strict=True)):
        raise addressing.broken(f"a dataspace of {shape} elements, of which {tuple(limits)} are allowed", 0)
    return Extent(shape, tuple(None if limit == unlimited else limit for limit in limits))


_ATTRIBUTE = struct.Struct("<BBHHH")


def attribute_of(body: bytes) -> Attribute:
    """Section IV.A.2.m: version 1 pads its parts to 8 bytes, version 3 adds the name's character set.

    Raises:
        BrokenFileError, TruncatedFileError: its name ends early, or its parts are longer than the message.
    """
    if len(body) < _ATTRIBUTE.size:
        raise TruncatedFileError(f"an attribute message of {len(body)} bytes")
    version, flags, name, datatype, space = _ATTRIBUTE.unpack_from(body)
    if not 1 <= version <= 3:
        raise BrokenFileError(f"attribute message version {version}")
    start = 9 if version == 3 else 8
    if version == 1:
        flags, step = 0, 7
    else:
        step = 0
    datatype_at = start + (name + step & ~step)
    space_at = datatype_at + (datatype + step & ~step)
    data_at = space_at + (space + step & ~step)
    if data_at > len(body):
        raise TruncatedFileError(f"an attribute message of {len(body)} bytes whose parts have {data_at}")
    raw_name = body[start : start + name - 1]  # the last byte ends it
    if not name or b"\0" in raw_name:
        raise BrokenFileError(f"an attribute whose name of {name} bytes ends early")
    return Attribute(raw_name, body[datatype_at:space_at], body[space_at:data_at], flags, body[data_at:])


@lru_cache(1024)
def filters_of(body: bytes) -> tuple[Filter, ...]:
    """Section IV.A.2.l, in the order of encoding.

    Raises:
        BrokenFileError, TruncatedFileError: the message makes no sense, or ends early.
    """
    cursor = Cursor(body)
    version, count = cursor.unpack("BB")
    if version not in {1, 2}:
        raise BrokenFileError(f"filter pipeline message version {version}")
    cursor.skip(6 if version == 1 else 0)
    filters = []
    for _ in range(count):
        number = cursor.uint(2)
        name_length = cursor.uint(2) if version == 1 or number >= OWN_NAME_FROM else 0
        _flags, parameters = cursor.unpack("HH")
        name = cursor.take(-(-name_length // 8) * 8 if version == 1 else name_length)
        values = cursor.unpack(f"{parameters}I")
        cursor.skip(4 if version == 1 and parameters % 2 else 0)
        filters.append(Filter(number, name.partition(b"\0")[0].decode("latin-1"), values))
    return tuple(filters)


@lru_cache(1024)
def fill_of(body: bytes) -> Fill:
    """Section IV.A.2.f, versions 1 to 3.

    Raises:
        BrokenFileError, TruncatedFileError: the message makes no sense, or ends early.
    """
    cursor = Cursor(body)
    version = cursor.uint(1)
    if not 1 <= version <= 3:
        raise BrokenFileError(f"fill value message version {version}")
    if version == 3:
        flags = cursor.uint(1)
        if (flags & FILL_DEFINED and flags & FILL_UNDEFINED) or flags > FILL_ALL:
            raise BrokenFileError(f"fill value message with flags {flags:#x}")
        has_value = bool(flags & FILL_DEFINED)
    else:
        _allocation, _writing, defined = cursor.unpack("BBB")
        has_value = bool(defined)
    size = cursor.uint(4) if has_value else 0
    undefined = version < 3 and size == 0xFFFF_FFFF  # version 1 and 2 say so with a size of -1
    return Fill(True, cursor.take(size)) if size and not undefined else Fill(False)
