"""Old groups: a version 1 B-tree of symbol table nodes, and names in a local heap.

HDF5 File Format Specification, sections III.A.1 (node type 0), III.B and III.C. All nodes of a level are one wish.
"""

import numpy as np
import numpy.typing as npt

from refmaker.scanners.hdf5.addressing import uints
from refmaker.scanners.hdf5.walk.heaps import local_heap
from refmaker.scanners.hdf5.walk.walked import Walked
from refmaker.source.base import Bytes, Parser

__all__ = ["SYMBOL_TABLE_CACHED", "symbol_table_members"]

TREE = np.frombuffer(b"TREE\0", np.uint8)
NODE = np.frombuffer(b"SNOD\1", np.uint8)
DEEPEST = 32
"""Levels a tree may have: each node has at least two children."""
SYMBOL_TABLE_CACHED = 1
"""Cache type of an entry whose scratch-pad holds the addresses of the group's B-tree and heap."""

UIntArray = npt.NDArray[np.uint64]


def symbol_table_members(walked: Walked, tree: int) -> Parser[UIntArray]:
    """Return the object header addresses of a group's members, after wishing for all nodes of its B-tree at ``tree``.

    Members that are old groups themselves have their heap followed at once.
    """
    addressing = walked.addressing
    offsets, lengths = addressing.size_of_offsets, addressing.size_of_lengths
    entries = 2 * walked.superblock.group_internal_node_k
    node_size = 8 + 2 * offsets + entries * (lengths + offsets) + lengths
    children = np.array([tree], np.uint64)
    for _ in range(DEEPEST):
        [nodes] = yield [addressing.wishes(np.unique(children), node_size)]
        level, children = _children(walked, nodes, entries)
        if not children.size:
            return children
        if level == 0:
            break
    return (yield from _leaf_members(walked, np.unique(children)))


def _children(walked: Walked, nodes: Bytes, entries: int) -> tuple[int, UIntArray]:
    """Return the level of ``nodes`` and the addresses of their children in use."""
    addressing = walked.addressing
    offsets, lengths = addressing.size_of_offsets, addressing.size_of_lengths
    if not (nodes[:, :5] == TREE).all() or not (nodes[:, 5] == nodes[0, 5]).all():
        raise addressing.broken("B-tree nodes of type 0 and one level expected", 0)
    used = np.minimum(uints(nodes[:, 6:8]), np.uint64(entries))
    start = 8 + 2 * offsets
    pairs = nodes[:, start : start + entries * (lengths + offsets)].reshape(len(nodes), entries, lengths + offsets)
    in_use = np.arange(entries, dtype=np.uint64) < used[:, None]
    return int(nodes[0, 5]), uints(pairs[in_use][:, lengths:])


def _leaf_members(walked: Walked, leaves: UIntArray) -> Parser[UIntArray]:
    addressing = walked.addressing
    offsets = addressing.size_of_offsets
    entry = 2 * offsets + 24
    room = 2 * walked.superblock.group_leaf_node_k
    [nodes] = yield [addressing.wishes(leaves, 8 + room * entry)]
    nodes = nodes[(nodes[:, :5] == NODE).all(axis=1)]
    used = np.minimum(uints(nodes[:, 6:8]), np.uint64(room))
    in_use = np.arange(room, dtype=np.uint64) < used[:, None]
    rows = nodes[:, 8:].reshape(len(nodes), room, entry)[in_use]
    cached = uints(rows[:, 2 * offsets : 2 * offsets + 4]) == SYMBOL_TABLE_CACHED
    scratch = rows[cached][:, 2 * offsets + 8 :]
    walked.follow_all(local_heap, uints(scratch[:, offsets : 2 * offsets]))
    return uints(rows[:, offsets : 2 * offsets])
