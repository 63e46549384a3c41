"""The file as tifffile sees it: seekable, cached where it is remote, and with some counts made smaller.

tifffile turns the offsets and lengths of all tiles into tuples of Python integers. Where there are many, it is shown a
few only: it needs the first ones to recognise what it looks at, and the scanner reads the columns itself.
"""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from refmaker.source.base import ByteSource
from refmaker.source.blocks import BlockFile
from refmaker.source.file_object import ReadOnlyFile

__all__ = ["View"]


class View(ReadOnlyFile):
    """A read-only file object over a source, with patches of a few bytes laid over it.

    Attributes:
        location: URL or path, for messages.
        name: what tifffile takes for the file's name.
    """

    def __init__(self, source: ByteSource, *, is_local: bool) -> None:
        super().__init__(source.size)
        self.location = source.location
        self.name = source.location
        self._source = source
        self._blocks = None if is_local else BlockFile(source)
        self._patches: Mapping[int, bytes] = {}
        self._patched: list[int] = []

    def at(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes at ``offset`` of the file itself.

        Raises:
            TruncatedFileError: the range reaches past the end.
            SourceError: the store did not answer.
        """
        if self._blocks is None or offset < 0 or offset + length > self.size:
            return self._source.read(offset, length)
        self._blocks.seek(offset)
        return self._blocks.read(length) or b""

    def patch(self, patches: Mapping[int, bytes]) -> None:
        """Lay bytes over the file, by position; ``at`` still reads what is under them."""
        self._patches = patches
        self._patched = sorted(patches)

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the current position; return how many bytes there were before the end."""
        view = memoryview(buffer).cast("B")
        view = view[: max(min(len(view), self.size - self.position), 0)]
        if len(view):
            view[:] = self.at(self.position, len(view))
            self._lay_patches(view)
            self.position += len(view)
        return len(view)

    def _lay_patches(self, view: memoryview) -> None:
        """Lay those patches over what was read that lie in it as a whole: directories are read in one go."""
        start, stop = self.position, self.position + len(view)
        row = bisect_left(self._patched, start)
        while row < len(self._patched) and self._patched[row] < stop:
            position, row = self._patched[row], row + 1
            patch = self._patches[position]
            if position + len(patch) <= stop:
                view[position - start : position - start + len(patch)] = patch
