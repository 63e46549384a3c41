"""Cutting contiguous blocks: laws over all shapes, and the cases that made them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.model.contiguous import CHUNK_BYTES, contiguous, cut
from tests.scanners.netcdf3.packing import Var, pack
from tests.scanners.netcdf3.reading import scanned, values_of

CASES = [
    # shape, itemsize, chunk_bytes -> chunk_shape, bytes of the short last piece
    ((), 4, 1, (), None),
    ((10,), 4, None, (10,), None),
    ((0,), 4, 1, (1,), None),
    ((10,), 4, 20, (5,), None),
    ((11,), 4, 20, (4,), 12),
    ((21,), 4, 44, (7,), None),
    ((10,), 4, 1, (1,), None),
    ((12, 10), 4, 120, (3, 10), None),
    ((7, 10), 4, 120, (1, 10), None),
    ((13, 10), 4, 200, (5, 10), 120),
    ((7, 10), 4, 40, (1, 10), None),
    ((7, 10), 4, 30, (1, 10), None),
    ((7, 10), 4, 10, (1, 2), None),
    ((2, 13, 10), 4, 200, (1, 5, 10), 120),
    ((1000, 1000, 1000), 8, None, (1, 1000, 1000), None),
    ((365, 721, 1440), 4, None, (1, 721, 1440), None),
]


@pytest.mark.parametrize(("shape", "itemsize", "chunk_bytes", "chunk_shape", "short"), CASES)
def test_a_block_is_cut_near_what_is_wanted(
    shape: tuple[int, ...], itemsize: int, chunk_bytes: int | None, chunk_shape: tuple[int, ...], short: int | None
) -> None:
    pieces = cut(shape, itemsize, chunk_bytes)
    assert (pieces.chunk_shape, pieces.short_nbytes) == (chunk_shape, short)


SHAPES = st.lists(st.integers(1, 40), max_size=4).map(tuple)


@settings(deadline=None)
@given(SHAPES, st.sampled_from([1, 2, 4, 8]), st.integers(1, 5000))
def test_pieces_are_contiguous_cover_the_block_once_and_are_about_as_long_as_wanted(
    shape: tuple[int, ...], itemsize: int, chunk_bytes: int
) -> None:
    pieces = cut(shape, itemsize, chunk_bytes)
    total = math.prod(shape) * itemsize
    manifest = pieces.manifest(shape, location_id=0, start=100)
    found = [(o, n) for b in manifest.blocks() for o, n in zip(b.offset.tolist(), b.length.tolist(), strict=True)]
    at = 100
    for offset, length in found:  # C order of the grid is the order of the file
        assert offset == at
        at += length
    assert at == 100 + total
    assert pieces.nbytes == math.prod(pieces.chunk_shape) * itemsize
    assert pieces.nbytes <= 2 * max(chunk_bytes, itemsize)
    assert len(found) == 1 or pieces.nbytes * 4 >= min(chunk_bytes, total)
    assert bool(pieces.codecs) == (len({n for _, n in found}) > 1)


@settings(deadline=None)
@given(st.integers(1, 10**12), st.integers(1, 8))
def test_cutting_costs_little_whatever_the_length(n: int, itemsize: int) -> None:
    pieces = cut((n,), itemsize)
    assert CHUNK_BYTES / 4 <= pieces.nbytes <= CHUNK_BYTES * 2 or n * itemsize <= CHUNK_BYTES


def test_strides_are_those_of_numpy() -> None:
    for shape in [(), (3,), (2, 3, 4)]:
        assert contiguous(shape, 8) == np.zeros(shape).strides


def test_exact_pieces_need_no_memory_and_no_codec() -> None:
    pieces = cut((10_000, 721, 1440), 4)
    manifest = pieces.manifest((10_000, 721, 1440), location_id=0, start=0)
    assert (manifest.memory_nbytes, len(manifest), pieces.codecs) == (0, 5_000, ())


def test_a_short_last_piece_is_padded() -> None:
    data = pack(1, [("x", 11)], (), [Var("v", [0], 4, range(11))])
    result = scanned(data, chunk_bytes=20)
    array = result.root.arrays["v"]
    assert [(c.id, c.configuration) for c in array.metadata.codecs] == [("refmaker_pad", {"nbytes": 16})]
    assert [d.codecs for d in result.report.datasets] == [("refmaker_pad",)]
    np.testing.assert_array_equal(values_of(array, data), range(11))


def test_records_are_one_chunk_each_unless_nothing_lies_between_them() -> None:
    dims = [("time", 0), ("y", 3)]
    one = [Var("a", [0, 1], 3, np.arange(30).reshape(10, 3))]
    assert scanned(pack(1, dims, (), one, numrecs=10)).root.arrays["a"].metadata.chunk_shape == (10, 3)
    two = [*one, Var("b", [0], 1, range(10))]
    result = scanned(pack(1, dims, (), two, numrecs=10))
    assert [a.metadata.chunk_shape for a in result.root.arrays.values()] == [(1, 3), (1,)]
    assert all(a.manifest.memory_nbytes == 0 for a in result.root.arrays.values())


def test_long_records_are_cut_along_their_inner_axes() -> None:
    values = np.arange(2 * 6 * 71).reshape(2, 6, 71)
    dims = [("t", 0), ("y", 6), ("x", 71)]
    data = pack(1, dims, (), [Var("a", [0, 1, 2], 4, values), Var("b", [0], 4, [1, 2])], numrecs=2)
    for chunk_bytes, chunk_shape in [(9999, (1, 6, 71)), (600, (1, 2, 71)), (40, (1, 1, 9)), (4, (1, 1, 1))]:
        array = scanned(data, chunk_bytes=chunk_bytes).root.arrays["a"]
        assert array.metadata.chunk_shape == chunk_shape
        np.testing.assert_array_equal(values_of(array, data), values)
