"""Version 1 B-trees of node type 1: raw data chunks.

HDF5 File Format Specification, section III.A.1. Every node of a file has room for 2K entries, so all nodes of a level
have one length and are read in one wish; the depth of the tree is the number of rounds. An entry is a key (stored
size, filter mask, element coordinates of the chunk, with a zero for the element's bytes) and a child address. Sibling
pointers are not needed; levels must count down to 0, so no cycle can exist.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.scanners.hdf5.chunk_grid import ChunkGrid
from refmaker.scanners.hdf5.chunk_record import ChunkColumns
from refmaker.source.base import Bytes, Parser

__all__ = ["read_btree_v1"]

NODE_HEAD = np.dtype({"names": ["signature", "level", "used"], "formats": ["<u4", "u1", "<u2"], "offsets": [0, 5, 6]})
TREE = int.from_bytes(b"TREE", "little")
RAW_DATA_CHUNKS = 1
FEW_CHUNKS = 16
"""Chunks that are checked one by one faster than by columns."""

Records = npt.NDArray[np.void]


def read_btree_v1(
    addressing: Addressing, address: int, grid: ChunkGrid, indexed_storage_k: int, *, filtered: bool
) -> Parser[ChunkColumns]:
    """Read the chunks of the tree whose root is at ``address``; positions are strictly ascending.

    Raises:
        BrokenFileError: a node that is none, keys that do not ascend or are no chunk borders inside the grid, or
            unfiltered chunks of another size than the layout says.
    """
    entry = entry_dtype(addressing.size_of_offsets, len(grid.chunk_shape))
    head_size = 8 + 2 * addressing.size_of_offsets
    node_size = head_size + 2 * indexed_storage_k * entry.itemsize + entry.itemsize - addressing.size_of_offsets
    children = np.array([address], np.uint64)
    level = -1
    node_count = 0
    while level:
        node_count += children.size
        if node_count * node_size > addressing.end_of_file:
            raise addressing.broken("more B-tree nodes than the file holds", address)
        [nodes] = yield [addressing.wishes(children, node_size, exact=True)]
        level, used = _check_nodes(addressing, address, nodes, level - 1)
        if int(used.max()) > 2 * indexed_storage_k or (level and int(used.min()) == 0):
            raise addressing.broken(f"B-tree node with {int(used.max())} entries", address)
        entries = nodes[:, head_size : head_size + 2 * indexed_storage_k * entry.itemsize]
        records = _used_entries(entries, used, entry)
        if level == 0 and records.size <= FEW_CHUNKS:
            return _few_chunks(addressing, address, grid, records, filtered=filtered)
        children = records["child"].astype(np.uint64)
    return _chunks(addressing, address, grid, records, children, filtered=filtered)


@lru_cache(maxsize=128)
def entry_dtype(size_of_offsets: int, rank: int) -> np.dtype[np.void]:
    """Return the dtype of a key and its child, for chunks with ``rank`` axes."""
    names = ["size", "filter_mask", *(f"coordinate{axis}" for axis in range(rank)), "element", "child"]
    return np.dtype(list(zip(names, ["<u4", "<u4", *["<u8"] * (rank + 1), f"<u{size_of_offsets}"], strict=True)))


def _check_nodes(addressing: Addressing, address: int, nodes: Bytes, level: int) -> tuple[int, npt.NDArray[np.uint16]]:
    """Return the level of ``nodes``, which must be ``level`` unless that is negative, and their entries used."""
    heads = nodes[:, :8].view("<u8")[:, 0]
    prefix = heads & np.uint64(0xFFFF_FFFF_FFFF)
    found = int(prefix[0])
    if found & 0xFF_FFFF_FFFF != TREE | RAW_DATA_CHUNKS << 32 or not (prefix == prefix[0]).all():
        raise addressing.broken("B-tree node of type 1 expected", address)
    found_level = found >> 40
    if level >= 0 and found_level != level:
        raise addressing.broken(f"B-tree node of level {found_level}, {level} expected", address)
    return found_level, (heads >> np.uint64(48)).astype(np.uint16)


def _used_entries(entries: Bytes, used: npt.NDArray[np.uint16], entry: np.dtype[np.void]) -> Records:
    """Return the used entries of all nodes in order, shape (sum of used,)."""
    if used.size == 1:
        return np.asarray(entries[0].view(entry)[: int(used[0])])
    whole = entries.view(f"V{entry.itemsize}")  # copying opaque records is one memcpy each
    in_use = np.arange(whole.shape[1], dtype=np.uint16) < used[:, None]
    return whole[in_use].view(entry)


def _few_chunks(
    addressing: Addressing, address: int, grid: ChunkGrid, records: Records, *, filtered: bool
) -> ChunkColumns:
    """Do what ``_chunks`` does, for so few that they are checked before numpy has begun."""
    positions, children, sizes, masks = [], [], [], []
    last = -1
    for size, mask, *coordinates, element, child in records.tolist():
        position = 0
        for start, chunk, n in zip(coordinates, grid.chunk_shape, grid.grid_shape, strict=True):
            index, rest = divmod(start, chunk)
            if rest or index >= n:
                raise addressing.broken("chunk keys off the chunk borders, or outside the dataset", address)
            position = position * n + index
        if element or position <= last:
            raise addressing.broken("chunk keys that do not ascend", address)
        if not filtered and size != grid.chunk_bytes:
            raise addressing.broken(f"unfiltered chunks that are not {grid.chunk_bytes} bytes long", address)
        last = position
        positions.append(position)
        children.append(child)
        sizes.append(size)
        masks.append(mask)
    columns = ChunkColumns(np.array(positions, np.uint64), np.array(children, np.uint64))
    if not filtered:
        return columns
    return columns._replace(length=np.array(sizes, np.uint64), filter_mask=np.array(masks, np.uint32))


def _chunks(
    addressing: Addressing,
    address: int,
    grid: ChunkGrid,
    records: Records,
    children: npt.NDArray[np.uint64],
    *,
    filtered: bool,
) -> ChunkColumns:
    scaled = []
    for axis, chunk in enumerate(grid.chunk_shape):
        coordinate = records[f"coordinate{axis}"]
        quotient = coordinate // np.uint64(chunk)
        if not (quotient * np.uint64(chunk) == coordinate).all():
            raise addressing.broken(f"chunk keys off the chunk borders along axis {axis}", address)
        scaled.append(quotient)
    position = grid.positions(scaled)
    if position is None or records["element"].any():
        raise addressing.broken("chunk keys outside the dataset", address)
    if not (position[1:] > position[:-1]).all():
        raise addressing.broken("chunk keys that do not ascend", address)
    if not filtered:
        if not (records["size"] == grid.chunk_bytes).all():
            raise addressing.broken(f"unfiltered chunks that are not {grid.chunk_bytes} bytes long", address)
        return ChunkColumns(position, children)
    return ChunkColumns(position, children, records["size"].astype(np.uint64), records["filter_mask"].astype(np.uint32))
