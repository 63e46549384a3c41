"""How a contiguous block of uncompressed elements is cut into Zarr chunks: nothing but the reader's need decides.

A piece of the block must be contiguous too, so a chunk spans one index of some outer axes, a run along one axis, and
all of the inner ones. The run is an exact divisor of its axis where one gives a quarter to twice the bytes wanted; else
the last piece is short, and a ``refmaker_pad`` codec fills it up.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.model.array import Codec, grid_of
from refmaker.model.chunks import ChunkManifest
from refmaker.model.columns import narrow

__all__ = ["CHUNK_BYTES", "Cut", "contiguous", "cut"]

CHUNK_BYTES = 8 << 20
"""Bytes of a chunk where the user does not say: few requests for all of a variable, little waste for some of it."""
MOST = 2
"""How many times longer than wanted a piece may be."""
LEAST = 4
"""How many times shorter than wanted a piece may be, so that no codec is needed: readers lose little."""
MOST_CANDIDATES = 1 << 16
"""Run lengths tried while looking for a divisor; only axes of more than 2**32 elements have more."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A block cut into pieces.

    Attributes:
        chunk_shape: elements of a whole piece along each axis.
        strides: bytes in the block from one piece to the next along each axis of the grid.
        nbytes: bytes of a whole piece.
        axis: the axis cut into runs, or None: one piece.
        short_nbytes: bytes of the last piece along ``axis``, where it is shorter; else None.
    """

    chunk_shape: tuple[int, ...]
    strides: tuple[int, ...]
    nbytes: int
    axis: int | None = None
    short_nbytes: int | None = None

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """What makes every piece a whole chunk when decoded."""
        return () if self.short_nbytes is None else (Codec("refmaker_pad", {"nbytes": self.nbytes}),)

    def after(self, stride: int) -> "Cut":
        """Return the cut of blocks that lie ``stride`` bytes apart, one a step along a new first axis."""
        axis = None if self.axis is None else self.axis + 1
        return Cut((1, *self.chunk_shape), (stride, *self.strides), self.nbytes, axis, self.short_nbytes)

    def manifest(self, shape: tuple[int, ...], *, location_id: int, start: int) -> ChunkManifest:
        """Return the manifest of an array of ``shape`` whose first piece is at ``start``: affine, so O(1) memory.

        Only where pieces are short their lengths take 4 bytes each (8 beyond 4 GiB).
        """
        grid = grid_of(shape, self.chunk_shape)
        if 0 in grid:
            return ChunkManifest.empty(grid)
        return ChunkManifest.affine(
            grid, location_id=location_id, start=start, strides=self.strides, length=self._lengths(grid)
        )

    def _lengths(self, grid: tuple[int, ...]) -> int | npt.NDArray[np.unsignedinteger]:
        if self.short_nbytes is None or self.axis is None:
            return self.nbytes
        length = np.full(grid, self.nbytes, narrow(np.array([self.nbytes], np.uint64)).dtype)
        np.moveaxis(length, self.axis, 0)[-1] = self.short_nbytes
        return length.ravel()


def contiguous(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the C-order strides, in bytes, of an array."""
    strides = [itemsize]
    for n in reversed(shape[1:]):
        strides.append(strides[-1] * n)
    return tuple(reversed(strides)) if shape else ()


def cut(shape: tuple[int, ...], itemsize: int, chunk_bytes: int | None = None) -> Cut:
    """Return how to cut a contiguous array into pieces of about ``chunk_bytes`` (default ``CHUNK_BYTES``).

    Args:
        shape: elements along each axis; axes of length 0 give chunks of length 1, of which there are none.
        itemsize: bytes of an element.
        chunk_bytes: bytes wanted of a piece; a block no longer than that stays whole.
    """
    wanted = CHUNK_BYTES if chunk_bytes is None else chunk_bytes
    strides = contiguous(shape, itemsize)
    if not shape or math.prod(shape) * itemsize <= wanted:
        whole = tuple(max(n, 1) for n in shape)
        return Cut(whole, (0,) * len(shape), math.prod(whole) * itemsize)
    axis = next((k for k, stride in enumerate(strides) if stride <= MOST * wanted), len(shape) - 1)
    run = run_length(shape[axis], wanted / strides[axis])
    short = shape[axis] % run
    return Cut(
        (*(1,) * axis, run, *shape[axis + 1 :]),
        (*strides[:axis], run * strides[axis], *(0,) * (len(shape) - axis - 1)),
        run * strides[axis],
        axis,
        short * strides[axis] if short else None,
    )


def run_length(n: int, wanted: float) -> int:
    """Return how many of ``n`` steps make a piece of about ``wanted``: a divisor of ``n`` where one is near."""
    if wanted <= 1:
        return 1
    divisors = _divisors(n, math.ceil(wanted / LEAST), min(math.floor(wanted * MOST), n))
    if divisors.size:
        return int(divisors[np.argmin(np.abs(np.log(divisors / wanted)))])
    return -(-n // math.ceil(n / wanted))


def _divisors(n: int, least: int, most: int) -> npt.NDArray[np.uint64]:
    """Return the divisors of ``n`` from ``least`` to ``most``, looking among them or their cofactors."""
    fewest, many = -(-n // most), n // least
    candidates: npt.NDArray[np.uint64]
    if most - least < MOST_CANDIDATES:
        candidates = np.arange(least, most + 1, dtype=np.uint64)
    elif many - fewest < MOST_CANDIDATES:
        candidates = np.uint64(n) // np.arange(fewest, many + 1, dtype=np.uint64)
    else:
        return np.empty(0, np.uint64)
    divides: npt.NDArray[np.bool_] = np.uint64(n) % candidates == 0
    return candidates[divides]
