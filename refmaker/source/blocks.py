"""What has been fetched of one file: a source around a source, and a file object over it for h5py and tifffile.

A ``BlockStore`` holds ranges that a scheduler put into it and answers from them. What it does not hold it fetches on
demand in aligned blocks, of which it keeps the latest, and counts as a miss: format libraries read their structures in
many tiny steps, and each would be a request.
"""

from bisect import bisect_right
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.source.base import ByteSource, Wish, check_range, check_ranges
from refmaker.source.file_object import ReadOnlyFile
from refmaker.source.policy import MISS_BLOCK, MISS_BLOCKS_KEPT, WHOLE_FILE_BELOW
from refmaker.source.ranges import Ranges, merged, outside
from refmaker.source.traced import Traced

__all__ = ["BlockFile", "BlockStore", "kept"]

Bytes = npt.NDArray[np.uint8]


class BlockStore:
    """The fetched ranges of one file.

    Attributes:
        misses: requests that had to be made on demand.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._starts: list[int] = []
        self._parts: list[Bytes] = []
        self._held: Ranges | None = Ranges.of([])
        self._blocks: dict[int, bytes] = {}
        self._block = max(source.size, 1) if source.size <= WHOLE_FILE_BELOW else MISS_BLOCK
        self.misses = 0

    @property
    def location(self) -> str:
        """URL or path of the wrapped source."""
        return self._source.location

    @property
    def size(self) -> int:
        """Bytes in the whole file."""
        return self._source.size

    def put(self, parts: list[tuple[int, bytes]]) -> None:
        """Keep fetched bytes, given as (offset, bytes); what is held already stays."""
        pieces = dict(zip(self._starts, self._parts, strict=True))
        starts, stops = self.held.start.tolist(), self.held.stop.tolist()
        reach = 0
        for start, raw in sorted(parts, key=itemgetter(0)):
            data = np.frombuffer(raw, np.uint8)
            first, last = max(start, reach), start + data.size
            reach = max(reach, last)
            row = bisect_right(stops, first)
            if row < len(starts) and starts[row] < last:
                rest = outside(Ranges.of([(first, last)]), self.held).pairs()
            else:
                rest = [(first, last)] if last > first else []
            for begin, end in rest:
                pieces[begin] = data[begin - start : end - start]
        self._starts = sorted(pieces)
        self._parts = [pieces[start] for start in self._starts]
        self._held = None

    @property
    def held(self) -> Ranges:
        """What is held, sorted, disjoint and not adjacent."""
        if self._held is None:
            start = np.array(self._starts, np.uint64)
            length = np.array([part.size for part in self._parts], np.uint64)
            self._held = merged(Ranges(start, start + length), 0)
        return self._held

    def holds(self, wish: Wish) -> bool:
        """Whether all ranges of a wish are held."""
        if wish.offset.size == 0 or wish.length == 0:
            return True
        held = self.held
        if wish.offset.size == 1:
            return self._holds(int(wish.offset[0]), wish.length)
        row = np.searchsorted(held.start, wish.offset, "right").astype(np.intp) - 1
        if int(row.min()) < 0:
            return False
        return bool((wish.offset + np.uint64(wish.length) <= held.stop[row]).all())

    def _holds(self, offset: int, length: int) -> bool:
        """Whether one range is held, perhaps in several parts."""
        row = bisect_right(self._starts, offset) - 1
        reach = offset
        while 0 <= row < len(self._starts) and self._starts[row] <= reach < offset + length:
            reach = max(reach, self._starts[row] + self._parts[row].size)
            row += 1
        return reach >= offset + length

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes at ``offset``."""
        check_range(self, offset, length)
        if length == 0:
            return b""
        row = bisect_right(self._starts, offset) - 1
        if row >= 0:
            at = offset - self._starts[row]
            if at + length <= self._parts[row].size:
                return self._parts[row][at : at + length].tobytes()
        return self._assembled(offset, length)

    def gather(self, offset: npt.NDArray[np.uint64], length: int) -> Bytes:
        """Return many ranges at once, shape (n, length): those in one fetched part with one copy each."""
        check_ranges(self, offset, length)
        found = np.empty((offset.size, length), np.uint8)
        if not found.size:
            return found
        starts = np.array(self._starts, np.uint64)
        row = np.searchsorted(starts, offset, "right").astype(np.intp) - 1
        order = np.argsort(row, kind="stable")
        borders = np.flatnonzero(np.diff(row[order], prepend=-2, append=len(starts) + 1))
        for first, last in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
            self._gather_part(int(row[order[first]]), order[first:last], offset, found)
        return found

    def _gather_part(
        self, row: int, wanted: npt.NDArray[np.intp], offset: npt.NDArray[np.uint64], found: Bytes
    ) -> None:
        """Fill the rows ``wanted`` of ``found``, whose ranges start in part ``row`` (before any part: -1)."""
        length = found.shape[1]
        inside = np.zeros(wanted.size, np.bool_)
        if row >= 0 and self._parts[row].size >= length:
            at = offset[wanted] - np.uint64(self._starts[row])
            inside = at + np.uint64(length) <= np.uint64(self._parts[row].size)
            part = self._parts[row]
            windows = np.ndarray((part.size - length + 1,), f"V{length}", part, strides=(1,))
            found[wanted[inside]] = windows[at[inside]].view(np.uint8).reshape(-1, length)
        for number in wanted[~inside].tolist():
            found[number] = np.frombuffer(self._assembled(int(offset[number]), length), np.uint8)

    def _assembled(self, offset: int, length: int) -> bytes:
        """Return a range that spans several parts, or is not held as a whole."""
        found = bytearray()
        while len(found) < length:
            position = offset + len(found)
            row = bisect_right(self._starts, position) - 1
            at = position - self._starts[row] if row >= 0 else 0
            if row >= 0 and at < self._parts[row].size:
                found += self._parts[row][at : at + length - len(found)].tobytes()
                continue
            number, at = divmod(position, self._block)
            stop = min(at + length - len(found), self._block)
            if row + 1 < len(self._starts):
                stop = min(stop, at + self._starts[row + 1] - position)
            found += self._missed(number)[at:stop]
        return bytes(found)

    def _missed(self, number: int) -> bytes:
        """Return a block that nobody foresaw: one of the latest, or fetched now."""
        block = self._blocks.pop(number, None)
        if block is None:
            self.misses += 1
            start = number * self._block
            block = self._source.read(start, min(self._block, self.size - start))
            if len(self._blocks) >= MISS_BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
        self._blocks[number] = block  # last in, last out
        return block

    def close(self) -> None:
        """Drop what is held and close the wrapped source."""
        self._starts, self._parts, self._held = [], [], Ranges.of([])
        self._blocks.clear()
        self._source.close()


def kept(source: ByteSource) -> ByteSource:
    """Return ``source`` if it is a BlockStore, or a counter around one; else a new BlockStore around it."""
    inner = source
    while isinstance(inner, Traced):
        inner = inner.source
    return source if isinstance(inner, BlockStore) else BlockStore(source)


class BlockFile(ReadOnlyFile):
    """A read-only file object over a source, which keeps what it has fetched."""

    def __init__(self, source: ByteSource) -> None:
        super().__init__(source.size)
        self._source = kept(source)

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the current position; return how many bytes there were before the end.

        Beyond the end it is filled with zeros: h5py does not look at the count, and HDF5's own drivers do that.
        """
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(self.size - self.position, 0))
        if wanted:
            view[:wanted] = self._source.read(self.position, wanted)
            self.position += wanted
        view[wanted:] = bytes(len(view) - wanted)
        return wanted
