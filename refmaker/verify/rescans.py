"""Sources as a scan finds them now: their arrays, whose chunk lies where, and which files they link to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.chunks import INLINE
from refmaker.model.group import walk
from refmaker.model.reference_set import ReferenceSet
from refmaker.scanners.registry import scan
from refmaker.source.location import absolute_url
from refmaker.verify.findings import Check, Findings
from refmaker.verify.sources import Sources

__all__ = ["RAW", "Rescans", "Scanned", "chunk_keys", "keys_of"]

RAW = "raw"
"""The scanner of files without a structure of their own, which others link to."""
SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""Odd and large: numbers of sources times this, and offsets, do not meet."""


@dataclass(frozen=True, slots=True, eq=False)
class Scanned:
    """A source as a scan finds it.

    Attributes:
        arrays: by path.
        groups: their attributes, by path.
        scanner: name of the scanner that reads it.
        numbers: what the references number its sources, the file itself first; -1: they do not list it.
        key: of every chunk that lies in a file, ascending; see ``chunk_keys``.
        owner: number of the array, in the order of ``arrays``, that each of these chunks belongs to.
    """

    arrays: Mapping[str, VirtualArray]
    groups: Mapping[str, Mapping[str, JSON]]
    scanner: str | None
    numbers: npt.NDArray[np.int64]
    key: npt.NDArray[np.uint64]
    owner: npt.NDArray[np.int64]

    def linked(self, array: VirtualArray) -> frozenset[int]:
        """Return the numbers of other sources that chunks of one of its arrays lie in."""
        return frozenset(self.numbers[array.manifest.location_ids()].tolist()) - {int(self.numbers[0]), -1}

    def owners(self, keys: npt.NDArray[np.uint64]) -> dict[str, int]:
        """Return the arrays that have some of these chunks, and how many."""
        paths = list(self.arrays)
        found: dict[str, int] = {}
        left, right = (np.searchsorted(self.key, keys, side) for side in ("left", "right"))
        for behind in range(int((right - left).max(initial=0))):  # as many as arrays share a chunk, at most a few
            rows = left + behind
            numbers, counts = np.unique(self.owner[rows[rows < right]], return_counts=True)
            for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
                found[paths[number]] = found.get(paths[number], 0) + count
            if behind >= MOST_SHARING:
                break
        return found


MOST_SHARING = 8
"""Chunks at one offset that are looked at: tiles that are stored once may be very many."""


class Rescans:
    """Sources scanned again as they are asked for, each once."""

    def __init__(self, sources: Sources, unchecked: Findings) -> None:
        self._sources = sources
        self._unchecked = unchecked
        self._found: dict[int, Scanned | None] = {}
        self._numbers = {absolute_url(one.url): number for number, one in enumerate(sources.table)}

    def get(self, number: int) -> Scanned | None:
        """Return a source scanned again; None, noted once, if it cannot be or did not answer before, or is raw."""
        if number not in self._found:
            known = number in self._sources.sizes and self._sources.table[number].scanner != RAW
            self._found[number] = self._scanned(number) if known else None
        return self._found[number]

    def complete(self, numbers: Iterable[int]) -> bool:
        """Whether all of these that can be have been scanned again."""
        table = self._sources.table
        return all(self._found.get(number) is not None or table[number].scanner == RAW for number in numbers)

    def _scanned(self, number: int) -> Scanned | None:
        url = self._sources.table[number].url
        try:
            found = scan(url, on_unsupported="skip", storage_options=self._sources.storage_options)
            others = [self._numbers.get(absolute_url(one.url), -1) for one in found.sources[1:]]
            return _columns(found, np.array([number, *others], np.int64))
        except RefmakerError as error:
            self._unchecked.add(Check.NATIVE, url, f"scanning it again: {error.message}")
            return None


def chunk_keys(source: npt.NDArray[Any], offset: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Return one number for each chunk's source and offset."""
    return source.astype(np.uint64) * SPREAD + offset.astype(np.uint64)


def keys_of(array: VirtualArray) -> npt.NDArray[np.uint64]:
    """Return the keys of an array's chunks that lie in files."""
    found = [np.zeros(0, np.uint64)]
    for block in array.manifest.blocks():
        rows = block.location_id < INLINE
        found.append(chunk_keys(block.location_id[rows], block.offset[rows]))
    return np.concatenate(found)


def _columns(scanned: ReferenceSet, numbers: npt.NDArray[np.int64]) -> Scanned:
    nodes = dict(walk(scanned.root))
    arrays = {path: node for path, node in nodes.items() if isinstance(node, VirtualArray)}
    groups = {path: node.attributes for path, node in nodes.items() if not isinstance(node, VirtualArray)}
    keys, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for number, array in enumerate(arrays.values()):
        for block in array.manifest.blocks():
            rows = block.location_id < INLINE
            keys.append(chunk_keys(numbers[block.location_id[rows]], block.offset[rows]))
            owners.append(np.full(keys[-1].size, number, np.int64))
    key, owner = np.concatenate(keys), np.concatenate(owners)
    order = np.argsort(key, kind="stable")
    scanner = scanned.sources[0].scanner if scanned.sources else None
    return Scanned(arrays, groups, scanner, numbers, key[order], owner[order])
