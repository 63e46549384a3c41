"""A source around a source that counts what is asked of it."""

import numpy as np
import numpy.typing as npt

from refmaker.source.base import ByteSource

__all__ = ["Traced"]


class Traced:
    """Counts requests and bytes of the source it wraps; a gather of n ranges is n requests in one round.

    Attributes:
        source: what it wraps.
        requests: ranges asked for.
        bytes: bytes asked for.
        rounds: calls, that is, dependent waits on a network.
    """

    def __init__(self, source: ByteSource) -> None:
        self.source = source
        self.requests = 0
        self.bytes = 0
        self.rounds = 0

    @property
    def location(self) -> str:
        """URL or path of the wrapped source."""
        return self.source.location

    @property
    def size(self) -> int:
        """Bytes in the whole file."""
        return self.source.size

    def read(self, offset: int, length: int) -> bytes:
        """Count and read one range."""
        self._count(1, length)
        return self.source.read(offset, length)

    def gather(self, offset: npt.NDArray[np.uint64], length: int) -> npt.NDArray[np.uint8]:
        """Count and read many ranges."""
        self._count(offset.size, offset.size * length)
        return self.source.gather(offset, length)

    def close(self) -> None:
        """Close the wrapped source; the counts stay."""
        self.source.close()

    def _count(self, requests: int, length: int) -> None:
        self.requests += requests
        self.bytes += length
        self.rounds += 1
