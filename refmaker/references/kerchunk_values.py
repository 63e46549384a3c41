"""The values of chunk keys in kerchunk JSON, as the columns of a manifest.

A value is ``[url, offset, length]``, ``[url]`` (a whole file), or inlined bytes: ``"base64:..."`` or text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import BrokenReferencesError, OptionError
from refmaker.model.chunks import INLINE, ChunkManifest
from refmaker.model.keys import key_of
from refmaker.references.chunk_keys import chunk_positions
from refmaker.references.documents import ArrayLayout
from refmaker.references.inlined_text import inlined_bytes
from refmaker.references.source_table import SourceTable

__all__ = ["Rows", "Values", "manifest_of"]

Values = tuple[list[str], list[Any]]
"""Chunk keys of an array, and as many values."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Byte ranges of one array as columns; ``key`` names a row for messages."""

    position: npt.NDArray[np.uint64]
    location_id: int | npt.NDArray[np.uint32]
    offset: npt.NDArray[np.uint64]
    length: npt.NDArray[np.uint64]
    key: Callable[[int], str]

    def check(self, table: SourceTable) -> None:
        """Raise BrokenReferencesError if a range reaches past the end of a file whose size is recorded."""
        size = np.broadcast_to(table.sizes()[self.location_id], self.offset.shape)
        beyond = self.offset + self.length > size
        if beyond.any():
            row = int(beyond.argmax())
            location = int(np.broadcast_to(np.asarray(self.location_id), self.offset.shape)[row])
            raise BrokenReferencesError(
                f"{self.length[row]} bytes at {self.offset[row]} of {table.files[location].url}, a file of {size[row]}",
                path=self.key(row),
            )


def manifest_of(
    path: str, layout: ArrayLayout, found: Values, table: SourceTable, regular: Rows | None = None
) -> ChunkManifest:
    """Return the manifest of the array at ``path`` from its chunk keys and values, and from rows read already.

    Raises:
        BrokenReferencesError: a key or value is malformed; it names the key.
        SourceError: the size of a file that is referenced whole cannot be found out.
    """
    keys, values = found
    grid_shape = layout.metadata.grid_shape
    if not keys and regular is None:
        return ChunkManifest.empty(grid_shape)
    inline = b""
    if keys:
        try:
            position = chunk_positions(keys, grid_shape, layout.separator)
        except BrokenReferencesError as error:
            error.path = path
            raise
        location_id: int | npt.NDArray[np.uint32]
        if set(map(type, values)) <= {list, tuple} and set(map(len, values)) == {3}:
            location_id, offset, length = _ranges(path, keys, values, table)
        else:
            location_id, offset, length, inline = _mixed(path, keys, values, table)
        if regular is not None:
            position = np.concatenate([regular.position, position])
            location_id = _stacked(regular.location_id, regular.offset.size, location_id, offset.size)
            offset, length = np.concatenate([regular.offset, offset]), np.concatenate([regular.length, length])
    elif regular is not None:
        position, location_id, offset, length = regular.position, regular.location_id, regular.offset, regular.length
    try:
        return ChunkManifest.from_positions(
            grid_shape, position, location_id=location_id, offset=offset, length=length, inline=inline
        )
    except OptionError as error:
        raise BrokenReferencesError(f"{error}", path=path) from error


def _stacked(
    first: int | npt.NDArray[np.uint32], rows: int, second: int | npt.NDArray[np.uint32], more: int
) -> int | npt.NDArray[np.uint32]:
    """Return two columns of location ids as one."""
    if isinstance(first, int) and isinstance(second, int) and first == second:
        return first
    sizes = ((first, rows), (second, more))
    return np.concatenate([np.broadcast_to(np.asarray(ids, np.uint32), (size,)) for ids, size in sizes])


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
    Rows(offset, location_id, offset, length, lambda row: key_of(path, keys[row])).check(table)
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
