"""Arrays of the result, once everything is known to fit: laid out from chunks, or made of values."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.combine.axes import Axis
from refmaker.combine.cf import VALUE_ATTRIBUTES
from refmaker.combine.concat import Placed, laid_out
from refmaker.combine.mosaic import Mosaic, Tile
from refmaker.combine.reading import Reader
from refmaker.combine.recut import recut
from refmaker.combine.times import Clock, are_rounded, clock_of, recounted
from refmaker.combine.values import Values, fill_of, inlined_array
from refmaker.errors import ConflictError
from refmaker.model.array import ArrayMetadata, VirtualArray, grid_of
from refmaker.model.attributes import JSON
from refmaker.model.chunks import ChunkManifest
from refmaker.model.reference_set import Note

__all__ = ["ROUNDED", "coordinate_array", "from_chunks", "from_values", "kept"]

ROUNDED = "times are rounded to microseconds, because inputs count them differently"
Ids = Sequence[npt.NDArray[np.uint32] | None]


def kept(array: VirtualArray, ids: npt.NDArray[np.uint32] | None, attributes: Mapping[str, JSON]) -> VirtualArray:
    """Return an array that is taken from one input as it is."""
    manifest = array.manifest if ids is None else array.manifest.with_locations(ids)
    return VirtualArray(replace(array.metadata, attributes=attributes), manifest)


def from_chunks(mosaic: Mosaic, ids: Ids, attributes: Mapping[str, JSON], fill_value: Any) -> VirtualArray:
    """Return the array whose chunks are those of the inputs."""
    first = mosaic.pieces.first
    lengths = dict(zip(first.dimension_names, first.chunk_shape, strict=True))
    lengths.update((axis.name, length) for axis, length in zip(mosaic.axes, mosaic.chunk_lengths, strict=True))
    chunk_shape = tuple(lengths[name] for name in mosaic.dimension_names)
    codecs = first.codecs if mosaic.pieces.codecs is None else mosaic.pieces.codecs
    metadata = ArrayMetadata(
        shape=mosaic.shape,
        chunk_shape=chunk_shape,
        data_type=first.data_type,
        fill_value=fill_value,
        codecs=() if mosaic.recut_axis is not None else codecs,
        dimension_names=mosaic.dimension_names,
        attributes=attributes,
    )
    grid = metadata.grid_shape
    chunk_counts = [
        grid_of(tuple(block.rows for block in axis.blocks), (length,) * len(axis.blocks))
        for axis, length in zip(mosaic.axes, mosaic.chunk_lengths, strict=True)
    ]
    origins = [np.cumsum([0, *counts]).tolist() for counts in chunk_counts]
    parts = []
    for tile in mosaic.tiles():
        window, origin = list(grid), [0] * len(grid)
        for k, place in enumerate(mosaic.places):
            window[place], origin[place] = chunk_counts[k][tile.cell[k]], origins[k][tile.cell[k]]
        parts.append(Placed(_chunks_of(tile), tuple(window), tuple(origin), ids[tile.number]))
    return VirtualArray(metadata, laid_out(grid, parts))


def _chunks_of(tile: Tile) -> ChunkManifest:
    """Return the chunks of the rows that a tile contributes."""
    mosaic, manifest = tile.mosaic, tile.array.manifest
    if mosaic.recut_axis is not None:
        return recut(tile.rows(mosaic.recut_axis), mosaic.chunk_lengths[mosaic.recut_axis])
    for k, axis in enumerate(mosaic.axes):
        if not axis.blocks[tile.cell[k]].whole:
            rows = tile.rows(k)
            chunk = rows.chunk_length
            manifest = manifest.take(range(rows.start // chunk, -(-rows.stop // chunk)), rows.axis)
    return manifest


def from_values(
    mosaic: Mosaic,
    reader: Reader,
    labels: Sequence[str],
    attributes: Mapping[str, JSON],
    fill_value: Any,
    clock: Clock | None,
    notes: list[Note],
) -> VirtualArray:
    """Return the array with its values inlined as one chunk.

    Args:
        mosaic: the array.
        reader: of the inputs' chunks.
        labels: the inputs' names.
        attributes: the result's; the units of a recounted array are set here.
        fill_value: what pieces that no input has read as; None if there are none such and zero is no fill value.
        clock: for bounds of a coordinate: how that counts now, because they have no units of their own.
        notes: times that lost parts of microseconds are noted here.

    Raises:
        ConflictError: times cannot be counted as the result counts them.
    """
    tiles = list(mosaic.tiles())
    loaded = list(reader.values([(tile.array, tile.number) for tile in tiles], labels, mosaic.path))
    found = dict(attributes)
    if mosaic.pieces.recounted or clock is not None:
        metadata = [tile.array.metadata for tile in tiles]
        clocks = _clocks(tiles, clock)
        if are_rounded(loaded, clocks, metadata):
            notes.append(Note(mosaic.path, "rounded", ROUNDED))
        try:
            loaded, now = recounted(loaded, clocks, onto=clock, metadata=metadata)
        except ConflictError as error:
            error.path = mosaic.path
            raise
        if "units" in found:
            found.update(units=now.units)
    first = mosaic.pieces.first
    data_type = first.data_type if first.data_type.hasobject else np.result_type(*{v.dtype for v in loaded})
    if data_type.newbyteorder("=") == first.data_type.newbyteorder("="):
        data_type = first.data_type
    values = np.empty(mosaic.shape, data_type)
    if any(True for _ in mosaic.missing_cells()):
        values[...] = fill_of(replace(first, fill_value=fill_value))
    starts = [axis.starts for axis in mosaic.axes]
    for tile, part in zip(tiles, loaded, strict=True):
        window: list[slice] = [slice(None)] * values.ndim
        shape = list(values.shape)
        for k, place in enumerate(mosaic.places):
            rows = tile.rows(k)
            if mosaic.axes[k].name in tile.array.metadata.dimension_names:
                part = np.moveaxis(np.moveaxis(part, rows.axis, 0)[rows.start : rows.stop], 0, rows.axis)  # noqa: PLW2901
            start, count = starts[k][tile.cell[k]], rows.stop - rows.start
            window[place], shape[place] = slice(start, start + count), count
        values[tuple(window)] = part.reshape(shape)
    return inlined_array(values, mosaic.dimension_names, found, _fill_as(fill_value, data_type))


def _clocks(tiles: Sequence[Tile], coordinate: Clock | None) -> list[Clock]:
    """Return how each tile counts time: by its own units, or by those of the coordinate that it bounds."""
    found = []
    for tile in tiles:
        own = clock_of(tile.array.metadata.attributes) or tile.mosaic.pieces.inherited.get(tile.number) or coordinate
        if own is not None:
            found.append(own)
    return found


def _fill_as(fill_value: Any, data_type: np.dtype[Any]) -> Any:
    """Return a fill value in another data type, or None if that does not hold it."""
    kind = np.asarray(fill_value).dtype.kind
    if fill_value is None or np.asarray(fill_value).dtype == data_type:
        return fill_value
    if kind not in "iuf" or data_type.kind not in "iuf":
        return fill_value if kind == data_type.kind else None
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.asarray(fill_value).astype(data_type)[()]
    return found if found == fill_value or data_type.kind == "f" else None


def coordinate_array(
    axis: Axis, values: Values, metadata: ArrayMetadata | None, attributes: dict[str, JSON]
) -> VirtualArray:
    """Return the coordinate variable of an axis, its values inlined.

    Args:
        axis: the dimension.
        values: in the result's order.
        metadata: of the first input's variable, or None if there is none.
        attributes: the result's; units are set here where they changed.
    """
    found = dict(attributes)
    if axis.replaced:
        found = {name: value for name, value in found.items() if name not in VALUE_ATTRIBUTES}
    if axis.clock is not None and (axis.recounted or axis.replaced):
        found.update(units=axis.clock.units, calendar=axis.clock.calendar)
    fill = None
    if metadata is not None:
        if metadata.data_type.newbyteorder("=") == values.dtype.newbyteorder("="):
            values = values.astype(metadata.data_type)
        fill = None if axis.replaced else _fill_as(metadata.fill_value, values.dtype)
    return inlined_array(values, (axis.name,), found, fill)
