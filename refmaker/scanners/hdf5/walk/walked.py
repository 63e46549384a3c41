"""What all parsers of one walked file share: how it writes addresses, and where they have been."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.scanners.hdf5.superblock import Superblock
from refmaker.source.base import Parser

__all__ = ["Walked"]

MOST_STRUCTURES = 2_000_000
"""Structures followed in one file; each is followed once, so only a hostile or a truly enormous file has more."""


class Walked:
    """A file being walked.

    Attributes:
        superblock: of the file.
        addressing: how it writes addresses.
    """

    def __init__(self, superblock: Superblock, start: Callable[[Parser[None]], None]) -> None:
        self.superblock = superblock
        self.addressing: Addressing = superblock.addressing
        self._start = start
        self._seen: set[tuple[str, int]] = set()

    def follow(self, parse: Callable[["Walked", int], Parser[None]], address: int) -> None:
        """Start the parser of the structure at ``address``, unless there is none or it has been started before."""
        if self.is_new(parse.__name__, address):
            self._start(parse(self, address))

    def follow_all(self, parse: Callable[["Walked", int], Parser[None]], addresses: npt.NDArray[np.uint64]) -> None:
        """Do the same for many."""
        for address in sorted(set(addresses.tolist())):
            self.follow(parse, address)

    def is_new(self, kind: str, address: int) -> bool:
        """Whether there is a structure of that kind at ``address`` that nobody has asked about before."""
        key = kind, address
        inside = 0 <= address < self.addressing.end_of_file - self.addressing.base_address
        if not inside or key in self._seen or len(self._seen) >= MOST_STRUCTURES:
            return False
        self._seen.add(key)
        return True

    def start(self, parser: Parser[None]) -> None:
        """Let a parser run beside the others."""
        self._start(parser)
