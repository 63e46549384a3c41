"""Chunks that skipped filters: one pipeline that decodes all chunks of an array, checked for every one.

HDF5 keeps a mask per chunk: bit i set, filter i was not applied (optional filters that did not win, direct writes).
Partial edge chunks may be stored unfiltered without any mask (layout flag bit 0). Zarr has one pipeline per array, so
the filters that only some chunks have go into an ``optional`` codec, which passes bytes of the unfiltered size through.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.model.array import Codec
from refmaker.scanners.hdf5.filters import FilterStep

__all__ = ["Pipeline", "pipeline_for"]


@dataclass(frozen=True, slots=True, eq=False)
class Pipeline:
    """Codecs in encoding order, and the rows of chunks that they do not decode (to be decoded and inlined)."""

    codecs: tuple[Codec, ...]
    unreadable: npt.NDArray[np.intp]


def _codecs(steps: Sequence[FilterStep]) -> tuple[Codec, ...]:
    return tuple(codec for step in steps for codec in step.codecs)


def _bits(steps: Sequence[FilterStep], mask: int) -> list[bool]:
    return [bool(mask >> bit & 1) for bit in range(len(steps))]


def pipeline_for(
    steps: Sequence[FilterStep], mask: npt.NDArray[np.uint32], length: npt.NDArray[np.uint64], chunk_nbytes: int
) -> Pipeline:
    """Return the pipeline for chunks with these masks and stored lengths; ``chunk_nbytes`` is the decoded size."""
    none = np.empty(0, np.intp)
    if not mask.any():
        return Pipeline(_codecs(steps), none)
    relevant = mask & np.uint32((1 << len(steps)) - 1)
    values = np.unique(relevant)
    if values.size == 1:
        skipped = _bits(steps, int(values[0]))
        return Pipeline(_codecs([step for step, off in zip(steps, skipped, strict=True) if not off]), none)
    varying = int(np.bitwise_or.reduce(values) & ~np.bitwise_and.reduce(values))
    always = int(np.bitwise_and.reduce(values))
    kept = [(step, bit) for bit, step in enumerate(steps) if not always >> bit & 1]
    run = [at for at, (_, bit) in enumerate(kept) if varying >> bit & 1]
    consecutive = run == list(range(run[0], run[-1] + 1))
    inner = [step for step, _ in kept[run[0] : run[-1] + 1]]
    last = run[-1] == len(kept) - 1
    nbytes = inner[0].nbytes
    together = {int(value) & varying for value in values} == {0, varying}
    if together and consecutive and last and nbytes is not None:  # all or none of the last filters
        skips = (relevant & np.uint32(varying)) != 0
        ambiguous = np.flatnonzero(skips != (length == nbytes))
        optional = Codec("refmaker_optional", _configuration(_codecs(inner), nbytes))
        if not ambiguous.size:
            before = _codecs([step for step, _ in kept[: run[0]]])
            return Pipeline((*before, optional), none)
    common = int(values[np.argmax([np.count_nonzero(relevant == value) for value in values])])
    whole = _codecs([step for step, off in zip(steps, _bits(steps, common), strict=True) if not off])
    readable = (relevant == common) & ((length != chunk_nbytes) if whole else (length == chunk_nbytes))
    everything = np.uint32((1 << len(steps)) - 1)
    readable |= (relevant == everything) & (length == chunk_nbytes)
    optional = Codec("refmaker_optional", _configuration(whole, chunk_nbytes))
    return Pipeline((optional,) if whole else (), np.flatnonzero(~readable))


def _configuration(codecs: Sequence[Codec], nbytes: int) -> dict[str, object]:
    return {"codecs": [{"id": codec.id, **codec.configuration} for codec in codecs], "nbytes": nbytes}
