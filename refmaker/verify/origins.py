"""Which array of which source file an array of the references is: by its path, else by where its chunks lie.

References of one file have the file's paths. In references of several files an array may come from any, and a chunk's
place in the file is found by scanning that file again and looking for the chunk's range.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from refmaker.errors import RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import INLINE, ChunkRef
from refmaker.model.group import walk_arrays
from refmaker.model.keys import chunk_index
from refmaker.model.reference_set import ReferenceSet
from refmaker.scanners.registry import detect, scan
from refmaker.verify.findings import Check, Findings
from refmaker.verify.native import NativeError, NativeFile, native_library, open_native
from refmaker.verify.sources import Sources

__all__ = ["Natives", "Place"]

MOST_OPEN = 16
"""Files that are kept open in their libraries."""


@dataclass(frozen=True, slots=True)
class Place:
    """A chunk's place in a source: the window of an array there."""

    path: str
    window: tuple[slice, ...]


class Natives:
    """Sources opened in their native libraries, the latest ones kept."""

    def __init__(self, sources: Sources, mismatches: Findings, unchecked: Findings) -> None:
        self._sources = sources
        self._mismatches = mismatches
        self._unchecked = unchecked
        self._open: dict[int, tuple[NativeFile, object]] = {}
        self._failed: set[int] = set()
        self._scans: dict[int, dict[tuple[int, int], Place]] = {}

    def close(self) -> None:
        """Close all files."""
        for native, opened in self._open.values():
            native.close()
            opened.source.close()  # type: ignore[attr-defined]
        self._open.clear()

    def get(self, number: int) -> NativeFile | None:
        """Return a source open in its library, or None, noted once, if it cannot be."""
        if number in self._failed:
            return None
        if number in self._open:
            found = self._open[number] = self._open.pop(number)
            return found[0]
        source = self._sources.table[number]
        try:
            opened = self._sources.open(number)
        except RefmakerError:
            self._failed.add(number)  # said when sources were checked
            return None
        try:
            scanner = source.scanner or detect(opened).name
            if not native_library(scanner):
                raise NativeError(f"there is no native library to compare {scanner!r} files with")
            native = open_native(opened, scanner)
        except RefmakerError as error:
            opened.source.close()
            self._failed.add(number)
            broken = isinstance(error, NativeError) and "cannot open it" in error.message
            (self._mismatches if broken else self._unchecked).add(Check.NATIVE, source.url, error.message)
            return None
        if len(self._open) >= MOST_OPEN:
            oldest, kept = self._open.pop(next(iter(self._open)))
            oldest.close()
            kept.source.close()  # type: ignore[attr-defined]
        self._open[number] = native, opened
        return native

    def place(self, chunk: ChunkRef) -> Place | None:
        """Return the place in its source of the chunk that lies there, or None if a scan finds none in that range."""
        number = chunk.location_id
        if number not in self._scans:
            if len(self._scans) >= MOST_OPEN:
                del self._scans[next(iter(self._scans))]
            self._scans[number] = self._places(number)
        return self._scans[number].get((chunk.offset, chunk.length))

    def _places(self, number: int) -> dict[tuple[int, int], Place]:
        url = self._sources.table[number].url
        try:
            scanned = scan(url, on_unsupported="skip", storage_options=self._sources.storage_options)
        except RefmakerError as error:
            self._unchecked.add(Check.NATIVE, url, f"scanning it again: {error.message}")
            return {}
        return _places(scanned)


def _places(scanned: ReferenceSet) -> dict[tuple[int, int], Place]:
    """Return (offset, length) -> place of every chunk in the scanned file itself."""
    found: dict[tuple[int, int], Place] = {}
    for path, array in walk_arrays(scanned.root):
        metadata, grid = array.metadata, array.manifest.grid_shape
        for block in array.manifest.blocks():
            rows = np.flatnonzero((block.location_id != INLINE) & (block.location_id == 0))
            for row in rows.tolist():
                index = chunk_index(int(block.position[row]), grid)
                spans = zip(index, metadata.chunk_shape, metadata.shape, strict=True)
                window = tuple(slice(i * c, min(i * c + c, n)) for i, c, n in spans)
                found.setdefault((int(block.offset[row]), int(block.length[row])), Place(path, window))
    return found


def file_path(native: NativeFile, arrays: Mapping[str, VirtualArray], groups: list[str]) -> str:
    """Return the group of the file that is the references' root: usually ``""``."""
    for prefix in ("", *groups):
        joined = (f"{prefix}/{path}" if prefix else path for path in arrays)
        if all(native.is_computed(path) or _finds(native, path, arrays) for path in joined):
            return prefix
    return ""


def _finds(native: NativeFile, path: str, arrays: Mapping[str, VirtualArray]) -> bool:
    any_array = next(iter(arrays.values()))
    try:
        return native.find(path, any_array) is not None
    except NativeError:
        return True
