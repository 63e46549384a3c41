"""Uncompressed chunks of unequal lengths, cut anew to a length that divides them all.

A chunk without codecs is a C-ordered block. Where it is one element long along all axes before the one that is cut,
its rows along that axis follow each other in the file, so that any run of rows is a byte range too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.combine.decoders import PAD
from refmaker.model.array import VirtualArray, grid_of
from refmaker.model.chunks import MISSING, ChunkManifest

__all__ = ["Rows", "recut", "rows_of"]

WANTED = 8 << 20
"""Bytes of a chunk that are enough, when the choice is free."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows [start, stop) of an array along one axis."""

    array: VirtualArray
    axis: int
    start: int
    stop: int

    @property
    def chunk_length(self) -> int:
        """Rows of a chunk as it is."""
        return self.array.metadata.chunk_shape[self.axis]

    @property
    def row_nbytes(self) -> int:
        """Bytes of one row of a chunk."""
        metadata = self.array.metadata
        return math.prod(metadata.chunk_shape[self.axis + 1 :]) * metadata.data_type.itemsize


def rows_of(parts: Sequence[Rows]) -> int | None:
    """Return the rows of the chunks into which all parts can be cut, or None if they cannot.

    The longest run that divides all parts, up to some megabytes, if the rows of each part follow each other across
    chunks too; else one that also divides all chunks.
    """
    for part in parts:
        metadata = part.array.metadata
        if any(codec.id != PAD for codec in metadata.codecs) or metadata.data_type.hasobject:
            return None
        if any(length != 1 for length in metadata.chunk_shape[: part.axis]):
            return None
    whole = math.gcd(*(bound for part in parts for bound in (part.start, part.stop)))
    free = _divisor(whole, max(WANTED // max(parts[0].row_nbytes, 1), 1))
    inside = math.gcd(whole, *(part.chunk_length for part in parts))
    for length in (free, inside):
        if length and all(_cut(part, length) is not None for part in parts):
            return length
    return None


def _divisor(number: int, most: int) -> int:
    """Return the largest divisor that is not larger than ``most``."""
    if number <= most:
        return number
    small = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return max(d for n in small for d in (n, number // n) if d <= most)


def recut(part: Rows, length: int) -> ChunkManifest:
    """Return the manifest of a part in chunks of ``length`` rows, which must be what ``rows_of`` returned."""
    found = _cut(part, length)
    if found is None:
        raise ValueError(f"chunks of {part.chunk_length} rows cannot be cut into {length}")
    return found


def _cut(part: Rows, length: int) -> ChunkManifest | None:
    """Return the manifest in chunks of ``length`` rows, or None if some of these do not lie in one piece."""
    metadata, manifest, axis = part.array.metadata, part.array.manifest.to_dense(), part.axis
    first = np.arange(part.start, part.stop, length)
    grid = metadata.grid_shape
    columns = [np.moveaxis(np.asarray(column).reshape(grid), axis, 0)
               for column in (manifest.location_id, manifest.offset, manifest.length)]  # fmt: skip
    start_ids, start = _row_places(columns, first, part)
    if start is None or not _in_one_piece(columns, start_ids, start, part, length):
        return None
    shape = (*metadata.shape[:axis], part.stop - part.start, *metadata.shape[axis + 1 :])
    chunk_shape = (*metadata.chunk_shape[:axis], length, *metadata.chunk_shape[axis + 1 :])
    location_id, offset = (np.moveaxis(column, 0, axis).ravel() for column in (start_ids, start))
    nbytes = np.full(offset.size, length * part.row_nbytes, np.uint64)
    return ChunkManifest(grid_of(shape, chunk_shape), location_id, offset, nbytes, inline=manifest.inline)


def _in_one_piece(
    columns: Sequence[npt.NDArray[np.unsignedinteger]],
    start_ids: npt.NDArray[np.uint32],
    start: npt.NDArray[np.uint64],
    part: Rows,
    length: int,
) -> bool:
    """Whether all rows of each new chunk follow its first one, or are all absent.

    Rows of one old chunk follow each other: the first and the last one of every old and of every new chunk are asked.
    """
    old = np.arange(part.start // part.chunk_length + 1, -(-part.stop // part.chunk_length)) * part.chunk_length
    new = np.arange(part.start, part.stop, length)
    row = np.unique(np.concatenate([old, old - 1, new, new + length - 1]))
    ids, offset = _row_places(columns, row, part)
    if offset is None:
        return False
    chunk, within = np.divmod(row - part.start, length)
    follows = (within * part.row_nbytes).astype(np.uint64).reshape(-1, *(1,) * (offset.ndim - 1))
    same = (ids == MISSING) | (offset == start[chunk] + follows)
    return bool((ids == start_ids[chunk]).all() and same.all())


def _row_places(
    columns: Sequence[npt.NDArray[np.unsignedinteger]], row: npt.NDArray[np.intp], part: Rows
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64] | None]:
    """Return location ids and offsets of rows (first axis); None for offsets if a row lies outside its chunk."""
    chunk, within = np.divmod(row, part.chunk_length)
    location_id, offset, length = (column[chunk] for column in columns)
    inside = ((within + 1) * part.row_nbytes).astype(np.uint64).reshape(-1, *(1,) * (offset.ndim - 1))
    if not ((location_id == MISSING) | (inside <= length)).all():
        return location_id.astype(np.uint32), None
    return location_id.astype(np.uint32), offset + inside - np.uint64(part.row_nbytes)
