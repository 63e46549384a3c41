"""The table of source files while references are read: URLs to location ids."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import BrokenReferencesError, UnsupportedError
from refmaker.model.reference_set import SourceFile
from refmaker.source.location import open_file

__all__ = ["OptionsFor", "SourceTable", "by_protocol"]

OptionsFor = Callable[[str], Mapping[str, Any]]
"""Options of the filesystem that a URL is on."""


@dataclass(frozen=True, slots=True)
class _ByProtocol:
    """Filesystem options by protocol, as a function that can be pickled."""

    options: Mapping[str, Mapping[str, Any]]

    def __call__(self, url: str) -> Mapping[str, Any]:
        protocol = re.split("://|::", url, maxsplit=1)[0]
        return {**self.options.get("", {}), **self.options.get(protocol, {})}


def by_protocol(options: Mapping[str, Mapping[str, Any]]) -> OptionsFor:
    """Return filesystem options for URLs from options by protocol; those under ``""`` are for every protocol."""
    return _ByProtocol(options)


UNKNOWN_SIZE = np.iinfo(np.uint64).max
"""Stands for the size of a file that nobody recorded: no range reaches past it."""


class SourceTable:
    """Files by URL; new URLs get the next id.

    Attributes:
        files: the table so far.
    """

    def __init__(
        self, files: Iterable[SourceFile], resolve: Callable[[str], str], options_for: OptionsFor | None
    ) -> None:
        self.files: list[SourceFile] = []
        self._ids: dict[str, int] = {}
        self._sizes = np.empty(0, np.uint64)
        self._resolve = resolve
        self._options_for = options_for or (lambda _: {})
        for file in files:
            full = resolve(file.url)
            self._ids.setdefault(full, len(self.files))
            self._ids.setdefault(file.url, len(self.files))
            self.files.append(file if full == file.url else replace(file, url=full))

    def ids(self, urls: Sequence[str]) -> int | npt.NDArray[np.uint32]:
        """Return the location ids of URLs as they are written in the document; one number if all are the same.

        Raises:
            BrokenReferencesError: a URL names an unknown template, or can be no file's.
        """
        distinct = dict.fromkeys(urls)
        for url in distinct:
            self.id(url)
        if len(distinct) == 1:
            return self._ids[urls[0]]
        return np.fromiter(map(self._ids.__getitem__, urls), np.uint32, len(urls))

    def id(self, url: str) -> int:
        """Return the location id of a URL as it is written in the document; see ``ids``."""
        found = self._ids.get(url)
        if found is None:
            full = self._resolve(url)
            if full not in self._ids:
                try:
                    self.files.append(SourceFile(full))
                except UnsupportedError as error:
                    raise BrokenReferencesError(f"{error}") from error
                self._ids[full] = len(self.files) - 1
            found = self._ids[url] = self._ids[full]
        return found

    def size(self, location_id: int) -> int:
        """Return a file's size: as recorded, else as its store tells now.

        Raises:
            SourceError: the store does not tell.
        """
        file = self.files[location_id]
        if file.size is None:
            opened = open_file(file.url, self._options_for(file.url))
            file = self.files[location_id] = replace(
                file, size=opened.source.size, etag=opened.etag, last_modified=opened.last_modified
            )
            opened.source.close()
            self.sizes()[location_id] = opened.source.size
        return file.size or 0

    def sizes(self) -> npt.NDArray[np.uint64]:
        """Return the recorded size of every file, ``UNKNOWN_SIZE`` where none is."""
        new = [UNKNOWN_SIZE if file.size is None else file.size for file in self.files[self._sizes.size :]]
        if new:
            self._sizes = np.concatenate([self._sizes, np.array(new, np.uint64)])
        return self._sizes
