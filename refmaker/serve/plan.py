"""From chunk positions to reads: look-up of a whole selection."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.model.chunks import INLINE, MISSING, ChunkBlock, ChunkManifest
from refmaker.source.plan import Read, plan_reads

__all__ = ["Located", "locate", "plan"]

Positions = npt.NDArray[np.uint64]
CLUSTER = 4096
"""Positions between two wanted ones up to which one look-up fetches all between: that costs less than another call."""


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """Where chunks lie: columns parallel to the positions asked for; ``location_id`` may be MISSING or INLINE."""

    location_id: npt.NDArray[np.uint32]
    offset: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]


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
    """Return the reads that fetch all chunks that lie in sources."""
    rows = np.flatnonzero(located.location_id < INLINE)
    return plan_reads(located.location_id, located.offset, located.length, rows, gap=gap, request_bytes=request_bytes)
