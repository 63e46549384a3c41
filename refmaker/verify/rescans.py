"""Sources as a scan finds them now: their arrays, and whose chunk lies where."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.group import walk
from refmaker.model.reference_set import ReferenceSet
from refmaker.scanners.registry import scan
from refmaker.verify.findings import Check, Findings
from refmaker.verify.sources import Sources

__all__ = ["Rescans", "Scanned"]


@dataclass(frozen=True, slots=True, eq=False)
class Scanned:
    """A source as a scan finds it.

    Attributes:
        arrays: by path.
        groups: their attributes, by path.
        offset: of every chunk in the file itself, ascending.
        owner: number of the array, in the order of ``arrays``, that each of these chunks belongs to.
    """

    arrays: Mapping[str, VirtualArray]
    groups: Mapping[str, Mapping[str, JSON]]
    offset: npt.NDArray[Any]
    owner: npt.NDArray[np.int64]

    def owners(self, offsets: npt.NDArray[Any]) -> dict[str, int]:
        """Return the arrays that have chunks at some of these offsets, and at how many."""
        paths = list(self.arrays)
        found: dict[str, int] = {}
        left, right = (np.searchsorted(self.offset, offsets, side) for side in ("left", "right"))
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

    def get(self, number: int) -> Scanned | None:
        """Return a source scanned again; None, noted once, if it cannot be or did not answer before."""
        if number not in self._found:
            self._found[number] = self._scanned(number) if number in self._sources.sizes else None
        return self._found[number]

    def complete(self, numbers: Iterable[int]) -> bool:
        """Whether all of these have been scanned again."""
        return all(self._found.get(number) is not None for number in numbers)

    def _scanned(self, number: int) -> Scanned | None:
        url = self._sources.table[number].url
        try:
            return _columns(scan(url, on_unsupported="skip", storage_options=self._sources.storage_options))
        except RefmakerError as error:
            self._unchecked.add(Check.NATIVE, url, f"scanning it again: {error.message}")
            return None


def _columns(scanned: ReferenceSet) -> Scanned:
    nodes = dict(walk(scanned.root))
    arrays = {path: node for path, node in nodes.items() if isinstance(node, VirtualArray)}
    groups = {path: node.attributes for path, node in nodes.items() if not isinstance(node, VirtualArray)}
    offsets, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for number, array in enumerate(arrays.values()):
        for block in array.manifest.blocks():
            offsets.append(block.offset[block.location_id == 0].astype(np.uint64))
            owners.append(np.full(offsets[-1].size, number, np.int64))
    offset, owner = np.concatenate(offsets), np.concatenate(owners)
    order = np.argsort(offset, kind="stable")
    return Scanned(arrays, groups, offset[order], owner[order])
