"""Chunk keys to positions, all keys of an array at once."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from refmaker.errors import BrokenReferencesError
from refmaker.model.keys import parse_chunk_key

__all__ = ["chunk_positions"]

FEW_KEYS = 16
"""Keys that are read one by one before numpy has begun."""
MAXIMUM_DIGITS = 18
"""Digits of one index that certainly fit 63 bits; longer ones lie outside every grid."""


def chunk_positions(keys: Sequence[str], grid_shape: tuple[int, ...], separator: str = ".") -> npt.NDArray[np.uint64]:
    """Return the C-order positions of chunk keys (``"3.0.12"``) in a grid.

    Raises:
        BrokenReferencesError: a key is not canonical, or lies outside the grid; it names the key.
    """
    index = _indices(keys, len(grid_shape), separator) if len(keys) > FEW_KEYS else None
    if index is None:  # few, or something is odd: the exact reader says what
        return np.array([_position(key, grid_shape, separator) for key in keys], np.uint64)
    outside = (index >= np.array(grid_shape, np.uint64)).any(axis=1)
    if outside.any():
        _position(keys[int(outside.argmax())], grid_shape, separator)
    position = np.zeros(len(keys), np.uint64)
    for axis, n in enumerate(grid_shape):
        position = position * np.uint64(n) + index[:, axis]
    return position


def _position(key: str, grid_shape: tuple[int, ...], separator: str) -> int:
    position = 0
    for index, n in zip(parse_chunk_key(key, len(grid_shape), separator), grid_shape, strict=True):
        if index >= n:
            raise BrokenReferencesError(f"chunk {key!r:.100} lies outside the grid of {grid_shape} chunks")
        position = position * n + index
    return position


def _indices(keys: Sequence[str], ndim: int, separator: str) -> npt.NDArray[np.uint64] | None:
    """Return the grid indices, shape (len(keys), ndim), or None if a key is not plainly canonical."""
    if not ndim:
        return None
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
