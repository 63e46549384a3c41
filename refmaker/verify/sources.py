"""Sources as they are now: there, unchanged, and how large."""

from collections.abc import Mapping, Sequence
from typing import Any

from refmaker.errors import RefmakerError
from refmaker.model.reference_set import SourceFile
from refmaker.serve.allowed import AllowedLocations
from refmaker.serve.identity import LOCAL_SLACK, REMOTE_SLACK, Found, difference
from refmaker.source.location import OpenedFile, open_file
from refmaker.verify.findings import Check, Findings

__all__ = ["Sources"]


class Sources:
    """The sources of one set of references, opened as they are asked for, where references may point at all.

    Attributes:
        table: the source table.
        sizes: bytes of each source that answered, by its number.
    """

    def __init__(
        self,
        table: Sequence[SourceFile],
        allowed: AllowedLocations,
        storage_options: Mapping[str, Any] | None,
    ) -> None:
        self.table = table
        self.sizes: dict[int, int] = {}
        self.storage_options = storage_options
        self._allowed = allowed

    def open(self, number: int) -> OpenedFile:
        """Open a source; the caller closes it.

        Raises:
            SourceError: it may not be read, or does not answer.
        """
        source = self.table[number]
        self._allowed.check(source.url, recorded=source.scanner is not None)
        return open_file(source.url, self.storage_options)

    def check(self, number: int, mismatches: Findings) -> None:
        """See whether a source is there and is the file that was scanned."""
        source = self.table[number]
        try:
            opened = self.open(number)
        except RefmakerError as error:
            mismatches.add(Check.SOURCE, source.url, error.message)
            return
        try:
            self.sizes[number] = opened.source.size
            found = Found(opened.source.size, opened.etag, opened.last_modified)
        finally:
            opened.source.close()
        changed = difference(source, found, LOCAL_SLACK if opened.path is not None else REMOTE_SLACK)
        if changed is not None:
            mismatches.add(Check.STALE, source.url, f"{changed}: scan it again")
