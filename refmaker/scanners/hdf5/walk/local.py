"""The walk over one dataset of a file that is at hand, to learn which heaps libhdf5 will enter."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from refmaker.errors import RefmakerError
from refmaker.scanners.hdf5.object_header import read_object_header
from refmaker.scanners.hdf5.superblock import Superblock
from refmaker.scanners.hdf5.walk.heaps import global_heap
from refmaker.scanners.hdf5.walk.storage import walk_data
from refmaker.scanners.hdf5.walk.walked import Walked
from refmaker.source.base import ByteSource, Parser, drive

__all__ = ["heaps_of_values"]


class _Noted(Walked):
    """Follows nothing: notes the addresses of global heaps."""

    def __init__(self, superblock: Superblock) -> None:
        super().__init__(superblock, lambda parser: parser.close())
        self.heaps: set[int] = set()

    def follow_all(self, parse: Callable[[Walked, int], Parser[None]], addresses: npt.NDArray[np.uint64]) -> None:
        """Note the addresses."""
        if parse is global_heap:
            self.heaps.update(addresses.tolist())


def heaps_of_values(superblock: Superblock | None, address: int, source: ByteSource) -> list[int]:
    """Return the global heaps that values of the dataset at ``address`` point into, as far as we can tell."""
    if superblock is None:
        return []
    noted = _Noted(superblock)
    with suppress(RefmakerError):  # what we do not understand is the library's
        messages = drive(read_object_header(superblock.addressing, address + superblock.base_address), source)
        drive(walk_data(noted, messages), source)
    return sorted(noted.heaps)
