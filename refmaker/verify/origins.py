"""Sources open in their native libraries, and which group of one file is the references' root."""

from collections.abc import Mapping

from refmaker.errors import RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.scanners.registry import detect
from refmaker.verify.findings import Check, Findings
from refmaker.verify.native import NativeError, NativeFile, native_library, open_native
from refmaker.verify.sources import Sources

__all__ = ["Natives", "file_path"]

MOST_OPEN = 16
"""Files that are kept open in their libraries."""


class Natives:
    """Sources opened in their native libraries, the latest ones kept."""

    def __init__(self, sources: Sources, mismatches: Findings, unchecked: Findings) -> None:
        self._sources = sources
        self._mismatches = mismatches
        self._unchecked = unchecked
        self._open: dict[int, tuple[NativeFile, object]] = {}
        self._failed: set[int] = set()

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
