"""Files with every kind of chunk index, and the two ways to read it: ours and libhdf5's."""

import ctypes
from io import SEEK_END, BytesIO
from typing import Any, NamedTuple

import h5py
import numpy as np

from refmaker.scanners.hdf5.chunk_index import ChunkIndex, read_chunk_index
from refmaker.scanners.hdf5.layout import ChunkIndexType, DataLayout, LayoutClass, read_data_layout
from refmaker.scanners.hdf5.superblock import Superblock, read_superblock
from refmaker.source.base import ByteSource, MemorySource, drive

UNLIMITED = None


class FileBytes(BytesIO):
    """A buffer that ``truncate`` also lengthens, as it does files: HDF5 counts on it."""

    def truncate(self, size: int | None = None) -> int:
        length = len(self.getbuffer())
        if size is not None and size > length:
            self.seek(0, SEEK_END)
            self.write(bytes(size - length))
        return super().truncate(size)


DONT_FILTER_PARTIAL_CHUNKS = 2
"""H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS of H5Dpublic.h."""


def libhdf5(function: str, plist: Any, value: int) -> None:
    """Call a property list setter that h5py does not wrap, in the libhdf5 that h5py runs on."""
    call = getattr(ctypes.CDLL(h5py.h5p.__file__), function)
    call.argtypes = [ctypes.c_int64, ctypes.c_uint]
    assert call(plist.id, value) >= 0


class Case(NamedTuple):
    """One dataset ``d`` to write.

    ``step`` writes every step-th chunk (0: none); ``first_mask`` is the filter mask of the first chunk, written
    unfiltered; ``resized`` is the shape given to the dataset at the end.
    """

    name: str
    index_type: ChunkIndexType
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    maxshape: tuple[int | None, ...] | None = None
    libver: str = "latest"
    filtered: bool = False
    early: bool = False
    step: int = 1
    userblock: int = 0
    resized: tuple[int, ...] | None = None
    sizes: tuple[int, int] | None = None
    istore_k: int | None = None
    raw_edges: bool = False
    first_mask: int | None = None

    def __str__(self) -> str:
        return self.name


def create_file(where: Any, case: Case) -> h5py.File:
    """Create the file of ``case`` with the creation properties that h5py.File itself does not offer."""
    if case.sizes is None and case.istore_k is None:
        return h5py.File(where, "w", libver=case.libver, userblock_size=case.userblock)
    plist = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    plist.set_userblock(case.userblock)
    if case.sizes is not None:
        plist.set_sizes(*case.sizes)
    if case.istore_k is not None:
        libhdf5("H5Pset_istore_k", plist, case.istore_k)
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    bounds = {"earliest": h5py.h5f.LIBVER_EARLIEST, "v108": h5py.h5f.LIBVER_V18, "latest": h5py.h5f.LIBVER_LATEST}
    access.set_libver_bounds(bounds[case.libver], h5py.h5f.LIBVER_LATEST)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, where)
    return h5py.File(h5py.h5f.create(b"<bytes>", h5py.h5f.ACC_TRUNC, plist, access))


def written(case: Case) -> bytes:
    """Return the bytes of a file with the dataset of ``case``; its uint16 values are never the fill value 0."""
    buffer = FileBytes()
    with create_file(buffer, case) as file:
        dataset = h5py.Dataset(h5py.h5d.create(file.id, b"d", h5py.h5t.STD_U16LE, dataspace(case), creation(case)))
        fill_chunks(dataset, case.step)
        if case.first_mask is not None:
            raw = bytes(dataset.dtype.itemsize * np.prod(case.chunks, dtype=int))
            dataset.id.write_direct_chunk((0,) * len(case.shape), raw, case.first_mask)
        if case.resized is not None:
            dataset.resize(case.resized)
    return buffer.getvalue()


def dataspace(case: Case) -> h5py.h5s.SpaceID:
    """Return the dataspace of ``case``."""
    limits = case.shape if case.maxshape is None else case.maxshape
    unlimited = h5py.h5s.UNLIMITED
    return h5py.h5s.create_simple(case.shape, tuple(unlimited if limit is None else limit for limit in limits))


def creation(case: Case) -> h5py.h5p.PropDCID:
    """Return the dataset creation properties of ``case``."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(case.chunks)
    if case.raw_edges:
        libhdf5("H5Pset_chunk_opts", plist, DONT_FILTER_PARTIAL_CHUNKS)
    if case.early:
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    if case.filtered:
        plist.set_shuffle()
        plist.set_deflate(1)
    return plist


def fill_chunks(dataset: Any, step: int) -> None:
    """Write every ``step``-th chunk with values of its own."""
    grid = grid_shape(dataset.shape, dataset.chunks)
    if step == 1 and all(grid):
        count = int(np.prod(dataset.shape, dtype=int))
        dataset[...] = (np.arange(count) % 65_535 + 1).reshape(dataset.shape)
        return
    for position in range(0, int(np.prod(grid, dtype=int)), step) if step else ():
        corner = np.unravel_index(position, grid)
        slices = tuple(slice(at * size, (at + 1) * size) for at, size in zip(corner, dataset.chunks, strict=True))
        dataset[slices] = position % 65_535 + 1


def grid_shape(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...]:
    """Return the chunks along each axis."""
    return tuple(-(-extent // chunk) for extent, chunk in zip(shape, chunks, strict=True))


def header_offset(superblock: Superblock, dataset: Any) -> int:
    """Return the file position of the dataset's object header."""
    low, high = h5py.h5g.get_objinfo(dataset.id, b".").objno
    return (low | high << 32) + superblock.base_address


def native_layout(source: ByteSource, dataset: Any) -> tuple[Superblock, DataLayout]:
    """Return superblock and layout as refmaker reads them."""
    superblock = drive(read_superblock(source.size), source)
    return superblock, drive(read_data_layout(superblock.addressing, header_offset(superblock, dataset)), source)


def native_index(source: ByteSource, dataset: Any) -> ChunkIndex:
    """Return the chunk index as refmaker reads it."""
    superblock, layout = native_layout(source, dataset)
    assert layout.layout_class == LayoutClass.CHUNKED
    filtered = dataset.id.get_create_plist().get_nfilters() > 0
    index = read_chunk_index(superblock, layout, dataset.shape, dataset.maxshape, filtered=filtered)
    return drive(index, source)


def library_index(dataset: Any) -> list[tuple[int, int, int, int]]:
    """Return (position, offset, length, filter mask) of every chunk as libhdf5 iterates them, in order."""
    grid = grid_shape(dataset.shape, dataset.chunks)
    chunks: list[tuple[int, int, int, int]] = []

    def keep(chunk: Any) -> None:
        corner = tuple(at // size for at, size in zip(chunk.chunk_offset, dataset.chunks, strict=True))
        if all(at < extent for at, extent in zip(corner, grid, strict=True)):
            position = int(np.ravel_multi_index(corner, grid))
            chunks.append((position, chunk.byte_offset, chunk.size, chunk.filter_mask))

    dataset.id.chunk_iter(keep)
    return sorted(chunks)


def rows(index: ChunkIndex) -> list[tuple[int, int, int, int]]:
    """Return an index as ``library_index`` does."""
    columns = index.position, index.offset, index.length, index.filter_mask
    return list(zip(*(column.tolist() for column in columns), strict=True))


def iteration_lies(dataset: Any, layout: DataLayout) -> bool:
    """Whether libhdf5's chunk iteration gives wrong coordinates (FORMATS.md 1b); its lookup is right."""
    return layout.index_type == ChunkIndexType.EXTENSIBLE_ARRAY and dataset.maxshape[0] is not None


def assert_same_index(data: bytes, dataset: Any) -> None:
    """Assert that ours is libhdf5's index of ``dataset``, whose file is ``data``."""
    source = MemorySource(data)
    _, layout = native_layout(source, dataset)
    index = native_index(source, dataset)
    if not iteration_lies(dataset, layout):
        assert rows(index) == library_index(dataset)
        return
    assert len(rows(index)) == dataset.id.get_num_chunks()
    grid = grid_shape(dataset.shape, dataset.chunks)
    for position, offset, length, filter_mask in rows(index):
        corner = np.unravel_index(position, grid)
        at = tuple(int(number) * size for number, size in zip(corner, dataset.chunks, strict=True))
        assert dataset.id.read_direct_chunk(at) == (filter_mask, data[offset : offset + length])
