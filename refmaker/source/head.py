"""A source around a source that already holds its first bytes: what told the format need not be fetched again."""

import numpy as np
import numpy.typing as npt

from refmaker.source.base import ByteSource, MemorySource

__all__ = ["WithHead"]


class WithHead:
    """Answers ranges inside the first bytes from memory, and passes all others on.

    Attributes:
        head: the first bytes of the file.
    """

    def __init__(self, source: ByteSource, head: bytes) -> None:
        self._source = source
        self._memory = MemorySource(head, source.location)
        self.head = head

    @property
    def location(self) -> str:
        """URL or path of the wrapped source."""
        return self._source.location

    @property
    def size(self) -> int:
        """Bytes in the whole file."""
        return self._source.size

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes at ``offset``."""
        inside = min(offset, length) >= 0 and offset + length <= len(self.head)
        return (self._memory if inside else self._source).read(offset, length)

    def gather(self, offset: npt.NDArray[np.uint64], length: int) -> npt.NDArray[np.uint8]:
        """Return many ranges at once, from memory only if all of them lie there."""
        inside = offset.size and int(offset.max()) + length <= len(self.head)
        return (self._memory if inside else self._source).gather(offset, length)

    def close(self) -> None:
        """Close both."""
        self._memory.close()
        self._source.close()
