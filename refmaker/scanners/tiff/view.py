"""The file as tifffile sees it: seekable, cached where it is remote, and with some counts made smaller.

tifffile turns the offsets and lengths of all tiles into tuples of Python integers. Where there are many, it is shown a
few only: it needs the first ones to recognise what it looks at, and the scanner reads the columns itself.
"""

import io
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from refmaker.source.base import ByteSource
from refmaker.source.blocks import BlockFile

__all__ = ["View"]


class View(io.RawIOBase):
    """A read-only file object over a source, with patches of a few bytes laid over it.

    Attributes:
        location: URL or path, for messages.
        size: bytes of the file.
        name: what tifffile takes for the file's name.
    """

    def __init__(self, source: ByteSource, *, is_local: bool) -> None:
        super().__init__()
        self.location = source.location
        self.size = source.size
        self.name = source.location
        self._source = source
        self._blocks = None if is_local else BlockFile(source)
        self._patches: Mapping[int, bytes] = {}
        self._patched: list[int] = []
        self._position = 0

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

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Return the position of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position counted from the start, the current position or the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the current position; return how many bytes there were before the end."""
        view = memoryview(buffer).cast("B")
        view = view[: max(min(len(view), self.size - self._position), 0)]
        if len(view):
            view[:] = self.at(self._position, len(view))
            self._lay_patches(view)
            self._position += len(view)
        return len(view)

    def _lay_patches(self, view: memoryview) -> None:
        """Lay those patches over what was read that lie in it as a whole: directories are read in one go."""
        start, stop = self._position, self._position + len(view)
        row = bisect_left(self._patched, start)
        while row < len(self._patched) and self._patched[row] < stop:
            position, row = self._patched[row], row + 1
            patch = self._patches[position]
            if position + len(patch) <= stop:
                view[position - start : position - start + len(patch)] = patch
