"""The ranges of all chunks at once: inside their sources, and not over each other where that cannot be.

Chunks may share bytes as a whole (hard links, virtual datasets, tiles stored once), and arrays that lie in a file as
plain elements may cut the same bytes differently. Parts of a compressed chunk are no chunk, and no two chunks of one
array share only some of their bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.model.array import ArrayMetadata, VirtualArray
from refmaker.model.chunks import INLINE
from refmaker.model.keys import chunk_index, chunk_key, key_of
from refmaker.model.reference_set import SourceFile
from refmaker.verify.findings import Check, Findings

__all__ = ["check_ranges"]

COMPRESSORS = ("szip", "lzf", "lz4", "bitshuffle", "blosc2", "zfp", "nbit", "scaleoffset", "_shuffle")
PLAIN_PREFIXES = ("refmaker_pad", "refmaker_hdf5_", "refmaker_tiff_complexint", "refmaker_tiff_float24")


@dataclass(frozen=True, slots=True, eq=False)
class _Ranges:
    """Columns of ranges; ``array`` is the number of the array, ``encoded`` whether parts of it are no chunk."""

    array: npt.NDArray[np.int64]
    position: npt.NDArray[np.uint64]
    source: npt.NDArray[np.int64]
    start: npt.NDArray[np.uint64]
    stop: npt.NDArray[np.uint64]
    encoded: npt.NDArray[np.bool_]


def check_ranges(
    arrays: Mapping[str, VirtualArray],
    sources: tuple[SourceFile, ...],
    sizes: Mapping[int, int],
    mismatches: Findings,
) -> None:
    """Check every range of every array against ``sizes`` (by source, where known) and against each other."""
    paths = list(arrays)
    size = np.full(len(sources) + 1, np.iinfo(np.uint64).max, np.uint64)
    for number, nbytes in sizes.items():
        size[number] = nbytes
    parts: list[_Ranges] = []
    for number, array in enumerate(arrays.values()):
        encoded = _is_encoded(array.metadata)
        for block in array.manifest.blocks():
            outside = block.location_id != INLINE
            columns = (block.position, block.location_id, block.offset, block.length)
            position, source, start, length = (column[outside] for column in columns)
            stop = start.astype(np.uint64) + length.astype(np.uint64)
            bad = (source >= len(sources)) | (stop > size[np.minimum(source, len(sources))]) | (stop < start)
            for row in np.flatnonzero(bad).tolist():
                _outside(paths[number], array, int(position[row]), int(source[row]), sources, sizes, mismatches)
            good = ~bad & (length > 0)
            count = int(np.count_nonzero(good))
            parts.append(
                _Ranges(
                    np.full(count, number, np.int64),
                    position[good].astype(np.uint64),
                    source[good].astype(np.int64),
                    start[good].astype(np.uint64),
                    stop[good],
                    np.full(count, encoded),
                )
            )
    if not parts:
        return
    names = ("array", "position", "source", "start", "stop", "encoded")
    every = _Ranges(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    inside = _overlapping(every, np.lexsort((every.stop, every.start, every.source, every.array)), "array")
    across = _overlapping(every, np.lexsort((every.stop, every.start, every.source)), "source")
    for one, other in dict.fromkeys((*inside, *across)):
        first, second = (_key(paths, arrays, every, row) for row in (one, other))
        url = sources[int(every.source[one])].url
        spans = " and ".join(f"[{int(every.start[row])}, {int(every.stop[row])})" for row in (one, other))
        sentence = f"shares some of its bytes with {second}, which cannot be: {spans} of {url}"
        mismatches.add(Check.OVERLAP, first, sentence, of=paths[int(every.array[one])])


def _is_encoded(metadata: ArrayMetadata) -> bool:
    """Whether a part of a chunk's bytes is not a part of the array: it is compressed, or shuffled."""
    return any(not codec.id.startswith(PLAIN_PREFIXES) or codec.id.endswith(COMPRESSORS) for codec in metadata.codecs)


def _overlapping(every: _Ranges, order: npt.NDArray[Any], within: str) -> list[tuple[int, int]]:
    """Return pairs of neighbours in ``order`` that share some of their bytes and may not.

    If any two of sorted ranges overlap then some two neighbours do, so looking at neighbours finds whether any do.
    """
    one, other = order[:-1], order[1:]
    same = every.source[one] == every.source[other]
    partly = same & (every.stop[one] > every.start[other])
    partly &= (every.start[one] != every.start[other]) | (every.stop[one] != every.stop[other])
    if within == "array":
        partly &= every.array[one] == every.array[other]
    else:
        partly &= every.encoded[one] | every.encoded[other]
    rows = np.flatnonzero(partly)
    return list(zip(one[rows].tolist(), other[rows].tolist(), strict=True))


def _key(paths: list[str], arrays: Mapping[str, VirtualArray], every: _Ranges, row: int) -> str:
    path = paths[int(every.array[row])]
    return _chunk_name(path, arrays[path], int(every.position[row]))


def _chunk_name(path: str, array: VirtualArray, position: int) -> str:
    return key_of(path, chunk_key(chunk_index(position, array.manifest.grid_shape)))


def _outside(
    path: str,
    array: VirtualArray,
    position: int,
    source: int,
    sources: tuple[SourceFile, ...],
    sizes: Mapping[int, int],
    mismatches: Findings,
) -> None:
    chunk = array.manifest.lookup(position)
    where = _chunk_name(path, array, position)
    if source >= len(sources) or chunk is None:
        sentence = f"lies in source {source}, and there are {len(sources)}"
    else:
        stop = chunk.offset + chunk.length
        sentence = f"bytes [{chunk.offset}, {stop}) of {sources[source].url}, which has {sizes.get(source)}"
    mismatches.add(Check.RANGE, where, sentence, of=path)
