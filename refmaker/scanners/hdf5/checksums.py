"""Checksums of metadata: a flipped bit in an address would else be somebody else's data.

HDF5 File Format Specification: "Jenkins' lookup3" ends every structure but those of the first format versions.
"""

import numpy as np
import numpy.typing as npt
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


def check_blocks(
    addressing: Addressing, blocks: Bytes, address: int, lengths: npt.NDArray[np.integer] | None = None
) -> None:
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
    if not count:
        return
    flat = np.ascontiguousarray(blocks).reshape(-1)
    start = np.arange(count, dtype=np.int64) * width
    end = start + (width if lengths is None else lengths) - CHECKSUM
    expected = np.ndarray((flat.size - CHECKSUM + 1,), f"V{CHECKSUM}", flat, strides=(1,))[end].view("<u4")
    data = flat.data
    found = [jenkins_lookup3(data[a:b]) for a, b in zip(start.tolist(), end.tolist(), strict=True)]
    if expected.tolist() != found:
        raise addressing.broken("metadata with a wrong checksum", address)
