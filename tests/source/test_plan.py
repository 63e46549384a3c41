"""Reads fetch every range that is wanted, and merge what lies close together."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.errors import StaleSourceError, TruncatedFileError
from refmaker.model.reference_set import SourceFile
from refmaker.source.plan import Read, plan_reads
from refmaker.source.spans import read_spans

Wanted = list[tuple[int, int, int]]
wanted = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(0, 9)), max_size=15)


def planned(ranges: Wanted, gap: int, request_bytes: int) -> list[Read]:
    ids, offset, length = np.array(ranges, np.int64).reshape(-1, 3).T
    rows = np.arange(len(ranges))
    return plan_reads(ids.astype(np.uint32), offset, length, rows, gap=gap, request_bytes=request_bytes)


@given(wanted, st.integers(0, 9), st.integers(1, 40))
def test_every_range_lies_in_the_read_that_names_it(ranges: Wanted, gap: int, request_bytes: int) -> None:
    reads = planned(ranges, gap, request_bytes)
    assert sorted(row for read in reads for row in read.rows) == list(range(len(ranges)))
    for read in reads:
        for row, offset, length in zip(read.rows, read.offset, read.length, strict=True):
            assert ranges[row] == (read.location_id, offset, length)
            assert read.start <= offset <= offset + length <= read.stop
        assert read.offset == sorted(read.offset)
    places = [(read.location_id, read.start) for read in reads]
    assert places == sorted(places)


@given(wanted, st.integers(0, 9))
def test_what_is_close_together_is_one_read(ranges: Wanted, gap: int) -> None:
    for one, other in pairwise(planned(ranges, gap, 1000)):
        previous = one.offset[-1] + one.length[-1]
        assert one.location_id != other.location_id or other.start > previous + gap


def test_reads_are_no_longer_than_asked_for_but_ranges_may_be() -> None:
    rows = [(0, 10 * n, 10) for n in range(7)]
    assert [read.rows for read in planned(rows, 0, 30)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [(read.start, read.stop) for read in planned([(0, 0, 100), (0, 100, 5)], 0, 30)] == [(0, 100), (100, 105)]


def test_only_the_rows_asked_for_are_read() -> None:
    ids, offset, length = np.zeros(3, np.uint32), np.array([20, 0, 10]), np.full(3, 10)
    [read] = plan_reads(ids, offset, length, np.array([0, 2]), gap=0, request_bytes=100)
    assert (read.rows, read.start, read.stop) == ([2, 0], 10, 30)


@pytest.mark.parametrize("offset", [3, 2**40, 2**63 - 1, 2**63, 2**64 - 1])
def test_no_offset_is_too_far_for_an_error(offset: int, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    with pytest.raises(TruncatedFileError, match="wanted"):
        read_spans([(0, offset, 8), (0, 0, 1)], [SourceFile(f"file://{path}")])
    assert read_spans([], []) == []


def test_a_local_file_that_was_modified_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    modified = path.stat().st_mtime
    assert read_spans([(0, 1, 2)], [SourceFile(f"file://{path}", last_modified=modified)]) == [b"bc"]
    with pytest.raises(StaleSourceError, match="was modified 60 s after"):
        read_spans([(0, 1, 2)], [SourceFile(f"file://{path}", last_modified=modified - 60)])
