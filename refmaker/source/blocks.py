"""A file object over a ByteSource, for libraries that want to seek and read (h5py, tifffile).

Small files are fetched whole, larger ones in aligned blocks that are kept: format libraries read their structures in
many tiny steps, and each would be a request.
"""

import io
from typing import Any

from refmaker.source.base import ByteSource

__all__ = ["BlockFile"]

WHOLE_FILE_BELOW = 16 << 20
"""Bytes up to which one request for all is quicker than several dependent ones (FORMATS: 100 ms against 250)."""
BLOCK = 1 << 20
"""Bytes of a block: format structures cluster, so one block serves many reads."""
BLOCKS_KEPT = 256
"""Blocks kept; fewer make h5py fetch the same index nodes again and again."""


class BlockFile(io.RawIOBase):
    """A read-only file object over a source, with aligned blocks kept in memory."""

    def __init__(self, source: ByteSource) -> None:
        super().__init__()
        self._source = source
        self._block = max(source.size, 1) if source.size <= WHOLE_FILE_BELOW else BLOCK
        self._blocks: dict[int, bytes] = {}
        self._position = 0

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
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the current position; return how many bytes there were before the end."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(self._source.size - self._position, 0))
        done = 0
        while done < wanted:
            number, start = divmod(self._position, self._block)
            part = self._fetched(number)[start : start + wanted - done]
            view[done : done + len(part)] = part
            done += len(part)
            self._position += len(part)
        return done

    def _fetched(self, number: int) -> bytes:
        block = self._blocks.pop(number, None)
        if block is None:
            start = number * self._block
            block = self._source.read(start, min(self._block, self._source.size - start))
            if len(self._blocks) >= BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
        self._blocks[number] = block  # last in, last out
        return block
