"""Manifests laid side by side on one chunk grid: allocated once, columns copied in, location ids renumbered."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.errors import ConflictError
from refmaker.model.chunks import INLINE, MISSING, ChunkManifest
from refmaker.model.columns import AffineColumn, Column, narrow, rows

__all__ = ["Placed", "laid_out"]

Unsigned = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A manifest and where it goes.

    Attributes:
        manifest: what is placed.
        window: chunks along each axis of the result; as many in all as the manifest has, which may have fewer axes.
        origin: grid index in the result of its first chunk.
        ids: new location ids by old ones; None: they stay.
    """

    manifest: ChunkManifest
    window: tuple[int, ...]
    origin: tuple[int, ...]
    ids: npt.NDArray[np.uint32] | None = None


def laid_out(grid_shape: tuple[int, ...], parts: Sequence[Placed]) -> ChunkManifest:
    """Return the manifest over ``grid_shape`` with these parts in it; what none covers is absent.

    Parts must not overlap. Dense unless most of the grid is absent; memory is that of the result's columns.

    Raises:
        ConflictError: a part has another number of chunks than its window.
    """
    for part in parts:
        if math.prod(part.window) != len(part.manifest):
            raise ConflictError(f"a piece of {len(part.manifest)} chunks was to fill {math.prod(part.window)} places")
    size = math.prod(grid_shape)
    stored = sum(len(part.manifest.location_id) for part in parts)
    if stored * 3 < size * 2:
        return _sparse(grid_shape, parts)
    if all(len(part.manifest) == 1 for part in parts):
        return _of_single_chunks(grid_shape, parts)
    location_id, offset = np.empty(size, np.uint32), np.empty(size, np.uint64)
    length: Unsigned = np.empty(size, np.uint64 if _wide(parts) else np.uint32)
    if stored != size:
        location_id[:], offset[:], length[:] = MISSING, 0, 0
    blobs: list[bytes] = []
    base = 0
    for part in parts:
        manifest = part.manifest if part.manifest.position is None else part.manifest.to_dense()
        if not len(manifest):
            continue
        where, shape = _target(grid_shape, part)
        _copy(location_id, where, shape, grid_shape, _renumbered(manifest.location_id, part.ids))
        _copy(offset, where, shape, grid_shape, _moved(manifest, base))
        _copy(length, where, shape, grid_shape, manifest.length)
        if manifest.inline:
            blobs.append(manifest.inline)
            base += len(manifest.inline)
    return ChunkManifest(grid_shape, location_id, offset, length, inline=b"".join(blobs))


def _wide(parts: Sequence[Placed]) -> bool:
    """Whether some length may need more than 4 bytes."""
    limit = np.iinfo(np.uint32).max
    return any(
        column.maximum > limit if isinstance(column, AffineColumn) else column.dtype.itemsize > 4
        for column in (part.manifest.length for part in parts)
    )


Target = slice | tuple[slice, ...]


def _target(grid_shape: tuple[int, ...], part: Placed) -> tuple[Target, tuple[int, ...]]:
    """Return where a part goes: a run of rows if it spans all but the first axis, else a window of the grid."""
    if part.window[1:] == grid_shape[1:]:
        width = math.prod(grid_shape[1:])
        start = part.origin[0] * width if grid_shape else 0
        return slice(start, start + len(part.manifest)), ()
    window = tuple(slice(o, o + n) for o, n in zip(part.origin, part.window, strict=True))
    return window, part.window


def _copy(column: Unsigned, where: Target, shape: tuple[int, ...], grid_shape: tuple[int, ...], values: Column) -> None:
    target = column if isinstance(where, slice) else column.reshape(grid_shape)
    if isinstance(values, AffineColumn):
        if not any(values.strides):
            target[where] = values.start
            return
        values = rows(values, 0, len(values))
    target[where] = values if isinstance(where, slice) else values.reshape(shape)


def _renumbered(column: Column, ids: npt.NDArray[np.uint32] | None) -> Column:
    if ids is None:
        return column
    if isinstance(column, AffineColumn):
        start = column.start
        return AffineColumn(int(ids[start]) if start < INLINE else start, column.strides, column.shape)
    new = column.astype(np.uint32)
    real = new < INLINE
    new[real] = ids[new[real]]
    return new


def _moved(manifest: ChunkManifest, base: int) -> Column:
    """Return the offsets, those of inlined chunks moved behind the blobs before."""
    if not (base and manifest.inline):
        return manifest.offset
    ids = rows(manifest.location_id, 0, len(manifest))
    return rows(manifest.offset, 0, len(manifest)) + np.where(ids == INLINE, np.uint64(base), np.uint64(0))


def _of_single_chunks(grid_shape: tuple[int, ...], parts: Sequence[Placed]) -> ChunkManifest:
    """Lay out parts of one chunk each: their rows are gathered first, numpy is called once."""
    found: list[tuple[int, int, int, int]] = []
    blobs: list[bytes] = []
    base = 0
    strides = [math.prod(grid_shape[axis + 1 :]) for axis in range(len(grid_shape))]
    for part in parts:
        manifest = part.manifest
        if not len(manifest.location_id):
            continue
        location_id, offset, length = map(_only, (manifest.location_id, manifest.offset, manifest.length))
        if location_id == MISSING:
            continue
        if location_id == INLINE:
            blobs.append(manifest.inline)
            offset += base
            base += len(manifest.inline)
        elif part.ids is not None:
            location_id = int(part.ids[location_id])
        found.append((sum(map(int.__mul__, strides, part.origin)), location_id, offset, length))
    position, ids, offsets, lengths = np.array(found, np.uint64).reshape(-1, 4).T
    return ChunkManifest.from_positions(
        grid_shape,
        position,
        location_id=ids.astype(np.uint32),
        offset=offsets,
        length=lengths,
        inline=b"".join(blobs),
    )


def _only(column: Column) -> int:
    return column.start if isinstance(column, AffineColumn) else int(column[0])


def _sparse(grid_shape: tuple[int, ...], parts: Sequence[Placed]) -> ChunkManifest:
    """Lay out few chunks on a large grid: their positions are moved."""
    columns: list[tuple[npt.NDArray[np.uint64], Unsigned, Unsigned, Unsigned]] = []
    blobs: list[bytes] = []
    base = 0
    for part in parts:
        manifest = part.manifest if part.ids is None else part.manifest.with_locations(part.ids)
        for block in manifest.blocks():
            index = np.unravel_index(block.position.astype(np.intp), part.window or (1,))
            moved = tuple(i + o for i, o in zip(index, part.origin or (0,), strict=True))
            position = np.ravel_multi_index(moved, grid_shape or (1,)).astype(np.uint64)
            shift = np.where(block.location_id == INLINE, np.uint64(base), np.uint64(0))
            columns.append((position, block.location_id, block.offset + shift, block.length))
        if manifest.inline:
            blobs.append(manifest.inline)
            base += len(manifest.inline)
    if not columns:
        return ChunkManifest.empty(grid_shape)
    position, ids, offset, length = (np.concatenate(column) for column in zip(*columns, strict=True))
    return ChunkManifest.from_positions(
        grid_shape,
        position,
        location_id=ids.astype(np.uint32),
        offset=offset.astype(np.uint64),
        length=narrow(length),
        inline=b"".join(blobs),
    )
