"""Bounds-checked reading of packed binary values from one buffer, with errors that know where they happened."""

import struct
from dataclasses import dataclass

from refmaker.errors import TruncatedFileError

__all__ = ["Cursor"]


@dataclass(slots=True)
class Cursor:
    """A position in a buffer.

    Attributes:
        data: the bytes.
        position: where the next read starts, in ``data``.
        byte_order: ``"<"`` or ``">"``, for ``unpack`` and ``uint``.
        location: URL or path, for messages.
        base: the file position of ``data[0]``, for messages.
    """

    data: bytes
    position: int = 0
    byte_order: str = "<"
    location: str = "<memory>"
    base: int = 0

    def take(self, length: int) -> bytes:
        """Return the next ``length`` bytes.

        Raises:
            TruncatedFileError: fewer are left (the one bounds check of this class).
        """
        end = self.position + length
        if length < 0 or end > len(self.data):
            raise TruncatedFileError(
                f"{length} bytes wanted, {len(self.data) - self.position} left",
                location=self.location,
                offset=self.base + self.position,
            )
        part = self.data[self.position : end]
        self.position = end
        return part

    def unpack(self, layout: str) -> tuple[int, ...]:
        """Return the next values as ``struct`` reads ``layout``, in this cursor's byte order, unaligned."""
        form = self.byte_order + layout
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def uint(self, width: int) -> int:
        """Return the next unsigned integer of ``width`` bytes (any width, 0 gives 0)."""
        return int.from_bytes(self.take(width), "little" if self.byte_order == "<" else "big")

    def skip(self, length: int) -> None:
        """Move on by ``length`` bytes."""
        self.take(length)

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self.data) - self.position
