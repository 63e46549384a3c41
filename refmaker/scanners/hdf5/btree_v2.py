"""Version 2 B-trees of types 10 and 11: chunks of datasets with several unlimited axes.

HDF5 File Format Specification, section III.A.2. A header (BTHD), internal nodes (BTIN), leaves (BTLF), all nodes of
one size. Internal nodes hold records too, so every record is a chunk exactly once. A child pointer carries the
number of records in the child, whose width follows from how many fit; pointers start just after the records in use,
so each level's pointers are gathered by computed positions. Depth + 2 rounds.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refmaker.scanners.hdf5.addressing import Addressing, uints
from refmaker.scanners.hdf5.checksums import CHECKSUM, check_block, check_blocks
from refmaker.scanners.hdf5.chunk_grid import ChunkGrid
from refmaker.scanners.hdf5.chunk_record import ChunkColumns, record_dtype, stored_sizes
from refmaker.source.base import Bytes, Parser

__all__ = ["Tree", "read_btree_v2", "read_nodes"]

UNFILTERED, FILTERED = 10, 11
"""Record types, section III.A.2."""
NODE_OVERHEAD = 10
"""Signature, version, type and checksum of a node."""
NODE_HEAD = 6
UIntArray = npt.NDArray[np.uint64]
Records = npt.NDArray[np.void]


class Tree(NamedTuple):
    """What the header says."""

    addressing: Addressing
    address: int
    type: int
    node_size: int
    record: np.dtype[np.void]
    depth: int
    root: int
    root_records: int
    total_records: int


class _Level(NamedTuple):
    """How nodes of one depth are laid out (0: leaves).

    Attributes:
        max_records: records that fit into a node.
        count_width: bytes of the record count in a pointer to a child of a node here.
        total_width: bytes of the count of records in the child's whole subtree; 0 where the child is a leaf.
        max_total: records that fit into a subtree whose root is at this depth.
    """

    max_records: int
    count_width: int
    total_width: int
    max_total: int


def read_btree_v2(
    addressing: Addressing, address: int, grid: ChunkGrid, node_size: int, *, filtered: bool
) -> Parser[ChunkColumns]:
    """Read the chunks of the tree whose header is at ``address``; positions are inside the grid.

    Raises:
        BrokenFileError: a wrong signature, counts that contradict each other, or coordinates that do not ascend, or
            lie outside the dataset.
    """
    tree = yield from _read_header(addressing, address, len(grid.grid_shape), node_size, filtered=filtered)
    if tree.root == addressing.undefined or tree.root_records == 0:
        if tree.total_records:
            raise addressing.broken(f"B-tree of {tree.total_records} records without a root", address)
        return ChunkColumns.empty()
    *inner, leaves = yield from read_nodes(tree)
    leaves = leaves.view(tree.record)
    others = np.concatenate(inner).view(tree.record) if inner else leaves[:0]
    if leaves.size + others.size != tree.total_records:
        found = leaves.size + others.size
        raise addressing.broken(f"{found} records found, {tree.total_records} expected", address)
    position, other_position = (_positions(addressing, address, grid, records) for records in (leaves, others))
    if not (position[1:] > position[:-1]).all():
        raise addressing.broken("leaves whose records do not ascend", address)
    order = np.argsort(other_position, kind="stable")
    others = others[order]
    slot = np.searchsorted(position, other_position[order]) + np.arange(others.size)
    is_leaf = np.ones(leaves.size + others.size, np.bool_)
    is_leaf[slot] = False

    def merged(leaf: npt.NDArray[Any], other: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return a column in order of position: the records of inner nodes stand between those of leaves."""
        column = np.empty(is_leaf.size, dtype)
        column[is_leaf], column[slot] = leaf, other
        return column

    columns = ChunkColumns(
        merged(position, other_position[order], np.uint64), merged(leaves["address"], others["address"], np.uint64)
    )
    if not filtered:
        return columns
    masks, other_masks = leaves["filter_mask"], others["filter_mask"]
    mask = merged(masks, other_masks, np.uint32) if masks.any() or other_masks.any() else None
    return columns._replace(length=merged(stored_sizes(leaves), stored_sizes(others), np.uint64), filter_mask=mask)


def _positions(addressing: Addressing, address: int, grid: ChunkGrid, records: Records) -> UIntArray:
    position = grid.positions([records[f"scaled{axis}"] for axis in range(len(grid.grid_shape))])
    if position is None:
        raise addressing.broken("chunk coordinates outside the dataset", address)
    return position


def _read_header(addressing: Addressing, address: int, rank: int, node_size: int, *, filtered: bool) -> Parser[Tree]:
    widths = addressing.size_of_offsets + addressing.size_of_lengths
    [block] = yield [addressing.wish(address, 22 + widths)]
    head = addressing.signed_cursor(block[0], address, b"BTHD", 0)
    check_block(addressing, block[0].tobytes(), address)
    type_, found_node_size, record_size, depth, _split, _merge = head.unpack("BIHHBB")
    if type_ != (FILTERED if filtered else UNFILTERED) or found_node_size != node_size:
        raise addressing.broken("B-tree header that contradicts the layout message", address)
    record = record_dtype(addressing, record_size, filtered=filtered, rank=rank)
    root = head.uint(addressing.size_of_offsets)
    [root_records] = head.unpack("H")
    total_records = head.uint(addressing.size_of_lengths)
    return Tree(addressing, address, type_, node_size, record, depth, root, root_records, total_records)


def _levels(tree: Tree) -> list[_Level]:
    """Return the layout of the nodes at depths 0 to the root's."""
    record_size = tree.record.itemsize
    leaf_records = (tree.node_size - NODE_OVERHEAD) // record_size
    count_width = _width(leaf_records)
    levels = [_Level(leaf_records, 0, 0, leaf_records)]
    while len(levels) <= tree.depth and levels[-1].max_records > 0:
        below = levels[-1]
        total_width = 0 if len(levels) == 1 else _width(below.max_total)
        pointer_size = tree.addressing.size_of_offsets + count_width + total_width
        max_records = (tree.node_size - NODE_OVERHEAD - pointer_size) // (record_size + pointer_size)
        max_total = (max_records + 1) * below.max_total + max_records
        # An internal node has at least two children, so a deeper tree has more nodes than any file.
        if max_total > 1 << 64:
            break
        levels.append(_Level(max_records, count_width, total_width, max_total))
    if len(levels) <= tree.depth or levels[-1].max_records <= 0:
        raise tree.addressing.broken(f"B-tree of depth {tree.depth} with such small nodes", tree.address)
    return levels


def _width(value: int) -> int:
    """Return the bytes that the format takes for counts up to ``value``."""
    return (value.bit_length() - 1) // 8 + 1


def read_nodes(tree: Tree) -> Parser[list[Records]]:
    """Return the records of all nodes, level by level, as opaque records."""
    addressing = tree.addressing
    address = np.array([tree.root], np.uint64)
    count = np.array([tree.root_records], np.uint64)
    parts = []
    node_count = 0
    for depth, level in reversed(list(enumerate(_levels(tree)))):
        if int(count.max()) > level.max_records or int(count.min()) == 0:
            raise addressing.broken("B-tree node with an impossible number of records", tree.address)
        node_count += address.size
        if node_count * tree.node_size > addressing.end_of_file:
            raise addressing.broken("more B-tree nodes than the file holds", tree.address)
        [nodes] = yield [addressing.wishes(address, tree.node_size)]
        head = (b"BTIN" if depth else b"BTLF") + bytes([0, tree.type])
        if not (nodes[:, :NODE_HEAD] == np.frombuffer(head, np.uint8)).all():
            raise addressing.broken(f"B-tree node {head!r} expected", tree.address)
        check_blocks(addressing, nodes, tree.address, _used_bytes(tree, level, count))
        parts.append(_records(tree, nodes, count, level.max_records))
        if depth:
            address, count = _children(tree, nodes, count, level)
    return parts


def _used_bytes(tree: Tree, level: _Level, count: UIntArray) -> npt.NDArray[np.int64]:
    """Return the bytes in use of nodes with ``count`` records each, checksum included."""
    pointer_size = tree.addressing.size_of_offsets + level.count_width + level.total_width
    records = count.astype(np.int64)
    pointers = (records + 1) * pointer_size if level.count_width else 0
    return NODE_HEAD + records * tree.record.itemsize + pointers + CHECKSUM


def _records(tree: Tree, nodes: Bytes, count: UIntArray, max_records: int) -> Records:
    """Return the records in use of all nodes, shape (sum of count,)."""
    size = tree.record.itemsize
    room = nodes[:, NODE_HEAD : NODE_HEAD + max_records * size].view(f"V{size}")
    return room[np.arange(max_records, dtype=np.uint64) < count[:, None]]


def _children(tree: Tree, nodes: Bytes, count: UIntArray, level: _Level) -> tuple[UIntArray, UIntArray]:
    """Return address and record count of every child of the internal ``nodes``, in order."""
    offsets = tree.addressing.size_of_offsets
    pointer_size = offsets + level.count_width + level.total_width
    children = (count + np.uint64(1)).astype(np.int64)
    node_start = np.arange(nodes.shape[0], dtype=np.int64) * tree.node_size
    first = node_start + NODE_HEAD + count.astype(np.int64) * tree.record.itemsize
    number = np.arange(int(children.sum())) - np.repeat(np.cumsum(children) - children, children)
    start = np.repeat(first, children) + number * pointer_size
    flat = nodes.reshape(-1)
    windows = np.ndarray((flat.size - pointer_size + 1,), f"V{pointer_size}", flat, strides=(1,))
    pointers = windows[start].view(np.uint8).reshape(start.size, pointer_size)
    address = uints(pointers[:, :offsets])
    return address, uints(pointers[:, offsets : offsets + level.count_width])
