"""The files one scan touches: the file itself, and those its links, external storage and virtual datasets name."""

import os
from collections.abc import Mapping
from typing import Any

from refmaker.errors import RefmakerError, SourceError, UnsupportedError
from refmaker.model.reference_set import SourceFile
from refmaker.scanners.hdf5.hdf5_file import Hdf5File, open_hdf5
from refmaker.scanners.hdf5.search_order import places, raw_places
from refmaker.scanners.registry import source_file
from refmaker.source.blocks import BlockStore
from refmaker.source.location import OpenedFile, local_path, open_file
from refmaker.source.policy import Transfer
from refmaker.source.remote import Connections, RemoteSource, reader_for
from refmaker.source.retries import is_absent

__all__ = ["AbsentFileError", "FileTable"]


class AbsentFileError(SourceError):
    """There is no file of that name: nobody and nothing keeps us from reading it."""


class FileTable:
    """Opens each file once, by whatever name, and gives it its row in the table of sources.

    Attributes:
        sources: the rows, as the ReferenceSet will have them.
    """

    def __init__(self, main: OpenedFile, storage_options: Mapping[str, Any] | None) -> None:
        self.sources: list[SourceFile] = []
        self._storage_options = storage_options
        self._connections: Connections | None = None
        self._opened: dict[str, tuple[int, OpenedFile]] = {}
        self._hdf5: dict[int, Hdf5File] = {}
        self._linked: dict[str, OpenedFile] = {}
        self._failed: dict[str, SourceError] = {}
        self._broken: dict[str, RefmakerError] = {}
        self.main = self._as_hdf5(main)

    def linked_hdf5(self, base: Hdf5File, name: str, variable: str) -> Hdf5File:
        """Return the HDF5 file that ``base`` calls ``name``: the first that the system opens.

        Args:
            base: the naming file.
            name: as it spells it.
            variable: what names it, as ``search_order.places`` wants to know.

        Raises:
            AbsentFileError: there is none.
            SourceError: there is one, and it cannot be read.
            BrokenFileError, UnsupportedError: it is not HDF5, or cannot be read as such.
        """
        problem = _absent(base, name)
        for place in places(base.opened, name, variable):
            try:
                opened = self._open(place)
            except AbsentFileError:
                continue
            except SourceError as error:
                problem = error if isinstance(problem, AbsentFileError) else problem
                continue
            return self._as_hdf5(opened)
        raise problem

    def linked_raw(self, base: Hdf5File, name: str) -> tuple[int, OpenedFile]:
        """Return (row in the table of sources, opened file) of the raw file that ``base`` calls ``name``.

        Raises:
            AbsentFileError: there is none.
            SourceError: there is one, and it cannot be read.
            UnsupportedError: there are several that might be meant.
        """
        found: dict[str, OpenedFile] = {}
        for place in raw_places(base.opened, name):
            try:
                opened = self._open(place)
            except AbsentFileError:
                continue
            except SourceError as error:
                raise SourceError(f"linked file {name!r}: {error.message}", location=error.location) from error
            found[_identity(opened)] = opened
        if not found:
            raise _absent(base, name)
        if len(found) > 1:
            raise UnsupportedError(
                f"{name!r} is in the working directory, where HDF5 looks, and beside the file: which is meant?",
                code="external-storage",
            )
        return self._row(next(iter(found.values())), "raw")

    def close(self) -> None:
        """Close everything but the main file's source, which belongs to the caller."""
        for file in self._hdf5.values():
            file.close()
        for opened in self._linked.values():
            opened.source.close()

    def _as_hdf5(self, opened: OpenedFile) -> Hdf5File:
        same = _identity(opened)
        if same in self._broken:
            raise self._broken[same].with_traceback(None)
        number, first = self._opened.get(same, (len(self.sources), opened))
        if number not in self._hdf5:
            try:
                self._hdf5[number] = open_hdf5(first, number)
            except RefmakerError as error:
                self._broken[same] = error
                raise
            self._row(first, "hdf5")
        return self._hdf5[number]

    def _row(self, opened: OpenedFile, scanner: str) -> tuple[int, OpenedFile]:
        same = _identity(opened)
        if same not in self._opened:
            self._opened[same] = len(self.sources), opened
            self.sources.append(source_file(opened, scanner))
        return self._opened[same]

    def _open(self, place: str) -> OpenedFile:
        """Return the file at a place, opened now or before.

        Raises:
            AbsentFileError: there is none.
            SourceError: it cannot be read.
        """
        path = local_path(place)
        same = place if path is None else os.path.realpath(path)
        if same in self._opened:
            return self._opened[same][1]
        if same in self._failed:
            raise self._failed[same].with_traceback(None)
        if same not in self._linked:
            try:
                self._linked[same] = open_file(place) if path is not None else self._open_remote(place)
            except SourceError as error:
                kind = AbsentFileError if is_absent(error) else SourceError
                self._failed[same] = kind(error.message, location=error.location)
                raise self._failed[same] from error
        return self._linked[same]

    def _open_remote(self, url: str) -> OpenedFile:
        """Open a file in a store, with retries and what else the main file has."""
        self._connections = self._connections or Connections(Transfer())
        reader = reader_for(url, self._storage_options)
        source = self._connections.wait(RemoteSource.open(self._connections, url, reader))
        store = BlockStore(source)
        store.put([(0, source.head)])
        return OpenedFile(url, store, etag=source.known.etag, last_modified=source.known.last_modified)


def _identity(opened: OpenedFile) -> str:
    """Return what a file has in common with itself under other names."""
    return opened.url if opened.path is None else os.path.realpath(opened.path)


def _absent(base: Hdf5File, name: str) -> SourceError:
    return AbsentFileError(f"there is no linked file {name!r}", location=base.opened.url)
