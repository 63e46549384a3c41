"""The chunk index through the library: ``H5Dchunk_iter``, for what our own readers of the index do not understand.

One call for all chunks (about 1 us each with the garbage collector paused); never ``get_chunk_info``, which walks the
whole index for each chunk. Extensible arrays whose unlimited axis is not axis 0 are refused: there the library's own
iteration reports wrong coordinates.
"""

from typing import Any

import numpy as np
from h5py import h5d, h5s

from refmaker.errors import BrokenFileError, UnsupportedError
from refmaker.scanners.hdf5.chunk_index import ChunkIndex
from refmaker.source.collector import collector_paused

__all__ = ["iterate_chunks"]


def iterate_chunks(dataset: h5d.DatasetID, chunk_shape: tuple[int, ...], grid_shape: tuple[int, ...]) -> ChunkIndex:
    """Return the chunks of a dataset as the HDF5 library lists them; ``position`` counts in ``grid_shape``.

    Raises:
        UnsupportedError: the library is known to list this kind of index wrongly (code ``"chunk-index"``).
        BrokenFileError: a chunk lies outside the grid.
    """
    maximum = dataset.get_space().get_simple_extent_dims(True)
    if h5s.UNLIMITED in maximum[1:] and maximum.count(h5s.UNLIMITED) == 1:
        raise UnsupportedError(
            "the chunk index cannot be read natively, and HDF5 lists it wrongly when only a later axis is unlimited",
            code="chunk-index",
        )
    rows: list[Any] = []
    with collector_paused():
        dataset.chunk_iter(rows.append)
    if not rows:
        none = np.empty(0, np.uint64)
        return ChunkIndex(none, none, none, np.empty(0, np.uint32))
    corners, masks, offsets, lengths = zip(*rows, strict=True)
    positions = []
    for corner in corners:
        position = 0
        for start, chunk, n in zip(corner, chunk_shape, grid_shape, strict=True):
            if start // chunk >= n:
                raise BrokenFileError("a chunk lies outside the dataset's grid")
            position = position * n + start // chunk
        positions.append(position)
    return ChunkIndex(
        np.array(positions, np.uint64),
        np.array(offsets, np.uint64),
        np.array(lengths, np.uint64),
        np.array(masks, np.uint32),
    )
