"""Columns of numbers, one row a chunk: arrays, or affine functions of the grid index that take no memory."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.errors import OptionError

__all__ = ["AffineColumn", "Column", "constant", "narrow", "rows", "values_at"]


@dataclass(frozen=True, slots=True)
class AffineColumn:
    """The column ``start + sum(index[k] * strides[k])`` over a grid, in C order; never stored.

    Attributes:
        start: the value at grid index (0, ..., 0).
        strides: what one step along each axis of the grid adds.
        shape: the grid's shape.
    """

    start: int
    strides: tuple[int, ...]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.strides) != len(self.shape) or self.start < 0 or any(s < 0 for s in self.strides):
            raise OptionError(f"not an affine column: {self.start}, {self.strides}, {self.shape}")

    def __len__(self) -> int:
        return math.prod(self.shape)

    @property
    def maximum(self) -> int:
        """The largest value, ``start`` for an empty grid."""
        return self.start + sum(s * max(n - 1, 0) for s, n in zip(self.strides, self.shape, strict=True))

    def values(self, position: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Return the values at C-order positions, uint64."""
        value = np.full(position.shape, self.start, np.uint64)
        for stride, n in zip(reversed(self.strides), reversed(self.shape), strict=True):
            position, index = np.divmod(position, np.uint64(n))
            if stride:
                value += index * np.uint64(stride)
        return value


Column = npt.NDArray[np.unsignedinteger] | AffineColumn


def constant(value: int, grid_shape: tuple[int, ...]) -> AffineColumn:
    """Return the column that is ``value`` everywhere."""
    return AffineColumn(value, (0,) * len(grid_shape), grid_shape)


def rows(column: Column, start: int, stop: int) -> npt.NDArray[np.unsignedinteger]:
    """Return rows [start, stop) as an array (a view where the column is one)."""
    if isinstance(column, AffineColumn):
        if not any(column.strides):
            return np.full(stop - start, column.start, np.uint64)
        return column.values(np.arange(start, stop, dtype=np.uint64))
    return column[start:stop]


def values_at(column: Column, position: npt.NDArray[np.uint64]) -> npt.NDArray[np.unsignedinteger]:
    """Return the column's values at given rows."""
    return column.values(position) if isinstance(column, AffineColumn) else column[position]


def narrow(column: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.unsignedinteger]:
    """Return the column as uint32 if all its values fit, else as uint64."""
    wide = column.size and int(column.max()) > np.iinfo(np.uint32).max
    return column.astype(np.uint64 if wide else np.uint32, copy=False)
