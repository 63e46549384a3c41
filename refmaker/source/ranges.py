"""Arithmetic on byte ranges as columns: ``Ranges`` are two uint64 arrays, starts and stops, of one shape (n,).

What comes out of ``merged`` is sorted and disjoint; ``outside`` expects that of what it subtracts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refmaker.source.base import Wish

__all__ = ["Ranges", "cut", "merged", "of_wishes", "outside"]

UIntArray = npt.NDArray[np.uint64]


class Ranges(NamedTuple):
    """Ranges [start[i], stop[i])."""

    start: UIntArray
    stop: UIntArray

    @property
    def nbytes(self) -> int:
        """The sum of their lengths."""
        return int((self.stop - self.start).sum())

    def pairs(self) -> list[tuple[int, int]]:
        """Return them as (start, stop) of Python integers."""
        return list(zip(self.start.tolist(), self.stop.tolist(), strict=True))

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, int]]) -> "Ranges":
        """Return the ranges of (start, stop) pairs."""
        columns = np.array(pairs, np.uint64).reshape(-1, 2)
        return cls(columns[:, 0], columns[:, 1])


def of_wishes(wishes: Sequence[Wish], block: int, size: int) -> Ranges:
    """Return what wishes ask for: a single range widened to whole blocks, many (and exact ones) as they are.

    A single range is a structure whose neighbours are wanted next; many are the nodes of an index level.
    """
    starts, stops = [], []
    for wish in wishes:
        start, stop = wish.offset, wish.offset + np.uint64(wish.length)
        if wish.offset.size == 1 and not wish.exact:
            start = start // np.uint64(block) * np.uint64(block)
            stop = np.minimum(-(-stop.astype(np.int64) // block) * block, size).astype(np.uint64)
        starts.append(start)
        stops.append(stop)
    if not starts:
        return Ranges.of([])
    return Ranges(np.concatenate(starts), np.concatenate(stops))


def merged(ranges: Ranges, gap: int) -> Ranges:
    """Return the ranges sorted, those that overlap or lie no more than ``gap`` bytes apart made one."""
    filled = ranges.stop > ranges.start
    start, stop = ranges.start[filled], ranges.stop[filled]
    if not start.size:
        return Ranges(start, stop)
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(stop[order])
    first = np.ones(start.size, np.bool_)
    first[1:] = start[1:] > reach[:-1] + np.uint64(gap)
    last = np.append(first[1:], True)
    return Ranges(start[first], reach[last])


def outside(ranges: Ranges, held: Ranges) -> Ranges:
    """Return the parts of ``ranges`` (sorted, disjoint) that lie in none of ``held`` (sorted, disjoint)."""
    if not held.start.size or not ranges.start.size:
        return ranges
    first = np.searchsorted(held.stop, ranges.start, "right")
    last = np.searchsorted(held.start, ranges.stop, "left")
    touched = last > first
    pairs = [Ranges(ranges.start[~touched], ranges.stop[~touched])]
    for row in np.flatnonzero(touched).tolist():
        within = slice(int(first[row]), int(last[row]))
        start = np.append(ranges.start[row], held.stop[within])
        stop = np.append(held.start[within], ranges.stop[row])
        kept = stop > start
        pairs.append(Ranges(start[kept], stop[kept]))
    return merged(Ranges(np.concatenate([p.start for p in pairs]), np.concatenate([p.stop for p in pairs])), 0)


def cut(ranges: Ranges, longest: int) -> list[tuple[int, int]]:
    """Return the ranges as pairs, none longer than ``longest``: longer ones in parts of even length."""
    parts: list[tuple[int, int]] = []
    for start, stop in ranges.pairs():
        count = -(-(stop - start) // longest)
        step = -(-(stop - start) // count)
        parts.extend((at, min(at + step, stop)) for at in range(start, stop, step))
    return parts
