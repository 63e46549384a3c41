"""What references say beside what a native library says: metadata, attributes, values."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.model.array import ArrayMetadata
from refmaker.model.attributes import JSON
from refmaker.verify.findings import Check
from refmaker.verify.native import NativeArray

__all__ = [
    "attribute_differences",
    "differing",
    "metadata_differences",
    "same_dtype",
    "same_json",
    "same_names",
    "same_scalar",
    "value_text",
]

Difference = tuple[Check, str]


def metadata_differences(metadata: ArrayMetadata, native: NativeArray) -> Iterator[Difference]:
    """Yield in what an array's type, dimensions and fill value differ from the file's; byte order may."""
    if not same_dtype(metadata.data_type, native.dtype):
        yield Check.DTYPE, f"is {metadata.data_type}, and {native.dtype} in the file"
    if native.dimensions is not None and native.dimensions != metadata.dimension_names:
        yield Check.DIMENSIONS, f"are {metadata.dimension_names}, and {native.dimensions} in the file"
    if native.fill_values is None:
        return
    fill = metadata.fill_value
    if fill is None:
        if native.must_fill and native.fill_values:
            yield Check.FILL, f"there is no fill value, and {value_text(native.fill_values[0])} in the file"
    elif not any(same_scalar(fill, one) for one in native.fill_values):
        told = " or ".join(map(value_text, native.fill_values)) or "none"
        yield Check.FILL, f"the fill value is {value_text(fill)}, and {told} in the file"


def attribute_differences(
    ours: Mapping[str, JSON], theirs: Mapping[str, JSON], *, more: frozenset[str], dropped: str
) -> Iterator[Difference]:
    """Yield in what attributes differ.

    Args:
        ours: as the references have them.
        theirs: as the file has them.
        more: names that the references may have beside.
        dropped: what the scan reported of this object; attributes named there may be missing.
    """
    for name, value in theirs.items():
        if name not in ours:
            if repr(name) not in dropped:
                yield Check.ATTRIBUTES, f"{name!r} is missing; it is {value_text(value)} in the file"
        elif not same_json(ours[name], value) and name not in more:
            yield Check.ATTRIBUTES, f"{name!r} is {value_text(ours[name])}, and {value_text(value)} in the file"
    for name in ours.keys() - theirs.keys() - more:
        yield Check.ATTRIBUTES, f"{name!r} is {value_text(ours[name])}, and the file has no such attribute"


def same_dtype(ours: np.dtype[Any], theirs: np.dtype[Any]) -> bool:
    """Whether types are the same but for byte order, gaps between fields, and what h5py notes on them."""
    if ours.names is not None or theirs.names is not None:
        names = tuple(name for name in ours.names or () if not name.startswith("_padding_"))
        if names != tuple(theirs.names or ()):
            return False
        return all(same_dtype(ours[name], theirs[name]) for name in names)
    if "O" in (ours.kind, theirs.kind):
        return ours.kind == theirs.kind
    if ours.subdtype is not None and theirs.subdtype is not None:
        return ours.shape == theirs.shape and same_dtype(ours.base, theirs.base)
    return np.dtype(ours.str).newbyteorder("=") == np.dtype(theirs.str).newbyteorder("=")


def same_names(ours: tuple[str, ...], theirs: tuple[str, ...], *, foreign: bool) -> bool:
    """Whether dimensions are named alike; names that are ``foreign``, not a scan's, need only be in no other order."""
    return ours == theirs or (foreign and sorted(ours) != sorted(theirs))


def differing(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which elements differ (one flag an element; NaN is NaN); shapes are the same."""
    if ours.dtype.names is not None:
        odd = np.zeros(ours.shape, np.bool_)
        for name in ours.dtype.names:
            if not name.startswith("_padding_"):
                one = differing(ours[name], theirs[name])
                odd |= one.reshape(*odd.shape, -1).any(axis=-1)
        return odd
    if ours.dtype.kind == "O":
        pairs = zip(ours.ravel().tolist(), theirs.ravel().tolist(), strict=True)
        return np.array([_text(one) != _text(other) for one, other in pairs], np.bool_).reshape(ours.shape)
    if ours.dtype.kind == "V":
        size = ours.dtype.itemsize
        planes = (np.ascontiguousarray(one).view(np.uint8).reshape(*ours.shape, size) for one in (ours, theirs))
        return np.asarray(np.not_equal(*planes).any(axis=-1))
    found: npt.NDArray[np.bool_] = np.array(ours != theirs, np.bool_)
    if ours.dtype.kind in "fc" and found.any():
        found &= ~(np.isnan(ours) & np.isnan(theirs))
    return found


def value_text(value: Any) -> str:
    """Return one value as messages show it."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _text(value: Any) -> bytes:
    """Return an element of variable length as bytes; h5py's null strings are empty."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return value if isinstance(value, bytes) else b""


def same_scalar(one: Any, other: Any) -> bool:
    """Whether two fill values are one value: of any byte order, NaN like NaN, text with or without its padding."""
    if isinstance(one, bytes) or isinstance(other, bytes):
        return _text(one).rstrip(b"\0") == _text(other).rstrip(b"\0")
    mine, theirs = np.asarray(one), np.asarray(other)
    if mine.dtype.kind == "V":
        return mine.tobytes() == theirs.tobytes()
    if mine.dtype.kind in "mM" or theirs.dtype.kind in "mM":
        return mine.tobytes() == theirs.tobytes() or bool(mine == theirs)
    try:
        both_nan = bool(np.isnan(mine) & np.isnan(theirs))
        return both_nan or bool(mine == theirs) or bool(mine == theirs.astype(mine.dtype))
    except (TypeError, ValueError, OverflowError):
        return bool(one == other)


def same_json(one: JSON, other: JSON) -> bool:
    """Whether two attributes are one value; NaN is NaN."""
    if isinstance(one, list) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same_json(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[name], other[name]) for name in one)
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other
