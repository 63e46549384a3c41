"""Arrow arrays from numpy columns and back, by their buffers: pyarrow's own conversions import pandas, 60 MB of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["bytes_array", "numbers", "numbers_array", "valid"]


def numbers_array(values: npt.NDArray[Any], null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Return int32 or int64 values as an Arrow array, without a copy; ``null`` marks those there are not."""
    kind = {np.dtype(np.int32): pa.int32(), np.dtype(np.int64): pa.int64()}[values.dtype]
    return pa.Array.from_buffers(kind, values.size, [_bits(null), pa.py_buffer(np.ascontiguousarray(values))])


def bytes_array(values: Sequence[bytes | None], kind: pa.DataType) -> pa.Array:
    """Return byte strings, or UTF-8 text, as an Arrow array of a large type."""
    ends = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.fromiter((len(value or b"") for value in values), np.int64, len(values)), out=ends[1:])
    null = np.fromiter((value is None for value in values), np.bool_, len(values))
    data = pa.py_buffer(b"".join(value for value in values if value))
    return pa.Array.from_buffers(kind, len(values), [_bits(null if null.any() else None), pa.py_buffer(ends), data])


def _bits(null: npt.NDArray[np.bool_] | None) -> pa.Buffer | None:
    """Return Arrow's validity bitmap."""
    return None if null is None else pa.py_buffer(np.packbits(~null, bitorder="little"))


def valid(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Return which rows are not null."""
    bits = column.buffers()[0]
    if bits is None or column.null_count == 0:
        return np.full(len(column), column.null_count == 0)
    end = column.offset + len(column)
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=end, bitorder="little")[column.offset :].astype(np.bool_)


NUMPY = {
    pa.int8(): np.int8, pa.int16(): np.int16, pa.int32(): np.int32, pa.int64(): np.int64, pa.uint8(): np.uint8,
    pa.uint16(): np.uint16, pa.uint32(): np.uint32, pa.uint64(): np.uint64, pa.float32(): np.float32,
    pa.float64(): np.float64,
}  # fmt: skip


def numbers(column: pa.Array) -> npt.NDArray[Any]:
    """Return a column of numbers, 0 where it is null.

    Raises:
        ValueError: its type is none of numbers.
    """
    if column.type not in NUMPY:
        raise ValueError(f"{column.type} is no type of numbers")
    data = column.buffers()[1]
    if data is None:
        return np.zeros(len(column), NUMPY[column.type])
    found = np.frombuffer(data, NUMPY[column.type], len(column) + column.offset)[column.offset :]
    return np.where(valid(column), found, found.dtype.type(0)) if column.null_count else found
