"""Where the bytes of a dataset lie: every storage layout reads as h5py reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

from tests.scanners.hdf5.comparing import Case, check

NUMBERS = np.arange(1, 241, dtype="<i4").reshape(12, 20)
INLINED = {"d": "inlined"}


def dataset(
    shape: tuple[int, ...] = (12, 20),
    *,
    values: Any = NUMBERS,
    chunks: tuple[int, ...] | None = None,
    maxshape: tuple[int | None, ...] | None = None,
    dtype: str = "<i4",
    **options: Any,
) -> Callable[[h5py.File], object]:
    """Return a maker of a dataset ``d``; ``values=None`` writes nothing, ``fillvalue`` comes with the options."""

    def make(file: h5py.File) -> None:
        made = file.create_dataset("d", shape, dtype, chunks=chunks, maxshape=maxshape, **options)
        if values is not None:
            made[...] = np.resize(values, shape)

    return make


def compact(shape: tuple[int, ...], dtype: str = "<i4") -> Callable[[h5py.File], object]:
    """Return a maker of a dataset whose bytes lie in its object header."""

    def make(file: h5py.File) -> None:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_layout(h5d.COMPACT)
        space = h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)
        made = h5py.Dataset(h5d.create(file.id, b"d", h5t.py_create(np.dtype(dtype)), space, properties))
        made[...] = np.resize(NUMBERS.astype(dtype), shape)

    return make


def sparse(file: h5py.File) -> None:
    made = file.create_dataset("d", (1000, 1000), "<f8", chunks=(10, 10), fillvalue=-1.5)
    made[990:, 990:] = 7
    made[500:510, 100:110] = 8


def early(file: h5py.File) -> None:
    """An implicit index: chunks allocated at once, unfiltered."""
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_chunk((5, 7))
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    h5py.Dataset(h5d.create(file.id, b"d", h5t.STD_I32LE, h5s.create_simple((12, 20)), properties))[...] = NUMBERS


def grown(*shapes: tuple[int, ...]) -> Callable[[h5py.File], object]:
    """Return a maker of an unlimited dataset that takes one shape after the other; each adds values."""

    def make(file: h5py.File) -> None:
        made = file.create_dataset("d", shapes[0], "<i4", chunks=(4, 6), maxshape=(None, None), compression=1)
        for shape in shapes:
            made.resize(shape)
            made[...] = np.resize(NUMBERS, shape)

    return make


CASES = [
    Case("compact", compact((3, 4)), INLINED),
    Case("compact of one byte, which JSON could take for a document", compact((), "i1"), INLINED),
    Case("compact of 2,000 bytes", compact((25, 20)), INLINED),
    Case("compact of 60,000 bytes", compact((7500,), "<f8"), INLINED, libver="latest"),
    Case("contiguous", dataset()),
    Case("contiguous, never allocated", dataset(values=None)),
    Case("contiguous, never allocated, with a fill value", dataset(values=None, fillvalue=-9), INLINED),
    Case("scalar", lambda file: file.create_dataset("d", data=np.float32(2.5))),
    Case("scalar never written", dataset((), values=None)),
    Case("scalar never written, with a fill value", dataset((), values=None, fillvalue=5), INLINED),
    Case("of no length", dataset((0,), values=None)),
    Case("of no length along one axis", dataset((3, 0, 2), values=None)),
    Case("chunked, of no length", dataset((0, 4), values=None, chunks=(2, 2), maxshape=(None, 4))),
    Case("chunked", dataset(chunks=(5, 7))),
    Case("chunked, one chunk", dataset(chunks=(12, 20), libver="latest") if False else dataset(chunks=(12, 20))),
    Case("chunked, one filtered chunk", dataset(chunks=(12, 20), compression=4), libver="latest"),
    Case("chunked, never written", dataset((6000, 6000), values=None, chunks=(1000, 1000))),
    Case("chunked, few chunks written", sparse, notes=("fill-value",)),
    Case("chunked, chunks longer than an unlimited axis", dataset(chunks=(50, 20), maxshape=(None, 20))),
    Case("chunks longer than two unlimited axes", dataset((3, 4), chunks=(8, 8), maxshape=(None, None))),
    Case("allocated early", early, libver="latest"),
    Case("allocated early, old structures", early),
    Case("unlimited along axis 0", dataset(chunks=(2, 7), maxshape=(None, 20)), libver="latest"),
    Case("unlimited along axis 1 only", dataset(chunks=(2, 3), maxshape=(12, None)), libver="latest"),
    Case("the same, filtered", dataset(chunks=(2, 3), maxshape=(12, None), compression=1), libver="latest"),
    Case(
        "unlimited along axis 2 of 3",
        dataset((4, 5, 6), chunks=(1, 2, 2), maxshape=(4, 5, None), compression=1),
        libver="latest",
    ),
    Case("unlimited along both axes", dataset(chunks=(2, 3), maxshape=(None, None)), libver="latest"),
    Case("grown", grown((4, 6), (12, 20), (13, 21))),
    Case("grown and shrunk", grown((4, 6), (12, 20), (5, 7)), libver="latest"),
    Case("shrunk to nothing", grown((12, 20), (0, 20)), libver="latest"),
    Case("larger than it will ever be", dataset(chunks=(5, 7), maxshape=(100, 20)), libver="latest"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layout_reads_as_h5py_reads_it(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
