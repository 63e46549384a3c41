"""The native chunk index against libhdf5's, on files of every kind."""

from io import BytesIO

import h5py
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from refmaker.errors import UnsupportedError
from refmaker.scanners.hdf5.chunk_index import read_chunk_index
from refmaker.scanners.hdf5.layout import ChunkIndexType, LayoutClass
from refmaker.source.base import MemorySource, drive
from tests.scanners.hdf5.native import (
    UNLIMITED,
    Case,
    FileBytes,
    assert_same_index,
    native_index,
    native_layout,
    rows,
    written,
)

V1 = ChunkIndexType.BTREE_V1
SINGLE = ChunkIndexType.SINGLE_CHUNK
IMPLICIT = ChunkIndexType.IMPLICIT
FIXED = ChunkIndexType.FIXED_ARRAY
EXTENSIBLE = ChunkIndexType.EXTENSIBLE_ARRAY
V2 = ChunkIndexType.BTREE_V2

CASES = [
    Case("v1", V1, (10, 12), (3, 4), libver="earliest"),
    Case("v1 filtered", V1, (10, 12), (3, 4), libver="earliest", filtered=True),
    Case("v1 of two levels", V1, (100, 100), (2, 2), libver="earliest", filtered=True),
    Case("v1 of many levels", V1, (900,), (1,), libver="earliest", istore_k=4),
    Case("v1 with K in the extension", V1, (60, 60), (2, 2), libver="v108", istore_k=3),
    Case("v1 sparse", V1, (100, 100), (2, 2), libver="earliest", step=7),
    Case("v1 behind a user block", V1, (10, 12), (3, 4), libver="earliest", filtered=True, userblock=1024),
    Case("v1 with 4-byte addresses", V1, (50, 50), (2, 2), libver="earliest", filtered=True, sizes=(4, 4)),
    Case("v1 of rank 5", V1, (3, 4, 2, 5, 3), (1, 3, 2, 2, 2), libver="earliest"),
    Case("v1 that grew and shrank", V1, (40,), (3,), (UNLIMITED,), libver="earliest", resized=(20,)),
    Case("v1 never written", V1, (40,), (3,), libver="earliest", step=0),
    Case("single", SINGLE, (10, 12), (10, 12)),
    Case("single filtered", SINGLE, (10, 12), (10, 12), filtered=True, userblock=512),
    Case("implicit", IMPLICIT, (10, 12), (3, 4), early=True),
    Case("implicit below its maximum", IMPLICIT, (10, 12), (3, 4), (21, 24), early=True),
    Case("fixed", FIXED, (10, 12), (3, 4)),
    Case("fixed filtered", FIXED, (10, 12), (3, 4), filtered=True, userblock=2048),
    Case("fixed sparse", FIXED, (10, 12), (3, 4), filtered=True, step=3),
    Case("fixed below its maximum", FIXED, (10, 12), (3, 4), (30, 40), filtered=True),
    Case("fixed that shrank", FIXED, (30, 40), (3, 4), (30, 40), resized=(10, 12)),
    Case("fixed with 4-byte addresses", FIXED, (100, 100), (2, 2), filtered=True, sizes=(4, 8)),
    Case("fixed paged", FIXED, (3000,), (1,)),
    Case("fixed paged filtered", FIXED, (64, 64), (1, 2), filtered=True),
    Case("fixed paged, pages missing", FIXED, (30_000,), (1,), step=2999),
    Case("fixed paged, last page missing", FIXED, (1025,), (1,), step=1025),
    Case("fixed paged above a megabyte", FIXED, (200_000,), (1,), step=9973),
    Case("fixed in whole pages", FIXED, (4096,), (1,), step=5),
    Case("extensible", EXTENSIBLE, (10, 12), (3, 4), (UNLIMITED, 12)),
    Case("extensible filtered", EXTENSIBLE, (10, 12), (3, 4), (UNLIMITED, 12), filtered=True, userblock=512),
    Case("extensible below its maximum", EXTENSIBLE, (10, 12), (3, 4), (UNLIMITED, 40), filtered=True),
    Case("extensible with super blocks", EXTENSIBLE, (3000,), (1,), (UNLIMITED,)),
    Case("extensible sparse", EXTENSIBLE, (3000,), (1,), (UNLIMITED,), step=101),
    Case("extensible paged", EXTENSIBLE, (600_000,), (1,), (UNLIMITED,), step=7919),
    Case("extensible that shrank", EXTENSIBLE, (60, 12), (3, 4), (UNLIMITED, 12), resized=(10, 12)),
    Case("extensible, axis 1 grows", EXTENSIBLE, (10, 50), (3, 4), (10, UNLIMITED)),
    Case("extensible, axis 1 grows, below its maximum", EXTENSIBLE, (10, 50), (3, 4), (30, UNLIMITED), filtered=True),
    Case("extensible, axis 2 of 3 grows", EXTENSIBLE, (5, 6, 50), (2, 3, 4), (5, 6, UNLIMITED), step=3),
    Case("v2", V2, (10, 12), (3, 4), (UNLIMITED, UNLIMITED)),
    Case("v2 filtered", V2, (10, 12), (3, 4), (UNLIMITED, UNLIMITED), filtered=True, userblock=512),
    Case("v2 of depth 1", V2, (60, 60), (2, 2), (UNLIMITED, UNLIMITED), filtered=True),
    Case("v2 of depth 2", V2, (140, 140), (1, 1), (UNLIMITED, UNLIMITED)),
    Case("v2 sparse", V2, (60, 60), (2, 2), (UNLIMITED, UNLIMITED), step=11),
    Case("v2 with 4-byte lengths", V2, (60, 60), (2, 2), (UNLIMITED, UNLIMITED), filtered=True, sizes=(8, 4)),
    Case("v2 never written", V2, (60, 60), (2, 2), (UNLIMITED, UNLIMITED), step=0),
    Case("fixed, one chunk that is cut", FIXED, (10, 12), (12, 12), (12, 12), filtered=True, raw_edges=True),
    Case("single, never written", SINGLE, (10, 12), (10, 12), step=0),
    Case("fixed, raw edges", FIXED, (10, 13), (4, 5), filtered=True, raw_edges=True),
    Case("extensible, raw edges", EXTENSIBLE, (10, 13), (4, 5), (UNLIMITED, 13), filtered=True, raw_edges=True),
    Case("v2, raw edges", V2, (10, 13), (4, 5), (UNLIMITED, UNLIMITED), filtered=True, raw_edges=True),
    Case("v2 that shrank", V2, (60, 60), (2, 2), (UNLIMITED, UNLIMITED), resized=(10, 12)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_native_index_is_the_one_libhdf5_iterates(case: Case) -> None:
    data = written(case)
    with h5py.File(BytesIO(data)) as file:
        _, layout = native_layout(MemorySource(data), file["d"])
        assert layout.index_type == case.index_type
        assert layout.partial_chunks_unfiltered == case.raw_edges
        assert_same_index(data, file["d"])


RAW = [case for case in CASES if case.step == 1 and not (case.resized or case.filtered)]


@pytest.mark.parametrize("case", RAW, ids=str)
def test_chunk_bytes_at_the_native_offsets_are_the_values(case: Case) -> None:
    data = written(case)
    with h5py.File(BytesIO(data)) as file:
        dataset = file["d"]
        for position, offset, length, _ in rows(native_index(MemorySource(data), dataset)):
            grid = [-(-extent // chunk) for extent, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
            corner = np.unravel_index(position, grid)
            chunk = np.frombuffer(data, "<u2", length // 2, offset).reshape(dataset.chunks)
            slices = tuple(slice(at * n, (at + 1) * n) for at, n in zip(corner, dataset.chunks, strict=True))
            values = dataset[slices]
            assert (chunk[tuple(slice(0, extent) for extent in values.shape)] == values).all()


MASKED = [case._replace(first_mask=3) for case in CASES if case.filtered and not case.raw_edges]


@pytest.mark.parametrize("case", MASKED, ids=str)
def test_the_filter_mask_of_one_chunk_is_read(case: Case) -> None:
    data = written(case)
    with h5py.File(BytesIO(data)) as file:
        assert rows(native_index(MemorySource(data), file["d"]))[0][3] == 3
        assert_same_index(data, file["d"])


ROUNDS = {V1: 2, SINGLE: 0, IMPLICIT: 0, FIXED: 3, EXTENSIBLE: 4, V2: 3}
"""Dependent rounds of an index of one level (v1: two levels) with everything a kind may need."""
ROUND_CASES = ["v1 of two levels", "single", "implicit", "fixed paged above a megabyte", "v2 of depth 1"]


@pytest.mark.parametrize("case", [case for case in CASES if case.name in ROUND_CASES], ids=str)
def test_an_index_takes_as_many_rounds_as_its_structure_is_deep(case: Case) -> None:
    data = written(case)
    with h5py.File(BytesIO(data)) as file:
        dataset = file["d"]
        source = MemorySource(data)
        superblock, layout = native_layout(source, dataset)
        parser = read_chunk_index(superblock, layout, dataset.shape, dataset.maxshape, filtered=case.filtered)
        rounds = 0
        try:
            wishes = next(parser)
            while True:
                rounds += 1
                wishes = parser.send([source.gather(wish.offset, wish.length) for wish in wishes])
        except StopIteration:
            pass
    assert rounds == ROUNDS[case.index_type]


def test_a_layout_without_chunks_is_read_but_has_no_index() -> None:
    buffer = FileBytes()
    with h5py.File(buffer, "w") as file:
        file["contiguous"] = np.arange(100)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        file.create_dataset("compact", data=np.arange(5, dtype="u1"), dcpl=plist)
        file.create_dataset("never", (4,), "u1")
    data = buffer.getvalue()
    with h5py.File(BytesIO(data)) as file:
        source = MemorySource(data)
        superblock, contiguous = native_layout(source, file["contiguous"])
        assert (contiguous.layout_class, contiguous.size) == (LayoutClass.CONTIGUOUS, 800)
        assert contiguous.address == file["contiguous"].id.get_offset()
        _, compact = native_layout(source, file["compact"])
        assert compact.compact_offset is not None
        assert data[compact.compact_offset : compact.compact_offset + 5] == bytes(range(5))
        _, never = native_layout(source, file["never"])
        assert (never.layout_class, never.address) == (LayoutClass.CONTIGUOUS, None)
        with pytest.raises(UnsupportedError):
            drive(read_chunk_index(superblock, contiguous, (100,), (100,), filtered=False), source)


@st.composite
def any_case(draw: st.DrawFn) -> Case:
    """Any small chunked dataset."""
    rank = draw(st.integers(1, 4))
    extents = st.integers(0, {1: 200, 2: 30, 3: 9, 4: 5}[rank])
    shape = tuple(draw(extents) for _ in range(rank))
    chunks = tuple(draw(st.integers(1, 5)) for _ in range(rank))
    limits = [draw(st.sampled_from([UNLIMITED, extent, extent + draw(st.integers(0, 12))])) for extent in shape]
    # libhdf5 wants no chunk longer than a fixed axis, and some extent there.
    limits = [limit if limit is None else max(limit, 1, chunk) for limit, chunk in zip(limits, chunks, strict=True)]
    return Case(
        "any",
        V1,
        shape,
        chunks,
        tuple(limits),
        libver=draw(st.sampled_from(["earliest", "latest", "latest"])),
        filtered=draw(st.booleans()),
        early=draw(st.sampled_from([False, False, True])),
        step=draw(st.sampled_from([0, 1, 1, 2, 5])),
        userblock=draw(st.sampled_from([0, 0, 512])),
        resized=draw(st.none() | st.tuples(*(st.integers(0, 12 if limit is None else limit) for limit in limits))),
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_case())
def test_any_small_file_has_the_index_that_libhdf5_iterates(case: Case) -> None:
    data = written(case)
    with h5py.File(BytesIO(data)) as file:
        assert_same_index(data, file["d"])
