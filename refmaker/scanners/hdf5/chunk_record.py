"""The record that points at one chunk, as fixed arrays, extensible arrays and version 2 B-trees all write it.

An address; for filtered chunks also the stored size and the filter mask; in B-trees also the chunk coordinates
(HDF5 File Format Specification, sections VII.B, VII.C and III.A.2). The width of the stored size comes from the size
of the whole record, never from the chunk's: layout message version 5 changed the rule, but not the record.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refmaker.scanners.hdf5.addressing import Addressing

__all__ = ["ChunkColumns", "record_dtype", "select_elements", "stored_sizes"]

Records = npt.NDArray[np.void]
UIntArray = npt.NDArray[np.uint64]

_READ_WIDTH = {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 8: 8}
"""Bytes read for a stored size of 1 to 8 bytes; reading too far ends in the filter mask, 4 bytes, and is masked off."""


class ChunkColumns(NamedTuple):
    """What an index says, before it is checked against file and grid.

    Attributes:
        position: C-order position in the current grid, or still the number in the index; uint64, shape (n,).
        address: relative to the base address; uint64, shape (n,).
        length: stored bytes, uint64, shape (n,); None where all chunks have the unfiltered size.
        filter_mask: uint32, shape (n,); None where chunks are not filtered.
    """

    position: UIntArray
    address: UIntArray
    length: UIntArray | None = None
    filter_mask: npt.NDArray[np.uint32] | None = None

    def where(self, kept: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "ChunkColumns":
        """Return the rows that ``kept`` marks or numbers."""
        length = None if self.length is None else self.length[kept]
        mask = None if self.filter_mask is None else self.filter_mask[kept]
        return ChunkColumns(self.position[kept], self.address[kept], length, mask)

    @classmethod
    def concatenate(cls, parts: "Sequence[ChunkColumns]") -> "ChunkColumns":
        """Return the rows of all ``parts``, which agree on what is None, one after the other."""
        if len(parts) == 1:
            return parts[0]
        lengths = [part.length for part in parts if part.length is not None]
        masks = [part.filter_mask for part in parts if part.filter_mask is not None]
        return cls(
            np.concatenate([part.position for part in parts]),
            np.concatenate([part.address for part in parts]),
            np.concatenate(lengths) if lengths else None,
            np.concatenate(masks) if masks else None,
        )

    @classmethod
    def empty(cls) -> "ChunkColumns":
        """Return the columns of an index without chunks."""
        return cls(np.empty(0, np.uint64), np.empty(0, np.uint64))


def record_dtype(addressing: Addressing, record_size: int, *, filtered: bool, rank: int = 0) -> np.dtype[np.void]:
    """Return the dtype of a record: ``address``, if filtered ``size`` and ``filter_mask``, ``scaled0`` to rank.

    Raises:
        BrokenFileError: the record size does not fit.
    """
    size_width = record_size - addressing.size_of_offsets - 8 * rank - (4 if filtered else 0)
    if size_width not in (_READ_WIDTH if filtered else (0,)):
        kind = "filtered" if filtered else "unfiltered"
        raise addressing.broken(f"records of {record_size} bytes for {kind} chunks, {rank} coordinates", 0)
    return _record_dtype(addressing.size_of_offsets, size_width, rank)


@lru_cache(maxsize=256)
def _record_dtype(size_of_offsets: int, size_width: int, rank: int) -> np.dtype[np.void]:
    names, formats, offsets = ["address"], [f"<u{size_of_offsets}"], [0]
    record_size = size_of_offsets + (size_width + 4 if size_width else 0) + 8 * rank
    if size_width:
        names += ["size", "filter_mask"]
        formats += [f"<u{_READ_WIDTH[size_width]}", "<u4"]
        offsets += [size_of_offsets, size_of_offsets + size_width]
    for axis in range(rank):
        names.append(f"scaled{axis}")
        formats.append("<u8")
        offsets.append(record_size - 8 * (rank - axis))
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": record_size})


def stored_sizes(records: Records) -> UIntArray:
    """Return the stored sizes of filtered ``records``, as uint64 of the same shape."""
    fields: Any = records.dtype.fields
    size_width = fields["filter_mask"][1] - fields["size"][1]
    size: UIntArray = records["size"].astype(np.uint64)
    if _READ_WIDTH[size_width] != size_width:
        size &= np.uint64((1 << 8 * size_width) - 1)
    return size


def select_elements(addressing: Addressing, records: Records, first: UIntArray) -> ChunkColumns:
    """Return the defined elements of array blocks, numbered as the array numbers them.

    Args:
        addressing: of the file.
        records: the elements, shape (..., elements in a block), not necessarily contiguous.
        first: the number of each block's first element, shape (...).
    """
    address: UIntArray = records["address"].astype(np.uint64)
    index: UIntArray = np.add(first[..., None], np.arange(records.shape[-1], dtype=np.uint64))
    length = mask = None
    if "size" in (records.dtype.names or ()):
        length = stored_sizes(records).ravel()
        mask = records["filter_mask"].astype(np.uint32).ravel()
    columns = ChunkColumns(index.ravel(), address.ravel(), length, mask)
    defined = columns.address != addressing.undefined
    return columns if defined.all() else columns.where(defined)
