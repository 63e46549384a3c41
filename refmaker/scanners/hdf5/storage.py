"""A dataset's storage layout as a chunk manifest and a codec pipeline.

HDF5 File Format Specification, section IV.A.2.i "The Data Layout Message": compact, contiguous (with external files),
chunked and virtual storage, each one row of ``LAYOUTS``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5d

from refmaker.errors import BrokenFileError, RefmakerError, TruncatedFileError, UnsupportedError
from refmaker.model.array import Codec, grid_of
from refmaker.model.chunks import INLINE, ChunkManifest
from refmaker.model.contiguous import cut
from refmaker.model.reference_set import DatasetState
from refmaker.scanners.hdf5.chunk_index import ChunkIndex
from refmaker.scanners.hdf5.chunk_iteration import iterate_chunks
from refmaker.scanners.hdf5.dataset_header import DatasetHeader
from refmaker.scanners.hdf5.decoded import check_inline, raw_bytes
from refmaker.scanners.hdf5.element_types import ElementType
from refmaker.scanners.hdf5.file_table import FileTable
from refmaker.scanners.hdf5.filter_masks import pipeline_for
from refmaker.scanners.hdf5.filters import filter_steps
from refmaker.scanners.hdf5.hdf5_file import Hdf5File
from refmaker.scanners.hdf5.nodes import DatasetNode

__all__ = ["Dataset", "Stored", "notes_of_library_read", "stored"]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset with what its storage depends on.

    Attributes:
        files: opens the files that external storage and virtual datasets name.
        node: its header, and h5py's view of it.
        path: inside the file.
        element: its elements as Zarr sees them.
        chunk_bytes: wanted size of pieces of contiguous data, or None.
    """

    files: FileTable
    node: DatasetNode
    path: str
    element: ElementType
    chunk_bytes: int | None = None

    @property
    def file(self) -> Hdf5File:
        """The file it lies in."""
        return self.node.file

    @property
    def header(self) -> DatasetHeader:
        """What its object header says."""
        return self.node.header

    @property
    def is_remote(self) -> bool:
        """Whether its file is in a store, where libhdf5 finds no other files (and may take local ones for them)."""
        return self.file.opened.path is None

    @property
    def space(self) -> tuple[int, ...]:
        """The shape in HDF5, without the inner shape of an array datatype."""
        return self.header.shape or ()

    @property
    def maxshape(self) -> tuple[int | None, ...]:
        """As ``space``; None where unlimited."""
        return self.header.maxshape

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in Zarr."""
        return self.space + self.element.inner_shape

    @property
    def stored_nbytes(self) -> int:
        """Bytes of all elements as they are stored, before filters."""
        return math.prod(self.shape) * self.element.stored_nbytes


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a dataset's chunks are and what decodes them; codecs of the element type come on top."""

    chunk_shape: tuple[int, ...]
    manifest: ChunkManifest
    codecs: tuple[Codec, ...] = ()
    state: DatasetState = DatasetState.REFERENCED
    notes: list[tuple[str, str]] = field(default_factory=list)


def stored(dataset: Dataset) -> Stored:
    """Return a dataset's storage.

    Raises:
        UnsupportedError: it cannot be expressed.
        BrokenFileError: it lies outside the file, or contradicts itself.
    """
    layout = dataset.header.layout_class
    read = LAYOUTS.get(layout)
    if read is None:
        raise UnsupportedError(f"storage layout {layout} is unknown", code="layout")
    return read(dataset)


def whole(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the chunk shape of an array kept in one chunk."""
    return tuple(max(n, 1) for n in shape)


def absent(dataset: Dataset, chunk_shape: tuple[int, ...]) -> Stored:
    """Return the storage of a dataset of which nothing was ever written."""
    return Stored(chunk_shape, ChunkManifest.empty(grid_of(dataset.shape, chunk_shape)))


def _compact(dataset: Dataset) -> Stored:
    """The bytes lie in the object header; they are few, so the references hold them."""
    chunk_shape = whole(dataset.shape)
    grid = grid_of(dataset.shape, chunk_shape)
    if 0 in grid:
        return absent(dataset, chunk_shape)
    layout = dataset.header.layout
    if layout is not None and layout.compact_offset is not None and layout.size == dataset.stored_nbytes:
        data = dataset.file.opened.source.read(layout.compact_offset, layout.size)
    else:
        data = raw_bytes(dataset.node.id, dataset.stored_nbytes)
    return Stored(chunk_shape, ChunkManifest.inlined(grid, [data]), state=DatasetState.INLINED)


def _contiguous(dataset: Dataset) -> Stored:
    if dataset.header.is_external:
        from refmaker.scanners.hdf5.external_storage import external

        return external(dataset)
    offset = _contiguous_offset(dataset)
    if offset is None or not dataset.stored_nbytes:
        return absent(dataset, whole(dataset.shape))
    check_inside(dataset, np.array([offset], np.uint64), np.array([dataset.stored_nbytes], np.uint64))
    return contiguous(dataset, dataset.file.location_id, offset)


def _contiguous_offset(dataset: Dataset) -> int | None:
    """Return the file position of contiguous data, None if there is none.

    Raises:
        BrokenFileError: no data can lie there.
    """
    try:
        layout = dataset.header.layout or dataset.file.layout(dataset.node.address)
    except RefmakerError:
        offset = dataset.node.id.get_offset()
        # of data never written, HDF5 adds the user block's size to the undefined address
        return None if offset is None or offset == dataset.file.handle.userblock_size - 1 else int(offset)
    if layout.address == 0:
        raise BrokenFileError("contiguous data where the superblock is")
    return None if layout.address is None else layout.address + dataset.file.base_address


def contiguous(dataset: Dataset, location_id: int, offset: int) -> Stored:
    """Return the storage of a dataset that is one run of bytes, cut into chunks if that is wanted."""
    pieces = cut(dataset.shape, dataset.element.stored_nbytes, dataset.chunk_bytes or max(dataset.stored_nbytes, 1))
    manifest = pieces.manifest(dataset.shape, location_id=location_id, start=offset)
    return Stored(pieces.chunk_shape, manifest, pieces.codecs)


def check_inside(dataset: Dataset, offset: npt.NDArray[np.uint64], length: npt.NDArray[np.uint64]) -> None:
    """Check byte ranges against the file's size.

    Raises:
        TruncatedFileError: one of them reaches past the end.
    """
    size = dataset.file.opened.source.size
    if offset.size and (int(offset.max()) > size or int((offset + length).max()) > size):
        raise TruncatedFileError(
            f"data of {dataset.path} reaches past the end of the file at byte {size}",
            location=dataset.file.opened.url,
            path=dataset.path,
            offset=int(offset.max()),
        )


def _chunked(dataset: Dataset) -> Stored:
    own_chunk = dataset.header.chunk_shape
    chunk_shape = own_chunk + whole(dataset.element.inner_shape)
    grid = grid_of(dataset.space, own_chunk)
    full_grid = grid_of(dataset.shape, chunk_shape)
    if 0 in full_grid:
        return absent(dataset, chunk_shape)
    chunk_nbytes = math.prod(chunk_shape) * dataset.element.stored_nbytes
    filtered = bool(dataset.header.filters)
    index, unfiltered, notes = _chunk_index(dataset, own_chunk, grid, filtered=filtered)
    if not index.position.size:
        return Stored(chunk_shape, ChunkManifest.empty(full_grid), _codecs_if_known(dataset, chunk_nbytes), notes=notes)
    mask = np.where(unfiltered, np.uint32(0xFFFF_FFFF), index.filter_mask) if unfiltered.any() else index.filter_mask
    steps = filter_steps(dataset.header.filters, dataset.element.dtype, chunk_nbytes)
    pipeline = pipeline_for(steps, mask, index.length, chunk_nbytes)
    if not pipeline.codecs:
        length = np.delete(index.length, pipeline.unreadable)
        odd = length[length != chunk_nbytes]
        if odd.size:
            raise BrokenFileError(f"a chunk of {int(odd[0])} bytes where unfiltered chunks have {chunk_nbytes}")
    if not pipeline.unreadable.size:
        manifest = ChunkManifest.from_positions(
            full_grid,
            index.position,
            location_id=dataset.file.location_id,
            offset=index.offset,
            length=index.length,
        )
        return Stored(chunk_shape, manifest, pipeline.codecs, notes=notes)
    manifest = _with_decoded(dataset, index, pipeline.unreadable, chunk_shape, full_grid)
    notes.append(
        ("filter-mask", f"{pipeline.unreadable.size} chunks skipped filters ambiguously and are stored decoded")
    )
    return Stored(chunk_shape, manifest, pipeline.codecs, notes=notes)


def _codecs_if_known(dataset: Dataset, chunk_nbytes: int) -> tuple[Codec, ...]:
    """Return the pipeline of a dataset without chunks: it decodes nothing yet, but says what it would be."""
    try:
        steps = filter_steps(dataset.header.filters, dataset.element.dtype, chunk_nbytes)
    except UnsupportedError:
        return ()
    return tuple(codec for step in steps for codec in step.codecs)


def _chunk_index(
    dataset: Dataset, chunk_shape: tuple[int, ...], grid: tuple[int, ...], *, filtered: bool
) -> tuple[ChunkIndex, npt.NDArray[np.bool_], list[tuple[str, str]]]:
    """Return (index, which chunks skip all filters without a mask, notes), by our own reader or else the library's.

    Raises:
        UnsupportedError: only the library reads the object header, and it does not tell whether edge chunks, which
            have the unfiltered size, are filtered.
    """
    notes: list[tuple[str, str]] = []
    layout = None
    try:
        layout = dataset.header.layout or dataset.file.layout(dataset.node.address)
        index = dataset.file.chunk_index(layout, dataset.space, dataset.maxshape, filtered=filtered)
    except RefmakerError as error:
        index = iterate_chunks(dataset.node.id, chunk_shape, grid)
        check_inside(dataset, index.offset, index.length)
        notes = [("slow-index", f"chunk index read by HDF5's own iteration: {error.message}")]
    none = np.zeros(index.position.shape, bool)
    if not filtered or (layout is not None and not layout.partial_chunks_unfiltered):
        return index, none, notes
    partial = _partial(index.position, dataset.space, chunk_shape, grid)
    if layout is not None:
        return index, partial, notes
    nbytes = math.prod(chunk_shape) * dataset.header.datatype.get_size()
    if (index.length[partial] == nbytes).any():
        raise UnsupportedError("HDF5 does not tell whether partial edge chunks are filtered", code="chunk-index")
    return index, none, notes


def _partial(
    position: npt.NDArray[np.uint64], space: tuple[int, ...], chunk_shape: tuple[int, ...], grid: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    """Return which chunks the dataset's edge cuts."""
    partial = np.zeros(position.shape, bool)
    rest = position
    for n, chunk, count in zip(reversed(space), reversed(chunk_shape), reversed(grid), strict=True):
        rest, index = np.divmod(rest, np.uint64(count))
        if n % chunk:
            partial |= index == np.uint64(count - 1)
    return partial


def _with_decoded(
    dataset: Dataset,
    index: ChunkIndex,
    rows: npt.NDArray[np.intp],
    chunk_shape: tuple[int, ...],
    grid: tuple[int, ...],
) -> ChunkManifest:
    """Return the manifest with some chunks decoded by h5py and stored inline, unfiltered."""
    nbytes = math.prod(chunk_shape) * dataset.element.stored_nbytes
    check_inline(nbytes * rows.size, "chunks that skipped filters ambiguously")
    if dataset.element.fixups or dataset.element.inner_shape:
        raise UnsupportedError("filters skipped ambiguously in chunks that need another codec too", code="filter-mask")
    location_id = np.full(index.position.size, dataset.file.location_id, np.uint32)
    offset, length = index.offset.copy(), index.length.copy()
    source = h5py.Dataset(dataset.node.id)
    parts = []
    for at, row in enumerate(rows.tolist()):
        corner = np.unravel_index(int(index.position[row]), grid)
        window = tuple(
            slice(int(i) * c, min((int(i) + 1) * c, n))
            for i, c, n in zip(corner, chunk_shape, dataset.shape, strict=True)
        )
        chunk = np.zeros(chunk_shape, dataset.element.dtype)
        values = np.asarray(source[window])
        chunk[tuple(slice(0, n) for n in values.shape)] = values
        parts.append(chunk.tobytes())
        location_id[row], offset[row], length[row] = INLINE, at * nbytes, nbytes
    return ChunkManifest.from_positions(
        grid, index.position, location_id=location_id, offset=offset, length=length, inline=b"".join(parts)
    )


def notes_of_library_read(dataset: Dataset) -> list[tuple[str, str]]:
    """Check that libhdf5 reads a dataset's values; return what is to be told of them.

    Raises:
        UnsupportedError: it would look for other files on this machine, and the dataset's file is in a store.
        UnsupportedError, BrokenFileError, SourceError: a source of a virtual dataset cannot be read, where libhdf5
            returns the fill value.
    """
    if dataset.header.layout_class == h5d.VIRTUAL:
        from refmaker.scanners.hdf5.virtual_sources import notes_on_sources

        return notes_on_sources(dataset.files, dataset.node)
    if dataset.header.is_external and dataset.is_remote:
        raise UnsupportedError(
            "values in other, raw files that must be converted, which is done for local files: download them",
            code="external-storage",
        )
    return []


def _virtual(dataset: Dataset) -> Stored:
    from refmaker.scanners.hdf5.virtual_dataset import virtual

    return virtual(dataset)


LAYOUTS: dict[int, Callable[[Dataset], Stored]] = {
    h5d.COMPACT: _compact,
    h5d.CONTIGUOUS: _contiguous,
    h5d.CHUNKED: _chunked,
    h5d.VIRTUAL: _virtual,
}
"""How to find the chunks of each layout class."""
