"""Node paths and chunk keys: the only code that splits or joins them.

A *path* names a node of the hierarchy: names joined by ``/``, no slash at either end, ``""`` for the root.
A *chunk key* spells a chunk's grid index: ``"3.0.12"``; that of a scalar array is ``"0"`` (Zarr v2 specification,
"Chunks"). A *position* is the rank of a chunk in the C order of its grid.
"""

import math
from collections.abc import Sequence

from refmaker.errors import BrokenReferencesError, OptionError

__all__ = [
    "METADATA_NAMES",
    "child_path",
    "chunk_index",
    "chunk_key",
    "chunk_position",
    "key_of",
    "parent_path",
    "parse_chunk_key",
    "split_key",
    "usable_name",
]

METADATA_NAMES = frozenset({".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"})
"""Key leaves that hold a metadata document, in Zarr v2 and v3."""


def child_path(parent: str, name: str) -> str:
    """Return the path of ``name`` inside the group ``parent``."""
    return f"{parent}/{name}" if parent else name


def parent_path(path: str) -> str:
    """Return the path of the group that holds ``path`` (the root holds itself)."""
    return path.rpartition("/")[0]


def key_of(path: str, leaf: str) -> str:
    """Return the store key of a document or chunk ``leaf`` under the node ``path``."""
    return f"{path}/{leaf}" if path else leaf


def split_key(key: str) -> tuple[str, str]:
    """Return (node path, leaf) of a store key: the inverse of ``key_of``."""
    path, _, leaf = key.rpartition("/")
    return path, leaf


def usable_name(name: str) -> bool:
    """Whether a member of that name can be a Zarr node that every reader finds.

    Zarr v3 specification, "Node names": not empty, not only dots, no slash, no ``__`` prefix (reserved; allowed here
    because readers take it), and not the name of a metadata document. No backslash either: zarr-python takes it for a
    slash, and then finds nothing in the whole group. Nor lone surrogates, which no file can be named by.
    """
    is_plain = not any(c in "/\\\0" or "\ud800" <= c <= "\udfff" for c in name)
    return bool(name.strip(".")) and is_plain and name not in METADATA_NAMES


def chunk_key(index: Sequence[int], separator: str = ".") -> str:
    """Return the key leaf of the chunk at grid index ``index``; ``"0"`` for a scalar array's ``()``."""
    return separator.join(map(str, index)) if index else "0"


def parse_chunk_key(key: str, ndim: int, separator: str = ".") -> tuple[int, ...]:
    """Return the grid index that ``chunk_key`` spelled as ``key``.

    Raises:
        BrokenReferencesError: not a canonical chunk key of an array of ``ndim`` dimensions.
    """
    parts = key.split(separator) if ndim else []
    canonical = key == "0" if ndim == 0 else all(map(_is_canonical, parts))
    if len(parts) != ndim or not canonical:
        raise BrokenReferencesError(f"{key!r:.100} is not the key of a chunk in {ndim} dimensions")
    return tuple(map(int, parts))


def _is_canonical(number: str) -> bool:
    """Whether a number is written as ``str`` writes it, and not longer than any index can be."""
    return number.isascii() and number.isdigit() and len(number) < MOST_DIGITS and (number == "0" or number[0] != "0")


MOST_DIGITS = 4000
"""Digits of a number beyond which Python does not read it, and it lies outside every grid."""


def chunk_position(index: Sequence[int], grid_shape: Sequence[int]) -> int:
    """Return the rank of chunk ``index`` in the C order of its grid.

    Raises:
        OptionError: the index lies outside the grid.
    """
    position = 0
    for i, n in zip(index, grid_shape, strict=True):
        if not 0 <= i < n:
            raise OptionError(f"chunk {tuple(index)} lies outside the grid {tuple(grid_shape)}")
        position = position * n + i
    return position


def chunk_index(position: int, grid_shape: Sequence[int]) -> tuple[int, ...]:
    """Return the grid index of the chunk at ``position``: the inverse of ``chunk_position``.

    Raises:
        OptionError: the position lies outside the grid.
    """
    if not 0 <= position < math.prod(grid_shape):
        raise OptionError(f"position {position} lies outside the grid {tuple(grid_shape)}")
    index = []
    for n in reversed(grid_shape):
        position, i = divmod(position, n)
        index.append(i)
    return tuple(reversed(index))
