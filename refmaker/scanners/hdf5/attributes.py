"""The attributes of an HDF5 object: those to show as JSON, and those by which netCDF-4 and HDF5 keep their books.

Hidden are only the bookkeeping attributes of the HDF5 Dimension Scale Specification and of netCDF-4, and only where
they have the form these give them; a user's own ``NAME`` or ``CLASS`` stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import h5py
import numpy as np
from h5py import h5a, h5g, h5r, h5s, h5t
from h5py._objects import ObjectID

from refmaker.errors import RefmakerError, UnsupportedError
from refmaker.model.attributes import JSON, attribute_json, text_of
from refmaker.scanners.hdf5.datatypes import numpy_type

__all__ = [
    "H5PY_ERRORS",
    "Attribute",
    "LibraryAttribute",
    "ObjectAttributes",
    "kind_of",
    "object_address",
    "read_attributes",
    "reference_path",
]


H5PY_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError)
"""What h5py raises when HDF5 finds bytes broken (and MemoryError, which stays what it is)."""


@dataclass(slots=True)
class ObjectAttributes:
    """What the attributes of one object say.

    Attributes:
        shown: name -> JSON.
        hidden: name -> value, of bookkeeping attributes; REFERENCE_LIST only as None, it may be huge.
        raw_fill_value: ``_FillValue`` as numpy read it, or None.
        dropped: (name, reason) of attributes that no JSON expresses.
    """

    shown: dict[str, JSON] = field(default_factory=dict)
    hidden: dict[str, Any] = field(default_factory=dict)
    raw_fill_value: Any = None
    dropped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_scale(self) -> bool:
        """Whether the object is an HDF5 dimension scale."""
        return "CLASS" in self.hidden


def object_address(object_id: ObjectID) -> int:
    """Return the file address of an object's header, relative to the base address.

    ``H5Oget_info`` would tell too, but walks a dataset's whole chunk index to add up its size.
    """
    low, high = h5g.get_objinfo(object_id, b".").objno
    return int(low) | int(high) << 32


class Attribute(Protocol):
    """One attribute, whoever reads it."""

    name: bytes

    @property
    def kind(self) -> str:
        """Which of the kinds of bookkeeping attributes it is."""

    def value(self) -> Any:
        """Return its value as numpy has it; ``h5py.Empty`` for a null dataspace."""


INTEGER, STRING, REFERENCE_ROWS, COMPOUND, OTHER = "integer", "string", "rows of references", "compound", "other"
"""What bookkeeping attributes are made of."""
_KINDS = {h5t.INTEGER: INTEGER, h5t.STRING: STRING, h5t.COMPOUND: COMPOUND}


def kind_of(type_id: h5t.TypeID) -> str:
    """Return which of the kinds of bookkeeping attributes a datatype is."""
    type_class = type_id.get_class()
    if type_class == h5t.VLEN and type_id.get_super().get_class() == h5t.REFERENCE:
        return REFERENCE_ROWS
    return _KINDS.get(type_class, OTHER)


_BOOKKEEPING = {
    b"CLASS": STRING,
    b"DIMENSION_LIST": REFERENCE_ROWS,
    b"REFERENCE_LIST": COMPOUND,
    b"_Netcdf4Dimid": INTEGER,
    b"_Netcdf4Coordinates": INTEGER,
    b"_NCProperties": STRING,
    b"_nc3_strict": INTEGER,
}
"""Name -> the kind that a bookkeeping attribute of that name is. ``NAME`` is hidden beside a hidden CLASS."""


def _says_dimension_scale(value: Any) -> bool:
    array = np.asarray(value)
    return array.size == 1 and text_of(array.astype(bytes).item()) == "DIMENSION_SCALE"


_MEMORY_TYPES: dict[bytes, tuple[np.dtype[Any], h5t.TypeID]] = {}
_CACHE_SIZE = 512


def _memory_type(type_id: h5t.TypeID) -> tuple[np.dtype[Any], h5t.TypeID]:
    """Return the numpy dtype and the memory datatype for reading; cached: making them costs as much as reading."""
    key = type_id.encode()
    known = _MEMORY_TYPES.get(key)
    if known is None:
        if len(_MEMORY_TYPES) >= _CACHE_SIZE:
            _MEMORY_TYPES.clear()
        dtype = numpy_type(type_id)
        known = dtype, h5t.py_create(dtype)
        _MEMORY_TYPES[key] = known
    return known


def _read(attribute: h5a.AttrID) -> Any:
    """Return an open attribute's value: an array, or ``h5py.Empty`` for a null dataspace."""
    space = attribute.get_space()
    dtype, memory = _memory_type(attribute.get_type())
    if space.get_simple_extent_type() == h5s.NULL:
        return h5py.Empty(dtype)
    shape = space.get_simple_extent_dims()
    if dtype.subdtype is not None:
        base, inner = dtype.subdtype
        value = np.empty(shape + inner, base)
        attribute.read(value, mtype=memory)
        return value
    value = np.zeros(shape, dtype)
    if value.size:
        attribute.read(value, memory)
    return value


class LibraryAttribute:
    """An attribute as h5py reads it, opened on first use."""

    def __init__(self, open_object: Callable[[], ObjectID], name: bytes) -> None:
        self.name = name
        self._open_object = open_object
        self._opened: h5a.AttrID | None = None

    def _id(self) -> h5a.AttrID:
        if self._opened is None:
            self._opened = h5a.open(self._open_object(), self.name)
        return self._opened

    @property
    def kind(self) -> str:
        """Which of the kinds of bookkeeping attributes it is."""
        return kind_of(self._id().get_type())

    def value(self) -> Any:
        """Return its value."""
        return _read(self._id())


def read_attributes(attributes: Sequence[Attribute], file_id: ObjectID, *, is_file_root: bool) -> ObjectAttributes:
    """Return what an object's attributes say; one that cannot be read or expressed is listed in ``dropped``."""
    found = ObjectAttributes()
    for attribute in attributes:
        raw_name = attribute.name
        name = text_of(raw_name)
        if raw_name != name.encode() and any(name.encode() == other.name for other in attributes):
            found.dropped.append((name, f"{raw_name!r} reads like another attribute's name"))
            continue
        try:
            is_bookkeeping = raw_name in _BOOKKEEPING and attribute.kind == _BOOKKEEPING[raw_name]
            value = None if is_bookkeeping and raw_name == b"REFERENCE_LIST" else attribute.value()
            if raw_name == b"CLASS":
                is_bookkeeping = is_bookkeeping and _says_dimension_scale(value)
            elif raw_name == b"_NCProperties":
                is_bookkeeping = is_bookkeeping and is_file_root
            if is_bookkeeping:
                found.hidden[name] = value
                continue
            if raw_name == b"_FillValue":
                found.raw_fill_value = value
            found.shown[name] = _json(value, file_id)
        except RefmakerError as error:
            found.dropped.append((name, error.message))
        except H5PY_ERRORS as error:
            found.dropped.append((name, f"h5py cannot read it: {error}"))
    if found.is_scale and "NAME" in found.shown:
        found.hidden["NAME"] = found.shown.pop("NAME")
    return found


def reference_path(reference: Any, file_id: ObjectID) -> str:
    """Return the path of the object an HDF5 reference points to, ``""`` for a null or dangling one."""
    if not reference:
        return ""
    name = h5r.get_name(reference, file_id)
    return text_of(name) if name else ""


def _json(value: Any, file_id: ObjectID) -> JSON:
    if isinstance(value, h5py.Empty):
        return "" if value.dtype.kind in "SUO" else []
    if value.dtype.kind == "O" or value.dtype.hasobject:
        return _plain_objects(value, file_id)
    return attribute_json(value)


def _plain_objects(value: Any, file_id: ObjectID) -> JSON:
    """Return object elements as JSON: strings, references as paths, ragged rows as lists, compounds as objects."""
    if isinstance(value, h5r.RegionReference):
        raise UnsupportedError("a reference to a region has no JSON form", code="attribute")
    if isinstance(value, h5r.Reference):
        return reference_path(value, file_id)
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        if value.size == 1:
            return _plain_objects(value.reshape(-1)[0], file_id)
        rows = [_plain_objects(element, file_id) for element in value]
        return [  # a ragged row of one element is still a row
            [row] if isinstance(element, np.ndarray) and element.size == 1 else row
            for element, row in zip(value, rows, strict=True)
        ]
    if isinstance(value, np.void) and value.dtype.names:
        return {name: _plain_objects(value[name], file_id) for name in value.dtype.names}
    return attribute_json(value)
