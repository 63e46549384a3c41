"""Nanoseconds per chunk of every kind of HDF5 chunk index, beside ``h5py``'s ``chunk_iter`` on the same file.

Run ``python -m tests.benchmarks.chunk_index [--grid 1000]``. Files are made once in a temporary folder: a grid of
``grid`` x ``grid`` chunks of shape (2, 2). Times are the best of a few runs, the file being in the page cache.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from refmaker.scanners.hdf5.chunk_index import ChunkIndex, read_chunk_index
from refmaker.scanners.hdf5.layout import read_data_layout
from refmaker.scanners.hdf5.superblock import read_superblock
from refmaker.source.base import LocalSource, drive


class Kind(NamedTuple):
    """One kind of index and how h5py is made to write it."""

    name: str
    libver: str
    growing: tuple[bool, bool]
    filtered: bool
    missing: float = 0.0
    early: bool = False


KINDS = [
    Kind("B-tree v1, filtered", "earliest", (False, False), filtered=True),
    Kind("B-tree v1, unfiltered", "earliest", (False, False), filtered=False),
    Kind("fixed array, filtered", "latest", (False, False), filtered=True),
    Kind("fixed array, unfiltered", "latest", (False, False), filtered=False),
    Kind("fixed array, filtered, 20% missing", "latest", (False, False), filtered=True, missing=0.2),
    Kind("extensible array, filtered", "latest", (True, False), filtered=True),
    Kind("extensible array, unfiltered", "latest", (True, False), filtered=False),
    Kind("extensible array, axis 1 grows", "latest", (False, True), filtered=False),
    Kind("B-tree v2, filtered", "latest", (True, True), filtered=True),
    Kind("B-tree v2, unfiltered", "latest", (True, True), filtered=False),
    Kind("implicit", "latest", (False, False), filtered=False, early=True),
]


def write(path: Path, kind: Kind, side: int) -> None:
    """Write one dataset ``d`` of side x side chunks, chunk by chunk where some are missing or bytes are filtered."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((2, 2))
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    if kind.filtered:
        plist.set_shuffle()
    if kind.early:
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    shape = (2 * side, 2 * side)
    limits = tuple(h5py.h5s.UNLIMITED if grows else extent for grows, extent in zip(kind.growing, shape, strict=True))
    with h5py.File(path, "w", libver=kind.libver) as file:
        space = h5py.h5s.create_simple(shape, limits)
        dataset = h5py.h5d.create(file.id, b"d", h5py.h5t.STD_U8LE, space, plist)
        if kind.early:
            return
        present = np.random.default_rng(0).random((side, side)) >= kind.missing
        for row, column in np.argwhere(present).tolist():
            dataset.write_direct_chunk((2 * row, 2 * column), b"abcd")


def chunk_iter(dataset: Any, count: int) -> None:
    """Gather the chunks as h5py tells them, one callback each."""
    chunks: list[Any] = []
    dataset.id.chunk_iter(chunks.append)
    assert len(chunks) == count


def native(path: Path, dataset: Any) -> ChunkIndex:
    """Return the chunk index as refmaker reads it."""
    # Not h5o.get_info: it walks the whole chunk index to add up its size.
    low, high = h5py.h5g.get_objinfo(dataset.id, b".").objno
    address = low | high << 32
    with LocalSource(path) as source:
        superblock = drive(read_superblock(source.size), source)
        layout = drive(read_data_layout(superblock.addressing, address), source)
        filtered = dataset.id.get_create_plist().get_nfilters() > 0
        return drive(read_chunk_index(superblock, layout, dataset.shape, dataset.maxshape, filtered=filtered), source)


def best(run: Callable[[], Any], times: int) -> float:
    """Return the seconds of the fastest of ``times`` runs."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure(side: int, times: int, oracle_times: int) -> Iterator[tuple[str, float, float]]:
    """Yield each kind's name, its nanoseconds per chunk, and those of chunk_iter."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            path = Path(folder) / "chunks.h5"
            write(path, kind, side)
            with h5py.File(path) as file:
                dataset = file["d"]
                count = native(path, dataset).position.size
                ours = best(partial(native, path, dataset), times)
                theirs = best(partial(chunk_iter, dataset, count), oracle_times)
            yield kind.name, ours / count * 1e9, theirs / count * 1e9
            path.unlink()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid", type=int, default=1000, help="chunks along each of the two axes")
    parser.add_argument("--times", type=int, default=5, help="runs of ours; the best counts")
    parser.add_argument("--oracle-times", type=int, default=1, help="runs of chunk_iter; the best counts")
    options = parser.parse_args()
    print(f"{'index':36} {'ns/chunk':>9} {'chunk_iter':>11} {'ratio':>7}")
    for name, ours, theirs in measure(options.grid, options.times, options.oracle_times):
        print(f"{name:36} {ours:9.1f} {theirs:11.0f} {theirs / ours:6.0f}x")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
