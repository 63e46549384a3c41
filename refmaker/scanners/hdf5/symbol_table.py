"""Old groups: a version 1 B-tree of symbol table nodes, and names in a local heap.

HDF5 File Format Specification, sections III.A.1 (node type 0), III.B and III.C. All nodes of a level are one wish.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refmaker.scanners.hdf5.addressing import Addressing, uints
from refmaker.scanners.hdf5.superblock import Superblock
from refmaker.source.base import Bytes, Parser
from refmaker.source.cursor import Cursor

__all__ = ["Entry", "read_local_heap", "read_symbol_table"]

TREE = np.frombuffer(b"TREE\0", np.uint8)
NODE = np.frombuffer(b"SNOD\1", np.uint8)
DEEPEST = 32
"""Levels a tree may have: each node has at least two children."""
SYMBOL_TABLE_CACHED = 1
"""Cache type of an entry whose scratch-pad holds the addresses of the group's B-tree and heap."""
END_OF_FREE = 1
"""Offset that ends the list of a local heap's free room."""
LOCAL_FIRST_READ = 512
"""What libhdf5 reads of a local heap at first."""

UIntArray = npt.NDArray[np.uint64]


class Entry(NamedTuple):
    """An entry of a symbol table.

    Attributes:
        name_offset: of the name, in the data segment of the group's local heap.
        address: of the object header.
        cache_type: what the scratch-pad holds.
        heap: the local heap of an old group; None for other objects.
    """

    name_offset: int
    address: int
    cache_type: int
    heap: int | None


def read_local_heap(addressing: Addressing, address: int) -> Parser[bytes]:
    """Return the data segment of the local heap at ``address``.

    Raises:
        BrokenFileError, TruncatedFileError: there is none.
    """
    [block] = yield [addressing.wish(address, addressing.up_to(address, LOCAL_FIRST_READ))]
    cursor = addressing.signed_cursor(block[0], address, b"HEAP", 0)
    cursor.skip(3)
    size, free = cursor.uint(addressing.size_of_lengths), cursor.uint(addressing.size_of_lengths)
    segment = cursor.uint(addressing.size_of_offsets)
    [block] = yield [addressing.wish(segment, size)]
    data: bytes = block[0].tobytes()
    seen = set()
    while free != END_OF_FREE:
        room = Cursor(data[free : free + 2 * addressing.size_of_lengths])
        if free in seen or room.left < 2 * addressing.size_of_lengths:
            raise addressing.broken("the free room of a local heap leaves it, or forms a loop", address)
        seen.add(free)
        free = room.uint(addressing.size_of_lengths)
    return data


def read_symbol_table(superblock: Superblock, tree: int) -> Parser[list[Entry]]:
    """Return the entries of the group whose B-tree is at ``tree``, each node read once.

    Raises:
        BrokenFileError, TruncatedFileError: a node that is none.
    """
    addressing = superblock.addressing
    offsets, lengths = addressing.size_of_offsets, addressing.size_of_lengths
    entries = 2 * superblock.group_internal_node_k
    node_size = 8 + 2 * offsets + entries * (lengths + offsets) + lengths
    children = np.array([tree], np.uint64)
    level = -1
    for _ in range(DEEPEST):
        [nodes] = yield [addressing.wishes(np.unique(children), node_size)]
        found, children = _children(addressing, nodes, entries)
        if level not in {-1, found + 1}:
            raise addressing.broken(f"group B-tree node of level {found} below one of level {level}", tree)
        level = found
        if not children.size:
            return []
        if level == 0:
            return (yield from _entries(superblock, np.unique(children)))
    raise addressing.broken(f"group B-tree of level {level}", tree)


def _children(addressing: Addressing, nodes: Bytes, entries: int) -> tuple[int, UIntArray]:
    """Return the level of ``nodes`` and the addresses of their children in use."""
    offsets, lengths = addressing.size_of_offsets, addressing.size_of_lengths
    if not (nodes[:, :5] == TREE).all() or not (nodes[:, 5] == nodes[0, 5]).all():
        raise addressing.broken("B-tree nodes of type 0 and one level expected", 0)
    used = uints(nodes[:, 6:8])
    if int(used.max()) > entries:
        raise addressing.broken(f"group B-tree node with {int(used.max())} entries", 0)
    start = 8 + 2 * offsets + lengths
    pairs = nodes[:, start : start + entries * (lengths + offsets)].reshape(len(nodes), entries, lengths + offsets)
    in_use = np.arange(entries, dtype=np.uint64) < used[:, None]
    return int(nodes[0, 5]), uints(pairs[in_use][:, :offsets])


def _entries(superblock: Superblock, leaves: UIntArray) -> Parser[list[Entry]]:
    addressing = superblock.addressing
    offsets, lengths = addressing.size_of_offsets, addressing.size_of_lengths
    entry = lengths + offsets + 24
    room = 2 * superblock.group_leaf_node_k
    [nodes] = yield [addressing.wishes(leaves, 8 + room * entry)]
    used = uints(nodes[:, 6:8])
    if not (nodes[:, :5] == NODE).all() or int(used.max()) > room:
        raise addressing.broken("symbol table node expected", int(leaves[0]))
    in_use = np.arange(room, dtype=np.uint64) < used[:, None]
    rows = nodes[:, 8:].reshape(len(nodes), room, entry)[in_use]
    cache_at = lengths + offsets
    heaps = uints(rows[:, cache_at + 8 + offsets : cache_at + 8 + 2 * offsets])
    columns = (rows[:, :lengths], rows[:, lengths:cache_at], rows[:, cache_at : cache_at + 4])
    return [
        Entry(name_offset, address, cache_type, heap if cache_type == SYMBOL_TABLE_CACHED else None)
        for name_offset, address, cache_type, heap in zip(
            *(uints(column).tolist() for column in columns), heaps.tolist(), strict=True
        )
    ]
