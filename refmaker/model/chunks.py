"""Chunk manifests: where every chunk of one array lies, as parallel columns over its chunk grid.

Three layouts behind one interface, chosen by what costs least: *dense* (a row for each grid position), *sparse*
(``position`` holds the sorted positions of the chunks there are) and *affine* (columns that are functions of the grid
index). A chunk is present, inlined, or absent; absent means the source itself has no such chunk, never that somebody
failed to look. Keys such as ``"3.0.12"`` exist only in writers and look-ups.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.errors import OptionError
from refmaker.model.columns import AffineColumn, Column, constant, narrow, rows, values_at

__all__ = ["INLINE", "MISSING", "ChunkBlock", "ChunkManifest", "ChunkRef", "check_grid"]

MISSING = 0xFFFF_FFFF
"""The location id of a chunk that the source does not hold."""
INLINE = 0xFFFF_FFFE
"""The location id of a chunk whose bytes are in the manifest's own ``inline`` blob."""
MOST_POSITIONS = (1 << 63) - 1
"""Positions of a grid: Python's ``len`` and numpy's indexes end there."""
BLOCK_ROWS = 1 << 16
"""Rows that ``blocks`` yields at once: memory stays flat, numpy's overhead vanishes."""


def check_grid(grid_shape: Sequence[int]) -> None:
    """Refuse a grid whose positions no index can number.

    Raises:
        OptionError: it has more than MOST_POSITIONS.
    """
    if math.prod(grid_shape) > MOST_POSITIONS:
        raise OptionError(f"a grid of {tuple(grid_shape)} chunks has more than {MOST_POSITIONS} positions")


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """One chunk: ``length`` bytes at ``offset`` of source ``location_id``, or ``data`` itself if that is INLINE."""

    location_id: int
    offset: int
    length: int
    data: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ChunkBlock:
    """Some present chunks as parallel arrays; ``position`` is ascending."""

    position: npt.NDArray[np.uint64]
    location_id: npt.NDArray[np.unsignedinteger]
    offset: npt.NDArray[np.unsignedinteger]
    length: npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkManifest:
    """Where the chunks of one array lie.

    Attributes:
        grid_shape: chunks along each axis; ``()`` for a scalar array, which has one chunk.
        location_id: index into the ReferenceSet's sources, or MISSING, or INLINE.
        offset: byte position in the source, or in ``inline``.
        length: stored (encoded) bytes.
        position: sorted C-order positions of the rows, or None when there is a row for every position.
        inline: the bytes of all inlined chunks.

    >>> import numpy as np
    >>> from refmaker import ChunkManifest
    >>> position, offset, length = (np.array(column, np.uint64) for column in ([0, 4], [512, 90], [10, 20]))
    >>> manifest = ChunkManifest.from_positions((2, 3), position, location_id=0, offset=offset, length=length)
    >>> len(manifest), manifest.present
    (6, 2)
    >>> manifest.lookup(4)
    ChunkRef(location_id=0, offset=90, length=20, data=None)
    >>> manifest.lookup(1) is None
    True
    """

    grid_shape: tuple[int, ...]
    location_id: Column
    offset: Column
    length: Column
    position: npt.NDArray[np.uint64] | None = None
    inline: bytes = b""

    def __post_init__(self) -> None:
        check_grid(self.grid_shape)
        count = math.prod(self.grid_shape) if self.position is None else self.position.size
        if not len(self.location_id) == len(self.offset) == len(self.length) == count:
            raise OptionError(
                f"a grid of {self.grid_shape} with {count} rows has columns of "
                f"{len(self.location_id)}, {len(self.offset)}, {len(self.length)}"
            )
        if self.position is not None and count:
            if self.position.size > 1 and not (self.position[1:] > self.position[:-1]).all():
                raise OptionError("positions of a sparse manifest must ascend")
            if int(self.position[-1]) >= math.prod(self.grid_shape):
                raise OptionError(f"position {int(self.position[-1])} lies outside the grid {self.grid_shape}")

    # -- building ------------------------------------------------------------------------------------------------
    @classmethod
    def empty(cls, grid_shape: Sequence[int]) -> "ChunkManifest":
        """Return the manifest of an array none of whose chunks exist: no memory, whatever the grid."""
        none = np.empty(0, np.uint32)
        return cls(tuple(grid_shape), none, none, none, position=np.empty(0, np.uint64))

    @classmethod
    def affine(
        cls,
        grid_shape: Sequence[int],
        *,
        location_id: int,
        start: int,
        strides: Sequence[int],
        length: int | Column,
    ) -> "ChunkManifest":
        """Return a manifest with chunk ``index`` at ``start + sum(index * strides)`` bytes; ``length`` of each."""
        grid = tuple(grid_shape)
        return cls(
            grid,
            constant(location_id, grid),
            AffineColumn(start, tuple(strides), grid),
            constant(length, grid) if isinstance(length, int) else length,
        )

    @classmethod
    def single(cls, grid_shape: Sequence[int], *, location_id: int, offset: int, length: int) -> "ChunkManifest":
        """Return the manifest of an array of one chunk."""
        return cls.affine(
            grid_shape, location_id=location_id, start=offset, strides=(0,) * len(grid_shape), length=length
        )

    @classmethod
    def inlined(cls, grid_shape: Sequence[int], chunks: Sequence[bytes | None]) -> "ChunkManifest":
        """Return a manifest whose chunks, in C order, are these bytes; None where there is no chunk."""
        length = np.array([len(chunk or b"") for chunk in chunks], np.uint64)
        offset = np.cumsum(length, dtype=np.uint64) - length
        location = np.array([MISSING if chunk is None else INLINE for chunk in chunks], np.uint32)
        return cls(tuple(grid_shape), location, offset, narrow(length), inline=b"".join(c for c in chunks if c))

    @classmethod
    def from_positions(
        cls,
        grid_shape: Sequence[int],
        position: npt.NDArray[np.uint64],
        *,
        location_id: int | npt.NDArray[np.uint32],
        offset: npt.NDArray[np.uint64],
        length: npt.NDArray[np.unsignedinteger],
        inline: bytes = b"",
    ) -> "ChunkManifest":
        """Return the manifest of chunks listed in any order, dense or sparse, whichever is smaller.

        Raises:
            OptionError: two rows have the same position, or one lies outside the grid.
        """
        grid = tuple(grid_shape)
        size = math.prod(grid)
        if size == position.size == 1 and isinstance(location_id, int) and position[0] == 0 and location_id < INLINE:
            return cls.single(grid, location_id=location_id, offset=int(offset[0]), length=int(length[0]))
        if position.size > 1 and not (position[1:] > position[:-1]).all():
            order = np.argsort(position, kind="stable")
            position, offset, length = position[order], offset[order], length[order]
            location_id = location_id if isinstance(location_id, int) else location_id[order]
            if not (position[1:] > position[:-1]).all():
                raise OptionError("two chunks have the same position")
        length = narrow(length)
        offset = offset.astype(np.uint64, copy=False)
        if position.size and int(position[-1]) >= size:
            raise OptionError(f"position {int(position[-1])} lies outside the grid {grid}")
        if position.size == size and isinstance(location_id, int):
            return cls(grid, constant(location_id, grid), offset, length, inline=inline)
        ids = np.ascontiguousarray(np.broadcast_to(np.asarray(location_id, np.uint32), position.shape))
        if position.size * 3 < size * 2:  # a sparse row takes 8 bytes more than a dense one
            return cls(grid, ids, offset, length, position.astype(np.uint64, copy=False), inline)
        if position.size == size:
            return cls(grid, ids, offset, length, inline=inline)
        full = np.full(size, MISSING, np.uint32), np.zeros(size, np.uint64), np.zeros(size, length.dtype)
        full[0][position], full[1][position], full[2][position] = ids, offset, length
        return cls(grid, *full, inline=inline)

    # -- looking -------------------------------------------------------------------------------------------------
    def __len__(self) -> int:
        """Positions in the grid, present or not."""
        return math.prod(self.grid_shape)

    @property
    def present(self) -> int:
        """Chunks that are not absent."""
        if isinstance(self.location_id, AffineColumn):
            return len(self.location_id)
        return int(np.count_nonzero(self.location_id != MISSING))

    @property
    def stored_nbytes(self) -> int:
        """Sum of the lengths of all present chunks."""
        every_one = isinstance(self.location_id, AffineColumn)
        if every_one and isinstance(self.length, AffineColumn) and not any(self.length.strides):
            return self.length.start * len(self.length)
        return sum(int(block.length.sum(dtype=np.uint64)) for block in self.blocks())

    @property
    def memory_nbytes(self) -> int:
        """Bytes of memory the columns take."""
        columns = (self.location_id, self.offset, self.length, self.position)
        return sum(c.nbytes for c in columns if isinstance(c, np.ndarray)) + len(self.inline)

    def lookup(self, position: int) -> ChunkRef | None:
        """Return the chunk at a C-order position, or None if it is absent.

        Raises:
            OptionError: the position lies outside the grid.
        """
        if not 0 <= position < len(self):
            raise OptionError(f"position {position} lies outside the grid {self.grid_shape}")
        row = position
        if self.position is not None:
            row = int(np.searchsorted(self.position, position))
            if row == self.position.size or int(self.position[row]) != position:
                return None
        at = np.array([row], np.uint64)
        location_id, offset, length = (int(values_at(c, at)[0]) for c in (self.location_id, self.offset, self.length))
        if location_id == MISSING:
            return None
        data = self.inline[offset : offset + length] if location_id == INLINE else None
        return ChunkRef(location_id, offset, length, data)

    def blocks(self, block_rows: int = BLOCK_ROWS) -> Iterator[ChunkBlock]:
        """Yield the present chunks in ascending position, some thousand at a time."""
        for start in range(0, len(self.location_id), block_rows):
            block = self._rows(start, min(start + block_rows, len(self.location_id)))
            if block.position.size:
                yield block

    def between(self, start: int, stop: int) -> ChunkBlock:
        """Return the present chunks whose C-order positions are in [start, stop)."""
        if self.position is not None:
            start, stop = (int(row) for row in np.searchsorted(self.position, np.array([start, stop], np.uint64)))
        return self._rows(start, min(stop, len(self.location_id)))

    def _rows(self, start: int, stop: int) -> ChunkBlock:
        """Return the present chunks among the stored rows [start, stop)."""
        position = np.arange(start, stop, dtype=np.uint64) if self.position is None else self.position[start:stop]
        columns = [rows(column, start, stop) for column in (self.location_id, self.offset, self.length)]
        there = columns[0] != MISSING
        if there.all():
            return ChunkBlock(position, *columns)
        return ChunkBlock(position[there], *(column[there] for column in columns))

    def inlined_data(self, block: ChunkBlock) -> list[bytes]:
        """Return the bytes of a block of this manifest's inlined chunks."""
        spans = zip(block.offset.tolist(), block.length.tolist(), strict=True)
        return [self.inline[offset : offset + length] for offset, length in spans]

    def known_location_ids(self) -> npt.NDArray[np.uint32]:
        """Return those of ``location_ids`` that are known without reading an index."""
        return self.location_ids()

    def location_ids(self) -> npt.NDArray[np.uint32]:
        """Return the sorted distinct ids of sources used (without MISSING and INLINE)."""
        if isinstance(self.location_id, AffineColumn):
            found = np.array([self.location_id.start] if len(self.location_id) else [], np.uint32)
        else:
            found = np.unique(self.location_id).astype(np.uint32)
        return found[found < INLINE]

    def few(self) -> list[tuple[int, int, int, int]]:
        """Return (position, location id, offset, length) of the present chunks, for manifests of a few rows."""
        count = len(self.location_id)
        position = range(count) if self.position is None else self.position.tolist()
        columns = [
            [column.start] * count
            if isinstance(column, AffineColumn) and not any(column.strides)
            else rows(column, 0, count).tolist()
            for column in (self.location_id, self.offset, self.length)
        ]
        return [row for row in zip(position, *columns, strict=True) if row[1] != MISSING]

    # -- making others -------------------------------------------------------------------------------------------
    def whole(self) -> "ChunkManifest":
        """Return the same manifest with all its columns in memory: this one, unless it reads them as needed."""
        return self

    def to_dense(self) -> "ChunkManifest":
        """Return the same manifest with a stored row for every grid position."""
        size = len(self)
        stored = (self.location_id, self.offset, self.length)
        if self.position is None and not any(isinstance(column, AffineColumn) for column in stored):
            return self
        location_id, offset = np.full(size, MISSING, np.uint32), np.zeros(size, np.uint64)
        length = np.zeros(size, np.uint64)
        for block in self.blocks():
            location_id[block.position] = block.location_id
            offset[block.position] = block.offset
            length[block.position] = block.length
        return ChunkManifest(self.grid_shape, location_id, offset, narrow(length), inline=self.inline)

    def with_locations(self, ids: npt.NDArray[np.uint32]) -> "ChunkManifest":
        """Return this manifest with location id ``i`` replaced by ``ids[i]``."""
        if isinstance(self.location_id, AffineColumn):
            start = self.location_id.start
            new: Column = constant(int(ids[start]) if start < INLINE else start, self.location_id.shape)
        else:
            new = self.location_id.astype(np.uint32)
            real = new < INLINE
            new[real] = ids[new[real]]
        return ChunkManifest(self.grid_shape, new, self.offset, self.length, self.position, self.inline)

    @staticmethod
    def concat(manifests: Sequence["ChunkManifest"], axis: int) -> "ChunkManifest":
        """Return the manifests laid one after the other along ``axis`` of the grid.

        Raises:
            OptionError: nothing to concatenate, no such axis, or grids that differ along another axis.
        """
        if not manifests:
            raise OptionError("no manifests to concatenate")
        first = manifests[0].grid_shape
        if not 0 <= axis < len(first):
            raise OptionError(f"axis {axis} of a grid of {len(first)} dimensions")
        for other in manifests:
            if other.grid_shape[:axis] + other.grid_shape[axis + 1 :] != first[:axis] + first[axis + 1 :]:
                raise OptionError(f"grids {first} and {other.grid_shape} differ beside axis {axis}")
        total = (*first[:axis], sum(m.grid_shape[axis] for m in manifests), *first[axis + 1 :])
        dense = [manifest.to_dense() for manifest in manifests]
        wide = any(np.asarray(m.length).dtype == np.uint64 for m in dense)
        location_id = np.empty(total, np.uint32)
        offset, length = np.empty(total, np.uint64), np.empty(total, np.uint64 if wide else np.uint32)
        at, base = 0, 0
        for manifest in dense:
            window = (*[slice(None)] * axis, slice(at, at + manifest.grid_shape[axis]))
            ids = np.asarray(manifest.location_id).reshape(manifest.grid_shape)
            location_id[window] = ids
            offset[window] = np.asarray(manifest.offset).reshape(manifest.grid_shape)
            if base and manifest.inline:
                offset[window] += np.where(ids == INLINE, np.uint64(base), np.uint64(0))
            length[window] = np.asarray(manifest.length).reshape(manifest.grid_shape)
            at += manifest.grid_shape[axis]
            base += len(manifest.inline)
        return ChunkManifest(
            total, location_id.ravel(), offset.ravel(), length.ravel(), inline=b"".join(m.inline for m in dense)
        )

    def take(self, indices: Sequence[int] | npt.NDArray[np.integer], axis: int) -> "ChunkManifest":
        """Return the manifest of the grid's slices ``indices`` along ``axis``, in that order.

        Raises:
            OptionError: no such axis, or an index outside the grid.
        """
        wanted = np.asarray(indices, np.int64)
        if not 0 <= axis < len(self.grid_shape):
            raise OptionError(f"axis {axis} of a grid of {len(self.grid_shape)} dimensions")
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < self.grid_shape[axis]):
            raise OptionError(f"indices outside the {self.grid_shape[axis]} chunks of axis {axis}")
        dense = self.to_dense()
        grid = (*self.grid_shape[:axis], wanted.size, *self.grid_shape[axis + 1 :])
        location_id, offset, length = (
            np.asarray(column).reshape(self.grid_shape).take(wanted, axis).ravel()
            for column in (dense.location_id, dense.offset, dense.length)
        )
        return ChunkManifest(grid, location_id, offset, length, inline=self.inline)

    def __eq__(self, other: object) -> bool:
        """Whether both say the same of every grid position, however their columns are laid out."""
        if not isinstance(other, ChunkManifest):
            return NotImplemented
        if self.grid_shape != other.grid_shape:
            return False
        mine, theirs = self.to_dense(), other.to_dense()
        ids = np.asarray(mine.location_id)
        if not np.array_equal(ids, np.asarray(theirs.location_id)):
            return False
        there, inline = ids != MISSING, ids == INLINE
        ranges = there & ~inline
        if not np.array_equal(np.asarray(mine.length)[there], np.asarray(theirs.length)[there]):
            return False
        if not np.array_equal(np.asarray(mine.offset)[ranges], np.asarray(theirs.offset)[ranges]):
            return False
        return all(mine._inlined_at(p) == theirs._inlined_at(p) for p in np.flatnonzero(inline).tolist())

    def _inlined_at(self, position: int) -> bytes | None:
        chunk = self.lookup(position)
        return chunk.data if chunk else None

    __hash__ = None  # type: ignore[assignment]  # equality is by content, and columns are arrays
