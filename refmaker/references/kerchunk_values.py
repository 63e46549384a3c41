"""The values of chunk keys in kerchunk JSON, as the columns of a manifest.

A value is ``[url, offset, length]``, ``[url]`` (a whole file), or inlined bytes: ``"base64:..."`` or text.
"""

import base64
import binascii
from collections.abc import Sequence
from itertools import compress
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import BrokenReferencesError, OptionError
from refmaker.model.chunks import INLINE, ChunkManifest
from refmaker.model.keys import key_of
from refmaker.references.chunk_keys import chunk_positions
from refmaker.references.source_table import SourceTable

__all__ = ["inlined_bytes", "manifest_of"]

BASE64 = "base64:"


def inlined_bytes(value: str | bytes) -> bytes:
    """Return the bytes that an inlined value stands for.

    Raises:
        BrokenReferencesError: it says base64 and is not.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
        if not value.startswith(BASE64):
            return value.encode("latin-1")
    if not value.startswith(BASE64):
        return value.encode()
    try:
        return base64.b64decode(value[len(BASE64) :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BrokenReferencesError(f"is not base64: {error}") from error


def manifest_of(
    path: str,
    grid_shape: tuple[int, ...],
    separator: str,
    keys: Sequence[str],
    values: Sequence[Any],
    table: SourceTable,
) -> ChunkManifest:
    """Return the manifest of the array at ``path`` from its chunk keys and as many values.

    Raises:
        BrokenReferencesError: a key or value is malformed; it names the key.
        SourceError: the size of a file that is referenced whole cannot be found out.
    """
    if not keys:
        return ChunkManifest.empty(grid_shape)
    try:
        position = chunk_positions(keys, grid_shape, separator)
    except BrokenReferencesError as error:
        error.path = path
        raise
    inline = b""
    location_id: int | npt.NDArray[np.uint32]
    if set(map(type, values)) <= {list, tuple} and set(map(len, values)) == {3}:
        location_id, offset, length = _ranges(path, keys, values, table)
    else:
        location_id, offset, length, inline = _mixed(path, keys, values, table)
    try:
        return ChunkManifest.from_positions(
            grid_shape, position, location_id=location_id, offset=offset, length=length, inline=inline
        )
    except OptionError as error:
        raise BrokenReferencesError(f"{error}", path=path) from error


Columns = tuple[int | npt.NDArray[np.uint32], npt.NDArray[np.uint64], npt.NDArray[np.uint64]]


def _ranges(path: str, keys: Sequence[str], values: Sequence[Sequence[Any]], table: SourceTable) -> Columns:
    """Return location ids, offsets and lengths of values that are all lists of three."""
    urls, offsets, lengths = (list(map(itemgetter(n), values)) for n in range(3))
    plain = set(map(type, urls)) == {str} and set(map(type, offsets)) == set(map(type, lengths)) == {int}
    if not plain or min(offsets) < 0 or min(lengths) < 0 or max(offsets) >> 63 or max(lengths) >> 63:
        _refuse(path, keys, values)
    location_id = table.ids(urls)
    offset = np.fromiter(offsets, np.uint64, len(offsets))
    length = np.fromiter(lengths, np.uint64, len(lengths))
    size = np.broadcast_to(table.sizes()[location_id], offset.shape)
    beyond = offset + length > size
    if beyond.any():
        row = int(beyond.argmax())
        raise BrokenReferencesError(
            f"{lengths[row]} bytes at {offsets[row]} of {urls[row]}, a file of {size[row]}",
            path=key_of(path, keys[row]),
        )
    return location_id, offset, length


def _refuse(path: str, keys: Sequence[str], values: Sequence[Any]) -> None:
    """Raise the error for the first value that is no byte range."""
    for key, value in zip(keys, values, strict=True):
        url, *numbers = value
        if not isinstance(url, str) or not all(type(n) is int and 0 <= n < 1 << 63 for n in numbers):
            raise BrokenReferencesError(f"{value!r:.200} is not [url, offset, length]", path=key_of(path, key))


def _mixed(
    path: str, keys: Sequence[str], values: Sequence[Any], table: SourceTable
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64], npt.NDArray[np.uint64], bytes]:
    """Return location ids, offsets, lengths and the inline blob of values of all kinds."""
    location_id = np.full(len(values), INLINE, np.uint32)
    offset, length = np.zeros(len(values), np.uint64), np.zeros(len(values), np.uint64)
    is_range = np.zeros(len(values), np.bool_)
    parts: list[bytes] = []
    end = 0
    for row, value in enumerate(values):
        if isinstance(value, str | bytes):
            data = _inlined(path, keys[row], value)
            parts.append(data)
            offset[row], length[row] = end, len(data)
            end += len(data)
        elif isinstance(value, list | tuple) and len(value) == 3:
            is_range[row] = True
        elif isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], str):
            location_id[row] = table.ids(value)
            length[row] = table.size(int(location_id[row]))
        else:
            raise BrokenReferencesError(
                f"{value!r:.200} is neither text, [url], nor [url, offset, length]", path=key_of(path, keys[row])
            )
    if is_range.any():
        found = _ranges(path, list(compress(keys, is_range)), list(compress(values, is_range)), table)
        location_id[is_range], offset[is_range], length[is_range] = found
    return location_id, offset, length, b"".join(parts)


def _inlined(path: str, key: str, value: str | bytes) -> bytes:
    try:
        return inlined_bytes(value)
    except BrokenReferencesError as error:
        error.path = key_of(path, key)
        raise
