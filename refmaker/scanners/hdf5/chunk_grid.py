"""The grid of a dataset's chunks, and the ways chunk indexes number it.

Version 1 B-trees key chunks by element coordinates, version 2 B-trees by chunk coordinates ("scaled"), and the array
indexes by one number: the position in C order over the grid of the *maximum* shape, where an extensible array puts
its unlimited axis first. Here all become positions in C order over the grid of the current shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from refmaker.errors import BrokenFileError
from refmaker.scanners.hdf5.addressing import Addressing

__all__ = ["ChunkGrid", "chunk_grid"]

UIntArray = npt.NDArray[np.uint64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ChunkGrid:
    """How chunks tile a dataset.

    Attributes:
        chunk_shape: elements of a chunk along each axis.
        grid_shape: chunks along each axis of the current shape.
        max_grid_shape: chunks along each axis of the maximum shape; None where it is unlimited.
        chunk_bytes: bytes of an unfiltered chunk.
        size: chunks in the grid.
    """

    chunk_shape: tuple[int, ...]
    grid_shape: tuple[int, ...]
    max_grid_shape: tuple[int | None, ...]
    chunk_bytes: int
    size: int

    def positions(self, scaled: Sequence[UIntArray]) -> UIntArray | None:
        """Return the positions of chunks by their chunk coordinates, one array of shape (n,) per axis.

        None when a coordinate lies outside the grid.
        """
        position = None
        for coordinate, extent in zip(scaled, self.grid_shape, strict=True):
            if coordinate.size and int(coordinate.max()) >= extent:
                return None
            position = coordinate if position is None else position * np.uint64(extent) + coordinate
        return position

    def positions_of_indexes(self, index: UIntArray, axes: Sequence[int]) -> tuple[UIntArray, BoolArray | None]:
        """Return the positions of chunks by their number over the maximum grid, whose axes are in order ``axes``.

        The second value marks the chunks inside the current grid (None: all are); only there is a position right.
        """
        axis_order_kept = list(axes) == sorted(axes)
        if axis_order_kept and self.max_grid_shape[1:] == self.grid_shape[1:]:
            if index.size and int(index.max()) >= self.size:
                return index, index < self.size
            return index, None
        strides = [prod(self.grid_shape[axis + 1 :]) for axis in range(len(axes))]
        position = np.zeros(index.shape, np.uint64)
        inside = np.ones(index.shape, np.bool_)
        rest = index
        for axis in reversed(axes):
            coordinate = rest
            extent = self.max_grid_shape[axis]
            if axis != axes[0]:
                if not extent:  # unlimited or empty: the caller has checked that this cannot be
                    raise BrokenFileError(f"axis {axis} of an array index has no extent")
                rest = coordinate // np.uint64(extent)
                coordinate = coordinate - rest * np.uint64(extent)
            inside &= coordinate < self.grid_shape[axis]
            position += coordinate * np.uint64(strides[axis])
        return position, None if inside.all() else inside


def chunk_grid(
    addressing: Addressing,
    chunk_shape: tuple[int, ...],
    element_size: int,
    shape: Sequence[int],
    maxshape: Sequence[int | None],
) -> ChunkGrid:
    """Return the grid of a dataset of ``shape`` and ``maxshape``, in elements.

    Raises:
        BrokenFileError: the numbers of axes differ, or the shape exceeds the maximum.
        UnsupportedError: more chunks than 63 bits count.
    """
    if not len(chunk_shape) == len(shape) == len(maxshape):
        raise addressing.broken(f"chunks of shape {chunk_shape} in a dataset of shape {tuple(shape)}", 0)
    grid_shape, max_grid_shape = [], []
    for chunk, extent, limit in zip(chunk_shape, shape, maxshape, strict=True):
        if limit is not None and extent > limit:
            raise addressing.broken(f"shape {tuple(shape)} exceeds maxshape {tuple(maxshape)}", 0)
        grid_shape.append(-(-extent // chunk))
        max_grid_shape.append(None if limit is None else -(-limit // chunk))
    size = prod(grid_shape)
    if max(size, prod([extent or 1 for extent in max_grid_shape])) >= 1 << 63:
        raise addressing.unsupported(f"a grid of {size} chunks", "grid")
    chunk_bytes = prod(chunk_shape) * element_size
    return ChunkGrid(chunk_shape, tuple(grid_shape), tuple(max_grid_shape), chunk_bytes, size)
