"""From chunk positions to reads: look-up of a whole selection, sorted by file and offset, neighbours merged."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from refmaker.model.chunks import INLINE, MISSING, ChunkBlock, ChunkManifest

__all__ = ["Located", "Read", "locate", "merge", "plan"]

Positions = npt.NDArray[np.uint64]
CLUSTER = 4096
"""Positions between two wanted ones up to which one look-up fetches all between: that costs less than another call."""


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """Where chunks lie: columns parallel to the positions asked for; ``location_id`` may be MISSING or INLINE."""

    location_id: npt.NDArray[np.uint32]
    offset: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """One range of one source, and the rows of a selection that lie in it.

    Attributes:
        location_id: the source.
        start: first byte.
        stop: first byte behind.
        rows: indices into the selection, ascending by offset.
        offset: where each row's chunk begins in the source.
        length: bytes of each row's chunk.
    """

    location_id: int
    start: int
    stop: int
    rows: list[int]
    offset: list[int]
    length: list[int]


def locate(manifest: ChunkManifest, position: Positions) -> Located:
    """Return where the chunks at some C-order positions lie, in any order; errors of an unreadable index pass."""
    found = Located(
        np.full(position.size, MISSING, np.uint32), np.zeros(position.size, np.int64), np.zeros(position.size, np.int64)
    )
    if position.size == 0:
        return found
    ascending = bool((position[1:] > position[:-1]).all())
    order = None if ascending else np.argsort(position, kind="stable")
    wanted = position if order is None else position[order]
    breaks = np.flatnonzero(np.diff(wanted) > CLUSTER) + 1
    for first, last in zip([0, *breaks.tolist()], [*breaks.tolist(), wanted.size], strict=True):
        block = manifest.between(int(wanted[first]), int(wanted[last - 1]) + 1)
        rows = slice(first, last) if order is None else order[first:last]
        _fill(found, rows, wanted[first:last], block)
    return found


def _fill(found: Located, rows: slice | npt.NDArray[np.intp], wanted: Positions, block: ChunkBlock) -> None:
    if block.position.size == wanted.size and np.array_equal(block.position, wanted):
        at: npt.NDArray[np.intp] | slice = slice(None)
    elif block.position.size == 0:
        return
    else:
        nearest = np.minimum(np.searchsorted(block.position, wanted), block.position.size - 1)
        there = block.position[nearest] == wanted
        rows = (np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows)[there]
        at = nearest[there]
    found.location_id[rows] = block.location_id[at]
    found.offset[rows] = block.offset[at]
    found.length[rows] = block.length[at]


def plan(located: Located, *, gap: int, request_bytes: int) -> list[Read]:
    """Return the reads that fetch all chunks that lie in sources, by source and ascending offset."""
    rows = np.flatnonzero(located.location_id < INLINE)
    order = rows[np.lexsort((located.offset[rows], located.location_id[rows]))]
    ids, offset, length = located.location_id[order], located.offset[order], located.length[order]
    reads = []
    for first, last in merge(ids, offset, offset + length, gap=gap, request_bytes=request_bytes):
        starts, lengths = offset[first:last].tolist(), length[first:last].tolist()
        stop = max(start + n for start, n in zip(starts, lengths, strict=True))
        reads.append(Read(int(ids[first]), starts[0], stop, order[first:last].tolist(), starts, lengths))
    return reads


def merge(
    ids: npt.NDArray[np.uint32],
    start: npt.NDArray[np.int64],
    stop: npt.NDArray[np.int64],
    *,
    gap: int,
    request_bytes: int,
) -> list[tuple[int, int]]:
    """Return the index ranges [first, last) of ranges, sorted by id and start, that one read each fetches."""
    if start.size == 0:
        return []
    apart = (ids[1:] != ids[:-1]) | (start[1:] > stop[:-1] + gap)
    runs = [0, *(np.flatnonzero(apart) + 1).tolist(), start.size]
    found = []
    for begin, end in pairwise(runs):
        first = begin
        while first < end:
            last = first + max(int(np.searchsorted(stop[first:end], start[first] + request_bytes, side="right")), 1)
            found.append((first, last))
            first = last
    return found
