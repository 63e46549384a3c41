"""One array of the references, read by selection."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import BrokenFileError, BrokenReferencesError, UnsupportedError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import INLINE, MISSING
from refmaker.serve.decode import ChunkDecoder
from refmaker.serve.plan import Located, locate
from refmaker.serve.scatter import Scatter
from refmaker.serve.selection import Selection
from refmaker.serve.source_reader import SourceReader

__all__ = ["ArrayReader"]

EMPTY_OBJECTS: dict[str, Any] = {"vlen-utf8": "", "vlen-bytes": b""}
"""What absent elements of variable length read as where there is no fill value."""


class ArrayReader:
    """Reads parts of an array: looks all chunks up at once, reads and decodes them straight into the result.

    Attributes:
        path: of the array.
        array: metadata and manifest.
    """

    def __init__(self, path: str, array: VirtualArray, reader: SourceReader) -> None:
        self.path = path
        self.array = array
        self._reader = reader

    @cached_property
    def decoder(self) -> ChunkDecoder:
        """The array's decoder; UnsupportedError, naming the array, if it has none."""
        try:
            return ChunkDecoder(self.array.metadata)
        except UnsupportedError as error:
            error.path = error.path or self.path
            raise

    @property
    def fill_value(self) -> Any:
        """What absent chunks read as."""
        metadata = self.array.metadata
        if metadata.fill_value is not None:
            return metadata.fill_value
        if metadata.data_type.hasobject:
            return EMPTY_OBJECTS.get(metadata.codecs[0].id if metadata.codecs else "")
        return np.zeros((), metadata.data_type.newbyteorder("="))[()]

    def read(self, selection: Selection) -> npt.NDArray[Any]:
        """Return the selected elements, in native byte order.

        Raises:
            ChunkReadError: a chunk that the references promise could not be read in full, or does not decode.
            StaleSourceError: a source is no longer the file that was scanned.
            BrokenReferencesError: an inlined chunk does not decode.
        """
        decoder = self.decoder
        shape = (math.prod(selection.shape),) if selection.flat else selection.shape
        located = locate(self.array.manifest, selection.position)
        if (located.location_id == MISSING).any():
            out = np.full(shape, self.fill_value, decoder.native)
        else:
            out = np.empty(shape, decoder.native)
        self._read_located(located, selection, out, ())
        return out.reshape(selection.shape).squeeze(axis=selection.squeezed)

    def read_into(
        self, selection: Selection, out: npt.NDArray[Any], drop_axes: tuple[int, ...] = ()
    ) -> npt.NDArray[np.bool_]:
        """Fill the selection's windows of ``out``; return which of its chunks are absent."""
        located = locate(self.array.manifest, selection.position)
        absent: npt.NDArray[np.bool_] = located.location_id == MISSING
        for row in np.flatnonzero(absent).tolist():
            out[selection.out_windows[row]] = self.fill_value
        self._read_located(located, selection, out, drop_axes)
        return absent

    def _read_located(
        self, located: Located, selection: Selection, out: npt.NDArray[Any], drop_axes: tuple[int, ...]
    ) -> None:
        scatter = Scatter(self.path, self.array.manifest.grid_shape, self.decoder, selection, out, drop_axes)
        inlined = np.flatnonzero(located.location_id == INLINE).tolist()
        if inlined:
            self._take_inlined(inlined, selection, scatter)
        if len(inlined) < located.location_id.size:
            self._reader.read_all(located, scatter)

    def _take_inlined(self, rows: Sequence[int], selection: Selection, scatter: Scatter) -> None:
        for row in rows:
            chunk = self.array.manifest.lookup(int(selection.position[row]))
            if chunk is None or chunk.data is None:
                raise BrokenReferencesError("is inlined and has no bytes", path=scatter.name(row))
            try:
                scatter.take(row, chunk.data)
            except BrokenFileError as error:
                raise BrokenReferencesError(f"is inlined and {error.message}", path=scatter.name(row)) from error
