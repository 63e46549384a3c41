"""What Python's file objects over sources have in common."""

import io

__all__ = ["ReadOnlyFile"]


class ReadOnlyFile(io.RawIOBase):
    """A seekable file object to read; subclasses say how (``readinto``, from ``position``).

    Attributes:
        size: bytes in the whole file.
        position: where the next read starts.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Return the position of the next read."""
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position counted from the start, the current position or the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        self.position = max(base + offset, 0)
        return self.position
