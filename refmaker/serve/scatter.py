"""Encoded chunks decoded into their places in the result: the consumer of a selection's reads."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.model.keys import chunk_index, chunk_key, key_of
from refmaker.serve.decode import ChunkDecoder
from refmaker.serve.selection import Selection

__all__ = ["Scatter"]

WORTH_SHARING = 6 << 10
"""Decoded bytes of an encoded chunk from which another thread gains more than the interpreter's lock costs."""
WORTH_SHARING_RAW = 64 << 10
"""The same of chunks that are only copied."""


class Scatter:
    """Puts the chunks of a selection into an array.

    Args:
        path: of the array, for messages.
        grid_shape: of the array's chunks.
        decoder: of the array.
        selection: what is read.
        out: where it goes: any array that the selection's ``out_windows`` index.
        drop_axes: axes of what is taken from a chunk that ``out`` does not have.
    """

    def __init__(
        self,
        path: str,
        grid_shape: tuple[int, ...],
        decoder: ChunkDecoder,
        selection: Selection,
        out: npt.NDArray[Any],
        drop_axes: tuple[int, ...] = (),
    ) -> None:
        self._path = path
        self._grid_shape = grid_shape
        self._decoder = decoder
        self._selection = selection
        self._out = out
        self._drop_axes = drop_axes
        self._planes = self._byte_planes()
        self.worth_sharing = (decoder.nbytes or 0) >= (WORTH_SHARING_RAW if decoder.raw else WORTH_SHARING)
        self._whole = tuple(slice(0, n, 1) for n in decoder.shape)
        self._straight = (
            decoder.raw and selection.sliced and out.dtype == decoder.stored and not drop_axes and out.ndim > 0
        )

    def _byte_planes(self) -> list[npt.NDArray[np.uint8]] | None:
        """Return the byte planes of ``out``, views of it, if shuffled chunks can be put there byte by byte."""
        decoder, out = self._decoder, self._out
        fits = decoder.shuffled and decoder.plain_elements and self._selection.sliced and not self._drop_axes
        if not fits or out.dtype != decoder.native or not out.flags.c_contiguous:
            return None
        elements = out.reshape(*out.shape, 1).view(np.uint8)
        return [elements[..., byte] for byte in range(out.dtype.itemsize)]

    def name(self, row: int) -> str:
        """Return the store key of a row's chunk."""
        index = chunk_index(int(self._selection.position[row]), self._grid_shape)
        return key_of(self._path, chunk_key(index))

    def take(self, row: int, data: Any) -> None:
        """Decode a chunk into its place."""
        chunk_window, out_window = self._selection.chunk_windows[row], self._selection.out_windows[row]
        if self._planes is not None:
            for source, target in zip(self._decoder.planes(data), self._planes, strict=True):
                target[out_window] = source[chunk_window]
            return
        part = self._decoder.array(data)[chunk_window]
        if self._drop_axes:
            part = part.squeeze(axis=self._drop_axes)
        self._out[out_window] = part

    def buffers(self, rows: Sequence[int]) -> list[Any] | None:
        """Return the places of raw chunks that are taken whole and lie in one piece in ``out``."""
        if not self._straight:
            return None
        windows = self._selection
        found = []
        for row in rows:
            if windows.chunk_windows[row] != self._whole:
                return None
            part = self._out[windows.out_windows[row]]
            if not part.flags.c_contiguous or part.shape != self._decoder.shape:
                return None
            found.append(part)
        return found

    def take_run(self, rows: Sequence[int], data: Any) -> bool:
        """Take raw chunks that lie one right after the other, whole lines at once; False: not possible.

        Putting down a small chunk costs numpy 3 microseconds whatever its size, and a line of them no more.
        """
        line = self._selection.line
        if line < 2 or not self._straight:
            return False
        shape = self._decoder.shape
        chunks = np.frombuffer(data, self._decoder.stored).reshape(len(rows), *shape)
        windows, whole, places = self._selection.chunk_windows, self._whole, self._selection.out_windows
        first = 0
        while first < len(rows):
            row, last = rows[first], first + 1
            if windows[row] != whole:
                self._out[places[row]] = chunks[first][windows[row]]
                first = last
                continue
            while last < len(rows) and (after := row + last - first) == rows[last] and after % line:
                if windows[after] != whole:
                    break
                last += 1
            *outer, inner = places[row]
            place = self._out[(*outer, slice(inner.start, inner.start + (last - first) * shape[-1]))]
            place.reshape(*shape[:-1], last - first, shape[-1])[...] = np.moveaxis(chunks[first:last], 0, -2)
            first = last
        return True
