"""Chunk keys to positions, all keys of an array at once."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from refmaker.errors import BrokenReferencesError
from refmaker.model.keys import parse_chunk_key

__all__ = ["chunk_positions"]

MAXIMUM_DIGITS = 18
"""Digits of one index that certainly fit 63 bits; longer ones lie outside every grid."""


def chunk_positions(keys: Sequence[str], grid_shape: tuple[int, ...], separator: str = ".") -> npt.NDArray[np.uint64]:
    """Return the C-order positions of chunk keys (``"3.0.12"``) in a grid.

    Raises:
        BrokenReferencesError: a key is not canonical, or lies outside the grid; it names the key.
    """
    index = _indices(keys, len(grid_shape), separator) if grid_shape else None
    if index is None:  # something is odd, or there are no axes: the exact reader says what
        exact = [parse_chunk_key(key, len(grid_shape), separator) for key in keys]
        for key, one in zip(keys, exact, strict=True):
            _check(key, one, grid_shape)
        index = np.array(exact, np.uint64).reshape(len(keys), len(grid_shape))
    outside = (index >= np.array(grid_shape, np.uint64)).any(axis=1)
    if outside.any():
        row = int(outside.argmax())
        _check(keys[row], tuple(index[row].tolist()), grid_shape)
    position = np.zeros(len(keys), np.uint64)
    for axis, n in enumerate(grid_shape):
        position = position * np.uint64(n) + index[:, axis]
    return position


def _check(key: str, index: tuple[int, ...], grid_shape: tuple[int, ...]) -> None:
    if any(i >= n for i, n in zip(index, grid_shape, strict=True)):
        raise BrokenReferencesError(f"chunk {key!r:.100} lies outside the grid of {grid_shape} chunks")


def _indices(keys: Sequence[str], ndim: int, separator: str) -> npt.NDArray[np.uint64] | None:
    """Return the grid indices, shape (len(keys), ndim), or None if a key is not plainly canonical."""
    try:
        text = np.frombuffer(("\n".join(keys) + "\n").encode("ascii"), np.uint8)
    except UnicodeEncodeError:
        return None
    newline, dot = ord("\n"), ord(separator)
    digit = text - np.uint8(ord("0"))  # wraps around for what is below "0"
    ending = (text == newline) | (text == dot)
    end = np.flatnonzero(ending)
    if end.size != len(keys) * ndim or not (ending | (digit < 10)).all():
        return None
    marks = text[end].reshape(-1, ndim)
    if (marks[:, -1] != newline).any() or (marks[:, :-1] != dot).any():
        return None
    start = np.concatenate([np.zeros(1, end.dtype), end[:-1] + 1])
    digits = end - start
    if digits.min() < 1 or digits.max() > MAXIMUM_DIGITS or ((digits > 1) & (digit[start] == 0)).any():
        return None
    value = np.zeros(end.size, np.uint64)
    for place in range(int(digits.max())):
        there = digits > place
        value += np.where(there, digit[np.maximum(end - 1 - place, 0)], 0) * np.uint64(10**place)
    return value.reshape(-1, ndim)
