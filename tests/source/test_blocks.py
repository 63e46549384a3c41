"""The block store: right bytes whatever was put in, misses counted, nothing fetched that is held."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.errors import TruncatedFileError
from refmaker.source import blocks
from refmaker.source.base import MemorySource, Wish
from refmaker.source.blocks import BlockFile, BlockStore, kept
from refmaker.source.traced import Traced

DATA = np.random.default_rng(0).integers(0, 256, 5000, np.uint8).tobytes()
parts = st.lists(st.tuples(st.integers(0, 4999), st.integers(1, 900)), max_size=8)
reads = st.lists(st.tuples(st.integers(0, 4999), st.integers(0, 1500)), min_size=1, max_size=8)


def store_of(pieces: list[tuple[int, int]]) -> tuple[BlockStore, Traced]:
    source = Traced(MemorySource(DATA))
    store = BlockStore(source)
    store.put([(start, DATA[start : start + length]) for start, length in pieces])
    return store, source


@given(parts, parts, reads)
def test_reads_are_right_whatever_is_held(
    first: list[tuple[int, int]], second: list[tuple[int, int]], wanted: list[tuple[int, int]]
) -> None:
    store, source = store_of(first)
    store.put([(start, DATA[start : start + length]) for start, length in second])
    held = {byte for start, n in first + second for byte in range(start, min(start + n, len(DATA)))}
    for start, length in wanted:
        stop = min(start + length, len(DATA))
        wish = Wish.one(start, stop - start)
        is_held = set(range(start, stop)) <= held
        assert store.holds(wish) == is_held
        before = source.requests
        assert store.read(start, stop - start) == DATA[start:stop]
        assert not is_held or source.requests == before


@given(parts, st.lists(st.integers(0, 4900), max_size=20), st.integers(0, 100))
def test_gathering_is_reading(pieces: list[tuple[int, int]], offsets: list[int], length: int) -> None:
    store, source = store_of(pieces)
    wish = Wish(np.array(offsets, np.uint64), length)
    one_by_one = all(store.holds(Wish.one(offset, length)) for offset in offsets)
    assert store.holds(wish) == (one_by_one or not offsets)
    before = source.requests
    found = store.gather(wish.offset, length)
    assert [row.tobytes() for row in found] == [DATA[offset : offset + length] for offset in offsets]
    assert not one_by_one or source.requests == before


def test_a_miss_is_counted_and_its_block_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "WHOLE_FILE_BELOW", 0)
    monkeypatch.setattr(blocks, "MISS_BLOCK", 1000)
    monkeypatch.setattr(blocks, "MISS_BLOCKS_KEPT", 2)
    store, source = store_of([(0, 100)])
    assert store.read(1990, 20) == DATA[1990:2010]
    assert (store.misses, source.requests, source.bytes) == (2, 2, 2000)
    store.read(1000, 2000)
    assert store.misses == 2
    store.read(4000, 1)
    store.read(1000, 1)
    assert store.misses == 4


def test_a_range_past_the_end_is_an_error() -> None:
    store, _ = store_of([])
    for call in (lambda: store.read(4990, 11), lambda: store.gather(np.array([4990], np.uint64), 11)):
        with pytest.raises(TruncatedFileError):
            call()


def test_a_source_that_keeps_is_not_wrapped_again() -> None:
    store, source = store_of([])
    assert kept(store) is store
    counted = Traced(store)
    assert kept(counted) is counted
    assert isinstance(kept(source), BlockStore)


def test_the_file_object_is_a_file() -> None:
    file, oracle = BlockFile(store_of([(10, 500)])[0]), io.BytesIO(DATA)
    assert file.readable()
    assert file.seekable()
    for offset, whence, count in ((5, 0, 20), (-7, 2, 100), (3, 1, 10), (4990, 0, 10), (9000, 0, 5), (0, 0, -1)):
        assert file.seek(offset, whence) == oracle.seek(offset, whence)
        assert file.read(count) == oracle.read(count)
        assert file.tell() == oracle.tell()


def test_a_buffer_is_filled_with_zeros_beyond_the_end() -> None:
    file, buffer = BlockFile(store_of([])[0]), bytearray(b"garbage " * 2)
    file.seek(4995)
    assert file.readinto(buffer) == 5
    assert buffer == DATA[4995:] + bytes(11)
