"""Contiguous data kept in other, raw files.

HDF5 File Format Specification, section IV.A.2.h "The Data Storage - External Data Files Message": the dataset's bytes
are the concatenation of extents (file, offset, size), and what a file is too short to hold reads as zeros.
"""

import math
from dataclasses import dataclass

import h5py
import numpy as np
from h5py import h5f

from refmaker.errors import UnsupportedError
from refmaker.model.array import Codec, grid_of
from refmaker.model.attributes import text_of
from refmaker.model.chunks import INLINE, ChunkManifest
from refmaker.model.reference_set import DatasetState
from refmaker.scanners.hdf5.storage import Dataset, Stored, absent, contiguous, whole

__all__ = ["external"]


@dataclass(frozen=True, slots=True)
class _Extent:
    """Bytes [start, start + length) of the dataset lie at ``offset`` of a file; only ``there`` of them exist."""

    location_id: int
    offset: int
    start: int
    length: int
    there: int


def _extents(dataset: Dataset) -> list[_Extent]:
    """Return the extents that hold the dataset's bytes, in order.

    Raises:
        SourceError: an external file is missing.
        UnsupportedError: the extents together are shorter than the dataset.
    """
    extents = []
    start, total = 0, dataset.stored_nbytes
    for i in range(dataset.node.properties.get_external_count()):
        name, offset, size = dataset.node.properties.get_external(i)
        unlimited = size in {h5f.UNLIMITED, h5py.h5s.UNLIMITED} or size < 0
        length = total - start if unlimited else min(size, total - start)
        if length <= 0:
            break
        location_id, opened = dataset.files.linked_raw(dataset.file, text_of(name))
        there = max(min(length, opened.source.size - offset), 0)
        extents.append(_Extent(location_id, offset, start, length, there))
        start += length
    if start < total:
        raise UnsupportedError(f"external files hold {start} of {total} bytes", code="external-storage")
    return extents


def external(dataset: Dataset) -> Stored:
    """Return the storage of a dataset in external files: ranges of those, a chunk an extent where there are several.

    Raises:
        UnsupportedError: the extents fit no chunk grid.
        SourceError: an external file is missing.
    """
    if not dataset.stored_nbytes:
        return absent(dataset, whole(dataset.shape))
    extents = _extents(dataset)
    first = extents[0]
    if len(extents) == 1 and first.there == first.length:
        place = contiguous(dataset, first.location_id, first.offset)
        return Stored(place.chunk_shape, place.manifest, place.codecs, DatasetState.LINKED)
    row_nbytes = dataset.stored_nbytes // dataset.shape[0] if dataset.shape else dataset.stored_nbytes
    even = all(extent.length == first.length for extent in extents[:-1]) and extents[-1].length <= first.length
    if first.length % row_nbytes or not even or not dataset.shape:
        raise UnsupportedError(
            f"{len(extents)} external extents that do not end between rows of the first axis", code="external-storage"
        )
    chunk_shape = (first.length // row_nbytes, *whole(dataset.shape[1:]))
    # of a file too short to hold any of an extent nothing can be referenced: one zero, inlined, is padded with others
    present = np.array([extent.there > 0 for extent in extents])
    length = np.array([extent.there or 1 for extent in extents], np.uint64)
    chunk_nbytes = math.prod(chunk_shape) * dataset.element.stored_nbytes
    pad = (Codec("refmaker_pad", {"nbytes": chunk_nbytes}),) if (length != chunk_nbytes).any() else ()
    manifest = ChunkManifest.from_positions(
        grid_of(dataset.shape, chunk_shape),
        np.arange(len(extents), dtype=np.uint64),
        location_id=np.where(present, [extent.location_id for extent in extents], INLINE).astype(np.uint32),
        offset=np.where(present, [extent.offset for extent in extents], 0).astype(np.uint64),
        length=length,
        inline=b"" if present.all() else b"\0",
    )
    return Stored(chunk_shape, manifest, pad, DatasetState.LINKED)
