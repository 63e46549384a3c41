"""Virtual datasets: linked through to the source datasets where every mapping lies on their chunks.

HDF5 File Format Specification, appendix VII, "Virtual Storage": each mapping says that a selection of the virtual
dataset is a selection of a source dataset, in this or another file; ``%b`` in a name counts blocks along an unlimited
axis. A mapping of one block that starts on a chunk border, and ends on one or at the dataset's end, is a part of the
chunk grid; everything else is read through h5py if it is small, and refused if not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from h5py import h5d, h5s

from refmaker.errors import RefmakerError, SourceError, UnsupportedError
from refmaker.model.array import grid_of
from refmaker.model.attributes import text_of
from refmaker.model.chunks import INLINE, MISSING, ChunkManifest
from refmaker.model.reference_set import DatasetState
from refmaker.scanners.hdf5.decoded import native_values
from refmaker.scanners.hdf5.element_types import element_type
from refmaker.scanners.hdf5.file_table import FileTable
from refmaker.scanners.hdf5.hdf5_file import H5PY_ERRORS, Hdf5File
from refmaker.scanners.hdf5.storage import Dataset, Stored, stored, whole

__all__ = ["virtual"]

INLINE_UNALIGNED_BELOW = 1 << 20
"""Bytes below which a virtual dataset that fits no chunk grid is stored as values."""
MOST_BLOCKS = 1_000_000
"""Blocks that one printf-style mapping may stand for."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A rectangle of the virtual dataset that is a rectangle of a source dataset of the same shape."""

    start: tuple[int, ...]
    shape: tuple[int, ...]
    file_name: str
    dataset_name: str
    source_start: tuple[int, ...]


class _NotOnChunksError(UnsupportedError):
    """The mappings fit no chunk grid."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="virtual-dataset")


def virtual(dataset: Dataset) -> Stored:
    """Return the storage of a virtual dataset.

    Raises:
        UnsupportedError: its mappings fit no chunk grid, and it is too large to be inlined.
        SourceError: a source file is there but cannot be read.
    """
    try:
        return _linked(dataset)
    except _NotOnChunksError as error:
        if dataset.stored_nbytes > INLINE_UNALIGNED_BELOW or 0 in dataset.shape:
            raise
        chunk_shape = whole(dataset.shape)
        if dataset.element.fixups:
            raise
        manifest = ChunkManifest.inlined(
            grid_of(dataset.shape, chunk_shape), [native_values(dataset.id, dataset.element).tobytes()]
        )
        return Stored(chunk_shape, manifest, (), DatasetState.INLINED, [("virtual-dataset", error.message)])


def _linked(dataset: Dataset) -> Stored:
    """Return the storage with the source datasets' chunks in their places."""
    placed = [(block, part) for block in _blocks(dataset) if (part := _source(dataset, block)) is not None]
    if not placed:
        chunk_shape = whole(dataset.shape)
        return Stored(chunk_shape, ChunkManifest.empty(grid_of(dataset.shape, chunk_shape)), (), DatasetState.LINKED)
    _, (source, place) = placed[0]
    chunk_shape, codecs = place.chunk_shape, place.codecs
    grid = grid_of(dataset.shape, chunk_shape)
    location_id = np.full(grid, MISSING, np.uint32)
    offset, length = np.zeros(grid, np.uint64), np.zeros(grid, np.uint64)
    notes: list[tuple[str, str]] = []
    for block, (source, place) in placed:
        if place.codecs != codecs or place.chunk_shape != chunk_shape:
            raise _NotOnChunksError(f"source {block.dataset_name} has other chunks or filters than the first source")
        window, source_window = _windows(dataset, block, source, chunk_shape)
        dense = place.manifest.to_dense()
        columns = [
            np.asarray(c).reshape(place.manifest.grid_shape) for c in (dense.location_id, dense.offset, dense.length)
        ]
        if (columns[0][source_window] == INLINE).any():
            raise _NotOnChunksError(f"source {block.dataset_name} is not stored as byte ranges")
        if (columns[0][source_window] == MISSING).any():
            _check_same_fill(dataset, source)
        location_id[window], offset[window], length[window] = (column[source_window] for column in columns)
        notes.extend(place.notes)
    manifest = ChunkManifest(grid, location_id.ravel(), offset.ravel(), length.ravel())
    return Stored(chunk_shape, manifest, codecs, DatasetState.LINKED, notes)


def _blocks(dataset: Dataset) -> Iterator[_Block]:
    """Yield the mappings as pairs of rectangles; printf-style names are counted out."""
    properties = dataset.properties
    for i in range(properties.get_virtual_count()):
        space, source_space = properties.get_virtual_vspace(i), properties.get_virtual_srcspace(i)
        file_name = text_of(properties.get_virtual_filename(i))
        name = text_of(properties.get_virtual_dsetname(i))
        if "%b" in file_name or "%b" in name:
            yield from _counted(dataset, space, file_name, name)
            continue
        start, shape = _rectangle(space, dataset.space)
        source_start, source_shape = _rectangle(source_space, None)
        unlimited = [a for a, n in enumerate(shape) if n is None]
        if [n for n in source_shape if n not in {1, None}] != [
            n for n in shape if n not in {1, None}
        ] and not unlimited:
            raise _NotOnChunksError("a mapping between selections of different shapes")
        if len(source_shape) != len(shape):
            raise _NotOnChunksError("a mapping between datasets of different numbers of axes")
        yield _Block(
            start,
            tuple(dataset.space[a] - start[a] if n is None else n for a, n in enumerate(shape)),
            _unescaped(file_name),
            _unescaped(name),
            source_start,
        )


def _unescaped(name: str) -> str:
    return name.replace("%%", "%")


def _counted(dataset: Dataset, space: h5s.SpaceID, file_name: str, name: str) -> Iterator[_Block]:
    """Yield the blocks of a printf-style mapping: block k is the whole of source k."""
    if not space.is_regular_hyperslab():
        raise _NotOnChunksError("a printf-style mapping of an irregular selection")
    start, stride, count, block = space.get_regular_hyperslab()
    axis = next((a for a, n in enumerate(count) if n == h5s.UNLIMITED), None)
    if axis is None or any(n != 1 for a, n in enumerate(count) if a != axis):
        raise _NotOnChunksError("a printf-style mapping that is not one block after the other along one axis")
    for k in range(MOST_BLOCKS):
        at = tuple(s + k * stride[a] if a == axis else s for a, s in enumerate(start))
        if at[axis] >= dataset.space[axis]:
            return
        shape = tuple(min(n, dataset.space[a] - at[a]) for a, n in enumerate(block))
        names = (text.replace("%%", "\0").replace("%b", str(k)).replace("\0", "%") for text in (file_name, name))
        yield _Block(at, shape, next(names), next(names), (0,) * len(at))
    raise _NotOnChunksError(f"a printf-style mapping of more than {MOST_BLOCKS} blocks")


def _rectangle(
    space: h5s.SpaceID, whole_shape: tuple[int, ...] | None
) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
    """Return (start, shape) of a selection that is one rectangle; None in shape: unlimited."""
    if space.get_select_type() == h5s.SEL_ALL:
        shape = whole_shape or space.get_simple_extent_dims()
        return (0,) * len(shape), tuple(shape)
    if space.get_select_type() != h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        raise _NotOnChunksError("a mapping that is not one rectangle")
    start, stride, count, block = space.get_regular_hyperslab()
    shape_: list[int | None] = []
    for step, n, length in zip(stride, count, block, strict=True):
        if h5s.UNLIMITED in {n, length}:
            if length not in {h5s.UNLIMITED, step}:
                raise _NotOnChunksError("a mapping with gaps")
            shape_.append(None)
        elif n == 1 or step == length:
            shape_.append(n * length)
        else:
            raise _NotOnChunksError("a mapping with gaps")
    return tuple(start), tuple(shape_)


def _source(dataset: Dataset, block: _Block) -> tuple[Dataset, Stored] | None:
    """Return the source dataset of a block and its storage; None where it does not exist, which reads as fill."""
    files: FileTable = dataset.files
    try:
        file: Hdf5File = dataset.file if block.file_name == "." else files.linked_hdf5(dataset.file, block.file_name)
        source_id = h5d.open(file.id, block.dataset_name.encode())
    except (SourceError, KeyError):
        return None
    except (RefmakerError, *H5PY_ERRORS) as error:
        raise UnsupportedError(
            f"source {block.dataset_name} cannot be read: {error}", code="virtual-dataset"
        ) from error
    element = element_type(source_id.get_type())
    if element.dtype != dataset.element.dtype or element.decode or element.fixups != dataset.element.fixups:
        raise _NotOnChunksError(f"source {block.dataset_name} has another datatype")
    space = source_id.get_space()
    source = replace(
        dataset,
        file=file,
        id=source_id,
        properties=source_id.get_create_plist(),
        element=element,
        space=space.get_simple_extent_dims(),
        maxshape=tuple(None if n == h5s.UNLIMITED else n for n in space.get_simple_extent_dims(True)),
    )
    if source.properties.get_layout() == h5d.VIRTUAL:
        raise _NotOnChunksError("a virtual dataset of virtual datasets")
    return source, stored(source)


def _windows(
    dataset: Dataset, block: _Block, source: Dataset, chunk_shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the parts of the two chunk grids that a block covers."""
    window, source_window = [], []
    inner = len(dataset.element.inner_shape)
    for axis, chunk in enumerate(chunk_shape[: len(chunk_shape) - inner]):
        start, source_start = block.start[axis], block.source_start[axis]
        length = min(block.shape[axis], source.space[axis] - source_start)
        ends_chunk = length % chunk == 0
        ends_dataset = start + length == dataset.space[axis]
        if start % chunk or source_start % chunk or not (ends_chunk or ends_dataset) or length <= 0:
            raise _NotOnChunksError(f"a mapping that does not lie on the source's chunks along axis {axis}")
        count = -(-length // chunk)
        window.append(slice(start // chunk, start // chunk + count))
        source_window.append(slice(source_start // chunk, source_start // chunk + count))
    return (*window, *[slice(None)] * inner), (*source_window, *[slice(None)] * inner)


def _check_same_fill(dataset: Dataset, source: Dataset) -> None:
    """Refuse chunks that the source never wrote where they read other values than the virtual dataset's own gaps."""
    fills = []
    for one in (dataset, source):
        value = np.zeros((), one.element.dtype)
        if one.properties.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED:
            one.properties.get_fill_value(value)
        fills.append(value.tobytes())
    if fills[0] != fills[1]:
        raise _NotOnChunksError("chunks that a source never wrote have another fill value than the virtual dataset")
