"""Version 2 B-trees of any record type, as the bytes of their records; the nodes are read as those of chunk indexes."""

import numpy as np

from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.scanners.hdf5.btree_v2 import Tree, read_nodes
from refmaker.scanners.hdf5.checksums import check_block
from refmaker.source.base import Bytes, Parser

__all__ = ["read_records"]


def read_records(addressing: Addressing, address: int) -> Parser[tuple[int, Bytes]]:
    """Return (record type, records of shape (n, record size)) of the tree whose header is at ``address``."""
    widths = addressing.size_of_offsets + addressing.size_of_lengths
    [block] = yield [addressing.wish(address, 22 + widths)]
    head = addressing.signed_cursor(block[0], address, b"BTHD", 0)
    check_block(addressing, block[0].tobytes(), address)
    kind, node_size, record_size, depth, _split, _merge = head.unpack("BIHHBB")
    root = head.uint(addressing.size_of_offsets)
    [root_records] = head.unpack("H")
    total = head.uint(addressing.size_of_lengths)
    if root == addressing.undefined or not root_records or not record_size:
        return kind, np.empty((0, record_size), np.uint8)
    record = np.dtype(f"V{record_size}")
    tree = Tree(addressing, address, kind, node_size, record, depth, root, root_records, total)
    parts = yield from read_nodes(tree)
    records = np.concatenate(parts)
    return kind, records.view(np.uint8).reshape(-1, record_size)
