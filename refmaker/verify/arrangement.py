"""How a document of several sources arranges them: which box of its array each source's array fills.

A source's array is one box of the document's array, so all its chunks are moved by the same distance, and along a
dimension all arrays of one group of a source are. What most chunks, and most arrays, say is taken for the
arrangement; chunks that say otherwise, and chunks of the source that the box lacks, are mismatches. Chunks of files
that a source links to are arranged with it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.combine.recut import Rows, recut
from refmaker.errors import RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import INLINE
from refmaker.model.keys import child_path, chunk_index, chunk_key, key_of, parent_path
from refmaker.verify.findings import Check, Findings
from refmaker.verify.rescans import Rescans, Scanned, chunk_keys

__all__ = ["Arrangement", "Part"]

Integers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Part:
    """What one source's array fills of an array.

    Attributes:
        source: number of the source.
        path: of the array in it.
        array: that array, as a scan finds it.
        start: its first element's place in the document's array, which may have more axes in front.
        linked: numbers of other sources, to which it links, that chunks of it lie in.
    """

    source: int
    path: str
    array: VirtualArray
    start: tuple[int, ...]
    linked: frozenset[int] = frozenset()

    def box(self, shape: tuple[int, ...]) -> tuple[slice, ...]:
        """Return what it fills of an array of this shape."""
        lengths = (1,) * (len(shape) - len(self.array.metadata.shape)) + self.array.metadata.shape
        spans = zip(self.start, lengths, shape, strict=True)
        return tuple(slice(min(max(s, 0), n), min(max(s + length, 0), n)) for s, length, n in spans)

    def window(self, box: tuple[slice, ...]) -> tuple[slice, ...]:
        """Return where a box of the document's array lies in the source's array."""
        more = len(box) - len(self.array.metadata.shape)
        spans = zip(box[more:], self.start[more:], strict=True)
        return tuple(slice(one.start - s, one.stop - s) for one, s in spans)


@dataclass(frozen=True, slots=True, eq=False)
class _Chunks:
    """Columns of an array's present chunks, ascending by position."""

    position: Integers
    source: Integers
    offset: Integers
    length: Integers

    @property
    def key(self) -> npt.NDArray[np.uint64]:
        """One number for where each lies."""
        return chunk_keys(self.source, self.offset)

    @classmethod
    def of(cls, array: VirtualArray) -> "_Chunks":
        names = ("position", "location_id", "offset", "length")
        blocks = list(array.manifest.blocks())
        empty = np.zeros(0, np.int64)
        return cls(*(np.concatenate([empty, *(getattr(b, n).astype(np.int64) for b in blocks)]) for n in names))

    def at(self, rows: npt.NDArray[Any]) -> "_Chunks":
        """Return some of them, by row or by flag."""
        return _Chunks(self.position[rows], self.source[rows], self.offset[rows], self.length[rows])


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """An array's chunks, and their rows in the order of sources."""

    chunks: _Chunks
    order: npt.NDArray[np.intp]
    source: Integers

    @classmethod
    def of(cls, array: VirtualArray) -> "_Table":
        chunks = _Chunks.of(array)
        order = np.argsort(chunks.source, kind="stable")
        return cls(chunks, order, chunks.source[order])

    def rows(self, number: int) -> npt.NDArray[np.intp]:
        """Return the rows of a source's chunks, ascending."""
        left, right = (int(np.searchsorted(self.source, number, side)) for side in ("left", "right"))
        return self.order[left:right]


class Arrangement:
    """The parts of every array of a document.

    Attributes:
        parts: by path.
    """

    def __init__(self, arrays: Mapping[str, VirtualArray], rescans: Rescans) -> None:
        self.parts: dict[str, list[Part]] = {path: [] for path in arrays}
        self._arrays = arrays
        self._rescans = rescans
        self._tables: dict[str, _Table] = {}
        self._at: dict[tuple[str, int], list[Part]] = {}
        self._by_source: dict[tuple[str, int], list[tuple[Part, tuple[slice, ...]]]] = {}
        self._repeated: dict[str, int] = {}

    def find(self, numbers: Iterable[int]) -> None:
        """Find which part of each array these sources give; a file that another links to gives none beside it."""
        for number in numbers:
            scanned = self._rescans.get(number)
            if scanned is not None:
                self._find(number, scanned)
        for path, parts in self.parts.items():
            linked = {number for part in parts for number in part.linked}
            self.parts[path] = [part for part in parts if part.source not in linked]
            shape = self._arrays[path].metadata.shape
            for part in self.parts[path]:
                self._at.setdefault((path, part.source), []).append(part)
                for number in {part.source, *part.linked}:
                    self._by_source.setdefault((path, number), []).append((part, part.box(shape)))

    def _table(self, path: str) -> "_Table":
        if path not in self._tables:
            self._tables[path] = _Table.of(self._arrays[path])
        return self._tables[path]

    def _find(self, number: int, scanned: Scanned) -> None:
        told: dict[tuple[str, str], dict[str, int]] = {}
        votes: dict[tuple[str, str, str], Counter[int]] = {}
        groups: dict[str, set[str]] = {}
        for path, array in self._arrays.items():
            table = self._table(path)
            rows = [table.rows(one) for one in scanned.numbers.tolist() if one >= 0]
            mine = table.chunks.at(np.sort(np.concatenate(rows)))
            for theirs in _candidates(
                path, scanned.owners(mine.key), scanned.owners(mine.at(mine.source == number).key), scanned
            ):
                groups.setdefault(parent_path(path), set()).add(parent_path(theirs))
                if _is_repeated(array, mine, scanned.arrays[theirs], scanned.numbers):
                    self._repeated.setdefault(path, number)
                start = _displacement(array, mine, scanned.arrays[theirs], scanned.numbers)
                told[path, theirs] = start or {}
                for name, at in told[path, theirs].items():
                    votes.setdefault((parent_path(path), parent_path(theirs), name), Counter())[at] += 1
        for path in self._arrays:
            for group in groups.get(parent_path(path), ()):
                theirs = child_path(group, path.rpartition("/")[2])
                if theirs in scanned.arrays:
                    told.setdefault((path, theirs), {})
        for (path, theirs), own in told.items():
            most = dict(own)
            for (group, their_group, name), counter in votes.items():
                if (group, their_group) == (parent_path(path), parent_path(theirs)):
                    most[name] = counter.most_common(1)[0][0]
            if path not in self._repeated:
                self._place(number, path, theirs, scanned, most)

    def _place(self, number: int, path: str, theirs: str, scanned: Scanned, most: Mapping[str, int]) -> None:
        """Add the part that lies where the most arrays and chunks say; without a word on an axis, at its start."""
        metadata, array = self._arrays[path].metadata, scanned.arrays[theirs]
        more = len(metadata.shape) - len(array.metadata.shape)
        start = []
        for axis, name in enumerate(metadata.dimension_names):
            whole = axis >= more and metadata.shape[axis] == array.metadata.shape[axis - more]
            start.append(most.get(name, 0 if whole else None))
        if more < 0 or None in start:
            return
        first = tuple(at for at in start if at is not None)
        self.parts[path].append(Part(number, theirs, array, first, scanned.linked(array)))

    # -- asking ----------------------------------------------------------------------------------------------------
    def parts_of(self, path: str, number: int) -> list[Part]:
        """Return the parts of an array that one source gives."""
        return self._at.get((path, number), [])

    def part_of(self, path: str, number: int, box: tuple[slice, ...]) -> Part | None:
        """Return the part of an array that a source gives where ``box`` lies, or None."""
        for part, outer in self._by_source.get((path, number), ()):
            if all(o.start <= i.start and i.stop <= o.stop for o, i in zip(outer, box, strict=True)):
                return part
        return None

    # -- checking --------------------------------------------------------------------------------------------------
    def check(
        self, path: str, urls: Mapping[int, str], mismatches: Findings, unchecked: Findings, *, complete: bool
    ) -> None:
        """Hold the chunks of an array against what its sources have where these belong.

        Those in files that sources link to are only if it is known of all sources (``complete``) what they link to.
        """
        if path in self._repeated:
            sentence = (
                f"{urls[self._repeated[path]]} stands in it several times, so its chunks' places are not compared"
            )
            unchecked.add(Check.ARRANGEMENT, path, sentence)
            return
        array, table = self._arrays[path], self._table(path)
        chunks = table.chunks
        expected: list[tuple[Part, _Chunks]] = []
        right = np.zeros(chunks.position.size, np.bool_)
        known = np.zeros_like(right)
        for part in self.parts[path]:
            rows = table.rows(part.source)
            if not rows.size and (part.array.metadata.shape == array.metadata.shape or _is_inlined(chunks)):
                continue
            cut = _cut_alike(part.array, array)
            there = None if cut is None else _moved(cut, part, array)
            if complete:
                rows = np.sort(np.concatenate([rows, *map(table.rows, part.linked)]))
            known[rows] = True
            if there is None:
                sentence = f"is cut otherwise than in {urls[part.source]}, so its chunks' places are not compared"
                unchecked.add(Check.ARRANGEMENT, path, sentence)
                right[rows] = True
                continue
            scanned = self._rescans.get(part.source)
            if scanned is not None:
                there = replace(there, source=_numbered(there.source, scanned.numbers))
            expected.append((part, there))
            right[rows] |= _same(chunks.at(rows), there)
        for row in np.flatnonzero(known & ~right).tolist():
            span = f"[{chunks.offset[row]}, {chunks.offset[row] + chunks.length[row]})"
            sentence = f"bytes {span} of {urls[int(chunks.source[row])]} do not belong there, as its other chunks lie"
            mismatches.add(Check.ARRANGEMENT, self._name(path, int(chunks.position[row])), sentence, of=path)
        for part, there in expected:
            for position in _without(there.position, chunks.position).tolist():
                if not self._elsewhere(path, part, position):
                    sentence = f"is missing, and {urls[part.source]} has it"
                    mismatches.add(Check.ARRANGEMENT, self._name(path, position), sentence, of=path)

    def _elsewhere(self, path: str, part: Part, position: int) -> bool:
        """Whether a chunk may be some other source's, where sources overlap."""
        metadata = self._arrays[path].metadata
        index = chunk_index(position, self._arrays[path].manifest.grid_shape)
        first = [i * c for i, c in zip(index, metadata.chunk_shape, strict=True)]
        others = (one.box(metadata.shape) for one in self.parts[path] if one is not part)
        return any(all(s.start <= at < s.stop for s, at in zip(box, first, strict=True)) for box in others)

    def _name(self, path: str, position: int) -> str:
        return key_of(path, chunk_key(chunk_index(position, self._arrays[path].manifest.grid_shape)))


def _is_inlined(chunks: _Chunks) -> bool:
    return bool(chunks.source.size) and bool((chunks.source == INLINE).all())


def _candidates(path: str, owners: Mapping[str, int], own: Mapping[str, int], scanned: Scanned) -> list[str]:
    """Return the source's arrays that an array's chunks are of: those of its name, else the one with most of them.

    Of another name it is only by chunks in the file itself (``own``): files that it links to may be sources too.
    """
    name = path.rpartition("/")[2]
    named = {child_path(parent_path(owner), name) for owner in owners}
    return sorted(named & scanned.arrays.keys()) or sorted(own, key=lambda one: -own[one])[:1]


def _keys(theirs: _Chunks, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return the keys of a source's chunks, as the references number its sources."""
    return chunk_keys(numbers[theirs.source], theirs.offset)


def _is_repeated(array: VirtualArray, mine: _Chunks, theirs: VirtualArray, numbers: npt.NDArray[np.int64]) -> bool:
    """Whether a source stands in an array more than once along new axes."""
    if len(array.metadata.shape) <= len(theirs.metadata.shape):
        return False
    cut = _cut_alike(theirs, array)
    if cut is None:
        return False
    found = _Chunks.of(cut)
    found = found.at(found.source < INLINE)
    times = int(np.isin(_keys(found, numbers), mine.key).sum())
    return 0 < 2 * times <= mine.key.size


def _displacement(
    array: VirtualArray, mine: _Chunks, theirs: VirtualArray, numbers: npt.NDArray[np.int64]
) -> dict[str, int] | None:
    """Return, by dimension, by how many elements most chunks are moved; None: no chunk of ``theirs`` is there."""
    metadata = array.metadata
    cut = _cut_alike(theirs, array)
    if cut is None or not metadata.shape or len(set(metadata.dimension_names)) != len(metadata.shape):
        return None
    found = _Chunks.of(cut)
    found = found.at(found.source < INLINE)
    keys = _keys(found, numbers)
    order = np.argsort(keys, kind="stable")
    left, right = (np.searchsorted(keys[order], mine.key, side) for side in ("left", "right"))
    once = right - left == 1
    if not once.any():
        once = np.zeros_like(once)
        once[np.flatnonzero(right > left)[:1]] = True  # tiles that are stored once: the first is the first
    if not once.any():
        return None
    ours = np.stack(_indexes(mine.position[once], array))
    more = len(metadata.shape) - len(theirs.metadata.shape)
    place = np.stack([*np.zeros((more, ours.shape[1]), np.int64), *_indexes(found.position[order][left[once]], cut)])
    moves, counts = np.unique(ours - place, axis=1, return_counts=True)
    likely = counts * 2 + (moves >= 0).all(axis=0)  # of two as frequent the one that leaves none outside
    most = moves[:, int(np.argmax(likely))].tolist()
    spans = zip(metadata.dimension_names, most, metadata.chunk_shape, strict=True)
    return {name: move * length for name, move, length in spans}


def _indexes(position: Integers, array: VirtualArray) -> list[npt.NDArray[np.int64]]:
    grid = array.manifest.grid_shape
    return [one.astype(np.int64) for one in np.unravel_index(position.astype(np.int64), grid or (1,))][: len(grid)]


def _cut_alike(theirs: VirtualArray, ours: VirtualArray) -> VirtualArray | None:
    """Return a source's array as the document cuts it into chunks, or None if that cannot be."""
    metadata = theirs.metadata
    more = len(ours.metadata.shape) - len(metadata.shape)
    wanted = ours.metadata.chunk_shape[more:] if more >= 0 else ()
    if more < 0 or any(length != 1 for length in ours.metadata.chunk_shape[:more]):
        return None
    spans = enumerate(zip(metadata.shape, metadata.chunk_shape, wanted, strict=True))
    odd = [axis for axis, (length, chunk, want) in spans if chunk != want and length > min(chunk, want)]
    if not odd:
        return theirs
    if len(odd) > 1 or ours.metadata.codecs:
        return None
    try:
        manifest = recut(Rows(theirs, odd[0], 0, metadata.shape[odd[0]]), wanted[odd[0]])
    except RefmakerError:
        return None
    chunk_shape = tuple(wanted[axis] if axis == odd[0] else n for axis, n in enumerate(metadata.chunk_shape))
    return VirtualArray(replace(metadata, chunk_shape=chunk_shape, codecs=()), manifest)


def _moved(theirs: VirtualArray, part: Part, ours: VirtualArray) -> _Chunks | None:
    """Return a source's chunks at their positions in the document's array, or None if they fall between its chunks."""
    metadata, grid = ours.metadata, ours.manifest.grid_shape
    shifts = []
    for at, length in zip(part.start, metadata.chunk_shape, strict=True):
        shift, rest = divmod(at, length)
        if rest:
            return None
        shifts.append(shift)
    found = _Chunks.of(theirs)
    more = len(grid) - len(theirs.manifest.grid_shape)
    indexes = [*np.zeros((more, found.position.size), np.int64), *_indexes(found.position, theirs)]
    indexes = [index + shift for index, shift in zip(indexes, shifts, strict=True)]
    inside = np.ones(found.position.size, np.bool_)
    for index, count in zip(indexes, grid, strict=True):
        inside &= (index >= 0) & (index < count)
    strides = [math.prod(grid[axis + 1 :]) for axis in range(len(grid))]
    position = sum(
        (index * stride for index, stride in zip(indexes, strides, strict=True)), np.zeros_like(found.offset)
    )
    return replace(found, position=position).at(inside)


def _numbered(source: Integers, numbers: npt.NDArray[np.int64]) -> Integers:
    """Return the numbers that the references give a source's sources; -1: none, or chunks in no file."""
    found: Integers = np.where(source < INLINE, numbers[np.minimum(source, numbers.size - 1)], -1)
    return found


def _same(chunks: _Chunks, there: _Chunks) -> npt.NDArray[np.bool_]:
    """Return which chunks of a source are its own at their positions."""
    if not there.position.size:
        return np.zeros(chunks.position.size, np.bool_)
    rows = np.minimum(np.searchsorted(there.position, chunks.position), there.position.size - 1)
    here = there.position[rows] == chunks.position
    alike = (there.offset[rows] == chunks.offset) & (there.length[rows] == chunks.length)
    alike &= there.source[rows] == chunks.source
    return np.asarray(here & (alike | (there.source[rows] < 0)), np.bool_)


def _without(positions: Integers, present: Integers) -> Integers:
    """Return the positions that are not present; ``present`` ascends."""
    if not present.size:
        return positions
    rows = np.minimum(np.searchsorted(present, positions), present.size - 1)
    found: Integers = positions[present[rows] != positions]
    return found
