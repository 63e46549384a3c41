"""Decoded values of arrays, and arrays made of values: the bytes of chunks are the caller's to fetch."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.combine.decoders import pipeline
from refmaker.errors import BrokenFileError, RefmakerError
from refmaker.model.array import ArrayMetadata, Codec, VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.chunks import ChunkManifest

__all__ = ["Values", "chunk_values", "decoded_nbytes", "fill_of", "inlined_array", "same_values", "values_of"]

Values = npt.NDArray[Any]
OBJECT_NBYTES = 32
"""What a variable-length string is taken to need."""


def decoded_nbytes(metadata: ArrayMetadata) -> int:
    """Return the bytes that an array's values take."""
    itemsize = OBJECT_NBYTES if metadata.data_type.hasobject else metadata.data_type.itemsize
    return math.prod(metadata.shape) * itemsize


def fill_of(metadata: ArrayMetadata) -> Any:
    """Return what absent chunks read as."""
    if metadata.fill_value is not None:
        return metadata.fill_value
    return "" if metadata.data_type.hasobject else np.zeros((), metadata.data_type)[()]


def chunk_values(metadata: ArrayMetadata, data: bytes) -> Values:
    """Return one chunk's values, of the chunk shape.

    Raises:
        BrokenFileError: the bytes do not decode to a chunk.
        UnsupportedError: a codec is not known, or its package is missing.
    """
    decoded: Any = data
    try:
        for codec in reversed(pipeline(metadata.codecs)):
            decoded = codec.decode(decoded)
    except RefmakerError:
        raise
    except Exception as error:
        raise BrokenFileError(f"a chunk does not decode: {type(error).__name__}: {error}") from error
    count = math.prod(metadata.chunk_shape)
    if not metadata.data_type.hasobject:
        nbytes = memoryview(decoded).nbytes
        if nbytes != count * metadata.data_type.itemsize:
            raise BrokenFileError(
                f"a chunk decodes to {nbytes} bytes, not {count} elements of {metadata.data_type.itemsize}"
            )
        decoded = np.frombuffer(decoded, metadata.data_type)
    elif decoded.size != count:
        raise BrokenFileError(f"a chunk decodes to {decoded.size} elements, not {count}")
    values: Values = np.asarray(decoded).reshape(metadata.chunk_shape)
    return values


def values_of(array: VirtualArray, chunks: Iterable[tuple[int, bytes]]) -> Values:
    """Return an array's values from its present chunks: (position in the grid, bytes)."""
    metadata = array.metadata
    if metadata.shape == metadata.chunk_shape and array.manifest.present:  # one chunk, which is all of it
        ((_, data),) = chunks
        return chunk_values(metadata, data)
    values = np.empty(metadata.shape, metadata.data_type)
    values[...] = fill_of(metadata)
    for position, data in chunks:
        window = _window(metadata, position)
        part = chunk_values(metadata, data)
        values[window] = part[tuple(slice(0, edge.stop - edge.start) for edge in window)]
    return values


def _window(metadata: ArrayMetadata, position: int) -> tuple[slice, ...]:
    index = np.unravel_index(position, metadata.grid_shape) if metadata.shape else ()
    return tuple(
        slice(int(i) * c, min((int(i) + 1) * c, n))
        for i, c, n in zip(index, metadata.chunk_shape, metadata.shape, strict=True)
    )


def same_values(one: Values, other: Values) -> bool:
    """Whether two arrays hold the same values; NaN is like NaN."""
    if one.shape != other.shape:
        return False
    if one.dtype == other.dtype and not one.dtype.hasobject and one.tobytes() == other.tobytes():
        return True
    nan = one.dtype.kind in "fc" and other.dtype.kind in "fc"
    return np.array_equal(one, other, equal_nan=nan)


def inlined_array(
    values: Values,
    dimension_names: tuple[str, ...],
    attributes: Mapping[str, JSON],
    fill_value: Any = None,
) -> VirtualArray:
    """Return an array of one inlined chunk, uncompressed; text of any length becomes ``vlen-utf8``."""
    codecs: tuple[Codec, ...] = ()
    if values.dtype.kind in "OU":
        is_bytes = values.size > 0 and isinstance(values.flat[0], bytes)
        codecs = (Codec("vlen-bytes" if is_bytes else "vlen-utf8"),)
        values = values.astype(object)
    metadata = ArrayMetadata(
        shape=values.shape,
        chunk_shape=tuple(max(n, 1) for n in values.shape),
        data_type=values.dtype,
        fill_value=fill_value,
        codecs=codecs,
        dimension_names=dimension_names,
        attributes=attributes,
    )
    return VirtualArray(metadata, ChunkManifest.inlined(metadata.grid_shape, list(_encoded(values, codecs))))


def _encoded(values: Values, codecs: tuple[Codec, ...]) -> Iterator[bytes]:
    """Yield the one chunk, or none of an array without elements."""
    if 0 in values.shape:
        return
    data: Any = np.ascontiguousarray(values)
    for codec in pipeline(codecs):
        data = codec.encode(data)
    yield bytes(memoryview(data).cast("B"))
