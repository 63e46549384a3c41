"""Data types and fill values as Zarr v2 spells them in JSON, and back.

Zarr v2 specification, "Data type encoding" and "Fill value encoding". Broken spellings raise ``ValueError`` here: the
caller knows which document it is and says so.
"""

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from refmaker.errors import UnsupportedError
from refmaker.model.attributes import JSON

__all__ = ["data_type_json", "fill_value_json", "parse_data_type", "parse_fill_value"]

DataType = np.dtype[Any]

NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""Zarr v2 specification, "Fill value encoding": what JSON has no number for."""
MAXIMUM_ITEMSIZE = 1 << 31
"""Bytes of one element beyond which a document is broken rather than ambitious."""
MAXIMUM_DEPTH = 32
"""Structures within structures."""


def data_type_json(data_type: DataType) -> JSON:
    """Return a data type as ``dtype`` in ``.zarray``: ``"<f4"``, ``"|S10"``, or a list of fields.

    A structure's fields may be structures or subarrays (``[name, type, shape]``); gaps between fields become fields
    of raw bytes called ``_padding_<byte>``, because readers see fields only.

    Raises:
        UnsupportedError: no Zarr v2 reader has such a type (code ``"dtype"``).
    """
    kind = data_type.kind
    if data_type.names is not None:
        return _fields_json(data_type)
    wide = (kind == "f" and data_type.itemsize > 8) or (kind == "c" and data_type.itemsize > 16)
    empty = kind in "SUV" and data_type.itemsize == 0
    if kind not in "?biufcSUVMmO" or wide or empty or data_type.subdtype is not None:
        raise UnsupportedError(f"Zarr v2 has no data type for {data_type!r}", code="dtype")
    return "|O" if kind == "O" else data_type.str


def _fields_json(data_type: DataType) -> JSON:
    listed: list[JSON] = []
    end = 0
    fields: Mapping[str, Any] = data_type.fields or {}
    for name in data_type.names or ():
        inner, offset = fields[name][:2]
        if offset < end:
            raise UnsupportedError(f"the fields of {data_type} overlap or are out of order", code="dtype")
        if offset > end:
            listed.append([f"_padding_{end}", f"|V{offset - end}"])
        base, shape = (inner, ()) if inner.subdtype is None else inner.subdtype
        if base.hasobject:
            raise UnsupportedError(f"{data_type} has a field of variable length", code="dtype")
        listed.append([name, data_type_json(base), *([list(shape)] if shape else [])])
        end = offset + inner.itemsize
    if end < data_type.itemsize:
        listed.append([f"_padding_{end}", f"|V{data_type.itemsize - end}"])
    return listed


def parse_data_type(spelled: JSON, *, depth: int = 0) -> DataType:
    """Return the data type that ``data_type_json`` spelled.

    Raises:
        ValueError: no such type.
    """
    try:
        if isinstance(spelled, str):
            data_type = np.dtype(spelled)
            if data_type.names is not None or data_type.subdtype is not None:  # "i4,f8" is numpy's, not Zarr's
                raise ValueError(f"{spelled!r} is not a Zarr v2 data type")
        elif isinstance(spelled, list) and depth < MAXIMUM_DEPTH:
            data_type = np.dtype([_parse_field(field, depth) for field in spelled])
        else:
            raise ValueError(f"{spelled!r:.100} is not a Zarr v2 data type")
    except (TypeError, SyntaxError, OverflowError, MemoryError) as error:
        raise ValueError(f"{spelled!r:.100} is not a Zarr v2 data type") from error
    if data_type.itemsize > MAXIMUM_ITEMSIZE or (data_type.itemsize == 0 and data_type.kind != "O"):
        raise ValueError(f"elements of type {spelled!r:.100} take {data_type.itemsize} bytes")
    return data_type


def _parse_field(field: JSON, depth: int) -> tuple[Any, ...]:
    if not isinstance(field, list) or not 2 <= len(field) <= 3 or not isinstance(field[0], str):
        raise ValueError(f"{field!r:.100} is not a field: [name, type] or [name, type, shape]")
    inner = parse_data_type(field[1], depth=depth + 1)
    if len(field) == 2:
        return field[0], inner
    shape = field[2] if isinstance(field[2], list) else [field[2]]
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise ValueError(f"{field[2]!r:.100} is not a shape")
    return field[0], inner, tuple(shape)


def fill_value_json(fill_value: Any, data_type: DataType) -> JSON:
    """Return a fill value as ``fill_value`` in ``.zarray``; None (absent chunks read as zero) stays None."""
    if fill_value is None:
        return None
    kind = data_type.kind
    if kind == "b":
        return bool(fill_value)
    if kind in "iu":
        return int(fill_value)
    if kind == "f":
        return _float_json(float(fill_value))
    if kind == "c":
        number = complex(fill_value)
        return [_float_json(number.real), _float_json(number.imag)]
    if kind in "Mm":
        return int(np.array(fill_value, data_type.newbyteorder("=")).view(np.int64))
    if kind == "U" or (kind == "O" and isinstance(fill_value, str)):
        return str(fill_value)
    if kind == "V":
        raw = fill_value if isinstance(fill_value, bytes) else np.array(fill_value, data_type).tobytes()
        return base64.b64encode(raw.ljust(data_type.itemsize, b"\0")).decode()
    return base64.b64encode(memoryview(fill_value)).decode()


def _float_json(value: float) -> JSON:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def parse_fill_value(spelled: JSON, data_type: DataType) -> Any:
    """Return the fill value that ``fill_value_json`` spelled, as a numpy scalar, bytes or None.

    Integral floats for integers and 0/1 for booleans are taken too: other writers have put them there.

    Raises:
        ValueError: not a value of that type.
    """
    if spelled is None:
        return None
    kind = data_type.kind
    try:
        if kind in "SV":
            return _parse_bytes(spelled, data_type)
        value = _parse_text(spelled) if kind in "UO" else _parse_number(spelled, kind)
        return value if kind == "O" else np.array(value, data_type.newbyteorder("="))[()]
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise ValueError(f"{spelled!r:.100} is not a fill value of type {data_type}") from error


def _parse_text(spelled: JSON) -> str:
    if not isinstance(spelled, str):
        raise TypeError("not text")
    return spelled


def _parse_bytes(spelled: JSON, data_type: DataType) -> Any:
    raw = base64.b64decode(_parse_text(spelled), validate=True)
    if data_type.kind == "S":
        return np.bytes_(raw)
    if len(raw) != data_type.itemsize:
        raise ValueError(f"{len(raw)} bytes")
    return np.frombuffer(raw, data_type)[0]


def _parse_number(spelled: JSON, kind: str) -> Any:
    if kind == "c":
        pair = spelled if isinstance(spelled, list) else [spelled, 0.0]
        real, imaginary = (_parse_number(part, "f") for part in pair)
        return complex(real, imaginary)
    if isinstance(spelled, str):
        if kind != "f" or spelled not in NON_FINITE:
            raise ValueError("not a number")
        return NON_FINITE[spelled]
    if not isinstance(spelled, bool | int | float):
        raise TypeError("not a number")
    if kind == "b":
        spelled = (False, True).index(spelled)
    elif kind in "iuMm" and spelled != int(spelled):
        raise ValueError("not an integer")
    return float(spelled) if kind == "f" else int(spelled)
