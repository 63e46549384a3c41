"""Which parts of an array are looked at: all of it in blocks of chunks, or some chunks, the same ones every time."""

import itertools
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from refmaker.model.array import VirtualArray
from refmaker.model.keys import chunk_index

__all__ = ["Window", "chunks_of", "windows"]

BLOCK_NBYTES = 32 << 20
BLOCK_CHUNKS = 1 << 14
"""Bytes and chunks of a block: large enough to read well, small enough to hold twice."""
SPARSE = 1 << 20
"""Positions beyond which, where most have no chunk, absent ones are sampled: a grid may have more than atoms."""
ABSENT_SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class Window:
    """A box of chunks, from grid index ``first`` up to ``last``, which is not in it."""

    first: tuple[int, ...]
    last: tuple[int, ...]

    @property
    def count(self) -> int:
        """Chunk positions in it."""
        return math.prod(b - a for a, b in zip(self.first, self.last, strict=True))

    def slices(self, array: VirtualArray) -> tuple[slice, ...]:
        """Return the elements in it, which the array's shape bounds."""
        metadata = array.metadata
        spans = zip(self.first, self.last, metadata.chunk_shape, metadata.shape, strict=True)
        return tuple(slice(a * c, min(b * c, n)) for a, b, c, n in spans)


def chunks_of(window: Window) -> Iterator[Window]:
    """Yield every chunk of a window as a window."""
    for index in itertools.product(*(range(a, b) for a, b in zip(window.first, window.last, strict=True))):
        yield Window(index, tuple(i + 1 for i in index))


def windows(path: str, array: VirtualArray, sample: int | None) -> Iterator[Window]:
    """Yield what to look at: ``sample`` positions of the grid and as many of the chunks there are; None: everything."""
    grid = array.manifest.grid_shape
    positions = math.prod(grid)
    if not positions:
        return
    if sample is None:
        present = array.manifest.present
        if positions <= SPARSE or present * 10 > positions:
            yield from _blocks(array)
            return
        chosen = {int(p) for block in array.manifest.blocks() for p in block.position.tolist()}
        chosen |= set(_spread(positions, ABSENT_SAMPLE))
    elif positions <= sample:
        chosen = set(range(positions))
    else:
        chosen = set(_spread(positions, sample))
        present = array.manifest.present
        if present < positions:
            chosen |= set(_present(array, _spread(present, sample)))
        else:
            rng = np.random.default_rng(zlib.crc32(path.encode("utf-8", "surrogatepass")))
            chosen = {0, positions - 1} if sample > 1 else {0}
            while len(chosen) < sample:
                chosen.add(int(rng.integers(positions)))
    for position in sorted(chosen):
        index = chunk_index(position, grid)
        yield Window(index, tuple(i + 1 for i in index))


def _spread(count: int, wanted: int) -> list[int]:
    """Return up to ``wanted`` numbers below ``count``, evenly apart, the first and the last among them."""
    if count <= wanted:
        return list(range(count))
    return [number * (count - 1) // max(wanted - 1, 1) for number in range(wanted)]


def _present(array: VirtualArray, ranks: list[int]) -> Iterator[int]:
    """Yield the positions of the chunks of these ranks among those present; ascending."""
    before = 0
    pending = iter(ranks)
    rank = next(pending, None)
    for block in array.manifest.blocks():
        while rank is not None and rank < before + block.position.size:
            yield int(block.position[rank - before])
            rank = next(pending, None)
        before += block.position.size


def _blocks(array: VirtualArray) -> Iterator[Window]:
    """Yield boxes that together are the grid, in C order, whole along the last axes."""
    metadata, grid = array.metadata, array.manifest.grid_shape
    nbytes = math.prod(metadata.chunk_shape) * max(metadata.data_type.itemsize, 1)
    most = max(min(BLOCK_NBYTES // max(nbytes, 1), BLOCK_CHUNKS), 1)
    side = [1] * len(grid)
    for axis in reversed(range(len(grid))):
        side[axis] = min(grid[axis], most)
        most //= side[axis]
        if side[axis] < grid[axis] or most < 1:
            break
    for first in itertools.product(*(range(0, n, s) for n, s in zip(grid, side, strict=True))):
        yield Window(first, tuple(min(a + s, n) for a, s, n in zip(first, side, grid, strict=True)))
