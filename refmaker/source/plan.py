"""From wanted byte ranges of several files to reads: sorted by file and offset, neighbours merged."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["Read", "plan_reads"]

Ids = npt.NDArray[np.uint32]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """One range of one source, and the rows of what is wanted that lie in it.

    Attributes:
        location_id: the source.
        start: first byte.
        stop: first byte behind.
        rows: indices into what is wanted, ascending by offset.
        offset: where each row's range begins in the source.
        length: bytes of each row's range.
    """

    location_id: int
    start: int
    stop: int
    rows: list[int]
    offset: list[int]
    length: list[int]


def plan_reads(
    location_id: Ids, offset: Positions, length: Positions, rows: npt.NDArray[np.intp], *, gap: int, request_bytes: int
) -> list[Read]:
    """Return the reads that fetch the ranges of some rows, by source and ascending offset.

    Args:
        location_id: source of each range, shape (n,).
        offset: first byte of each.
        length: bytes of each.
        rows: which of them.
        gap: bytes between two ranges up to which one read fetches both.
        request_bytes: bytes of a merged read at most; a longer range is a read of its own.
    """
    order = rows[np.lexsort((offset[rows], location_id[rows]))]
    ids, offset, length = location_id[order], offset[order], length[order]
    reads = []
    for first, last in _merged(ids, offset, offset + length, gap, request_bytes):
        starts, lengths = offset[first:last].tolist(), length[first:last].tolist()
        stop = max(start + n for start, n in zip(starts, lengths, strict=True))
        reads.append(Read(int(ids[first]), starts[0], stop, order[first:last].tolist(), starts, lengths))
    return reads


def _merged(ids: Ids, start: Positions, stop: Positions, gap: int, request_bytes: int) -> list[tuple[int, int]]:
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
