"""Datatypes: where in an element pointers into global heaps lie, and what numpy has for them.

HDF5 File Format Specification, section IV.A.2.d. Values of variable length are (length, heap address, index), old
region references (heap address, index); compounds and arrays hold them anywhere.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from h5py import h5t

from refmaker.errors import BrokenFileError, UnsupportedError
from refmaker.scanners.hdf5.addressing import Addressing, uints
from refmaker.source.cursor import Cursor

__all__ = ["Pointers", "heap_addresses", "numpy_type", "pointers_of"]

FIXED, FLOAT, TIME, STRING, BITFIELD, OPAQUE, COMPOUND, REFERENCE, ENUM, VLEN, ARRAY, COMPLEX = range(12)
"""Datatype classes."""
DEEPEST = 16
MOST_POINTERS = 4096
LENGTH_FIELD = 4
REGION = 1
LEAST_REGION_SIZE = 12
"""Bytes of an old reference to a region, where addresses have 8."""
NULL_PADDED = 1
MOST_PADDING = 2
MOST_CHARACTER_SET = 1
VLEN_TEXT = 1
VLEN_KINDS = {0, VLEN_TEXT}
"""Sequences and strings; on others libhdf5 crashes."""


class Pointers(NamedTuple):
    """A datatype as far as heaps go.

    Attributes:
        size: bytes of an element.
        at: positions of heap addresses in an element.
        is_read: whether h5py will have to read values: they are pointers to other places of the file.
        is_odd: whether it will where there are few: other readers would need codecs of ours for them.
    """

    size: int
    at: tuple[int, ...] = ()
    is_read: bool = False
    is_odd: bool = False


@lru_cache(2048)
def pointers_of(body: bytes) -> Pointers:
    """Return the pointers of the datatype that a message describes; cached, since files repeat few types.

    Raises:
        BrokenFileError: it makes no sense.
    """
    return _parse(Cursor(body), 0)


def heap_addresses(
    addressing: Addressing, pointers: Pointers, data: bytes
) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return the heap addresses in elements that lie one after the other in ``data``; null ones are left out."""
    width = addressing.size_of_offsets
    count = len(data) // pointers.size if pointers.size else 0
    elements = np.frombuffer(data, np.uint8, count * pointers.size).reshape(count, pointers.size)
    found = [uints(elements[:, at : at + width]) for at in pointers.at if at + width <= pointers.size]
    addresses = np.concatenate(found) if found else np.empty(0, np.uint64)
    return np.unique(addresses[(addresses != 0) & (addresses != addressing.undefined)])


def _parse(cursor: Cursor, depth: int) -> Pointers:
    head = cursor.uint(1)
    kind, version = head & 15, head >> 4
    bits, size = cursor.uint(3), cursor.uint(4)
    if kind not in PROPERTIES or depth > DEEPEST:
        raise BrokenFileError(f"datatype class {kind} at depth {depth}")
    return PROPERTIES[kind](cursor, version, bits, size, depth)


def _plain(length: int) -> Callable[[Cursor, int, int, int, int], Pointers]:
    def parse(cursor: Cursor, _version: int, _bits: int, size: int, _depth: int) -> Pointers:
        cursor.skip(length)
        return Pointers(size)

    return parse


def _integer(cursor: Cursor, _version: int, _bits: int, size: int, _depth: int) -> Pointers:
    offset, precision = cursor.unpack("HH")
    return Pointers(size, is_odd=offset != 0 or precision != 8 * size)


def _string(_cursor: Cursor, _version: int, bits: int, size: int, _depth: int) -> Pointers:
    _check_text(bits)
    return Pointers(size, is_odd=bits & 15 != NULL_PADDED)


def _check_text(bits: int) -> None:
    """Check padding and character set of text."""
    if bits & 15 > MOST_PADDING or bits >> 4 & 15 > MOST_CHARACTER_SET:
        raise BrokenFileError(f"text of padding {bits & 15} in character set {bits >> 4 & 15}")


def _opaque(cursor: Cursor, _version: int, bits: int, size: int, _depth: int) -> Pointers:
    cursor.skip(bits & 0xFF)
    return Pointers(size)


def _reference(_cursor: Cursor, _version: int, bits: int, size: int, _depth: int) -> Pointers:
    is_region = bits & 15 == REGION
    if is_region and size < LEAST_REGION_SIZE:  # libhdf5 writes more than there is room for
        raise BrokenFileError(f"references to regions of {size} bytes")
    return Pointers(size, (0,) if is_region else (), is_read=True)


def _vlen(cursor: Cursor, _version: int, bits: int, size: int, depth: int) -> Pointers:
    if bits & 15 not in VLEN_KINDS:
        raise BrokenFileError(f"values of variable length of kind {bits & 15}")
    if bits & 15 == VLEN_TEXT:
        _check_text(bits >> 4)
    _parse(cursor, depth + 1)
    return Pointers(size, (LENGTH_FIELD,), is_read=True)


def _enum(cursor: Cursor, version: int, bits: int, size: int, depth: int) -> Pointers:
    _parse(cursor, depth + 1)
    for _ in range(bits & 0xFFFF):
        _name(cursor, version)
    cursor.skip((bits & 0xFFFF) * size)
    return Pointers(size)


def _complex(cursor: Cursor, _version: int, _bits: int, size: int, depth: int) -> Pointers:
    _parse(cursor, depth + 1)
    return Pointers(size)


def _array(cursor: Cursor, version: int, _bits: int, size: int, depth: int) -> Pointers:
    rank = cursor.uint(1)
    cursor.skip(3 if version < 3 else 0)
    cursor.skip(4 * rank * (2 if version < 3 else 1))
    base = _parse(cursor, depth + 1)
    if not base.at or not base.size:
        return Pointers(size, is_read=base.is_read, is_odd=base.is_odd)
    at = tuple(start + place for start in range(0, size, base.size)[:MOST_POINTERS] for place in base.at)
    return Pointers(size, at[:MOST_POINTERS], is_read=True)


def _compound(cursor: Cursor, version: int, bits: int, size: int, depth: int) -> Pointers:
    at: list[int] = []
    extents: list[tuple[int, int]] = []
    is_read = is_odd = False
    for _ in range(bits & 0xFFFF):
        _name(cursor, version)
        offset = cursor.uint(4 if version < 3 else (max(size, 1).bit_length() - 1) // 8 + 1)
        count = 1
        if version == 1:
            rank = cursor.uint(1)
            cursor.skip(11)
            for extent in cursor.unpack("4I")[: min(rank, 4)]:
                count *= extent
        member = _parse(cursor, depth + 1)
        extents.append((offset, offset + count * member.size))
        is_read, is_odd = is_read or member.is_read, is_odd or member.is_odd
        starts = range(offset, offset + min(count, MOST_POINTERS) * member.size, member.size or 1)
        at.extend(start + place for start in starts for place in member.at)
    if _are_apart(extents, size):
        return Pointers(size, tuple(at[:MOST_POINTERS]), is_read=is_read, is_odd=is_odd)
    raise BrokenFileError("members of a compound datatype that overlap")


def _are_apart(extents: Iterable[tuple[int, int]], size: int) -> bool:
    """Whether members of a compound, each from start to end, lie side by side inside it; else libhdf5 may crash."""
    end_before = 0
    for start, end in sorted(extents):
        if start < end_before or end > size:
            return False
        end_before = end
    return True


def numpy_type(type_id: h5t.TypeID) -> np.dtype[Any]:
    """Return the numpy dtype of a datatype, as h5py has it.

    Raises:
        UnsupportedError: there is none that h5py can read into.
    """
    try:
        dtype: np.dtype[Any] = np.dtype(type_id.dtype)
    except (TypeError, ValueError, KeyError) as error:
        raise UnsupportedError(f"the datatype has no numpy form: {error}", code="dtype") from error
    if not _has_room(dtype):  # h5py takes odd numbers as wider ones, and reads them over their neighbours
        raise UnsupportedError("the datatype has members that numpy has only wider ones for", code="dtype")
    return dtype


def _has_room(dtype: np.dtype[Any]) -> bool:
    """Whether no member of a compound, at any depth, reaches into another."""
    base = dtype.subdtype[0] if dtype.subdtype else dtype
    if not base.fields:
        return True
    extents = [(offset, offset + member.itemsize) for member, offset, *_ in base.fields.values()]
    return _are_apart(extents, base.itemsize) and all(_has_room(member) for member, *_ in base.fields.values())


def _name(cursor: Cursor, version: int) -> None:
    """Skip a name: closed by a NUL, before version 3 padded to 8 bytes with the NUL counted."""
    start = cursor.position
    end = cursor.data.find(b"\0", start)
    length = (end if end >= 0 else len(cursor.data)) + 1 - start
    cursor.skip(length if version >= 3 else -(-length // 8) * 8)


PROPERTIES: dict[int, Callable[[Cursor, int, int, int, int], Pointers]] = {
    FIXED: _integer,
    FLOAT: _plain(12),
    TIME: _plain(2),
    STRING: _string,
    BITFIELD: _integer,
    OPAQUE: _opaque,
    COMPOUND: _compound,
    REFERENCE: _reference,
    ENUM: _enum,
    VLEN: _vlen,
    ARRAY: _array,
    COMPLEX: _complex,
}
"""What follows a datatype's first 8 bytes, by class: called with (cursor, version, bit field, size, depth)."""
