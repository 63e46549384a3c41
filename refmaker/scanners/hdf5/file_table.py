"""The files one scan touches: the file itself, and those its links, external storage and virtual datasets name."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from refmaker.errors import SourceError, UnsupportedError
from refmaker.model.reference_set import SourceFile
from refmaker.scanners.hdf5.hdf5_file import Hdf5File, open_hdf5
from refmaker.scanners.registry import source_file
from refmaker.source.blocks import kept
from refmaker.source.location import OpenedFile, open_file

__all__ = ["FileTable"]


class FileTable:
    """Opens each file once, by whatever name, and gives it its row in the table of sources.

    Attributes:
        sources: the rows, as the ReferenceSet will have them.
    """

    def __init__(self, main: OpenedFile, storage_options: Mapping[str, Any] | None) -> None:
        self.sources: list[SourceFile] = []
        self._storage_options = storage_options
        self._opened: dict[str, tuple[int, OpenedFile]] = {}
        self._hdf5: dict[int, Hdf5File] = {}
        self._linked: list[OpenedFile] = []
        self.main = self._as_hdf5(main)

    def linked_hdf5(self, base: Hdf5File, name: str) -> Hdf5File:
        """Return the HDF5 file that ``base`` calls ``name``.

        Raises:
            SourceError: there is none.
            BrokenFileError: it is not HDF5.
        """
        return self._as_hdf5(self._find(base, name))

    def linked_raw(self, base: Hdf5File, name: str) -> tuple[int, OpenedFile]:
        """Return (row in the table of sources, opened file) of the raw file that ``base`` calls ``name``.

        Raises:
            SourceError: there is none.
        """
        if base.opened.path is not None and not Path(name).is_absolute():
            here, beside = Path.cwd() / name, Path(base.opened.path).parent / name
            if here.exists() and beside.exists() and not here.samefile(beside):
                raise UnsupportedError(
                    f"{name!r} is in the working directory, where HDF5 looks, and beside the file: which is meant?",
                    code="external-storage",
                )
        return self._row(self._find(base, name), "raw")

    def close(self) -> None:
        """Close everything but the main file's source, which belongs to the caller."""
        for file in self._hdf5.values():
            file.close()
        for opened in self._linked:
            opened.source.close()

    def _as_hdf5(self, opened: OpenedFile) -> Hdf5File:
        number, first = self._row(opened, "hdf5")
        if number not in self._hdf5:
            self._hdf5[number] = open_hdf5(first, number)
        return self._hdf5[number]

    def _row(self, opened: OpenedFile, scanner: str) -> tuple[int, OpenedFile]:
        same = opened.url if opened.path is None else os.path.realpath(opened.path)
        if same not in self._opened:
            self._opened[same] = len(self.sources), opened
            self.sources.append(source_file(opened, scanner))
        return self._opened[same]

    def _find(self, base: Hdf5File, name: str) -> OpenedFile:
        """Open a file by the rules of HDF5: as named, beside the naming file, or that file's own name there."""
        candidates = _candidates(base.opened, name)
        problem = SourceError(f"a linked file is named {name!r}, which names nothing", location=base.opened.url)
        for candidate in candidates:
            known = self._opened.get(candidate if base.opened.path is None else os.path.realpath(candidate))
            if known:
                return known[1]
            try:
                opened = open_file(candidate, self._storage_options)
            except SourceError as error:
                problem = SourceError(f"linked file {name!r} {error.message}", location=error.location)
                continue
            if opened.path is None:
                opened = replace(opened, source=kept(opened.source))
            self._linked.append(opened)
            return opened
        raise problem


def _candidates(base: OpenedFile, name: str) -> list[str]:
    """Return where a linked file may be; a remote file never links to a local one."""
    if not name:
        return []
    pure = PurePosixPath(name.replace("\\", "/"))
    if base.path is not None:
        folder = Path(base.path).parent
        beside = [str(folder / pure), str(folder / pure.name)]
        return [str(pure), *beside[1:]] if pure.is_absolute() else [*beside[:1], str(Path.cwd() / pure)]
    folder_url = base.url.rpartition("/")[0]
    relative = pure.name if pure.is_absolute() else str(pure)
    return [] if ".." in pure.parts else [f"{folder_url}/{relative}"]
