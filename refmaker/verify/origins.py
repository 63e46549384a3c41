"""Sources open in their native libraries, and which group of one file is the references' root."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy.typing as npt

from refmaker.errors import RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.scanners.registry import detect
from refmaker.verify.findings import Check, Findings
from refmaker.verify.native import NativeError, NativeFile, native_library, open_native
from refmaker.verify.sources import Sources

__all__ = ["COMPUTED", "Natives", "file_path"]

COMPUTED = "refmaker computes it, and its files do not hold it"
"""Why a coordinate of images is not compared."""
MOST_READ = 1 << 12
"""Elements of an array that is read before it is asked for."""
MOST_OPEN = 16
"""Files that are kept open in their libraries."""


class Natives:
    """Sources opened in their native libraries, the latest ones kept.

    Attributes:
        wanted: arrays, and their shapes, of each source that are read when it is opened, as they will be asked for.
    """

    def __init__(self, sources: Sources, mismatches: Findings, unchecked: Findings) -> None:
        self._sources = sources
        self._mismatches = mismatches
        self._unchecked = unchecked
        self._open: dict[int, tuple[NativeFile, object]] = {}
        self._failed: set[int] = set()
        self.wanted: dict[int, list[tuple[str, tuple[int, ...]]]] = {}
        self._read: dict[tuple[int, str], npt.NDArray[Any]] = {}

    def close(self) -> None:
        """Close all files."""
        for native, opened in self._open.values():
            native.close()
            opened.source.close()  # type: ignore[attr-defined]
        self._open.clear()

    def read(self, number: int, path: str, window: tuple[slice, ...]) -> npt.NDArray[Any] | None:
        """Return values of a source's array, or None if the source cannot be opened, as is noted.

        Raises:
            NativeError: its library does not read them, or refmaker computes them (``COMPUTED``).
        """
        where: Any = (*window, ...)
        if (number, path) in self._read:
            known: npt.NDArray[Any] = self._read[number, path][where]
            return known
        native = self.get(number)
        if native is not None and native.is_computed(path):
            raise NativeError(COMPUTED)
        return None if native is None else native.read(path, window)

    def _read_wanted(self, number: int, native: NativeFile) -> None:
        for path, shape in self.wanted.pop(number, ()):
            if math.prod(shape) <= MOST_READ and not native.is_computed(path):
                with suppress(NativeError):  # said when it is asked for
                    self._read[number, path] = native.read(path, tuple(slice(0, length) for length in shape))

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
        self._read_wanted(number, native)
        return native


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
