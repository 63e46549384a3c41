"""HDF5 datatypes as Zarr elements: which bytes are values as they lie, which a codec must mend, which h5py must decode.

HDF5 File Format Specification, section IV.A.2.d "The Datatype Message". A type is taken *as it lies* only when its
bytes are exactly what numpy reads; everything else names the codec that mends it (``fixups``) or asks to be decoded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from h5py import h5t

from refmaker.errors import UnsupportedError
from refmaker.model.array import Codec
from refmaker.model.attributes import JSON, text_of
from refmaker.scanners.hdf5.datatypes import numpy_type

__all__ = ["Decode", "ElementType", "element_type"]


class Decode(Enum):
    """What h5py has to do for elements whose bytes in the file are not their values."""

    VALUES = "numbers that numpy cannot read as they lie"
    TEXT = "strings of variable length"
    PATHS = "references to objects"


@dataclass(frozen=True, slots=True)
class ElementType:
    """One element of a dataset.

    Attributes:
        dtype: the element as Zarr sees it, packed.
        stored_nbytes: bytes of the element in the file.
        inner_shape: the dimensions of an array datatype, which become the array's last dimensions.
        fixups: codecs, in encoding order, that make values of stored bytes; they come before all filters.
        decode: what h5py must do instead of all that, or None.
        attributes: what of the type is worth keeping as attributes (enumeration names, character set).
        lost: what of the values cannot be kept, as a sentence.
    """

    dtype: np.dtype[Any]
    stored_nbytes: int
    inner_shape: tuple[int, ...] = ()
    fixups: tuple[Codec, ...] = ()
    decode: Decode | None = None
    attributes: Mapping[str, JSON] = field(default_factory=dict)
    lost: str = ""

    def __post_init__(self) -> None:
        if self.decode is None and not self.fixups and self.dtype.itemsize != self.stored_nbytes:
            raise UnsupportedError(f"{self.stored_nbytes} stored bytes are no {self.dtype}", code="dtype")


STRING_CODEC = "refmaker_hdf5_string"
_CACHE: dict[bytes, ElementType | UnsupportedError] = {}
_CACHE_SIZE = 1024


def element_type(type_id: h5t.TypeID) -> ElementType:
    """Return how Zarr sees elements of an HDF5 datatype; cached by its encoding, since files repeat few types.

    Raises:
        UnsupportedError: Zarr has no such type.
    """
    key = type_id.encode()
    known = _CACHE.get(key)
    if known is None:
        if len(_CACHE) >= _CACHE_SIZE:
            _CACHE.clear()
        try:
            known = _CLASSES.get(type_id.get_class(), _unknown)(type_id)
        except UnsupportedError as error:
            known = error
        _CACHE[key] = known
    if isinstance(known, UnsupportedError):
        raise UnsupportedError(known.message, code=known.code)
    return known


def _unknown(type_id: h5t.TypeID) -> ElementType:
    raise UnsupportedError(f"HDF5 datatype class {type_id.get_class()} has no Zarr form", code="dtype")


def _plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype without h5py's metadata."""
    return np.dtype(dtype.str)


def _as_it_lies_or_decoded(dtype: np.dtype[Any], type_id: h5t.TypeID, exact: bool) -> ElementType:
    if (dtype.kind == "f" and dtype.itemsize > 8) or (dtype.kind == "c" and dtype.itemsize > 16):
        raise UnsupportedError(f"{dtype.name} is wider than any portable Zarr data type", code="dtype")
    size = type_id.get_size()
    return ElementType(dtype, size, decode=None if exact and dtype.itemsize == size else Decode.VALUES)


def _integer(type_id: h5t.TypeID) -> ElementType:
    dtype = _plain(numpy_type(type_id))
    size, precision, offset = type_id.get_size(), type_id.get_precision(), type_id.get_offset()
    usual = dtype.itemsize == size and type_id.get_order() != h5t.ORDER_VAX
    if (precision == 8 * size and offset == 0) or not usual:
        return _as_it_lies_or_decoded(dtype, type_id, usual)
    configuration = {
        "itemsize": size,
        "byteorder": "big" if type_id.get_order() == h5t.ORDER_BE else "little",
        "precision": precision,
        "offset": offset,
        "signed": dtype.kind == "i",
    }
    return ElementType(dtype, size, fixups=(Codec("refmaker_hdf5_integer", configuration),))


def _float(type_id: h5t.TypeID) -> ElementType:
    dtype = numpy_type(type_id)
    return _as_it_lies_or_decoded(_plain(dtype), type_id, bool(h5t.py_create(dtype).equal(type_id)))


def _complex(type_id: h5t.TypeID) -> ElementType:
    """HDF5 2.0's native complex class: two floats, which is numpy's complex as it lies."""
    dtype = _plain(numpy_type(type_id))
    part = _float(type_id.get_super())
    return _as_it_lies_or_decoded(dtype, type_id, part.decode is None)


def _bitfield(type_id: h5t.TypeID) -> ElementType:
    size = type_id.get_size()
    if size not in {1, 2, 4, 8}:
        raise UnsupportedError(f"a bitfield of {size} bytes has no Zarr form", code="dtype")
    order = ">" if type_id.get_order() == h5t.ORDER_BE else "<"
    return ElementType(np.dtype(f"{order}u{size}"), size)


def _opaque(type_id: h5t.TypeID) -> ElementType:
    dtype = numpy_type(type_id)
    size = type_id.get_size()
    if dtype.kind in "mM" and np.datetime_data(dtype)[0] != "generic":
        return ElementType(np.dtype(dtype.str), size)
    tag = text_of(type_id.get_tag())
    return ElementType(np.dtype(f"V{size}"), size, attributes={"hdf5_opaque_tag": tag} if tag else {})


def _enumeration(type_id: h5t.TypeID) -> ElementType:
    dtype = numpy_type(type_id)
    base = element_type(type_id.get_super())
    if dtype.kind == "b" and type_id.get_size() == 1:
        return ElementType(np.dtype(bool), 1)
    members = [
        (text_of(type_id.get_member_name(i)), int(type_id.get_member_value(i))) for i in range(type_id.get_nmembers())
    ]
    meanings = " ".join(name.replace(" ", "_") for name, _ in members)
    flags: dict[str, JSON] = {"flag_values": [value for _, value in members], "flag_meanings": meanings}
    return ElementType(
        base.dtype, base.stored_nbytes, fixups=base.fixups, decode=base.decode, attributes=flags if members else {}
    )


_PADDING = {h5t.STR_NULLTERM: "null-term", h5t.STR_NULLPAD: None, h5t.STR_SPACEPAD: "space"}


def _string(type_id: h5t.TypeID) -> ElementType:
    utf8 = type_id.get_cset() == h5t.CSET_UTF8
    if type_id.is_variable_str():
        return ElementType(np.dtype(object), type_id.get_size(), decode=Decode.TEXT)
    size = type_id.get_size()
    padding = _PADDING.get(type_id.get_strpad())
    fields = [[0, size, padding]]
    mend = padding == "space" or (padding == "null-term" and size > 1)
    return ElementType(
        np.dtype(f"S{size}"),
        size,
        fixups=(Codec(STRING_CODEC, {"itemsize": size, "fields": fields}),) if mend else (),
        attributes={"_Encoding": "utf-8"} if utf8 and size > 1 else {},
    )


def _array(type_id: h5t.TypeID) -> ElementType:
    base = element_type(type_id.get_super())
    if base.dtype.kind == "O":
        raise UnsupportedError("an array datatype of variable-length elements has no Zarr form", code="dtype")
    shape = (*type_id.get_array_dims(), *base.inner_shape)
    return ElementType(
        base.dtype, base.stored_nbytes, shape, fixups=base.fixups, decode=base.decode, attributes=base.attributes
    )


def _compound(type_id: h5t.TypeID) -> ElementType:
    size = type_id.get_size()
    whole = numpy_type(type_id)
    if whole.kind == "c":
        return _as_it_lies_or_decoded(_plain(whole), type_id, bool(h5t.py_create(whole).equal(type_id)))
    names, members, offsets = [], [], []
    for i in range(type_id.get_nmembers()):
        name = text_of(type_id.get_member_name(i))
        member = element_type(type_id.get_member_type(i))
        if member.decode in {Decode.TEXT, Decode.PATHS}:
            raise UnsupportedError(f"compound member {name!r}: {member.decode.value} inside a compound", code="dtype")
        if member.inner_shape or member.dtype.names:
            raise UnsupportedError(
                f"compound member {name!r} is itself compound or an array, which Zarr readers refuse", code="dtype"
            )
        names.append(name)
        members.append(member)
        offsets.append(type_id.get_member_offset(i))
    dtype = np.dtype([(name, member.dtype) for name, member in zip(names, members, strict=True)])
    if any(member.decode or [f for f in member.fixups if f.id != STRING_CODEC] for member in members):
        return ElementType(dtype, size, decode=Decode.VALUES)
    fields = [[offset, member.stored_nbytes] for offset, member in zip(offsets, members, strict=True)]
    strings = [
        [offset + at, length, padding]
        for offset, member in zip(offsets, members, strict=True)
        for fixup in member.fixups
        for at, length, padding in fixup.configuration["fields"]
    ]
    fixups = []
    if dtype.itemsize != size or [offset for offset, _ in fields] != [dtype.fields[n][1] for n in names]:  # type: ignore[index]
        fixups.append(Codec("refmaker_hdf5_compound", {"itemsize": size, "fields": fields}))
    if strings:
        fixups.append(Codec(STRING_CODEC, {"itemsize": size, "fields": strings}))
    return ElementType(dtype, size, fixups=tuple(fixups))


def _reference(type_id: h5t.TypeID) -> ElementType:
    region = bool(type_id.equal(h5t.STD_REF_DSETREG))
    lost = "of references to regions only the objects are kept, not the regions" if region else ""
    return ElementType(np.dtype(object), type_id.get_size(), decode=Decode.PATHS, lost=lost)


def _variable_length(_: h5t.TypeID) -> ElementType:
    raise UnsupportedError(
        "ragged rows (a variable-length datatype) have no Zarr form that readers know; store them as two arrays",
        code="ragged",
    )


def _time(_: h5t.TypeID) -> ElementType:
    raise UnsupportedError("the HDF5 time datatype has no portable meaning", code="dtype")


_CLASSES: dict[int, Callable[[h5t.TypeID], ElementType]] = {
    h5t.INTEGER: _integer,
    h5t.FLOAT: _float,
    h5t.STRING: _string,
    h5t.BITFIELD: _bitfield,
    h5t.OPAQUE: _opaque,
    h5t.COMPOUND: _compound,
    h5t.REFERENCE: _reference,
    h5t.ENUM: _enumeration,
    h5t.VLEN: _variable_length,
    h5t.ARRAY: _array,
    h5t.TIME: _time,
    getattr(h5t, "COMPLEX", -99): _complex,
}
"""The datatype classes of the specification (and of HDF5 2.0: complex)."""
