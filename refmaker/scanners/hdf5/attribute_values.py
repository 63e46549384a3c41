"""Values of attributes from the bytes of their messages, where these are plain: numbers, text, references to objects.

HDF5 File Format Specification, section IV.A.2.m. What is not plain (compounds, arrays, ragged rows, odd number formats)
is left to libhdf5; before it follows pointers into global heaps, these are checked (see ``global_heap``).
"""

import math
import struct
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from h5py import h5t

from refmaker.errors import BrokenFileError, UnsupportedError
from refmaker.scanners.hdf5 import messages as say
from refmaker.scanners.hdf5.attributes import LibraryAttribute, kind_of
from refmaker.scanners.hdf5.dataset_header import datatype_of
from refmaker.scanners.hdf5.datatypes import heap_addresses, pointers_of
from refmaker.scanners.hdf5.element_types import element_type
from refmaker.scanners.hdf5.global_heap import GlobalHeaps

__all__ = ["StoredAttribute"]


class StoredAttribute:
    """An attribute of which the message is at hand; ``by_library`` reads what only libhdf5 should."""

    __slots__ = ("_by_library", "_heaps", "_message", "name")

    def __init__(self, heaps: GlobalHeaps, message: say.Attribute, by_library: LibraryAttribute) -> None:
        self.name = message.name
        self._heaps = heaps
        self._message = message
        self._by_library = by_library

    @property
    def kind(self) -> str:
        """Which of the kinds of bookkeeping attributes it is."""
        is_elsewhere = self._message.shared & say.SHARED_IN_TYPE
        return self._by_library.kind if is_elsewhere else _kind_of(self._message.datatype)

    def value(self) -> Any:
        """Return its value.

        Raises:
            BrokenFileError, TruncatedFileError, UnsupportedError: it has none.
        """
        value = _value_of(self._heaps, self._message)
        if value is not None:
            return value
        if not self._message.shared & say.SHARED_IN_TYPE:
            _check_heaps(self._heaps, self._message.datatype, self._message.data)
        return self._by_library.value()


@lru_cache(1024)
def _kind_of(datatype: bytes) -> str:
    return kind_of(datatype_of(datatype))


class _Form(NamedTuple):
    """How the elements of a datatype lie: as ``dtype``, as text (with its padding), or as pointers to heap objects."""

    size: int
    dtype: np.dtype[Any] | None = None
    padding: int | None = None
    points_to: str = ""


TEXT, REFERENCES = "text", "references"
REFERENCE_SIZE = 8
"""Bytes of a reference to an object, where addresses have as many."""


@lru_cache(1024)
def _form_of(datatype: bytes) -> _Form | None:
    """Return how elements lie, None where only libhdf5 should read them."""
    kind = datatype_of(datatype)
    kind_class = kind.get_class()
    if kind_class in {h5t.INTEGER, h5t.FLOAT, h5t.ENUM}:
        try:
            element = element_type(kind)
        except UnsupportedError:
            return None
        plain = element.decode is None and not element.fixups and not element.inner_shape
        return _Form(element.stored_nbytes, dtype=element.dtype) if plain else None
    if kind_class == h5t.STRING:
        if kind.is_variable_str():
            return _Form(pointers_of(datatype).size, points_to=TEXT)
        return _Form(kind.get_size(), padding=kind.get_strpad())
    if kind_class == h5t.VLEN and kind.get_super().encode() == h5t.STD_REF_OBJ.encode():
        return _Form(pointers_of(datatype).size, points_to=REFERENCES)
    return None


def _value_of(heaps: GlobalHeaps, attribute: say.Attribute) -> Any:
    """Return an attribute's value, of the shape of its dataspace, or None where only libhdf5 should read it.

    Numbers come as they are, text as bytes, the scales of ``DIMENSION_LIST`` as lists of object header addresses.

    Raises:
        BrokenFileError, TruncatedFileError: it ends early, or points to nothing.
        UnsupportedError: its datatype has no numpy form.
    """
    if attribute.shared:
        return None
    form = _form_of(attribute.datatype)
    extent = say.extent_of(heaps.addressing, attribute.dataspace)
    if form is None or extent is None:
        return None
    if form.points_to == REFERENCES and not (
        attribute.name == b"DIMENSION_LIST" and heaps.addressing.size_of_offsets == REFERENCE_SIZE
    ):
        return None  # others are shown as paths, which the library knows
    count = math.prod(extent.shape)
    if count * form.size > len(attribute.data):
        raise BrokenFileError(f"{len(attribute.data)} bytes where {count} elements have {count * form.size}")
    if not form.points_to:
        return _value_here(attribute.data, form, extent.shape)
    values = np.empty(count, object)
    for i, start in enumerate(range(0, count * form.size, form.size)):
        raw = _pointed_to(heaps, attribute.data[start : start + form.size], form)
        values[i] = raw.partition(b"\0")[0] if form.points_to == TEXT else _addresses(raw)
    return values.reshape(extent.shape)


@lru_cache(4096)
def _value_here(data: bytes, form: _Form, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return a value that lies in the message; cached, since objects and files repeat their attributes."""
    count = math.prod(shape)
    if form.dtype is not None:
        return np.frombuffer(data, form.dtype, count).reshape(shape)
    texts = [
        _unpadded(data[start : start + form.size], form.padding) for start in range(0, count * form.size, form.size)
    ]
    return np.array(texts, f"S{form.size}").reshape(shape)


def _unpadded(text: bytes, padding: int | None) -> bytes:
    if padding == h5t.STR_NULLTERM:
        return text.partition(b"\0")[0]
    return text.rstrip(b" ") if padding == h5t.STR_SPACEPAD else text


def _pointed_to(heaps: GlobalHeaps, pointer: bytes, form: _Form) -> bytes:
    """Return the heap object of one element: its length in base elements, the heap's address, the object's index."""
    width = heaps.addressing.size_of_offsets
    length = int.from_bytes(pointer[:4], "little")
    address = int.from_bytes(pointer[4 : 4 + width], "little")
    index = int.from_bytes(pointer[4 + width : 8 + width], "little")
    if not address:
        return b""
    wanted = length * (REFERENCE_SIZE if form.points_to == REFERENCES else 1)
    found = heaps.collection(address).get(index)
    if found is None or len(found) != wanted:
        raise BrokenFileError(f"a value of {wanted} bytes, for which object {index} of heap {address} is another")
    return found


def _addresses(raw: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(raw) // REFERENCE_SIZE}Q", raw))


def _check_heaps(heaps: GlobalHeaps, datatype: bytes, data: bytes) -> None:
    """Check the global heaps that elements point into, before libhdf5 follows them.

    Raises:
        BrokenFileError, TruncatedFileError: one is none, or the datatype makes no sense.
    """
    pointers = pointers_of(datatype)
    for address in heap_addresses(heaps.addressing, pointers, data).tolist() if pointers.at else ():
        heaps.collection(address)
