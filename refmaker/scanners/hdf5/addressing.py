"""How one HDF5 file writes addresses, and the bounds checks every structure shares.

An address is an offset from the base address, ``size_of_offsets`` bytes wide, all ones when undefined (HDF5 File
Format Specification, sections II.A and VIII). ``Addressing`` turns addresses into wishes, after checking that what
they point at lies inside the file, so that no count found in the file makes anyone fetch or allocate more than the
file could hold.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.errors import BrokenFileError, TruncatedFileError, UnsupportedError
from refmaker.source.base import Wish
from refmaker.source.cursor import Cursor

__all__ = ["WIDTHS", "Addressing", "uints"]

WIDTHS = frozenset({2, 4, 8})
"""Sizes of offsets and of lengths that are read; the format also has 16 and 32, which no known file uses."""


@dataclass(frozen=True, slots=True)
class Addressing:
    """What is needed to follow an address.

    Attributes:
        base_address: file position of address 0: where the superblock lies, after the user block.
        size_of_offsets: bytes of an address.
        size_of_lengths: bytes of a length.
        end_of_file: file position just after the last byte of HDF5 data; nothing may end beyond, as in libhdf5.
        location: URL or path, for messages.
    """

    base_address: int
    size_of_offsets: int
    size_of_lengths: int
    end_of_file: int
    location: str | None = None

    @property
    def undefined(self) -> int:
        """The undefined address: all bits one."""
        return (1 << 8 * self.size_of_offsets) - 1

    def offset(self, address: int, length: int) -> int:
        """Return the file position of ``address``, where ``length`` bytes must lie inside the file.

        Raises:
            TruncatedFileError: they do not, or the address is undefined.
        """
        offset = address + self.base_address
        if address == self.undefined or offset + length > self.end_of_file:
            raise self.truncated(f"{length} bytes", address)
        return offset

    def up_to(self, address: int, length: int) -> int:
        """Return how many of ``length`` bytes at ``address`` there are before the end of the file."""
        return max(min(length, self.end_of_file - self.base_address - address), 0)

    def wish(self, address: int, length: int) -> Wish:
        """Return the wish for the one structure of ``length`` bytes at ``address``.

        Raises:
            TruncatedFileError: it does not lie inside the file.
        """
        return Wish.one(self.offset(address, length), length)

    def wishes(self, address: npt.NDArray[np.uint64], length: int, *, exact: bool = False) -> Wish:
        """Return the wish for structures of ``length`` bytes each, shape (n,); ``exact`` as in ``Wish``.

        Raises:
            TruncatedFileError: one does not lie inside the file.
            BrokenFileError: together they are longer than the file, so some overlap.
        """
        if address.size:
            self.offset(int(address.max()), length)
        return self.checked([Wish(address + np.uint64(self.base_address), length, exact)])[0]

    def checked(self, wishes: list[Wish]) -> list[Wish]:
        """Return ``wishes``, after checking that together they are no longer than the file.

        Raises:
            BrokenFileError: they are, so some structures overlap.
        """
        total = sum(wish.offset.size * wish.length for wish in wishes)
        if total > self.end_of_file:
            raise self.broken(f"structures of {total} bytes in a file of {self.end_of_file}", 0)
        return wishes

    def cursor(self, block: npt.NDArray[np.uint8], offset: int) -> Cursor:
        """Return a cursor over ``block``, which was read at file position ``offset``."""
        return Cursor(block.tobytes(), location=self.location or "<hdf5>", base=offset)

    def signed_cursor(self, block: npt.NDArray[np.uint8], address: int, signature: bytes, version: int) -> Cursor:
        """Return a cursor over the structure at ``address``, just after its signature and version byte.

        Raises:
            BrokenFileError: the signature or the version is another one.
        """
        cursor = self.cursor(block, address + self.base_address)
        found = cursor.take(5)
        if found != signature + bytes([version]):
            expected = f"{signature!r} version {version}"
            raise self.broken(f"{found[:4]!r} version {found[4]} found, {expected} expected", address)
        return cursor

    def broken(self, message: str, address: int) -> BrokenFileError:
        """Return (not raise) the error for something wrong in the structure at ``address``."""
        return BrokenFileError(message, location=self.location, offset=address + self.base_address)

    def truncated(self, wanted: str, address: int) -> TruncatedFileError:
        """Return (not raise) the error for ``wanted`` at ``address`` lying beyond the end of the file."""
        return TruncatedFileError(
            f"{wanted} wanted at address {address}, but the data ends at byte {self.end_of_file}",
            location=self.location,
            offset=address + self.base_address,
        )

    def unsupported(self, message: str, code: str) -> UnsupportedError:
        """Return (not raise) the error for something that only libhdf5 can read."""
        return UnsupportedError(message, code=code, location=self.location)


def uints(columns: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Return little-endian integers of any width up to 8, from shape (n, width) to uint64, shape (n,)."""
    padded = np.zeros((columns.shape[0], 8), np.uint8)
    padded[:, : columns.shape[1]] = columns
    return padded.view("<u8")[:, 0].astype(np.uint64, copy=False)
