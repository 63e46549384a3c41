"""Fractal heaps: where newer groups keep many links, and objects many attributes.

HDF5 File Format Specification, section III.G. The heap is one address space, doubled row by row: blocks of row 0 and 1
have the starting size, those of each further row twice the size of the row before. Rows up to the largest direct
block hold objects, rows beyond hold indirect blocks with rows of their own. All blocks of a depth are one round.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.scanners.hdf5.addressing import Addressing, uints
from refmaker.scanners.hdf5.checksums import CHECKSUM, check_block
from refmaker.source.base import Bytes, Parser, Wish
from refmaker.source.cursor import Cursor

__all__ = ["FractalHeap", "read_fractal_heap"]

CHECKSUMS = 2
"""Flag of the header: direct blocks have checksums."""
MANAGED, HUGE, TINY = 0, 1, 2
"""What bits 4 and 5 of a heap ID say of an object."""
DEEPEST = 16
MOST_ROWS = 64
"""Rows double, and addresses have 64 bits."""


@dataclass(frozen=True, slots=True)
class _Head:
    """The header's fields that say where things are."""

    offset_size: int
    id_length: int
    filters_length: int
    width: int
    starting_size: int
    largest_direct: int
    heap_bits: int
    longest_managed: int
    root: int
    root_rows: int
    huge_tree: int
    has_checksums: bool

    @property
    def checksum_at(self) -> int:
        """Position of a direct block's checksum, of its objects where it has none."""
        return 5 + self.offset_size + -(-self.heap_bits // 8)

    @property
    def direct_rows(self) -> int:
        """Rows of direct blocks that any indirect block may have."""
        return self.largest_direct.bit_length() - self.starting_size.bit_length() + 2

    def row_size(self, row: int) -> int:
        """Return the bytes that each block of a row stands for."""
        return self.starting_size << max(row - 1, 0)

    def rows_of(self, size: int) -> int:
        """Return the rows of an indirect block that stands for ``size`` bytes."""
        return size.bit_length() - (self.starting_size * self.width).bit_length() + 1


@dataclass(frozen=True, slots=True)
class FractalHeap:
    """A heap's blocks of objects, by their place in its address space."""

    head: _Head
    starts: list[int]
    blocks: list[Bytes]

    def managed(self, heap_id: Bytes) -> bytes | None:
        """Return the object of a heap ID, or None if it is none in a block at hand; tiny ones lie in the ID."""
        kind = int(heap_id[0]) >> 4 & 3
        if kind == TINY:
            return heap_id[1 : 2 + (int(heap_id[0]) & 15)].tobytes()
        if kind != MANAGED:
            return None
        cursor = Cursor(heap_id.tobytes(), position=1)
        offset = cursor.uint(-(-self.head.heap_bits // 8))
        length = cursor.uint(_length_width(self.head))
        row = bisect_right(self.starts, offset) - 1
        if row < 0:
            return None
        at = offset - self.starts[row]
        return self.blocks[row][at : at + length].tobytes() if at + length <= self.blocks[row].size else None


def _length_width(head: _Head) -> int:
    """Return the bytes of a managed object's length in a heap ID."""
    by_block = (head.largest_direct.bit_length() + 6) // 8
    by_object = (max(head.longest_managed, 1).bit_length() - 1) // 8 + 1
    return max(min(by_block, by_object), 1)


def read_fractal_heap(addressing: Addressing, address: int) -> Parser[FractalHeap]:
    """Read the heap at ``address``: all its blocks.

    Raises:
        BrokenFileError, TruncatedFileError: there is none, or one that contradicts itself.
        UnsupportedError: its blocks are filtered.
    """
    size = 26 + 12 * addressing.size_of_lengths + 3 * addressing.size_of_offsets
    [block] = yield [addressing.wish(address, size)]
    head = _head(addressing, block[0], address)
    if head.filters_length:
        raise addressing.unsupported("filtered fractal heap", "heap")
    check_block(addressing, block[0].tobytes(), address)
    if head.root == addressing.undefined:
        return FractalHeap(head, [], [])
    if head.root_rows == 0:
        [block] = yield [addressing.wish(head.root, head.starting_size)]
        _check_direct(addressing, head, address, block[0])
        return FractalHeap(head, [0], [block[0]])
    found = dict((yield from _read_blocks(addressing, head)))
    for direct in found.values():
        _check_direct(addressing, head, address, direct)
    starts = sorted(found)
    return FractalHeap(head, starts, [found[start] for start in starts])


def _check_direct(addressing: Addressing, head: _Head, address: int, block: Bytes) -> None:
    """Check a block of objects of the heap at ``address``; its checksum counts as zeros in itself."""
    data = block.tobytes()
    if data[: 5 + head.offset_size] != b"FHDB\0" + address.to_bytes(head.offset_size, "little"):
        raise addressing.broken("direct block of a fractal heap expected", address)
    if head.has_checksums:
        at = head.checksum_at
        rest = data[:at] + bytes(CHECKSUM) + data[at + CHECKSUM :]
        check_block(addressing, rest + data[at : at + CHECKSUM], address)


def _head(addressing: Addressing, block: Bytes, address: int) -> _Head:
    offsets, lengths = addressing.size_of_offsets, addressing.size_of_lengths
    cursor = addressing.signed_cursor(block, address, b"FRHP", 0)
    id_length, filters_length, flags, longest_managed = cursor.unpack("HHBI")
    cursor.skip(lengths)
    huge_tree = cursor.uint(offsets)
    cursor.skip(lengths + offsets + 8 * lengths)  # free space and statistics
    width = cursor.uint(2)
    starting_size, largest_direct = cursor.uint(lengths), cursor.uint(lengths)
    heap_bits, _starting_rows = cursor.unpack("HH")
    root = cursor.uint(offsets)
    root_rows = cursor.uint(2)
    powers = width, starting_size, largest_direct
    if root_rows > MOST_ROWS:
        raise addressing.broken(f"fractal heap of {root_rows} rows", address)
    if not all(value and not value & (value - 1) for value in powers) or starting_size > largest_direct:
        raise addressing.broken(f"fractal heap of {width} x {starting_size} to {largest_direct} bytes", address)
    return _Head(
        offsets,
        id_length,
        filters_length,
        width,
        starting_size,
        largest_direct,
        heap_bits,
        longest_managed,
        root,
        root_rows,
        huge_tree,
        bool(flags & CHECKSUMS),
    )


def _read_blocks(addressing: Addressing, head: _Head) -> Parser[list[tuple[int, Bytes]]]:
    """Return all direct blocks as (place in the heap, bytes), level by level of indirect blocks."""
    prefix = head.checksum_at
    level = [(0, head.root, head.root_rows)]
    direct: list[tuple[int, int, int]] = []
    visited: set[int] = set()
    for _ in range(DEEPEST):
        level = [part for part in level if part[1] not in visited]
        visited.update(address for _, address, _ in level)
        if not level:
            break
        wishes = [
            addressing.wish(address, prefix + rows * head.width * addressing.size_of_offsets + 4)
            for _, address, rows in level
        ]
        blocks = yield addressing.checked(wishes)
        below: list[tuple[int, int, int]] = []
        for (start, _, rows), block in zip(level, blocks, strict=True):
            if block[0, :4].tobytes() != b"FHIB":
                raise addressing.broken("indirect block of a fractal heap expected", 0)
            check_block(addressing, block[0].tobytes(), start)
            columns = block[0, prefix:-4].reshape(-1, addressing.size_of_offsets)
            for row, place, address in _children(head, start, uints(columns)):
                if address == addressing.undefined:
                    continue
                if row < head.direct_rows:
                    direct.append((place, address, head.row_size(row)))
                elif 0 < (rows_below := head.rows_of(head.row_size(row))) < rows:
                    below.append((place, address, rows_below))
        level = below
    return (yield from _direct_blocks(addressing, direct))


def _children(head: _Head, start: int, addresses: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int, int]]:
    """Yield (row, place in the heap, address) of an indirect block's children."""
    place = start
    for number, address in enumerate(addresses.tolist()):
        row = number // head.width
        yield row, place, address
        place += head.row_size(row)


def _direct_blocks(addressing: Addressing, direct: list[tuple[int, int, int]]) -> Parser[list[tuple[int, Bytes]]]:
    by_size: dict[int, list[tuple[int, int]]] = {}
    for place, address, size in direct:
        by_size.setdefault(size, []).append((place, address))
    wishes: list[Wish] = [
        addressing.wishes(np.array([address for _, address in members], np.uint64), size)
        for size, members in by_size.items()
    ]
    blocks = (yield addressing.checked(wishes)) if wishes else []
    found: list[tuple[int, Bytes]] = []
    for members, block in zip(by_size.values(), blocks, strict=True):
        found.extend((place, row) for (place, _), row in zip(members, block, strict=True))
    return found
