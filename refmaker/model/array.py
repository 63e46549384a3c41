"""Arrays: metadata in the words of the Zarr v3 specification, and the manifest of their chunks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refmaker.errors import OptionError
from refmaker.model.attributes import JSON
from refmaker.model.chunks import ChunkManifest

__all__ = ["STOCK_CODECS", "ArrayMetadata", "Codec", "VirtualArray", "grid_of"]

STOCK_CODECS = frozenset(
    {"blosc", "bz2", "fletcher32", "lz4", "lzma", "shuffle", "vlen-bytes", "vlen-utf8", "zlib", "zstd"}
)
"""numcodecs ids that every Zarr reader in Python decodes without refmaker."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One step of a pipeline: a numcodecs codec id and its configuration.

    >>> from refmaker import Codec
    >>> Codec("zlib", {"level": 4}).stock, Codec("refmaker_pad", {"nbytes": 96}).stock
    (True, False)
    """

    id: str
    configuration: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stock(self) -> bool:
        """Whether readers decode it without refmaker installed."""
        return self.id in STOCK_CODECS


def grid_of(shape: tuple[int, ...], chunk_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the number of chunks along each axis."""
    return tuple(-(-n // c) for n, c in zip(shape, chunk_shape, strict=True))


@dataclass(frozen=True, slots=True)
class ArrayMetadata:
    """What a Zarr reader must know of an array.

    Attributes:
        shape: elements along each axis.
        chunk_shape: elements of a chunk along each axis, all at least 1.
        data_type: the stored elements; ``object`` for variable-length strings (then a vlen codec is the first codec).
        fill_value: what absent chunks read as; None: zero, and CF readers mask nothing. A numpy scalar or bytes.
        codecs: the pipeline in encoding order.
        dimension_names: one name an axis.
        attributes: the array's attributes as JSON.

    >>> import numpy as np
    >>> from refmaker import ArrayMetadata
    >>> ArrayMetadata((10, 7), (4, 7), np.dtype("<f4"), dimension_names=("y", "x")).grid_shape
    (3, 1)
    """

    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    data_type: np.dtype[Any]
    fill_value: Any = None
    codecs: tuple[Codec, ...] = ()
    dimension_names: tuple[str, ...] = ()
    attributes: Mapping[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.shape) == len(self.chunk_shape) == len(self.dimension_names):
            raise OptionError(
                f"shape {self.shape}, chunk shape {self.chunk_shape} and dimensions {self.dimension_names} "
                "differ in number of axes"
            )
        if any(n < 0 for n in self.shape) or any(n < 1 for n in self.chunk_shape):
            raise OptionError(f"shape {self.shape} in chunks of {self.chunk_shape}")

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """Chunks along each axis."""
        return grid_of(self.shape, self.chunk_shape)


@dataclass(frozen=True, slots=True)
class VirtualArray:
    """An array whose chunks lie elsewhere.

    >>> import numpy as np
    >>> from refmaker import ArrayMetadata, ChunkManifest, VirtualArray
    >>> metadata = ArrayMetadata((8,), (4,), np.dtype("<f8"), dimension_names=("x",))
    >>> manifest = ChunkManifest.affine((2,), location_id=0, start=512, strides=(32,), length=32)
    >>> VirtualArray(metadata, manifest).manifest.lookup(1)
    ChunkRef(location_id=0, offset=544, length=32, data=None)
    """

    metadata: ArrayMetadata
    manifest: ChunkManifest

    def __post_init__(self) -> None:
        if self.manifest.grid_shape != self.metadata.grid_shape:
            raise OptionError(
                f"a manifest over {self.manifest.grid_shape} for an array of {self.metadata.grid_shape} chunks"
            )
