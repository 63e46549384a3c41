"""The data layout message (0x08): where a dataset's bytes lie, or which index tells.

HDF5 File Format Specification, section IV.A.2.i, versions 1 to 5. Version 5 (HDF5 2.0) is version 4 with wider chunk
sizes in the indexes, which say their own record size, so both are read alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from refmaker.errors import BrokenFileError, UnsupportedError
from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.scanners.hdf5.object_header import HeaderMessage, read_object_header
from refmaker.source.base import Parser
from refmaker.source.cursor import Cursor

__all__ = [
    "ChunkIndexType",
    "DataLayout",
    "ExtensibleArrayParameters",
    "LayoutClass",
    "parse_data_layout",
    "read_data_layout",
]

DATA_LAYOUT = 0x08
DONT_FILTER_PARTIAL_EDGE_CHUNKS = 0x01
SINGLE_INDEX_WITH_FILTER = 0x02
MAX_RANK = 32


class LayoutClass(IntEnum):
    """How the bytes of a dataset are stored."""

    COMPACT = 0
    CONTIGUOUS = 1
    CHUNKED = 2
    VIRTUAL = 3


class ChunkIndexType(IntEnum):
    """Which structure finds the chunks; versions 1 to 3 of the message imply the version 1 B-tree."""

    BTREE_V1 = 0
    SINGLE_CHUNK = 1
    IMPLICIT = 2
    FIXED_ARRAY = 3
    EXTENSIBLE_ARRAY = 4
    BTREE_V2 = 5


@dataclass(frozen=True, slots=True)
class ExtensibleArrayParameters:
    """Creation parameters of an extensible array, as the message repeats them."""

    max_bits: int
    index_block_elements: int
    min_pointers: int
    min_elements: int
    page_bits: int


@dataclass(frozen=True, slots=True)
class DataLayout:
    """One dataset's layout.

    Attributes:
        version: of the message, 1 to 5.
        layout_class: compact, contiguous, chunked or virtual.
        address: of the contiguous bytes, of the chunk index, or of the only chunk (relative to the base address);
            None when nothing is allocated. For compact data None: see ``compact_offset``.
        size: bytes of contiguous or compact data; None where versions 1 and 2 leave it to shape and type.
        compact_offset: file position (base address included) of compact data, in the object header itself.
        chunk_shape: elements of a chunk along each axis; empty unless chunked.
        element_size: bytes of an element; 0 unless chunked.
        index_type: which structure finds the chunks; None unless chunked.
        flags: of versions 4 and 5: bit 0 partial edge chunks are stored unfiltered, bit 1 the only chunk is filtered.
        page_bits: fixed array: base-two logarithm of the elements in a page.
        extensible_array: extensible array: its creation parameters.
        node_size: version 2 B-tree: bytes of a node.
        filtered_size: single filtered chunk: its stored bytes.
        filter_mask: single filtered chunk: which filters were skipped.
    """

    version: int
    layout_class: LayoutClass
    address: int | None = None
    size: int | None = None
    compact_offset: int | None = None
    chunk_shape: tuple[int, ...] = ()
    element_size: int = 0
    index_type: ChunkIndexType | None = None
    flags: int = 0
    page_bits: int = 0
    extensible_array: ExtensibleArrayParameters | None = None
    node_size: int = 0
    filtered_size: int | None = None
    filter_mask: int = 0

    @property
    def partial_chunks_unfiltered(self) -> bool:
        """Whether chunks that the dataset's edge cuts are stored without any filter (their filter mask is 0)."""
        return bool(self.flags & DONT_FILTER_PARTIAL_EDGE_CHUNKS)


def read_data_layout(addressing: Addressing, offset: int) -> Parser[DataLayout]:
    """Read the layout of the dataset whose object header is at file position ``offset`` (base address included).

    Raises:
        BrokenFileError: no header there, no layout message in it, or a wrong one.
        UnsupportedError: an unknown version, class or index type.
    """
    messages = yield from read_object_header(addressing, offset)
    for message in messages:
        if message.type == DATA_LAYOUT:
            return parse_data_layout(addressing, message)
    raise addressing.broken("no data layout message: not a dataset", offset - addressing.base_address)


def parse_data_layout(addressing: Addressing, message: HeaderMessage) -> DataLayout:
    """Parse one data layout message.

    Raises:
        BrokenFileError: it ends early, or says impossible things.
        UnsupportedError: an unknown version, class or index type.
    """
    cursor = Cursor(message.body, location=addressing.location or "<hdf5>", base=message.offset)
    version = cursor.uint(1)
    if not 1 <= version <= 5:
        raise _unsupported(f"data layout message version {version}; 1 to 5 are known", cursor)
    if version < 3:
        return _parse_old(addressing, cursor, version)
    layout_class = _layout_class(cursor.uint(1), cursor)
    if layout_class == LayoutClass.CHUNKED:
        parse = _parse_chunked_v3 if version == 3 else _parse_chunked_v4
        return parse(addressing, cursor, version)
    if layout_class == LayoutClass.COMPACT:
        return _compact(cursor, version, cursor.uint(2))
    if layout_class == LayoutClass.CONTIGUOUS:
        address = _address(addressing, cursor)
        size = cursor.uint(addressing.size_of_lengths)
        return DataLayout(version, layout_class, address=address, size=size)
    return DataLayout(version, layout_class)


def _parse_old(addressing: Addressing, cursor: Cursor, version: int) -> DataLayout:
    """Versions 1 and 2: the class comes after the dimensionality, sizes are 4 bytes wide."""
    dimensionality, class_code = cursor.unpack("BB")
    layout_class = _layout_class(class_code, cursor)
    cursor.skip(5)
    address = None if layout_class == LayoutClass.COMPACT else _address(addressing, cursor)
    dimensions = cursor.unpack(f"{dimensionality}I")
    if layout_class == LayoutClass.COMPACT:
        return _compact(cursor, version, cursor.uint(4))
    if layout_class == LayoutClass.CONTIGUOUS:
        return DataLayout(version, layout_class, address=address)
    if layout_class == LayoutClass.VIRTUAL:
        raise _unsupported(f"virtual layout in a message of version {version}", cursor)
    return _chunked(cursor, version, address, dimensions, ChunkIndexType.BTREE_V1)


def _parse_chunked_v3(addressing: Addressing, cursor: Cursor, version: int) -> DataLayout:
    dimensionality = cursor.uint(1)
    address = _address(addressing, cursor)
    dimensions = cursor.unpack(f"{dimensionality}I")
    return _chunked(cursor, version, address, dimensions, ChunkIndexType.BTREE_V1)


def _parse_chunked_v4(addressing: Addressing, cursor: Cursor, version: int) -> DataLayout:
    flags, dimensionality, width = cursor.unpack("BBB")
    if not 1 <= width <= 8:
        raise _broken(f"chunk dimensions of {width} bytes", cursor)
    dimensions = tuple(cursor.uint(width) for _ in range(dimensionality))
    code = cursor.uint(1)
    if code not in INDEX_INFORMATION:
        raise _unsupported(f"chunk index type {code}; 1 to 5 are known", cursor)
    index_type = ChunkIndexType(code)
    information = INDEX_INFORMATION[index_type](addressing, cursor, flags)
    address = _address(addressing, cursor)
    return _chunked(cursor, version, address, dimensions, index_type, flags=flags, **information)


def _single_chunk(addressing: Addressing, cursor: Cursor, flags: int) -> dict[str, Any]:
    if not flags & SINGLE_INDEX_WITH_FILTER:
        return {}
    return {"filtered_size": cursor.uint(addressing.size_of_lengths), "filter_mask": cursor.uint(4)}


def _implicit(_addressing: Addressing, _cursor: Cursor, _flags: int) -> dict[str, Any]:
    return {}


def _fixed_array(_addressing: Addressing, cursor: Cursor, _flags: int) -> dict[str, Any]:
    return {"page_bits": cursor.uint(1)}


def _extensible_array(_addressing: Addressing, cursor: Cursor, _flags: int) -> dict[str, Any]:
    return {"extensible_array": ExtensibleArrayParameters(*cursor.unpack("5B"))}


def _btree_v2(_addressing: Addressing, cursor: Cursor, _flags: int) -> dict[str, Any]:
    node_size, _split_percent, _merge_percent = cursor.unpack("IBB")
    return {"node_size": node_size}


INDEX_INFORMATION: dict[int, Callable[[Addressing, Cursor, int], dict[str, Any]]] = {
    ChunkIndexType.SINGLE_CHUNK: _single_chunk,
    ChunkIndexType.IMPLICIT: _implicit,
    ChunkIndexType.FIXED_ARRAY: _fixed_array,
    ChunkIndexType.EXTENSIBLE_ARRAY: _extensible_array,
    ChunkIndexType.BTREE_V2: _btree_v2,
}
"""What stands between the index type and the address, by index type."""


def _chunked(
    cursor: Cursor,
    version: int,
    address: int | None,
    dimensions: tuple[int, ...],
    index_type: ChunkIndexType,
    **information: Any,
) -> DataLayout:
    """Return a chunked layout; the last of ``dimensions`` is the element size."""
    if not 2 <= len(dimensions) <= MAX_RANK + 1:
        raise _broken(f"{len(dimensions)} chunk dimensions, 2 to {MAX_RANK + 1} expected", cursor)
    if 0 in dimensions:
        raise _broken(f"chunk dimensions {dimensions}: none may be 0", cursor)
    return DataLayout(
        version,
        LayoutClass.CHUNKED,
        address=address,
        chunk_shape=dimensions[:-1],
        element_size=dimensions[-1],
        index_type=index_type,
        **information,
    )


def _compact(cursor: Cursor, version: int, size: int) -> DataLayout:
    offset = cursor.base + cursor.position
    cursor.skip(size)
    return DataLayout(version, LayoutClass.COMPACT, size=size, compact_offset=offset)


def _address(addressing: Addressing, cursor: Cursor) -> int | None:
    address = cursor.uint(addressing.size_of_offsets)
    return None if address == addressing.undefined else address


def _layout_class(code: int, cursor: Cursor) -> LayoutClass:
    if code > LayoutClass.VIRTUAL:
        raise _unsupported(f"data layout class {code}; 0 to 3 are known", cursor)
    return LayoutClass(code)


def _unsupported(message: str, cursor: Cursor) -> UnsupportedError:
    return UnsupportedError(message, code="layout", location=cursor.location, offset=cursor.base)


def _broken(message: str, cursor: Cursor) -> BrokenFileError:
    return BrokenFileError(message, location=cursor.location, offset=cursor.base)
