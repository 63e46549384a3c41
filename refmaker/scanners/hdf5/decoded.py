"""Datasets whose values no byte range expresses: read through h5py and stored in the references."""

import math
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5s, h5t

from refmaker.errors import UnsupportedError
from refmaker.model.array import Codec
from refmaker.model.attributes import text_of
from refmaker.scanners.hdf5.attributes import reference_path
from refmaker.scanners.hdf5.element_types import Decode, ElementType
from refmaker.scanners.hdf5.nodes import DatasetNode
from refmaker.scanners.hdf5.walk.local import heaps_of_values

__all__ = ["INLINE_LIMIT", "check_inline", "decoded_chunk", "native_values", "raw_bytes", "vlen_bytes"]

INLINE_LIMIT = 64 << 20
"""Bytes of one dataset that may be stored in the references; beyond, references would be a copy of the archive."""


def check_inline(nbytes: int, what: str) -> None:
    """Refuse to inline more than INLINE_LIMIT bytes.

    Raises:
        UnsupportedError: code ``"too-large-to-inline"``.
    """
    if nbytes > INLINE_LIMIT:
        raise UnsupportedError(
            f"{what} can only be stored inside the references, and {nbytes} bytes are more than the {INLINE_LIMIT} "
            "that makes sense",
            code="too-large-to-inline",
        )


def raw_bytes(dataset: h5d.DatasetID, nbytes: int) -> bytes:
    """Return a dataset's elements as they lie in the file, after filters, without any conversion."""
    stored = dataset.get_type()
    shape = dataset.shape
    buffer = np.zeros((*shape, stored.get_size()), np.uint8)
    if buffer.size:
        dataset.read(h5s.ALL, h5s.ALL, buffer, mtype=stored)
    if buffer.nbytes != nbytes:
        raise UnsupportedError(f"{buffer.nbytes} bytes of elements where {nbytes} were expected", code="layout")
    return buffer.tobytes()


def native_values(dataset: h5d.DatasetID, element: ElementType) -> np.ndarray[Any, Any]:
    """Return a dataset's values as h5py reads them, as an array of the element's dtype."""
    values = np.asarray(h5py.Dataset(dataset)[()])
    return np.ascontiguousarray(values.astype(element.dtype, copy=False))


def vlen_bytes(items: Sequence[bytes]) -> bytes:
    """Return items as numcodecs' vlen codecs lay them out: count, then length and bytes of each (u4, little endian)."""
    parts = [len(items).to_bytes(4, "little")]
    for item in items:
        parts.append(len(item).to_bytes(4, "little"))
        parts.append(item)
    return b"".join(parts)


def decoded_chunk(node: DatasetNode, element: ElementType) -> tuple[bytes, Codec | None]:
    """Return (bytes, object codec or None) of one chunk that holds a whole dataset.

    Raises:
        UnsupportedError: the dataset is too large to be inlined.
        BrokenFileError, TruncatedFileError: its values lie in broken heaps.
    """
    dataset = node.id
    count = math.prod(dataset.shape)
    check_inline(
        count * max(element.stored_nbytes, element.dtype.itemsize), f"{element.decode and element.decode.value}"
    )
    if element.decode not in {Decode.TEXT, Decode.PATHS}:
        return native_values(dataset, element).tobytes(), None
    for address in heaps_of_values(node.file.superblock, node.address, node.file.opened.source):
        node.file.check_heap(address)
    values = np.empty(dataset.shape, object)
    memory = dataset.get_type()
    holder = np.empty(dataset.shape, np.dtype(memory.dtype))
    if holder.size:
        dataset.read(h5s.ALL, h5s.ALL, holder, h5t.py_create(holder.dtype))
    values[...] = holder
    if element.decode is Decode.PATHS:
        items = [reference_path(value, node.file.id).encode() for value in values.ravel().tolist()]
    else:
        items = [value if isinstance(value, bytes) else str(value or "").encode() for value in values.ravel().tolist()]
    check_inline(sum(map(len, items)), "text of variable length")
    return vlen_bytes(items), Codec("vlen-utf8" if all(map(_is_utf8, items)) else "vlen-bytes")


def _is_utf8(item: bytes) -> bool:
    return item.isascii() or text_of(item).encode() == item
