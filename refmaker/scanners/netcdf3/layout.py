"""Where each variable's data lie: sizes recomputed, records counted, everything measured against the file's size.

Specification, "Computing File Offsets": fixed-size variables are one contiguous block each. Record variables (those
whose first dimension is the record dimension) interleave: record ``i`` of a variable begins at ``begin + i * recsize``,
``recsize`` being the sum of one record of each, padded to 4 bytes; *but a lone record variable is not padded*.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from refmaker.errors import BrokenFileError, TruncatedFileError
from refmaker.scanners.netcdf3.header import Header, Variable
from refmaker.scanners.netcdf3.tables import padded

__all__ = ["Extent", "check_place", "extents"]


@dataclass(frozen=True, slots=True)
class Extent:
    """Where one variable's data lie.

    Attributes:
        variable: the variable.
        shape: elements along each dimension; records first for a record variable.
        is_record: whether its first dimension is the record dimension.
        piece_nbytes: bytes of one contiguous piece: a record of it, or all of a fixed-size variable.
        stride: bytes from one record of it to the next; 0 for a fixed-size variable.
    """

    variable: Variable
    shape: tuple[int, ...]
    is_record: bool
    piece_nbytes: int
    stride: int

    @property
    def nbytes(self) -> int:
        """Bytes of data, gaps between records left out."""
        return self.piece_nbytes * (self.shape[0] if self.is_record else 1)

    @property
    def contiguous(self) -> bool:
        """Whether nothing lies between its records."""
        return not self.is_record or self.stride == self.piece_nbytes

    @property
    def end(self) -> int:
        """The file position behind its last byte; ``begin`` if it has no data."""
        begin = self.variable.begin
        if not self.nbytes:
            return begin
        return begin + (self.shape[0] - 1) * self.stride + self.piece_nbytes if self.is_record else begin + self.nbytes


def extents(header: Header, size: int, location: str) -> tuple[Extent, ...]:
    """Return the extent of every variable of a file of ``size`` bytes, in the header's order.

    Raises:
        BrokenFileError: two variables claim the same bytes.
    """
    pieces = [_piece(header, variable) for variable in header.variables]
    sizes = [piece.piece_nbytes for piece in pieces if piece.is_record]
    recsize = sizes[0] if len(sizes) == 1 else sum(map(padded, sizes))
    numrecs = _streamed(pieces, recsize, size) if header.numrecs is None else header.numrecs
    found = tuple(
        Extent(p.variable, (numrecs, *p.shape[1:]), True, p.piece_nbytes, recsize) if p.is_record else p for p in pieces
    )
    _check_apart(found, recsize, location)
    return found


def _piece(header: Header, variable: Variable) -> Extent:
    """Return the extent of the variable, with no records as yet."""
    shape = tuple(header.dimensions[n].length for n in variable.dimension_ids)
    is_record = bool(shape) and shape[0] == 0
    return Extent(variable, shape, is_record, math.prod(shape[is_record:]) * variable.type.dtype.itemsize, 0)


def _streamed(pieces: Iterable[Extent], recsize: int, size: int) -> int:
    """Return how many whole records there are up to the file's end; the last one may lack its padding."""
    first = max((p.variable.begin + p.piece_nbytes for p in pieces if p.is_record), default=size + 1)
    return 0 if first > size else (size - first) // recsize + 1


def check_place(extent: Extent, header: Header, size: int, location: str) -> None:
    """Check that the data lie between the header and the end of a file of ``size`` bytes.

    netCDF-C reads what lies past the end as zeros, whether it was cut off or never written. Nobody can tell the two
    apart, so neither is served: who knows better leaves the variable out.

    Raises:
        TruncatedFileError: the file ends before the data do.
        BrokenFileError: they begin inside the header.
    """
    begin, name = extent.variable.begin, extent.variable.name
    if not extent.nbytes:
        return
    if begin < header.nbytes:
        raise BrokenFileError(
            f"its data begin inside the header of {header.nbytes} bytes", location=location, path=name, offset=begin
        )
    if extent.end > size:
        raise TruncatedFileError(
            f"its data reach to byte {extent.end}, the file only to {size}; fetch it again, or exclude the variable",
            location=location,
            path=name,
            offset=begin,
        )


def _check_apart(found: tuple[Extent, ...], recsize: int, location: str) -> None:
    """Check that no two variables share bytes: fixed ones, the block of all records, and the variables in a record."""
    records = [e for e in found if e.is_record and e.nbytes]
    blocks = [(e.variable.begin, e.end, e.variable.name) for e in found if not e.is_record and e.nbytes]
    if records:
        start = min(e.variable.begin for e in records)
        first = [(e.variable.begin, e.variable.begin + e.piece_nbytes, e.variable.name) for e in records]
        _check_disjoint(first, location)
        last = max(first, key=lambda piece: piece[1])
        if last[1] > start + recsize and records[0].shape[0] > 1:
            raise BrokenFileError(
                f"its first record reaches into the second of {recsize} bytes", location=location, path=last[2]
            )
        blocks.append((start, max(e.end for e in records), records[0].variable.name))
    _check_disjoint(blocks, location)


def _check_disjoint(blocks: list[tuple[int, int, str]], location: str) -> None:
    """Check that the blocks (start, end, name) do not overlap."""
    blocks = sorted(blocks)
    for (_, end, name), (start, _, other) in pairwise(blocks):
        if end > start:
            raise BrokenFileError(f"its data reach into those of {other!r}", location=location, path=name, offset=start)
