"""Attribute values as JSON, once for every format.

The rules: a value keeps its shape and its numbers. Arrays of one element become that element, as netCDF4-python
reports them. Text is UTF-8, else Latin-1 (every byte string has one reading). Complex numbers become ``[real,
imaginary]`` and compound values objects of their fields. NaN and the infinities stay floats: the Zarr v2 documents
spell them as zarr-python does. What has no exact JSON is refused, so that the caller can report it.
"""

from typing import Any, TypeAlias

import numpy as np

from refmaker.errors import UnsupportedError

__all__ = ["JSON", "attribute_json", "text_of"]

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"


def text_of(value: bytes | str) -> str:
    """Return text: UTF-8 where it is UTF-8, else Latin-1; surrogate escapes (h5py's) are undone first."""
    if isinstance(value, str):
        if not any("\ud800" <= character <= "\udfff" for character in value):
            return str(value)
        value = value.encode("utf-8", "surrogateescape")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _plain(value: np.generic) -> Any:
    """Return a numpy scalar as a Python one, moments as ISO 8601 text.

    Raises:
        UnsupportedError: JSON has no such value.
    """
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.timedelta64):
        raise UnsupportedError(f"the duration {value} has no JSON form", code="attribute")
    if isinstance(value, np.longdouble):
        if np.isfinite(value) and np.longdouble(float(value)) != value:
            raise UnsupportedError(f"{value!r} has no exact JSON number", code="attribute")
        return float(value)
    return value.item()


def attribute_json(value: Any) -> JSON:
    """Return an attribute's value as JSON.

    Raises:
        UnsupportedError: no JSON has this value (code ``"attribute"``).
    """
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
            plain: JSON = value.item() if value.size == 1 else value.tolist()
            return plain
        if value.size == 1:
            return attribute_json(value.reshape(-1)[0])
        return [attribute_json(element) for element in value]
    if isinstance(value, str | bytes):  # np.str_ and np.bytes_ are these too
        return text_of(value)
    if isinstance(value, np.void):
        if value.dtype.names is None:
            raise UnsupportedError(f"opaque bytes ({value.dtype}) have no JSON form", code="attribute")
        return {text_of(name): attribute_json(value[name]) for name in value.dtype.names}
    if isinstance(value, np.generic):
        value = _plain(value)
    if isinstance(value, complex):
        return [value.real, value.imag]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [attribute_json(element) for element in value]
    raise UnsupportedError(f"a value of type {type(value).__name__} has no JSON form", code="attribute")
