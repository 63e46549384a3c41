"""An array of the references as xarray's lazily indexed array: no zarr in between."""

from typing import Any

from xarray.backends import BackendArray
from xarray.coding.strings import create_vlen_dtype
from xarray.core import indexing

from refmaker.serve.array_reader import ArrayReader
from refmaker.serve.opened import OpenedReferences
from refmaker.serve.selection import Selection, outer, pointwise

__all__ = ["ReferenceBackendArray"]

ELEMENT_TYPES: dict[str, type] = {"vlen-utf8": str, "vlen-bytes": bytes}


class ReferenceBackendArray(BackendArray):
    """Reads selections of one array; pickled as the references' origin and a path.

    Attributes:
        shape: of the array.
        dtype: in native byte order; strings of variable length as objects that say so.
    """

    __slots__ = ("_opened", "_reader", "dtype", "shape")

    def __init__(self, opened: OpenedReferences, path: str) -> None:
        reader = opened.array(path)
        if reader is None:
            raise KeyError(path)
        self._opened = opened
        self._reader: ArrayReader = reader
        metadata = reader.array.metadata
        self.shape = metadata.shape
        self.dtype = metadata.data_type.newbyteorder("=")
        if metadata.data_type.hasobject and metadata.codecs and metadata.codecs[0].id in ELEMENT_TYPES:
            self.dtype = create_vlen_dtype(ELEMENT_TYPES[metadata.codecs[0].id])  # type: ignore[no-untyped-call]

    def __reduce__(self) -> tuple[Any, ...]:
        return ReferenceBackendArray, (self._opened, self._reader.path)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the elements that xarray's basic, outer or vectorised indexer selects."""
        choose = pointwise if isinstance(key, indexing.VectorizedIndexer) else outer
        metadata = self._reader.array.metadata

        def read(index: tuple[Any, ...]) -> Any:
            selection: Selection = choose(index, metadata.shape, metadata.chunk_shape)
            values = self._reader.read(selection)
            return values[()] if values.ndim == 0 and not metadata.data_type.hasobject else values

        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.VECTORIZED, read)
