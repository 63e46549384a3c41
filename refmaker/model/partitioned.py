"""Manifests whose columns lie in an index elsewhere and are read by partition, when they are asked for.

Partition ``k`` holds the chunks at C-order positions [k * n, (k + 1) * n). A chunk is *present* or *absent* as its
partition says, and *not indexed* while the partition cannot be read: then every look-up is an error, never "absent".
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from refmaker.errors import OptionError
from refmaker.model.chunks import BLOCK_ROWS, INLINE, ChunkBlock, ChunkManifest, ChunkRef, check_grid

__all__ = ["LoadPartition", "PartitionedManifest"]

LoadPartition = Callable[[int], ChunkManifest]
"""Partition number -> the manifest of its positions as a one-dimensional grid; raises if it cannot be read."""
COLUMNS = ("position", "location_id", "offset", "length")


class PartitionedManifest(ChunkManifest):
    """A ChunkManifest that reads what it is asked for.

    ``lookup``, ``between`` and ``blocks`` read the partitions concerned, and keep nothing: ``load`` may. The columns
    themselves (``location_id``, ...) are there too, and read everything.

    Attributes:
        partition_rows: positions in a partition; the last one may have fewer.
        load: reads a partition.
        counts: present chunks of each partition if the index records them, else None.
    """

    __slots__ = ("_whole", "counts", "load", "partition_rows")
    partition_rows: int
    load: LoadPartition
    counts: tuple[int, ...] | None
    _whole: ChunkManifest | None

    def __init__(
        self,
        grid_shape: Sequence[int],
        *,
        partition_rows: int,
        load: LoadPartition,
        counts: Sequence[int] | None = None,
    ) -> None:
        check_grid(grid_shape)
        if partition_rows < 1 or (counts is not None and len(counts) != -(-math.prod(grid_shape) // partition_rows)):
            raise OptionError(f"partitions of {partition_rows} chunks with {counts and len(counts)} counts")
        for name, value in (
            ("grid_shape", tuple(grid_shape)),
            ("partition_rows", partition_rows),
            ("load", load),
            ("counts", None if counts is None else tuple(counts)),
            ("_whole", None),
        ):
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.grid_shape, self.partition_rows, self.load, self.counts)

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return -(-len(self) // self.partition_rows)

    # -- looking: by partition -----------------------------------------------------------------------------------
    def lookup(self, position: int) -> ChunkRef | None:
        """Return the chunk at a C-order position, or None if its partition says that it is absent."""
        if not 0 <= position < len(self):
            raise OptionError(f"position {position} lies outside the grid {self.grid_shape}")
        number, row = divmod(position, self.partition_rows)
        if self.counts is not None and not self.counts[number]:
            return None
        return self.load(number).lookup(row)

    def between(self, start: int, stop: int) -> ChunkBlock:
        """Return the present chunks whose C-order positions are in [start, stop); inlined ones without their bytes."""
        return _joined([block for _, block in self._parts(start, min(stop, len(self)))])

    def blocks(self, block_rows: int = BLOCK_ROWS) -> Iterator[ChunkBlock]:
        """Yield the present chunks in ascending position; memory holds a partition at a time."""
        for _, block in self._parts(0, len(self)):
            for first in range(0, block.position.size, block_rows):
                yield ChunkBlock(*(getattr(block, name)[first : first + block_rows] for name in COLUMNS))

    def inlined_data(self, block: ChunkBlock) -> list[bytes]:
        """Return the bytes of a block of this manifest's inlined chunks."""
        number = np.asarray(block.position, np.uint64) // np.uint64(self.partition_rows)
        found: list[bytes] = []
        for one in np.unique(number).tolist():
            rows = number == one
            mine = ChunkBlock(*(getattr(block, name)[rows] for name in COLUMNS))
            found += self.load(one).inlined_data(mine)
        return found

    def _parts(self, start: int, stop: int) -> Iterator[tuple[ChunkManifest, ChunkBlock]]:
        n = self.partition_rows
        for number in range(start // n, -(-stop // n)):
            if self.counts is not None and not self.counts[number]:
                continue
            part = self.load(number)
            first = number * n
            block = part.between(max(start - first, 0), min(stop - first, n))
            if block.position.size:
                yield part, ChunkBlock(block.position + np.uint64(first), block.location_id, block.offset, block.length)

    @property
    def present(self) -> int:
        """Chunks that are not absent."""
        if self.counts is not None:
            return sum(self.counts)
        return sum(block.position.size for block in self.blocks())

    @property
    def stored_nbytes(self) -> int:
        """Sum of the lengths of all present chunks."""
        return sum(int(block.length.sum(dtype=np.uint64)) for block in self.blocks())

    @property
    def memory_nbytes(self) -> int:
        """Bytes of memory the columns take, if they were read as a whole."""
        return 0 if self._whole is None else self._whole.memory_nbytes

    def known_location_ids(self) -> npt.NDArray[np.uint32]:
        """Return none: ``load`` vouches for its ids."""
        return np.empty(0, np.uint32)

    def location_ids(self) -> npt.NDArray[np.uint32]:
        """Return the sorted distinct ids of sources used: reads every partition."""
        found = [np.unique(block.location_id).astype(np.uint32) for block in self.blocks()]
        ids = np.unique(np.concatenate(found)) if found else np.empty(0, np.uint32)
        return ids[ids < INLINE]

    # -- the columns as a whole ----------------------------------------------------------------------------------
    def whole(self) -> ChunkManifest:
        """Return the same manifest with all columns in memory."""
        if self._whole is None:
            blocks: list[ChunkBlock] = []
            inline: list[bytes] = []
            end = 0
            for part, block in self._parts(0, len(self)):
                inner = block.location_id == INLINE
                offset = block.offset.astype(np.uint64)
                offset[inner] += np.uint64(end)
                blocks.append(ChunkBlock(block.position, block.location_id, offset, block.length))
                inline.append(part.inline)
                end += len(part.inline)
            block = _joined(blocks)
            object.__setattr__(
                self,
                "_whole",
                ChunkManifest.from_positions(
                    self.grid_shape,
                    block.position,
                    location_id=block.location_id.astype(np.uint32, copy=False),
                    offset=block.offset.astype(np.uint64, copy=False),
                    length=block.length,
                    inline=b"".join(inline),
                ),
            )
        return cast("ChunkManifest", self._whole)

    location_id = property(lambda self: self.whole().location_id)
    offset = property(lambda self: self.whole().offset)
    length = property(lambda self: self.whole().length)
    position = property(lambda self: self.whole().position)
    inline = property(lambda self: self.whole().inline)

    def to_dense(self) -> ChunkManifest:
        """Return the same manifest with a stored row for every grid position."""
        return self.whole().to_dense()


def _joined(blocks: Sequence[ChunkBlock]) -> ChunkBlock:
    if not blocks:
        none = np.empty(0, np.uint64)
        return ChunkBlock(none, none, none, none)
    if len(blocks) == 1:
        return blocks[0]
    return ChunkBlock(*(np.concatenate([getattr(block, name) for block in blocks]) for name in COLUMNS))


def _rebuild(
    grid_shape: tuple[int, ...], partition_rows: int, load: LoadPartition, counts: tuple[int, ...] | None
) -> PartitionedManifest:
    return PartitionedManifest(grid_shape, partition_rows=partition_rows, load=load, counts=counts)
