"""Where the chunks of a chunked dataset lie: one entry for every kind of index.

``read_chunk_index`` hands the index to the module named after its structure in the HDF5 File Format Specification,
section IV.A.2.i, and checks what comes back against the file and the grid: every chunk inside the file, every
position inside the grid and there once. What does not hold is an error, never a guess: the caller then asks libhdf5.
The two kinds without a structure, a single chunk and the implicit index, are read here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.scanners.hdf5.btree_v1 import read_btree_v1
from refmaker.scanners.hdf5.btree_v2 import read_btree_v2
from refmaker.scanners.hdf5.chunk_grid import ChunkGrid, chunk_grid
from refmaker.scanners.hdf5.chunk_record import ChunkColumns
from refmaker.scanners.hdf5.extensible_array import read_extensible_array
from refmaker.scanners.hdf5.fixed_array import read_fixed_array
from refmaker.scanners.hdf5.layout import (
    SINGLE_INDEX_WITH_FILTER,
    ChunkIndexType,
    DataLayout,
    LayoutClass,
)
from refmaker.scanners.hdf5.superblock import Superblock
from refmaker.source.base import Parser

__all__ = ["ChunkIndex", "read_chunk_index"]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkIndex:
    """The chunks that are stored, as parallel columns of shape (n,), in ascending order of position.

    Attributes:
        position: C-order position in the grid of the dataset's current shape, uint64, each there once.
        offset: absolute file position, uint64.
        length: stored bytes, uint64.
        filter_mask: bit i set: filter i of the pipeline was not applied, uint32. Always 0 for partial edge chunks
            that the layout flag leaves unfiltered (``DataLayout.partial_chunks_unfiltered``).
    """

    position: npt.NDArray[np.uint64]
    offset: npt.NDArray[np.uint64]
    length: npt.NDArray[np.uint64]
    filter_mask: npt.NDArray[np.uint32]


def read_chunk_index(
    superblock: Superblock,
    layout: DataLayout,
    shape: Sequence[int],
    maxshape: Sequence[int | None],
    *,
    filtered: bool,
) -> Parser[ChunkIndex]:
    """Read the index of one chunked dataset.

    Args:
        superblock: of the file.
        layout: the dataset's layout message.
        shape: elements along each axis now.
        maxshape: elements along each axis at most; None where unlimited.
        filtered: whether the dataset has a filter pipeline.

    Raises:
        BrokenFileError: the index contradicts itself, the file's size, or the dataset's shape.
        UnsupportedError: the layout is not chunked, the grid absurdly large, or a metadata cache image hides
            what is newest.
    """
    addressing = superblock.addressing
    if layout.layout_class != LayoutClass.CHUNKED or layout.index_type is None:
        raise addressing.unsupported(f"{layout.layout_class.name} layout has no chunk index", "layout")
    if superblock.cache_image:
        raise addressing.unsupported("metadata cache image: the structures in place are not the newest", "cache")
    grid = chunk_grid(addressing, layout.chunk_shape, layout.element_size, shape, maxshape)
    if layout.address is None or grid.size == 0:
        columns = ChunkColumns.empty()
    else:
        read = INDEXES[layout.index_type]
        columns = yield from read(superblock, layout, layout.address, grid, filtered)
    return _checked(addressing, grid, columns)


def _checked(addressing: Addressing, grid: ChunkGrid, columns: ChunkColumns) -> ChunkIndex:
    """Return the index in order of position, after the checks that all kinds share."""
    if not _ascending(columns.position):
        columns = columns.where(np.argsort(columns.position, kind="stable"))
        if not _ascending(columns.position):
            raise addressing.broken("two chunks at one place of the grid", 0)
    position, address, length, filter_mask = columns
    count = position.size
    shortest = longest = grid.chunk_bytes
    if length is None:
        length = np.full(count, grid.chunk_bytes, np.uint64)
    elif count:
        shortest, longest = int(length.min()), int(length.max())
    if filter_mask is None:
        filter_mask = np.zeros(count, np.uint32)
    if count:
        room = addressing.end_of_file - addressing.base_address
        if longest > room or (address > np.uint64(room) - length).any():
            raise addressing.truncated("chunks", int(address.max()))
        if shortest == 0:
            raise addressing.broken("a chunk of 0 bytes", 0)
    offset = address + np.uint64(addressing.base_address) if addressing.base_address else address
    return ChunkIndex(position, offset, length, filter_mask)


def _ascending(position: npt.NDArray[np.uint64]) -> bool:
    return bool((position[1:] > position[:-1]).all())


def _btree_v1(
    superblock: Superblock, _layout: DataLayout, address: int, grid: ChunkGrid, filtered: bool
) -> Parser[ChunkColumns]:
    k = superblock.indexed_storage_k
    return read_btree_v1(superblock.addressing, address, grid, k, filtered=filtered)


def _single_chunk(
    superblock: Superblock, layout: DataLayout, address: int, grid: ChunkGrid, filtered: bool
) -> Parser[ChunkColumns]:
    """Section VII.A "Single Chunk": the layout message says it all."""
    yield from ()
    if grid.size != 1 or filtered != bool(layout.flags & SINGLE_INDEX_WITH_FILTER):
        raise superblock.addressing.broken(f"single chunk index over a grid of {grid.grid_shape}", address)
    columns = ChunkColumns(np.zeros(1, np.uint64), np.array([address], np.uint64))
    if layout.filtered_size is None:
        return columns
    length = np.array([layout.filtered_size], np.uint64)
    return columns._replace(length=length, filter_mask=np.array([layout.filter_mask], np.uint32))


def _implicit(
    superblock: Superblock, _layout: DataLayout, address: int, grid: ChunkGrid, filtered: bool
) -> Parser[ChunkColumns]:
    """Section VII.A "Implicit": all chunks of the maximum grid lie one after the other, unfiltered."""
    yield from ()
    addressing = superblock.addressing
    extents = [extent for extent in grid.max_grid_shape if extent is not None]
    if filtered or len(extents) != len(grid.max_grid_shape):
        raise addressing.broken("implicit index of a filtered or unlimited dataset", address)
    count = prod(extents)
    addressing.offset(address, count * grid.chunk_bytes)
    index = np.arange(count, dtype=np.uint64)
    columns = ChunkColumns(index, np.uint64(address) + index * np.uint64(grid.chunk_bytes))
    position, inside = grid.positions_of_indexes(index, range(len(grid.grid_shape)))
    columns = columns._replace(position=position)
    return columns if inside is None else columns.where(inside)


def _fixed_array(
    superblock: Superblock, layout: DataLayout, address: int, grid: ChunkGrid, filtered: bool
) -> Parser[ChunkColumns]:
    return read_fixed_array(superblock.addressing, address, grid, layout.page_bits, filtered=filtered)


def _extensible_array(
    superblock: Superblock, layout: DataLayout, address: int, grid: ChunkGrid, filtered: bool
) -> Parser[ChunkColumns]:
    parameters = layout.extensible_array
    if parameters is None:
        raise superblock.addressing.broken("extensible array without creation parameters", address)
    return read_extensible_array(superblock.addressing, address, grid, parameters, filtered=filtered)


def _btree_v2(
    superblock: Superblock, layout: DataLayout, address: int, grid: ChunkGrid, filtered: bool
) -> Parser[ChunkColumns]:
    return read_btree_v2(superblock.addressing, address, grid, layout.node_size, filtered=filtered)


INDEXES: dict[ChunkIndexType, Callable[[Superblock, DataLayout, int, ChunkGrid, bool], Parser[ChunkColumns]]] = {
    ChunkIndexType.BTREE_V1: _btree_v1,
    ChunkIndexType.SINGLE_CHUNK: _single_chunk,
    ChunkIndexType.IMPLICIT: _implicit,
    ChunkIndexType.FIXED_ARRAY: _fixed_array,
    ChunkIndexType.EXTENSIBLE_ARRAY: _extensible_array,
    ChunkIndexType.BTREE_V2: _btree_v2,
}
"""The reader of each kind of chunk index."""
