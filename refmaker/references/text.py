"""Many lines of text at once, from columns of numbers and strings.

A line is a fixed-width record: constants, decimal numbers and strings side by side, each padded with NUL bytes. numpy
fills a whole record array column by column (numbers by tables of four digits at a time); one pass then drops the NULs.
No Python object is made per line.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Part", "lines_text"]

Part = bytes | npt.NDArray[Any]
GROUP = 4
"""Digits written by one table look-up; a table of 10^4 entries stays in the cache."""


def lines_text(parts: Sequence[Part]) -> bytes:
    """Return all lines as one text, each the parts side by side.

    Args:
        parts: ``bytes`` are the same in every line; arrays have a row for each line: unsigned integers (below 2**63)
            give decimal numbers, byte strings (``S``) themselves. No part may hold a NUL byte. At least one part is
            an array, and all have the same number of rows.
    """
    fields: list[tuple[str, Any]] = []
    columns: list[tuple[str, Part]] = []
    rows = next(len(part) for part in parts if isinstance(part, np.ndarray))
    for number, part in enumerate(parts):
        for name, kind, column in _columns(f"{number}", part):
            fields.append((name, kind))
            columns.append((name, column))
    records = np.empty(rows, np.dtype(fields))
    for name, column in columns:
        records[name] = column
    return records.tobytes().translate(None, b"\0")


def _columns(name: str, part: Part) -> list[tuple[str, Any, Any]]:
    """Return a part as record fields: (name, dtype, values)."""
    if isinstance(part, bytes):
        return [(name, f"S{len(part)}", part)] if part else []
    if part.dtype.kind == "S":
        return [(name, part.dtype, part)]
    return [(f"{name}.{n}", column.dtype, column) for n, column in enumerate(_digits(part))]


def _digits(value: npt.NDArray[np.unsignedinteger]) -> list[npt.NDArray[np.unsignedinteger]]:
    """Return decimal text as columns of up to four characters, most significant first, padded with NULs in front."""
    largest = int(value.max())
    left = value.astype(np.uint32 if largest < 1 << 32 else np.int64, copy=False)
    digits = len(str(largest))
    columns: list[npt.NDArray[np.unsignedinteger]] = []
    while True:
        width = min(digits, GROUP)
        padded, leading, last = _tables(width)
        final = not columns
        digits -= width
        if digits == 0:
            columns.append((last if final else leading)[left])
            return columns[::-1]
        higher = left // 10**GROUP
        low = left - higher * 10**GROUP
        table = np.concatenate([padded, last if final else leading])
        columns.append(table[low + (higher == 0) * np.uint32(10**GROUP)])
        left = higher


@cache
def _tables(width: int) -> tuple[npt.NDArray[np.unsignedinteger], ...]:
    """Return the text of 0 .. 10**width - 1 as integers of 1, 2 or 4 bytes, in three spellings.

    With leading zeros; with NULs for them, zero being all NUL; and the same with zero as ``"0"``.
    """
    size = {1: 1, 2: 2, 3: 4, 4: 4}[width]
    numbers = range(10**width)
    padded = "".join(f"{n:0{width}d}".rjust(size, "\0") for n in numbers)
    last = "".join(f"{n}".rjust(size, "\0") for n in numbers)
    leading = "\0" * size + last[size:]
    return tuple(np.frombuffer(text.encode(), f"u{size}") for text in (padded, leading, last))
