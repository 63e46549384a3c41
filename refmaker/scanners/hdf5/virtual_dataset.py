"""Virtual datasets: linked through to the source datasets where every mapping lies on their chunks.

HDF5 File Format Specification, appendix VII, "Virtual Storage": each mapping says that a selection of the virtual
dataset is a selection of a source dataset, in this or another file; ``%b`` in a name counts blocks along an unlimited
axis. Selections are taken axis by axis as runs of elements. Where every run starts on a chunk border of both datasets,
and ends on one or at the virtual dataset's end, a mapping copies rows of the source's manifest; everything else is read
through h5py if it is small, and refused if not.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5d, h5s

from refmaker.errors import UnsupportedError
from refmaker.model.array import Codec, grid_of
from refmaker.model.chunks import INLINE, MISSING, ChunkManifest
from refmaker.model.reference_set import DatasetState
from refmaker.scanners.hdf5.decoded import native_values
from refmaker.scanners.hdf5.element_types import element_type
from refmaker.scanners.hdf5.fill_values import native_fill
from refmaker.scanners.hdf5.storage import Dataset, Stored, stored, whole
from refmaker.scanners.hdf5.virtual_sources import (
    MOST_BLOCKS,
    is_printf,
    is_regular,
    named_sources,
    notes_on_sources,
    source_node,
)

__all__ = ["virtual"]

INLINE_UNALIGNED_BELOW = 1 << 20
"""Bytes below which a virtual dataset that fits no chunk grid is stored as values."""
MOST_CHUNKS = 100_000_000
"""Chunks of a grid that is laid out in memory, 20 bytes each."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """What a selection takes of one axis: runs of elements, ascending, as parallel arrays."""

    start: Integers
    length: Integers
    unlimited: bool = False

    @property
    def total(self) -> int:
        """Elements taken."""
        return int(self.length.sum())

    def first(self, total: int) -> "_Runs":
        """Return the first ``total`` elements."""
        before = np.cumsum(self.length) - self.length
        length = np.minimum(self.length, total - before)
        return _Runs(self.start[length > 0], length[length > 0])


@dataclass(frozen=True, slots=True)
class _Mapping:
    """``axes`` of the virtual dataset are a selection (``source_space``) of a source dataset."""

    axes: tuple[_Runs, ...]
    file_name: str
    dataset_name: str
    source_space: h5s.SpaceID


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """A source dataset: its storage, and its manifest as (location id, offset, length) over its grid."""

    dataset: Dataset
    place: Stored
    columns: tuple[npt.NDArray[Any], ...]


class _NotOnChunksError(UnsupportedError):
    """The mappings fit no chunk grid."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="virtual-dataset")


def virtual(dataset: Dataset) -> Stored:
    """Return the storage of a virtual dataset.

    Raises:
        UnsupportedError: its mappings fit no chunk grid, and it is too large to be inlined, or in a store.
        UnsupportedError, BrokenFileError, SourceError: a source is there but cannot be read.
    """
    notes = notes_on_sources(dataset.files, dataset.node, is_read=False)
    try:
        place = _linked(dataset)
    except _NotOnChunksError as error:
        if dataset.stored_nbytes > INLINE_UNALIGNED_BELOW or 0 in dataset.shape or dataset.element.fixups:
            raise
        notes = notes_on_sources(dataset.files, dataset.node)
        chunk_shape = whole(dataset.shape)
        manifest = ChunkManifest.inlined(
            grid_of(dataset.shape, chunk_shape), [native_values(dataset.node.id, dataset.element).tobytes()]
        )
        place = Stored(chunk_shape, manifest, (), DatasetState.INLINED, [("virtual-dataset", error.message)])
    return replace(place, notes=[*place.notes, *notes])


def _linked(dataset: Dataset) -> Stored:
    """Return the storage with the source datasets' chunks in their places."""
    sources: dict[tuple[str, str], _Source | None] = {}
    layout: tuple[tuple[int, ...], tuple[Codec, ...]] | None = None
    canvas: list[npt.NDArray[Any]] = []
    for mapping in _mappings(dataset):
        named = mapping.file_name, mapping.dataset_name
        if named not in sources:
            sources[named] = _source(dataset, *named)
        source = sources[named]
        if source is None:
            continue  # what does not exist reads as fill
        chunk_shape, window, source_window = _on_chunks(dataset, mapping, source.dataset, source.place.chunk_shape)
        if layout is None:
            layout = chunk_shape, source.place.codecs
            grid = grid_of(dataset.shape, chunk_shape)
            if math.prod(grid) > MOST_CHUNKS:
                raise _NotOnChunksError(f"a grid of {math.prod(grid)} chunks")
            canvas = [np.full(grid, MISSING, np.uint32), np.zeros(grid, np.uint64), np.zeros(grid, np.uint64)]
        if layout != (chunk_shape, source.place.codecs):
            raise _NotOnChunksError(f"source {named[1]} has other chunks or filters than the first source")
        parts = [column[np.ix_(*source_window)] for column in source.columns]
        if (parts[0] == INLINE).any():
            raise _NotOnChunksError(f"source {named[1]} is not stored as byte ranges")
        if (parts[0] == MISSING).any():
            _check_same_fill(dataset, source.dataset)
        for column, part in zip(canvas, parts, strict=True):
            column[np.ix_(*window)] = part.reshape([index.size for index in window])
    chunk_shape, codecs = layout or (whole(dataset.shape), ())
    grid = grid_of(dataset.shape, chunk_shape)
    notes = [note for source in sources.values() if source for note in source.place.notes]
    manifest = ChunkManifest.empty(grid)
    if canvas:
        location_id, offset, length = (column.ravel() for column in canvas)
        manifest = ChunkManifest(grid, location_id, offset, length)
    return Stored(chunk_shape, manifest, codecs, DatasetState.LINKED, notes)


# -- selections ------------------------------------------------------------------------------------------------------
def _mappings(dataset: Dataset) -> Iterator[_Mapping]:
    """Yield the mappings; those with printf-style names counted out, a source for each block."""
    printed: dict[int, int] = {}
    properties = dataset.node.properties
    for i, file_name, name in named_sources(dataset.node):
        space, source_space = properties.get_virtual_vspace(i), properties.get_virtual_srcspace(i)
        if not is_printf(properties, i):
            yield _Mapping(_axes(space, dataset.space), file_name, name, source_space)
            continue
        start, stride, count, block = _hyperslab(space)
        if any(n not in {1, h5s.UNLIMITED} for n in count):
            raise _NotOnChunksError("a printf-style mapping that is not one block after the other along one axis")
        axis = count.index(h5s.UNLIMITED)
        k = printed[i] = printed.get(i, -1) + 1
        at = [s + k * stride[a] if a == axis else s for a, s in enumerate(start)]
        axes = tuple(_runs(s, 1, 1, b, n) for s, b, n in zip(at, block, dataset.space, strict=True))
        yield _Mapping(axes, file_name, name, source_space)


def _hyperslab(space: h5s.SpaceID) -> tuple[tuple[int, ...], ...]:
    if not is_regular(space):
        raise _NotOnChunksError("a mapping that is no regular hyperslab")
    hyperslab: tuple[tuple[int, ...], ...] = space.get_regular_hyperslab()
    return hyperslab


def _axes(space: h5s.SpaceID, shape: tuple[int, ...]) -> tuple[_Runs, ...]:
    """Return what a selection takes of each axis of a dataset of this shape."""
    if space.get_select_type() == h5s.SEL_ALL:
        return tuple(_runs(0, 1, 1, n, n) for n in shape)
    hyperslab = _hyperslab(space)
    if len(hyperslab[0]) != len(shape):
        raise _NotOnChunksError("a mapping from a source of another number of axes than it was made for")
    return tuple(_runs(*numbers) for numbers in zip(*hyperslab, shape, strict=True))


def _runs(start: int, stride: int, count: int, block: int, extent: int) -> _Runs:
    """Return the runs of one axis of a hyperslab, inside the axis."""
    unlimited = h5s.UNLIMITED in {count, block}
    if block == h5s.UNLIMITED:
        count, block = 1, max(extent - start, 0)
    elif count == h5s.UNLIMITED:
        count = max(-(-(extent - start) // stride), 0)
    if stride == block:
        count, block = 1, count * block
    if count > MOST_BLOCKS:
        raise _NotOnChunksError(f"a mapping of more than {MOST_BLOCKS} blocks")
    starts = start + stride * np.arange(count, dtype=np.int64)
    length = np.minimum(block, extent - starts)
    return _Runs(starts[length > 0], length[length > 0], unlimited)


def _on_chunks(
    dataset: Dataset, mapping: _Mapping, source: Dataset, source_chunks: tuple[int, ...]
) -> tuple[tuple[int, ...], list[Integers], list[Integers]]:
    """Return (chunk shape, grid indices along each axis, those of the source) of a mapping; both in the same order.

    Axes of which one element is taken may be in one of the two datasets only: images stacked, or taken from a stack.

    Raises:
        UnsupportedError: the mapping does not lie on the source's chunks.
    """
    inner = len(dataset.element.inner_shape)
    ours, theirs = list(mapping.axes), list(_axes(mapping.source_space, source.space))
    if len(ours) == len(theirs):
        for k, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            if one.unlimited and other.unlimited:
                both = min(one.total, other.total)
                ours[k], theirs[k] = one.first(both), other.first(both)
    chunk_shape: list[int] = []
    window: list[Integers] = []
    source_window: list[Integers] = []
    nothing = _runs(0, 1, 1, 1, 1)
    for axis, source_axis in _pairs([runs.total for runs in ours], [runs.total for runs in theirs]):
        chunk = 1 if source_axis is None else source_chunks[source_axis]
        one = nothing if axis is None else ours[axis]
        other = nothing if source_axis is None else theirs[source_axis]
        if axis is None and chunk != 1:
            raise _NotOnChunksError(f"a mapping of a part of the source's chunks along its axis {source_axis}")
        index, source_index = _chunk_indices(one, other, chunk, 1 if axis is None else dataset.space[axis])
        if axis is not None:
            chunk_shape.append(chunk)
            window.append(index)
        if source_axis is not None:
            source_window.append(source_index)
    none = [np.zeros(1, np.int64)] * inner
    inner_chunks = source_chunks[len(source_chunks) - inner :]
    return (*chunk_shape, *inner_chunks), [*window, *none], [*source_window, *none]


def _pairs(totals: Sequence[int], source_totals: Sequence[int]) -> Iterator[tuple[int | None, int | None]]:
    """Yield which axis goes with which axis of the source; None beside axes of one element that stand alone."""
    i = j = 0
    while i < len(totals) or j < len(source_totals):
        here = totals[i] if i < len(totals) else None
        there = source_totals[j] if j < len(source_totals) else None
        if here == there:
            yield i, j
        elif here == 1:
            yield i, None
        elif there == 1:
            yield None, j
        else:
            raise _NotOnChunksError("a mapping between selections of different shapes")
        i, j = i + (here in {there, 1}), j + (here == there or here != 1)


def _chunk_indices(one: _Runs, other: _Runs, chunk: int, extent: int) -> tuple[Integers, Integers]:
    """Return the chunks that runs cover in the virtual dataset (of ``extent``) and in the source, in the same order.

    Raises:
        UnsupportedError: a run begins or ends inside a chunk.
    """
    ends, source_ends = np.cumsum(one.length), np.cumsum(other.length)
    cuts = np.union1d(ends, source_ends)
    begins = np.concatenate([np.zeros(1, np.int64), cuts])[: cuts.size]
    at, source_at = np.searchsorted(ends, begins, "right"), np.searchsorted(source_ends, begins, "right")
    start = one.start[at] + begins - (ends - one.length)[at]
    source_start = other.start[source_at] + begins - (source_ends - other.length)[source_at]
    length = cuts - begins
    inside = (start % chunk != 0) | (source_start % chunk != 0)
    if inside.any() or ((length % chunk != 0) & (start + length != extent)).any():
        raise _NotOnChunksError("a mapping that does not lie on the source's chunks")
    count = -(-length // chunk)
    step = np.arange(int(count.sum()), dtype=np.int64) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(start // chunk, count) + step, np.repeat(source_start // chunk, count) + step


# -- sources ---------------------------------------------------------------------------------------------------------
def _source(dataset: Dataset, file_name: str, dataset_name: str) -> _Source | None:
    """Return a source dataset and its storage; None where it does not exist, which reads as fill."""
    node = source_node(dataset.files, dataset.file, file_name, dataset_name)
    if node is None:
        return None
    element = element_type(node.header.datatype)
    same = element.dtype == dataset.element.dtype and element.inner_shape == dataset.element.inner_shape
    if not same or element.decode or element.fixups != dataset.element.fixups:
        raise _NotOnChunksError(f"source {dataset_name} has another datatype")
    if node.header.shape is None:
        raise _NotOnChunksError(f"source {dataset_name} has a null dataspace")
    source = replace(
        dataset,
        node=node,
        element=element,
        chunk_bytes=None,
    )
    if source.header.layout_class == h5d.VIRTUAL:
        raise _NotOnChunksError("a virtual dataset of virtual datasets")
    place = stored(source)
    if len(place.manifest) > MOST_CHUNKS:
        raise _NotOnChunksError(f"source {dataset_name} has a grid of {len(place.manifest)} chunks")
    dense = place.manifest.to_dense()
    grid = place.manifest.grid_shape
    columns = (dense.location_id, dense.offset, dense.length)
    return _Source(source, place, tuple(np.asarray(column).reshape(grid) for column in columns))


def _check_same_fill(dataset: Dataset, source: Dataset) -> None:
    """Refuse chunks that the source never wrote where they read other values than the virtual dataset's own gaps."""
    if native_fill(dataset).tobytes() != native_fill(source).tobytes():
        raise _NotOnChunksError("chunks that a source never wrote have another fill value than the virtual dataset")
