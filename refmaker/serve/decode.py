"""Chunks of one array, decoded: the pipeline is put together once, the common ones without detours.

A pipeline that ends in a byte shuffle (as most HDF5 does) is not unshuffled into a buffer of its own: ``ChunkDecoder``
leaves that last step to whoever scatters chunks into the result, as ``byte planes``, which saves a copy.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.codecs.base import DECODER_ERRORS, as_u8
from refmaker.errors import BrokenFileError, UnsupportedError
from refmaker.model.array import ArrayMetadata, Codec
from refmaker.serve.inflate import Decompress, decompressor

__all__ = ["OBJECT_CODECS", "REFUSED_CODECS", "ChunkDecoder"]

REFUSED_CODECS = frozenset({"pickle", "json", "json2", "msgpack", "msgpack2", "categorize"})
"""Codecs that build Python objects from a chunk's bytes: ``pickle`` runs code, none is needed for arrays."""
OBJECT_CODECS = frozenset({"vlen-utf8", "vlen-bytes", "vlen-array"})
"""Codecs that build strings, bytes or plain arrays, and nothing else."""
GENEROUS = 16
"""Times a chunk's size that a step in the middle of a pipeline may give: compound members have gaps."""
SMALL = 1 << 20
OBJECTS_BOUND = 1 << 30
"""Bytes that a chunk of variable-length elements may decode to."""
SHUFFLES = {"shuffle": "elementsize", "refmaker_hdf5_shuffle": "itemsize"}
"""Codecs that are byte shuffles of whole elements -> the name of their element size."""


class ChunkDecoder:
    """Decodes chunks of one array.

    Attributes:
        shape: of every chunk.
        stored: the data type as it is stored.
        native: the same in native byte order: what readers get.
        nbytes: decoded bytes of every chunk; None for variable-length elements.
        shuffled: whether ``decoded`` gives byte planes (itemsize, *shape) instead of elements.
        raw: whether chunks are stored as they are.

    Raises:
        UnsupportedError: a codec is unknown, or would run code.
    """

    def __init__(self, metadata: ArrayMetadata) -> None:
        self.shape = metadata.chunk_shape
        self.stored = metadata.data_type
        self.native = self.stored.newbyteorder("=")
        codecs = list(metadata.codecs)
        check_codecs(codecs)
        self.count = math.prod(self.shape)
        self._objects = None
        self.nbytes: int | None = None
        if self.stored.hasobject:
            self._objects = _object_codec(codecs.pop(0) if codecs else None)
        else:
            self.nbytes = self.count * self.stored.itemsize
        self.shuffled = bool(codecs) and self._is_unshuffle(codecs[0])
        if self.shuffled:
            codecs = codecs[1:]
        self.raw = not codecs and not self.shuffled and self._objects is None
        bound = OBJECTS_BOUND if self.nbytes is None else self.nbytes * GENEROUS + SMALL
        self._steps: list[Decompress] = []
        for rank, codec in enumerate(codecs):
            last = rank == 0  # decoding runs from the last codec to the first
            config = {"id": codec.id, **codec.configuration}
            self._steps.append(decompressor(config, self.nbytes if last else None, bound))
        self._steps.reverse()
        self._itemsize = self.stored.itemsize

    def _is_unshuffle(self, codec: Codec) -> bool:
        name = SHUFFLES.get(codec.id)
        size = self.stored.itemsize
        return name is not None and self.nbytes is not None and codec.configuration.get(name) == size and size > 1

    def decoded(self, data: Any) -> Any:
        """Return a chunk's decoded bytes: exactly ``nbytes`` of them, as any buffer; byte planes if ``shuffled``.

        Raises:
            BrokenFileError: the bytes do not decode, or to another length.
        """
        try:
            for step in self._steps:
                data = step(data)
        except DECODER_ERRORS as error:
            raise BrokenFileError(f"does not decode: {type(error).__name__}: {error}") from error
        if self.nbytes is not None and len(data) != self.nbytes:
            size = as_u8(data).size
            if size != self.nbytes:
                raise BrokenFileError(f"decodes to {size} bytes, and a chunk has {self.nbytes}")
            data = as_u8(data)
        return data

    def array(self, data: Any) -> npt.NDArray[Any]:
        """Return a chunk as an array of ``shape``: the stored data type, or objects; not to be written to.

        Raises:
            BrokenFileError: the bytes do not decode, or to another length.
        """
        data = self.decoded(data)
        if self._objects is not None:
            return self._objects_of(data)
        if self.shuffled:
            elements = np.empty((self.count, self._itemsize), np.uint8)
            for byte, plane in enumerate(np.frombuffer(data, np.uint8).reshape(self._itemsize, self.count)):
                elements[:, byte] = plane
            data = elements
        return np.frombuffer(data, self.stored).reshape(self.shape)

    def planes(self, data: Any) -> npt.NDArray[np.uint8]:
        """Return the byte planes of a ``shuffled`` chunk, in the order of its native elements' bytes."""
        planes = np.frombuffer(self.decoded(data), np.uint8).reshape(self._itemsize, *self.shape)
        return planes if self.stored.isnative else planes[::-1]

    @property
    def plain_elements(self) -> bool:
        """Whether an element's bytes are one number's: reversing them all changes the byte order."""
        return self.stored.kind in "biufmM" or self.stored.isnative

    def _objects_of(self, data: Any) -> npt.NDArray[Any]:
        try:
            decoded = self._objects.decode(bytes(as_u8(data)))  # type: ignore[union-attr]
        except DECODER_ERRORS as error:
            raise BrokenFileError(f"does not decode: {type(error).__name__}: {error}") from error
        objects = np.empty(len(decoded), object)
        objects[...] = decoded
        if objects.size != self.count:
            raise BrokenFileError(f"decodes to {objects.size} elements, and a chunk has {self.count}")
        return objects.reshape(self.shape)


def check_codecs(codecs: Sequence[Codec | Mapping[str, Any]]) -> None:
    """Raise UnsupportedError if a codec, at whatever depth, may run code."""
    for codec in codecs:
        name = codec.id if isinstance(codec, Codec) else codec.get("id")
        configuration = codec.configuration if isinstance(codec, Codec) else codec
        if name in REFUSED_CODECS:
            raise UnsupportedError(
                f"wants the codec {name!r}, which builds Python objects and may run code: refused", code="codec"
            )
        inner = configuration.get("codecs")
        if isinstance(inner, list | tuple):
            check_codecs([one for one in inner if isinstance(one, Mapping)])


def _object_codec(codec: Codec | None) -> Any:
    if codec is None or codec.id not in OBJECT_CODECS:
        raise UnsupportedError(
            f"variable-length elements need one of {', '.join(sorted(OBJECT_CODECS))} first, not "
            f"{codec.id if codec else 'no codec'!r}",
            code="codec",
        )
    import numcodecs

    return numcodecs.get_codec({"id": codec.id, **codec.configuration})
