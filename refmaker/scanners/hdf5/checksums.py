"""Checksums of metadata: a flipped bit in an address would else be somebody else's data.

HDF5 File Format Specification: "Jenkins' lookup3" ends every structure but those of the first format versions.
"""

from collections.abc import Sequence

import numpy as np
from numcodecs.jenkins import jenkins_lookup3

from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.source.base import Bytes

__all__ = ["CHECKSUM", "check_block", "check_blocks"]

CHECKSUM = 4
"""Bytes of a checksum."""


def check_block(addressing: Addressing, block: bytes | memoryview, address: int) -> None:
    """Check the checksum that ends the structure at ``address``.

    Raises:
        BrokenFileError: it is another.
    """
    if jenkins_lookup3(block[:-CHECKSUM]) != int.from_bytes(block[-CHECKSUM:], "little"):
        raise addressing.broken("metadata with a wrong checksum", address)


def check_blocks(addressing: Addressing, blocks: Bytes, address: int, lengths: Sequence[int] | None = None) -> None:
    """Check the checksum of each of ``blocks``, shape (n, length), which belong to the index at ``address``.

    Args:
        addressing: of the file.
        blocks: the structures.
        address: for messages.
        lengths: bytes in use of each, checksum included; None: all.

    Raises:
        BrokenFileError: one is another.
    """
    count, width = blocks.shape
    flat = np.ascontiguousarray(blocks).reshape(-1).data
    for start, length in zip(range(0, count * width, width), lengths or [width] * count, strict=True):
        check_block(addressing, flat[start : start + length], address)
