"""From an index into an array to the chunks concerned: what to take of each, and where that goes in the result."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Selection", "outer", "pointwise", "whole"]

Window = tuple[Any, ...]
"""An index: slices, or arrays that numpy broadcasts."""
AxisIndex = int | np.integer[Any] | slice | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Some elements of an array, chunk by chunk.

    Attributes:
        shape: of the result, before ``squeezed`` axes go.
        position: C-order position of each chunk in the grid.
        chunk_windows: what to take of each chunk.
        out_windows: where it goes.
        sliced: whether all windows are slices, one an axis.
        squeezed: axes of length 1 that an integer index removes.
        flat: whether ``out_windows`` index the result as one flat axis.
        line: chunks in a row along the last axis, where all rows of chunks have as many; 0: not known.
    """

    shape: tuple[int, ...]
    position: npt.NDArray[np.uint64]
    chunk_windows: Sequence[Window]
    out_windows: Sequence[Window]
    sliced: bool = True
    squeezed: tuple[int, ...] = ()
    flat: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Axis:
    """One axis of a selection: for each chunk index along it, what to take and where it goes."""

    chunk: npt.NDArray[np.int64]
    inner: list[Any]
    out: list[Any]
    length: int
    sliced: bool


def whole(shape: tuple[int, ...], chunk_shape: tuple[int, ...]) -> Selection:
    """Return the selection of everything."""
    return outer((slice(None),) * len(shape), shape, chunk_shape)


def outer(key: Sequence[AxisIndex], shape: tuple[int, ...], chunk_shape: tuple[int, ...]) -> Selection:
    """Return the selection of an integer, slice or 1-d integer array for every axis, each on its own.

    Raises:
        IndexError: an index lies outside the array.
    """
    axes = [_axis(index, n, c) for index, n, c in zip(key, shape, chunk_shape, strict=True)]
    sliced = all(axis.sliced for axis in axes)
    if not sliced:
        axes = [_as_arrays(axis) for axis in axes]
    chunk_windows = list(itertools.product(*(axis.inner for axis in axes)))
    out_windows = list(itertools.product(*(axis.out for axis in axes)))
    if not sliced:
        chunk_windows = [np.ix_(*window) for window in chunk_windows]
        out_windows = [np.ix_(*window) for window in out_windows]
    position = np.zeros((), np.int64)
    for axis, n, c in zip(axes, shape, chunk_shape, strict=True):
        position = position[..., None] * -(-n // c) + axis.chunk
    return Selection(
        shape=tuple(axis.length for axis in axes),
        position=position.reshape(-1).astype(np.uint64),
        chunk_windows=chunk_windows,
        out_windows=out_windows,
        sliced=sliced,
        line=len(axes[-1].inner) if axes else 0,
        squeezed=tuple(number for number, index in enumerate(key) if isinstance(index, int | np.integer)),
    )


def pointwise(key: Sequence[AxisIndex], shape: tuple[int, ...], chunk_shape: tuple[int, ...]) -> Selection:
    """Return the selection of points: arrays that broadcast together; slices become axes behind theirs.

    Raises:
        IndexError: an index lies outside the array.
    """
    slices = [number for number, index in enumerate(key) if isinstance(index, slice)]
    arrays = [np.asarray(index) for index in key if not isinstance(index, slice)]
    base = max((array.ndim for array in arrays), default=0)
    full = []
    for number, (index, n) in enumerate(zip(key, shape, strict=True)):
        if isinstance(index, slice):
            behind = len(slices) - 1 - slices.index(number)
            full.append(np.arange(*index.indices(n)).reshape((-1, *[1] * behind)))
        else:
            array = _within(np.asarray(index), n)
            array = array.reshape((1,) * (base - array.ndim) + array.shape)
            full.append(array.reshape(array.shape + (1,) * len(slices)))
    points = np.broadcast_arrays(*full) if full else []
    result = points[0].shape if points else ()
    flat = [point.reshape(-1) for point in points]
    position = np.zeros(flat[0].size if flat else 1, np.int64)
    for index, n, c in zip(flat, shape, chunk_shape, strict=True):
        position = position * -(-n // c) + index // c
    order = np.argsort(position, kind="stable")
    distinct, first = np.unique(position[order], return_index=True)
    groups = np.split(order, first[1:]) if distinct.size else []
    return Selection(
        shape=result,
        position=distinct.astype(np.uint64),
        chunk_windows=[tuple(index[rows] % c for index, c in zip(flat, chunk_shape, strict=True)) for rows in groups],
        out_windows=[(rows,) for rows in groups],
        sliced=False,
        flat=True,
    )


def _axis(index: AxisIndex, n: int, c: int) -> _Axis:
    if isinstance(index, slice):
        start, stop, step = index.indices(n)
        if step > 0:
            return _sliced_axis(range(start, stop, step), n, c)
        return _array_axis(np.arange(start, stop, step), c)
    if isinstance(index, int | np.integer):
        one = int(_within(np.asarray(index), n))
        return _sliced_axis(range(one, one + 1), n, c)
    array = _within(np.asarray(index), n)
    if array.size and (np.diff(array) == 1).all():
        return _sliced_axis(range(int(array[0]), int(array[-1]) + 1), n, c)
    return _array_axis(array, c)


def _within(index: npt.NDArray[Any], n: int) -> npt.NDArray[np.int64]:
    wrapped: npt.NDArray[np.int64] = np.where(index < 0, index + n, index).astype(np.int64)
    if wrapped.size and not (wrapped.min() >= 0 and wrapped.max() < n):
        raise IndexError(f"index outside an axis of {n}")
    return wrapped


def _sliced_axis(wanted: range, n: int, c: int) -> _Axis:
    if not wanted:
        return _Axis(np.empty(0, np.int64), [], [], 0, sliced=True)
    start, step = wanted.start, wanted.step
    chunk, inner, out = [], [], []
    for number in range(start // c, wanted[-1] // c + 1):
        low, high = number * c, min(number * c + c, n)
        first = max(-(-(low - start) // step), 0)
        last = min(-(-(high - start) // step), len(wanted))
        if last > first:
            begin = start + first * step - low
            chunk.append(number)
            inner.append(slice(begin, begin + (last - first - 1) * step + 1, step))
            out.append(slice(first, last))
    return _Axis(np.array(chunk, np.int64), inner, out, len(wanted), sliced=True)


def _array_axis(index: npt.NDArray[np.int64], c: int) -> _Axis:
    order = np.argsort(index // c, kind="stable")
    chunk, first = np.unique(index[order] // c, return_index=True)
    out = np.split(order, first[1:]) if chunk.size else []
    return _Axis(chunk, [index[rows] % c for rows in out], list(out), index.size, sliced=False)


def _as_arrays(axis: _Axis) -> _Axis:
    if not axis.sliced:
        return axis
    inner = [np.arange(window.start, window.stop, window.step) for window in axis.inner]
    out = [np.arange(window.start, window.stop) for window in axis.out]
    return _Axis(axis.chunk, inner, out, axis.length, sliced=False)
