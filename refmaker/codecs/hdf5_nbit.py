"""``refmaker_hdf5_nbit``: HDF5 filter 5: only the significant bits of every element, in one bit stream.

The parameters describe the datatype: an atom has a precision and an offset inside its bytes, arrays repeat a base,
compounds place members; anything else is kept whole. Decoding puts each value's bits back where they lay and zeros
around them, as HDF5 does: ``refmaker_hdf5_integer`` or ``refmaker_hdf5_float`` then makes ordinary numbers of them.
Source: HDF5 Reference Manual, H5Pset_nbit, and the parameters that libhdf5 stores; measured, FORMATS.md section 5.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from refmaker.codecs.base import U8, BytesCodec
from refmaker.codecs.bits import unpack_bits
from refmaker.errors import BrokenFileError, UnsupportedError

__all__ = ["Atom", "Hdf5Nbit", "parse_atoms"]

HEADER = 3
"""Number of parameters, whether nothing is left out, elements in a chunk; then the datatype."""
MOST_BYTES = 64
"""Bytes of one number; no type that HDF5 packs has more."""
MOST_ATOMS = 1 << 16
DEEPEST = 32
WORD = 8


@dataclass(frozen=True, slots=True)
class Atom:
    """A number inside an element.

    Attributes:
        position: its first byte in the element.
        itemsize: its length, in bytes.
        big_endian: its byte order.
        precision: its significant bits.
        offset: bits below them.
    """

    position: int
    itemsize: int
    big_endian: bool
    precision: int
    offset: int

    def in_words(self) -> Iterator["Atom"]:
        """Yield atoms of at most 8 bytes, in the order of the stream: a longer one byte by byte, highest first."""
        if self.itemsize <= WORD:
            yield self
            return
        for byte in range(self.itemsize - 1, -1, -1):
            low = max(8 * byte - self.offset, 0)
            high = min(8 * byte - self.offset + 8, self.precision)
            if low < high:
                position = self.position + (self.itemsize - 1 - byte if self.big_endian else byte)
                yield Atom(position, 1, False, high - low, low + self.offset - 8 * byte)


class Hdf5Nbit(BytesCodec):
    """HDF5's n-bit filter, read-only.

    Attributes:
        cd_values: the filter's parameters as stored.
    """

    codec_id = "refmaker_hdf5_nbit"

    def __init__(self, *, cd_values: Sequence[int]) -> None:
        self.cd_values = [int(value) for value in cd_values]
        self._verbatim = len(self.cd_values) >= HEADER and bool(self.cd_values[1])
        if len(self.cd_values) < HEADER + (0 if self._verbatim else 2) or min(self.cd_values) < 0:
            raise BrokenFileError(f"{self.codec_id}: {len(self.cd_values)} parameters found, 5 or more expected")
        self._count = self.cd_values[2]
        self._itemsize = 0 if self._verbatim else self.cd_values[HEADER + 1]
        self._atoms = () if self._verbatim else parse_atoms(self.cd_values[HEADER:])

    def decode_bytes(self, data: U8) -> U8:
        """Return the elements, bits outside their precision zero."""
        if self._verbatim:
            return data
        stride = sum(atom.precision for atom in self._atoms)
        if self._count * stride > 8 * data.size:
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes, {-(-self._count * stride // 8)} expected")
        elements = np.zeros((self._count, self._itemsize), np.uint8)
        start = 0
        for atom in self._atoms:
            values = unpack_bits(
                data, start=start, stride=stride, width=atom.precision, count=self._count, name=self.codec_id
            )
            values <<= np.uint64(atom.offset)
            octets = values.astype(">u8" if atom.big_endian else "<u8").view(np.uint8).reshape(-1, WORD)
            kept = octets[:, WORD - atom.itemsize :] if atom.big_endian else octets[:, : atom.itemsize]
            elements[:, atom.position : atom.position + atom.itemsize] = kept
            start += atom.precision
        return elements.reshape(-1)


def parse_atoms(parameters: Sequence[int]) -> tuple[Atom, ...]:
    """Return the atoms of a datatype as the filter's parameters describe it, in the order of the bit stream.

    Raises:
        BrokenFileError: parameters are missing, or say impossible sizes.
        UnsupportedError: the datatype has more than 65,536 numbers or is nested 32 deep.
    """
    try:
        atoms, _ = _parse(parameters, 0, 0, 0)
    except IndexError:
        raise BrokenFileError(f"{Hdf5Nbit.codec_id}: the datatype's parameters end early: {parameters}") from None
    found = tuple(word for atom in atoms for word in atom.in_words())
    itemsize = parameters[1]
    if not found or any(atom.position + atom.itemsize > itemsize for atom in found):
        raise BrokenFileError(f"{Hdf5Nbit.codec_id}: numbers outside an element of {itemsize} bytes")
    return found


def _parse(parameters: Sequence[int], at: int, position: int, depth: int) -> tuple[list[Atom], int]:
    """Return the atoms of the datatype whose parameters start at ``at``, and where they end."""
    parse = CLASSES.get(parameters[at])
    if parse is None:
        raise BrokenFileError(f"{Hdf5Nbit.codec_id}: datatype class {parameters[at]}; expected 1 to 4")
    if depth > DEEPEST:
        raise UnsupportedError(f"{Hdf5Nbit.codec_id}: a datatype nested deeper than {DEEPEST}", code="filter")
    atoms, end = parse(parameters, at + 1, position, depth + 1)
    if len(atoms) > MOST_ATOMS:
        raise UnsupportedError(f"{Hdf5Nbit.codec_id}: {len(atoms)} numbers in an element", code="filter")
    return atoms, end


def _atomic(parameters: Sequence[int], at: int, position: int, _depth: int) -> tuple[list[Atom], int]:
    """Size, byte order, precision, offset."""
    itemsize, order, precision, offset = (parameters[at + i] for i in range(4))
    if order not in {0, 1} or itemsize > MOST_BYTES or not 0 < precision <= 8 * itemsize - offset:
        raise BrokenFileError(f"{Hdf5Nbit.codec_id}: {precision} bits at {offset} of {itemsize} bytes, order {order}")
    return [Atom(position, itemsize, order == 1, precision, offset)], at + 4


def _array(parameters: Sequence[int], at: int, position: int, depth: int) -> tuple[list[Atom], int]:
    """Size of the whole, then the base datatype."""
    total, base = parameters[at], parameters[at + 2]
    one, end = _parse(parameters, at + 1, position, depth)
    if not base or total % base or total // base * len(one) > MOST_ATOMS:
        raise UnsupportedError(f"{Hdf5Nbit.codec_id}: an array of {total} bytes of items of {base}", code="filter")
    return [
        Atom(atom.position + shift, atom.itemsize, atom.big_endian, atom.precision, atom.offset)
        for shift in range(0, total, base)
        for atom in one
    ], end


def _compound(parameters: Sequence[int], at: int, position: int, depth: int) -> tuple[list[Atom], int]:
    """Size, number of members; for each its position and its datatype."""
    atoms: list[Atom] = []
    members, at = parameters[at + 1], at + 2
    for _ in range(members):
        more, at = _parse(parameters, at + 1, position + parameters[at], depth)
        atoms += more
        if len(atoms) > MOST_ATOMS:
            break
    return atoms, at


def _whole(parameters: Sequence[int], at: int, position: int, _depth: int) -> tuple[list[Atom], int]:
    """Size: bytes kept as they are."""
    size = parameters[at]
    if size > MOST_ATOMS:
        raise UnsupportedError(f"{Hdf5Nbit.codec_id}: a member of {size} bytes", code="filter")
    return [Atom(position + byte, 1, False, 8, 0) for byte in range(size)], at + 1


CLASSES: dict[int, Callable[[Sequence[int], int, int, int], tuple[list[Atom], int]]] = {
    1: _atomic,
    2: _array,
    3: _compound,
    4: _whole,
}
"""The filter's own numbers for datatype classes."""
