"""Laws: any way of cutting an array into inputs combines to that array, or is refused."""

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import refmaker
from refmaker.combine.concat import Placed, laid_out
from refmaker.combine.reading import Reader
from refmaker.combine.recut import Rows, recut, rows_of
from refmaker.combine.times import clock_of, recounted
from refmaker.model.array import ArrayMetadata, VirtualArray, grid_of
from refmaker.model.chunks import ChunkManifest
from refmaker.model.group import VirtualGroup
from refmaker.model.reference_set import ReferenceSet, SourceFile
from tests.model.test_laws import grid_of_chunks, manifests
from tests.virtual import ZLIB, RawFile


def values_in(references: ReferenceSet, path: str) -> np.ndarray:
    reader = Reader(references.sources, [None])
    (values,) = reader.values([(references.root.arrays[path], 0)], ["combined"], path)
    return values


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    chunk=st.integers(1, 4),
    axis=st.integers(0, 1),
    compressed=st.booleans(),
    own_chunks=st.booleans(),
    load_below=st.sampled_from([0, 1 << 20]),
    order=st.randoms(use_true_random=False),
)
def test_an_array_cut_into_files_combines_to_itself_or_is_refused(
    lengths: list[int], chunk: int, axis: int, compressed: bool, own_chunks: bool, load_below: int, order: Any
) -> None:
    shape = [3, 3]
    shape[axis] = sum(lengths)
    whole = np.arange(math.prod(shape), dtype=">i4").reshape(shape)
    names = ("t", "x") if axis == 0 else ("x", "t")
    with tempfile.TemporaryDirectory() as folder:
        inputs = []
        for number, stop in enumerate(np.cumsum(lengths).tolist()):
            start = stop - lengths[number]
            part = np.take(whole, range(start, stop), axis)
            chunk_shape = [3, 3]
            chunk_shape[axis] = lengths[number] if own_chunks else chunk
            if axis == 1:
                chunk_shape[0] = 1
            file = RawFile()
            arrays = {
                "v": file.array(part, tuple(chunk_shape), names, codecs=(ZLIB,) if compressed else ()),
                "t": file.array(np.arange(start, stop, dtype="<i8"), (lengths[number],), ("t",)),
                "x": file.array(np.arange(3.0), (3,), ("x",)),
            }
            path = Path(folder) / f"{number}.bin"
            path.write_bytes(file.data)
            inputs.append(ReferenceSet(VirtualGroup(arrays), (SourceFile(f"file://{path}", size=len(file.data)),)))
        order.shuffle(inputs)
        try:
            found = refmaker.combine(inputs, concat="t", load_below=load_below)
        except refmaker.ConflictError as error:
            refused = error.message
            assert (load_below, compressed, "v: chunks" in refused) == (0, True, True), refused
            return
        np.testing.assert_array_equal(values_in(found, "v"), whole)
        np.testing.assert_array_equal(values_in(found, "t"), np.arange(sum(lengths)))
        np.testing.assert_array_equal(values_in(found, "x"), np.arange(3.0))


GRID = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)


@given(data=st.data(), grid=GRID, blocks=st.integers(1, 4), axis=st.integers(0, 2), hole=st.booleans())
def test_manifests_laid_out_say_what_each_said(
    data: st.DataObject, grid: tuple[int, ...], blocks: int, axis: int, hole: bool
) -> None:
    axis %= len(grid)
    parts = [data.draw(manifests(st.just(grid))) for _ in range(blocks)]
    shift = [np.arange(100, dtype=np.uint32) + np.uint32(10 * k) for k in range(blocks)]
    total = tuple(n * (blocks + hole) if k == axis else n for k, n in enumerate(grid))
    origins = [tuple(n * k if j == axis else 0 for j, n in enumerate(grid)) for k in range(blocks)]
    placed = [Placed(m, grid, o, ids) for m, o, ids in zip(parts, origins, shift, strict=True)]
    said = grid_of_chunks(laid_out(total, placed))
    expected = [grid_of_chunks(m.with_locations(ids)) for m, ids in zip(parts, shift, strict=True)]
    if hole:
        expected.append(np.full(grid, None, object))
    np.testing.assert_array_equal(said, np.concatenate(expected, axis))


@given(
    n=st.integers(1, 24),
    chunk=st.integers(1, 8),
    inner=st.integers(1, 3),
    start=st.integers(0, 23),
    gap=st.integers(0, 1),
)
def test_cut_chunks_hold_the_same_rows(n: int, chunk: int, inner: int, start: int, gap: int) -> None:
    start %= n
    metadata = ArrayMetadata((n, inner), (chunk, inner), np.dtype("u1"), dimension_names=("t", "x"))
    grid = grid_of(metadata.shape, metadata.chunk_shape)
    nbytes = chunk * inner
    manifest = ChunkManifest.affine(grid, location_id=0, start=7, strides=(nbytes + gap, 0), length=nbytes)
    rows = Rows(VirtualArray(metadata, manifest), 0, start, n)
    length = rows_of([rows])
    if length is None:
        return
    assert (n - start) % length == 0
    cut = recut(rows, length)
    for place in range(cut.grid_shape[0]):
        first = start + place * length
        found = cut.lookup(place)
        assert found is not None
        assert found.offset == 7 + first // chunk * (nbytes + gap) + first % chunk * inner
        assert found.length == length * inner


@given(
    counts=st.lists(st.lists(st.integers(-(10**5), 10**6), min_size=1, max_size=4), min_size=1, max_size=4),
    units=st.lists(st.sampled_from(["days", "hours", "minutes", "seconds"]), min_size=4, max_size=4),
    epochs=st.lists(st.sampled_from(["1970-01-01", "2000-02-29 12:00", "1850-1-1"]), min_size=4, max_size=4),
    floating=st.booleans(),
)
def test_recounted_times_are_the_same_moments(
    counts: list[list[int]], units: list[str], epochs: list[str], floating: bool
) -> None:
    import cftime

    clocks = [clock_of({"units": f"{unit} since {epoch}"}) for unit, epoch in zip(units, epochs, strict=True)]
    known = [clock for clock in clocks if clock is not None][: len(counts)]
    arrays = [np.array(count, "f8" if floating else "i4") for count in counts]
    found, clock = recounted(arrays, known)
    for new, old, own in zip(found, arrays, known, strict=True):
        moments = cftime.num2date(old, own.units, own.calendar, only_use_cftime_datetimes=True)
        again = cftime.num2date(new, clock.units, clock.calendar, only_use_cftime_datetimes=True)
        assert (moments == again).all()
