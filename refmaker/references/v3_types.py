"""Data types and fill values as Zarr v3 spells them in JSON, and back.

Zarr v3 core specification, "Data types" and "Fill value"; names beyond it are zarr-python's (``null_terminated_bytes``,
``numpy.datetime64``, ...). Byte order is not part of a v3 data type: the ``bytes`` codec has it. Broken spellings raise
``ValueError`` here: the caller knows which document it is and says so.
"""

import base64
import math
import struct
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from refmaker.errors import UnsupportedError
from refmaker.model.attributes import JSON
from refmaker.references.v2_types import MAXIMUM_ITEMSIZE, fill_value_json, parse_fill_value

__all__ = [
    "data_type_v3",
    "endian_of",
    "fill_value_v3",
    "mask_json",
    "parse_data_type_v3",
    "parse_fill_v3",
    "parse_mask",
]

DataType = np.dtype[Any]

NUMBERS = {
    "bool": "?", "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8", "uint8": "u1", "uint16": "u2",
    "uint32": "u4", "uint64": "u8", "float16": "f2", "float32": "f4", "float64": "f8", "complex64": "c8",
    "complex128": "c16",
}  # fmt: skip
"""Names of the core specification and what numpy calls them."""
NAMES = {np.dtype(code): name for name, code in NUMBERS.items()}
STRUCTURES = ("structured", "struct")
"""zarr-python's names of a structure: until and from 3.2 on."""
MAXIMUM_DEPTH = 32


def endian_of(data_type: DataType) -> str | None:
    """Return ``"little"``, ``"big"``, or None for elements that have no byte order.

    Raises:
        UnsupportedError: a structure has big-endian fields, which v3 cannot say (code ``"dtype"``).
    """
    if data_type.names is not None:
        if any(_big(data_type.fields[name][0]) for name in data_type.names):  # type: ignore[index]
            raise UnsupportedError(f"Zarr v3 cannot express big-endian fields: {data_type}", code="dtype")
        return "little"
    if data_type.kind in "SVOb" or data_type.itemsize == 1:
        return None
    return "big" if _big(data_type) else "little"


def _big(data_type: DataType) -> bool:
    base = data_type.base
    if base.names is not None:
        return any(_big(base.fields[name][0]) for name in base.names)  # type: ignore[index]
    return base.str.startswith(">")


def data_type_v3(data_type: DataType, *, text: bool = True) -> JSON:
    """Return a data type as ``data_type`` in ``zarr.json``; ``text`` says what objects are: strings or bytes.

    Raises:
        UnsupportedError: no Zarr v3 reader has such a type (code ``"dtype"``).
    """
    kind, size = data_type.kind, data_type.itemsize
    if data_type.names is not None:
        return {"name": "structured", "configuration": {"fields": _fields(data_type)}}
    if (native := data_type.newbyteorder("=")) in NAMES:
        return NAMES[native]
    if kind == "O":
        return "string" if text else "variable_length_bytes"
    if kind in "Mm" and np.datetime_data(data_type)[0] != "generic":
        unit, scale = np.datetime_data(data_type)
        name = "numpy.datetime64" if kind == "M" else "numpy.timedelta64"
        return {"name": name, "configuration": {"unit": unit, "scale_factor": scale}}
    sized = {"S": "null_terminated_bytes", "U": "fixed_length_utf32", "V": "raw_bytes"}
    if kind in sized and size and data_type.subdtype is None:
        return {"name": sized[kind], "configuration": {"length_bytes": size}}
    raise UnsupportedError(f"Zarr v3 has no data type for {data_type!r}", code="dtype")


def _fields(data_type: DataType) -> list[JSON]:
    listed: list[JSON] = []
    end = 0
    fields: Mapping[str, Any] = data_type.fields or {}
    for name in data_type.names or ():
        inner, offset = fields[name][:2]
        if offset < end or inner.subdtype is not None or inner.hasobject:
            raise UnsupportedError(f"Zarr v3 readers have no structure such as {data_type}", code="dtype")
        if offset > end:
            listed.append([f"_padding_{end}", data_type_v3(np.dtype(f"V{offset - end}"))])
        listed.append([name, data_type_v3(inner)])
        end = offset + inner.itemsize
    if end < data_type.itemsize:
        listed.append([f"_padding_{end}", data_type_v3(np.dtype(f"V{data_type.itemsize - end}"))])
    return listed


def parse_data_type_v3(spelled: JSON, endian: str, *, depth: int = 0) -> DataType:
    """Return the data type that ``data_type_v3`` spelled, in a byte order (``"little"``, ``"big"``).

    Raises:
        ValueError: no such type.
    """
    try:
        return _parse_data_type(spelled, endian, depth)
    except (TypeError, SyntaxError, OverflowError, MemoryError) as error:
        raise ValueError(f"{spelled!r:.100} is not a Zarr v3 data type") from error


def _parse_data_type(spelled: JSON, endian: str, depth: int) -> DataType:
    name, configuration = _named(spelled)
    order: Literal["<", ">"] = ">" if endian == "big" else "<"
    if name in NUMBERS:
        return np.dtype(NUMBERS[name]).newbyteorder(order)
    if name in {"string", "variable_length_bytes", "bytes"}:
        return np.dtype(object)
    if name in {"numpy.datetime64", "numpy.timedelta64"}:
        unit, scale = configuration.get("unit"), configuration.get("scale_factor")
        if type(scale) is not int or not isinstance(unit, str) or not unit.isalpha():
            raise ValueError(f"{spelled!r:.100} is not a Zarr v3 data type")
        return np.dtype(f"{order}{'M' if 'date' in name else 'm'}8[{scale}{unit}]")
    if name in STRUCTURES and depth < MAXIMUM_DEPTH:
        return _parse_structure(configuration.get("fields"), endian, depth)
    sized = {"null_terminated_bytes": ("S", 1), "fixed_length_utf32": ("U", 4), "raw_bytes": ("V", 1)}
    if name.startswith("r") and name[1:].isdecimal() and int(name[1:4]) and len(name) < 12:
        configuration, name = {"length_bytes": int(name[1:]) // 8}, "raw_bytes"
    length = configuration.get("length_bytes")
    if name in sized and isinstance(length, int) and 0 < length < MAXIMUM_ITEMSIZE:
        kind, width = sized[name]
        if length % width == 0:
            return np.dtype(f"{kind}{length // width}").newbyteorder(order)
    raise ValueError(f"{spelled!r:.100} is not a Zarr v3 data type that we know")


def _named(spelled: JSON) -> tuple[str, Mapping[str, JSON]]:
    if isinstance(spelled, str):
        return spelled, {}
    if isinstance(spelled, dict) and isinstance(spelled.get("name"), str):
        configuration = spelled.get("configuration", {})
        if isinstance(configuration, dict):
            return str(spelled["name"]), configuration
    raise ValueError(f"{spelled!r:.100} has no name")


def _parse_structure(fields: JSON, endian: str, depth: int) -> DataType:
    if not isinstance(fields, list) or not fields:
        raise ValueError(f"{fields!r:.100} are not the fields of a structure")
    parsed = []
    for field in fields:
        pair: Any = [field.get("name"), field.get("data_type")] if isinstance(field, dict) else field
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ValueError(f"{field!r:.100} is not a field")
        parsed.append((pair[0], parse_data_type_v3(pair[1], endian, depth=depth + 1)))
    data_type = np.dtype(parsed)
    if data_type.itemsize > MAXIMUM_ITEMSIZE:
        raise ValueError(f"elements take {data_type.itemsize} bytes")
    return data_type


def fill_value_v3(fill_value: Any, data_type: DataType, *, text: bool = True) -> JSON:
    """Return a fill value as ``fill_value`` in ``zarr.json``, which must have one: zero stands for None."""
    if data_type.kind == "O":
        if text:
            return str(fill_value or "")
        return base64.b64encode(bytes(fill_value or b"")).decode()
    if fill_value is None:
        fill_value = np.zeros((), data_type.newbyteorder("="))[()]
    return fill_value_json(fill_value, data_type)


def parse_fill_v3(spelled: JSON, data_type: DataType, *, text: bool = True) -> Any:
    """Return the fill value that a document spells, as a numpy scalar, bytes or text.

    Raises:
        ValueError: not a value of that type.
    """
    try:
        return _parse_fill(spelled, data_type, text=text)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{spelled!r:.100} is not a fill value of type {data_type}") from error


def _parse_fill(spelled: JSON, data_type: DataType, *, text: bool) -> Any:
    if data_type.kind == "O" and not text:
        listed = bytes(spelled) if isinstance(spelled, list) else spelled  # type: ignore[arg-type]
        return np.bytes_(listed) if isinstance(listed, bytes) else parse_fill_value(spelled, np.dtype("S1"))
    if data_type.kind in "Mm" and spelled == "NaT":
        spelled = int(np.iinfo(np.int64).min)
    if data_type.kind == "f" and isinstance(spelled, str) and spelled.startswith("0x"):
        bits = int(spelled, 16).to_bytes(data_type.itemsize, "big")
        return np.frombuffer(bits, data_type.newbyteorder(">"))[0].astype(data_type.newbyteorder("="))
    if data_type.kind == "V" and isinstance(spelled, list):
        spelled = base64.b64encode(bytes(spelled)).decode()  # type: ignore[arg-type]
    if data_type.names is not None and isinstance(spelled, dict):
        members = {
            name: np.asarray(parse_fill_v3(spelled.get(name), data_type[name], text=text)) for name in data_type.names
        }
        value = np.zeros((), data_type)
        for name, member in members.items():
            value[name] = member
        return value[()]
    return parse_fill_value(spelled, data_type)


def mask_json(fill_value: Any, data_type: DataType) -> JSON:
    """Return a fill value as xarray wants the attribute ``_FillValue`` of v3 arrays; None if it takes none of the type.

    That is base64 of a little-endian double for floats, a plain value for integers and booleans; nothing else opens.
    """
    kind = data_type.kind
    if fill_value is None or kind not in "biufc":
        return None
    if kind == "f":
        return _double(float(fill_value))
    if kind == "c":
        number = complex(fill_value)
        return [_double(number.real), _double(number.imag)]
    return fill_value_json(fill_value, data_type)


def _double(value: float) -> str:
    return base64.b64encode(struct.pack("<d", value)).decode()


def parse_mask(spelled: JSON, data_type: DataType) -> JSON:
    """Return the attribute ``_FillValue`` as a plain JSON value; what is not as ``mask_json`` spells it stays."""
    try:
        if data_type.kind == "f" and isinstance(spelled, str):
            value: float = struct.unpack("<d", base64.b64decode(spelled, validate=True))[0]
            return value if math.isnan(value) else float(data_type.newbyteorder("=").type(value))
        if data_type.kind == "S" and isinstance(spelled, str):
            return base64.b64decode(spelled, validate=True).decode("latin-1")
        if data_type.kind == "c" and isinstance(spelled, list):
            return [struct.unpack("<d", base64.b64decode(str(part), validate=True))[0] for part in spelled]
    except (ValueError, struct.error):
        return spelled
    return spelled
